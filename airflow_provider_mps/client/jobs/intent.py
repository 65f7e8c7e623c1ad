"""What a task wants to have submitted, and where the record of its job is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from airflow_provider_mps.client.actions import SubmitAction
from airflow_provider_mps.client.jobs.record import Attempt, JobRecord, Step, fingerprint_of, new_session_id, step_for


class JobStore(Protocol):
    """Where the last record of one task is kept, over crashes and retries."""

    def load(self) -> JobRecord | None:
        """
        The last record saved; None if there is none.

        :raises ValueError: there is one, and it cannot be read.
        """

    def save(self, record: JobRecord) -> None:
        """Replace it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What a task wants to have submitted.

    :param action: what to send; a SessionId of the author's own in it is honoured.
    :param attempt: what Airflow says of the try that runs now.
    :param marker: a SessionContext by which the jobs of the task are found.
    :param run_began: Unix seconds of Airflow's clock before which no try can have sent a job.
    :param allow_partial: a job of which only some parts failed has not failed.
    :param abort_cleared: abort a job that still waits when a user has cleared its task.
    :param resubmit_if_unknown: submit again, once, when it is not known what became of an earlier job.
    :param not_found_grace: seconds after its submission in which MPS may not know a job.
    """

    action: SubmitAction
    attempt: Attempt
    marker: str
    run_began: float
    allow_partial: bool = False
    abort_cleared: bool = True
    resubmit_if_unknown: bool = False
    not_found_grace: float = 90.0

    @property
    def fingerprint(self) -> str:
        """Tells its request from another."""
        return fingerprint_of(self.action.parameters)

    @property
    def own_session_id(self) -> str | None:
        """The SessionId that the author has set, if any."""
        return self.action.own_session_id

    @property
    def own_session_context(self) -> str | None:
        """The SessionContext that the author has set, if any. The job then does not carry the marker."""
        return getattr(self.action, "session_context", None) or None

    @property
    def carries_marker(self) -> bool:
        """Whether the marker is in the request, so that the job can be found by it."""
        return self.action.marked and self.own_session_context is None

    def new_session_id(self) -> str | None:
        """The author's own, or a random one; None where the action takes none."""
        return self.own_session_id or (new_session_id() if self.action.deduplicated else None)

    def new_record(self, number: int = 1) -> JobRecord:
        """A job that was not sent."""
        return JobRecord(self.action.name, self.fingerprint, self.new_session_id(), self.attempt, number)

    def step_for(self, record: JobRecord | None) -> Step:
        """What to do with the record that the task finds."""
        step = step_for(record, self.attempt, action=self.action.name, fingerprint=self.fingerprint)
        if step is not Step.REPLACE or record is None or self.own_session_id is None:
            return step
        # A SessionId of the author's own names one job, whatever became of it: MPS would reject another.
        own = record.mps_task_id is not None and record.session_id == self.own_session_id
        return Step.TAKE_UP if own else step
