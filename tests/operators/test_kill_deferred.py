"""A task that is ended while it is deferred: who is behind it, and what becomes of the job."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import TaskInstance, new_context, revive
from tests.support.killing import Says
from tests.support.submitting import new_operator


def _deferred_trigger(mps: LocalMps, name: str = "talk.queued.mp4", **arguments: Any) -> MpsTaskTrigger:
    with pytest.raises(TaskDeferred) as caught:
        new_operator(MpsProcessMediaOperator, name, deferrable=True, **arguments)().execute(new_context())
    trigger: MpsTaskTrigger = revive(caught.value.trigger)
    trigger.task_instance = TaskInstance()  # type: ignore[assignment]
    return trigger


# What a user does, and what else may have become of a deferred task: it moves, resumes or is retried.
_STATES = pytest.mark.parametrize(
    ("state", "aborts"),
    [
        *[(state, 1) for state in ("failed", "success", "skipped", "removed", "None")],
        *[(state, 0) for state in ("scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule")],
    ],
)


@pytest.mark.fault("F13", "F15", "F87")
@_STATES
def test_f13_f15_the_trigger_asks_airflow_first(
    airflow_mps: LocalMps, airflow_says: Says, state: str, aborts: int
) -> None:
    """F13, F15: Airflow calls on_kill for a user's action and for a failover: only the first aborts, once."""
    airflow_says(state)
    trigger = _deferred_trigger(airflow_mps)

    async def kill() -> None:
        await trigger.on_kill()
        await trigger.on_kill()

    asyncio.run(kill())
    assert len(airflow_mps.backend.aborts) == aborts


@pytest.mark.fault("F13", "F14")
@pytest.mark.parametrize(
    "trouble",
    [{"error": RuntimeError("away")}, {"error": AirflowException("no")}, {"state": "failed", "seconds": 9}],
    ids=["error", "Airflow's error", "no answer"],
)
def test_f13_in_doubt_nothing_is_aborted(airflow_mps: LocalMps, airflow_says: Says, trouble: dict[str, Any]) -> None:
    """F13: when Airflow does not answer, the job goes on, and the trigger ends in time (F14, F18)."""
    airflow_says(**trouble)
    trigger = _deferred_trigger(airflow_mps)
    started = time.monotonic()
    with contextlib.closing(asyncio.new_event_loop()) as loop:  # asyncio.run would wait for the question's thread
        loop.run_until_complete(trigger.on_kill())
    assert time.monotonic() - started < 10
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F13")
def test_f13_a_cancelled_question_is_doubt(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """F13: a triggerer that ends cancels the very question; that is no user."""

    def cancelled(**_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(cancelled))
    trigger = _deferred_trigger(airflow_mps)
    asyncio.run(trigger.on_kill())
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F15")
@pytest.mark.parametrize(("state", "aborts"), [("failed", 1), ("deferred", 0)])
def test_f15_a_repeated_cancellation_does_not_stop_the_abort(
    airflow_mps: LocalMps, airflow_says: Says, state: str, aborts: int
) -> None:
    """F15: Airflow cancels a trigger again every second until it has ended: the Abort goes on."""
    airflow_says(state, seconds=0.3)
    trigger = _deferred_trigger(airflow_mps)
    airflow_mps.backend.faults.add(Fault("hang", action="ManageTask", seconds=0.3))

    async def kill() -> None:
        killing = asyncio.create_task(trigger.on_kill())
        while not killing.done():
            await asyncio.sleep(0.05)
            killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)

    asyncio.run(kill())
    assert len(airflow_mps.backend.aborts) == aborts


@pytest.mark.fault("F66")
def test_f66_after_the_event_a_kill_does_nothing(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F66: Airflow cancels a trigger whose event it has taken as if a user had; nothing is aborted then."""
    airflow_says("running")
    trigger = _deferred_trigger(airflow_mps, "talk.mp4")

    async def run() -> None:
        async for _ in trigger.run():
            await trigger.on_kill()

    asyncio.run(run())
    assert not [call for call in airflow_mps.backend.calls if call.action == "ManageTask"]


@pytest.mark.parametrize("flag", [True, False], ids=["cancel_on_kill", "leave alone"])
def test_a_sensor_never_aborts(airflow_mps: LocalMps, airflow_says: Says, flag: bool) -> None:
    """A sensor did not start the job, so it never ends it; an operator may be told not to."""
    airflow_says("failed")
    trigger = _deferred_trigger(airflow_mps, cancel_on_kill=flag)
    assert trigger.cancel_on_kill is flag
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=trigger.mps_task_id, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(new_context())
    waiting: MpsTaskTrigger = revive(caught.value.trigger)
    waiting.task_instance = TaskInstance()  # type: ignore[assignment]
    asyncio.run(waiting.on_kill())
    assert airflow_mps.backend.aborts == []


async def _cancelled(trigger: MpsTaskTrigger, *word: str) -> None:
    """Run a trigger for a moment, and cancel it, perhaps with a word."""

    async def drain() -> None:
        async for _ in trigger.run():
            pass

    run = asyncio.create_task(drain())
    await asyncio.sleep(0.3)
    run.cancel(*word)
    with pytest.raises(asyncio.CancelledError):
        await run


@pytest.mark.fault("F14", "F15")
@pytest.mark.parametrize(
    ("word", "timed_out", "state", "asked", "aborts"),
    [
        (("a user's action",), False, "failed", True, 1),
        (("a user's action",), False, "deferred", True, 0),
        (("a user's action",), True, "failed", False, 0),
        ((), False, "failed", False, 0),
    ],
    ids=["ended by a user", "moved to another triggerer", "timed out", "the triggerer ends"],
)
def test_f15_a_triggerer_too_busy_to_call_on_kill(
    airflow_mps: LocalMps,
    airflow_says: Says,
    word: tuple[str, ...],
    timed_out: bool,
    state: str,
    asked: bool,
    aborts: int,
) -> None:
    """F15: Airflow cancels with a word, and again before it comes to on_kill: the trigger asks without it."""
    airflow_says(state)
    trigger = _deferred_trigger(airflow_mps, poll_interval=60)
    if timed_out:
        trigger.timeout_after = datetime.now(UTC) - timedelta(seconds=1)
    asyncio.run(_cancelled(trigger, *word))
    assert len(airflow_mps.backend.aborts) == aborts
    assert trigger._fired is asked


@pytest.mark.fault("F16")
@pytest.mark.parametrize("state", ["failed", "success", "removed"])
@pytest.mark.parametrize("on_kill", [True, False], ids=["on_kill", "too busy for on_kill"])
def test_f16_a_job_that_runs_already_is_told_of(
    airflow_mps: LocalMps,
    airflow_says: Says,
    capsys: pytest.CaptureFixture[str],
    state: str,
    on_kill: bool,
) -> None:
    """F16: a user ends a deferred task, and MPS refuses: one attempt, a warning that the job runs on and is billed."""
    airflow_says(state)
    trigger = _deferred_trigger(airflow_mps, "talk.stuck.mp4", poll_interval=60)
    (task,) = airflow_mps.backend.tasks.values()
    task.polls = 5
    assert airflow_mps.backend.status(task) == "PROCESSING"

    async def twice() -> None:
        await trigger.on_kill()
        await trigger.on_kill()

    asyncio.run(twice() if on_kill else _cancelled(trigger, "a user's action"))
    refusals = [call.code for call in airflow_mps.backend.calls if call.action == "ManageTask"]
    assert refusals == ["InvalidParameterValue.NotProcessingTask"]
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "was not aborted" in line]
    assert all(text in told for text in ("warning", task.task_id, "runs on and is billed"))


@pytest.mark.fault("F18")
@pytest.mark.parametrize("question", [0.0, 5.0, 9.0], ids=["quick question", "slow question", "no answer"])
def test_f18_question_and_abort_share_ten_seconds(
    airflow_mps: LocalMps, airflow_says: Says, capsys: pytest.CaptureFixture[str], question: float
) -> None:
    """F18: however slow Airflow and MPS both are, it ends after 10 seconds at most; the loop goes on meanwhile."""
    airflow_says("failed", seconds=question)
    trigger = _deferred_trigger(airflow_mps)
    airflow_mps.backend.faults.add(Fault("hang", action="ManageTask", times=None))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    with asyncio.Runner() as runner:
        heart = runner.get_loop().create_task(beat())
        started = time.monotonic()
        runner.run(trigger.on_kill())
        seconds = time.monotonic() - started  # without the end of the loop, which waits for the question's thread
        heart.cancel()
    assert seconds < 10
    assert beats > 10
    told = capsys.readouterr().out
    if question == 9.0:
        assert "was not aborted: Airflow does not say who ended the task" in told
    else:
        assert "its Abort has no answer of MPS yet, or waits for its turn. It goes on for 5 minutes" in told
        assert "was not aborted: the triggerer ends" in told


@pytest.mark.fault("F15")
def test_f15_many_ended_at_once_are_all_aborted(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F15: MPS takes twenty Aborts a second: those of hundreds of tasks go on when their triggers have ended."""
    airflow_says("failed", seconds=0.03)
    triggers = [_deferred_trigger(airflow_mps) for _ in range(240)]

    async def kill() -> None:
        started = time.monotonic()
        await asyncio.gather(*(trigger.on_kill() for trigger in triggers))
        assert time.monotonic() - started < 10
        for _ in range(600):
            await asyncio.sleep(0.1)
            if len(airflow_mps.backend.aborts) == len(triggers):
                break

    asyncio.run(kill())
    assert len(set(airflow_mps.backend.aborts)) == len(airflow_mps.backend.aborts) == len(triggers)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), EOFError()], ids=repr)
def test_any_error_of_the_question_is_doubt(airflow_mps: LocalMps, airflow_says: Says, error: Exception) -> None:
    """Whatever Airflow's answer fails with, a cancelled trigger stays cancelled, and nothing is aborted."""
    airflow_says(error=error)
    trigger = _deferred_trigger(airflow_mps, poll_interval=60)

    asyncio.run(_cancelled(trigger, "a user's action"))
    assert trigger._fired
    assert airflow_mps.backend.aborts == []
