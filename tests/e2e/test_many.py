"""Hundreds of deferred tasks, and triggerers that restart, freeze and wake again under them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from tests.e2e.conftest import MANY
from tests.e2e.scenario import QUEUED, Loops, Run, no_task_starts, until

pytestmark = pytest.mark.e2e
_FROZEN = 10.0  # seconds at least
_PATIENCE = 15.0  # seconds in which a triggerer has to end
# What becomes of tasks that a frozen triggerer has lost, and the DAG and the number of runs in which it does.
_MOVED = {"success": ("e2e_deferred", 2), "scheduled": ("e2e_narrow", 2), "running": ("e2e_resumes_slowly", 1)}


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
    """F14: SIGTERM to each triggerer under all of them: it ends in seconds, starts again, and nothing is aborted."""
    count = _all_deferred(many)
    for name in [name for name in airflow.processes if name.startswith("triggerer")]:
        started = time.monotonic()
        airflow.end(name, patience=_PATIENCE + 5)
        took = time.monotonic() - started
        airflow.start(name)  # first of all: the tests that follow need it
        assert took < _PATIENCE
    owner = "select count(*) from trigger where triggerer_id is not null"
    until(lambda: airflow.rows(owner)[0][0] >= count, what="a new owner of all")
    assert many.states == {"deferred": count}
    assert (held.state()["jobs"], held.state()["aborts"]) == (count, 0)


@contextlib.contextmanager
def _second_triggerer(airflow: LocalAirflow, owner: int) -> Iterator[None]:
    """Another triggerer, which takes the triggers of the first while that one is frozen: for as long as this lasts."""
    airflow.start("triggerer-2")
    alive = "select count(*) from job where job_type = 'TriggererJob' and state = 'running'"
    until(lambda: airflow.rows(alive)[0][0] >= 2, what="the second triggerer")
    airflow.processes["triggerer"].signal(signal.SIGSTOP)
    try:
        left = f"select count(*) from trigger where triggerer_id is null or triggerer_id = {owner}"
        until(lambda: airflow.rows(left)[0][0] == 0, what="the failover of all")
        time.sleep(5)  # past the threshold, whatever the clock of the takeover was
        yield
        assert airflow.rows(left)[0][0] == 0
    finally:
        airflow.processes["triggerer"].signal(signal.SIGCONT)


@dataclass(frozen=True)
class Failover:
    """
    What was seen when a triggerer that had lost its triggers had thawed: runs by the state that they were kept in.

    :param seen: jobs, aborts and states of the tasks.
    :param calls: to the MPS of those that the other triggerer has resumed.
    """

    runs: dict[str, list[Run]]
    seen: dict[str, list[tuple[tuple[int, int], Counter[str | None]]]]
    calls: dict[str, Any]
    many: Counter[str | None]


@pytest.fixture(scope="module")
def resumed(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """As ``kept``, for jobs whose tasks the other triggerer resumes: what is asked for them is counted apart."""
    with LocalMpsProcess(tmp_path_factory.mktemp("resumed") / "mps.log", "--state-seconds", "1e9") as mps:
        airflow.add_connection("mps_resumed", **connection_to(mps))
        yield mps


@pytest.fixture(scope="module")
def failover(
    airflow: LocalAirflow, mps: LocalMpsProcess, kept: LocalMpsProcess, resumed: LocalMpsProcess, many: Run
) -> Failover:
    """A triggerer is frozen, another takes its triggers over, jobs end there, the first thaws: all is over after it."""
    _all_deferred(many)
    kept.control("settings", state_seconds=1e9)
    if "triggerer-2" in airflow.processes:  # the first shall have all
        airflow.end("triggerer-2", patience=_PATIENCE + 5)
    airflow.api("POST", "pools", json={"name": "narrow", "slots": 2})
    runs = {"deferred": [Run(airflow, mps, "e2e_deferred", "failover").start(QUEUED)]}
    for state, (dag_id, count) in _MOVED.items():
        # The first triggerer takes what has ended in success for a user's action; MPS denies that Abort.
        where, conn = (kept, "mps_kept") if state == "success" else (resumed, "mps_resumed")
        names = [f"moved_{state}_{number}" for number in range(count)]
        runs[state] = [Run(airflow, where, dag_id, name).start(conn=conn) for name in names]
    (owner,) = {run.in_a_triggerer() for each in runs.values() for run in each}
    with contextlib.ExitStack() as released:
        released.callback((airflow.home / "resume").touch)
        released.callback(_set_slots, airflow, 2)
        with _second_triggerer(airflow, owner):
            _set_slots(airflow, 0)
            for each in (kept, resumed):
                each.control("settings", state_seconds=1)
            for state in _MOVED:
                for run in runs[state]:
                    run.wait_for(state)
            released.enter_context(no_task_starts(airflow))
            _set_slots(airflow, 1)  # so that one of two is sent to the executor, which does not start it
            runs["queued"] = [until(lambda: next((run for run in runs["scheduled"] if run.states["queued"]), None))]
            runs["scheduled"].remove(runs["queued"][0])
            # The first shall not see that these jobs have ended, or it fires events too, and is asked for no Abort.
            for action in ("DescribeTaskDetail", "DescribeTasks"):
                resumed.control("faults", kind="status", action=action, times=None)
            released.callback(resumed.end_faults)
            frozen = len(_log(airflow))
        _wait_for_the_end(airflow, runs["deferred"][0], owner, frozen)
        seen = {state: [(run.counts, run.states) for run in each] for state, each in runs.items()}
        done = Failover(runs, seen, resumed.state()["calls"], many.states)
        runs["deferred"][0].mark("failed")
        until(lambda: runs["deferred"][0].counts == (1, 1), what="the abort after a user's action")
    if "triggerer-2" not in airflow.components:
        airflow.end("triggerer-2")
    return done


def _wait_for_the_end(airflow: LocalAirflow, run: Run, triggerer: int, frozen: int) -> None:
    """
    Until a triggerer that has thawed has ended the triggers that it has lost.

    :param run: one of those.
    :param frozen: length of its log until then.
    """
    # Airflow can have closed the log of a trigger before its last line; each minute it says how many there are.
    until(
        lambda: (
            "trigger completed" in _last_words(airflow, run, triggerer)
            or " 0 triggers currently running" in _log(airflow)[frozen:]
        ),
        what="the end of the first trigger",
    )
    time.sleep(10)  # longer than it takes to ask Airflow, and to abort


def _set_slots(airflow: LocalAirflow, slots: int) -> None:
    airflow.api("PATCH", "pools/narrow", json={"pool": "narrow", "slots": slots, "include_deferred": False})


@pytest.mark.fault("F13")
def test_f13_failover_aborts_nothing(failover: Failover, many: Run) -> None:
    """F13: a frozen triggerer loses its triggers to another one, where jobs end; thawed, it aborts no healthy job."""
    assert failover.seen["deferred"] == [((1, 0), {"deferred": 1})]
    assert failover.seen["success"] == [((1, 0), {"success": 1})] * 2
    assert set(failover.many) == {"deferred"}
    assert many.mps.state()["aborts"] == 0


@pytest.mark.fault("F87")
def test_f87_failover_after_the_event_aborts_nothing(failover: Failover) -> None:
    """F87: what the other triggerer has resumed is scheduled, queued or running when the first thaws: no Abort."""
    for state in ("scheduled", "queued", "running"):
        assert failover.seen[state] == [((1, 0), {state: 1})]
    assert "ManageTask" not in failover.calls  # nor one that MPS has denied
    for state in ("scheduled", "queued", "running"):
        assert failover.runs[state][0].end() == {"job": "success"}


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
