"""The metrics of the poller as Airflow metrics: ``mps.<name>``, with tags for action, account and host."""

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
    An :class:`~airflow_provider_mps.client.polling.metrics.Metrics` that sends each value to Airflow.

    :param account: identifies the account; it is not a key.
    """

    def __init__(self, account: str) -> None:
        # The host as well: two triggerers of one account have separate waits.
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
        except Exception:  # a failed metric must not fail a wait
            log.debug("The metric mps.%s was not sent.", name, exc_info=True)
