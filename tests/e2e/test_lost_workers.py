"""Workers that end between two steps of a submission, or under a job that is cleared: counted are jobs and aborts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from tests.e2e.scenario import PLAIN, QUEUED, Run, strike, until

pytestmark = pytest.mark.e2e
_STUCK = "stuck.mp4"  # the local MPS leaves a job of such a name in PROCESSING, and aborts none of those
_RUNS = {
    "cleared_waiting": ("e2e_killed", QUEUED),
    "cleared_processing": ("e2e_killed", _STUCK),
    "cleared_unstored": ("e2e_dies_without_retry", QUEUED),
    "evicted_in_a_pause": ("e2e_batch", PLAIN),
}


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """It has no capacity for batches until ``end_faults``."""
    with LocalMpsProcess(tmp_path_factory.mktemp("lost") / "mps.log", "--state-seconds", "3") as mps:
        mps.control("faults", kind="error", action="BatchProcessMedia", code="LimitExceeded.CreateTask", times=None)
        yield mps


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow, lost: LocalMpsProcess) -> Callable[[str], Run]:
    """Every run of this module, started; they are looked at one after the other."""
    airflow.wait_for_dags(*{dag_id for dag_id, _ in _RUNS.values()})
    airflow.add_connection("mps_lost", **connection_to(lost))
    return {
        name: Run(airflow, lost, dag_id, name).start(ending, conn="mps_lost")
        for name, (dag_id, ending) in _RUNS.items()
    }.__getitem__


@pytest.mark.fault("F90")
def test_f90_evicted_before_the_next_attempt(runs: Callable[[str], Run], lost: LocalMpsProcess) -> None:
    """F90: MPS had no capacity for a batch, and the worker is evicted in the pause after it: the next try submits."""
    run = runs("evicted_in_a_pause")
    until(lambda: sum(lost.state()["calls"].get("BatchProcessMedia", {}).values()) > 1, what="the second attempt")
    strike(run, "supervisor", signal.SIGTERM)
    assert run.counts == (0, 0)
    lost.end_faults()
    assert run.end() == {"job": "success"}
    assert run.counts == (1, 0)
    assert run.tries() == 2


def _kill_and_clear(run: Run) -> None:
    """Nobody is left who could tell Airflow that the task has ended."""
    until(lambda: run.jobs and run.jobs[0]["polls"] > 1, what="the second look")
    worker = psutil.Process(until(run.pid, what="a worker"))
    for process in (worker.parent(), worker):
        process.kill()
    run.clear()


@pytest.mark.fault("F83")
def test_f83_cleared_after_its_worker_died(runs: Callable[[str], Run]) -> None:
    """F83: Clear of a running task whose worker is dead sends a new job, whether or not MPS can abort the old one."""
    waiting, processing = runs("cleared_waiting"), runs("cleared_processing")
    for run in (waiting, processing):
        _kill_and_clear(run)
    for run, counts in ((waiting, (2, 1)), (processing, (2, 0))):
        # Airflow has to miss the worker first.
        until(lambda run=run, counts=counts: run.counts == counts, timeout=180, what=f"a new job of {run.run_id}")
        run.mark("failed")
    until(lambda: waiting.counts == (2, 2), what="the abort of the new job")


@pytest.mark.fault("F84")
def test_f84_cleared_before_its_job_was_stored(runs: Callable[[str], Run]) -> None:
    """F84: a crash between acceptance and storing the TaskId, then Clear: the old job is aborted, a new one sent."""
    run = runs("cleared_unstored")
    run.wait_for("failed")
    assert run.counts == (1, 0)
    first = run.jobs[0]["TaskId"]
    run.clear()
    until(lambda: len(run.jobs) == 2, what="the new job")
    assert [job["TaskId"] for job in run.jobs if job["aborted"]] == [first]
    run.mark("failed")
    until(lambda: run.counts == (2, 2), what="the abort of the new job")
