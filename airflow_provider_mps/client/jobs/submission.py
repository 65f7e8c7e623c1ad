"""
Send a job once: across lost answers, crashes and retries. Knows no Airflow; its memory is a :class:`JobStore`.

MPS bills twice for a job that is sent twice, and can abort only a job that still waits. For ProcessMedia, EditMedia and
ProcessLiveStream it refuses a ``SessionId`` that it has seen within 3 days, but does not tell the TaskId of the first
one, so that has to be found again. BatchProcessMedia and ProcessImage have no such key: after an ambiguous answer
nothing is sent again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from airflow_provider_mps.client.actions import SubmitAction, describe
from airflow_provider_mps.client.jobs.find import find_by_session
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.client.retry import should_retry
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsCredentialsError,
    MpsSessionClash,
    MpsSubmitUnknown,
    MpsTaskNotFound,
    MpsTransportError,
)
from airflow_provider_mps.results.task import TaskDetail

log = logging.getLogger(__name__)

# Documented as 3 days (and elsewhere as 7): past this, a repeated SessionId may start a second job.
_DEDUPLICATED = 2.5 * 86_400
_SEND_ATTEMPTS = 8
_FIND_PASSES = 6
_CLOCK_TOLERANCE = 600
_NOT_FOUND_GRACE = 90
PAUSE = 1.0  # seconds; grows from one attempt to the next


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What makes one intended job different from every other.

    :param epoch: grows when a user clears the task, stays the same over Airflow's retries.
    :param run_start: Unix seconds at which the run began: tells it from a run of the same name in another deployment,
        or one that was deleted and made again.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    epoch: int
    run_start: float = 0.0

    def session_id(self, generation: int) -> str:
        """48 safe characters; MPS takes 50, so names are hashed, never cut."""
        return f"airflow-{self._digest('session', generation)}"

    @property
    def marker(self) -> str:
        """A ``SessionContext`` that tells this task's jobs from others'."""
        return f"airflow-{self._digest('context', 0)}"

    def _digest(self, purpose: str, generation: int) -> str:
        task = [self.dag_id, self.run_id, self.run_start, self.task_id, self.map_index]
        parts = [purpose, *task, self.epoch, generation]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Job:
    """
    A job that was sent, or is about to be.

    :param sent_at: Unix seconds of the first time it was sent: its deadline counts from here.
    :param mps_task_id: None as long as no answer came.
    :param refused: MPS certainly did not take it, so that it may be sent again.
    :param how: ``submitted``, ``reattached`` to what an earlier try sent, or ``recovered`` after a lost answer.
    """

    epoch: int
    fingerprint: str
    generation: int
    sent_at: float
    mps_task_id: str | None = None
    request_id: str | None = None
    refused: bool = False
    how: str = "submitted"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, for :meth:`restored`."""
        return asdict(self)

    @classmethod
    def restored(cls, stored: object) -> Job | None:
        """Read what was saved; None for nothing, and for what another release may have saved."""
        names = {field.name for field in fields(cls)}
        if not isinstance(stored, Mapping) or not {"epoch", "fingerprint", "generation", "sent_at"} <= set(stored):
            return None
        return cls(**{name: value for name, value in stored.items() if name in names})


class JobStore(Protocol):
    """Where the last job of one task is remembered over crashes and retries."""

    def load(self) -> Job | None:
        """The last job saved, or None."""

    def save(self, job: Job) -> None:
        """Replace it."""


class Submission:
    """
    One intended job of one task.

    :param action: what to send; a SessionId of the user's own in it is honoured.
    :param ledger: None where there is no memory: then a retry recognises the job of an earlier try by its SessionId.
    :param tried_before: an earlier try may have sent the job.
    :param started: Unix seconds before which no try can have sent it.
    :param allow_partial: a job of which only some parts failed has not failed.
    :param resubmit_if_unknown: send again, once, when it cannot be told what became of an earlier job.
    :ivar in_flight: the SessionId of what is being sent, by which its job can be found.
    :ivar accepted: the TaskId that MPS has answered, from that moment on.
    :ivar may_run: MPS may run a job of this task, as far as is known by now.
    """

    def __init__(
        self,
        client: MpsClient,
        action: SubmitAction,
        identity: Identity,
        ledger: JobStore | None,
        *,
        tried_before: bool,
        started: float,
        allow_partial: bool = False,
        resubmit_if_unknown: bool = False,
    ) -> None:
        self.client = client
        self.action = action
        self.identity = identity
        self.ledger = ledger
        self.tried_before = tried_before
        self.started = started
        self.allow_partial = allow_partial
        self.resubmit_if_unknown = resubmit_if_unknown
        self.own_session = action.own_session_id
        self.fingerprint = _fingerprint(action)
        self.in_flight: str | None = None
        self.accepted: str | None = None
        self.may_run = False
        self._stopped = False
        self._resubmitted = False

    def once(self) -> Job:
        """
        Return the one job, sent now or earlier.

        :raises MpsSubmitUnknown: it cannot be told whether MPS runs it.
        :raises MpsSessionClash: the user's own SessionId belongs to another job.
        :raises MpsTaskNotFound: the job of an earlier try is no longer known to MPS.
        :raises MpsError: MPS refused it, or could not be reached.
        """
        job = self._remembered()
        fresh = job.refused if job else self.ledger is not None or not self.tried_before
        self.may_run = not fresh
        if job is None or job.refused:
            job = self._new(job.generation if job else 0)
        while (settled := self._settle(job, fresh=fresh)) is None:
            job, fresh = self._new(job.generation + 1), True
        return settled

    def cleared(self) -> Job | None:
        """The last job from before a user cleared the task; None if there was none."""
        job = self.ledger.load() if self.ledger else None
        return None if job is None or job.epoch == self.identity.epoch else job

    def _remembered(self) -> Job | None:
        job = self.ledger.load() if self.ledger else None
        if job is None or job.epoch != self.identity.epoch:
            return None
        if job.fingerprint != self.fingerprint:
            # A template that renders anew at each try (a signed address, say) is no reason to pay again.
            log.warning(
                "The request has changed since an earlier try sent it; that try's job counts. Clear sends anew."
            )
        return job

    def _new(self, generation: int) -> Job:
        return Job(self.identity.epoch, self.fingerprint, generation, sent_at=time.time())

    def _settle(self, job: Job, *, fresh: bool) -> Job | None:
        """
        Find or send the job of one generation; None when that one is over and the next is due.

        :param fresh: it is certain that no earlier try has sent it.
        """
        if job.mps_task_id is not None:
            return self._look_up(job, job.mps_task_id)
        session = self.own_session or (self.identity.session_id(job.generation) if self.action.deduplicated else None)
        first_sent = job.sent_at if self.ledger is not None else self.started
        if not fresh and not (session and time.time() - first_sent < _DEDUPLICATED):
            why = "an earlier try may have sent it and did not live to see the answer"
            return self._recover(job, session, why, ours=False)
        return self._send(job, session, fresh=fresh)

    def _look_up(self, job: Job, mps_task_id: str) -> Job | None:
        """The job of an earlier try, unless it has failed."""
        try:
            detail = self.client.call(describe(mps_task_id, self.action.describe_action))
        except (MpsTransportError, MpsCredentialsError) as error:
            if isinstance(error, MpsCredentialsError) and not error.retryable:
                raise
            return replace(job, how="reattached")  # the wait that follows sits an outage out
        except MpsApiError as error:
            if error.retryable:
                return replace(job, how="reattached")
            if not error.task_unknown:
                raise
            if time.time() - job.sent_at < _NOT_FOUND_GRACE:
                return replace(job, how="reattached")
            if self._may_resubmit(f"{mps_task_id} is no longer known to MPS"):
                return None
            raise MpsTaskNotFound(
                "was submitted by an earlier try and is no longer known to MPS, so nothing is submitted. Clear the "
                f"task or set resubmit_if_unknown to submit anew. {error}",
                mps_task_id=mps_task_id,
            ) from error
        return self._unless_failed(replace(job, how="reattached"), detail)

    def _unless_failed(self, job: Job, detail: TaskDetail) -> Job | None:
        if not detail.has_failed(allow_partial=self.allow_partial) or self.own_session:
            return job  # with a SessionId of the user's own there is no next generation
        log.info("MPS task %s of an earlier try has failed; submitting a new job.", job.mps_task_id)
        return None

    def stop(self) -> None:
        """Send nothing more; may be called from a signal handler or another thread."""
        self._stopped = True

    def _send(self, job: Job, session: str | None, *, fresh: bool) -> Job | None:
        action = self.action.tagged(session, self.identity.marker)
        self._save(job)
        self.in_flight = session
        mark = getattr(action, "session_context", None)
        tag = f"SessionId {session}" if session else f"SessionContext {mark}" if mark else "nothing to tell it by"
        log.info("Sending %s with %s", action.name, tag)
        ambiguous = False
        # One request at a time, each decided on here: a retry inside the client would not know of a stop.
        with MpsClient(self.client.config, attempts=1) as sender:
            for attempt in range(_SEND_ATTEMPTS):
                if attempt:
                    self._pause(min(PAUSE * 2**attempt, 30 * PAUSE))
                self._sleep(rate_limiter_for(action, sender.config).delay())  # the client would sleep through a stop
                if self._stopped:
                    raise MpsTransportError(
                        "not sent: the task was killed", action=action.name, may_have_run=ambiguous or not fresh
                    )
                try:
                    answer = sender.call(action)
                except (MpsApiError, MpsTransportError, MpsCredentialsError) as error:
                    if session and isinstance(error, MpsApiError) and error.duplicate:
                        first = fresh and not attempt and not self.tried_before
                        return self._recover(job, session, str(error), ours=ambiguous, foreign=first)
                    if error.retryable and error.may_have_run and not session:
                        self._unknown(job, str(error))
                        return None
                    again = should_retry(action, error) or (session and error.retryable)
                    ambiguous = ambiguous or error.may_have_run
                    self.may_run = self.may_run or ambiguous
                    if not again or attempt == _SEND_ATTEMPTS - 1:
                        if fresh and not ambiguous:
                            self._save(replace(job, refused=True))
                        raise  # if it may have arrived after all, the next try sends the same SessionId
                    log.warning("%s. Sending it again%s.", error, " with the same SessionId" if session else "")
                else:
                    self.accepted = answer.mps_task_id
                    self.may_run = True
                    # Logged before anything can fail, so that the job can be found whatever happens next.
                    log.info("MPS accepted %s as %s (RequestId %s)", action.name, answer.mps_task_id, answer.request_id)
                    sent = replace(job, mps_task_id=answer.mps_task_id, request_id=answer.request_id)
                    self._save(sent)
                    return sent
        return None

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds * random.uniform(0.5, 1.0))

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))

    def _recover(self, job: Job, session: str | None, why: str, *, ours: bool, foreign: bool = False) -> Job | None:
        """
        Find the job that an earlier call may have started.

        :param ours: this very call sent it, so that its fate is this try's fate.
        :param foreign: this task has sent nothing yet, so that a SessionId of the user's own is another one's.
        """
        detail = self._find(session, job) if session else None
        if self.own_session and foreign:
            raise MpsSessionClash(session_id=self.own_session, mps_task_id=detail.mps_task_id if detail else None)
        if detail is None:
            self._unknown(job, f"{why}; no task with SessionId {session} was found" if session else why)
            return None
        if self.own_session and detail.session_context != self.identity.marker:
            if detail.session_context and detail.session_context == getattr(self.action, "session_context", None):
                both = f"{detail.mps_task_id} carries SessionId and SessionContext, which are your own"
                self._unknown(job, f"{why}; {both}, so that another run may have sent it")
            raise MpsSessionClash(session_id=self.own_session, mps_task_id=detail.mps_task_id)
        created = detail.create_time.timestamp() if detail.create_time else job.sent_at
        found = replace(
            job,
            mps_task_id=detail.mps_task_id,
            sent_at=min(created, job.sent_at),
            how="recovered" if ours else "reattached",
        )
        log.info("MPS had accepted SessionId %s before; it runs as %s.", session, found.mps_task_id)
        self._save(found)
        return found if ours else self._unless_failed(found, detail)

    def _find(self, session: str, job: Job) -> TaskDetail | None:
        """Look through the tasks since the job may have been sent; lists may lag, so several times."""
        first_sent = job.sent_at if self.ledger is not None or not self.tried_before else self.started
        since = min(first_sent, job.sent_at) - _CLOCK_TOLERANCE
        seen: set[str] = set()
        for attempt in range(_FIND_PASSES):
            if attempt:
                self._pause(5 * PAUSE)
            for detail in find_by_session(self.client, session, since=since, seen=seen):
                return detail
        return None

    def _unknown(self, job: Job, why: str) -> None:
        """Leave this generation behind if that was asked for; else a person has to look."""
        # A SessionId of the user's own would only be refused once more.
        if self.own_session or not self._may_resubmit(f"may have taken {self.action.name} already: {why}"):
            raise MpsSubmitUnknown(
                action=self.action.name,
                why=why,
                sent_at=job.sent_at,
                session_context=self.identity.marker if self.action.marked else None,
            )

    def _may_resubmit(self, why: str) -> bool:
        """Once in a try, and not in haste: each time may be paid for."""
        if not self.resubmit_if_unknown or self._resubmitted:
            return False
        self._resubmitted = True
        log.warning("MPS %s. Submitting anew, as resubmit_if_unknown asks.", why)
        self._pause(5 * PAUSE)
        return True

    def _save(self, job: Job) -> None:
        if self.ledger is not None:
            self.ledger.save(job)


def _fingerprint(action: SubmitAction) -> str:
    return hashlib.sha256(json.dumps(action.parameters, sort_keys=True).encode()).hexdigest()[:40]
