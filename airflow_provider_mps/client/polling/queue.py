"""
The polls of one action in one event loop: what is due first is sent first, within the rate limit, and once for all
waits of a task.

Nothing is logged here: it would appear in the log of the task that happened to come first.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.polling.metrics import NULL_METRICS, Metrics
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.rate_limiter import RateLimiter
from airflow_provider_mps.client.retry import is_throttled
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail, TaskState


class PollResult(NamedTuple):
    """
    What a poll brought.

    :ivar outcome: a state or an error; None if the task was expedited: then nobody polled, and a worker should.
    :ivar delay: seconds by which the rate limit had delayed it.
    """

    outcome: TaskState | MpsError | None
    delay: float


class PendingPoll:
    """One task that is waited for, until its next poll."""

    __slots__ = (
        "accepts_factor",
        "action",
        "created",
        "delay",
        "expedited",
        "request",
        "requested_at",
        "scheduled_at",
        "task_id",
        "throttled_since",
        "waiters",
    )

    def __init__(self, task_id: str, action: Action[TaskDetail], created: float | None) -> None:
        self.task_id = task_id
        self.action = action
        self.created = created
        self.requested_at = self.scheduled_at = float("inf")  # on the clock of the event loop
        self.delay = 0.0  # seconds from the request to ``requested_at``
        self.accepts_factor = True
        self.expedited = False
        # In their order; whether each accepts an expedited turn instead of a poll.
        self.waiters: dict[asyncio.Future[PollResult], bool] = {}
        self.request: asyncio.Task[None] | None = None
        self.throttled_since: float | None = None


class PollQueue:
    """
    The polls of one action in one event loop.

    :param reserve_for_worker: after a poll that found a task ended, leave one turn of the rate limiter unused: the
        worker that decides sends a request as well.
    :ivar on_state: is called with the TaskId and the state that a poll brought.
    """

    def __init__(
        self,
        client: AsyncMpsClient,
        limiter: RateLimiter,
        metrics: Metrics = NULL_METRICS,
        settings: PollerSettings | None = None,
        *,
        reserve_for_worker: bool = False,
    ) -> None:
        self.on_state: Callable[[str, TaskState], None] | None = None
        self._client = client
        self._limiter = limiter
        self._metrics = metrics
        self._settings = settings or PollerSettings()
        self._reserve_for_worker = reserve_for_worker
        self._entries: dict[str, PendingPoll] = {}
        self._heap: list[tuple[float, int, PendingPoll]] = []
        self._expedited: deque[PendingPoll] = deque()
        self._expedited_is_next = True
        self._proven_rate = limiter.rate  # at the last poll that MPS did not throttle
        self._factor, self._factor_since = 1.0, 0.0
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def interval_factor(self) -> float:
        """How many times longer than requested the pauses between polls are."""
        return self._factor

    def set_interval_factor(self, factor: float, *, since: float = 0.0) -> None:
        """
        Make pauses longer or shorter, also those that have begun.

        :param since: only for tasks created after this, by MPS's clock.
        """
        changed = factor != self._factor
        self._factor, self._factor_since = factor, since
        if not changed:
            return
        now = asyncio.get_running_loop().time()
        for entry in sorted(self._entries.values(), key=attrgetter("requested_at")):
            scheduled = self._schedule(entry)
            if scheduled < entry.scheduled_at:
                # The pause was longer on purpose until now: that makes no poll late.
                scheduled = max(scheduled, min(entry.scheduled_at, now))
            self._move(entry, scheduled)

    def window_start(self, now: float) -> float | None:
        """
        When the oldest tasks that are waited for were created, by MPS's clock; None where nobody knows.

        A small share may be much older: for a job that has run for days, nobody reads the lists of days.

        :param now: by the same clock.
        """
        created = [entry.created for entry in self._entries.values() if entry.created is not None]
        stragglers = int(len(created) * self._settings.straggler_share)
        oldest = heapq.nsmallest(stragglers + 1, created)
        if not oldest:
            return None
        return max(oldest[0], now - self._settings.straggler_age * (now - oldest[-1]))

    def lag(self) -> float:
        """Seconds by which the poll that has waited longest is late."""
        self._tidy()
        return max(asyncio.get_running_loop().time() - self._heap[0][0], 0.0) if self._heap else 0.0

    async def poll(
        self, action: Action[TaskDetail], *, due: float, created: float | None = None, accepts_hints: bool = False
    ) -> PollResult:
        """
        Wait for the next poll of a task; several waits may share it.

        :param due: on the clock of the event loop.
        :param created: when the task was created, by MPS's clock; None where nobody knows. Then it may have ended
            before any list begins, and its pause is not made longer.
        :param accepts_hints: an expedited turn may be answered without a poll, with no outcome.
        """
        loop = asyncio.get_running_loop()
        task_id: str = action.parameters["TaskId"]
        entry = self._entries.get(task_id)
        if entry is None:
            entry = self._entries[task_id] = PendingPoll(task_id, action, created)
        entry.accepts_factor = entry.accepts_factor and accepts_hints and created is not None
        if due < entry.requested_at:
            entry.requested_at, entry.delay = due, due - loop.time()
        self._move(entry, min(self._schedule(entry), entry.scheduled_at))
        waiter: asyncio.Future[PollResult] = loop.create_future()
        entry.waiters[waiter] = accepts_hints
        try:
            return await waiter
        finally:
            if waiter in entry.waiters:  # it was cancelled
                del entry.waiters[waiter]
                if not entry.waiters:
                    self._forget(entry)
                    if entry.request is not None:
                        entry.request.cancel()

    def can_expedite(self, task_id: str) -> bool:
        """Whether a wait for this task accepts hints, and the task is neither expedited nor being polled."""
        entry = self._entries.get(task_id)
        if entry is None or entry.expedited or entry.request is not None:
            return False
        return any(entry.waiters.values())

    def expedite(self, task_id: str) -> None:
        """Give a task that can be expedited its turn as soon as possible; its waits then get no outcome."""
        if self.can_expedite(task_id):
            entry = self._entries[task_id]
            entry.expedited = True
            self._expedited.append(entry)
            self._changed.set()

    def fail_all(self, error: MpsError) -> None:
        """Give every wait this outcome."""
        for entry in list(self._entries.values()):
            self._hand_out(entry, PollResult(error, 0.0))

    async def run(self) -> None:
        """Send what is due, for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                pause = self._pause(loop.time())
                if pause is None or pause > 0:
                    await self._sleep(pause)
                    continue
                # Not inside the request: those that wait there for keys would all be sent in the same moment.
                if not self._client.is_ready:
                    await self._client.ready()
                    if self._pause(loop.time()) != 0:
                        continue
                entry, scheduled = self._next(loop.time())
                if entry.expedited and not (scheduled and not all(entry.waiters.values())):
                    self._limiter.reserve(self._expedited_rate)
                    entry.expedited = False
                    self._hand_out(entry, PollResult(None, 0.0))
                else:
                    self._limiter.reserve()
                    entry.request = loop.create_task(self._poll(entry))
                    self._requests.add(entry.request)
                    entry.request.add_done_callback(self._request_done)
        finally:
            for request in self._requests:
                request.cancel()
            await asyncio.gather(*self._requests, return_exceptions=True)

    @property
    def _expedited_rate(self) -> float:
        """Workers' requests arrive less evenly than polls, and what MPS answers to them does not show here."""
        return self._settings.expedited_share * min(self._proven_rate, self._limiter.max_rate)

    async def _sleep(self, seconds: float | None) -> None:
        self._changed.clear()
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._changed.set)
        await self._changed.wait()
        if timer is not None:
            timer.cancel()

    def _pause(self, now: float) -> float | None:
        """Seconds until the next turn; None until something changes."""
        self._tidy()
        if len(self._requests) >= self._settings.max_concurrent_polls or not (self._heap or self._expedited):
            return None
        return max(0.0 if self._expedited else self._heap[0][0] - now, self._limiter.delay())

    def _next(self, now: float) -> tuple[PendingPoll, bool]:
        """
        The entry whose turn it is, and whether by its schedule.

        Expedited tasks and overdue ones take turns, so that neither starves the other.
        """
        overdue = bool(self._heap) and self._heap[0][0] <= now
        if self._expedited and (self._expedited_is_next or not overdue):
            self._expedited_is_next = False
            return self._expedited.popleft(), False
        self._expedited_is_next = True
        return heapq.heappop(self._heap)[2], True

    def _tidy(self) -> None:
        """Bring live entries to the top. Entries that moved or left have left old places behind."""
        while self._heap and not self._is_valid(self._heap[0]):
            heapq.heappop(self._heap)
        while self._expedited and not (self._expedited[0].expedited and self._is_pending(self._expedited[0])):
            self._expedited.popleft()

    def _is_valid(self, place: tuple[float, int, PendingPoll]) -> bool:
        scheduled, _, entry = place
        return scheduled == entry.scheduled_at and self._is_pending(entry)

    def _is_pending(self, entry: PendingPoll) -> bool:
        return entry.request is None and bool(entry.waiters)

    def _schedule(self, entry: PendingPoll) -> float:
        """When to poll a task, with the present interval factor."""
        if not entry.accepts_factor or entry.created is None or entry.created < self._factor_since:
            return entry.requested_at
        return entry.requested_at + max(entry.delay, 0.0) * (self._factor - 1.0)

    def _move(self, entry: PendingPoll, scheduled: float) -> None:
        if scheduled != entry.scheduled_at:
            entry.scheduled_at = scheduled
            self._push(entry)

    def _push(self, entry: PendingPoll) -> None:
        if entry.request is None:
            heapq.heappush(self._heap, (entry.scheduled_at, next(self._order), entry))
            if self._heap[0][2] is entry:  # else something is sent before it, which wakes in time
                self._changed.set()

    def _request_done(self, request: asyncio.Task[None]) -> None:
        if len(self._requests) >= self._settings.max_concurrent_polls:
            self._changed.set()
        self._requests.discard(request)

    async def _poll(self, entry: PendingPoll) -> None:
        sent_at = asyncio.get_running_loop().time()
        try:
            outcome = await self._send(entry)
            if not isinstance(outcome, TaskState) and is_throttled(outcome):
                self._metrics.count("polls_throttled", entry.action.name)
                if self._requeue_throttled(entry, sent_at):
                    return
            else:
                self._proven_rate = self._limiter.rate
                answered = isinstance(outcome, TaskState | MpsApiError)
                self._metrics.count("polls" if answered else "polls_failed", entry.action.name)
            if isinstance(outcome, TaskState):
                if outcome.is_finished and self._reserve_for_worker:
                    self._limiter.reserve()
                if self.on_state is not None:
                    self.on_state(entry.task_id, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the waits of this task
            self._hand_out(entry, error)
        else:
            self._hand_out(entry, PollResult(outcome, max(sent_at - entry.scheduled_at, 0.0)))

    async def _send(self, entry: PendingPoll) -> TaskState | MpsError:
        """What one request brought. It ends, whatever happens in it: others need its place, and it has waits."""
        seconds = self._settings.poll_timeouts * self._client.config.timeout + self._settings.poll_timeout_margin
        try:
            async with asyncio.timeout(seconds):
                with self._limiter.request():
                    return await self._client.poll(entry.action)
        except MpsError as error:
            return error
        except TimeoutError:
            reason = f"no outcome within {seconds:g} seconds"
        except asyncio.CancelledError:
            if entry.request is None or entry.request.cancelling():
                raise
            reason = "something that it waited for was cancelled"
        return MpsTransportError(reason, action=entry.action.name, category=Category.UNREACHABLE)

    def _requeue_throttled(self, entry: PendingPoll, sent_at: float) -> bool:
        """Let a throttled poll keep its place, for a while."""
        if entry.throttled_since is None:
            entry.throttled_since = sent_at
        if sent_at - entry.throttled_since > self._settings.throttle_timeout:
            return False
        entry.request = None
        self._push(entry)
        return True

    def _hand_out(self, entry: PendingPoll, result: PollResult | Exception) -> None:
        hint = isinstance(result, PollResult) and result.outcome is None
        served = [waiter for waiter, accepts_hints in entry.waiters.items() if accepts_hints or not hint]
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
            self._heap = [place for place in self._heap if self._is_valid(place)]
            heapq.heapify(self._heap)
