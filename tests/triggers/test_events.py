"""What passes between worker and triggerer: the same connection on both sides, plain events, and no verdict."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

import airflow_provider_mps
from airflow_provider_mps.client.jobs.record import Attempt, JobRecord, JobState
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lifecycle.ledger import TaskStateJobStore
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, FAILED, RUNNING, as_json, first_event, new_context, refusal
from tests.support.submitting import new_operator

_END_EVENTS = {"BaseTaskEndEvent", "TaskFailedEvent", "TaskSkippedEvent", "TaskSuccessEvent"}


@pytest.mark.fault("F41")
def test_no_trigger_ends_a_task() -> None:
    """Airflow's end events skip retries and callbacks, so no module of this package names one."""
    for path in Path(airflow_provider_mps.__path__[0]).rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {
            getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) for node in tree
        }
        assert not names & _END_EVENTS, path


@pytest.mark.fault("F43")
@pytest.mark.parametrize(
    ("answers", "arguments"),
    [
        ([RUNNING, DONE], {}),
        ([FAILED], {}),
        ([RUNNING], {"policy": {"timeout": 1.0}, "state": {"started": 1.0}}),
        ([refusal("AuthFailure.SignatureFailure")], {}),
        ([refusal("ResourceNotFound")], {"policy": {"not_found_grace": 0.0}}),
        ([RUNNING], {"mps_conn_id": "empty_key"}),
    ],
    ids=["done", "failed", "deadline", "refused", "unknown", "no key"],
)
def test_an_event_is_plain_json(
    airflow_mps: LocalMps, answers: list[dict[str, Any]], arguments: dict[str, Any]
) -> None:
    """Every kind of event survives JSON and Airflow's own serialiser; one that does not would take a triggerer down."""
    task_id = airflow_mps.backend.script(answers)
    if "state" in arguments:
        arguments = {**arguments, "state": {**arguments["state"], "mps_task_id": task_id}}
    event = first_event(MpsTaskTrigger(mps_task_id=task_id, poll_interval=0.02, **arguments))
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert deserialize(serialize(event)) == event


@pytest.mark.fault("F56")
def test_both_halves_of_a_task_have_the_same_connection(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each argument of the hook travels with the trigger; all else comes from the one connection."""
    hook_arguments = set(inspect.signature(MpsHook.__init__).parameters) - {"self"}
    assert hook_arguments <= set(MpsTaskTrigger(mps_task_id="24-WorkflowTask-1").serialize()[1])
    extra = {"region": "ap-nanjing", "language": "en-US", "timeout": 7, "proxy": "http://proxy.invalid:3128"}
    connection = {"conn_type": "tencentcloud_mps", "login": "AKIDx", "password": "y", "host": "mps.example.com"}
    monkeypatch.setenv("AIRFLOW_CONN_FULL", json.dumps({**connection, "extra": {**extra, "verify": __file__}}))

    async def in_the_triggerer() -> Any:
        async with await MpsHook("full", region="ap-tokyo").aget_conn() as client:
            return client.config

    config = asyncio.run(in_the_triggerer())
    assert config == MpsHook("full", region="ap-tokyo").get_conn().config
    assert (config.region, config.timeout, config.proxy) == ("ap-tokyo", 7, "http://proxy.invalid:3128")


@pytest.mark.fault("F65")
@pytest.mark.parametrize("way", ["sensor", "operator"])
def test_an_event_taken_twice_ends_alike(airflow_mps: LocalMps, way: str) -> None:
    """Two triggerers may both send their event, and a task may be resumed twice: the same end, and one job."""
    context = new_context()
    if way == "sensor":
        task_id = airflow_mps.backend.script([RUNNING, DONE])
        new: Any = lambda: MpsTaskSensor(task_id="a_task", mps_task_id=task_id, deferrable=True, poke_interval=0.02)  # noqa: E731
    else:
        new = new_operator(MpsProcessMediaOperator, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        new().execute(context)
    event = first_event(caught.value.trigger)
    resume = as_json({**caught.value.kwargs, "event": event})
    ends = [new().resume_execution(caught.value.method_name, resume, context) for _ in range(2)]
    assert ends == list(airflow_mps.backend.tasks) * 2
    assert airflow_mps.backend.aborts == []


_ID = "1250000000-WorkflowTask-0123456789abcdef0123456789abcdeftt7"
_STRANGE: list[Any] = [
    None,
    {},
    "resume",
    5,
    ["resume"],
    {"status": "?"},
    {"status": "success", "failed": []},
    {"status": "FINISH", "message": "FINISH (1/1 parts done)"},
    {"status": 5},
    {"status": ["resume"]},
    {"status": "resume", "state": "x"},
    {"status": "permanent_error", "state": {"mps_task_id": "another", "trigger_failures": 9}},
    {"status": "resume", "state": {"mps_task_id": _ID, "an_unknown_field": 1}},
    {"status": "resume", "state": {"mps_task_id": _ID, "started": "yesterday", "answered": None}},
    {"status": "resume", "state": {"mps_task_id": _ID, "unsettled_since": "yesterday"}},
    {"status": "permanent_error", "state": {"mps_task_id": _ID, "trigger_failures": "many"}},
    {"status": "failure", "state": {"mps_task_id": _ID, "trigger_failures": None, "found": "yes"}},
]


@pytest.mark.fault("F39")
@pytest.mark.parametrize("event", _STRANGE, ids=lambda event: f"{event!r:.60}")
@pytest.mark.parametrize(
    ("state", "end"),
    [(DONE, None), (RUNNING, TaskDeferred), (FAILED, MpsTaskFailed)],
    ids=["done", "running", "failed"],
)
@pytest.mark.parametrize("way", ["sensor", "operator", "operator whose arguments are lost"])
def test_f39_a_strange_event_costs_one_poll(
    airflow_mps: LocalMps, way: str, state: dict[str, Any], end: type[BaseException] | None, event: Any
) -> None:
    """F39: a lost, empty or foreign event is no verdict: one poll, and what that says; what still runs is deferred."""
    airflow_mps.backend.script([state], _ID)
    context = new_context(xcoms={"mps_task_id": _ID})
    resume: dict[str, Any] = {"event": event, "state": {"mps_task_id": _ID, "started": time.time()}}
    task: Any = MpsTaskSensor(task_id="a_task", mps_task_id=_ID, deferrable=True)
    if way != "sensor":
        task = new_operator(MpsProcessMediaOperator, deferrable=True)()
        accepted = JobRecord("ProcessMedia", "f", "s", Attempt(1, 2, 2), sent_at=time.time(), mps_task_id=_ID)
        record = replace(accepted, state=JobState.ACCEPTED)
        TaskStateJobStore.of(context, timeout=60).save(record)
        resume = {**resume, "record": as_json(record.to_dict())} if way == "operator" else {"event": event}
    with contextlib.nullcontext() if end is None else pytest.raises(end):
        assert task.resume_execution("execute_complete", resume, context) == _ID
    assert [call.action for call in airflow_mps.backend.calls] == ["DescribeTaskDetail"]
