"""Arguments of a trigger lie in Airflow's database: whatever is missing or odd there, the wait goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, RUNNING, as_json, first_event, new_context
from tests.support.submitting import new_operator

pytestmark = pytest.mark.fault("F67")
_WAYS = pytest.mark.parametrize("way", ["operator", "sensor"])


def _deferred(mps: LocalMps, way: str) -> tuple[Callable[[], Any], dict[str, Any], dict[str, Any]]:
    """A task that was deferred: how to make it anew, the arguments of its trigger, and those of its resume."""
    if way == "operator":
        new: Callable[[], Any] = new_operator(MpsProcessMediaOperator, deferrable=True)
    else:
        task_id = mps.backend.script([RUNNING])
        new = lambda: MpsTaskSensor(task_id="a_task", mps_task_id=task_id, deferrable=True, poke_interval=0.02)  # noqa: E731
    with pytest.raises(TaskDeferred) as caught:
        new().execute(new_context())
    arguments: dict[str, Any] = as_json(caught.value.trigger.serialize()[1])
    return new, arguments, as_json(caught.value.kwargs)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (dict.fromkeys(("region", "describe_action", "policy", "state")), "resume"),
        ({"cancel_on_kill": None}, "resume"),
        ({"poll_interval": None}, "failure"),
        ({"poll_interval": "30"}, "failure"),
        ({"policy": {"timeout": "1893456000"}}, "error"),
        ({"policy": {"outage_tolerance": None}}, "error"),
        ({"policy": "x"}, "resume"),
        ({"state": "x"}, "resume"),
        ({"state": {"started": "123", "trigger_failures": "many", "found": None}}, "resume"),
        ({"mps_conn_id": None}, "error"),
    ],
    ids=str,
)
@_WAYS
def test_f67_odd_arguments_lose_no_wait(airflow_mps: LocalMps, way: str, changed: dict[str, Any], status: str) -> None:
    """F67: None and text where numbers belong: it loads and sends its event; the worker polls, and the wait goes on."""
    new, arguments, resume = _deferred(airflow_mps, way)
    job = arguments["mps_task_id"]
    airflow_mps.backend.script([DONE] if status == "error" else [RUNNING, RUNNING, DONE], job)
    event = first_event(MpsTaskTrigger(**{**arguments, "poll_interval": 0.02, **changed}))
    assert event["status"] == status
    context = new_context()
    resume = {**resume, "event": event}
    try:
        ended = new().resume_execution("execute_complete", resume, context)
    except TaskDeferred as deferred:
        resume = as_json({**deferred.kwargs, "event": first_event(deferred.trigger)})
        ended = new().resume_execution("execute_complete", resume, context)
    assert ended == job


@_WAYS
def test_f67_missing_arguments_have_defaults(airflow_mps: LocalMps, way: str) -> None:
    """F67: each argument but the TaskId has a default."""
    _, arguments, _ = _deferred(airflow_mps, way)
    airflow_mps.backend.script([DONE], arguments["mps_task_id"])
    for name in set(arguments) - {"mps_task_id"}:
        stored = dict(arguments)
        del stored[name]
        trigger = MpsTaskTrigger(**stored)
        trigger.poll_interval = 0.02
        assert first_event(trigger)["status"] == "resume", name
