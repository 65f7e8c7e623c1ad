"""A DAG file is read again and again, by processes without connections: constructors look nothing up."""

from __future__ import annotations

import inspect
import socket
from typing import Any, NoReturn

import pytest
from airflow.sdk import DAG, BaseHook

from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger

_ALL = [*(getattr(operators, name) for name in operators.__all__), MpsTaskSensor]
_EACH = pytest.mark.parametrize("kind", _ALL, ids=lambda kind: kind.__name__)
pytestmark = pytest.mark.fault("F62")


@pytest.fixture(autouse=True)
def _nothing_to_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a connection, a client or the network fails."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a constructor looked something up")

    for owner, name in (
        (BaseHook, "get_connection"),
        (BaseHook, "aget_connection"),
        (MpsHook, "get_conn"),
        (MpsHook, "aget_config"),
        (socket.socket, "connect"),
        (socket, "getaddrinfo"),
    ):
        monkeypatch.setattr(owner, name, refuse)


def _required(kind: type) -> dict[str, Any]:
    """A template for each argument that has to be given: nothing is known of it before the task runs."""
    own = inspect.signature(vars(kind).get("__init__") or kind.__init__).parameters.values()  # type: ignore[misc]
    names = [each.name for each in own if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    assert names
    return {name: f"{{{{ params.{name} }}}}" for name in names}


@_EACH
@pytest.mark.parametrize("conn_id", ["not_there", "{{ params.conn }}"])
def test_a_task_is_made_without_its_connection(kind: Any, conn_id: str) -> None:
    """Every operator and the sensor, deferrable or not, with templates for all it needs."""
    ways = [{"deferrable": False}, {"deferrable": True}]
    takes = inspect.signature(kind).parameters
    connected = {"mps_conn_id": conn_id} if "mps_conn_id" in takes else {}
    with DAG("a_dag", schedule=None):
        for number, way in enumerate(ways if "deferrable" in takes else [{}]):
            task = kind(task_id=f"task_{number}", **_required(kind), **connected, **way)
            assert all(hasattr(task, field) for field in task.template_fields)
            assert {name: getattr(task, name) for name in connected} == connected


@_EACH
def test_a_mapped_task_is_made_without_its_connection(kind: Any) -> None:
    """The same for tasks that are mapped."""
    arguments = _required(kind)
    name, template = arguments.popitem()
    with DAG("a_dag", schedule=None):
        mapped = kind.partial(task_id="a_task", **arguments).expand(**{name: [template, template]})
    assert mapped.is_mapped


def test_a_trigger_is_made_without_its_connection() -> None:
    """The scheduler and the triggerer make triggers as well, and store their arguments."""
    trigger = MpsTaskTrigger(mps_task_id="24-WorkflowTask-1", mps_conn_id="not_there", region="{{ params.region }}")
    assert MpsTaskTrigger(**trigger.serialize()[1]).serialize() == trigger.serialize()


def test_a_sensor_that_begins_in_the_triggerer_is_made_without_its_connection() -> None:
    """It only says what its trigger will be."""
    sensor = MpsTaskSensor(
        task_id="wait",
        mps_task_id="{{ params.x }}",
        mps_conn_id="{{ params.conn }}",
        deferrable=True,
        start_from_trigger=True,
    )
    assert (sensor.start_trigger_args.trigger_kwargs or {})["mps_conn_id"] == "{{ params.conn }}"
