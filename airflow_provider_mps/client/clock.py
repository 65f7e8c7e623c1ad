"""
The time of MPS, as the ``Date`` of its answers tells it.

Workers, triggerers and MPS have a clock each, and each may be wrong. All times that leave a process (when a job was
sent, deadlines, windows of a search) are in MPS's time, so that no two clocks are ever compared. Durations inside a
process are measured with a clock that is never set.
"""

from __future__ import annotations

import logging
import time
from email.utils import parsedate_to_datetime

from airflow_provider_mps.errors import clock_in_words

log = logging.getLogger(__name__)

SIGNIFICANT_OFFSET = 60.0
"""Seconds: a clock that is off by less is neither reported nor the reason for a rejected signature."""

# ``Date`` is cut to whole seconds, and an answer is on its way for some time: less than this is no change.
_TOLERANCE = 2.0  # seconds


class MpsClock:
    """
    MPS's clock, followed by a monotonic one: it does not move when the clock of this machine is set.

    :ivar is_known: whether MPS has told its time to this process; until then it is the time of this machine.
    :ivar offset: seconds by which :meth:`now` is ahead of the monotonic clock.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.offset = time.time() - time.monotonic()
        self._last_date: str | None = None
        self._has_warned = False

    def now(self) -> float:
        """Unix seconds by MPS's clock; by this machine's as long as that is not known."""
        return time.monotonic() + self.offset

    def machine_ahead(self) -> float:
        """Seconds by which the clock of this machine is ahead of MPS's; 0 as long as that is not known."""
        return time.time() - self.now() if self.is_known else 0.0

    @property
    def is_machine_off(self) -> bool:
        """Whether the clock of this machine differs so much from MPS's that a person should set it."""
        return abs(self.machine_ahead()) >= SIGNIFICANT_OFFSET

    def observe(self, date: str | None) -> None:
        """Take over the ``Date`` of an answer that has just arrived; anything else is passed over."""
        if date == self._last_date:  # many answers arrive within its second
            return
        try:
            observed = parsedate_to_datetime(date or "").timestamp() + 0.5
        except (TypeError, ValueError):
            return
        self._last_date = date
        offset = observed - time.monotonic()
        if not self.is_known or abs(offset - self.offset) > _TOLERANCE:
            self.is_known, self.offset = True, offset
            self._warn_once()

    def _warn_once(self) -> None:
        if self.is_machine_off and not self._has_warned:
            self._has_warned = True
            text = clock_in_words(self.machine_ahead())
            log.warning(
                "%s. Requests are signed with Tencent Cloud's time; set the clock of this machine.",
                text[:1].upper() + text[1:],
            )


_clocks: dict[str, MpsClock] = {}


def clock_for(endpoint: str) -> MpsClock:
    """The clock of an API endpoint, shared by all clients of this process."""
    return _clocks.setdefault(endpoint, MpsClock())


def forget_all() -> None:
    """Start as a new process does."""
    _clocks.clear()
