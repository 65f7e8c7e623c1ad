"""What a poller reports for metrics. It knows no metrics system; whoever starts it may bring one."""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Takes numbers; must neither block nor fail. ``action`` is the name of the MPS action."""

    def count(self, name: str, action: str) -> None:
        """Something happened once more."""

    def gauge(self, name: str, value: float, action: str) -> None:
        """The value at this moment."""

    def timing(self, name: str, seconds: float, action: str) -> None:
        """How long something took."""


class _NullMetrics:
    def count(self, name: str, action: str) -> None:
        pass

    def gauge(self, name: str, value: float, action: str) -> None:
        pass

    def timing(self, name: str, seconds: float, action: str) -> None:
        pass


NULL_METRICS: Metrics = _NullMetrics()
