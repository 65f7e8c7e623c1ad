"""Mark, Clear, retry, crash and deadlines in real Airflow processes. All run at once; counted are jobs and aborts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.scenario import FAILS, PLAIN, QUEUED, Run, until

pytestmark = pytest.mark.e2e
_RUNS = {
    "marked_1": ("e2e_deferred", QUEUED),
    "marked_2": ("e2e_deferred", QUEUED),
    "clear": ("e2e_deferred", QUEUED),
    "mark_running": ("e2e_sync", QUEUED),
    "dies": ("e2e_dies", PLAIN),
    "late": ("e2e_deadline", QUEUED),
    "run_late": ("e2e_run_timeout", QUEUED),
    "twice": ("e2e_two_tries", FAILS),
    "mapped": ("e2e_mapped", PLAIN),
}


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow, mps: LocalMpsProcess, many: Run) -> Callable[[str], Run]:
    """Every run of this module, started, beside many others; they are looked at one after the other."""
    airflow.wait_for_dags(*{dag_id for dag_id, _ in _RUNS.values()})
    return {name: Run(airflow, mps, dag_id, name).start(ending) for name, (dag_id, ending) in _RUNS.items()}.__getitem__


@pytest.mark.fault("F15")
@pytest.mark.parametrize(("name", "state"), [("marked_1", "failed"), ("marked_2", "success")])
def test_f15_marked_while_deferred(runs: Callable[[str], Run], name: str, state: str) -> None:
    """F15: mark failed or success while deferred: the waiting job is aborted, once."""
    run = runs(name)
    run.in_a_triggerer()
    run.mark(state)
    until(lambda: run.counts[1], what="the abort")
    assert run.end() == {"job": state}
    assert run.counts == (1, 1)


@pytest.mark.fault("F07", "F15", "F28")
def test_f15_cleared_while_deferred(runs: Callable[[str], Run]) -> None:
    """F07, F15: Clear while deferred aborts the waiting job and submits a new one."""
    run = runs("clear")
    run.in_a_triggerer()
    run.clear()
    until(lambda: run.counts == (2, 1), what="abort and new job")
    run.in_a_triggerer()
    run.mark("failed")
    until(lambda: run.counts == (2, 2), what="the second abort")


@pytest.mark.fault("F15", "F19")
def test_marked_failed_while_running(runs: Callable[[str], Run]) -> None:
    """Mark failed on a running worker: on_kill asks Airflow, sees the user, and aborts the waiting job."""
    run = runs("mark_running")
    until(lambda: run.counts == (1, 0), what="the job")
    run.mark("failed")
    until(lambda: run.counts[1], what="the abort")
    assert run.counts == (1, 1)


@pytest.mark.fault("F03")
def test_f03_killed_after_acceptance(runs: Callable[[str], Run]) -> None:
    """F03: SIGKILL between acceptance and persistence: the retry finds the job; one job, success, no abort."""
    run = runs("dies")
    assert run.end() == {"job": "success"}
    assert run.counts == (1, 0)
    assert "had accepted SessionId" in run.log()


@pytest.mark.fault("F05", "F40")
def test_f05_a_retry_after_a_failed_job(runs: Callable[[str], Run]) -> None:
    """F05, F40: a job that failed is followed by a new one; the user's callback sees job, part, code and RequestId."""
    run = runs("twice")
    assert run.end() == {"job": "failed"}
    assert run.counts == (2, 0)
    log = run.log()
    told = log[log.rindex("The callback saw: MpsTaskFailed") :]
    assert run.xcom(key="mps_task_id") in told
    for part in ("WorkflowTask.MediaProcessResultSet[0].TranscodeTask", "FAIL InternalError", "RequestId"):
        assert part in told


def test_mapped_requests_with_secrets(runs: Callable[[str], Run]) -> None:
    """Two mapped tasks over one input are two jobs; what is secret in them is looked for by the test of secrets."""
    assert runs("mapped").end() == {"job": "success"}
    assert runs("mapped").counts == (2, 0)


@pytest.mark.fault("F21")
def test_f21_deadline_while_deferred(runs: Callable[[str], Run]) -> None:
    """F21: past its timeout a job that still waits is aborted, and the task fails with its TaskId and no retry."""
    run = runs("late")
    assert run.end() == {"job": "failed"}
    assert run.counts == (1, 1)
    assert f"{run.xcom(key='mps_task_id')} has not ended within 12 seconds" in run.log()


@pytest.mark.fault("F15", "F21")
def test_the_timeout_of_the_run(runs: Callable[[str], Run]) -> None:
    """dagrun_timeout ends a deferred task as a user would: its waiting job is aborted, once."""
    run = runs("run_late")
    until(lambda: run.counts[1], timeout=180, what="the abort")
    assert run.end() == {"job": "skipped"}
    assert run.counts == (1, 1)


@pytest.mark.fault("F15")
def test_every_abort_was_asked_for_once(runs: Callable[[str], Run], mps: LocalMpsProcess) -> None:
    """After all of them: as many requests to abort as jobs that were aborted, none refused."""
    state = mps.state()
    aborted = sum(task["aborted"] for task in state["tasks"])
    assert aborted >= 6
    assert state["calls"]["ManageTask"] == {"accepted": aborted}
