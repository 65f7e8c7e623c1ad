"""The operators that start a job, on one base: submit once, wait, abort, end on time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowException, TaskDeferralError, TaskDeferralTimeout

from airflow_provider_mps.common.arguments import check_seconds
from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.common.masking import MaskSecretsMixin
from airflow_provider_mps.lifecycle.finish import CompletesJobMixin
from airflow_provider_mps.links.mps import MpsTaskLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mps.client.actions import SubmitAction
    from airflow_provider_mps.client.jobs.record import Ending, JobRecord
    from airflow_provider_mps.client.jobs.submission import Submission
    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.lifecycle.ledger import TaskStateJobStore
    from airflow_provider_mps.lifecycle.wait import TaskWait
    from airflow_provider_mps.results.task import TaskDetail

DEFAULT_TIMEOUT = 3 * 86_400.0  # seconds
_NEVER_SENT = "0-NotSent-0"
_STEP = 1.0  # seconds


class MpsSubmitOperator(CompletesJobMixin, MaskSecretsMixin):
    """
    Base of the operators that start an MPS job. It submits the job once, across lost answers, crashes and retries.

    It returns the ``mps_task_id`` in every mode, and pushes it, with ``request_id`` and ``region``, before it waits.
    A retry takes up the job that an earlier try submitted, unless that job has failed or was aborted: then it submits
    a new one. A Clear always submits a new one. One task instance submits one job: a second submission in the same try
    is an error, and nothing is sent.

    :param request: the parameters of the action in Tencent's own names. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)
    :param wait_for_completion: wait until the job has ended, and fail unless it succeeded.
    :param deferrable: wait in the triggerer, without holding a worker.
    :param poll_interval: longest pause between polls, in seconds; a young job is polled more often.
    :param timeout: seconds from the first submission until the wait gives up; retries do not extend it.
    :param cancel_on_kill: abort the job when a user ends the task or ``timeout`` has passed. MPS aborts only a job
        that still waits; otherwise the log says that it runs on and is billed.
    :param allow_partial: succeed although parts failed, as long as at least one part succeeded.
    :param resubmit_if_unknown: submit again when it is not known whether an earlier submission arrived, or what
        became of its job; that may pay twice.
    :param outage_tolerance: seconds without any usable answer of MPS until the wait fails with "state unknown".
    :param not_found_grace: seconds from the start in which MPS may not know the job yet.
    :param settle_grace: seconds in which a job that says FINISH may still lack results.

    :raises MpsTaskFailed: a part of the job failed; the error lists every failed part.
    :raises MpsSubmitUnknown: it is not known whether MPS runs the job.
    :raises MpsSessionClash: a SessionId of your own belongs to another job.
    :raises MpsTaskTimeout: ``timeout`` has passed.
    :raises MpsConfigError: the request, an argument or the connection is wrong; nothing was sent.
    :raises MpsApiError: MPS answered the submission or a poll with an error.

    Airflow does not retry an unknown submission, a clash or a timeout. As long as no job can have been sent, it does
    not retry permanent errors either: a bad argument or connection, rejected keys, missing permission, arrears.
    """

    template_fields: Sequence[str] = ("request", "mps_conn_id", "region")
    template_fields_renderers: ClassVar[dict[str, str]] = {"request": "json"}
    masked_field = "request"
    operator_extra_links = (MpsTaskLink(),)
    ui_color = "#cfe8ff"
    action_name: ClassVar[str]

    def __init__(
        self,
        *,
        request: dict[str, Any],
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30.0,
        timeout: float = DEFAULT_TIMEOUT,
        cancel_on_kill: bool = True,
        allow_partial: bool = False,
        resubmit_if_unknown: bool = False,
        outage_tolerance: float = 3600.0,
        not_found_grace: float = 90.0,
        settle_grace: float = 120.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.mps_conn_id = mps_conn_id
        self.region = region
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.allow_partial = allow_partial
        self.resubmit_if_unknown = resubmit_if_unknown
        self.outage_tolerance = outage_tolerance
        self.not_found_grace = not_found_grace
        self.settle_grace = settle_grace
        self._killed = False
        self._ti: Any = None
        self._store: TaskStateJobStore | None = None
        self._submission: Submission | None = None
        self._record: JobRecord | None = None

    @property
    def describe_action(self) -> str | None:
        """What tells the state of its jobs; None where their TaskIds say so."""
        from airflow_provider_mps.client import actions

        action: type[SubmitAction] = getattr(actions, self.action_name)
        return action.describe_action

    @cached_property
    def hook(self) -> MpsHook:
        from airflow_provider_mps.hooks.mps import MpsHook

        return MpsHook(self.mps_conn_id, region=self.region)

    # Submit.

    def execute(self, context: Context) -> str:
        with fail_fast_on_permanent(job_sent=lambda: self._job_sent(context)):
            action = self._checked()
            record = self._submit(context, action)
            if self._killed:  # the request may have left after on_kill looked for the job
                self.on_kill()
                raise AirflowException(f"Task {self.task_id} was killed while it submitted {record.mps_task_id}.")
            self._publish_job(context, record)
            mps_task_id = str(record.mps_task_id)
            if not self.wait_for_completion:
                return mps_task_id
            wait = self._new_wait(mps_task_id, record.sent_at)
            wait.warn_if_timeout_exceeds_query_window()
            if self.deferrable and self._submission is not None and self._submission.is_new:
                self._defer(wait)  # it cannot have ended yet
            return self._wait(context, wait)

    def _checked(self) -> SubmitAction:
        """Everything that can be wrong is found before anything is sent."""
        from airflow_provider_mps.client import actions
        from airflow_provider_mps.errors import MpsConfigError
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        for name in ("poll_interval", "timeout"):
            check_seconds(name, getattr(self, name))
        for name in ("outage_tolerance", "not_found_grace", "settle_grace"):
            check_seconds(name, getattr(self, name), zero_is_allowed=True)
        if not isinstance(self.request, dict):
            raise MpsConfigError(f"request is a {type(self.request).__name__}, not a dict of {self.action_name}")
        action: SubmitAction = getattr(actions, self.action_name)(**self.request)
        trigger = MpsTaskTrigger.continue_wait(self._new_wait(_NEVER_SENT), poll_interval=self.poll_interval)
        for what, value in (("request", action.parameters), ("trigger arguments", trigger.serialize()[1])):
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise MpsConfigError(f"The {what} of task {self.task_id} cannot be sent: {error}") from error
        return action

    def _submit(self, context: Context, action: SubmitAction) -> JobRecord:
        from airflow_provider_mps.client.jobs.intent import Intent
        from airflow_provider_mps.client.jobs.submission import Submission
        from airflow_provider_mps.lifecycle import ledger

        self._ti = context["ti"]
        self._store = ledger.TaskStateJobStore.of(context, timeout=self.timeout)
        attempt = ledger.attempt_of(context, retries=self.retries or 0)
        intent = Intent(
            action,
            attempt,
            ledger.marker_for(context, attempt),
            ledger.run_began(context),
            allow_partial=self.allow_partial,
            abort_cleared=self.cancel_on_kill,
            resubmit_if_unknown=self.resubmit_if_unknown,
            not_found_grace=self.not_found_grace,
        )
        self._submission = Submission(self.hook.get_conn(), intent, self._store)
        if self._killed:  # while there was no submission to stop; Airflow's signal handler returns to here
            self._submission.stop()
        self._record = self._submission.ensure_submitted()
        return self._record

    def _publish_job(self, context: Context, record: JobRecord) -> None:
        """Make the TaskId known to other tasks, the link and the log, before the wait begins."""
        region = self.hook.get_conn().config.region
        for key, value in (
            ("mps_task_id", record.mps_task_id),
            ("request_id", record.request_id),
            ("region", region),
        ):
            context["ti"].xcom_push(key=key, value=value)
        MpsTaskLink.persist(context, self.hook, action=self.action_name, mps_task_id=str(record.mps_task_id))
        how = self._submission.how if self._submission else ""
        count = f" (job {record.number} of this task)" if record.number > 1 else ""
        self.log.info("MPS task %s: %s%s", record.mps_task_id, how, count)

    def _job_sent(self, context: Context) -> bool:
        """Whether a job of this task may run: then a retry, which takes it up, is cheaper than a Clear."""
        sent = self._submission is not None and self._submission.job_sent
        return sent or (self._submission is None and context["ti"].try_number > 1)

    # Wait.

    def _new_wait(self, mps_task_id: str, sent_at: float | None = None) -> TaskWait:
        from airflow_provider_mps.lifecycle.wait import TaskWait

        return TaskWait.of(self, mps_task_id, started=sent_at or 0.0)

    def _wait(self, context: Context, wait: TaskWait) -> str:
        """Poll until the job has ended, here or in the triggerer."""
        while (ended := wait.poll()) is None:
            if wait.is_overdue:
                self._give_up(wait)
            if self.deferrable and not wait.must_poll_again:
                self._defer(wait)
            next_poll = time.monotonic() + wait.next_poll_delay(self.poll_interval)
            while not self._killed and (pause := next_poll - time.monotonic()) > 0:
                time.sleep(min(pause, _STEP))
            if self._killed:
                raise AirflowException(f"Task {self.task_id} was killed while it waited for {wait.mps_task_id}.")
        return self._finish(context, wait, ended)

    def _defer(self, wait: TaskWait) -> None:
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        self.defer(
            trigger=MpsTaskTrigger.continue_wait(
                wait, poll_interval=self.poll_interval, cancel_on_kill=self.cancel_on_kill
            ),
            method_name="execute_complete",
            kwargs={"record": self._record.to_dict() if self._record else None, "state": wait.state.to_dict()},
            timeout=wait.deferral_timeout(self.poll_interval),
        )

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        record: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
    ) -> str:
        """Poll once more, whatever the event says, and decide."""
        job = self._resume(context, record)
        wait = self._new_wait(str(job.mps_task_id), job.sent_at)
        wait.resume(event, state)
        return self._wait(context, wait)

    def _resume(self, context: Context, record: dict[str, Any] | None) -> JobRecord:
        """The record of the job that is waited for; a trigger that failed or timed out has lost it."""
        from airflow_provider_mps.client.jobs.record import JobRecord
        from airflow_provider_mps.errors import MpsConfigError
        from airflow_provider_mps.lifecycle.ledger import TaskStateJobStore, attempt_of

        self._ti = context["ti"]
        self._store = TaskStateJobStore.of(context, timeout=self.timeout)
        job = JobRecord.from_dict(record) if record else self._store.load()
        if job is None or job.mps_task_id is None:
            raise MpsConfigError(f"Task {self.task_id} has no record of its job. Clear it to submit a new one.")
        attempt = attempt_of(context, retries=self.retries or 0)
        if job.attempt != attempt:  # another task of the run was cleared meanwhile, this one was not: it goes on
            job = job.in_attempt(attempt)
            self._store.save(job)
        self._record = job
        return job

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        with fail_fast_on_permanent(job_sent=lambda: True):
            # Both exceptions come without the arguments of the deferral.
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                return self.execute_complete(context, {"status": "timeout"})
            except TaskDeferralError:
                wait = self._new_wait(str(self._resume(context, None).mps_task_id))
                if (ended := wait.poll()) is None:
                    raise  # the next try takes the job up again
                return self._finish(context, wait, ended)

    # End.

    def _finish(self, context: Context, wait: TaskWait, detail: TaskDetail) -> str:
        """Record how the job has ended, before Airflow learns of it."""
        from airflow_provider_mps.client.jobs.record import Ending
        from airflow_provider_mps.errors import MpsTaskFailed, MpsTaskUnsettled

        try:
            mps_task_id = self._conclude(context, wait, detail)
        except MpsTaskFailed:
            self._record_end(Ending.FAILED)
            raise
        except MpsTaskUnsettled:
            self._record_end(Ending.ABORTED)
            raise
        self._record_end(Ending.SUCCESS)
        return mps_task_id

    def _record_end(self, ending: Ending) -> None:
        from airflow_provider_mps.client.jobs.record import JobState

        if self._store is not None and self._record is not None and self._record.state is not JobState.ENDED:
            self._record = self._record.ended(ending)
            self._store.save(self._record)

    def _give_up(self, wait: TaskWait) -> None:
        from airflow_provider_mps.client.jobs.abort import abort_job
        from airflow_provider_mps.client.jobs.record import Ending
        from airflow_provider_mps.errors import MpsTaskTimeout
        from airflow_provider_mps.lifecycle.cancel import log_result

        fate = "It was left alone (cancel_on_kill is off) and may run on."
        if self.cancel_on_kill:
            result = abort_job(self.hook.get_conn(), wait.mps_task_id)
            fate = log_result(self.log, result)
            if result.aborted:
                self._record_end(Ending.ABORTED)
        text = f"has not ended within {self.timeout:g} seconds of its submission; last seen: {wait.last_seen}. {fate}"
        raise MpsTaskTimeout(text, mps_task_id=wait.mps_task_id)

    def on_kill(self) -> None:
        """Abort the job if a user ended the task: one short attempt, on a thread, since a signal may come anywhere."""
        self._killed = True
        record = self._record
        if self._submission is not None:
            self._submission.stop()
            record = record or self._submission.record
        if self.cancel_on_kill and record is not None and self._store is not None:
            from airflow_provider_mps.lifecycle.cancel import abort_if_killed_by_user

            abort_if_killed_by_user(self._ti, record, hook=self.hook, log=self.log, save=self._store.save)


class MpsProcessMediaOperator(MpsSubmitOperator):
    """
    Process one media file: transcode, snapshots, review, analysis, recognition, subtitles, dubbing.

    The job carries a random SessionId, stored before it is sent, so that MPS itself rejects a repeat. All parameters:
    :class:`MpsSubmitOperator`.

    Source: https://www.tencentcloud.com/document/product/1041/33640
    """

    action_name = "ProcessMedia"


class MpsEditMediaOperator(MpsSubmitOperator):
    """
    Cut, join or compose media files. The job carries a SessionId, as in :class:`MpsProcessMediaOperator`.

    Source: https://www.tencentcloud.com/document/product/1041/33493
    """

    action_name = "EditMedia"


class MpsBatchProcessMediaOperator(MpsSubmitOperator):
    """
    Write subtitles for several files in one job.

    BatchProcessMedia has no SessionId: MPS takes a repeated request for a new job. When it is not known whether one
    arrived, nothing is sent again and the task fails without a retry (see ``resubmit_if_unknown``).

    Source: https://www.tencentcloud.com/document/product/1041/70403
    """

    action_name = "BatchProcessMedia"


class MpsProcessImageOperator(MpsSubmitOperator):
    """
    Process one picture: convert, enhance, erase, compress, describe, generate.

    ProcessImage has neither SessionId nor SessionContext: MPS takes a repeated request for a new job, and no answer
    tells whose a job is. When it is not known whether a request arrived, nothing is sent again and the task fails
    without a retry (see ``resubmit_if_unknown``). Its TaskIds may look like those of ProcessMedia, so a sensor or
    result operator that takes one needs ``describe_action="DescribeImageTaskDetail"``.

    Source: https://www.tencentcloud.com/document/product/1041/66929
    """

    action_name = "ProcessImage"


class MpsProcessLiveStreamOperator(MpsSubmitOperator):
    """
    Process a live stream: review, recognition, analysis, quality control, subtitles, or an orchestration that records.

    The job carries a SessionId, as in :class:`MpsProcessMediaOperator`. It runs until the stream ends, and what it
    finds out comes by notification only (``TaskNotifyConfig``): MPS answers a question about it with its state and,
    for an orchestration (``ScheduleId``), its records. A wait ends with the stream; ``wait_for_completion=False`` goes
    on at once. Unlike other jobs it can be aborted while it runs: ``cancel_on_kill`` and
    :class:`MpsAbortTaskOperator` end it, and so does ``timeout``, which fails the task as well.

    Source: https://www.tencentcloud.com/document/product/1041/33641
    """

    action_name = "ProcessLiveStream"
