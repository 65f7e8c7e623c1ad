"""What a try makes of the record that it finds, or does not find. Counted at the local MPS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.client import clock
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsError,
    MpsSubmitUnknown,
    MpsTaskFailed,
    MpsTaskUnsettled,
)
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsBatchProcessMediaOperator,
    MpsEditMediaOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import DONE, RUNNING, Crash, StateStore, clear, new_context, refusal, retry
from tests.support.submitting import (
    ALL_KINDS,
    NO_SESSION,
    WAYS,
    WITH_SESSION,
    WITHOUT_SESSION,
    asked,
    jobs,
    new_operator,
    submit,
)

Kind = type[MpsSubmitOperator]
WorkerClock = Callable[[float], None]


@pytest.fixture
def worker_clock(monkeypatch: pytest.MonkeyPatch) -> WorkerClock:
    """Sets the wall clock of this worker off by seconds, as in a new process; the local MPS has the right time."""
    worker, right = threading.get_ident(), time.time
    ahead = 0.0

    def now() -> float:
        return right() + (ahead if threading.get_ident() == worker else 0.0)

    def set_off(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds
        clock.forget_all()

    monkeypatch.setattr(time, "time", now)
    return set_off


def crash(kind: Kind, context: dict[str, Any], *, before: str, name: str = "talk.mp4", **arguments: Any) -> None:
    """A worker that dies before it saves a record of this state."""
    context["task_state_store"].crash_before = before
    with pytest.raises(Crash):
        submit(kind, name, context=context, **arguments)


@pytest.mark.fault("F79")
@pytest.mark.parametrize(
    "other", [MpsProcessMediaOperator, MpsEditMediaOperator], ids=["other request", "other action"]
)
@WAYS
def test_f79_one_task_instance_submits_one_job(airflow_mps: LocalMps, other: Kind, deferrable: bool) -> None:
    """F79: a second submission in the same try, with another request or action, is refused and names the remedy."""
    context = new_context()
    first = submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    with pytest.raises(MpsConfigError, match=rf"(?s){first}.*one task for each, or expand") as caught:
        submit(other, "another.mp4", context=context, deferrable=deferrable)
    assert isinstance(caught.value, AirflowFailException)
    assert jobs(airflow_mps) == [first]


@pytest.mark.fault("F80")
@pytest.mark.parametrize("record", [None, "no record", {"state": "odd"}], ids=["none", "no object", "cannot be read"])
@WAYS
@WITHOUT_SESSION
def test_f80_a_missing_record_is_no_proof(airflow_mps: LocalMps, kind: Kind, deferrable: bool, record: Any) -> None:
    """F80: without a record at a later try it is unknown whether a job was sent: nothing is sent."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    context["task_state_store"] = StateStore()
    if record is not None:
        context["task_state_store"].set("mps_job", record)
    with pytest.raises(MpsSubmitUnknown, match="record of an earlier try is missing"):
        submit(kind, context=retry(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 1
    # A Clear is the way out: it sends a new job, whatever became of the first.
    submit(kind, context=clear(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 2


@pytest.mark.fault("F81")
@WAYS
@WITH_SESSION
def test_f81_a_job_without_a_record_is_found(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F81: twenty minutes after the first try its record is gone: the job is found by its marker."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    airflow_mps.backend.tasks[first].created -= 1200
    context["dag_run"].run_after -= timedelta(seconds=1200)
    context["task_state_store"] = StateStore()
    assert submit(kind, context=retry(context), deferrable=deferrable, timeout=7200) == first
    assert jobs(airflow_mps) == [first]


@pytest.mark.fault("F82")
@pytest.mark.parametrize("counted", [True, False], ids=["run was reset", "run was left as it is"])
@WAYS
@ALL_KINDS
def test_f82_retries_that_were_lowered_hide_no_clear(
    airflow_mps: LocalMps, kind: Kind, deferrable: bool, counted: bool
) -> None:
    """F82: the author lowers `retries` before a Clear, so that max_tries is as before: the Clear sends a new job."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable)
    before = context["ti"].max_tries
    clear(context, retries=1)
    context["dag_run"].clear_number = int(counted)
    assert context["ti"].max_tries == before
    second = submit(kind, context=context, deferrable=deferrable, retries=1)
    assert jobs(airflow_mps) == [first, second]


@pytest.mark.fault("F83")
@pytest.mark.parametrize("aborts", [True, False], ids=["job waits", "job runs"])
@WAYS
def test_f83_clear_of_a_task_whose_worker_is_dead(airflow_mps: LocalMps, deferrable: bool, aborts: bool) -> None:
    """F83: the executor reports no success, so Airflow does not raise max_tries: the Clear still sends a new job."""
    context = new_context()
    name = "talk.queued.mp4" if aborts else "talk.stuck.mp4"
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, name, context=context, deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    airflow_mps.backend.tasks[first].polls = 0 if aborts else 5
    retry(context)
    context["dag_run"].clear_number += 1
    submit(MpsProcessMediaOperator, name, context=context, deferrable=deferrable, wait_for_completion=False)
    assert len(jobs(airflow_mps)) == 2
    assert airflow_mps.backend.aborts == [first] * aborts


@WAYS
@ALL_KINDS
def test_a_clear_that_leaves_the_run_as_it_is(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """A Clear by the API may leave the run, and with it `clear_number`, as it is: it still sends a new job."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable)
    clear(context)
    context["dag_run"].clear_number = 0
    second = submit(kind, context=context, deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]


@pytest.mark.fault("F84")
@WAYS
@WITH_SESSION
def test_f84_clear_after_a_crash_in_mid_submission(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F84: accepted, and dead before the TaskId was stored; then Clear: found by its SessionId, aborted, sent anew."""
    context = new_context()
    crash(kind, context, before="accepted", name="talk.queued.mp4", deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    second = submit(kind, context=clear(context), deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]
    assert airflow_mps.backend.aborts == [first]


@pytest.mark.fault("F85")
@WAYS
@WITH_SESSION
def test_f85_a_run_that_is_queued_again(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F85: the run begins again while its task runs, and the worker dies before the TaskId is stored: one job."""
    context = new_context()
    crash(kind, context, before="accepted", deferrable=deferrable)
    context["dag_run"].start_date += timedelta(hours=5)
    assert [submit(kind, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)


@pytest.mark.fault("F86")
@pytest.mark.parametrize("task_id", ["2600/Task==", "a" * 300, "1250000000-Workflow+Task~1"])
@WAYS
def test_f86_a_task_id_of_a_new_form(airflow_mps: LocalMps, deferrable: bool, task_id: str) -> None:
    """F86: MPS accepts with a TaskId of a form not seen before: it is awaited as it is."""
    airflow_mps.backend.settings.next_task_ids.append(task_id)
    assert submit(MpsProcessMediaOperator, deferrable=deferrable) == task_id
    assert jobs(airflow_mps) == [task_id]


@pytest.mark.fault("F89")
@pytest.mark.parametrize("minutes", [-60, -15, -5, 5, 15, 60])
@WAYS
def test_f89_a_clock_that_is_wrong(
    airflow_mps: LocalMps, worker_clock: WorkerClock, minutes: float, deferrable: bool
) -> None:
    """F89: a worker's clock ahead or behind: the job is found after a lost answer, and not timed out early."""
    worker_clock(minutes * 60)
    context = new_context()
    airflow_mps.backend.settings.state_seconds = 0.2
    crash(MpsProcessMediaOperator, context, before="accepted", deferrable=deferrable)
    worker_clock(-minutes * 60)
    task_id = submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable, timeout=20)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []
    sent_at = context["task_state_store"].get("mps_job")["sent_at"]
    assert abs(sent_at - airflow_mps.backend.tasks[task_id].created) < 5


@pytest.mark.fault("F89", "F21")
@pytest.mark.parametrize("minutes", [-60, 5, 60])
@WAYS
def test_f89_the_deadline_is_in_mps_time(
    airflow_mps: LocalMps, worker_clock: WorkerClock, minutes: float, deferrable: bool
) -> None:
    """F89: the deadline comes after `timeout` seconds, whatever the clock of the worker says."""
    worker_clock(minutes * 60)
    started = time.monotonic()
    with pytest.raises(AirflowFailException, match="has not ended within 3 seconds"):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", timeout=3, deferrable=deferrable)
    assert 2 <= time.monotonic() - started < 15
    assert airflow_mps.backend.aborts == jobs(airflow_mps)


@pytest.mark.fault("F89", "F21")
@WAYS
def test_f89_a_wrong_clock_alone_ends_no_wait(
    airflow_mps: LocalMps, worker_clock: WorkerClock, deferrable: bool
) -> None:
    """F89: a retry whose clock is an hour ahead gets no answer at first: nothing is aborted, it polls on."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    worker_clock(3600)
    # The poll that takes the job up and the first of the wait: neither has an answer.
    airflow_mps.backend.faults.add(Fault("reset", action="DescribeTaskDetail", times=8))
    task_id = submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable, timeout=60)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F90")
@WITHOUT_SESSION
def test_f90_evicted_in_the_pause_after_a_denial(airflow_mps: LocalMps, kind: Kind) -> None:
    """F90: MPS has no capacity, and the worker dies in the pause: it certainly has no job, so the next try sends it."""
    airflow_mps.backend.faults.add(Fault("error", action=kind.action_name, code="LimitExceeded.CreateTask", times=1))
    context = new_context()
    operator = new_operator(kind)()
    saves, store = [], context["task_state_store"]
    sound = store.set

    def stop_at_the_denial(key: str, value: Any, **options: Any) -> None:
        sound(key, value, **options)
        saves.append(value["state"])
        if saves == ["not sent", "sending", "not sent"]:
            raise Crash

    store.set = stop_at_the_denial
    with pytest.raises(Crash):
        operator.execute(context)
    store.set = sound
    assert jobs(airflow_mps) == []
    assert [submit(kind, context=retry(context))] == jobs(airflow_mps)


@pytest.mark.fault("F90")
@WITHOUT_SESSION
def test_f90_an_error_before_the_wire(airflow_mps: LocalMps, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """F90: an error that comes before anything was sent (a proxy that makes no sense): the next try sends the job."""
    context = new_context()
    monkeypatch.setenv("HTTP_PROXY", "ftp://nonsense")
    with pytest.raises(MpsConfigError, match="HTTP_PROXY"):
        submit(kind, context=context)
    monkeypatch.delenv("HTTP_PROXY")
    assert [submit(kind, context=retry(context))] == jobs(airflow_mps)


@pytest.mark.fault("F95")
@WAYS
def test_f95_somebody_else_aborts_the_job(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F95: a job that was aborted has ended: the try fails, and its retry submits a new job."""
    context = new_context()

    def abort_elsewhere(key: str, value: Any) -> None:
        if key == "mps_task_id" and len(jobs(airflow_mps)) == 1:
            MpsAbortTaskOperator(task_id="abort", mps_task_id=value).execute(new_context())

    context["ti"].xcom_push = abort_elsewhere
    with pytest.raises(MpsTaskUnsettled, match="was it aborted"):
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    second = submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]


@pytest.mark.fault("F96")
@pytest.mark.parametrize("seconds", [float(2**63), 10**15, float("inf"), float("nan"), -1, 0, None, True, "60"])
@pytest.mark.parametrize("argument", ["timeout", "poll_interval"])
@WAYS
def test_f96_seconds_that_nobody_can_wait(airflow_mps: LocalMps, deferrable: bool, argument: str, seconds: Any) -> None:
    """F96: a duration that makes no sense, or that Airflow cannot store, is found before anything is sent."""
    with pytest.raises(MpsConfigError, match=argument):
        submit(MpsProcessMediaOperator, deferrable=deferrable, **{argument: seconds})
    assert not airflow_mps.backend.calls


@WAYS
@ALL_KINDS
def test_a_success_that_airflow_did_not_learn_of(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """The worker dies, or `post_execute` raises, after the success was recorded: the retry takes it; one job."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable)
    assert context["task_state_store"].get("mps_job")["ending"] == "success"
    assert submit(kind, context=retry(context), deferrable=deferrable) == first
    assert jobs(airflow_mps) == [first]


@WAYS
def test_a_clear_of_another_task_does_not_submit_again(airflow_mps: LocalMps, deferrable: bool) -> None:
    """While a deferred task waits, another task of its run is cleared: after its resume a retry takes up the job."""
    if not deferrable:
        pytest.skip("a worker that waits by itself learns nothing of it")
    context = new_context()
    store, sound = context["task_state_store"], context["task_state_store"].set

    def other_task_cleared(key: str, value: Any, **options: Any) -> None:
        sound(key, value, **options)
        if value["state"] == "accepted":
            context["dag_run"].clear_number = 1
            job = airflow_mps.backend.tasks[value["mps_task_id"]]
            job.answers = [RUNNING, *[refusal("AuthFailure.MFAFailure")] * 2]

    store.set = other_task_cleared
    with pytest.raises(MpsApiError):
        submit(MpsProcessMediaOperator, context=context, deferrable=True)
    airflow_mps.backend.tasks[jobs(airflow_mps)[0]].answers = [DONE]
    del store.set
    assert [submit(MpsProcessMediaOperator, context=retry(context), deferrable=True)] == jobs(airflow_mps)


@WAYS
def test_every_step_is_written_down_before_it_is_taken(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Not sent, sending, accepted, ended: in this order, one save each; the request after the second."""
    context = new_context()
    sound = context["task_state_store"].set
    saved: list[tuple[str, int]] = []

    def record(key: str, value: Any, **options: Any) -> None:
        saved.append((value["state"], asked(airflow_mps, "ProcessMedia")))
        assert options["retention"] >= timedelta(days=30)
        sound(key, value, **options)

    context["task_state_store"].set = record
    submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    assert saved == [("not sent", 0), ("sending", 0), ("accepted", 1), ("ended", 1)]


def test_a_session_id_holds_nothing_of_airflow(airflow_mps: LocalMps) -> None:
    """Two tasks of one name, run and time have two SessionIds; a marker tells whose both jobs are."""
    for _ in range(2):
        submit(MpsProcessMediaOperator, context=new_context())
    one, other = (task.request for task in airflow_mps.backend.tasks.values())
    assert one["SessionId"] != other["SessionId"]
    assert one["SessionContext"] == other["SessionContext"]


@WAYS
def test_a_failed_batch_is_sent_again_by_a_retry(airflow_mps: LocalMps, deferrable: bool) -> None:
    """A job without a SessionId that failed has ended for certain: the retry sends a new one."""
    context = new_context()
    for count in (1, 2):
        with pytest.raises(MpsTaskFailed):
            submit(MpsBatchProcessMediaOperator, "talk.all-fail.mp4", context=context, deferrable=deferrable)
        assert len(jobs(airflow_mps)) == count
        retry(context)


def test_a_kill_by_a_user_ends_the_record(airflow_mps: LocalMps) -> None:
    """What was refused before the wire by a kill is sent by the next try."""
    context = new_context()
    operator = new_operator(MpsProcessMediaOperator)()
    operator.on_kill()
    with pytest.raises(MpsError, match="the task was killed"):
        operator.execute(context)
    assert jobs(airflow_mps) == []
    assert [submit(MpsProcessMediaOperator, context=retry(context))] == jobs(airflow_mps)


@pytest.mark.fault("F80")
@pytest.mark.parametrize("before", ["accepted", "pushing"], ids=["when it is found", "before it is told"])
@WAYS
@WITH_SESSION
def test_f80_a_search_that_is_cut_short_is_begun_again(
    airflow_mps: LocalMps, kind: Kind, deferrable: bool, before: str
) -> None:
    """F80: the record is gone, and the worker dies in the search for the job: the next try finds it."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable, wait_for_completion=False)
    context["task_state_store"] = StateStore()
    retry(context)
    if before == "pushing":
        context["ti"].crash_on_push = True
    crash(kind, context, before=before, deferrable=deferrable)
    assert submit(kind, context=retry(context), deferrable=deferrable) == first
    assert jobs(airflow_mps) == [first]


@pytest.mark.fault("F80", "F02")
@WAYS
@WITH_SESSION
def test_f80_a_search_that_fails_is_begun_again(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F80: the record is gone, and MPS does not answer while the job is searched for: the next try finds it."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable, wait_for_completion=False)
    context["task_state_store"] = StateStore()
    airflow_mps.backend.faults.add(Fault("reset", action="DescribeTasks", times=4))
    with pytest.raises(MpsError) as caught:
        submit(kind, context=retry(context), deferrable=deferrable)
    assert not isinstance(caught.value, AirflowFailException)
    assert submit(kind, context=retry(context), deferrable=deferrable) == first
    assert jobs(airflow_mps) == [first]


@pytest.mark.fault("F80")
@WAYS
@WITH_SESSION
def test_f80_a_failed_job_of_the_same_second(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F80: the record is gone, and the job that failed is as old as the one that did not: the latter counts."""
    context = new_context()
    with pytest.raises(MpsTaskFailed):
        submit(kind, "talk.source-error.mp4", context=context, deferrable=deferrable)
    second = submit(kind, context=retry(context), deferrable=deferrable)
    first, _ = jobs(airflow_mps)
    for created in (0.0, 60.0):
        airflow_mps.backend.tasks[first].created = airflow_mps.backend.tasks[second].created + created
        context["task_state_store"] = StateStore()
        assert submit(kind, context=retry(context), deferrable=deferrable) == second
    assert jobs(airflow_mps) == [first, second]


@pytest.mark.fault("F80", "F82")
@WAYS
@ALL_KINDS
def test_f80_an_edited_retries_is_no_clear(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F80: the record is gone, and `retries` was lowered, so that the numbers are those of a Clear: sent once."""
    context = new_context()
    submit(kind, context=context, deferrable=deferrable, wait_for_completion=False)
    (first,) = jobs(airflow_mps)
    context["task_state_store"] = StateStore()
    if kind in NO_SESSION:  # nothing finds its job
        with pytest.raises(MpsSubmitUnknown):
            submit(kind, context=retry(context), deferrable=deferrable, retries=1)
    else:
        assert submit(kind, context=retry(context), deferrable=deferrable, retries=1) == first
    assert jobs(airflow_mps) == [first]


@WAYS
@ALL_KINDS
def test_a_job_that_failed_while_nobody_polled_it(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """The worker dies, and the job fails meanwhile: the next try submits a new one at once."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, "talk.source-error.mp4", context=context, deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    airflow_mps.backend.tasks[first].polls = 9
    second = submit(kind, context=retry(context), deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]
