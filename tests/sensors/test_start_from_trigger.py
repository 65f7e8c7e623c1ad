"""A sensor that begins in the triggerer: the same wait, a worker only at its end."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, FAILED, RUNNING, as_json, new_context


def _sensor(task_id: str, **arguments: Any) -> MpsTaskSensor:
    arguments = {"poke_interval": 0.02, "timeout": 20, **arguments}
    return MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, start_from_trigger=True, **arguments)


def _run(sensor: MpsTaskSensor, timeout_after: datetime | None = None) -> dict[str, Any]:
    """What the scheduler and the triggerer do with it: the event of its trigger."""
    args = sensor.start_trigger_args
    assert args is not None
    assert args.trigger_cls.rpartition(".")[2] == "MpsTaskTrigger"
    assert args.timeout is not None
    trigger = MpsTaskTrigger(**as_json(args.trigger_kwargs))
    trigger.timeout_after = timeout_after or datetime.now(UTC) + args.timeout  # type: ignore[attr-defined]

    async def first() -> Any:
        return [event.payload async for event in trigger.run()]

    [event] = asyncio.run(asyncio.wait_for(first(), 30))
    return as_json(event)  # type: ignore[no-any-return]


def test_it_ends_as_any_other(airflow_mps: LocalMps) -> None:
    """The worker that starts at the end returns the TaskId, or raises what the sensor raises in every other mode."""
    task_id = airflow_mps.backend.script([RUNNING, DONE])
    event = _run(_sensor(task_id))
    assert _sensor(task_id).resume_execution("execute_complete", {"event": event}, new_context()) == task_id
    task_id = airflow_mps.backend.script([RUNNING, FAILED])
    event = _run(_sensor(task_id))
    with pytest.raises(MpsTaskFailed):
        _sensor(task_id).resume_execution("execute_complete", {"event": event}, new_context())


def test_the_wait_begins_with_the_first_poll_of_the_trigger(airflow_mps: LocalMps) -> None:
    """Its timeout counts from there; Airflow's own is a minute later."""
    task_id = airflow_mps.backend.script([RUNNING])
    sensor = _sensor(task_id, timeout=1.5)
    event = _run(sensor)
    assert event["status"] == "timeout"
    assert sensor.start_trigger_args is not None
    assert sensor.start_trigger_args.timeout == timedelta(seconds=61.5)
    with pytest.raises(AirflowSensorTimeout, match=task_id):
        sensor.resume_execution("execute_complete", {"event": event}, new_context())


@pytest.mark.parametrize("arguments", [{"mps_task_id": "None"}, {"mps_conn_id": "empty_key"}], ids=["id", "connection"])
def test_a_mistake_is_said_by_the_worker(airflow_mps: LocalMps, arguments: dict[str, Any]) -> None:
    """What the triggerer cannot even ask comes back as an error of the task, with its reason."""
    sensor = _sensor(arguments.pop("mps_task_id", airflow_mps.backend.script([RUNNING])), **arguments)
    event = _run(sensor)
    assert event["status"] == "error"
    with pytest.raises(MpsConfigError):
        sensor.resume_execution("execute_complete", {"event": event}, new_context())


def test_an_xcom_reads_as_a_template() -> None:
    """The id of a submit operator is rendered in the triggerer; the dependency between the two stays."""
    with DAG("a_dag", schedule=None):
        submit = MpsProcessMediaOperator(task_id="submit", request={})
        sensor = _sensor(submit.output)  # type: ignore[arg-type]
    assert sensor.start_trigger_args is not None
    kwargs = sensor.start_trigger_args.trigger_kwargs or {}
    assert kwargs["mps_task_id"] == "{{ ti.xcom_pull(task_ids='submit', key='return_value', map_indexes=-1) }}"
    assert json.loads(json.dumps(kwargs)) == kwargs
    assert sensor.upstream_task_ids == {"submit"}


def test_a_template_that_would_hang_is_refused() -> None:
    """Airflow's triggerer answers for one XCom only; what asks for more is found when the DAG is read."""
    with pytest.raises(MpsConfigError, match="map_indexes=-1"):
        _sensor("{{ ti.xcom_pull(task_ids='submit') }}")
    _sensor("{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}")
    with DAG("a_dag", schedule=None):
        mapped = MpsProcessMediaOperator.partial(task_id="submit").expand(request=[{}, {}])
        with pytest.raises(MpsConfigError, match="not mapped"):
            _sensor(mapped.output)  # type: ignore[arg-type]


def test_a_mapped_sensor_is_told(airflow_mps: LocalMps) -> None:
    """Airflow starts mapped tasks on a worker whatever is asked; the task says so instead of doing something else."""
    sensor = _sensor(airflow_mps.backend.script([DONE]))
    with pytest.raises(MpsConfigError, match="mapped"):
        sensor.execute(new_context(map_index=3))
    assert sensor.execute(new_context()) == sensor.mps_task_id  # dag.test() starts every task like this


def test_it_is_refused_where_it_cannot_work() -> None:
    """A sensor that is not deferrable says so when the DAG is read."""
    with pytest.raises(MpsConfigError, match="deferrable=True"):
        MpsTaskSensor(task_id="wait", mps_task_id="1-WorkflowTask-2", deferrable=False, start_from_trigger=True)


@pytest.mark.fault("F54")
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), None, "5"])
def test_f54_an_interval_that_is_none(airflow_mps: LocalMps, seconds: Any) -> None:
    """Refused before anything is sent, when the DAG is read or when the task starts."""
    task_id = airflow_mps.backend.script([DONE])
    with pytest.raises((ValueError, TypeError, OverflowError)):
        MpsTaskSensor(task_id="wait", mps_task_id=task_id, poke_interval=seconds).execute(new_context())
    assert not airflow_mps.backend.calls


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"execution_timeout": timedelta(hours=1)}, "execution_timeout"),
        ({"outage_tolerance": -1}, "outage_tolerance"),
        ({"settle_grace": "120"}, "settle_grace"),
        ({"poke_interval": 0}, "poke_interval"),
    ],
)
def test_what_would_end_the_wait_early_is_refused(arguments: dict[str, Any], text: str) -> None:
    """Airflow would count execution_timeout from the start of the wait; what no worker sees first is checked here."""
    with pytest.raises(MpsConfigError, match=text):
        _sensor("1-WorkflowTask-2", **arguments)
