"""
How fast one process sends requests: an adaptive limit per second, one for each account and action.

Processes that share an account need no coordination: each slows down by itself when MPS throttles it, and slowly tries
higher rates again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_mps.client.action import Action
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.retry import is_throttled
from airflow_provider_mps.errors import MpsApiError

# A throttled request shows the limit: halve the rate at once, double it every few seconds up to just below the limit,
# and go beyond that only slowly at first, with the cube of the time since.
# https://www.rfc-editor.org/rfc/rfc9438 (CUBIC) does it for networks.
BELOW_LIMIT = 0.95  # of the rate that was throttled
DOUBLING_TIME = 5.0  # seconds
GROWTH = 0.05  # of the rate, after the first growth time
GROWTH_TIME = 60.0  # seconds
# A rate has proved possible after this many answers that were not throttled, and at least those of a second.
MIN_SAMPLES = 3
MIN_RATE = 0.2
"""Requests per second that are always left; else nothing would show that the limit is gone."""

# What is sent evenly does not arrive evenly, and at the limit itself any unevenness is throttled. And a busy loop
# wakes late: it catches up, by less than that margin, so that no second holds more than the maximum.
HEADROOM = 0.97  # of the maximum
CATCH_UP = 0.02  # seconds

# MPS counts by the second: what is sent in the rest of it is throttled as well, and shows nothing of the limit.
THROTTLE_COOLDOWN = 1.0  # seconds

MAX_LIMITERS = 1024


class RateLimiter:
    """
    Evenly spaced turns to send a request, without bursts. Safe to use from several threads and event loops.

    :param max_rate: the upper limit in requests per second. Continuous requests reach 97 % of it.
    :param clock: seconds, never going back.
    """

    def __init__(self, max_rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_rate = max(max_rate, MIN_RATE)
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()
        self._next_turn = 0.0
        self._successes = 0
        self._low_rate = self._limit = self.max_rate
        self._throttled_at: float | None = None

    @property
    def rate(self) -> float:
        """Requests per second at this moment."""
        return self._rate(self._clock())

    def delay(self) -> float:
        """Seconds until a turn is free; none is reserved."""
        return max(self._next_turn - self._clock(), 0.0)

    def reserve(self, max_rate: float = math.inf) -> float:
        """
        Reserve the next turn; returns the seconds until it comes.

        :param max_rate: no higher rate than this, for a turn whose request another process sends: what MPS answers to
            it does not show here whether the rate is possible.
        """
        with self._lock:
            now = self._clock()
            turn = max(now - CATCH_UP, self._next_turn)
            self._next_turn = turn + 1 / min(self._rate(now), HEADROOM * self.max_rate, max_rate)
            return max(turn - now, 0.0)

    async def acquire(self) -> None:
        """Wait for the next turn and take it, in the order of asking. A task that is cancelled meanwhile takes none."""
        async with self._queues.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await asyncio.sleep(self.delay())
            remaining = self.reserve()
        await asyncio.sleep(remaining)  # another thread was faster

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Send a request in here: any answer shows whether the rate is possible; without an answer nothing is known."""
        sent_at = self._clock()
        try:
            yield
        except MpsApiError as error:
            if is_throttled(error):
                self.on_throttled(sent_at)
            else:
                self.on_success()
            raise
        self.on_success()

    def on_success(self) -> None:
        """MPS answered a request without throttling it."""
        with self._lock:
            self._successes += 1

    def on_throttled(self, sent_at: float) -> None:
        """
        MPS throttled a request.

        :param sent_at: when it was sent, on this limiter's clock. A request that was sent before the rate was last
            lowered shows nothing new.
        """
        with self._lock:
            if self._throttled_at is not None and sent_at <= self._throttled_at:
                return
            now = self._clock()
            rate = self._rate(now)
            if self._successes >= max(MIN_SAMPLES, rate):
                self._limit = rate * BELOW_LIMIT
            # Else everything is throttled at the moment, which shows nothing of the limit: the old one is kept.
            self._low_rate = max(rate / 2, MIN_RATE)
            self._successes = 0
            self._throttled_at = now
            self._next_turn = max(self._next_turn, now + THROTTLE_COOLDOWN)

    def _rate(self, now: float) -> float:
        if self._throttled_at is None:
            return self.max_rate
        since_throttle = now - self._throttled_at
        recovery_time = DOUBLING_TIME * math.log2(max(self._limit / self._low_rate, 1.0))
        if since_throttle < recovery_time:
            rate = self._low_rate * 2 ** (since_throttle / DOUBLING_TIME)
        else:
            beyond = (since_throttle - recovery_time) / GROWTH_TIME
            rate = max(self._limit, self._low_rate) * (1 + GROWTH * beyond**3)
        return min(max(rate, MIN_RATE), self.max_rate)


_limiters: OrderedDict[tuple[str, str], RateLimiter] = OrderedDict()
_limiters_lock = threading.Lock()


def rate_limiter_for(action: Action[Any], config: ClientConfig) -> RateLimiter:
    """
    The rate limiter of this process for an action of the config's account. MPS counts each action for itself.

    Polls keep to ``quota_share`` of what MPS documents, so that other programs of the account get their turn;
    submissions and aborts are urgent, and may use all of it. If connections of one account set different
    ``quota_share`` values, the most recently used one applies.
    """
    max_rate = action.requests_per_second * (config.quota_share if action.polled else 1.0)
    key = (config.account_key, action.name)
    with _limiters_lock:
        limiter = _limiters.get(key) or RateLimiter(max_rate)
        _limiters[key] = limiter
        limiter.max_rate = max(max_rate, MIN_RATE)
        _limiters.move_to_end(key)
        if len(_limiters) > MAX_LIMITERS:  # temporary keys come and go
            _limiters.popitem(last=False)
        return limiter


def forget_all() -> None:
    """Start as a new process does."""
    global _limiters_lock  # after a fork another thread's lock would stay locked for ever
    _limiters_lock = threading.Lock()
    _limiters.clear()


os.register_at_fork(after_in_child=forget_all)
