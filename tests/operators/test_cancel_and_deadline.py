"""Who ends a job, when, and what is said when MPS refuses. Counted at the local MPS."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferralError, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.client import retry as retry_policy
from airflow_provider_mps.client import submission
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsStateUnknown
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsBatchProcessMediaOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.harness import Crash, TaskInstance, clear, new_context, retry, revive
from tests.operators.submitting import STORES, WAYS, asked, jobs, new_operator, submit

Says = Callable[..., None]


@pytest.fixture
def airflow_says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Sets the state that Airflow tells of the task, or the error that asking for it ends in."""

    def say(state: str | None = None, error: BaseException | None = None, seconds: float = 0.0) -> None:
        def answer(**asked: Any) -> dict[str, Any]:
            time.sleep(seconds)
            if error:
                raise error
            return {asked["run_ids"][0]: {asked["task_ids"][0]: state}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(answer))

    return say


def _in_mid_wait(name: str, **arguments: Any) -> tuple[MpsSubmitOperator, threading.Thread, list[BaseException]]:
    """An operator that waits on a thread of its own, its job accepted."""
    operator = new_operator(MpsProcessMediaOperator, name, **{"poll_interval": 60, **arguments})()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            operator.execute(new_context(store=True))
        except AirflowException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in range(500):
        if operator._mps_task_id:
            break
        time.sleep(0.01)
    return operator, thread, ended


@pytest.mark.parametrize("state", ["failed", "success", "restarting", "skipped"])
def test_a_user_who_ends_a_running_task_aborts_the_job(airflow_mps: LocalMps, airflow_says: Says, state: str) -> None:
    """Mark failed, mark success and Clear on a running task: one Abort, and the wait ends at once (F19)."""
    airflow_says(state)
    operator, thread, ended = _in_mid_wait("talk.queued.mp4")
    operator.on_kill()
    thread.join(3)
    assert not thread.is_alive()
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    assert operator._mps_task_id is not None
    assert operator._mps_task_id in str(ended[0])


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


def test_f16_a_running_job_cannot_be_aborted(
    airflow_mps: LocalMps, airflow_says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    """F16: MPS refuses: a warning that the job runs on and is billed, no exception, one attempt."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.stuck.mp4")
    airflow_mps.backend.tasks[jobs(airflow_mps)[0]].looks = 5
    operator.on_kill()
    thread.join(3)
    refusals = [call for call in airflow_mps.backend.calls if call.action == "ManageTask"]
    assert [call.code for call in refusals] == ["InvalidParameterValue.NotProcessingTask"]
    log = capsys.readouterr().out
    assert "runs on and is billed" in log
    assert jobs(airflow_mps)[0] in log


def test_f17_killed_before_anything_was_sent(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F17: a kill before the submission sends nothing."""
    airflow_says("failed")
    new_operator(MpsProcessMediaOperator)().on_kill()
    assert not airflow_mps.backend.calls


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


def _quietly(operator: MpsSubmitOperator) -> None:
    try:
        operator.execute(new_context(store=True))
    except (AirflowException, MpsError):
        return


def test_f18_a_slow_abort_does_not_hold_the_worker(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F18: Airflow kills a process 5 seconds after SIGTERM; on_kill returns before, however slow MPS is."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.queued.mp4")
    airflow_mps.backend.faults.add(Fault("hang", action="ManageTask", seconds=60))
    started = time.monotonic()
    operator.on_kill()
    assert time.monotonic() - started < 4.6
    thread.join(3)


def test_a_slow_airflow_does_not_hold_the_worker(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """The question to Airflow counts into the same budget."""
    airflow_says("failed", seconds=6)
    operator, thread, _ = _in_mid_wait("talk.queued.mp4")
    started = time.monotonic()
    operator.on_kill()
    assert time.monotonic() - started < 4.6
    assert airflow_mps.backend.aborts == []
    thread.join(3)


def test_cancel_on_kill_can_be_switched_off(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """cancel_on_kill=False leaves the job alone."""
    airflow_says("failed")
    operator, thread, _ = _in_mid_wait("talk.queued.mp4", cancel_on_kill=False)
    operator.on_kill()
    thread.join(3)
    assert airflow_mps.backend.aborts == []


def _deferred_trigger(mps: LocalMps, name: str = "talk.queued.mp4", **arguments: Any) -> MpsTaskTrigger:
    with pytest.raises(TaskDeferred) as caught:
        new_operator(MpsProcessMediaOperator, name, deferrable=True, **arguments)().execute(new_context(store=True))
    trigger: MpsTaskTrigger = revive(caught.value.trigger)
    trigger.task_instance = TaskInstance()  # type: ignore[assignment]
    return trigger


@pytest.mark.parametrize(
    ("state", "aborts"),
    [("failed", 1), ("success", 1), ("None", 1), ("scheduled", 1), ("deferred", 0), ("up_for_retry", 0)],
)
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


@pytest.mark.parametrize(
    "trouble",
    [{"error": RuntimeError("away")}, {"error": AirflowException("no")}, {"state": "failed", "seconds": 6}],
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


def test_f13_a_cancelled_question_is_doubt(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """F13: on a failover Airflow cancels the very question; that is no user either."""

    def cancelled(**_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(cancelled))
    trigger = _deferred_trigger(airflow_mps)
    asyncio.run(trigger.on_kill())
    assert airflow_mps.backend.aborts == []


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


@WAYS
def test_f21_a_waiting_job_is_aborted_at_the_deadline(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F21: at the deadline one last look, then Abort of what still waits, then failure that names the TaskId."""
    with pytest.raises(AirflowFailException) as caught:
        submit(MpsProcessMediaOperator, "talk.queued.mp4", timeout=0.3, deferrable=deferrable)
    (task_id,) = jobs(airflow_mps)
    assert airflow_mps.backend.aborts == [task_id]
    assert task_id in str(caught.value)
    assert "WAITING" in str(caught.value)
    assert "was aborted before it began" in str(caught.value)


@WAYS
def test_f21_a_running_job_goes_on_after_the_deadline(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F21: a job that runs already cannot be aborted, and the error says that it is billed."""
    with pytest.raises(AirflowFailException, match="runs on and is billed"):
        submit(MpsProcessMediaOperator, "talk.stuck.mp4", timeout=0.3, deferrable=deferrable)
    assert airflow_mps.backend.aborts == []


@WAYS
def test_f27_success_at_the_deadline_wins(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F27: a job that is done at the last look is a success, however late."""
    airflow_mps.backend.settings.state_seconds = 0.2
    task_id = submit(MpsProcessMediaOperator, timeout=0.5, poll_interval=0.45, deferrable=deferrable)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []


def test_f21_the_framework_timeout_finds_the_job(airflow_mps: LocalMps) -> None:
    """F21: Airflow's own defer timeout drops the arguments of the deferral; the id comes from XCom."""
    context = new_context(store=True)
    with pytest.raises(TaskDeferred):
        new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=True)().execute(context)
    (task_id,) = jobs(airflow_mps)
    operator = new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=True)()
    with pytest.raises(AirflowFailException, match=task_id):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert airflow_mps.backend.aborts == [task_id]


@pytest.mark.parametrize("done", [True, False], ids=["job ended", "job runs"])
def test_f04_a_crashed_trigger_is_taken_up_by_the_retry(airflow_mps: LocalMps, done: bool) -> None:
    """F04: when the trigger crashes, a job that has ended is a success; else the next try takes it up: one job."""
    context = new_context(store=True)
    with pytest.raises(TaskDeferred):
        new_operator(MpsProcessMediaOperator, deferrable=True)().execute(context)
    airflow_mps.backend.tasks[jobs(airflow_mps)[0]].looks = 5 if done else 0
    operator = new_operator(MpsProcessMediaOperator, deferrable=True)()
    if done:
        assert operator.resume_execution("__fail__", {"error": "Trigger failure"}, context) == jobs(airflow_mps)[0]
        return
    with pytest.raises(TaskDeferralError):
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, context)
    assert [submit(MpsProcessMediaOperator, context=retry(context), deferrable=True)] == jobs(airflow_mps)


@STORES
@WAYS
def test_f24_a_retry_does_not_restart_the_clock(airflow_mps: LocalMps, deferrable: bool, store: bool) -> None:
    """F22, F24: the deadline counts from the first submission, also for a try that takes the job up later."""
    context = new_context(store=store)
    context["dag_run"].start_date -= timedelta(seconds=2000)
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context, deferrable=deferrable)
    (task,) = airflow_mps.backend.tasks.values()
    task.created -= 1000
    if store:
        stored = context["task_state_store"].get("mps_job")
        context["task_state_store"].set("mps_job", {**stored, "sent_at": stored["sent_at"] - 1000})
    started = time.monotonic()
    with pytest.raises(AirflowFailException, match="has not ended within 5 seconds of its submission"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=retry(context), deferrable=deferrable, timeout=5)
    assert time.monotonic() - started < 4


def test_f25_one_default_for_all_modes() -> None:
    """F25: idle jobs may take three days, so three days is the default, in sync and deferrable mode alike."""
    for deferrable in (False, True):
        operator = MpsProcessMediaOperator(task_id="a_task", request={}, deferrable=deferrable)
        assert operator.timeout == 3 * 86_400
    defaults = inspect.signature(MpsProcessMediaOperator).parameters
    assert defaults["timeout"].default == 3 * 86_400


@WAYS
def test_f26_credentials_that_break_in_mid_wait(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F26: a permanent error while waiting fails with the TaskId; the job is not touched, the retry takes it up."""
    code = "AuthFailure.SecretIdNotFound"
    airflow_mps.backend.faults.add(Fault("error", action="DescribeTaskDetail", code=code, times=None))
    context = new_context(store=True)
    with pytest.raises(MpsApiError, match=r"SecretIdNotFound") as caught:
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    assert jobs(airflow_mps)[0] in str(caught.value)
    airflow_mps.backend.faults.clear()
    assert [submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)


@WAYS
def test_f47_an_endless_outage_aborts_nothing(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F47: when MPS stays silent the state is unknown, which is no reason to abort or to submit again."""
    airflow_mps.backend.faults.add(Fault("status", action="DescribeTaskDetail", times=None))
    with pytest.raises(MpsStateUnknown):
        submit(MpsProcessMediaOperator, deferrable=deferrable, outage_tolerance=0.1)
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == []


@WAYS
def test_f28_an_aborted_job_is_never_a_success(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F28: a job that was aborted under the wait ends in an error that says so."""
    context = new_context(store=True)
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context)
    MpsAbortTaskOperator(task_id="abort", mps_task_id=jobs(airflow_mps)[0]).execute(new_context())
    with pytest.raises(Exception, match="was it aborted"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=retry(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 1


def test_abort_operator(airflow_mps: LocalMps) -> None:
    """It returns whether MPS aborted the task; what cannot be aborted is no failure."""
    waiting = submit(MpsProcessMediaOperator, "talk.queued.mp4", wait_for_completion=False)
    running = submit(MpsProcessMediaOperator, "talk.stuck.mp4", wait_for_completion=False, request=None)
    airflow_mps.backend.tasks[running].looks = 5

    def abort(task_id: str, connection: str = "mps_default") -> bool:
        return MpsAbortTaskOperator(task_id="abort", mps_task_id=task_id, mps_conn_id=connection).execute(new_context())

    assert abort(waiting) is True
    assert abort(running) is False
    assert abort("1250000000-WorkflowTask-unknown") is False
    with pytest.raises(MpsApiError):
        abort(waiting, "wrong_key")
    assert airflow_mps.backend.aborts == [waiting]


def test_a_batch_job_is_aborted_like_any_other(airflow_mps: LocalMps) -> None:
    """Whether MPS aborts batch jobs is not documented; it is asked, and what it says is told."""
    with pytest.raises(AirflowFailException, match="was aborted before it began"):
        submit(MpsBatchProcessMediaOperator, "talk.queued.mp4", timeout=0.2)
    assert airflow_mps.backend.aborts == jobs(airflow_mps)


@WAYS
@pytest.mark.parametrize(("name", "aborts"), [("talk.queued.mp4", 1), ("talk.stuck.mp4", 0), ("talk.mp4", 0)])
def test_f15_a_clear_aborts_what_still_waits(airflow_mps: LocalMps, deferrable: bool, name: str, aborts: int) -> None:
    """F15: the try after a Clear aborts the job from before it if that still waits: on_kill may be too late for it."""
    context = new_context(store=True)
    first = submit(MpsProcessMediaOperator, name, context=context, wait_for_completion=False)
    airflow_mps.backend.tasks[first].looks = 0 if "queued" in name else 5
    submit(MpsProcessMediaOperator, name, context=clear(context), wait_for_completion=False, deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 2
    assert airflow_mps.backend.aborts == [first] * aborts


@pytest.mark.parametrize(("state", "aborts"), [("failed", 1), ("deferred", 0)])
def test_f15_before_airflow_33_a_cancelled_trigger_asks_itself(
    airflow_mps: LocalMps, airflow_says: Says, monkeypatch: pytest.MonkeyPatch, state: str, aborts: int
) -> None:
    """F15: Airflow 3.2 has no on_kill for triggers: the cancellation asks for the task's state, and aborts or not."""
    airflow_says(state)
    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    trigger = _deferred_trigger(airflow_mps, poll_interval=60)

    async def cancel() -> None:
        async def drain() -> None:
            async for _ in trigger.run():
                pass

        run = asyncio.create_task(drain())
        await asyncio.sleep(0.3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancel())
    assert len(airflow_mps.backend.aborts) == aborts


def test_f18_a_slow_abort_does_not_hold_the_triggerer(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F18: an Abort that hangs ends after 10 seconds at most, and the loop goes on meanwhile."""
    airflow_says("failed")
    trigger = _deferred_trigger(airflow_mps)
    airflow_mps.backend.faults.add(Fault("hang", action="ManageTask", seconds=60))
    beats = 0

    async def kill() -> None:
        nonlocal beats

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        heart = asyncio.create_task(beat())
        await trigger.on_kill()
        heart.cancel()

    started = time.monotonic()
    asyncio.run(kill())
    assert time.monotonic() - started < 10
    assert beats > 10


@WAYS
def test_f23_the_clock_starts_when_the_job_is_sent(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F23: the deadline counts from the first sending, so a slow submission does not add to it, in either mode."""
    airflow_mps.backend.faults.add(Fault("slow", action="ProcessMedia", when="after", bytes_per_second=200))
    context = new_context(store=True)
    started = time.time()
    with pytest.raises(AirflowFailException, match="has not ended"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context, deferrable=deferrable, timeout=1.5)
    assert time.time() - started < 4
    assert 0 <= context["task_state_store"].get("mps_job")["sent_at"] - started < 0.5


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
        patch.setattr(submission, "PAUSE", 1.0)
        with pytest.raises(MpsError):
            operator.execute(new_context(store=True))
    assert jobs(airflow_mps) == []


def test_f15_many_ended_at_once_are_all_aborted(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F15: MPS takes twenty Aborts a second: sixty deferred tasks that a user ends at once are still all aborted."""
    airflow_says("failed", seconds=0.03)
    triggers = [_deferred_trigger(airflow_mps) for _ in range(60)]

    async def kill() -> None:
        await asyncio.gather(*(trigger.on_kill() for trigger in triggers))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry_policy, "PAUSES", tenacity.wait_random_exponential(multiplier=0.5, max=8))
        asyncio.run(kill())
    assert len(airflow_mps.backend.aborts) == 60


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), EOFError()], ids=repr)
def test_any_error_of_the_question_is_doubt(
    airflow_mps: LocalMps, airflow_says: Says, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever Airflow's answer fails with, a cancelled trigger stays cancelled, and nothing is aborted."""
    airflow_says(error=error)
    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    trigger = _deferred_trigger(airflow_mps, poll_interval=60)

    async def cancel() -> None:
        async def drain() -> None:
            async for _ in trigger.run():
                pass

        run = asyncio.create_task(drain())
        await asyncio.sleep(0.3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancel())
    assert airflow_mps.backend.aborts == []
