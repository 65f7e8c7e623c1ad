"""What an earlier release has left in Airflow's database is carried on by this one. Recorded, never rewritten."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string

import airflow_provider_mps
from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.jobs.submission import Identity
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from dev.record_release import FOLDER, REQUEST, record
from tests.support.harness import DONE, RUNNING, as_json, first_event, new_context, retry, run_operator
from tests.support.submitting import jobs, new_operator

RELEASES = sorted(FOLDER.glob("*.json"))
_EACH = pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
_HALVES = pytest.mark.parametrize("half", ["operator", "sensor"])


def _read(path: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return recorded


def _job(recorded: dict[str, Any]) -> str:
    return str(recorded["store"]["mps_job"]["mps_task_id"])


def _new(recorded: dict[str, Any], half: str) -> Any:
    if half == "operator":
        return new_operator(MpsProcessMediaOperator, deferrable=True)()
    return MpsTaskSensor(task_id="a_task", mps_task_id=_job(recorded), deferrable=True, poke_interval=0.02)


def test_this_release_is_recorded() -> None:
    """A version that has been given a number has its record: ``python -m dev.record_release``."""
    assert airflow_provider_mps.__version__ in {path.stem for path in RELEASES}


@pytest.mark.fault("F67")
@_EACH
@_HALVES
def test_a_trigger_of_an_earlier_release_runs(airflow_mps: LocalMps, path: Path, half: str) -> None:
    """Its path and arguments, as they lie in the database, make a trigger that ends with one event."""
    recorded = _read(path)
    stored = recorded[half]["trigger"]
    airflow_mps.backend.script([RUNNING, DONE], _job(recorded))
    for deadline, status in ((time.time() - 1, "timeout"), (time.time() + 60, "look")):
        arguments = {**stored["arguments"], "poll_interval": 0.02, "deadline": deadline}
        trigger = import_string(stored["path"])(**arguments)
        assert first_event(trigger)["status"] == status
        assert set(stored["arguments"]) <= set(trigger.serialize()[1])


@pytest.mark.fault("F67")
@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (dict.fromkeys(("region", "describe_action", "deadline", "timeout_margin", "patience")), "look"),
        ({"cancel_on_kill": None}, "look"),
        ({"timeout_margin": "5"}, "look"),
        ({"poll_interval": None}, "fault"),
        ({"poll_interval": "30"}, "fault"),
        ({"deadline": "1893456000"}, "fault"),
        ({"patience": {"outage_tolerance": None}}, "error"),
        ({"patience": "x"}, "look"),
        ({"patience": {"started": "123", "faults": "many", "found": None}}, "look"),
        ({"mps_conn_id": None}, "error"),
    ],
    ids=str,
)
@_EACH
@_HALVES
def test_f67_a_trigger_with_odd_arguments_loses_no_wait(
    airflow_mps: LocalMps, path: Path, half: str, changed: dict[str, Any], status: str
) -> None:
    """F67: None and text where numbers belong: it loads and sends its event; the worker looks, and the wait goes on."""
    recorded = _read(path)
    stored = recorded[half]["trigger"]
    steps = [DONE] if status == "error" else [RUNNING, RUNNING, DONE]
    airflow_mps.backend.script(steps, _job(recorded))
    event = first_event(
        import_string(stored["path"])(**{**stored["arguments"], "poll_interval": 0.02, "deadline": None, **changed})
    )
    assert event["status"] == status
    resume = {**recorded[half]["kwargs"], "deadline": time.time() + 60}
    context = new_context()
    try:
        ended = _new(recorded, half).resume_execution("execute_complete", {**resume, "event": event}, context)
    except TaskDeferred as deferred:
        resume = as_json({**deferred.kwargs, "event": first_event(deferred.trigger)})
        ended = _new(recorded, half).resume_execution("execute_complete", resume, context)
    assert ended == _job(recorded)


@pytest.mark.fault("F67")
@_EACH
@_HALVES
def test_f67_a_trigger_that_lacks_arguments_runs(airflow_mps: LocalMps, path: Path, half: str) -> None:
    """F67: each argument that came later has a default, so that a release which did not know it can be followed."""
    recorded = _read(path)
    stored = recorded[half]["trigger"]
    airflow_mps.backend.script([DONE], _job(recorded))
    for name in set(stored["arguments"]) - {"mps_task_id"}:
        arguments = {**stored["arguments"], "deadline": None, "poll_interval": 0.02}
        del arguments[name]
        trigger = import_string(stored["path"])(**arguments)
        trigger.poll_interval = 0.02
        assert first_event(trigger)["status"] == "look"


@pytest.mark.fault("F67")
@_EACH
@_HALVES
def test_a_deferral_of_an_earlier_release_is_resumed(airflow_mps: LocalMps, path: Path, half: str) -> None:
    """Method, arguments and event of then end in the verdict of now."""
    recorded = _read(path)
    airflow_mps.backend.script([DONE], _job(recorded))
    stored = recorded[half]
    resume = {**stored["kwargs"], "event": stored["event"]}
    assert _new(recorded, half).resume_execution(stored["method"], resume, new_context()) == _job(recorded)


@pytest.mark.fault("F67")
@_EACH
def test_a_job_of_an_earlier_release_is_taken_up(airflow_mps: LocalMps, path: Path) -> None:
    """A retry after the upgrade finds the job in the task state store, and sends no second one."""
    recorded = _read(path)
    airflow_mps.backend.script([DONE], _job(recorded))
    context = retry(new_context(store=True, max_tries=recorded["store"]["mps_job"]["epoch"]))
    context["task_state_store"].set("mps_job", recorded["store"]["mps_job"])
    assert run_operator(new_operator(MpsProcessMediaOperator, deferrable=True), context) == _job(recorded)
    assert list(airflow_mps.backend.tasks) == [_job(recorded)]


# A run as Airflow has them, with microseconds; long ago, so that MPS remembers no SessionId of it, whenever this runs.
_RUN_START = 1735689600.123456
_SESSIONS = (
    "airflow-b9830ac0d00fca646ccea422a3e45be18204839e",
    "airflow-ca44a46f37f6f4e4c9d65799f241c312d95a8fb9",
)
_MARKER = "airflow-e60a530abd353682935e3df6949c859d5b34404f"


@pytest.mark.fault("F67")
def test_the_ids_of_a_real_run_stay_for_ever() -> None:
    """What 0.1.0 writes into a job of a real run: another value, and a retry after an upgrade pays again."""
    identity = Identity("a_dag", "a_run", "a_task", -1, 2, run_start=_RUN_START)
    assert (identity.session_id(0), identity.session_id(1)) == _SESSIONS
    assert identity.marker == _MARKER


@pytest.mark.fault("F67")
@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_job_of_an_earlier_release_is_found_without_a_store(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Airflow 3.2 remembers nothing: a retry after the upgrade finds the job by the ids that 0.1.0 gave it."""
    request = {"input_info": REQUEST["InputInfo"], "media_process_task": REQUEST["MediaProcessTask"]}
    with MpsClient(MpsHook().get_conn().config) as client:
        sent = client.call(ProcessMedia(**request, session_id=_SESSIONS[0], session_context=_MARKER))
    context = retry(new_context())
    context["dag_run"].start_date = datetime.fromtimestamp(_RUN_START, UTC)
    new = new_operator(MpsProcessMediaOperator, deferrable=deferrable)
    assert run_operator(new, context) == sent.mps_task_id
    assert jobs(airflow_mps) == [sent.mps_task_id]


def test_the_record_is_what_this_release_leaves() -> None:
    """What is stored gains keys and loses none within a version, so that its record stays true."""
    path = FOLDER / f"{airflow_provider_mps.__version__}.json"
    now, then = _keys(record()), _keys(_read(path))
    assert then <= now


def _keys(value: Any, at: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {at}
    return set().union(*(_keys(copy.copy(inner), f"{at}.{key}") for key, inner in value.items()))
