"""
The time of MPS, as the ``Date`` of its answers tells it.

Workers, triggerers and MPS have a clock each, and each may be wrong. All times that leave a process (when a job was
sent, deadlines, windows of a search) are in MPS's time, so that no two clocks are ever compared. Durations inside a
process are measured with a clock that is never set.
"""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime

# ``Date`` is cut to whole seconds, and an answer is on its way for some time: less than this is no change.
_TOLERANCE = 2.0  # seconds


class MpsClock:
    """MPS's clock, followed by a monotonic one: it does not move when somebody sets the clock of this machine."""

    def __init__(self) -> None:
        self._offset: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether MPS has told its time to this process."""
        return self._offset is not None

    def now(self) -> float:
        """Unix seconds by MPS's clock; by this machine's as long as that is not known."""
        return time.time() if self._offset is None else time.monotonic() + self._offset

    def machine_ahead(self) -> float:
        """Seconds by which the clock of this machine is ahead of MPS's; 0 as long as that is not known."""
        return 0.0 if self._offset is None else time.time() - self.now()

    def observe(self, date: str | None) -> None:
        """Take over the ``Date`` of an answer that has just arrived; anything else is passed over."""
        try:
            told = parsedate_to_datetime(date or "").timestamp() + 0.5
        except (TypeError, ValueError):
            return
        offset = told - time.monotonic()
        if self._offset is None or abs(offset - self._offset) > _TOLERANCE:
            self._offset = offset


_clocks: dict[str, MpsClock] = {}
_lock = threading.Lock()


def clock_for(endpoint: str) -> MpsClock:
    """The clock of an API endpoint, shared by all clients of this process."""
    with _lock:
        return _clocks.setdefault(endpoint, MpsClock())


def forget_all() -> None:
    """Start as a new process does."""
    _clocks.clear()
