"""
How fast one process may ask: requests per second, one pace per account and action. It falls when MPS throttles.

Processes that share an account need no coordination: each slows down by itself when MPS refuses, and slowly asks for
more again.
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

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError

# A refusal shows the limit: halve at once, double every few seconds up to just below it, and try for more only slowly,
# ever faster the longer nothing is refused. https://www.rfc-editor.org/rfc/rfc9438 (CUBIC) does it for networks.
_BELOW_THE_LIMIT = 0.95
_DOUBLING = 5.0
_GROWTH = 0.05
_GROWTH_TIME = 60.0
# So many answers without a refusal, and at least a second's worth, show that the rate before it was possible.
_FEW = 3
SLOWEST = 0.2
"""Requests per second that are always left, or nobody would find out that the limit is gone."""

# What is sent evenly does not arrive evenly, and at the limit itself any unevenness is refused. And a busy loop
# wakes late: it catches up, by less than that margin, so that no second holds more than the ceiling.
_MOST = 0.97
_CATCH_UP = 0.02  # seconds

# MPS counts by the second: what is sent in the rest of it is refused as well, and tells nothing of the limit.
REST = 1.0

_MOST_PACES = 1024


class RateLimiter:
    """
    Turns to send, evenly spaced and without bursts. Safe to use from several threads and event loops.

    :param ceiling: requests per second that are never exceeded; those who always want to send get 97 % of it.
    :param clock: seconds, never going back.
    """

    def __init__(self, ceiling: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceiling = max(ceiling, SLOWEST)
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()
        self._next_turn = 0.0
        self._passed = 0
        self._low = self._limit = self.ceiling
        self._refused_at: float | None = None

    @property
    def rate(self) -> float:
        """Requests per second at this moment."""
        return self._rate(self._clock())

    def wait(self) -> float:
        """Seconds until a turn is free; nothing is taken."""
        return max(self._next_turn - self._clock(), 0.0)

    def take(self) -> float:
        """Take the next turn; returns the seconds until it comes."""
        with self._lock:
            now = self._clock()
            turn = max(now - _CATCH_UP, self._next_turn)
            self._next_turn = turn + 1 / min(self._rate(now), _MOST * self.ceiling)
            return max(turn - now, 0.0)

    async def turn(self) -> None:
        """Wait for the next turn and take it, in the order of asking. Who is cancelled while waiting takes none."""
        async with self._queues.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await asyncio.sleep(self.wait())
            pause = self.take()
        await asyncio.sleep(pause)  # another thread was faster

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Send a request in here: what is answered shows whether the rate is possible. No answer tells nothing."""
        sent = self._clock()
        try:
            yield
        except MpsApiError as error:
            if error.category is Category.THROTTLED:
                self.refused(sent)
            else:
                self.passed()
            raise
        self.passed()

    def passed(self) -> None:
        """MPS answered a request, and did not refuse it as one too many."""
        with self._lock:
            self._passed += 1

    def refused(self, sent: float) -> None:
        """
        MPS refused a request as one too many.

        :param sent: when it was sent, on this pace's clock. What was sent before the last slowing down tells nothing
            new.
        """
        with self._lock:
            if self._refused_at is not None and sent <= self._refused_at:
                return
            now = self._clock()
            rate = self._rate(now)
            if self._passed >= max(_FEW, rate):
                self._limit = rate * _BELOW_THE_LIMIT
            # Else everything is refused at the moment, which tells nothing of the limit: it is aimed at again.
            self._low = max(rate / 2, SLOWEST)
            self._passed = 0
            self._refused_at = now
            self._next_turn = max(self._next_turn, now + REST)

    def _rate(self, now: float) -> float:
        if self._refused_at is None:
            return self.ceiling
        calm = now - self._refused_at
        until_back = _DOUBLING * math.log2(max(self._limit / self._low, 1.0))
        if calm < until_back:
            rate = self._low * 2 ** (calm / _DOUBLING)
        else:
            rate = max(self._limit, self._low) * (1 + _GROWTH * ((calm - until_back) / _GROWTH_TIME) ** 3)
        return min(max(rate, SLOWEST), self.ceiling)


_paces: OrderedDict[tuple[str, str], RateLimiter] = OrderedDict()
_paces_lock = threading.Lock()


def rate_limiter_for(action: Action[Any], config: ClientConfig) -> RateLimiter:
    """
    The pace of this process for an action of the config's account.

    Looks keep to ``quota_share`` of what MPS documents, so that others of the account get their turn; submissions and
    aborts are what somebody waits for, and may use all of it. MPS counts each action for itself. Of connections of one
    account that name different shares, the one that was used last counts.
    """
    ceiling = action.requests_per_second * (config.quota_share if action.polled else 1.0)
    key = (config.account_key, action.name)
    with _paces_lock:
        pace = _paces.get(key) or RateLimiter(ceiling)
        _paces[key] = pace
        pace.ceiling = max(ceiling, SLOWEST)
        _paces.move_to_end(key)
        if len(_paces) > _MOST_PACES:  # temporary keys come and go
            _paces.popitem(last=False)
        return pace


def forget_all() -> None:
    """Start as a new process does."""
    global _paces_lock  # after a fork another thread's lock would stay locked for ever
    _paces_lock = threading.Lock()
    _paces.clear()


os.register_at_fork(after_in_child=forget_all)
