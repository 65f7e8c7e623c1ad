"""Kill, clear, crash, deadline and failover in real Airflow processes; counted are jobs and aborts at the local MPS."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, free_port

pytestmark = pytest.mark.e2e
_QUEUED = {"name": "talk.queued.mp4"}


class Counted:
    """Jobs and aborts since this was made."""

    def __init__(self, mps: LocalMpsProcess) -> None:
        self._mps = mps
        self._before = mps.state()

    @property
    def jobs(self) -> int:
        return int(self._mps.state()["jobs"] - self._before["jobs"])

    @property
    def aborts(self) -> int:
        return int(self._mps.state()["aborts"] - self._before["aborts"])


def _until(true: Callable[[], bool], timeout: float = 60, what: str = "it") -> None:
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(0.3)


def _start(airflow: LocalAirflow, dag_id: str, run_id: str, state: str, conf: dict[str, Any] | None = None) -> None:
    airflow.trigger(dag_id, run_id, conf or _QUEUED)
    _until(lambda: airflow.states(dag_id, run_id).get("job") == state, what=f"{dag_id} {state}")


def _mark(airflow: LocalAirflow, dag_id: str, run_id: str, state: str) -> None:
    airflow.api("PATCH", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/job", json={"new_state": state})


def _clear(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "task_ids": ["job"]}
    airflow.api("POST", f"dags/{dag_id}/clearTaskInstances", json=body)


@pytest.mark.fault("F15")
@pytest.mark.parametrize("state", ["failed", "success"])
def test_f15_marked_while_deferred(airflow: LocalAirflow, mps: LocalMpsProcess, state: str) -> None:
    """F15: mark failed or success while deferred: the waiting job is aborted, once."""
    counted, run_id = Counted(mps), f"mark_{state}"
    _start(airflow, "e2e_deferred", run_id, "deferred")
    time.sleep(3)  # until a triggerer has taken the trigger; Airflow calls nobody before
    _mark(airflow, "e2e_deferred", run_id, state)
    _until(lambda: counted.aborts == 1, what="the abort")
    assert (counted.jobs, counted.aborts) == (1, 1)


@pytest.mark.fault("F07", "F15", "F28")
def test_f15_cleared_while_deferred(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """F07, F15: Clear while deferred aborts the waiting job and submits a new one."""
    counted = Counted(mps)
    _start(airflow, "e2e_deferred", "clear", "deferred")
    time.sleep(3)
    _clear(airflow, "e2e_deferred", "clear")
    _until(lambda: counted.jobs == 2 and counted.aborts == 1, what="abort and new job")
    _until(lambda: airflow.states("e2e_deferred", "clear").get("job") == "deferred", what="the second deferral")
    time.sleep(3)
    _mark(airflow, "e2e_deferred", "clear", "failed")
    _until(lambda: counted.aborts == 2, what="the second abort")
    assert counted.jobs == 2


@pytest.mark.fault("F14", "F73")
def test_f14_a_deployment_loses_no_wait(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """F14, F73: the triggerer restarts under thirty mapped waits: thirty jobs, no abort, all succeed."""
    counted, dag_id, count = Counted(mps), "example_mps_fan_out", 30
    airflow.trigger(dag_id, "deploy", {"videos": [f"{number}.mp4" for number in range(count)]})

    def deferred() -> int:
        tasks = airflow.task_instances(dag_id, "deploy")
        return sum(ti["task_id"] == "transcode" and ti["state"] == "deferred" for ti in tasks)

    _until(lambda: deferred() >= count // 2, timeout=120, what="fifteen deferrals")
    airflow.processes["triggerer"].stop()
    airflow.start("triggerer")
    *_, states = airflow.wait_for_run(dag_id, "deploy", timeout=180)
    assert set(states.values()) == {"success"}
    assert (counted.jobs, counted.aborts) == (count, 0)
    assert len(airflow.xcom(dag_id, "deploy", "collect")) == count


@pytest.mark.fault("F15")
def test_marked_failed_while_running(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Mark failed on a running worker: on_kill asks Airflow, sees the user, and aborts the waiting job."""
    counted = Counted(mps)
    _start(airflow, "e2e_sync", "mark", "running")
    _until(lambda: counted.jobs == 1, what="the job")
    _mark(airflow, "e2e_sync", "mark", "failed")
    _until(lambda: counted.aborts == 1, what="the abort")
    assert counted.jobs == 1


@pytest.mark.fault("F03")
def test_f03_killed_after_acceptance(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """F03: SIGKILL between acceptance and persistence: the retry finds the job; one job, success, no abort."""
    counted = Counted(mps)
    airflow.trigger("e2e_dies", "dies", {"name": "talk.mp4"})
    *_, states = airflow.wait_for_run("e2e_dies", "dies", timeout=150)
    assert states == {"job": "success"}
    assert (counted.jobs, counted.aborts) == (1, 0)
    assert "had accepted SessionId" in airflow.log("e2e_dies", "dies", "job", try_number=2)


def test_mapped_requests_with_secrets(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Two mapped tasks over one request are two jobs; what is secret in it is looked for by the test of secrets."""
    counted = Counted(mps)
    airflow.trigger("e2e_mapped", "mapped", {"name": "talk.mp4"})
    *_, states = airflow.wait_for_run("e2e_mapped", "mapped", timeout=90)
    assert states == {"job": "success"}
    assert counted.jobs == 2


@pytest.mark.fault("F21")
def test_f21_deadline_while_deferred(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """F21: past its timeout a job that still waits is aborted, and the task fails with its TaskId and no retry."""
    counted = Counted(mps)
    airflow.trigger("e2e_deadline", "late", _QUEUED)
    *_, states = airflow.wait_for_run("e2e_deadline", "late", timeout=120)
    assert states == {"job": "failed"}
    assert (counted.jobs, counted.aborts) == (1, 1)
    task_id = airflow.xcom("e2e_deadline", "late", "job", "mps_task_id")
    log = airflow.log("e2e_deadline", "late", "job")
    assert f"{task_id} has not ended within 12 seconds" in log


@pytest.mark.fault("F13")
def test_f13_failover_aborts_nothing(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """F13: a frozen triggerer loses its triggers to another one; thawed, it must not abort the healthy job."""
    counted = Counted(mps)
    _start(airflow, "e2e_deferred", "failover", "deferred")
    _until(lambda: _owner(airflow) is not None, what="the first owner")
    owner = _owner(airflow)
    second = airflow.start("triggerer", "triggerer-2", AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(free_port()))
    try:
        time.sleep(8)  # until the second one is up
        airflow.processes["triggerer"].signal(signal.SIGSTOP)
        try:
            _until(lambda: _owner(airflow) not in {owner, None}, timeout=120, what="the failover")
        finally:
            airflow.processes["triggerer"].signal(signal.SIGCONT)
        time.sleep(15)  # Airflow notices, and calls on_kill
        assert counted.aborts == 0
        assert airflow.states("e2e_deferred", "failover") == {"job": "deferred"}
        _mark(airflow, "e2e_deferred", "failover", "failed")
        _until(lambda: counted.aborts == 1, what="the abort after a user's action")
        assert counted.jobs == 1
    finally:
        second.stop()


def _owner(airflow: LocalAirflow) -> int | None:
    rows = airflow.rows("select triggerer_id from trigger")
    return rows[0][0] if rows else None
