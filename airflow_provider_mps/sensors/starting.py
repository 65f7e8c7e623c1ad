"""Start a sensor in the triggerer: Airflow 3.3 can, and the first half of a wait then needs no worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.triggers.base import BaseTrigger, StartTriggerArgs

if TYPE_CHECKING:
    from airflow_provider_mps.sensors.mps import MpsTaskSensor

# The trigger stops by itself so long before Airflow would stop it, in seconds.
_MARGIN = 60.0


def start_trigger_args(sensor: MpsTaskSensor) -> StartTriggerArgs:
    """
    What Airflow's scheduler needs to start the wait of a sensor without a worker.

    :raises MpsConfigError: this Airflow, or this sensor, cannot be started so.
    """
    from airflow_provider_mps.errors import MpsConfigError

    if not sensor.deferrable:
        raise MpsConfigError(f"Task {sensor.task_id}: start_from_trigger=True needs deferrable=True.")
    if not hasattr(BaseTrigger, "render_template_fields"):
        raise MpsConfigError(
            f"Task {sensor.task_id}: start_from_trigger=True needs Airflow 3.3, where a trigger can render templates. "
            "Leave it out: the sensor then starts on a worker and defers from there."
        )
    return StartTriggerArgs(
        trigger_cls="airflow_provider_mps.triggers.mps.MpsTaskTrigger",
        trigger_kwargs={
            # Rendered in the triggerer, by the names of the sensor's template fields; an XComArg reads as a template.
            "mps_task_id": str(sensor.mps_task_id),
            "mps_conn_id": sensor.mps_conn_id,
            "region": sensor.region,
            "describe_action": sensor.describe_action,
            "poll_interval": sensor.poke_interval,
            "timeout_margin": _MARGIN,
            "patience": {
                name: getattr(sensor, name) for name in ("outage_tolerance", "not_found_grace", "settle_grace")
            },
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout + _MARGIN),
    )
