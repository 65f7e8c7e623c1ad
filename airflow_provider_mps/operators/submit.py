"""The operators that start a job, on one base: send once, wait, cancel, end on time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowException, TaskDeferralError, TaskDeferralTimeout

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.common.masking import MaskSecretsMixin
from airflow_provider_mps.lifecycle.finish import CompletesJobMixin
from airflow_provider_mps.lifecycle.ledger import TaskStateJobStore
from airflow_provider_mps.links.mps import MpsTaskLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mps.client.actions import SubmitAction
    from airflow_provider_mps.client.jobs.submission import Identity, Job, Submission
    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.lifecycle.cancel import Canceller
    from airflow_provider_mps.lifecycle.wait import TaskWait

DEFAULT_TIMEOUT = 3 * 86_400.0
_NEVER_SENT = "0-NotSent-0"
_STEP = 1.0


class MpsSubmitOperator(CompletesJobMixin, MaskSecretsMixin):
    """
    Base of the operators that start an MPS job. It sends the job once, across lost answers, crashes and retries.

    It returns the ``mps_task_id`` in every mode, and pushes it, with ``request_id`` and ``region``, before it waits.
    A retry by Airflow takes up the job that an earlier try sent, unless that job has failed: then it sends a new one.
    Clearing the task always sends a new one.

    :param request: the parameters of the action in Tencent's own names. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)
    :param wait_for_completion: wait until the job has ended, and fail unless it succeeded.
    :param deferrable: wait in the triggerer, without holding a worker.
    :param poll_interval: seconds between looks; while deferred the longest pause, since a young job is looked at more
        often.
    :param timeout: seconds from the first submission until the wait gives up; retries do not extend it.
    :param cancel_on_kill: abort the job when a user ends the task or ``timeout`` has passed. MPS aborts only a job
        that still waits; otherwise the log says that it runs on and is billed.
    :param allow_partial: succeed although parts failed, as long as at least one part succeeded.
    :param resubmit_if_unknown: submit again when it cannot be told whether an earlier submission arrived, or what
        became of its job; that may pay twice.
    :param outage_tolerance: seconds without any usable answer of MPS until the wait fails with "state unknown".
    :param not_found_grace: seconds from the start in which MPS may not know the job yet.
    :param settle_grace: seconds in which a job that says FINISH may still lack results.

    :raises MpsTaskFailed: a part of the job failed; the error lists every failed part.
    :raises MpsSubmitUnknown: it is not known whether MPS runs the job.
    :raises MpsSessionClash: a SessionId of your own belongs to another job.
    :raises MpsTaskTimeout: ``timeout`` has passed.
    :raises MpsConfigError: the request, an argument or the connection is wrong; nothing was sent.
    :raises MpsApiError: MPS refused the job.

    Airflow does not retry an unknown submission, a clash or a timeout; nor, as long as no job can have been sent, what
    is permanent: a bad argument or connection, a refusal for good (keys, permission, parameters, arrears).
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
        self._deferred = False
        self._ti: Any = None
        self._mps_task_id: str | None = None
        self._submission: Submission | None = None

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

    @cached_property
    def _canceller(self) -> Canceller:
        from airflow_provider_mps.lifecycle.cancel import Canceller

        return Canceller(self.hook, self.log)

    # Send.

    @fail_fast_on_permanent()
    def execute(self, context: Context) -> str:
        with self._worth_retries_once_sent(context):
            return self._run(context)

    def _run(self, context: Context) -> str:
        self._ti = context["ti"]
        action = self._checked()
        job = self._submit(context, action)
        mps_task_id = str(job.mps_task_id)
        self._mps_task_id = mps_task_id
        region = self.hook.get_conn().config.region
        for key, value in (("mps_task_id", mps_task_id), ("request_id", job.request_id), ("region", region)):
            context["ti"].xcom_push(key=key, value=value)
        MpsTaskLink.persist(context, self.hook, action=self.action_name, mps_task_id=mps_task_id)
        failed = f", after {job.generation} that failed" if job.generation else ""
        self.log.info("MPS task %s: %s%s", mps_task_id, job.how, failed)
        if not self.wait_for_completion:
            return mps_task_id
        wait = self._new_wait(mps_task_id, job.sent_at)
        wait.warn_if_timeout_exceeds_query_window()
        if self.deferrable and job.how == "submitted":
            self._defer(wait)  # it cannot have ended yet
        return self._wait(context, wait)

    def _checked(self) -> SubmitAction:
        """Everything that can fail without sending anything."""
        from airflow_provider_mps.client import actions
        from airflow_provider_mps.errors import MpsConfigError
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        for name in ("poll_interval", "timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise MpsConfigError(f"{name} is {value!r:.40}; it must be a number of seconds above 0")
        if not isinstance(self.request, dict):
            raise MpsConfigError(f"request is a {type(self.request).__name__}, not a dict of {self.action_name}")
        action: SubmitAction = getattr(actions, self.action_name)(**self.request)
        wait = self._new_wait(_NEVER_SENT)
        trigger = MpsTaskTrigger.continue_wait(wait, poll_interval=self.poll_interval)
        for what, value in (("request", action.parameters), ("trigger arguments", trigger.serialize()[1])):
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise MpsConfigError(f"The {what} of task {self.task_id} cannot be sent: {error}") from error
        return action

    def _submit(self, context: Context, action: SubmitAction) -> Job:
        from airflow_provider_mps.client.jobs.submission import Submission

        self._submission = Submission(
            self.hook.get_conn(),
            action,
            self._identity(context),
            TaskStateJobStore.of(context),
            tried_before=context["ti"].try_number > self._first_try(context),
            started=self._run_start(context),
            allow_partial=self.allow_partial,
            resubmit_if_unknown=self.resubmit_if_unknown,
        )
        if self._killed:  # while there was no submission to stop; Airflow's signal handler returns to here
            self._submission.stop()
        if self.cancel_on_kill and (before := self._submission.cleared()) and before.mps_task_id:
            self._canceller.abort_cleared(before.mps_task_id, self.describe_action)
        return self._submission.once()

    def _run_start(self, context: Context) -> float:
        started = context["dag_run"].start_date or context["dag_run"].run_after
        return started.timestamp() if started else 0.0

    def _first_try(self, context: Context) -> int:
        """The number of the first try since the task was last cleared."""
        return context["ti"].max_tries - (self.retries or 0) + 1

    def _identity(self, context: Context) -> Identity:
        from airflow_provider_mps.client.jobs.submission import Identity

        ti = context["ti"]
        # max_tries stays the same over retries and grows with each Clear.
        return Identity(
            ti.dag_id,
            ti.run_id,
            ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            epoch=ti.max_tries,
            run_start=self._run_start(context),
        )

    # Wait.

    def _new_wait(self, mps_task_id: str, sent_at: float = 0.0) -> TaskWait:
        from airflow_provider_mps.lifecycle.wait import TaskWait

        return TaskWait.of(self, mps_task_id, started=sent_at)

    def _wait(self, context: Context, wait: TaskWait) -> str:
        """Poll until the job has ended, here or in the triggerer."""
        while (ended := wait.poll()) is None:
            if wait.is_overdue:
                self._give_up(wait)
            if self.deferrable:
                self._defer(wait)
            next_poll = time.monotonic() + wait.next_poll_delay(self.poll_interval)
            while not self._killed and (pause := next_poll - time.monotonic()) > 0:
                time.sleep(min(pause, _STEP))
            if self._killed:
                raise AirflowException(f"Task {self.task_id} was killed while it waited for {wait.mps_task_id}.")
        return self._conclude(context, wait, ended)

    def _defer(self, wait: TaskWait) -> None:
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        self.defer(
            trigger=MpsTaskTrigger.continue_wait(
                wait, poll_interval=self.poll_interval, cancel_on_kill=self.cancel_on_kill
            ),
            method_name="execute_complete",
            kwargs={"mps_task_id": wait.mps_task_id, "state": wait.state.to_dict()},
            timeout=wait.deferral_timeout(self.poll_interval),
        )

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        mps_task_id: str | None = None,
        state: dict[str, Any] | None = None,
    ) -> str:
        """Poll once more, whatever the event says, and decide."""
        self._ti = context["ti"]
        self._mps_task_id = mps_task_id = mps_task_id or self._pushed_id(context)
        wait = self._new_wait(mps_task_id)
        wait.resume(event, state)
        return self._wait(context, wait)

    @fail_fast_on_permanent()
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        self._deferred = True
        with self._worth_retries_once_sent(context):
            # Both exceptions come without the arguments of the deferral: the id was pushed before it.
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                return self.execute_complete(context, {"status": "timeout"})
            except TaskDeferralError:
                wait = self._new_wait(self._pushed_id(context))
                if (ended := wait.poll()) is None:
                    raise  # the next try takes the job up again
                return self._conclude(context, wait, ended)

    @contextmanager
    def _worth_retries_once_sent(self, context: Context) -> Iterator[None]:
        """
        A wrong key is no reason to lose a job: a retry takes it up at no cost, whereas a Clear pays for another.

        So where a job may have been sent, what keeps us from asking about it is left to the retries of the task.
        """
        from airflow_provider_mps.errors import MpsApiError, MpsConfigError, MpsCredentialsError, MpsTransportError

        try:
            yield
        except (MpsApiError, MpsConfigError, MpsCredentialsError, MpsTransportError) as error:
            sent = self._submission is not None and self._submission.may_run
            if sent or self._deferred or context["ti"].try_number > self._first_try(context):
                error.permanent = False
            raise

    def _pushed_id(self, context: Context) -> str:
        from airflow_provider_mps.client.actions import check_mps_task_id

        ti = context["ti"]
        return check_mps_task_id(
            ti.xcom_pull(task_ids=ti.task_id, key="mps_task_id", map_indexes=ti.map_index, default=None)
        )

    # Cancel.

    def _give_up(self, wait: TaskWait) -> None:
        from airflow_provider_mps.errors import MpsTaskTimeout

        fate = "It was left alone (cancel_on_kill is off) and may run on."
        if self.cancel_on_kill:
            fate = self._canceller.abort(wait.mps_task_id)
        text = f"has not ended within {self.timeout:g} seconds of its submission; last seen: {wait.last_seen}. {fate}"
        raise MpsTaskTimeout(text, mps_task_id=wait.mps_task_id)

    def on_kill(self) -> None:
        """Abort the job if a user ended the task: one short attempt, on a thread, since a signal may come anywhere."""
        self._killed = True
        mps_task_id, session = self._mps_task_id, None
        if self._submission is not None:
            self._submission.stop()
            mps_task_id, session = mps_task_id or self._submission.accepted, self._submission.in_flight
        if self.cancel_on_kill and (mps_task_id or session):
            self._canceller.abort_if_user_ended(self._ti, mps_task_id, session)


class MpsProcessMediaOperator(MpsSubmitOperator):
    """
    Process one media file: transcode, snapshots, review, analysis, recognition, subtitles, dubbing.

    The job carries a SessionId made from dag, run, task, map index and the number of clears, so that MPS itself
    refuses a second one. All parameters: :class:`MpsSubmitOperator`.

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
