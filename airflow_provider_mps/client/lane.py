"""
The looks of one action, for all who wait: what is due first is sent first, at the pace, and once for all.

What happens to one waiter is nobody else's business: a cancelled one leaves, an error goes to those who wait for that
task, and nothing is logged here, since it would be logged in somebody's name.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import NamedTuple

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.observing import Observer
from airflow_provider_mps.client.pacing import Pace
from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.results.task import TaskDetail, TaskState

# Looks under way at once: a server that hangs must not collect thousands.
MOST_AT_ONCE = 100
# Seconds for one round over all tasks, at the pace.
_CROWD = 10.0
# A refused look keeps its place for so many seconds before its waiters are told.
_REFUSAL_PATIENCE = 60.0
_AT_ONCE = float("-inf")
_MOST_UNLISTED = 1000
_STRAGGLERS = 200


class Sighting(NamedTuple):
    """What a look brought: a state or an error, and by how many seconds the quota had delayed it."""

    outcome: TaskState | MpsError
    late: float


class _Entry:
    """One task that somebody waits for."""

    __slots__ = ("action", "due", "look", "refused_since", "since", "waiters")

    def __init__(self, action: Action[TaskDetail], due: float, since: float) -> None:
        self.action = action
        self.due = due
        self.since = since
        self.waiters: list[asyncio.Future[Sighting]] = []
        self.look: asyncio.Task[None] | None = None
        self.refused_since: float | None = None


class Lane:
    """
    The looks of one action in one event loop.

    :ivar relaxed: how many times longer than asked for the pauses between looks may be.
    :ivar confirmed: ended tasks that a look found because it was called forward.
    :ivar unlisted: ended tasks that a look found by itself, with the number of lists that have not shown them since.
    """

    def __init__(self, client: AsyncMpsClient, pace: Pace, observer: Observer) -> None:
        self.relaxed = 1.0
        self.confirmed = 0
        self.unlisted: dict[str, int] = {}
        self._client = client
        self._pace = pace
        self._observer = observer
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def crowded(self) -> bool:
        """Looking at each task alone takes longer than anybody should have to wait."""
        return len(self._entries) > _CROWD * self._pace.rate

    @property
    def oldest(self) -> float | None:
        """
        When the oldest tasks that are waited for were created, in Unix seconds; None when there are none.

        One in two hundred may be older: for a job that has run for days, nobody reads the lists of days.
        """
        stragglers = len(self._entries) // _STRAGGLERS
        oldest = heapq.nsmallest(stragglers + 1, (entry.since for entry in self._entries.values()))
        return oldest[-1] if oldest else None

    def lateness(self) -> float:
        """Seconds by which the look that has waited longest is late."""
        self._tidy()
        due = self._heap[0][0] if self._heap else _AT_ONCE
        return 0.0 if due == _AT_ONCE else max(asyncio.get_running_loop().time() - due, 0.0)

    async def look(self, action: Action[TaskDetail], *, due: float, since: float) -> Sighting:
        """Wait for the next look at a task, which may be one that others wait for as well."""
        task_id: str = action.parameters["TaskId"]
        if self.relaxed > 1.0:
            now = asyncio.get_running_loop().time()
            due = now + (due - now) * self.relaxed
        entry = self._entries.get(task_id)
        if entry is None:
            entry = self._entries[task_id] = _Entry(action, due, since)
            self._queue(entry)
        elif due < entry.due:
            entry.due = due
            self._queue(entry)
        waiter: asyncio.Future[Sighting] = asyncio.get_running_loop().create_future()
        entry.waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in entry.waiters:  # it was cancelled
                entry.waiters.remove(waiter)
                if not entry.waiters:
                    self._forget(task_id, entry)
                    if entry.look is not None:
                        entry.look.cancel()

    def call_forward(self, task_id: str) -> None:
        """A list says that a task has ended: look at it at once, if anybody waits for it."""
        self.unlisted.pop(task_id, None)
        entry = self._entries.get(task_id)
        if entry is not None and entry.due != _AT_ONCE:
            entry.due = _AT_ONCE
            self._queue(entry)

    def tell_all(self, error: MpsError) -> None:
        """Give everybody who waits the same outcome."""
        for task_id, entry in list(self._entries.items()):
            self._hand_out(task_id, entry, Sighting(error, 0.0))

    async def run(self) -> None:
        """Send what is due, for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                pause = self._pause(loop.time())
                if pause is None or pause > 0:
                    self._changed.clear()
                    timer = None if pause is None else loop.call_later(pause, self._changed.set)
                    await self._changed.wait()
                    if timer is not None:
                        timer.cancel()
                    continue
                entry = heapq.heappop(self._heap)[2]
                self._pace.take()
                entry.look = loop.create_task(self._look(entry))
                self._under_way.add(entry.look)
                entry.look.add_done_callback(self._looked)
        finally:
            for look in self._under_way:
                look.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _pause(self, now: float) -> float | None:
        """Seconds until the next look may be sent; None until something changes."""
        self._tidy()
        if not self._heap or len(self._under_way) >= MOST_AT_ONCE:
            return None
        return max(self._heap[0][0] - now, self._pace.wait())

    def _tidy(self) -> None:
        """Bring the earliest entry to the top. Entries that moved or left have left old places behind."""
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [place for place in self._heap if self._counts(place)]
            heapq.heapify(self._heap)
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)

    def _counts(self, place: tuple[float, int, _Entry]) -> bool:
        due, _, entry = place
        return due == entry.due and entry.look is None and bool(entry.waiters)

    def _queue(self, entry: _Entry) -> None:
        if entry.look is None:
            heapq.heappush(self._heap, (entry.due, next(self._order), entry))
            self._changed.set()

    def _looked(self, look: asyncio.Task[None]) -> None:
        self._under_way.discard(look)
        self._changed.set()

    async def _look(self, entry: _Entry) -> None:
        sent = asyncio.get_running_loop().time()
        outcome: TaskState | MpsError
        task_id = entry.action.parameters["TaskId"]
        try:
            try:
                outcome = await self._client.look(entry.action)
            except MpsError as error:
                outcome = error
            if self._is_refused(outcome) and self._keeps_its_place(entry, sent):
                return
            self._note(task_id, entry, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for this task
            self._hand_out(task_id, entry, error)
        else:
            late = 0.0 if entry.due == _AT_ONCE else max(sent - entry.due, 0.0)
            self._hand_out(task_id, entry, Sighting(outcome, late))

    def _is_refused(self, outcome: TaskState | MpsError) -> bool:
        return isinstance(outcome, MpsApiError) and outcome.throttled

    def _keeps_its_place(self, entry: _Entry, sent: float) -> bool:
        self._observer.count("looks_refused", entry.action.name)
        if entry.refused_since is None:
            entry.refused_since = sent
        if sent - entry.refused_since > _REFUSAL_PATIENCE:
            return False
        entry.look = None
        self._queue(entry)
        return True

    def _note(self, task_id: str, entry: _Entry, outcome: TaskState | MpsError) -> None:
        self._observer.count("looks", entry.action.name)
        if not isinstance(outcome, TaskState) or not outcome.is_finished:
            return
        if outcome.finish_time is not None:
            delay = max(time.time() - outcome.finish_time.timestamp(), 0.0)
            self._observer.timing("detection_delay", delay, entry.action.name)
        if entry.due == _AT_ONCE:
            self.confirmed += 1
        elif len(self.unlisted) < _MOST_UNLISTED:
            self.unlisted[task_id] = 0

    def _hand_out(self, task_id: str, entry: _Entry, result: Sighting | Exception) -> None:
        self._forget(task_id, entry)
        waiters, entry.waiters = entry.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(result, Sighting):
                waiter.set_result(result)
            else:
                waiter.set_exception(result)

    def _forget(self, task_id: str, entry: _Entry) -> None:
        if self._entries.get(task_id) is entry:
            del self._entries[task_id]
