"""What the watch tells about itself, for metrics. It knows no metrics system; who starts it may bring one."""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Takes numbers; must neither block nor fail."""

    def count(self, name: str, action: str) -> None:
        """Something happened once more."""

    def gauge(self, name: str, value: float, action: str) -> None:
        """So many at this moment."""

    def timing(self, name: str, seconds: float, action: str) -> None:
        """Something took so long."""


class _Nobody:
    def count(self, name: str, action: str) -> None:
        pass

    def gauge(self, name: str, value: float, action: str) -> None:
        pass

    def timing(self, name: str, seconds: float, action: str) -> None:
        pass


NULL_METRICS: Metrics = _Nobody()
