"""
Wait for many tasks at once within the quota: all who wait in one event loop share one session and one pace.

Who waits asks for one look at a time, judges it and logs it himself; the watch only decides when it is sent.
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
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsTransportError
from airflow_provider_mps.results.task import TaskDetail

log = logging.getLogger(__name__)

_SHORTEST_INTERVAL = 5.0
_INTERVALS_IN_AN_AGE = 10.0
_REPORT_EVERY = 10.0

_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ClientConfig, Poller]] = weakref.WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()


def interval(age: float, poll_interval: float) -> float:
    """
    Seconds until the next look at a task: a tenth of its age, so that a short job is noticed soon and a long one is
    not asked for all the time.

    :param age: seconds since the wait began.
    :param poll_interval: never longer than this; nor shorter than 5 seconds, unless this is.
    """
    return min(poll_interval, max(age / _INTERVALS_IN_AN_AGE, _SHORTEST_INTERVAL))


class Poller:
    """
    The looks of one connection in one event loop; :func:`shared_poller` hands it out.

    Connections of one account that differ in anything else have a watch each, and share the pace.

    :param config: of the connection.
    :param observer: is told what happens, for metrics.
    """

    def __init__(self, config: ClientConfig, observer: Metrics) -> None:
        self.config = config
        self.users = 0
        self._account = config.account_key
        self._observer = observer
        self._client = AsyncMpsClient(config)
        self._lanes: dict[str, PollQueue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(
        self, action: Action[TaskDetail], *, due: float, since: float, first: bool = False, word_is_enough: bool = False
    ) -> PollResult:
        """
        Look at a task once, not before ``due``, and as soon after it as the pace allows.

        Sooner if somebody else looks at the same task, or a list says that it has ended; up to four times later while
        such lists are relied on.

        :param action: what :func:`~airflow_provider_mps.client.actions.describe` gives.
        :param due: on the clock of the event loop.
        :param since: when the task was created, in Unix seconds, as far as is known.
        :param first: nobody has looked at the task for this wait yet: it may have ended before any list that is read.
        :param word_is_enough: who waits will look again: when the pace is too slow for all that have ended, the word of
            a list that has proved itself will do.
        """
        return await self._lane(action).look(action, due=due, since=since, first=first, word_is_enough=word_is_enough)

    async def close(self) -> None:
        """End all looks and close the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def _lane(self, action: Action[TaskDetail]) -> PollQueue:
        if (lane := self._lanes.get(action.name)) is None:
            lane = self._lanes[action.name] = PollQueue(
                self._client, rate_limiter_for(action, self.config), self._observer
            )
            work = self._tend(action.name, lane, listed=isinstance(action, DescribeTaskDetail))
            # In a context of its own: what it logs is not the log of the task that happened to come first.
            task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return lane

    async def _tend(self, name: str, lane: PollQueue, *, listed: bool) -> None:
        """Run a lane, and what belongs to it. Only the lane itself can end it; the next look then starts a new one."""
        loop = asyncio.get_running_loop()
        helpers: list[asyncio.Task[None]] = []
        reason = "it was closed"
        try:
            helpers.append(loop.create_task(self._report(name)))
            if listed:
                helpers.append(loop.create_task(BulkStatusPoller(self._client, lane).run()))
            await lane.run()
        except Exception as error:  # whatever it is, those who wait have to be told
            log.exception("The watch over %s stopped; who waits starts a new one.", name)
            reason = repr(error)
        finally:
            if self._lanes.get(name) is lane:
                del self._lanes[name]
            lane.tell_all(MpsTransportError(f"the watch stopped: {reason}", action=name, category=Category.UNREACHABLE))
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _report(self, name: str) -> None:
        try:
            while True:
                self._measure(name)
                await asyncio.sleep(_REPORT_EVERY)
        finally:
            self._measure(name)

    def _measure(self, name: str) -> None:
        """Of all watches of the account, since metrics tell accounts apart and not connections."""
        watches = _watches.get(asyncio.get_running_loop(), {}).values()
        lanes = [watch._lanes[name] for watch in watches if watch._account == self._account and name in watch._lanes]
        self._observer.gauge("waits", sum(len(lane) for lane in lanes), name)
        self._observer.gauge("oldest_due_look", max((lane.lateness() for lane in lanes), default=0.0), name)


@contextlib.asynccontextmanager
async def shared_poller(config: ClientConfig, observer: Metrics = NULL_METRICS) -> AsyncIterator[Poller]:
    """The watch for a connection in this event loop; it starts with the first who wants it and ends with the last."""
    loop = asyncio.get_running_loop()
    watches = _watches.setdefault(loop, {})
    if (watch := watches.get(config)) is None:
        watch = watches[config] = Poller(config, observer)
    watch.users += 1
    try:
        yield watch
    finally:
        watch.users -= 1
        if not watch.users:
            del watches[config]
            closing = loop.create_task(watch.close())
            _closing.add(closing)
            closing.add_done_callback(_closing.discard)
            await asyncio.shield(closing)  # who is cancelled once more in here leaves nothing open
