"""
How fast one process may ask: requests per second, one pace per account and action. It falls when MPS throttles.

Processes that share an account need no coordination: each slows down by itself when MPS refuses, and slowly asks for
more again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig

# A refusal shows the limit: halve at once, be back just below it in a few seconds, and try for more only slowly,
# ever faster the longer nothing is refused. https://www.rfc-editor.org/rfc/rfc9438 (CUBIC) does it for networks.
_BELOW_THE_LIMIT = 0.95
_BACK_AFTER = 5.0
_GROWTH = 0.05
_GROWTH_TIME = 60.0
SLOWEST = 0.2
"""Requests per second that are always left, or nobody would find out that the limit is gone."""

# What is sent evenly does not arrive evenly, and at the limit itself any unevenness is refused. And a busy loop
# wakes late: it catches up, by less than that margin, so that no second holds more than the ceiling.
_MOST = 0.97
_CATCH_UP = 0.02  # seconds

# MPS counts by the second: what is sent in the rest of it is refused as well, and tells nothing of the limit.
REST = 1.0

_MOST_PACES = 1024


class Pace:
    """
    Turns to send, evenly spaced and without bursts. Safe to use from several threads and event loops.

    :param ceiling: requests per second that are never exceeded; those who always want to send get 97 % of it.
    :param clock: seconds, never going back.
    """

    def __init__(self, ceiling: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceiling = max(ceiling, SLOWEST)
        self._clock = clock
        self._lock = threading.Lock()
        self._next_turn = 0.0
        self._limit = self.ceiling
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
            self._limit = max(self._rate(now) * _BELOW_THE_LIMIT, SLOWEST)
            self._refused_at = now
            self._next_turn = now + REST

    def _rate(self, now: float) -> float:
        if self._refused_at is None:
            return self.ceiling
        calm = now - self._refused_at
        if calm < _BACK_AFTER:
            rate = self._limit * (1 + calm / _BACK_AFTER) / 2
        else:
            rate = self._limit * (1 + _GROWTH * ((calm - _BACK_AFTER) / _GROWTH_TIME) ** 3)
        return min(max(rate, SLOWEST), self.ceiling)


_paces: OrderedDict[tuple[str, str, float], Pace] = OrderedDict()
_paces_lock = threading.Lock()


def pace_of(action: Action[Any], config: ClientConfig) -> Pace:
    """
    The pace of this process for an action of the config's account.

    Looks keep to ``quota_share`` of what MPS documents, so that others of the account get their turn; submissions and
    aborts are what somebody waits for, and may use all of it. MPS counts each action for itself.
    """
    ceiling = action.requests_per_second * (config.quota_share if action.polled else 1.0)
    key = (config.account_key, action.name, ceiling)
    with _paces_lock:
        pace = _paces.get(key) or Pace(ceiling)
        _paces[key] = pace
        _paces.move_to_end(key)
        if len(_paces) > _MOST_PACES:  # temporary keys come and go
            _paces.popitem(last=False)
        return pace
