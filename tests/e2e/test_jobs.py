"""Mark, Clear, retry, crash and deadlines in real Airflow processes. All run at once; counted are jobs and aborts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Literal

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.conftest import CANARY, SIGNATURE
from tests.e2e.scenario import FAILS, PLAIN, QUEUED, Run, strike, until

pytestmark = pytest.mark.e2e
_RUNS = {
    "marked_1": ("e2e_deferred", QUEUED, {}),
    "marked_2": ("e2e_deferred", QUEUED, {}),
    "mark_running": ("e2e_sync", QUEUED, {}),
    "dies": ("e2e_dies", PLAIN, {}),
    "late": ("e2e_deadline", QUEUED, {}),
    "net": ("e2e_net", QUEUED, {"conn": "mps_clearing"}),
    "run_late": ("e2e_run_timeout", QUEUED, {}),
    "twice": ("e2e_two_tries", FAILS, {}),
    "mapped": ("e2e_mapped", PLAIN, {}),
    "refused": ("e2e_refused", PLAIN, {}),
    "clear": ("e2e_deferred", QUEUED, {"conn": "mps_clearing"}),
    "clear_running": ("e2e_sync", QUEUED, {"conn": "mps_clearing"}),
    "clear_ended": ("e2e_deferred", PLAIN, {"conn": "mps_clearing"}),
    "worker_killed": ("e2e_killed", PLAIN, {"conn": "mps_kept"}),
    "supervisor_killed": ("e2e_killed", PLAIN, {"conn": "mps_kept"}),
    "evicted": ("e2e_killed", PLAIN, {"conn": "mps_kept"}),
}
_KILLED: dict[str, tuple[Literal["worker", "supervisor"], int]] = {
    "worker_killed": ("worker", signal.SIGKILL),
    "supervisor_killed": ("supervisor", signal.SIGKILL),
    "evicted": ("supervisor", signal.SIGTERM),
}
# At a Clear the trigger that ends and the next try may both ask for one Abort.
_ASKED_TWICE = ("clear", "clear_running", "clear_ended")


@pytest.fixture(scope="module")
def runs(
    airflow: LocalAirflow, mps: LocalMpsProcess, clearing: LocalMpsProcess, kept: LocalMpsProcess, many: Run
) -> Callable[[str], Run]:
    """Every run of this module, started, beside many others; they are looked at one after the other."""
    airflow.wait_for_dags(*{dag_id for dag_id, _, _ in _RUNS.values()})
    addresses = (
        f"NotifyUrl https://example.com/callback?token={CANARY} or Url https://example.com/?q-signature={SIGNATURE}"
    )
    message = f"Refused: {addresses} or NotifyKey {CANARY}"
    refusal = {"code": "InvalidParameterValue", "message": message, "times": None}
    mps.control("faults", kind="error", action="EditMedia", **refusal)  # which "refused" alone asks for
    where = {"mps_clearing": clearing, "mps_kept": kept}
    return {
        name: Run(airflow, where.get(conf.get("conn", ""), mps), dag_id, name).start(ending, **conf)
        for name, (dag_id, ending, conf) in _RUNS.items()
    }.__getitem__


@pytest.mark.fault("F04", "F20")
@pytest.mark.parametrize("name", _KILLED)
def test_a_killed_wait_aborts_nothing(runs: Callable[[str], Run], name: str) -> None:
    """F04, F20: worker or supervisor is killed in mid-poll, or told to end as by an eviction: the job waits on."""
    run = runs(name)
    until(lambda: run.jobs and run.jobs[0]["polls"] > 1, what="the second look")
    strike(run, *_KILLED[name])
    assert run.counts == (1, 0)  # and at the end of this module, when the next try has taken it up


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
    until(lambda: len(run.jobs) == 2, what="the new job")
    until(lambda: run.counts == (2, 1), what="the abort")
    run.in_a_triggerer()
    run.mark("failed")
    until(lambda: run.counts == (2, 2), what="the second abort")


@pytest.mark.fault("F07")
def test_f07_cleared_while_running_and_afterwards(runs: Callable[[str], Run]) -> None:
    """F07: Clear pays for a new job, also after a success; the old one is aborted if it still waits."""
    running, ended = runs("clear_running"), runs("clear_ended")
    until(lambda: running.counts == (1, 0), what="the job")
    ended.wait_for("success")
    running.clear()
    ended.clear()
    until(lambda: running.counts == (2, 1), what="abort and new job")
    assert ended.end() == {"job": "success"}
    assert ended.counts == (2, 0)
    assert len({job["TaskId"] for job in ended.jobs}) == 2
    running.wait_for("running")
    running.mark("failed")
    until(lambda: running.counts == (2, 2), what="the second abort")


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
    assert "is the job that was sent" in run.log()


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


@pytest.mark.fault("F40", "F55")
def test_a_refusal_that_repeats_the_request(runs: Callable[[str], Run]) -> None:
    """What MPS says of a refusal reaches log and callback, without what is secret in the addresses that it repeats."""
    run = runs("refused")
    assert run.end() == {"job": "failed"}
    assert run.tries() == 1  # it is permanent
    log = run.log()
    told = log[log.rindex("The callback saw: MpsApiError") :]
    assert "EditMedia" in told
    assert "Refused: NotifyUrl https://example.com/callback" in told
    assert CANARY not in log
    assert SIGNATURE not in log


@pytest.mark.fault("F21")
def test_f21_deadline_while_deferred(runs: Callable[[str], Run]) -> None:
    """F21: past its timeout a job that still waits is aborted, and the task fails with its TaskId and no retry."""
    run = runs("late")
    assert run.end() == {"job": "failed"}
    assert run.counts == (1, 1)
    assert f"{run.xcom(key='mps_task_id')} has not ended within 12 seconds" in run.log()


@pytest.mark.fault("F21")
def test_f21_timeout_of_the_deferral(runs: Callable[[str], Run]) -> None:
    """F21: Airflow's timeout ends the trigger before the deadline: the wait goes on, and the deadline aborts once."""
    run = runs("net")
    assert run.end() == {"job": "failed"}
    assert run.counts == (1, 1)
    assert run.tries() == 1
    assert f"{run.xcom(key='mps_task_id')} has not ended within 20 seconds" in run.log()


@pytest.mark.fault("F15", "F21")
def test_the_timeout_of_the_run(runs: Callable[[str], Run]) -> None:
    """dagrun_timeout ends a deferred task as a user would: its waiting job is aborted, once."""
    run = runs("run_late")
    until(lambda: run.counts[1], timeout=180, what="the abort")
    assert run.end() == {"job": "skipped"}
    assert run.counts == (1, 1)


@pytest.mark.fault("F04", "F20")
def test_the_next_try_takes_the_job_up(runs: Callable[[str], Run], kept: LocalMpsProcess) -> None:
    """F04, F20: after a killed worker, a killed supervisor and an eviction: one job each, no abort, success."""
    killed = [runs(name) for name in _KILLED]
    for run in killed:
        until(lambda run=run: run.tries() == 2 and run.pid(), what=f"the next try of {run.run_id}")
        assert run.counts == (1, 0)
    kept.control("settings", state_seconds=1)
    for run in killed:
        assert run.end() == {"job": "success"}
        assert run.counts == (1, 0)
        assert "reattached" in run.log(try_number=2)
    assert "ManageTask" not in kept.state()["calls"]


@pytest.mark.fault("F15")
def test_every_abort_was_asked_for_once(runs: Callable[[str], Run], mps: LocalMpsProcess) -> None:
    """After all of them: as many requests to abort as jobs that were aborted, none refused."""
    state = mps.state()
    aborted = sum(task["aborted"] for task in state["tasks"])
    assert aborted >= 5
    assert state["calls"]["ManageTask"] == {"accepted": aborted}


@pytest.mark.fault("F07", "F15")
def test_aborts_after_a_clear(runs: Callable[[str], Run], clearing: LocalMpsProcess) -> None:
    """
    Each aborted job was aborted by one accepted request; no Clear costs more than one refused request.

    The trigger that ends and the next try cannot see each other, and both ask at once: that saves the most money.
    """
    state = clearing.state()
    asked = state["calls"]["ManageTask"]
    aborted = sum(task["aborted"] for task in state["tasks"])
    assert asked.pop("accepted") == state["aborts"] == aborted
    assert aborted >= 5
    assert asked.pop("InvalidParameterValue.NotProcessingTask", 0) <= len(_ASKED_TWICE)
    assert asked == {}
