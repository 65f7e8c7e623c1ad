"""MpsTaskTrigger: resume the task when there is something to see. It polls; the worker decides."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mps.client.polling.settings import PollerSettings

if TYPE_CHECKING:
    from airflow_provider_mps.client.actions import Action
    from airflow_provider_mps.client.clock import MpsClock
    from airflow_provider_mps.client.config import ClientConfig
    from airflow_provider_mps.client.polling.metrics import Metrics
    from airflow_provider_mps.client.polling.poller import Poller
    from airflow_provider_mps.client.polling.queue import PollResult
    from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState
    from airflow_provider_mps.lifecycle.wait import TaskWait
    from airflow_provider_mps.results.task import TaskDetail, TaskState

# Bytes of JSON; the whole event stays below 4 kB.
_MAX_MESSAGE = 2000
_MAX_TASK_ID = 500
_DEADLINE = "timeout", "the deadline has come"


class MpsTaskTrigger(BaseTrigger):
    """
    Poll an MPS task until it ends, cannot be waited for any longer, or the deadline has come.

    All triggers of a triggerer share one poller and one rate limiter for an account
    (:mod:`airflow_provider_mps.client.polling.poller`).

    The event carries no verdict, only what the wait has seen so far (``state``) and why it was sent (``status``):

    =================== ==================================================================
    ``resume``          the task has ended, or a list names it as ended
    ``timeout``         the deadline has come
    ``error``           the connection cannot be read, or an argument makes no sense
    ``permanent_error`` MPS rejects the triggerer's requests
    ``failure``         anything else: no usable answer for too long, an unexpected exception
    =================== ==================================================================

    All arguments are plain JSON without secrets: Airflow stores them in clear text.

    :param mps_task_id: the task.
    :param mps_conn_id: connection of type ``tencentcloud_mps``.
    :param region: overrides the region of the connection.
    :param describe_action: the action to poll with; None lets the TaskId decide.
    :param poll_interval: seconds between polls, give or take a tenth. A young task is polled more often; with many
        waits, while lists show what has ended, up to six times less often.
    :param policy: the limits of the wait, as :meth:`WaitPolicy.to_dict` gives them.
    :param state: what the wait has seen, as :meth:`WaitState.to_dict` gives it.
    :param cancel_on_kill: abort the MPS task, if it still waits, when a user ends the Airflow task.
    :cvar settings: tuning of the poller; that of the first trigger of an event loop counts.
    """

    settings: ClassVar[PollerSettings] = PollerSettings()

    def __init__(
        self,
        *,
        mps_task_id: str,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        describe_action: str | None = None,
        poll_interval: float = 30.0,
        policy: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.region = region
        self.describe_action = describe_action
        self.poll_interval = poll_interval
        self.policy = policy
        self.state = state
        self.cancel_on_kill = cancel_on_kill
        self._fired = False

    @classmethod
    def continue_wait(cls, wait: TaskWait, *, poll_interval: float, cancel_on_kill: bool = False) -> MpsTaskTrigger:
        """
        The trigger that goes on with the wait of a worker.

        :raises MpsError: the last trigger has proved that the triggerer cannot.
        """
        if wait.trigger_error is not None:
            raise wait.trigger_error
        return cls(
            mps_task_id=wait.mps_task_id,
            mps_conn_id=wait.hook.mps_conn_id,
            region=wait.hook.region,
            describe_action=wait.describe_action,
            poll_interval=poll_interval,
            policy=wait.policy.to_dict(),
            state=wait.state.to_dict(),
            cancel_on_kill=cancel_on_kill,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_mps.triggers.mps.MpsTaskTrigger",
            {
                "mps_task_id": self.mps_task_id,
                "mps_conn_id": self.mps_conn_id,
                "region": self.region,
                "describe_action": self.describe_action,
                "poll_interval": self.poll_interval,
                "policy": self.policy,
                "state": self.state,
                "cancel_on_kill": self.cancel_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        loop_time = asyncio.get_running_loop().time
        earliest = loop_time() + self.settings.earliest_event
        try:
            # The first trigger of a process loads aiohttp and the models, for longer than the loop may be held.
            await asyncio.to_thread(importlib.import_module, "airflow_provider_mps.client.polling.poller")
            payload = await self._payload()
            await asyncio.sleep(earliest - loop_time())
        except asyncio.CancelledError as cancelled:
            if self._is_user_action(cancelled):
                with contextlib.suppress(Exception):  # any other exception would fail the task instead of moving it
                    await self.on_kill()
            raise
        self._fired = True
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped

    async def on_kill(self) -> None:
        """
        Abort the MPS task if a user ended the Airflow task.

        Airflow also calls this on failover (https://github.com/apache/airflow/issues/73454), so it is asked first
        whether a user ended the task.
        """
        if not self.cancel_on_kill or self._fired:
            return
        self._fired = True
        from airflow_provider_mps.lifecycle.cancel import abort_if_user_ended

        work = asyncio.create_task(
            abort_if_user_ended(self.task_instance, self.mps_task_id, config=self._config, log=self.log)
        )
        while not work.done():
            # Airflow repeats its cancellation every second, until the trigger has ended: that must not stop the Abort.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({work})
        if not work.cancelled():
            work.result()

    def _is_user_action(self, cancelled: asyncio.CancelledError) -> bool:
        """
        Whether Airflow cancelled the trigger because a user acted on the task.

        Airflow then cancels with a message and calls on_kill afterwards. A busy triggerer cancels once more before
        that call, which is then lost. A deferral that has timed out is cancelled with the same message.
        """
        timeout_after: datetime | None = getattr(self, "timeout_after", None)
        timed_out = timeout_after is not None and timeout_after.timestamp() <= time.time()
        return bool(cancelled.args) and not timed_out

    async def _payload(self) -> dict[str, Any]:
        """Wait; what to tell the worker, whatever happens here."""
        from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState
        from airflow_provider_mps.errors import MpsError

        state = WaitState.from_dict(self.mps_task_id, self.state)
        state.failing_since = None  # nobody polled while the task was handed over: an outage is counted from here
        try:
            status, message = await self._wait(WaitPolicy.from_dict(self.policy), state)
        except MpsError as error:
            status, message = "error", _described(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose the wait: the worker polls and decides
            status, message = "failure", repr(error)
            self._write_log("exception", "MPS task %s: its trigger failed; a worker polls it.", self.mps_task_id)
        if status in {"permanent_error", "failure"}:
            state.trigger_failures += 1
        mps_task_id = _shortened(str(self.mps_task_id), _MAX_TASK_ID)  # a template may have brought anything
        return {
            "status": status,
            "mps_task_id": mps_task_id,
            "message": _shortened(message, _MAX_MESSAGE),
            "state": {**state.to_dict(), "mps_task_id": mps_task_id},
        }

    async def _wait(self, policy: WaitPolicy, state: WaitState) -> tuple[str, str]:
        """Status and message of the event."""
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.polling.poller import shared_poller
        from airflow_provider_mps.triggers.metrics import AirflowMetrics

        action = describe(self.mps_task_id, self.describe_action)
        config = await self._connection(policy, state)
        if config is None:
            return _DEADLINE
        metrics = AirflowMetrics(config.account_key)
        async with shared_poller(config, metrics, self.settings) as poller:
            return await self._poll_until_event(poller, action, policy, state, metrics)

    async def _poll_until_event(
        self, poller: Poller, action: Action[TaskDetail], policy: WaitPolicy, state: WaitState, metrics: Metrics
    ) -> tuple[str, str]:
        from airflow_provider_mps.client.clock import clock_for
        from airflow_provider_mps.client.polling.progress import Progress
        from airflow_provider_mps.client.polling.wait import evaluate
        from airflow_provider_mps.client.retry import is_final
        from airflow_provider_mps.errors import MpsError

        clock, loop_time = clock_for(poller.config.endpoint), asyncio.get_running_loop().time
        progress = Progress(self.log, self.mps_task_id)
        # Spread, so that waits that began together do not stay together.
        delay = self.settings.earliest_event + random.uniform(0, self._delay(clock, state))
        may_judge = clock.is_known  # the deadline is in MPS's time
        while True:
            left = state.seconds_left(policy, clock.now())
            if left is not None and not may_judge:  # this machine's clock may be wrong: poll when it says so
                delay, left = min(delay, max(left, 0.0)), None
            due = loop_time() + delay
            poll = poller.poll(action, due=due, created=state.created, accepts_hints=state.accepts_hints)
            if (result := await _within(poll, left)) is None:
                return _DEADLINE
            outcome, may_judge = result.outcome, True
            if outcome is None:
                state.ignores_lists = True
                progress.report_hint()
                return "resume", "DescribeTasks lists it as finished"
            progress.report(outcome, delay=result.delay)
            if not isinstance(outcome, MpsError):
                state.trigger_failures = 0
                self._measure(outcome, state, clock, metrics, action.name)
            try:
                ended = evaluate(policy, state, outcome, clock.now(), is_mps_time=clock.is_known)
            except MpsError as error:  # of the triggerer alone, perhaps: the worker polls with its own connection
                return ("permanent_error" if is_final(error) else "failure"), _described(error)
            if ended is not None:
                return "resume", ended.summary
            delay = self._delay(clock, state)

    def _delay(self, clock: MpsClock, state: WaitState) -> float:
        """Seconds to the next poll."""
        from airflow_provider_mps.client.polling.wait import next_poll_delay

        age = clock.now() - state.began if state.began else 0.0
        return next_poll_delay(age, self.poll_interval, self.settings)

    def _measure(self, polled: TaskState, state: WaitState, clock: MpsClock, metrics: Metrics, action: str) -> None:
        """How late this poll notices the end; of a task that ended while it was waited for, once."""
        if polled.is_finished and polled.finish_time and state.unsettled_since is None:
            ended_at = polled.finish_time.timestamp()
            if 0 < state.started <= ended_at:
                metrics.timing("detection_delay", clock.now() - ended_at, action)

    async def _connection(self, policy: WaitPolicy, state: WaitState) -> ClientConfig | None:
        """
        What the connection says, read again while Airflow does not give it; None if the deadline comes before.

        Airflow says that a connection does not exist also when it could not look; only the worker's read is certain.
        """
        from airflow_provider_mps.client.retry import Limits, Purpose, decide
        from airflow_provider_mps.errors import MpsConfigError, MpsError
        from airflow_provider_mps.triggers.connection import load_config

        loop_time = asyncio.get_running_loop().time
        limits = Limits(seconds=policy.outage_tolerance, first_delay=1.0, max_delay=self.poll_interval)
        began, attempt = loop_time(), 0
        while True:
            attempt += 1
            try:
                return await load_config(self.mps_conn_id, self.region)
            except MpsError:
                raise
            except Exception as error:
                elapsed = loop_time() - began
                decision = decide(error, Purpose.CONNECTION, attempt=attempt, elapsed=elapsed, limits=limits)
                if not decision.retries:
                    raise MpsConfigError(f"its connection cannot be read: {type(error).__name__}: {error}") from error
                self._write_log(
                    "warning", "MPS task %s: the triggerer cannot read its connection: %s", self.mps_task_id, error
                )
            # Without a connection nobody tells MPS's time, and this machine's must do; the worker checks the deadline.
            left = state.seconds_left(policy, time.time())
            if left is not None and left <= 0:
                return None
            await asyncio.sleep(decision.delay if left is None else min(decision.delay, left))

    async def _config(self) -> ClientConfig:
        from airflow_provider_mps.triggers.connection import load_config

        return await load_config(self.mps_conn_id, self.region)

    def _write_log(self, level: str, text: str, *values: object) -> None:
        """A log handler that fails must not lose the event."""
        with contextlib.suppress(Exception):
            getattr(self.log, level)(text, *values)


async def _within(poll: Awaitable[PollResult], seconds: float | None) -> PollResult | None:
    """The result of a poll; None if it does not come within ``seconds``."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await poll
    except TimeoutError:
        if limit.expired():
            return None
        raise


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shortened(text: str, most: int) -> str:
    """The beginning of a text that takes no more bytes as JSON, where one letter may take twelve."""
    text = text[:most]
    while len(json.dumps(text)) > most:
        text = text[: len(text) * 3 // 4]
    return text
