"""
Lists of ended tasks: DescribeTasks names them, a hundred in one request, and each wait for one of them is expedited.

What the list holds, in which order and how soon, is not documented. So a list decides nothing: a worker polls the task
and decides, every task is also polled alone, and lists that are wrong too often are switched off for an hour.

Source: https://www.tencentcloud.com/document/product/1041/33643
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_provider_mps.client.actions import DescribeTasks
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.clock import clock_for
from airflow_provider_mps.client.polling.hints import HintAccuracy
from airflow_provider_mps.client.polling.metrics import NULL_METRICS, Metrics
from airflow_provider_mps.client.polling.queue import PollQueue
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.retry import Purpose, decide, may_pass
from airflow_provider_mps.errors import MpsError
from airflow_provider_mps.results.task import TaskListItem, TaskPage, TaskState
from airflow_provider_mps.results.verdict import TaskStatus

log = logging.getLogger(__name__)

_PAGE_SIZE = 100  # tasks; MPS takes no more
_ACTION = "DescribeTaskDetail"  # the polls that hints replace


@dataclass(slots=True)
class _OpenList:
    """A list that is being read. Times are by MPS's clock."""

    start: float
    begun: float
    token: str | None = None
    rounds: int = 0


class BulkStatusPoller:
    """
    Expedites the waits of one queue.

    Which time of a task the window of a list filters is not documented. A task listed that was created before the
    window shows that it is the end; then the last minute is enough. Until that is seen, the list is read from the
    creation of the oldest task that is waited for, which holds everything either way.
    """

    def __init__(
        self,
        client: AsyncMpsClient,
        queue: PollQueue,
        metrics: Metrics = NULL_METRICS,
        settings: PollerSettings | None = None,
    ) -> None:
        self._client = client
        self._queue = queue
        self._metrics = metrics
        self._settings = settings or PollerSettings()
        self._clock = clock_for(client.config.endpoint)
        self._filters_end = False
        self._was_unreliable = False
        self._hinted: dict[str, float] = {}  # when, on the clock of the event loop
        self._begin()

    def _begin(self) -> None:
        self._accuracy = HintAccuracy(self._settings)
        self._failures = 0
        self._last_begun: float | None = None
        self._queue.on_state = self._polled
        self._stop_relying()

    def _stop_relying(self) -> None:
        """Poll each task as often as was requested, until a list has been read to its end."""
        self._open: _OpenList | None = None
        self._queue.set_interval_factor(1.0)

    async def run(self) -> None:
        """Read lists while there are enough waits, for ever; switched off for a while when they are unreliable."""
        while True:
            try:
                reason = await self._read_lists()
            except Exception as error:  # nothing depends on lists: whatever it is, polling goes on
                log.exception("Reading DescribeTasks failed.")
                reason = repr(error)
            self._queue.on_state = None
            self._stop_relying()
            if not self._was_unreliable:
                self._was_unreliable = True
                log.warning(
                    "DescribeTasks is unreliable for this account; polling each task individually. %s Tried again in "
                    "%.0f minutes.",
                    reason,
                    self._settings.list_pause / 60,
                )
            await asyncio.sleep(self._settings.list_pause)
            self._begin()

    async def _read_lists(self) -> str:
        """Read lists as long as they are reliable; returns why they are not any more."""
        now = asyncio.get_running_loop().time
        next_round = now() + self._interval
        while True:
            await asyncio.sleep(next_round - now())
            next_round = now() + self._interval
            if len(self._queue) < self._settings.min_waits_to_list:
                self._last_begun = None
                self._stop_relying()
                continue
            try:
                reason = await self._round()
            except (MpsError, TimeoutError) as error:
                reason = self._failed(error)
            if reason:
                return reason

    @property
    def _interval(self) -> float:
        settings = self._settings
        seconds = settings.list_interval_waits / max(len(self._queue), 1)
        return min(max(seconds, settings.min_list_interval), settings.max_list_interval)

    async def _round(self) -> str:
        """Read some pages; returns why lists are not reliable, or ""."""
        opened = self._open = self._open or self._open_list()
        waits = len(self._queue)
        for _ in range(max(1, min(waits // self._settings.waits_per_page, self._settings.max_pages))):
            page = await self._page(opened)
            for item in page.tasks:
                self._read_item(item, opened)
            opened.token = page.next_token
            if opened.token is None:
                self._complete(opened)
                break
        self._failures = 0
        opened.rounds += 1
        if self._open is not None and opened.rounds >= self._settings.max_rounds:
            return "Its list does not end."
        return "It misses tasks that have ended, or names tasks that run." if self._accuracy.is_unreliable else ""

    def _open_list(self) -> _OpenList:
        now = self._clock.now()
        recent = now if self._last_begun is None else self._last_begun
        oldest = recent if self._filters_end else min(self._queue.window_start(now) or recent, recent)
        return _OpenList(oldest - self._settings.list_overlap, now)

    async def _page(self, opened: _OpenList) -> TaskPage:
        start = f"{datetime.fromtimestamp(opened.start, UTC):%Y-%m-%dT%H:%M:%SZ}"
        action = DescribeTasks(
            status=TaskStatus.FINISH.value, limit=_PAGE_SIZE, start_time=start, scroll_token=opened.token
        )
        async with asyncio.timeout(self._settings.list_timeout):
            return await self._client.call(action)

    def _read_item(self, item: TaskListItem, opened: _OpenList) -> None:
        if item.create_time is not None and item.create_time.timestamp() < opened.start - 1:
            self._filters_end = True
        self._accuracy.named(item.mps_task_id)
        # A task that still runs has no time of end: a list of such tasks has ignored the status that was asked for.
        if item.finish_time is None or not self._queue.can_expedite(item.mps_task_id):
            return
        self._accuracy.hint()
        self._hinted[item.mps_task_id] = asyncio.get_running_loop().time()
        self._queue.expedite(item.mps_task_id)
        self._metrics.timing("detection_delay", self._clock.now() - item.finish_time.timestamp(), _ACTION)

    def _complete(self, opened: _OpenList) -> None:
        self._open, self._last_begun = None, opened.begun
        self._accuracy.list_complete()
        forgotten = asyncio.get_running_loop().time() - self._settings.hint_memory
        self._hinted = {task_id: at for task_id, at in self._hinted.items() if at > forgotten}
        # A list that filters the creation names no task that is older than its window.
        since = 0.0 if self._filters_end else opened.start
        useful = self._accuracy.is_useful
        self._queue.set_interval_factor(self._settings.interval_factor if useful else 1.0, since=since)
        if self._was_unreliable and useful:
            self._was_unreliable = False
            log.info("DescribeTasks is reliable again for this account.")

    def _failed(self, error: MpsError | TimeoutError) -> str:
        """Why lists are unreliable after this error; "" for what may pass."""
        begun = self._open is not None and self._open.token is not None
        self._stop_relying()
        if isinstance(error, TimeoutError) or may_pass(error):
            self._failures = 0
            return ""
        self._failures += 1
        # In the middle of a list the token may have expired: only a new list can go on.
        if begun or decide(error, Purpose.LIST, attempt=self._failures).retries:
            return ""
        return f"{error}"

    def _polled(self, task_id: str, state: TaskState) -> None:
        """A poll tells whether the last hint was right, and what lists should name from now on."""
        hinted = self._hinted.pop(task_id, None) is not None
        if hinted and not state.is_finished:
            self._accuracy.false_hint()
        elif not hinted and state.is_finished and self._should_be_named(state):
            self._accuracy.found_ended(task_id)

    def _should_be_named(self, state: TaskState) -> bool:
        """Only what ended within the window of the next lists can be expected in them."""
        if self._last_begun is None or state.finish_time is None or state.create_time is None:
            return False
        lists = self._settings.lists_to_name * self._settings.max_list_interval
        recent = state.finish_time.timestamp() > self._clock.now() - self._settings.list_overlap + lists
        start = self._queue.window_start(self._clock.now()) or self._last_begun
        return recent and (self._filters_end or state.create_time.timestamp() > start - self._settings.list_overlap)
