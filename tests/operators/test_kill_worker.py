"""A task that is killed on its worker: who is behind it, and what becomes of the job. Counted at the local MPS."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_mps.client.retry import LIMITS, Limits, Purpose
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.lifecycle import cancel
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsBatchProcessMediaOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import clear, new_context
from tests.support.killing import Says
from tests.support.submitting import WAYS, asked, jobs, new_operator, submit


def _in_mid_wait(name: str, **arguments: Any) -> tuple[MpsSubmitOperator, threading.Thread, list[BaseException]]:
    """An operator that waits on a thread of its own, its job accepted."""
    operator = new_operator(MpsProcessMediaOperator, name, **{"poll_interval": 60, **arguments})()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute(new_context())
        except AirflowException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(500):
        if operator._record:
            break
        time.sleep(0.01)
    return operator, thread, ended


@pytest.mark.fault("F15", "F19")
@pytest.mark.parametrize("state", ["failed", "success", "restarting", "skipped"])
def test_a_user_who_ends_a_running_task_aborts_the_job(airflow_mps: LocalMps, airflow_says: Says, state: str) -> None:
    """Mark failed, mark success and Clear on a running task: one Abort, and the wait ends at once (F19)."""
    airflow_says(state)
    operator, thread, ended = _in_mid_wait("talk.queued.mp4")
    operator.on_kill()
    thread.join(3)
    assert not thread.is_alive()
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    assert str(jobs(airflow_mps)[0]) in str(ended[0])


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("state", "error"),
    [("running", None), ("up_for_retry", None), (None, RuntimeError("no API server")), ("deferred", None)],
    ids=["running", "missed heartbeats", "API server away", "deferred"],
)
def test_f20_an_evicted_worker_aborts_nothing(
    airflow_mps: LocalMps, airflow_says: Says, state: str | None, error: BaseException | None
) -> None:
    """F20: SIGTERM without a user behind it, or in doubt: no Abort; the wait ends, and the retry takes the job up."""
    airflow_says(state, error)
    operator, thread, _ = _in_mid_wait("talk.queued.mp4")
    operator.on_kill()
    thread.join(3)
    assert not thread.is_alive()
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F16")
def test_f16_a_running_job_cannot_be_aborted(
    airflow_mps: LocalMps, airflow_says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    """F16: MPS refuses: a warning that the job runs on and is billed, no exception, one attempt."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.stuck.mp4")
    airflow_mps.backend.tasks[jobs(airflow_mps)[0]].polls = 5
    operator.on_kill()
    thread.join(3)
    refusals = [call for call in airflow_mps.backend.calls if call.action == "ManageTask"]
    assert [call.code for call in refusals] == ["InvalidParameterValue.NotProcessingTask"]
    log = capsys.readouterr().out
    assert "runs on and is billed" in log
    assert jobs(airflow_mps)[0] in log


@pytest.mark.fault("F17", "F19")
@pytest.mark.parametrize("point", ["checked", "looked for a cleared job", "stored that it is being sent"])
@pytest.mark.parametrize("kind", [MpsProcessMediaOperator, MpsBatchProcessMediaOperator])
def test_f17_killed_before_anything_was_sent(
    airflow_mps: LocalMps, airflow_says: Says, kind: type[MpsSubmitOperator], point: str
) -> None:
    """F17: Airflow's signal handler returns to where it came from; after that nothing is sent, nor an Abort."""
    airflow_says("failed")
    operator, context = new_operator(kind)(), new_context()
    store = context["task_state_store"]
    owner, name = {
        "checked": (operator, "_checked"),
        "looked for a cleared job": (store, "get"),
        "stored that it is being sent": (store, "set"),
    }[point]
    step = getattr(owner, name)

    def killed(*arguments: Any, **options: Any) -> Any:
        done = step(*arguments, **options)
        operator.on_kill()
        return done

    setattr(owner, name, killed)
    with pytest.raises(MpsError, match="the task was killed"):
        operator.execute(context)
    assert not airflow_mps.backend.calls


@pytest.mark.fault("F17")
def test_f17_killed_while_the_answer_is_on_its_way(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F17: a kill between sending and the answer finds the job by its SessionId, and aborts it."""
    airflow_says("failed")
    airflow_mps.backend.faults.add(Fault("hang", action="ProcessMedia", when="after", seconds=30))
    operator = new_operator(MpsProcessMediaOperator, "talk.queued.mp4")()
    thread = threading.Thread(target=lambda: _quietly(operator), daemon=True)
    thread.start()
    for _ in range(500):
        if jobs(airflow_mps):
            break
        time.sleep(0.01)
    operator.on_kill()
    thread.join(5)
    assert not thread.is_alive()
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    assert asked(airflow_mps, "ProcessMedia") == 1


@pytest.mark.fault("F17")
@pytest.mark.parametrize("kind", [MpsProcessMediaOperator, MpsBatchProcessMediaOperator])
def test_f17_killed_before_the_answer_is_stored(
    airflow_mps: LocalMps, airflow_says: Says, kind: type[MpsSubmitOperator]
) -> None:
    """F17: a kill between the answer and storing it aborts the job, also one that has no SessionId to be found by."""
    airflow_says("failed")
    operator = new_operator(kind, "talk.queued.mp4")()
    context = new_context()
    store = context["task_state_store"]
    real = store.set

    def killed(key: str, value: Any, **options: Any) -> None:
        if value.get("mps_task_id"):
            operator.on_kill()
        real(key, value, **options)

    store.set = killed
    with contextlib.suppress(AirflowException, MpsError):  # Airflow ends the process meanwhile
        operator.execute(context)
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == jobs(airflow_mps)


@pytest.mark.fault("F17")
def test_f17_a_job_that_cannot_be_looked_for_is_named(
    airflow_mps: LocalMps, airflow_says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    """F17: when MPS does not answer the search for a job in flight, the log names its SessionId."""
    airflow_says("failed")
    airflow_mps.backend.faults.add(Fault("hang", action="ProcessMedia", when="after", seconds=30))
    airflow_mps.backend.faults.add(Fault("reset", action="DescribeTasks", times=None))
    operator = new_operator(MpsProcessMediaOperator, "talk.queued.mp4")()
    thread = threading.Thread(target=lambda: _quietly(operator), daemon=True)
    thread.start()
    for _ in range(500):
        if jobs(airflow_mps):
            break
        time.sleep(0.01)
    operator.on_kill()
    thread.join(5)
    (task,) = airflow_mps.backend.tasks.values()
    assert f"A job with SessionId {task.request['SessionId']} may run on and be billed" in capsys.readouterr().out


def _quietly(operator: MpsSubmitOperator) -> None:
    try:
        operator.execute(new_context())
    except (AirflowException, MpsError):
        return


def _join(worker: threading.Thread) -> None:
    """Nothing of a test goes on in the next one."""
    for thread in (worker, *(each for each in threading.enumerate() if each.name == "mps-abort")):
        thread.join(20)


def _kill_and_time(monkeypatch: pytest.MonkeyPatch, operator: MpsSubmitOperator) -> float:
    """Seconds that on_kill takes with one second of its four, so that a slow machine has room up to Airflow's five."""
    assert cancel._WORKER_BUDGET <= 4.0
    monkeypatch.setattr(cancel, "_WORKER_BUDGET", 1.0)
    started = time.monotonic()
    operator.on_kill()
    return time.monotonic() - started


@pytest.mark.fault("F18")
def test_f18_a_slow_abort_does_not_hold_the_worker(
    airflow_mps: LocalMps, airflow_says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F18: Airflow kills a process 5 seconds after SIGTERM; on_kill returns before, however slow MPS is."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.queued.mp4")
    airflow_mps.backend.faults.add(Fault("hang", action="ManageTask", seconds=60, times=None))
    assert _kill_and_time(monkeypatch, operator) < 5
    _join(thread)


@pytest.mark.fault("F18")
def test_a_slow_airflow_does_not_hold_the_worker(
    airflow_mps: LocalMps, airflow_says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question to Airflow counts into the same budget; without an answer nothing is aborted."""
    airflow_says("failed", seconds=8)
    operator, thread, _ = _in_mid_wait("talk.queued.mp4")
    assert _kill_and_time(monkeypatch, operator) < 5
    assert airflow_mps.backend.aborts == []
    airflow_mps.backend.faults.add(Fault("error", action="ManageTask", code="InvalidParameterValue.TaskId"))
    _join(thread)


def test_cancel_on_kill_can_be_switched_off(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """cancel_on_kill=False leaves the job alone."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.queued.mp4", cancel_on_kill=False)
    operator.on_kill()
    thread.join(3)
    assert airflow_mps.backend.aborts == []


def test_abort_operator(airflow_mps: LocalMps) -> None:
    """It returns whether MPS aborted the task; what cannot be aborted is no failure."""
    waiting = submit(MpsProcessMediaOperator, "talk.queued.mp4", wait_for_completion=False)
    running = submit(MpsProcessMediaOperator, "talk.stuck.mp4", wait_for_completion=False, request=None)
    airflow_mps.backend.tasks[running].polls = 5

    def abort(task_id: str, connection: str = "mps_default") -> bool:
        return MpsAbortTaskOperator(task_id="abort", mps_task_id=task_id, mps_conn_id=connection).execute(new_context())

    assert abort(waiting) is True
    assert abort(running) is False
    assert abort("1250000000-WorkflowTask-unknown") is False
    with pytest.raises(MpsApiError):
        abort(waiting, "wrong_key")
    assert airflow_mps.backend.aborts == [waiting]


@pytest.mark.fault("F15", "F28")
@WAYS
@pytest.mark.parametrize(("name", "aborts"), [("talk.queued.mp4", 1), ("talk.stuck.mp4", 0), ("talk.mp4", 0)])
def test_f15_a_clear_aborts_what_still_waits(airflow_mps: LocalMps, deferrable: bool, name: str, aborts: int) -> None:
    """F15: the try after a Clear aborts the job from before it if that still waits: on_kill may be too late for it."""
    context = new_context()
    first = submit(MpsProcessMediaOperator, name, context=context, wait_for_completion=False)
    airflow_mps.backend.tasks[first].polls = 0 if "queued" in name else 5
    submit(MpsProcessMediaOperator, name, context=clear(context), wait_for_completion=False, deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 2
    assert airflow_mps.backend.aborts == [first] * aborts


@pytest.mark.fault("F19")
def test_f19_a_killed_submission_sends_nothing_more(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F19: a kill while MPS refuses for the rate: the next attempt is not made, and no job comes to be."""
    airflow_says("failed")
    airflow_mps.backend.faults.add(Fault("throttle", action="ProcessMedia"))
    operator = new_operator(MpsProcessMediaOperator)()
    checked = operator._checked

    def kill_first() -> Any:
        threading.Timer(0.3, operator.on_kill).start()
        return checked()

    operator._checked = kill_first  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LIMITS, Purpose.SUBMIT, Limits(attempts=8, throttle_timeout=60, first_delay=2, max_delay=2))
        with pytest.raises(MpsError):
            operator.execute(new_context())
    assert jobs(airflow_mps) == []
