"""
``python -m dev.record_release``: what this release leaves in Airflow's database, into ``tests/data/releases``.

Run once for each release and kept for ever: a later release has to carry on what an earlier one began.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_mps import __version__
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator, MpsTaskResultOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import as_json, first_event, new_context

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data" / "releases"
REQUEST = {
    "InputInfo": {
        "Type": "COS",
        "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-nanjing", "Object": "/talk.mp4"},
    },
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
    "SmartSubtitlesTask": {"Definition": 1},
}


def write(folder: Path) -> Path:
    """
    Record this release into a new file of the folder.

    :raises FileExistsError: this release has been recorded, and a record is kept for ever.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{__version__}.json"
    text = json.dumps(record(), indent=2, ensure_ascii=False)
    with path.open("x", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return path


def record() -> dict[str, Any]:
    """The deferral of a submit operator and of a sensor, their events, the task state store, and a result."""
    found: dict[str, Any] = {}
    with LocalMps() as mps, pytest.MonkeyPatch.context() as patch:
        connection = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": mps.secret_key}
        patch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps({**connection, "host": mps.host}))
        patch.setattr(MpsTaskTrigger, "settings", PollerSettings(earliest_event=0.0))
        context = new_context()
        operator = MpsProcessMediaOperator(
            task_id="a_task", request=REQUEST, deferrable=True, poll_interval=1, timeout=86_400, retries=2
        )
        found["operator"] = _deferral(operator, context)
        found["store"] = context["task_state_store"].values()
        task_id = found["operator"]["kwargs"]["record"]["mps_task_id"]
        mps.backend.tasks[task_id].polls = 0
        sensor = MpsTaskSensor(task_id="a_task", mps_task_id=task_id, deferrable=True, poke_interval=1, timeout=86_400)
        found["sensor"] = _deferral(sensor, new_context())
        result = MpsTaskResultOperator(task_id="a_task", mps_task_id=task_id)
        found["result"] = as_json(result.execute(new_context()))
    return found


def _deferral(operator: Any, context: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    deferred = caught.value
    path, arguments = deferred.trigger.serialize()
    return {
        "trigger": {"path": path, "arguments": as_json(arguments)},
        "method": deferred.method_name,
        "kwargs": as_json(deferred.kwargs),
        "event": first_event(deferred.trigger),
    }


if __name__ == "__main__":
    print(write(FOLDER))
