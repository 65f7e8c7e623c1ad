"""What became of a job that an earlier request may have started: find it, take it up, or say that it is not known."""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.jobs.abort import abort_unless_ended
from airflow_provider_mps.client.jobs.find import (
    SEARCH_MARGIN,
    Matches,
    by_marker,
    by_session_id,
    find_jobs,
    find_task_id,
)
from airflow_provider_mps.client.jobs.intent import Intent
from airflow_provider_mps.client.jobs.record import Ending, JobRecord, JobState
from airflow_provider_mps.client.polling.wait import MIN_QUERY_SECONDS
from airflow_provider_mps.client.retry import is_final, is_not_found
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsError, MpsSessionClash, MpsSubmitUnknown, MpsTaskNotFound
from airflow_provider_mps.results.task import TaskDetail

log = logging.getLogger(__name__)

# Seconds for which a repeated SessionId is relied on: MPS documents 3 days, and elsewhere 7.
_DEDUPLICATION_WINDOW = 2.5 * 86_400
# Seconds, the same for the start of a run, which is a time of Airflow's clock.
_RUN_START_MARGIN = 2 * 3600.0
SEARCHES = 6
"""How often a job is searched for: lists may lag."""
SEARCH_PAUSE = 5.0
"""Seconds between two searches."""


class Recovery:
    """
    Settles what is not known about one job. Its methods return the accepted job, or None where the next record is due.

    :param save: stores a record, and returns it.
    :param sleep: pauses for seconds, or until the task is killed.
    :ivar how: how the job was found, in a word; empty until it is.
    """

    def __init__(
        self,
        client: MpsClient,
        intent: Intent,
        save: Callable[[JobRecord], JobRecord],
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._intent = intent
        self._save = save
        self._sleep = sleep
        self._resubmitted = False
        self.how = ""

    def take_up(self, record: JobRecord) -> JobRecord | None:
        """The accepted job of an earlier try, unless it has failed."""
        self.how = "reattached"
        poll = describe(str(record.mps_task_id), self._intent.action.describe_action)
        try:
            detail = self._client.call(poll)
        except MpsError as error:
            if is_not_found(error):
                return self._not_found(record, error)
            if is_final(error):
                raise
            return record  # the wait that follows tolerates an outage
        return self._unless_failed(record, detail)

    def can_resend(self, record: JobRecord) -> bool:
        """Whether MPS rejects a repeat of the request that an earlier try may have sent."""
        age = self._client.clock.now() - (record.sent_at or 0.0)
        return record.session_id is not None and age < _DEDUPLICATION_WINDOW

    def resolve(self, record: JobRecord) -> JobRecord | None:
        """An earlier try may have sent the job, and it cannot be sent again."""
        if record.session_id:
            detail = self._find(by_session_id(record.session_id), since=record.sent_at or 0.0)
            if detail is not None:
                return self._adopt(record, detail, earlier=True)
        return self.leave_unknown(record, "an earlier try may have sent it and did not live to see the answer")

    def search(self, record: JobRecord) -> JobRecord | None:
        """The record of earlier tries is missing: look for a job with the marker of the task."""
        if self._intent.carries_marker:
            detail = self._find(by_marker(self._intent.marker), since=self._intent.run_began - _RUN_START_MARGIN)
            if detail is not None:
                return self._adopt(record, detail, earlier=True)
        why = "the record of an earlier try is missing, and no job of this task was found"
        return self.leave_unknown(self._save(record), why)

    def find_duplicate(
        self, record: JobRecord, error: MpsError, *, sent_before: bool, earlier: bool
    ) -> JobRecord | None:
        """
        MPS has accepted the SessionId of the record before.

        :param sent_before: this task may have sent it.
        :param earlier: an earlier try may have.
        """
        intent, own_session_id = self._intent, self._intent.own_session_id
        detail = self._find(by_session_id(str(record.session_id)), since=record.sent_at or 0.0)
        if own_session_id and not sent_before:
            self._save(record.not_sent(own_session_id))
            raise MpsSessionClash(session_id=own_session_id, mps_task_id=detail.mps_task_id if detail else None)
        if detail is None:
            return self.leave_unknown(record, f"{error}; no job with SessionId {record.session_id} was found")
        if own_session_id and detail.session_context != intent.marker:
            if intent.own_session_context and detail.session_context == intent.own_session_context:
                both = f"{detail.mps_task_id} carries SessionId and SessionContext, which are your own"
                return self.leave_unknown(record, f"{error}; {both}, so that another run may have sent it")
            raise MpsSessionClash(session_id=own_session_id, mps_task_id=detail.mps_task_id)
        return self._adopt(record, detail, earlier=earlier)

    def leave_unknown(self, record: JobRecord, why: str) -> JobRecord | None:
        """
        Return None, so that the next record is due, if that was asked for; else a person has to look.

        :raises MpsSubmitUnknown: it was not asked for, or was done in this try already.
        """
        intent, action = self._intent, self._intent.action
        # A SessionId of the author's own would only be rejected once more.
        if intent.own_session_id is None and self._may_resubmit(f"{action.name} may have been accepted: {why}"):
            return None
        raise MpsSubmitUnknown(
            action=action.name,
            why=why,
            sent_at=record.sent_at or intent.run_began,
            session_context=intent.marker if action.marked else None,
        )

    def abort_cleared(self, record: JobRecord) -> None:
        """A user has cleared the task: abort its last job if it still waits. Raises no error of MPS."""
        # After a kill it is not certain that the Abort went through.
        over = record.state is JobState.ENDED and record.ending is not Ending.KILLED
        if not self._intent.abort_cleared or record.sent_at is None or over:
            return
        try:
            mps_task_id = find_task_id(self._client, record)
            if mps_task_id is None:
                log.warning("The task was cleared; its last job cannot be found (%s).", _name(record))
                return
            result = abort_unless_ended(self._client, mps_task_id, self._intent.action.describe_action)
        except MpsError as error:
            log.warning("The task was cleared; its last job was left alone (%s): %s", _name(record), error)
            return
        if result is None:
            log.info("The task was cleared; its MPS task %s has ended.", mps_task_id)
        else:
            log.log(logging.INFO if result.aborted else logging.WARNING, "The task was cleared. %s", result.text)

    def _find(self, matches: Matches, *, since: float) -> TaskDetail | None:
        """The newest job that matches and has not failed, else the newest. Lists may lag: several are read."""
        seen: set[str] = set()
        for search in range(SEARCHES):
            if search:
                self._sleep(SEARCH_PAUSE)
            found = list(find_jobs(self._client, matches, since=since - SEARCH_MARGIN, seen=seen))
            if found:
                return max(found, key=self._rank)
        return None

    def _rank(self, detail: TaskDetail) -> tuple[bool, bool, float]:
        # The time of creation alone does not order them: it is in whole seconds.
        return not detail.has_failed(allow_partial=self._intent.allow_partial), not detail.unsettled, _created(detail)

    def _adopt(self, record: JobRecord, detail: TaskDetail, *, earlier: bool) -> JobRecord | None:
        """
        Take the job that was found for the one of the record.

        :param earlier: an earlier try sent it; else its fate is this try's fate.
        """
        self.how = "reattached" if earlier else "recovered"
        record = self._save(record.accepted(detail.mps_task_id, detail.request_id, sent_at=_created(detail)))
        log.info("MPS task %s is the job that was sent (SessionId %s).", detail.mps_task_id, detail.session_id)
        return self._unless_failed(record, detail) if earlier else record

    def _unless_failed(self, record: JobRecord, detail: TaskDetail) -> JobRecord | None:
        if self._intent.own_session_id or not detail.has_failed(allow_partial=self._intent.allow_partial):
            return record
        log.info("MPS task %s of an earlier try has failed; a new job is submitted.", record.mps_task_id)
        if record.state is JobState.ACCEPTED:
            self._save(record.ended(Ending.FAILED))
        return None

    def _not_found(self, record: JobRecord, error: MpsError) -> JobRecord | None:
        """MPS does not know the accepted job. It is gone for certain only after the time for which MPS answers."""
        age = self._client.clock.now() - (record.sent_at or 0.0)
        if age < self._intent.not_found_grace:
            return record
        if age >= MIN_QUERY_SECONDS and record.state is JobState.ACCEPTED:
            self._save(record.ended(Ending.GONE))
        if self._may_resubmit(f"MPS task {record.mps_task_id} is no longer known to MPS"):
            return None
        not_found = MpsTaskNotFound(
            "was submitted by an earlier try and is no longer known to MPS, so nothing is submitted. Clear the "
            f"task or set resubmit_if_unknown to submit a new job. {error}",
            mps_task_id=str(record.mps_task_id),
        )
        if age >= MIN_QUERY_SECONDS:
            not_found.category = Category.FINAL  # a retry would find nothing else, and nothing is paid for in silence
        raise not_found from error

    def _may_resubmit(self, why: str) -> bool:
        """Once in a try, and not in haste: each time may be paid for."""
        if not self._intent.resubmit_if_unknown or self._resubmitted:
            return False
        self._resubmitted = True
        log.warning("%s. A new job is submitted, as resubmit_if_unknown asks.", why)
        self._sleep(SEARCH_PAUSE)
        return True


def _created(detail: TaskDetail) -> float:
    return detail.create_time.timestamp() if detail.create_time else 0.0


def _name(record: JobRecord) -> str:
    if record.mps_task_id:
        return f"MPS task {record.mps_task_id}"
    return f"SessionId {record.session_id}" if record.session_id else f"{record.action} without a SessionId"
