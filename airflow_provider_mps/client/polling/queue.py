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
import weakref
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.polling.metrics import Metrics
from airflow_provider_mps.client.rate_limiter import RateLimiter
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail, TaskState

# Looks under way at once: a server that hangs must not collect thousands.
_MOST_AT_ONCE = 100
# Seconds for one round over all tasks, at the pace.
_CROWD = 10.0
# Looks that are called forward are sent within so many seconds, or a list's word does in their place.
_SOON = 5.0
# For each look that confirms a list, so many of its words are handed out.
_WORDS_A_LOOK = 10
# A refused look keeps its place for so many seconds before its waiters are told.
_REFUSAL_PATIENCE = 60.0
_STRAGGLERS = 200
_MUCH_OLDER = 1.25
# More request timeouts, and seconds for reading a connection, than a look can take that does not hang.
_TIMEOUTS_IN_A_LOOK = 6
_BEYOND_THEM = 60.0


_sharing: weakref.WeakKeyDictionary[RateLimiter, weakref.WeakSet[PollQueue]] = weakref.WeakKeyDictionary()


class PollResult(NamedTuple):
    """
    What a look brought: a state or an error, and by how many seconds the quota had delayed it.

    Nobody has looked if it is only ``listed``: then a list says it.
    """

    outcome: TaskState | MpsError
    late: float
    listed: bool = False


class PendingPoll:
    """One task that somebody waits for."""

    __slots__ = ("action", "called", "due", "look", "refused_since", "since", "task_id", "waiters", "wanted", "word")

    def __init__(self, task_id: str, action: Action[TaskDetail], wanted: float, due: float, since: float) -> None:
        self.task_id = task_id
        self.action = action
        self.wanted, self.due = wanted, due
        self.since = since
        self.called = False
        self.word: TaskState | None = None
        # In their order; whether a list's word is enough for them.
        self.waiters: dict[asyncio.Future[PollResult], bool] = {}
        self.look: asyncio.Task[None] | None = None
        self.refused_since: float | None = None


class PollQueue:
    """
    The looks of one action in one event loop.

    :ivar on_state: is told of every state that a look brought: the TaskId, the state, and whether the look had been
        called forward.
    """

    def __init__(self, client: AsyncMpsClient, pace: RateLimiter, observer: Metrics) -> None:
        self.on_state: Callable[[str, TaskState, bool], None] | None = None
        self._client = client
        self._pace = pace
        _sharing.setdefault(pace, weakref.WeakSet()).add(self)
        self._observer = observer
        self._entries: dict[str, PendingPoll] = {}
        self._heap: list[tuple[float, int, PendingPoll]] = []
        self._called: deque[PendingPoll] = deque()
        self._turn_of_called = True
        self._relaxed, self._relaxed_since = 1.0, 0.0
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def crowded(self) -> bool:
        """Looking at each task alone takes longer than anybody should have to wait, with all that share the pace."""
        return sum(map(len, _sharing[self._pace])) > _CROWD * self._pace.rate

    @property
    def oldest(self) -> float | None:
        """
        When the oldest tasks that are waited for were created, in Unix seconds; None when there are none.

        One in two hundred may be much older: for a job that has run for days, nobody reads the lists of days.
        """
        stragglers = len(self._entries) // _STRAGGLERS
        oldest = heapq.nsmallest(stragglers + 1, (entry.since for entry in self._entries.values()))
        if not oldest:
            return None
        now = time.time()
        return max(oldest[0], now - _MUCH_OLDER * (now - oldest[-1]))

    @property
    def relaxed(self) -> float:
        """How many times longer than asked for the pauses between looks are."""
        return self._relaxed

    def relax(self, times: float, *, since: float = 0.0) -> None:
        """
        Make pauses longer from here on; back at 1, also those that have begun are as long as they were asked for.

        :param times: as long as asked for.
        :param since: not for tasks that were created before this, in Unix seconds.
        """
        if times == 1.0 < self._relaxed:
            now = asyncio.get_running_loop().time()
            for entry in sorted(self._entries.values(), key=attrgetter("wanted")):
                # That a pause was longer than asked for until now was wanted here, and makes no look late.
                due = max(entry.wanted, min(entry.due, now))
                if entry.due != due:
                    entry.due = due
                    self._queue(entry)
        self._relaxed, self._relaxed_since = times, since

    def lateness(self) -> float:
        """Seconds by which the look that has waited longest is late."""
        self._tidy()
        return max(asyncio.get_running_loop().time() - self._heap[0][0], 0.0) if self._heap else 0.0

    async def look(
        self, action: Action[TaskDetail], *, due: float, since: float, first: bool = False, word_is_enough: bool = False
    ) -> PollResult:
        """
        Wait for the next look at a task, which others may wait for as well.

        :param first: it is not relaxed.
        :param word_is_enough: what a list says is an answer as well.
        """
        task_id: str = action.parameters["TaskId"]
        now = asyncio.get_running_loop().time()
        longer = 1.0 if first or since < self._relaxed_since else self._relaxed
        relaxed = max(due, now + (due - now) * longer)
        entry = self._entries.get(task_id)
        if entry is None:
            entry = self._entries[task_id] = PendingPoll(task_id, action, due, relaxed, since)
            self._queue(entry)
        else:
            entry.wanted = min(entry.wanted, due)
            if relaxed < entry.due:
                entry.due = relaxed
                self._queue(entry)
        waiter: asyncio.Future[PollResult] = asyncio.get_running_loop().create_future()
        entry.waiters[waiter] = word_is_enough
        try:
            return await waiter
        finally:
            if waiter in entry.waiters:  # it was cancelled
                del entry.waiters[waiter]
                if not entry.waiters:
                    self._forget(entry)
                    if entry.look is not None:
                        entry.look.cancel()

    def can_be_called(self, task_id: str) -> bool:
        """Whether somebody waits for a task, and no look at it is called forward or under way."""
        entry = self._entries.get(task_id)
        return entry is not None and not entry.called and entry.look is None

    def call_forward(self, task_id: str, word: TaskState | None = None) -> None:
        """
        Look at a task as soon as possible, if that can be.

        :param word: what a list says of it.
        """
        if self.can_be_called(task_id):
            entry = self._entries[task_id]
            entry.called, entry.word = True, word
            self._called.append(entry)
            self._changed.set()

    def take_lists_at_their_word(self) -> None:
        """
        Hand out what they say of tasks that were called forward and whose looks would not come soon.

        A few at a time: workers have to look at them within the same quota, and the loop is not held.
        """
        turns = max(1, int(self._pace.rate * _SOON / 2))  # every other one
        if len(self._called) <= turns:
            return
        self._called = deque(entry for entry in self._called if self._waits(entry))
        late = (entry for entry in list(self._called)[turns:] if entry.word and any(entry.waiters.values()))
        for entry in itertools.islice(late, _WORDS_A_LOOK):
            if entry.word is not None:
                self._observer.count("looks_spared", entry.action.name)
                self._hand_out(entry, PollResult(entry.word, 0.0, listed=True))

    def tell_all(self, error: MpsError) -> None:
        """Give everybody who waits the same outcome."""
        for entry in list(self._entries.values()):
            self._hand_out(entry, PollResult(error, 0.0))

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
                # Not in the look: those that wait there for keys would all be sent in the moment in which they come.
                if not self._client.is_ready:
                    await self._client.ready()
                    if self._pause(loop.time()) != 0:
                        continue
                entry = self._take(loop.time())
                self._pace.reserve()
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
        if len(self._under_way) >= _MOST_AT_ONCE or not (self._heap or self._called):
            return None
        return max(0.0 if self._called else self._heap[0][0] - now, self._pace.delay())

    def _take(self, now: float) -> PendingPoll:
        """The entry whose turn it is: what was called forward, but every other turn belongs to what is overdue."""
        overdue = bool(self._heap) and self._heap[0][0] <= now
        if self._called and (self._turn_of_called or not overdue):
            self._turn_of_called = False
            return self._called.popleft()
        self._turn_of_called = True
        return heapq.heappop(self._heap)[2]

    def _tidy(self) -> None:
        """Bring live entries to the top. Those that moved or left have left old places behind."""
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)
        while self._called and not self._waits(self._called[0]):
            self._called.popleft()

    def _counts(self, place: tuple[float, int, PendingPoll]) -> bool:
        due, _, entry = place
        return due == entry.due and self._waits(entry)

    def _waits(self, entry: PendingPoll) -> bool:
        return entry.look is None and bool(entry.waiters)

    def _queue(self, entry: PendingPoll) -> None:
        if entry.look is None:
            heapq.heappush(self._heap, (entry.due, next(self._order), entry))
            if self._heap[0][2] is entry:  # else there is something to send before it, which wakes in time
                self._changed.set()

    def _looked(self, look: asyncio.Task[None]) -> None:
        if len(self._under_way) >= _MOST_AT_ONCE:
            self._changed.set()
        self._under_way.discard(look)

    async def _look(self, entry: PendingPoll) -> None:
        loop_time = asyncio.get_running_loop().time()
        called = entry.called
        try:
            outcome = await self._ask(entry)
            if isinstance(outcome, MpsApiError) and outcome.category is Category.THROTTLED:
                self._observer.count("looks_refused", entry.action.name)
                if self._keeps_its_place(entry, loop_time):
                    return
            else:
                answered = isinstance(outcome, TaskState | MpsApiError)
                self._observer.count("looks" if answered else "looks_unanswered", entry.action.name)
            if isinstance(outcome, TaskState) and self.on_state is not None:
                self.on_state(entry.task_id, outcome, called)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for this task
            self._hand_out(entry, error)
        else:
            late = 0.0 if called else max(loop_time - entry.due, 0.0)
            self._hand_out(entry, PollResult(outcome, late))

    async def _ask(self, entry: PendingPoll) -> TaskState | MpsError:
        """What one request brought. It ends, whatever happens in it: others need its place, and it has waiters."""
        seconds = _TIMEOUTS_IN_A_LOOK * self._client.config.timeout + _BEYOND_THEM
        try:
            async with asyncio.timeout(seconds):
                with self._pace.request():
                    return await self._client.poll(entry.action)
        except MpsError as error:
            return error
        except TimeoutError:
            trouble = f"no outcome within {seconds:g} seconds"
        except asyncio.CancelledError:
            if entry.look is None or entry.look.cancelling():
                raise
            trouble = "something that it waited for was cancelled"
        return MpsTransportError(trouble, action=entry.action.name, category=Category.UNREACHABLE)

    def _keeps_its_place(self, entry: PendingPoll, sent: float) -> bool:
        if entry.refused_since is None:
            entry.refused_since = sent
        if sent - entry.refused_since > _REFUSAL_PATIENCE:
            return False
        entry.look = None
        if entry.called:
            self._called.appendleft(entry)
        self._queue(entry)
        return True

    def _hand_out(self, entry: PendingPoll, result: PollResult | Exception) -> None:
        only_word = isinstance(result, PollResult) and result.listed
        served = [waiter for waiter, word_is_enough in entry.waiters.items() if word_is_enough or not only_word]
        for waiter in served:
            del entry.waiters[waiter]
        if not entry.waiters:
            self._forget(entry)
        for waiter in served:
            if waiter.done():
                continue
            if isinstance(result, PollResult):
                waiter.set_result(result)
            else:
                waiter.set_exception(result)

    def _forget(self, entry: PendingPoll) -> None:
        if self._entries.get(entry.task_id) is entry:
            del self._entries[entry.task_id]
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = [place for place in self._heap if self._counts(place)]
            heapq.heapify(self._heap)
