"""What the watch tells about itself, as Airflow metrics: ``mps.<name>`` with the tag ``action``."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk.observability.stats import Stats


class AirflowMetrics:
    """An :class:`~airflow_provider_mps.client.observing.Observer` that passes everything on to Airflow."""

    def count(self, name: str, action: str) -> None:
        Stats.incr(f"mps.{name}", tags={"action": action})

    def gauge(self, name: str, value: float, action: str) -> None:
        Stats.gauge(f"mps.{name}", value, tags={"action": action})

    def timing(self, name: str, seconds: float, action: str) -> None:
        Stats.timing(f"mps.{name}", timedelta(seconds=seconds), tags={"action": action})
