"""What a release leaves in Airflow's database is recorded, and each later version carries it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.sdk.module_loading import import_string

import airflow_provider_mps
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from dev.docs import DOCS
from dev.record_release import FOLDER, REQUEST, write
from tests.support.harness import DONE, RUNNING, airflow_mps, first_event, new_context, retry, run_operator
from tests.support.submitting import asked, new_operator

__all__ = ["airflow_mps"]


@pytest.mark.fault("F67")
def test_this_version_is_recorded_and_carried_on(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """The record names the version, is never written twice, and holds all that the same version needs to go on."""
    path = write(tmp_path)
    assert path.stem == airflow_provider_mps.__version__
    with pytest.raises(FileExistsError):
        write(tmp_path)
    _carry_on(airflow_mps, path)


@pytest.mark.fault("F67")
def test_every_release_is_carried_on(airflow_mps: LocalMps) -> None:
    """What each published release has left is carried on by this version; before the first there is none."""
    for path in sorted(FOLDER.glob("*.json")):
        _carry_on(airflow_mps, path)


def _carry_on(mps: LocalMps, path: Path) -> None:
    """Run its triggers, resume its deferrals, take its job up in a retry, and read its result."""
    recorded = json.loads(path.read_text(encoding="utf-8"))
    job = recorded["operator"]["kwargs"]["record"]["mps_task_id"]
    submit = new_operator(MpsProcessMediaOperator, request=REQUEST, deferrable=True)
    sensor = MpsTaskSensor(task_id="a_task", mps_task_id=job, deferrable=True, poke_interval=0.02)
    for task, half in ((submit(), recorded["operator"]), (sensor, recorded["sensor"])):
        mps.backend.script([RUNNING, DONE], job)
        _run_trigger(half["trigger"])
        resume = {**half["kwargs"], "event": half["event"]}
        assert task.resume_execution(half["method"], resume, new_context()) == job, path.name
    context = retry(new_context())
    for key, value in recorded["store"].items():
        context["task_state_store"].set(key, value)
    assert run_operator(submit, context) == job, path.name
    assert asked(mps, "ProcessMedia") == 0
    _read_result(recorded["result"])


def _run_trigger(stored: dict[str, Any]) -> None:
    trigger = import_string(stored["path"])(**{**stored["arguments"], "poll_interval": 0.02})
    assert first_event(trigger)["status"] == "resume"
    assert set(stored["arguments"]) <= set(trigger.serialize()[1])


def _read_result(value: dict[str, Any]) -> None:
    """All that the value said is still said, and fits the schema of today."""
    again = json.loads(json.dumps(MpsTaskResult.model_validate(value).as_json()))
    assert _is_within(value, again)
    jsonschema.validate(again, json.loads((DOCS / "result.schema.json").read_text(encoding="utf-8")))


def _is_within(old: object, new: object) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _is_within(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_is_within(one, other) for one, other in zip(old, new, strict=True))
    return old == new
