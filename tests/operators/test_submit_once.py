"""A job is sent once, whatever happens to answers, processes and retries. Counted at the local MPS."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTaskFailed, MpsTaskNotFound, MpsTransportError
from airflow_provider_mps.operators.mps import MpsBatchProcessMediaOperator, MpsProcessMediaOperator
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import Crash, clear, new_context, refusal, retry
from tests.support.submitting import (
    ALL_KINDS,
    NO_SESSION,
    WAYS,
    WITH_SESSION,
    WITHOUT_SESSION,
    asked,
    jobs,
    process,
    submit,
)

Kind = type[MpsSubmitOperator]
_LOST = ["reset", "status", "html", "cut", "broken", "hang"]


@WAYS
@ALL_KINDS
def test_submit_and_wait(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """One job, its TaskId returned, and pushed with RequestId and region before the wait."""
    context = new_context()
    task_id = submit(kind, context=context, deferrable=deferrable)
    assert jobs(airflow_mps) == [task_id]
    pushed = context["ti"].xcoms
    assert (pushed["mps_task_id"], pushed["region"]) == (task_id, "ap-guangzhou")
    assert pushed["request_id"]


@ALL_KINDS
def test_submit_without_waiting(airflow_mps: LocalMps, kind: Kind) -> None:
    """wait_for_completion=False returns as soon as MPS has the job."""
    assert [submit(kind, wait_for_completion=False)] == jobs(airflow_mps)
    assert len(airflow_mps.backend.calls) == 1


@pytest.mark.fault("F01")
@pytest.mark.parametrize("fault", _LOST)
@WAYS
@WITH_SESSION
def test_f01_answer_lost_after_acceptance(airflow_mps: LocalMps, kind: Kind, deferrable: bool, fault: Any) -> None:
    """F01: the answer is lost after MPS took the job: sent again with the same SessionId, found, one job."""
    airflow_mps.backend.faults.add(Fault(fault, action=kind.action_name, when="after", seconds=5))
    context = new_context()
    assert [submit(kind, context=context, deferrable=deferrable)] == jobs(airflow_mps)


@pytest.mark.parametrize("fault", _LOST)
@WITH_SESSION
def test_request_lost_before_acceptance(airflow_mps: LocalMps, kind: Kind, fault: Any) -> None:
    """The same trouble before MPS took the job: sent again, one job."""
    airflow_mps.backend.faults.add(Fault(fault, action=kind.action_name, seconds=5))
    assert [submit(kind)] == jobs(airflow_mps)


@pytest.mark.fault("F02")
@WAYS
@ALL_KINDS
def test_f02_throttled_then_accepted(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F02: one refusal for the rate, then success: two requests, one job, its TaskId returned."""
    airflow_mps.backend.faults.add(Fault("throttle", action=kind.action_name))
    assert [submit(kind, deferrable=deferrable)] == jobs(airflow_mps)
    assert asked(airflow_mps, kind.action_name) == 2


@pytest.mark.fault("F03")
@WAYS
@WITH_SESSION
def test_f03_killed_between_acceptance_and_persistence(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F03: the worker dies after MPS took the job and before anything was stored: the retry finds it, one job."""
    context = new_context()
    context["task_state_store"].crash_before = "accepted"
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 1
    assert [submit(kind, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)


@pytest.mark.fault("F04")
@WAYS
@ALL_KINDS
def test_f04_killed_while_waiting(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F04: the worker dies after the job was stored: the retry takes it up."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    assert [submit(kind, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)


@pytest.mark.fault("F05")
@WAYS
@ALL_KINDS
def test_f05_retry_after_a_failed_job(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F05: a job that failed is followed by a new one, with a verdict of its own."""
    context = new_context()
    with pytest.raises(MpsTaskFailed):
        submit(kind, "talk.all-fail.mp4", context=context, deferrable=deferrable)
    with pytest.raises(MpsTaskFailed):
        submit(kind, "talk.all-fail.mp4", context=retry(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 2
    with pytest.raises(MpsTaskFailed):
        submit(kind, "talk.all-fail.mp4", context=retry(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 3


@pytest.mark.fault("F07")
@WAYS
@ALL_KINDS
def test_f07_clear_submits_anew(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F07: Clear after success, after failure and in the middle submits anew; a retry after it does not."""
    context = new_context()
    first = submit(kind, context=context, deferrable=deferrable)
    second = submit(kind, context=clear(context), deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]
    clear(context)["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    third = submit(kind, context=clear(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 4
    assert jobs(airflow_mps)[-1] == third


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    "code",
    [
        "ResourceNotFound",
        "ResourceNotFound.TaskNotFound",
        "InvalidParameterValue",
        "InvalidParameterValue.TaskId",
        "FailedOperation.TaskNotFound",
    ],
)
@pytest.mark.parametrize("age", [1000, 8 * 86_400], ids=["minutes ago", "longer ago than MPS answers for"])
@WAYS
def test_f08_a_job_that_mps_forgot(airflow_mps: LocalMps, deferrable: bool, age: float, code: str) -> None:
    """F08: a stored id that MPS no longer knows, however it says so, is not resubmitted in silence; only on request."""
    context = new_context()
    context["dag_run"].start_date -= timedelta(seconds=age)
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    (first,) = jobs(airflow_mps)
    airflow_mps.backend.tasks[first].created -= age
    airflow_mps.backend.tasks[first].answers = [refusal(code)]
    store = context["task_state_store"]
    store.set("mps_job", {**store.get("mps_job"), "sent_at": store.get("mps_job")["sent_at"] - age})
    arguments = {"deferrable": deferrable, "timeout": 9 * 86_400}
    with pytest.raises(MpsTaskNotFound, match=f"(?s){first}.*resubmit_if_unknown"):
        submit(MpsProcessMediaOperator, context=retry(context), **arguments)
    assert jobs(airflow_mps) == [first]
    again = submit(MpsProcessMediaOperator, context=retry(context), resubmit_if_unknown=True, **arguments)
    assert jobs(airflow_mps) == [first, again]
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F10")
@WAYS
@ALL_KINDS
def test_f10_failure_right_after_acceptance(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F10: pushing an XCom fails after MPS took the job: the id is stored already, as plain JSON."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    stored = context["task_state_store"].get("mps_job")
    assert [stored["mps_task_id"]] == jobs(airflow_mps)
    json.dumps(stored)


@pytest.mark.fault("F11")
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault("error", when="after", code="InternalError"), "unknown"),
        (Fault("error", when="after", code="FailedOperation.NetWorkError"), "unknown"),
        (Fault("reset", when="after"), "unknown"),
        (Fault("status", when="after"), "unknown"),
        (Fault("html", when="after"), "unknown"),
        (Fault("hang", when="after", seconds=5), "unknown"),
        (Fault("throttle"), "sent"),
        (Fault("error", code="LimitExceeded.CreateTask"), "sent"),
        (Fault("error", code="RequestLimitExceeded.UinLimitExceeded"), "sent"),
        (Fault("error", code="FailedOperation.UserArrears"), "refused"),
        (Fault("error", code="InvalidParameter"), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind} {value.code} {value.when}",
)
@WITHOUT_SESSION
def test_f11_ambiguous_answers_without_a_session(airflow_mps: LocalMps, kind: Kind, fault: Fault, outcome: str) -> None:
    """F11: a job without a SessionId is sent again only when MPS certainly did not take it; else a person looks."""
    fault.action, fault.times = kind.action_name, 1
    airflow_mps.backend.faults.add(fault)
    context = new_context()
    if outcome == "sent":
        assert [submit(kind, context=context)] == jobs(airflow_mps)
        return
    error = AirflowFailException if outcome == "unknown" else MpsApiError
    with pytest.raises(error) as caught:
        submit(kind, context=context)
    assert len(jobs(airflow_mps)) == (1 if outcome == "unknown" else 0)
    if outcome == "unknown":
        assert "task list of the MPS console" in str(caught.value)
        request = next(iter(airflow_mps.backend.tasks.values())).request
        assert request.get("SessionContext", "compare input and time") in str(caught.value)
        assert len(jobs(airflow_mps)) == 1
        submit(kind, context=retry(context), resubmit_if_unknown=True)
        assert len(jobs(airflow_mps)) == 2


@pytest.mark.fault("F11")
@pytest.mark.parametrize("fault", ["reset", "status"])
def test_resubmission_is_bounded(airflow_mps: LocalMps, fault: Any) -> None:
    """Where every answer is lost, resubmit_if_unknown pays for one more job in a try, not for one after another."""
    airflow_mps.backend.faults.add(Fault(fault, action="BatchProcessMedia", when="after", times=None))
    with pytest.raises(AirflowFailException, match="not known whether"):
        submit(MpsBatchProcessMediaOperator, resubmit_if_unknown=True)
    assert len(jobs(airflow_mps)) == 2


@WAYS
def test_a_partial_success_that_is_accepted_is_not_paid_again(airflow_mps: LocalMps, deferrable: bool) -> None:
    """With allow_partial a retry takes up a job of which some parts failed."""
    request = process("talk.partial-failure.mp4")
    request["MediaProcessTask"] = {"TranscodeTaskSet": [{"Definition": 1}, {"Definition": 2}]}
    context = new_context()
    arguments = {"request": request, "allow_partial": True, "deferrable": deferrable}
    first = submit(MpsProcessMediaOperator, context=context, **arguments)
    assert submit(MpsProcessMediaOperator, context=retry(context), **arguments) == first
    assert jobs(airflow_mps) == [first]


@pytest.mark.parametrize(
    "fault",
    [Fault("throttle", times=None), Fault("error", code="FailedOperation.UserArrears")],
    ids=["rate", "arrears"],
)
@ALL_KINDS
def test_a_job_that_mps_refused_is_sent_by_the_retry(airflow_mps: LocalMps, kind: Kind, fault: Fault) -> None:
    """What MPS certainly did not take is no unknown: the next try sends it."""
    fault = Fault(fault.kind, action=kind.action_name, code=fault.code, times=fault.times)
    airflow_mps.backend.faults.add(fault)
    context = new_context()
    with pytest.raises(MpsApiError):
        submit(kind, context=context)
    airflow_mps.backend.faults.clear()
    assert [submit(kind, context=retry(context))] == jobs(airflow_mps)


def test_the_search_passes_over_what_describe_does_not_know(airflow_mps: LocalMps) -> None:
    """Lists may name tasks that DescribeTaskDetail does not know (any more); they do not end the search."""
    for number in range(3):
        airflow_mps.backend.script([refusal("ResourceNotFound")], f"1250000000-WorkflowTask-other{number}")
    airflow_mps.backend.faults.add(Fault("reset", action="ProcessMedia", when="after"))
    task_id = submit(MpsProcessMediaOperator)
    assert jobs(airflow_mps)[-1] == task_id
    assert len(jobs(airflow_mps)) == 4


@pytest.mark.fault("F07")
@pytest.mark.parametrize("known", [True, False], ids=["MPS remembers", "MPS has forgotten all"])
@WAYS
@ALL_KINDS
def test_f07_clear_after_the_window_submits_anew(
    airflow_mps: LocalMps, kind: Kind, deferrable: bool, known: bool
) -> None:
    """F07: a task of four days ago that a user clears is sent anew, whatever MPS remembers of the job before."""
    context = new_context()
    context["dag_run"].start_date -= timedelta(days=4)
    first = submit(kind, context=context, deferrable=deferrable)
    before = airflow_mps.backend.tasks[first]
    before.created -= 4 * 86_400
    stored = context["task_state_store"].get("mps_job")
    context["task_state_store"].set("mps_job", {**stored, "sent_at": stored["sent_at"] - 4 * 86_400})
    airflow_mps.backend.settings.session_seconds = 0
    if not known:
        del airflow_mps.backend.tasks[first]
    second = submit(kind, context=clear(context), deferrable=deferrable)
    assert second != first
    assert jobs(airflow_mps) == ([first, second] if known else [second])
    if kind not in NO_SESSION:
        (task,) = (task for task in airflow_mps.backend.tasks.values() if task is not before)
        assert task.request["SessionId"] != before.request["SessionId"]
    assert asked(airflow_mps, "ManageTask") == 0


@pytest.mark.fault("F07")
@pytest.mark.parametrize("days", [3.1, 4])
@pytest.mark.parametrize("known", [True, False], ids=["MPS knows the job", "MPS has forgotten all"])
def test_after_the_window_a_session_id_proves_nothing(airflow_mps: LocalMps, known: bool, days: float) -> None:
    """A retry days later does not rely on MPS's memory: it looks for the job, and sends nothing if in doubt."""
    context = new_context()
    context["task_state_store"].crash_before = "accepted"
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, timeout=1e6, context=context)
    airflow_mps.backend.settings.session_seconds = 0  # MPS has forgotten the SessionId
    stored = context["task_state_store"].get("mps_job")
    context["task_state_store"].set("mps_job", {**stored, "sent_at": stored["sent_at"] - days * 86_400})
    if known:
        assert [submit(MpsProcessMediaOperator, timeout=1e6, context=retry(context))] == jobs(airflow_mps)
        return
    airflow_mps.backend.tasks.clear()
    with pytest.raises(AirflowFailException, match="not known whether"):
        submit(MpsProcessMediaOperator, timeout=1e6, context=retry(context))
    assert jobs(airflow_mps) == []


@pytest.mark.fault("F01")
def test_mps_out_of_reach_is_retried_by_airflow(airflow_mps: LocalMps) -> None:
    """When every answer is lost, the task fails with a retry, which finds the job."""
    airflow_mps.backend.faults.add(Fault("reset", action="ProcessMedia", when="after", times=None))
    context = new_context()
    with pytest.raises(MpsTransportError):
        submit(MpsProcessMediaOperator, context=context)
    airflow_mps.backend.faults.clear()
    assert [submit(MpsProcessMediaOperator, context=retry(context))] == jobs(airflow_mps)
