"""Where a team has outgrown one machine: a worker dies, a triggerer freezes, a user clears. All run at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.scenario import Run, strike, until

pytestmark = pytest.mark.e2e
_RUNS = {"killed": "e2e_killed", "moved": "e2e_deferred", "cleared": "e2e_deferred"}


@pytest.fixture(scope="module")
def runs(team: LocalAirflow, waiting: LocalMpsProcess) -> Callable[[str], Run]:
    """Every run of this module, started; they are looked at one after the other."""
    team.wait_for_dags(*_RUNS.values())
    return {name: Run(team, waiting, dag_id, name).start() for name, dag_id in _RUNS.items()}.__getitem__


@pytest.mark.fault("F04")
def test_a_killed_worker_aborts_nothing(runs: Callable[[str], Run]) -> None:
    """F04: the process of a worker is killed in mid-poll: its job waits on, until the next try takes it up below."""
    run = runs("killed")
    until(lambda: run.jobs and run.jobs[0]["polls"] > 1, what="the second look")
    strike(run, "worker", signal.SIGKILL)
    assert run.counts == (1, 0)


@pytest.mark.fault("F07", "F15")
def test_cleared_while_deferred(runs: Callable[[str], Run]) -> None:
    """F07, F15: Clear while deferred aborts the waiting job and submits a new one."""
    run = runs("cleared")
    run.in_a_triggerer()
    run.clear()
    until(lambda: run.counts == (2, 1), what="the abort and the new job")


@pytest.mark.fault("F04", "F13")
def test_a_failover_between_two_hosts_aborts_nothing(
    runs: Callable[[str], Run], team: LocalAirflow, waiting: LocalMpsProcess
) -> None:
    """F04, F13: the triggerer of another host takes over from a frozen one: success, one job each, no Abort."""
    run = runs("moved")
    owner = run.in_a_triggerer()
    ((host,),) = team.rows(f"select hostname from job where id = {owner}")
    (frozen,) = (name for name in team.processes if team.host(name) == host)
    team.processes[frozen].signal(signal.SIGSTOP)
    try:
        until(lambda: run.owner() not in {owner, None}, what="the failover")
        waiting.control("settings", state_seconds=1)
        assert run.end() == {"job": "success"}
    finally:
        team.processes[frozen].signal(signal.SIGCONT)
    time.sleep(5)  # longer than it takes to ask Airflow, and to abort
    for name, counts in (("moved", (1, 0)), ("killed", (1, 0)), ("cleared", (2, 1))):
        assert runs(name).end() == {"job": "success"}
        assert runs(name).counts == counts
    assert waiting.state()["calls"]["ManageTask"]["accepted"] == 1
