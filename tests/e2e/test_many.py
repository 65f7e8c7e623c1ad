"""Hundreds of deferred tasks, and triggerers that restart, freeze and wake again under them."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, free_port
from tests.e2e.conftest import MANY
from tests.e2e.scenario import QUEUED, Loops, Run, until

pytestmark = pytest.mark.e2e
_FROZEN = 10.0  # seconds at least
_PATIENCE = 15.0  # seconds in which a triggerer has to end


def _all_deferred(many: Run) -> int:
    """How many there are, once all are deferred at once and their jobs wait."""
    count = int(many.airflow.api("GET", f"dags/e2e_many/dagRuns/{many.run_id}")["conf"]["numbers"][-1]) + 1
    until(lambda: many.states["deferred"] == count, timeout=420, what=f"{count} deferred tasks")
    return count


def _last_words(airflow: LocalAirflow, run: Run, triggerer: int) -> str:
    """What a triggerer has logged of the trigger of a run."""
    logs = airflow.home.glob(f"logs/dag_id={run.dag_id}/run_id={run.run_id}/**/*.trigger.{triggerer}.log")
    return "".join(log.read_text(errors="replace") for log in logs)


def _log(airflow: LocalAirflow) -> str:
    """What the first triggerer has logged of itself."""
    return (airflow.home / "triggerer.log").read_text(errors="replace")


@pytest.mark.fault("F14")
def test_f14_a_deployment_loses_no_wait(airflow: LocalAirflow, held: LocalMpsProcess, many: Run) -> None:
    """F14: SIGTERM to the triggerer under all of them: it ends in seconds, starts again, and nothing is aborted."""
    count = _all_deferred(many)
    started = time.monotonic()
    airflow.end("triggerer", patience=_PATIENCE + 5)
    took = time.monotonic() - started
    airflow.start("triggerer")  # first of all: the tests that follow need it
    assert took < _PATIENCE
    owner = "select count(*) from trigger where triggerer_id is not null"
    until(lambda: airflow.rows(owner)[0][0] >= count, what="a new owner of all")
    assert many.states == {"deferred": count}
    assert (held.state()["jobs"], held.state()["aborts"]) == (count, 0)


@pytest.mark.fault("F13")
def test_f13_failover_aborts_nothing(
    airflow: LocalAirflow, mps: LocalMpsProcess, kept: LocalMpsProcess, many: Run
) -> None:
    """F13: a frozen triggerer loses its triggers to another one, where jobs end; thawed, it aborts no healthy job."""
    count = _all_deferred(many)
    kept.control("settings", state_seconds=1e9)
    run = Run(airflow, mps, "e2e_deferred", "failover").start(QUEUED)
    ending = [Run(airflow, kept, "e2e_deferred", f"moved_{number}").start(conn="mps_kept") for number in range(2)]
    owner = run.in_a_triggerer()
    assert [each.in_a_triggerer() for each in ending] == [owner] * len(ending)
    airflow.start("triggerer", "triggerer-2", AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(free_port()))
    try:
        alive = "select count(*) from job where job_type = 'TriggererJob' and state = 'running'"
        until(lambda: airflow.rows(alive)[0][0] >= 2, what="the second triggerer")
        airflow.processes["triggerer"].signal(signal.SIGSTOP)
        try:
            left = f"select count(*) from trigger where triggerer_id is null or triggerer_id = {owner}"
            until(lambda: airflow.rows(left)[0][0] == 0, what="the failover of all")
            time.sleep(5)  # past the threshold, whatever the clock of the takeover was
            kept.control("settings", state_seconds=1)
            assert [each.end() for each in ending] == [{"job": "success"}] * len(ending)
            assert airflow.rows(left)[0][0] == 0
            assert many.states == {"deferred": count}
        finally:
            frozen = len(_log(airflow))
            airflow.processes["triggerer"].signal(signal.SIGCONT)
        # Airflow can have closed the log of a trigger before its last line; each minute it says how many there are.
        until(
            lambda: (
                "trigger completed" in _last_words(airflow, run, owner)
                or " 0 triggers currently running" in _log(airflow)[frozen:]
            ),
            what="the end of the first trigger",
        )
        time.sleep(10)  # longer than it takes to ask Airflow, and to abort
        assert run.counts == (1, 0)
        assert run.states == {"deferred": 1}
        assert many.states == {"deferred": count}
        assert many.mps.state()["aborts"] == 0
        assert [each.counts for each in ending] == [(1, 0)] * len(ending)
        run.mark("failed")
        until(lambda: run.counts == (1, 1), what="the abort after a user's action")
    finally:
        airflow.end("triggerer-2")


@pytest.mark.fault("F13", "F14", "F51", "F73")
def test_all_of_many_end_in_success(many: Run, held: LocalMpsProcess, postgres: str | None) -> None:
    """After all that: as many jobs as tasks, none aborted, hardly a call refused, every task in success."""
    count = _all_deferred(many)
    assert many.states["deferred"] == count
    held.control("settings", state_seconds=1)
    assert many.end(timeout=420)["job"] == "success"
    assert many.states == {"success": count}
    state = held.state()
    assert (state["jobs"], state["aborts"]) == (count, 0)
    looks = state["calls"]["DescribeTaskDetail"]
    assert looks.get("RequestLimitExceeded", 0) <= 0.01 * sum(looks.values())
    if postgres is None:
        pytest.skip(f"{count} tasks on SQLite; {MANY} at once need PostgreSQL")


@pytest.mark.fault("F61")
@pytest.mark.skipif(not Loops.known, reason="the system does not tell how long a process waits for a processor")
def test_the_loops_of_the_triggerers_were_free(many: Run, loops: Loops) -> None:
    """
    Under all of them nothing has held a loop but the signal that froze one, which is the control.

    Half a second was seen when all start at once: Airflow takes them in in that loop. The small Airflow allows less.
    """
    assert [seconds > _FROZEN for seconds in loops.held(3.0)] == [True]


def test_every_extra_try_is_airflows(airflow: LocalAirflow, many: Run) -> None:
    """A success may have taken another try only where Airflow itself has failed one over a stale message."""
    # Airflow notes the mismatch beside its words in the scheduler's log. These DAGs ask for no retries themselves.
    dags = "(dag_id like 'example_%' or dag_id in ('e2e_many', 'e2e_mapped', 'e2e_reads', 'e2e_writes'))"
    key = "dag_id, run_id, task_id, map_index"
    retried = airflow.rows(f"select {key}, try_number - 1 from task_instance where try_number > 1 and {dags}")
    noted = Counter(row[:4] for row in airflow.rows(f"select {key} from log where event = 'state mismatch'"))
    assert [row for row in retried if row[4] > noted[row[:4]]] == []
