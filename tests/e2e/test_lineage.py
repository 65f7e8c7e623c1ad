"""What the rest of Airflow learns of a job: events of OpenLineage, events of assets, the link to the console."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess

COS = "cos://media-1250000000"
RUN = "writes"
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", autouse=True)
def _started(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """
    Both runs of this module, at once.

    Only one writes: of several that ended together on a busy machine, one failed, and all register the same new asset.
    """
    airflow.wait_for_dags("e2e_writes", "e2e_reads")
    airflow.trigger("e2e_writes", RUN)
    airflow.trigger("example_mps_fan_out", "links", {"videos": ["p.mp4", "q.mp4"]})


def _finish(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    *_, states = airflow.wait_for_run(dag_id, run_id, timeout=150)
    assert set(states.values()) == {"success"}


def _lineage(airflow: LocalAirflow, job: str) -> list[dict[str, Any]]:
    """The events of one task, oldest first."""
    lines = (airflow.home / "lineage.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines if line]
    return sorted((event for event in events if event["job"]["name"] == job), key=lambda event: str(event["eventTime"]))


def _completes(event: dict[str, Any], mps_task_id: str) -> bool:
    told = event["run"]["facets"].get("mps_task", {})
    return event["eventType"] == "COMPLETE" and told.get("taskId") == mps_task_id


def _names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_the_link_works_while_a_task_is_deferred(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """The UI asks the API server for it, which knows nothing but what the worker has stored."""
    end = time.monotonic() + 60
    while airflow.states("e2e_writes", RUN).get("job") != "deferred":
        assert time.monotonic() < end
        time.sleep(0.2)
    path = f"dags/e2e_writes/dagRuns/{RUN}/taskInstances/job/links"
    assert airflow.api("GET", path)["extra_links"] == {"MPS console": mps.url}
    _finish(airflow, "e2e_writes", RUN)
    assert airflow.api("GET", path)["extra_links"] == {"MPS console": mps.url}


def test_openlineage_hears_the_right_datasets(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """A deferred job reports its input at the start, and at its end what it wrote, with the facts of the files."""
    _finish(airflow, "e2e_writes", RUN)
    task_id = airflow.xcom("e2e_writes", RUN, "job")
    end = time.monotonic() + 60
    while not (done := [e for e in _lineage(airflow, "e2e_writes.job") if _completes(e, task_id)]):
        assert time.monotonic() < end, _lineage(airflow, "e2e_writes.job")
        time.sleep(0.5)
    started = [event for event in _lineage(airflow, "e2e_writes.job") if event["eventType"] == "START"]
    last = done[-1]
    assert {tuple(_names(event["inputs"])) for event in started} == {((COS, "talk.mp4"),)}
    assert _names(last["inputs"]) == [(COS, "talk.mp4")]
    assert _names(last["outputs"]) == [(COS, "web/talk_Transcode_100030.mp4")]
    assert last["outputs"][0]["facets"]["mps_media"]["width"] == 1280
    assert last["outputs"][0]["outputFacets"]["outputStatistics"]["size"] == 43303172


def test_files_wake_another_dag(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """An alias as outlet gets the files of a deferred job, and the DAG that is scheduled on it runs with them."""
    _finish(airflow, "e2e_writes", RUN)
    task_id = airflow.xcom("e2e_writes", RUN, "job")
    end = time.monotonic() + 60
    while True:
        runs = airflow.api("GET", "dags/e2e_reads/dagRuns")["dag_runs"]
        for run in runs:
            _finish(airflow, "e2e_reads", run["dag_run_id"])
        read = [event for run in runs for event in airflow.xcom("e2e_reads", run["dag_run_id"], "read")]
        if task_id in [extra["mps_task_id"] for _, extra in read]:
            break
        assert time.monotonic() < end, read
        time.sleep(1)
    (event,) = [(uri, extra) for uri, extra in read if extra["mps_task_id"] == task_id]
    assert event[0] == f"{COS}/web/talk_Transcode_100030.mp4"
    assert (event[1]["kind"], event[1]["duration"], event[1]["height"]) == ("transcode", 372.5, 720)


def test_mapped_tasks_have_links_of_their_own(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Each index has the link of its job; the API is asked with the index."""
    _finish(airflow, "example_mps_fan_out", "links")
    mapped = [ti for ti in airflow.task_instances("example_mps_fan_out", "links") if ti["map_index"] >= 0]
    assert mapped
    for ti in mapped:
        path = f"dags/example_mps_fan_out/dagRuns/links/taskInstances/{ti['task_id']}/links"
        links = airflow.api("GET", path, params={"map_index": ti["map_index"]})["extra_links"]
        assert links in ({}, {"MPS console": mps.url})
        if ti["operator_name"].startswith("Mps"):
            assert links
