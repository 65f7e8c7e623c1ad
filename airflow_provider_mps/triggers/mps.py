"""MpsTaskTrigger: wake the task when there is something to see. It reads; the worker decides."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_mps.client.actions import Action
    from airflow_provider_mps.client.config import ClientConfig
    from airflow_provider_mps.client.polling.metrics import Metrics
    from airflow_provider_mps.client.polling.poller import Poller
    from airflow_provider_mps.client.polling.wait import Patience
    from airflow_provider_mps.results.task import TaskDetail

_CONNECTION_ATTEMPTS = 4
# Bytes of JSON; the whole event stays below 4 kB.
_LONGEST_MESSAGE = 2000
_LONGEST_ID = 500


class MpsTaskTrigger(BaseTrigger):
    """
    Look at an MPS task until it ends, cannot be waited for any longer, or the deadline has come.

    All triggers of a triggerer share one poller and one rate limiter for an account
    (:mod:`airflow_provider_mps.client.polling.poller`).

    The event says whether there is something to look at (``look``), the deadline has come (``timeout``), the triggerer
    cannot ask (``error``), is refused for good (``refused``) or gives up for any other reason (``fault``). It carries
    no verdict, only what the wait has seen so far and what time it is here (``clock``). All arguments are plain JSON
    without secrets: Airflow stores them in clear text.

    :param mps_task_id: the task.
    :param mps_conn_id: connection of type ``tencentcloud_mps``.
    :param region: overrides the region of the connection.
    :param describe_action: the action to ask with; None lets the TaskId decide.
    :param poll_interval: seconds between looks, give or take a tenth. A young task is looked at more often; in a crowd,
        while lists name what has ended, up to four times less often.
    :param deadline: Unix seconds at which to stop; None waits for ever.
    :param timeout_margin: without a ``deadline``, stop so many seconds before the timeout that Airflow set for the
        trigger: for a wait that begins in the triggerer, whose start nobody else knows.
    :param patience: what the wait puts up with, as :meth:`Patience.as_dict` gives it.
    :param cancel_on_kill: abort the MPS task, if it still waits, when a user ends the Airflow task.
    """

    # A trigger that fires while its worker is still winding up gets its task failed by the scheduler.
    earliest_event: ClassVar[float] = 5.0
    # Whatever an author asks for, no task is looked at more often than this.
    shortest_interval: ClassVar[float] = 1.0

    def __init__(
        self,
        *,
        mps_task_id: str,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        describe_action: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        timeout_margin: float | None = None,
        patience: dict[str, Any] | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.region = region
        self.describe_action = describe_action
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout_margin = timeout_margin
        self.patience = patience
        self.cancel_on_kill = cancel_on_kill
        self._fired = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "airflow_provider_mps.triggers.mps.MpsTaskTrigger",
            {
                "mps_task_id": self.mps_task_id,
                "mps_conn_id": self.mps_conn_id,
                "region": self.region,
                "describe_action": self.describe_action,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "timeout_margin": self.timeout_margin,
                "patience": self.patience,
                "cancel_on_kill": self.cancel_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            # The first trigger of a process loads aiohttp and the models, for longer than the loop may be held.
            await asyncio.to_thread(importlib.import_module, "airflow_provider_mps.client.polling.poller")
            payload = await self._payload()
            await asyncio.sleep(started + self.earliest_event - clock())
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
        from airflow_provider_mps.triggers.killing import abort_if_user_ended

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
        from airflow_provider_mps.errors import MpsError

        self._take_deadline_from_airflow()
        patience: Patience | None = None
        try:
            patience = self._resumed_patience()
            status, message = await self._wait(patience)
        except MpsError as error:
            status, message = "error", _named(error)
        except Exception as error:  # a fault of ours must not lose the wait: the worker looks, and decides
            self.log.exception("MPS task %s: the triggerer cannot look at it.", self.mps_task_id)
            status, message = "fault", repr(error)
        mps_task_id = _shortened(str(self.mps_task_id), _LONGEST_ID)  # a template may have brought anything
        memory = {**(patience.as_dict() if patience else self._memory), "mps_task_id": mps_task_id}
        if status in {"refused", "fault"}:
            memory["faults"] = (patience.faults if patience else 0) + 1
        return {
            "status": status,
            "mps_task_id": mps_task_id,
            "message": _shortened(message, _LONGEST_MESSAGE),
            "deadline": self.deadline,
            "clock": time.time(),
            "patience": memory,
        }

    def _take_deadline_from_airflow(self) -> None:
        timeout_after: datetime | None = getattr(self, "timeout_after", None)  # Airflow sets it in the triggerer
        if self.deadline is None and self.timeout_margin is not None and timeout_after is not None:
            self.deadline = timeout_after.timestamp() - self.timeout_margin

    def _resumed_patience(self) -> Patience:
        from airflow_provider_mps.client.polling.wait import Patience

        stored = {**self._memory, "mps_task_id": self.mps_task_id}
        # Nobody asked while the task was handed over: an outage is counted from here.
        return Patience.of({**stored, "started": time.time()}).resumed({**stored, "failing_since": None})

    @property
    def _memory(self) -> dict[str, Any]:
        """What was stored of the wait; nothing, where something else stands there."""
        return self.patience if isinstance(self.patience, dict) else {}

    async def _wait(self, patience: Patience) -> tuple[str, str]:
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.polling.poller import shared_poller
        from airflow_provider_mps.triggers.metrics import AirflowMetrics

        action = describe(self.mps_task_id, self.describe_action)
        limit = asyncio.timeout(self._left())
        try:
            async with limit:
                config = await self._connection(patience)
        except TimeoutError:
            if limit.expired():
                return "timeout", "the deadline has come"
            raise
        metrics = AirflowMetrics(config.account_key)
        async with shared_poller(config, metrics) as watch:
            return await self._look_until_over(watch, action, patience, metrics)

    async def _look_until_over(
        self, watch: Poller, action: Action[TaskDetail], patience: Patience, metrics: Metrics
    ) -> tuple[str, str]:
        from airflow_provider_mps.client.polling.progress import Progress
        from airflow_provider_mps.client.retry import is_final
        from airflow_provider_mps.errors import MpsError

        clock = asyncio.get_running_loop().time
        progress = Progress(self.log, self.mps_task_id)
        since, noticed, first = patience.started, False, True
        # Spread: those that start together do not stay together.
        due = clock() + self.earliest_event + random.uniform(0, self._pause(patience))
        while True:
            limit = asyncio.timeout(self._left())
            try:
                async with limit:
                    # The worker looks as well. But it is not sent twice for what only a list says, nor for an end
                    # that is known, and of which results are missing.
                    word_is_enough = not patience.listed and patience.unsettled_since is None
                    outcome, late, listed = await watch.look(
                        action, due=due, since=since, first=first, word_is_enough=word_is_enough
                    )
            except TimeoutError:
                if limit.expired():
                    return "timeout", "the deadline has come"
                raise
            if not isinstance(outcome, MpsError):
                patience.faults, first = 0, False
                since = outcome.create_time.timestamp() if outcome.create_time else since
                ended_at = outcome.finish_time.timestamp() if outcome.is_finished and outcome.finish_time else 0.0
                if ended_at >= patience.started and not noticed:
                    noticed = True
                    metrics.timing("detection_delay", time.time() - ended_at, action.name)
                if listed:
                    patience.listed = True
                    return "look", progress.listed(outcome)
            progress.report(outcome, late=late)
            try:
                ended = patience.judge(outcome, time.time())
            except MpsError as error:  # of the triggerer alone, perhaps: the worker looks with its own eyes
                return ("refused" if is_final(error) else "fault"), _named(error)
            if ended is not None:
                return "look", ended.summary
            due = clock() + self._pause(patience)

    def _left(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self.deadline is None else self.deadline - time.time()

    async def _connection(self, patience: Patience) -> ClientConfig:
        """What the connection says, read again while Airflow does not give it."""
        from airflow_provider_mps.errors import MpsConfigError, MpsError

        while True:
            try:
                return await self._config()
            except MpsError:
                raise
            except Exception as error:
                # Airflow says "isn't defined" also when it could not look; only the worker's own look is certain.
                if patience.failing(time.time()) >= patience.outage_tolerance:
                    raise MpsConfigError(f"its connection cannot be read: {type(error).__name__}: {error}") from error
                self.log.warning("MPS task %s: the triggerer cannot read its connection: %s", self.mps_task_id, error)
            await asyncio.sleep(self._pause(patience))

    def _pause(self, patience: Patience) -> float:
        """Seconds to the next look."""
        from airflow_provider_mps.client.polling.poller import interval

        seconds = interval(time.time() - patience.started, self.poll_interval)
        return max(seconds * random.uniform(0.9, 1.1), self.shortest_interval)

    async def _config(self) -> ClientConfig:
        """A connection that does not exist is not asked for again."""
        from airflow_provider_mps.triggers.connection import load_config

        for attempt in range(1, _CONNECTION_ATTEMPTS):
            try:
                return await load_config(self.mps_conn_id, self.region)
            except (TimeoutError, OSError) as error:
                self.log.warning("Attempt %d to read the connection %s: %r", attempt, self.mps_conn_id, error)
                await asyncio.sleep(attempt)
        return await load_config(self.mps_conn_id, self.region)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _shortened(text: str, most: int) -> str:
    """The beginning of a text that takes no more bytes as JSON, where one letter may take twelve."""
    text = text[:most]
    while len(json.dumps(text)) > most:
        text = text[: len(text) * 3 // 4]
    return text
