"""
One poller for many waits: all waits of an event loop share one session and one rate limiter for an account.

A wait asks for one poll at a time, evaluates and logs it; the poller only decides when it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import weakref
from collections.abc import AsyncIterator

from airflow_provider_mps.client.actions import Action, DescribeTaskDetail
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.bulk import BulkStatusPoller
from airflow_provider_mps.client.polling.metrics import NULL_METRICS, Metrics
from airflow_provider_mps.client.polling.queue import PollQueue, PollResult
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsTransportError
from airflow_provider_mps.results.task import TaskDetail

log = logging.getLogger(__name__)

_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientConfig, Poller]] = weakref.WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()


class Poller:
    """
    The polls of one connection in one event loop; :func:`shared_poller` hands it out.

    Connections of one account that differ in anything else have a poller each, and share the rate limiter.

    :param config: of the connection.
    :param metrics: receives counters and gauges.
    """

    def __init__(
        self, config: ClientConfig, metrics: Metrics = NULL_METRICS, settings: PollerSettings | None = None
    ) -> None:
        self.config = config
        self.users = 0
        self._account = config.account_key
        self._metrics = metrics
        self._settings = settings or PollerSettings()
        self._client = AsyncMpsClient(config)
        self._queues: dict[str, PollQueue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def poll(
        self, action: Action[TaskDetail], *, due: float, created: float | None = None, accepts_hints: bool = False
    ) -> PollResult:
        """
        Poll a task once, not before ``due``, and as soon after it as the rate limit allows.

        Sooner if another wait polls the same task, or a list names it as ended; later while such lists are useful.

        :param action: what :func:`~airflow_provider_mps.client.actions.describe` gives.
        :param due: on the clock of the event loop.
        :param created: when the task was created, by MPS's clock; None where nobody knows.
        :param accepts_hints: if a list names the task as ended, return without a poll and without an outcome.
        """
        return await self._queue(action).poll(action, due=due, created=created, accepts_hints=accepts_hints)

    async def close(self) -> None:
        """End all polls and close the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def _queue(self, action: Action[TaskDetail]) -> PollQueue:
        if (queue := self._queues.get(action.name)) is None:
            is_listable = isinstance(action, DescribeTaskDetail)
            queue = self._queues[action.name] = PollQueue(
                self._client,
                rate_limiter_for(action, self.config),
                self._metrics,
                self._settings,
                reserve_for_worker=self.config.quota_share > 0.5,  # a half or less leaves the workers room
            )
            # In a context of its own: what it logs is not the log of the task that happened to come first.
            task = asyncio.get_running_loop().create_task(
                self._run(action.name, queue, is_listable=is_listable), context=contextvars.Context()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return queue

    async def _run(self, name: str, queue: PollQueue, *, is_listable: bool) -> None:
        """Run a queue and its helpers. Only the queue itself can end it; the next poll then starts a new one."""
        loop = asyncio.get_running_loop()
        helpers: list[asyncio.Task[None]] = []
        reason = "it was closed"
        try:
            helpers.append(loop.create_task(self._report(name)))
            if is_listable:
                bulk = BulkStatusPoller(self._client, queue, self._metrics, self._settings)
                helpers.append(loop.create_task(bulk.run()))
            await queue.run()
        except Exception as error:  # whatever it is, the waits must end with it
            reason = repr(error)
            log.exception("Polling with %s stopped; the next poll starts it again.", name)
        finally:
            if self._queues.get(name) is queue:
                del self._queues[name]
            queue.fail_all(MpsTransportError(f"polling stopped: {reason}", action=name, category=Category.UNREACHABLE))
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _report(self, name: str) -> None:
        try:
            while True:
                self._measure(name)
                await asyncio.sleep(self._settings.report_interval)
        finally:
            self._measure(name)

    def _measure(self, name: str) -> None:
        """Of all pollers of the account, since metrics tell accounts apart and not connections."""
        pollers = _pollers.get(asyncio.get_running_loop(), {}).values()
        queues = [each._queues[name] for each in pollers if each._account == self._account and name in each._queues]
        self._metrics.gauge("waits", sum(len(queue) for queue in queues), name)
        self._metrics.gauge("poll_lag", max((queue.lag() for queue in queues), default=0.0), name)


@contextlib.asynccontextmanager
async def shared_poller(
    config: ClientConfig, metrics: Metrics = NULL_METRICS, settings: PollerSettings | None = None
) -> AsyncIterator[Poller]:
    """
    The poller of a connection in this event loop; it starts with its first user and ends with its last.

    :param settings: of the first user.
    """
    loop = asyncio.get_running_loop()
    pollers = _pollers.setdefault(loop, {})
    if (poller := pollers.get(config)) is None:
        poller = pollers[config] = Poller(config, metrics, settings)
    poller.users += 1
    try:
        yield poller
    finally:
        poller.users -= 1
        if not poller.users:
            del pollers[config]
            closing = loop.create_task(poller.close())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
            await asyncio.shield(closing)  # a second cancellation in here leaves nothing open
