"""
Submit a job once: across lost answers, crashes and retries. Knows no Airflow; its memory is a :class:`JobStore`.

MPS bills twice for a job that is sent twice, and can abort only a job that still waits. For ProcessMedia, EditMedia and
ProcessLiveStream it rejects a ``SessionId`` that it has seen within 3 days, but does not tell the TaskId of the first
job, so that has to be found again. BatchProcessMedia and ProcessImage have no such key: after an ambiguous answer
nothing is sent again.
"""

from __future__ import annotations

import logging
import time

from airflow_provider_mps.client.actions import SubmitAction
from airflow_provider_mps.client.jobs.intent import Intent, JobStore
from airflow_provider_mps.client.jobs.record import JobRecord, JobState, Step
from airflow_provider_mps.client.jobs.recovery import Recovery
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.client.retry import Limits, Next, Purpose, decide
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsConfigError, MpsError, MpsTransportError

log = logging.getLogger(__name__)


class Submission:
    """
    The submission of one intended job.

    :ivar record: as it is now, stored or about to be; None before it was loaded.
    """

    def __init__(self, client: MpsClient, intent: Intent, store: JobStore) -> None:
        self.client = client
        self.intent = intent
        self.store = store
        self.record: JobRecord | None = None
        self._recovery = Recovery(client, intent, self._save, self._sleep)
        self._stopped = False

    def stop(self) -> None:
        """Send nothing more; may be called from a signal handler or another thread."""
        self._stopped = True

    @property
    def job_sent(self) -> bool:
        """Whether MPS may run a job of this task, as far as is known now."""
        return self.record is not None and self.record.state in {JobState.SENDING, JobState.ACCEPTED}

    @property
    def is_new(self) -> bool:
        """Whether this very process has submitted the job."""
        return not self._recovery.how

    @property
    def how(self) -> str:
        """``submitted``, ``reattached`` to the job of an earlier try, or ``recovered`` after a lost answer."""
        return self._recovery.how or "submitted"

    def ensure_submitted(self) -> JobRecord:
        """
        Return the record of the one job, with its TaskId, submitted now or earlier.

        :raises MpsSubmitUnknown: it cannot be told whether MPS runs it.
        :raises MpsSessionClash: the author's own SessionId belongs to another job.
        :raises MpsTaskNotFound: the job of an earlier try is no longer known to MPS.
        :raises MpsConfigError: this try has submitted another job already.
        :raises MpsError: MPS rejected it, or could not be reached.
        """
        accepted = self._follow_record()
        while accepted is None:  # the last record is over
            number = self.record.number + 1 if self.record else 1
            accepted = self._send(self._save(self.intent.new_record(number)))
        return accepted

    def _follow_record(self) -> JobRecord | None:
        """Do what the stored record asks for; None where the next record is due."""
        intent = self.intent
        try:
            record = self.record = self.store.load()
        except ValueError as error:
            log.warning("The record of this task's job cannot be read, so the job is searched for: %s", error)
            record, step = None, Step.SEARCH
        else:
            step = intent.step_for(record)
        if record is None and step is Step.SEARCH:
            # Saved when the search has ended: a try that dies in it leaves nothing, so that the next one searches too.
            record = self.record = intent.new_record().presumed_sent(intent.run_began)
            return self._recovery.search(record)
        if record is None:
            return self._send(self._save(intent.new_record()))
        match step:
            case Step.REJECT:
                raise MpsConfigError(_second_job(record, intent))
            case Step.CLEAR:
                self._recovery.abort_cleared(record)
                return None
            case Step.REPLACE:
                log.info("MPS task %s has ended (%s); a new job is submitted.", record.mps_task_id, record.ending)
                return None
            case Step.SUBMIT:
                return self._send(self._save(intent.new_record(record.number)))
        if record.fingerprint != intent.fingerprint:
            # A template that renders anew at each try (a signed address, say) is no reason to pay again.
            log.warning("The request has changed since an earlier try sent it. That job counts; Clear sends a new one.")
        record = self._save(record.in_attempt(intent.attempt))
        if step is Step.TAKE_UP:
            return self._recovery.take_up(record)
        return self._send(record) if self._recovery.can_resend(record) else self._recovery.resolve(record)

    def _save(self, record: JobRecord) -> JobRecord:
        self.record = record  # a kill that comes while it is stored has to know it already
        self.store.save(record)
        return record

    def _send(self, record: JobRecord) -> JobRecord | None:
        """Send the job of a record, and again as long as that is safe; None where the next record is due."""
        started, attempt = time.monotonic(), 0
        earlier = ambiguous = record.state is JobState.SENDING
        # One request at a time, each decided on here: a retry inside the client would know neither record nor stop.
        with MpsClient(self.client.config, limits=Limits(attempts=1)) as sender:
            while True:
                attempt += 1
                # The client would sleep through a stop.
                self._sleep(rate_limiter_for(self.intent.action, sender.config).delay())
                self._raise_if_stopped(record)
                record = self._save(record.sending(sender.clock.now()))
                if self._stopped and not ambiguous:
                    record = self._save(record.not_sent(record.session_id))
                self._raise_if_stopped(record)
                try:
                    return self._request(sender, record)
                except MpsError as error:
                    elapsed = time.monotonic() - started
                    action = self._tagged(record)
                    decision = decide(error, Purpose.SUBMIT, action=action, attempt=attempt, elapsed=elapsed)
                    if decision.next is Next.FIND:
                        return self._recovery.find_duplicate(record, error, sent_before=ambiguous, earlier=earlier)
                    ambiguous = ambiguous or error.may_have_run
                    if not ambiguous:  # before any pause, in which this process may end
                        record = self._save(record.not_sent(self.intent.new_session_id()))
                    if decision.next is Next.STOP:
                        if ambiguous and record.session_id is None:
                            return self._recovery.leave_unknown(record, str(error))
                        raise  # where it may have arrived after all, the next try sends the same SessionId
                    again = " with the same SessionId" if ambiguous else ""
                    log.warning("%s. It is sent again%s in %.0f seconds.", error, again, decision.delay)
                self._sleep(decision.delay)

    def _request(self, sender: MpsClient, record: JobRecord) -> JobRecord:
        action, sent = self._tagged(record), time.monotonic()
        log.info("%s: sending it with %s", action.name, _tag(action))
        answer = sender.call(action)
        # Logged before anything can fail, so that the job can be found whatever happens next.
        log.info("%s: accepted as %s (RequestId %s)", action.name, answer.mps_task_id, answer.request_id)
        # MPS has no earlier request, or it would have rejected this one; and its answer has told the time.
        sent_at = sender.clock.now() - (time.monotonic() - sent)
        return self._save(record.accepted(answer.mps_task_id, answer.request_id, sent_at=sent_at))

    def _tagged(self, record: JobRecord) -> SubmitAction:
        return self.intent.action.tagged(record.session_id, self.intent.marker)

    def _raise_if_stopped(self, record: JobRecord) -> None:
        if self._stopped:
            category = Category.NO_ANSWER if record.state is JobState.SENDING else Category.UNREACHABLE
            raise MpsTransportError("not sent: the task was killed", action=record.action, category=category)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))


def _tag(action: SubmitAction) -> str:
    """What the job can be found by."""
    if session_id := getattr(action, "session_id", None):
        return f"SessionId {session_id}"
    mark = getattr(action, "session_context", None)
    return f"SessionContext {mark}" if mark else "nothing to tell it by"


def _second_job(record: JobRecord, intent: Intent) -> str:
    first = f"MPS task {record.mps_task_id}" if record.mps_task_id else f"a job of {record.action}"
    return (
        f"{intent.action.name} was not sent: this try of the task has submitted {first} already, with another request. "
        "One task instance submits one job: use one task for each, or expand() over the requests."
    )
