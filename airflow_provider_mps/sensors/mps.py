"""MpsTaskSensor: wait until an MPS task has ended in success."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseSensorOperator, conf, timezone
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.lifecycle.finish import CompletesJobMixin
from airflow_provider_mps.links.mps import MpsTaskLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.lifecycle.wait import TaskWait
    from airflow_provider_mps.results.task import TaskDetail

_STORE_KEY = "mps_task_sensor"


class MpsTaskSensor(CompletesJobMixin, BaseSensorOperator):
    """
    Wait until an MPS task has ended, and fail unless every part of it succeeded.

    MPS says FINISH for a task whose parts failed; this sensor reads the parts. It returns the ``mps_task_id``.
    ``timeout``, ``soft_fail``, ``never_fail``, ``silent_fail`` and ``retries`` mean the same in all three modes:
    ``soft_fail`` skips on a timeout only, never on a failed task, a wrong key or a crash; ``never_fail`` skips on
    all of them; ``timeout`` counts from the first poll of each try and is not retried.

    :param mps_task_id: the TaskId that MPS returned. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)
    :param describe_action: ``DescribeImageTaskDetail`` for a task of ProcessImage, whose TaskId may look like others;
        else ``DescribeTaskDetail`` or ``DescribeBatchTaskDetail``, if the TaskId does not show its kind. (templated)
    :param allow_partial: succeed although parts failed, as long as at least one part succeeded.
    :param outage_tolerance: seconds without any usable answer of MPS until the wait fails with "state unknown".
    :param not_found_grace: seconds from the start in which MPS may not know the task yet.
    :param settle_grace: seconds in which a task that says FINISH may still lack results.
    :param deferrable: wait in the triggerer, without holding a worker.
    :param start_from_trigger: begin in the triggerer as well, so that a worker starts once, at the end, and not twice.
        Needs ``deferrable``; not for mapped tasks, which Airflow cannot start in the triggerer.

    :raises MpsTaskFailed: the task ended and a part of it failed; the error lists every failed part.
    :raises MpsTaskNotFound: MPS does not know the task (any more).
    :raises MpsTaskUnsettled: the task says FINISH, but results stay missing or unfinished.
    :raises MpsStateUnknown: no usable answer for ``outage_tolerance`` seconds.
    :raises MpsApiError: MPS answered with a permanent error (wrong keys, no permission).
    :raises MpsConfigError: an argument or the connection is wrong; nothing was sent.
    :raises AirflowSensorTimeout: the task has not ended within ``timeout``.

    Sources: https://www.tencentcloud.com/document/product/1041/33644,
    https://www.tencentcloud.com/document/product/1041/70402
    """

    template_fields: Sequence[str] = ("mps_task_id", "mps_conn_id", "region", "describe_action")
    operator_extra_links = (MpsTaskLink(),)
    ui_color = "#cfe8ff"

    def __init__(
        self,
        *,
        mps_task_id: str,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        describe_action: str | None = None,
        allow_partial: bool = False,
        outage_tolerance: float = 3600.0,
        not_found_grace: float = 90.0,
        settle_grace: float = 120.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.region = region
        self.describe_action = describe_action
        self.allow_partial = allow_partial
        self.outage_tolerance = outage_tolerance
        self.not_found_grace = not_found_grace
        self.settle_grace = settle_grace
        self.deferrable = deferrable
        self.start_from_trigger = start_from_trigger
        if start_from_trigger:
            from airflow_provider_mps.sensors.start_from_trigger import start_trigger_args

            self.start_trigger_args = start_trigger_args(self)

    @fail_fast_on_permanent(MpsTaskFailed)
    def execute(self, context: Context) -> str:
        with self._one_ending_for_all_modes():
            self._check_not_mapped(context)
            action = self._checked_action()
            MpsTaskLink.persist(context, self.hook, action=action, mps_task_id=self.mps_task_id)
            return self._wait(context, self._load_wait(context))

    def _wait(self, context: Context, wait: TaskWait) -> str:
        """Poll until the task has ended: on this worker, in another process, or in the triggerer."""
        for polls in itertools.count(1):
            if (ended := self._poll(wait)) is not None:
                return self._conclude(context, wait, ended)
            if wait.is_overdue:
                raise self._timed_out(wait)
            if self.deferrable and not wait.must_poll_again:
                self._defer(wait)
            delay = self._pause(wait, polls)
            if self.reschedule:  # the next poll runs in a new process, which has only the stored state
                stored: dict[str, Any] = {"try": context["ti"].try_number, "state": wait.state.to_dict()}
                context["task_state_store"].set(_STORE_KEY, stored)
                next_poll = timezone.utcnow() + timedelta(seconds=delay)
                raise AirflowRescheduleException(next_poll)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
            time.sleep(delay)
        raise AssertionError("unreachable")

    def _poll(self, wait: TaskWait) -> TaskDetail | None:
        try:
            return wait.poll()
        except Exception:  # silent_fail means this, as in Airflow's own sensors
            if not self.silent_fail:
                raise
            self.log.exception("MPS task %s: the poll failed; going on because of silent_fail.", self.mps_task_id)
            return None

    def _load_wait(self, context: Context) -> TaskWait:
        wait = self._new_wait()
        if self.reschedule and not self.deferrable:
            stored: Any = context["task_state_store"].get(_STORE_KEY)
            if stored and stored["try"] == context["ti"].try_number:
                wait.state = wait.state.merge_stored(stored["state"])
                return wait
            if first_poll := context["ti"].get_first_reschedule_date(context):  # the stored state is lost
                wait.state.started = first_poll.timestamp()
                return wait
        if self.timeout != conf.getfloat("sensors", "default_timeout"):  # the default: the user did not choose it
            wait.warn_if_timeout_exceeds_query_window()
        return wait

    def _pause(self, wait: TaskWait, polls: int) -> float:
        """Return the seconds until the next poll of a worker, by Airflow's own options."""
        waited = wait.clock.now() - wait.state.began
        seconds: float = self._get_next_poke_interval(wait.state.began, lambda: waited, polls)
        if not self.exponential_backoff:
            return seconds
        # Airflow's first pause is half of poke_interval and up to as much again. Doubled, none is below poke_interval.
        longest = self.max_wait.total_seconds() if self.max_wait else math.inf
        seconds = max(min(2 * seconds, longest, self.timeout - waited), 0.0)
        self.log.info("MPS task %s: next poll in %.0f seconds", self.mps_task_id, seconds)
        return seconds

    # Deferrable: the trigger says when to poll.

    def _defer(self, wait: TaskWait) -> None:
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        self.defer(
            trigger=MpsTaskTrigger.continue_wait(wait, poll_interval=self.poke_interval),
            method_name="execute_complete",
            kwargs={"state": wait.state.to_dict()},
            timeout=wait.deferral_timeout(self.poke_interval),
        )

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, state: dict[str, Any] | None = None
    ) -> str:
        """Poll once more, for any event, and decide."""
        wait = self._new_wait()
        if state is None:  # the wait began in the triggerer, or Airflow ended the deferral and lost the state
            MpsTaskLink.persist(context, self.hook, action=self._checked_action(), mps_task_id=self.mps_task_id)
        wait.resume(event, state)
        return self._wait(context, wait)

    @fail_fast_on_permanent(MpsTaskFailed)
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        # With soft_fail BaseSensorOperator would skip on every AirflowException, but not on our errors.
        with self._one_ending_for_all_modes():
            try:
                return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                return self.execute_complete(context, {"status": "timeout"})

    # What all modes share.

    @cached_property
    def hook(self) -> MpsHook:
        from airflow_provider_mps.hooks.mps import MpsHook

        return MpsHook(self.mps_conn_id, region=self.region)

    def _checked_action(self) -> str:
        """Return the action that polls the task. A wrong argument raises before anything is sent."""
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.errors import MpsConfigError

        action = describe(self.mps_task_id, self.describe_action)
        if not 0 < self.poke_interval < math.inf:
            raise MpsConfigError(f"poke_interval is {self.poke_interval!r}; it must be more than 0 seconds")
        return action.name

    def _check_not_mapped(self, context: Context) -> None:
        from airflow_provider_mps.errors import MpsConfigError

        if self.start_from_trigger and context["ti"].map_index not in {None, -1}:
            raise MpsConfigError(
                "start_from_trigger=True does nothing for mapped tasks: Airflow starts each on a worker. Leave it out."
            )

    def _new_wait(self) -> TaskWait:
        from airflow_provider_mps.lifecycle.wait import TaskWait

        return TaskWait.of(self, self.mps_task_id)

    def _timed_out(self, wait: TaskWait) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(
            f"MPS task {self.mps_task_id} has not ended within {self.timeout:g} seconds; last seen: "
            f"{wait.last_seen}. The MPS task keeps running; increase `timeout` to wait longer."
        )

    @contextmanager
    def _one_ending_for_all_modes(self) -> Iterator[None]:
        """Apply one rule for soft_fail and never_fail: Airflow treats them differently at a poke and at a resume."""
        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        except Exception as error:  # never_fail means every error
            if self.never_fail:
                raise AirflowSkipException(f"{type(error).__name__}: {error}") from error
            raise
