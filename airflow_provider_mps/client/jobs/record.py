"""
The stored record of one job. It is saved before each step, so that a crash never loses a job.

::

                  save          save, then request             answer
     (no record) ------> NOT_SENT ------> SENDING ------------> ACCEPTED ------> ENDED
                            ^                |                                     |
                            +----------------+                                     |
                            |  certainly not executed                              |
                            +------------------------------------------------------+
                               next record, when the task runs again

NOT_SENT is a fact that was written down, never the absence of one. SENDING is the only state in which it is not known
whether MPS has the job. What the next try of a task makes of a record is :func:`step_for`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum, StrEnum
from typing import Any, Self

# MPS takes up to 50 characters; the rest tells people whose job it is.
_SESSION_PREFIX = "airflow-"
_DIGEST_LENGTH = 40  # characters


class JobState(StrEnum):
    """How far one job has come, as far as is known for certain."""

    NOT_SENT = "not sent"  # no request is on its way, and none was executed
    SENDING = "sending"  # a request may be on its way, or may have been executed
    ACCEPTED = "accepted"  # MPS has answered with a TaskId
    ENDED = "ended"  # the job is over; `ending` says how


class Ending(StrEnum):
    """How a job ended."""

    SUCCESS = "success"
    FAILED = "failed"
    ABORTED = "aborted"  # it has ended without results, as an aborted job does
    KILLED = "killed"  # a user ended its task
    GONE = "gone"  # MPS no longer knows it


_NEXT = {
    JobState.NOT_SENT: {JobState.SENDING, JobState.ENDED},
    JobState.SENDING: {JobState.NOT_SENT, JobState.SENDING, JobState.ACCEPTED, JobState.ENDED},
    JobState.ACCEPTED: {JobState.ENDED},
    JobState.ENDED: set[JobState](),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    What Airflow says of the try that runs now.

    :param try_number: of the task; grows with each retry and each Clear.
    :param max_tries: becomes ``try_number + retries`` at a Clear, and stays the same over retries.
    :param retries: of the task, as the DAG says now.
    :param clear_number: grows whenever a task of the run is cleared.
    """

    try_number: int
    max_tries: int
    retries: int
    clear_number: int = 0

    @property
    def is_first(self) -> bool:
        """Whether no try since the last Clear came before this one, unless an edited ``retries`` makes it seem so."""
        return self.try_number == 1 or self.max_tries == self.try_number - 1 + self.retries

    @property
    def is_certainly_first(self) -> bool:
        """Whether the run was cleared as well: without that, an edited ``retries`` alone may have set the numbers."""
        return self.try_number == 1 or (self.is_first and self.clear_number > 0)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """
    One intended job of one task.

    :param action: the submitting action.
    :param fingerprint: tells its request from another.
    :param session_id: random, made with the record; the author's own where the request names one; None where the action
        takes none.
    :param number: counts the records of the task, from 1.
    :param sent_at: Unix seconds of MPS's clock at which it was first sent: its deadline counts from here.
    :param attempt: the last try that dealt with it.
    """

    action: str
    fingerprint: str
    session_id: str | None
    attempt: Attempt
    number: int = 1
    state: JobState = JobState.NOT_SENT
    sent_at: float | None = None
    mps_task_id: str | None = None
    request_id: str | None = None
    ending: Ending | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, for :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: object) -> Self:
        """
        Read what was stored.

        :raises ValueError: it is no record.
        """
        if not isinstance(stored, Mapping):
            raise ValueError("the stored record is no object")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in stored.items() if name in known}
        try:
            attempt = Attempt(**{name: stored["attempt"][name] for name in Attempt.__slots__})
            del values["attempt"]
            ending = values.pop("ending")
            return cls(
                **{**values, "state": JobState(values["state"])},
                attempt=attempt,
                ending=None if ending is None else Ending(ending),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the stored record cannot be read: {error}") from None

    def in_attempt(self, attempt: Attempt) -> Self:
        """The same job, now dealt with by another try."""
        return replace(self, attempt=attempt)

    def sending(self, now: float) -> Self:
        """A request is about to be sent; a repeat keeps the time of the first."""
        sent_at = self.sent_at if self.state is JobState.SENDING and self.sent_at else now
        return self._become(JobState.SENDING, sent_at=sent_at)

    def presumed_sent(self, since: float) -> Self:
        """An earlier try may have sent a job, of which nothing is known but the time since which it may exist."""
        return replace(self, state=JobState.SENDING, session_id=None, sent_at=since)

    def not_sent(self, session_id: str | None) -> Self:
        """
        No request was executed.

        :param session_id: for the next request: it is not documented whether a rejected one uses up its SessionId.
        """
        return self._become(JobState.NOT_SENT, sent_at=None, session_id=session_id)

    def accepted(self, mps_task_id: str, request_id: str | None, *, sent_at: float | None = None) -> Self:
        """MPS has the job."""
        return self._become(
            JobState.ACCEPTED, mps_task_id=mps_task_id, request_id=request_id, sent_at=sent_at or self.sent_at
        )

    def ended(self, ending: Ending) -> Self:
        """The job is over."""
        return self._become(JobState.ENDED, ending=ending)

    def _become(self, state: JobState, **values: Any) -> Self:
        if state not in _NEXT[self.state]:
            raise ValueError(f"a job that is {self.state} cannot become {state}")
        return replace(self, state=state, **values)


class Step(Enum):
    """What a try does with the record that it finds."""

    SUBMIT = "send the job"
    RESOLVE = "find out whether MPS has the job: send the same SessionId again, or look for the job"
    TAKE_UP = "wait for the job that was accepted"
    REPLACE = "begin the next record: the last job has ended"
    CLEAR = "begin the next record: a user cleared or ended the task; its job is aborted if it still waits"
    SEARCH = "look for the job by its marker: there is no record, so it is not known whether one was sent"
    REJECT = "send nothing: this try has submitted another job already"


def step_for(record: JobRecord | None, attempt: Attempt, *, action: str, fingerprint: str) -> Step:
    """
    What a try does with the record that it finds.

    :param record: None for none, or one that cannot be read.
    :param action: what this try is to send, and with which request (``fingerprint``).
    """
    if record is None:
        return Step.SUBMIT if attempt.is_certainly_first else Step.SEARCH
    if record.attempt.try_number == attempt.try_number:
        if (record.action, record.fingerprint) != (action, fingerprint):
            return Step.REJECT
    elif is_cleared(record, attempt) or record.ending is Ending.KILLED:
        return Step.CLEAR
    if record.state is JobState.NOT_SENT:
        return Step.SUBMIT
    if record.state is JobState.SENDING:
        return Step.RESOLVE
    if record.state is JobState.ACCEPTED or record.ending is Ending.SUCCESS:
        return Step.TAKE_UP
    return Step.REPLACE


def is_cleared(record: JobRecord, attempt: Attempt) -> bool:
    """
    Whether a user cleared the task since the record was written.

    A Clear counts up the ``clear_number`` of the run and sets ``max_tries``. Each can fail to tell: a Clear may leave
    the run as it is, and one of a task whose worker is dead leaves ``max_tries``. Where an edited ``retries`` hides
    the rest, a Clear is assumed after a success, and a retry otherwise.
    """
    before = record.attempt
    if attempt.max_tries != before.max_tries or attempt.clear_number != before.clear_number:
        return True
    return attempt.retries != before.retries and attempt.is_first and record.ending is Ending.SUCCESS


def new_session_id() -> str:
    """A SessionId that no other job has: nothing of Airflow's is in it."""
    return f"{_SESSION_PREFIX}{secrets.token_hex(_DIGEST_LENGTH // 2)}"


def marker_of(*, dag_id: str, run_id: str, task_id: str, map_index: int, attempt: Attempt) -> str:
    """
    A ``SessionContext`` that tells the jobs of one task from all others: by it a job without a record is found.

    Airflow's numbers are in it, so that a job from before a Clear is not taken for one from after it.
    """
    clears = [attempt.max_tries, attempt.clear_number]
    return f"{_SESSION_PREFIX}{_digest([dag_id, run_id, task_id, map_index, clears])}"


def fingerprint_of(parameters: Mapping[str, Any]) -> str:
    """Tells one request from another."""
    return _digest(parameters)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]
