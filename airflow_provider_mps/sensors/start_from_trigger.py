"""Start a sensor in the triggerer: the first half of a wait then needs no worker."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg
from airflow.sdk.definitions.xcom_arg import PlainXComArg
from airflow.triggers.base import StartTriggerArgs

if TYPE_CHECKING:
    from airflow_provider_mps.sensors.mps import MpsTaskSensor

# The trigger stops by itself this many seconds before Airflow would stop it.
_MARGIN = 60.0
_LIMITS = ("outage_tolerance", "not_found_grace", "settle_grace")


def start_trigger_args(sensor: MpsTaskSensor) -> StartTriggerArgs:
    """
    Return the arguments with which Airflow's scheduler starts the wait of a sensor without a worker.

    :raises MpsConfigError: this sensor cannot start in the triggerer.
    """
    from airflow_provider_mps.errors import MpsConfigError

    if not sensor.deferrable:
        raise MpsConfigError(f"Task {sensor.task_id}: start_from_trigger=True needs deferrable=True.")
    if sensor.execution_timeout is not None:
        raise MpsConfigError(
            f"Task {sensor.task_id}: with start_from_trigger=True Airflow counts execution_timeout from the start of "
            "the wait. Set `timeout` to bound the wait, and execution_timeout=None."
        )
    if not 0 < sensor.poke_interval < math.inf:
        raise MpsConfigError(f"Task {sensor.task_id}: poke_interval is {sensor.poke_interval!r}; it must be above 0.")
    for name in _LIMITS:
        seconds = getattr(sensor, name)
        if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            raise MpsConfigError(f"Task {sensor.task_id}: {name} is {seconds!r:.40}, not a number of seconds.")
    return StartTriggerArgs(
        trigger_cls="airflow_provider_mps.triggers.mps.MpsTaskTrigger",
        trigger_kwargs={
            # Rendered in the triggerer, by the names of the sensor's template fields.
            **{name: _as_template(getattr(sensor, name)) for name in sensor.template_fields},
            "poll_interval": sensor.poke_interval,
            "policy": {"timeout": sensor.timeout, **{name: getattr(sensor, name) for name in _LIMITS}},
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout + _MARGIN),
    )


def _as_template(value: Any) -> Any:
    """
    Return a template for the triggerer, which can read one XCom but not those of all map indexes.

    With Airflow 3.3.2 the triggerer cannot decode GetXComSequenceSlice, and the task hangs.
    """
    from airflow_provider_mps.errors import MpsConfigError

    if isinstance(value, PlainXComArg) and not value.operator.is_mapped:
        return f"{{{{ ti.xcom_pull(task_ids='{value.operator.task_id}', key='{value.key}', map_indexes=-1) }}}}"
    if isinstance(value, XComArg):
        raise MpsConfigError("With start_from_trigger=True an XCom must come from a task that is not mapped.")
    if isinstance(value, str) and "xcom_pull" in value and "map_indexes" not in value:
        raise MpsConfigError(
            f"With start_from_trigger=True write map_indexes=-1 into the xcom_pull of {value!r}: without it Airflow's "
            "triggerer never gets an answer, and the task hangs."
        )
    return value
