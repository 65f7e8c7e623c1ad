"""When a wait gives up, and what it does then. Counted at the local MPS."""

from __future__ import annotations

import inspect
import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferred

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsStateUnknown, MpsTaskTimeout
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsBatchProcessMediaOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import DEFAULT_TIMEOUT
from tests.support.harness import RUNNING, Crash, FastClock, as_json, first_event, new_context, refusal, retry
from tests.support.submitting import WAYS, asked, deadline_of, jobs, new_operator, submit

_HOUR = 3600.0


@pytest.mark.fault("F21")
@WAYS
def test_f21_a_waiting_job_is_aborted_at_the_deadline(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F21: at the deadline one last look, then Abort of what still waits, then failure that names the TaskId."""
    with pytest.raises(AirflowFailException) as caught:
        submit(MpsProcessMediaOperator, "talk.queued.mp4", timeout=0.3, deferrable=deferrable)
    (task_id,) = jobs(airflow_mps)
    assert airflow_mps.backend.aborts == [task_id]
    assert task_id in str(caught.value)
    assert "WAITING" in str(caught.value)
    assert "was aborted." in str(caught.value)


@pytest.mark.fault("F16", "F21")
@WAYS
def test_f21_a_running_job_goes_on_after_the_deadline(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F21: a job that runs already cannot be aborted, and the error says that it is billed."""
    with pytest.raises(AirflowFailException, match="runs on and is billed"):
        submit(MpsProcessMediaOperator, "talk.stuck.mp4", timeout=0.3, deferrable=deferrable)
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F27")
@WAYS
def test_f27_success_at_the_deadline_wins(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F27: nobody looks between the first look and the deadline; a job that is done at the last one is a success."""
    airflow_mps.backend.settings.state_seconds = 0.3
    task_id = submit(MpsProcessMediaOperator, timeout=1.0, poll_interval=10, deferrable=deferrable)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F21")
def test_f21_the_framework_timeout_finds_the_job(airflow_mps: LocalMps) -> None:
    """F21: Airflow's own defer timeout drops the arguments of the deferral; the id comes from the record."""
    context = new_context()
    with pytest.raises(TaskDeferred):
        new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=True, timeout=1)().execute(context)
    (task_id,) = jobs(airflow_mps)
    time.sleep(1)
    operator = new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=True, timeout=1)()
    with pytest.raises(AirflowFailException, match=task_id):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert airflow_mps.backend.aborts == [task_id]


@pytest.mark.fault("F04")
@pytest.mark.parametrize("done", [True, False], ids=["job ended", "job runs"])
def test_f04_a_crashed_trigger_is_taken_up_by_the_retry(airflow_mps: LocalMps, done: bool) -> None:
    """F04: when the trigger crashes, a job that has ended is a success; else the next try takes it up: one job."""
    context = new_context()
    with pytest.raises(TaskDeferred):
        new_operator(MpsProcessMediaOperator, deferrable=True)().execute(context)
    airflow_mps.backend.tasks[jobs(airflow_mps)[0]].polls = 5 if done else 0
    operator = new_operator(MpsProcessMediaOperator, deferrable=True)()
    if done:
        assert operator.resume_execution("__fail__", {"error": "Trigger failure"}, context) == jobs(airflow_mps)[0]
        return
    with pytest.raises(TaskDeferralError):
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, context)
    assert [submit(MpsProcessMediaOperator, context=retry(context), deferrable=True)] == jobs(airflow_mps)


@pytest.mark.fault("F22", "F24")
@WAYS
def test_f24_a_retry_does_not_restart_the_clock(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F22, F24: the deadline counts from the first submission, also for a try that takes the job up later."""
    context = new_context()
    context["dag_run"].start_date -= timedelta(seconds=2000)
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context, deferrable=deferrable)
    (task,) = airflow_mps.backend.tasks.values()
    task.created -= 1000
    stored = context["task_state_store"].get("mps_job")
    context["task_state_store"].set("mps_job", {**stored, "sent_at": stored["sent_at"] - 1000})
    started = time.monotonic()
    with pytest.raises(AirflowFailException, match="has not ended within 5 seconds of its submission"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=retry(context), deferrable=deferrable, timeout=5)
    assert time.monotonic() - started < 4


@pytest.mark.fault("F25")
@WAYS
def test_f25_a_job_of_twelve_hours_is_waited_for(
    airflow_mps: LocalMps, fast_clock: FastClock, deferrable: bool
) -> None:
    """F25: hours and days are waited for, with the timeout that nobody has set, and at the interval asked for."""
    airflow_mps.backend.settings.state_seconds = 6 * _HOUR
    started = time.time()
    task_id = submit(MpsProcessMediaOperator, timeout=DEFAULT_TIMEOUT, poll_interval=600, deferrable=deferrable)
    assert jobs(airflow_mps) == [task_id]
    assert 12 * _HOUR <= time.time() - started < 13 * _HOUR
    assert 90 <= asked(airflow_mps, "DescribeTaskDetail") <= 130  # a young job is polled more often


@pytest.mark.fault("F25")
@WAYS
def test_f25_no_wait_is_endless(airflow_mps: LocalMps, fast_clock: FastClock, deferrable: bool) -> None:
    """F25: after three days it ends with an error that names the job, and says what became of it."""
    started = time.time()
    arguments = {"timeout": DEFAULT_TIMEOUT, "poll_interval": 1800, "deferrable": deferrable}
    with pytest.raises(AirflowFailException, match=r"has not ended within 259200 seconds.*was aborted") as caught:
        submit(MpsProcessMediaOperator, "talk.queued.mp4", **arguments)
    assert jobs(airflow_mps)[0] in str(caught.value)
    assert 72 * _HOUR <= time.time() - started < 73 * _HOUR


@pytest.mark.fault("F25")
def test_f25_one_default_for_all_modes() -> None:
    """F25: idle jobs may take three days, so three days is the default, in sync and deferrable mode alike."""
    for deferrable in (False, True):
        operator = MpsProcessMediaOperator(task_id="a_task", request={}, deferrable=deferrable)
        assert operator.timeout == 3 * 86_400
    defaults = inspect.signature(MpsProcessMediaOperator).parameters
    assert defaults["timeout"].default == 3 * 86_400


@pytest.mark.fault("F26")
@WAYS
def test_f26_credentials_that_break_in_mid_wait(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F26: a permanent error while waiting fails with the TaskId; the job is not touched, the retry takes it up."""
    code = "AuthFailure.SecretIdNotFound"
    airflow_mps.backend.faults.add(Fault("error", action="DescribeTaskDetail", code=code, times=None))
    context = new_context()
    with pytest.raises(MpsApiError, match=r"SecretIdNotFound") as caught:
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    assert jobs(airflow_mps)[0] in str(caught.value)
    airflow_mps.backend.faults.clear()
    assert [submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)


@pytest.mark.fault("F48")
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameter", "FailedOperation.UserArrears"])
@pytest.mark.parametrize("looks", [0, 1], ids=["at the first look", "in mid-wait"])
@WAYS
def test_f48_a_refusal_for_good_ends_the_wait(airflow_mps: LocalMps, deferrable: bool, looks: int, code: str) -> None:
    """F48: it is asked for twice at most, by the triggerer and by the worker, and one job is left alone."""
    context = new_context()
    pushed = context["ti"].xcom_push

    def push(key: str, value: Any) -> None:
        if key == "mps_task_id":
            airflow_mps.backend.tasks[value].answers = [*[RUNNING] * looks, refusal(code)]
        pushed(key, value)

    context["ti"].xcom_push = push
    with pytest.raises(MpsApiError, match=code) as caught:
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    (task_id,) = jobs(airflow_mps)
    assert task_id in str(caught.value)
    assert asked(airflow_mps, "DescribeTaskDetail") <= looks + 2
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F47")
@WAYS
def test_f47_an_endless_outage_aborts_nothing(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F47: when MPS stays silent the state is unknown, which is no reason to abort or to submit again."""
    airflow_mps.backend.faults.add(Fault("status", action="DescribeTaskDetail", times=None))
    with pytest.raises(MpsStateUnknown):
        submit(MpsProcessMediaOperator, deferrable=deferrable, outage_tolerance=0.1)
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F28")
@WAYS
def test_f28_an_aborted_job_is_never_a_success(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F28: a job that was aborted under the wait ends in an error that says so."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context)
    MpsAbortTaskOperator(task_id="abort", mps_task_id=jobs(airflow_mps)[0]).execute(new_context())
    with pytest.raises(Exception, match="was it aborted"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=retry(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 1


def test_a_batch_job_is_aborted_like_any_other(airflow_mps: LocalMps) -> None:
    """Whether MPS aborts batch jobs is not documented; it is asked, and what it says is told."""
    with pytest.raises(AirflowFailException, match=r"was aborted\."):
        submit(MpsBatchProcessMediaOperator, "talk.queued.mp4", timeout=0.2)
    assert airflow_mps.backend.aborts == jobs(airflow_mps)


@pytest.mark.fault("F23")
@WAYS
def test_f23_a_slow_submission_gets_no_more_time(
    airflow_mps: LocalMps, fast_clock: FastClock, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """F23: thirty of the sixty seconds go by in the submission: the wait still ends sixty seconds after its start."""
    genuine = airflow_mps.backend.answer

    def slow(action: str, *arguments: Any) -> dict[str, Any]:
        if action == "ProcessMedia":
            fast_clock.slept += 30
        return genuine(action, *arguments)

    monkeypatch.setattr(airflow_mps.backend, "answer", slow)
    context = new_context()
    new = new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=deferrable, timeout=60, poll_interval=10)
    started = time.time()
    if deferrable:
        with pytest.raises(TaskDeferred) as caught:
            new().execute(context)
        deadline = deadline_of(caught.value.trigger)
        assert deadline < started + 70
        fast_clock.slept += max(deadline - time.time(), 0)
        resume = as_json({**caught.value.kwargs, "event": first_event(caught.value.trigger)})
        with pytest.raises(AirflowFailException, match="has not ended within 60 seconds"):
            new().resume_execution(caught.value.method_name, resume, context)
    else:
        with pytest.raises(AirflowFailException, match="has not ended within 60 seconds"):
            new().execute(context)
    assert 60 <= time.time() - started < 70
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    (job,) = airflow_mps.backend.tasks.values()
    assert started - 1 <= context["task_state_store"].get("mps_job")["sent_at"] <= job.created - 29


@pytest.mark.fault("F21", "F24")
@WAYS
def test_f21_a_worker_that_dies_after_the_abort(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F21: the worker dies after it has aborted the job at the deadline: the retry fails, and submits no other job."""
    context = new_context()
    context["task_state_store"].crash_before = "ended"
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=context, timeout=1, deferrable=deferrable)
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    with pytest.raises(MpsTaskTimeout, match="has not ended within 1 seconds") as caught:
        submit(MpsProcessMediaOperator, "talk.queued.mp4", context=retry(context), timeout=1, deferrable=deferrable)
    assert isinstance(caught.value, AirflowFailException)
    assert len(jobs(airflow_mps)) == 1
