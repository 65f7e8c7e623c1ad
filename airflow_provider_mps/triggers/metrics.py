"""What the watch tells about itself, as Airflow metrics: ``mps.<name>``, with tags for action, account and host."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk.observability import stats

log = logging.getLogger(__name__)


class AirflowMetrics:
    """
    An :class:`~airflow_provider_mps.client.polling.metrics.Metrics` that passes everything on to Airflow.

    :param account: tells accounts apart; no key of theirs.
    """

    def __init__(self, account: str) -> None:
        # The host as well: two triggerers of one account each have waits of their own.
        self._tags = {"account": account, "host": platform.node()}

    def count(self, name: str, action: str) -> None:
        self._send(stats.incr, name, action)

    def gauge(self, name: str, value: float, action: str) -> None:
        self._send(stats.gauge, name, action, value)

    def timing(self, name: str, seconds: float, action: str) -> None:
        self._send(stats.timing, name, action, timedelta(seconds=seconds))

    def _send(self, send: Callable[..., Any], name: str, action: str, *value: object) -> None:
        try:
            send(f"mps.{name}", *value, tags={"action": action, **self._tags})
        except Exception:  # no wait may fail for want of a metric
            log.debug("The metric mps.%s was not sent.", name, exc_info=True)
