"""What each poll means for a wait, with time as an argument. No network, no clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState, evaluate
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsError,
    MpsStateUnknown,
    MpsTaskNotFound,
    MpsTaskUnsettled,
    MpsTransportError,
)
from airflow_provider_mps.results.task import TaskDetail

TASK_ID = "1250000000-WorkflowTask-1"
START = 1_000_000.0
PART: dict[str, Any] = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"Path": "/a.mp4"}}


def _detail(status: str, **part: Any) -> TaskDetail:
    results = [{"Type": "Transcode", "TranscodeTask": PART | part}]
    return TaskDetail.of(
        {"TaskType": "WorkflowTask", "Status": status, "WorkflowTask": {"MediaProcessResultSet": results}}
    )


def _error(code: str) -> MpsApiError:
    return MpsApiError(action="DescribeTaskDetail", code=code, message="m", request_id="r")


def _broken(category: Category = Category.NO_ANSWER) -> MpsTransportError:
    return MpsTransportError("reset", action="DescribeTaskDetail", category=category)


WAITING, RUNNING, DONE = _detail("WAITING"), _detail("PROCESSING", Status="PROCESSING"), _detail("FINISH")
FAILED = _detail("FINISH", Status="FAIL", ErrCode=30010)
UNSETTLED = _detail("FINISH", Status="PROCESSING")
STRANGE = _detail("PAUSED")
NOT_FOUND = _error("ResourceNotFound")
Polls = list[tuple[float, TaskDetail | MpsError]]


def _wait(polls: Polls, **limits: float) -> TaskDetail | None:
    """Evaluate polls at seconds after the start; the last one decides, those before must leave the wait open."""
    policy, state = WaitPolicy(**limits), WaitState(TASK_ID, START)
    for seconds, outcome in polls[:-1]:
        assert evaluate(policy, state, outcome, START + seconds) is None
    seconds, outcome = polls[-1]
    return evaluate(policy, state, outcome, START + seconds)


@pytest.mark.fault("F36", "F46", "F49")
@pytest.mark.parametrize(
    "polls",
    [
        [(0, WAITING)],
        [(0, WAITING), (10, RUNNING), (1e6, RUNNING)],
        [(0, UNSETTLED)],
        [(0, UNSETTLED), (119, UNSETTLED)],
        [(0, UNSETTLED), (100, RUNNING), (101, UNSETTLED), (220, UNSETTLED)],
        [(0, NOT_FOUND), (89, NOT_FOUND)],
        [(0, _error("InvalidParameterValue")), (50, _error("FailedOperation.TaskNotFound"))],
        [(0, _broken()), (3599, _broken())],
        [(0, RUNNING), (3000, _broken()), (3599, _broken())],
        [(0, _broken()), (3000, RUNNING), (6000, _broken())],
        [(0, _broken()), (80, NOT_FOUND), (3600, _broken())],
        [(0, _error("InternalError")), (10, _error("RequestLimitExceeded"))],
        [(0, _error("ServiceUnavailable"))],
        [(0, _error("AnUndocumentedCode")), (3599, _error("unknown"))],
        [(0, _error("FailedOperation")), (3599, _error("LimitExceeded"))],
        [(0, _error("InvalidParameterValue.TaskId")), (89, _error("ResourceNotFound.Task"))],
        [(0, STRANGE), (3599, STRANGE)],
        [(0, RUNNING), (7200, _broken())],
        [(0, RUNNING), (7200, STRANGE), (10_000, RUNNING), (20_000, _broken()), (23_599, _broken())],
    ],
    ids=[
        "waiting",
        "running for days",
        "result missing",
        "result missing within the grace",
        "result missing anew",
        "not found within the grace",
        "other words for not found",
        "outage within the tolerance",
        "outage after an answer",
        "two outages with an answer between",
        "not found is an answer",
        "throttled",
        "service away",
        "a code that is not documented, or none",
        "failed, nobody knows why",
        "sub-codes of not found",
        "unknown status within the tolerance",
        "one failure after a pause longer than the tolerance",
        "failures that begin after long pauses",
    ],
)
def test_the_wait_goes_on(polls: Polls) -> None:
    """Nothing is decided yet."""
    assert _wait(polls) is None


@pytest.mark.fault("F36", "F37", "F38")
@pytest.mark.parametrize(
    ("polls", "expected"),
    [
        ([(0, DONE)], DONE),
        ([(0, FAILED)], FAILED),
        ([(0, WAITING), (1, RUNNING), (2, DONE)], DONE),
        ([(0, NOT_FOUND), (5, DONE)], DONE),
        ([(0, _broken()), (3599, DONE)], DONE),
        ([(0, STRANGE), (10, DONE)], DONE),
        ([(0, UNSETTLED), (30, DONE)], DONE),
        ([(0, UNSETTLED), (120, UNSETTLED)], UNSETTLED),
        ([(0, UNSETTLED), (100, RUNNING), (101, UNSETTLED), (221, UNSETTLED)], UNSETTLED),
    ],
    ids=[
        "done",
        "failed",
        "the usual course",
        "found late",
        "after an outage",
        "after an unknown status",
        "result comes late",
        "result never comes",
        "result never comes, second try",
    ],
)
def test_the_wait_ends_with_a_detail(polls: Polls, expected: TaskDetail) -> None:
    """An ended task is handed over as it is, in success or not: the verdict comes later."""
    assert _wait(polls) is expected


PERMANENT = _error("AuthFailure.SecretIdNotFound")
ROLE_NOT_FOUND = MpsApiError(action="AssumeRole", code="ResourceNotFound.RoleNotFound", message="m", request_id="r")


@pytest.mark.fault("F38", "F47", "F49", "F50")
@pytest.mark.parametrize(
    ("polls", "error", "text"),
    [
        ([(0, _broken()), (3600, _broken())], MpsStateUnknown, "no usable answer for 60 minutes"),
        ([(0, RUNNING), (10, _broken()), (3610, _broken())], MpsStateUnknown, "It may still run, or be done"),
        ([(0, _error("InternalError")), (3600, _error("InternalError"))], MpsStateUnknown, "InternalError"),
        ([(90, NOT_FOUND)], MpsTaskNotFound, "has expired, is wrong, belongs to another account"),
        ([(0, NOT_FOUND), (90, NOT_FOUND)], MpsTaskNotFound, "ResourceNotFound"),
        ([(0, WAITING), (10, NOT_FOUND)], MpsTaskNotFound, "is no longer known to MPS, although it was before"),
        ([(0, STRANGE), (10, NOT_FOUND)], MpsTaskNotFound, "is no longer known"),
        ([(0, STRANGE), (3600, STRANGE)], MpsTaskUnsettled, "the undocumented status 'PAUSED' for 60 minutes"),
        ([(0, PERMANENT)], MpsApiError, "SecretIdNotFound"),
        ([(0, RUNNING), (10, _error("UnauthorizedOperation"))], MpsApiError, "CAM policy"),
        ([(90, _error("InvalidParameterValue.Limit"))], MpsTaskNotFound, "Limit"),
        ([(0, _error("InvalidParameter.Limit"))], MpsApiError, "Limit"),
        ([(0, ROLE_NOT_FOUND)], MpsApiError, "RoleNotFound"),
        ([(0, _error("AnUndocumentedCode")), (3600, _error("AnUndocumentedCode"))], MpsStateUnknown, "Undocumented"),
        ([(0, _broken(Category.PERMANENT))], MpsTransportError, "reset"),
        ([(0, MpsConfigError("The region is wrong."))], MpsConfigError, "region"),
    ],
)
def test_the_wait_ends_with_an_error(polls: Polls, error: type[MpsError], text: str) -> None:
    """Each way to give up has its own error, at its own time and with its reason."""
    with pytest.raises(error) as caught:
        _wait(polls)
    assert text in str(caught.value)
    assert type(caught.value) is error


@pytest.mark.fault("F48")
def test_a_permanent_error_comes_out_as_it_is() -> None:
    """The one that the client raised, not a copy: its RequestId is what support asks for."""
    with pytest.raises(MpsApiError) as caught:
        _wait([(0, PERMANENT)])
    assert caught.value is PERMANENT


@pytest.mark.parametrize("last", [_broken(), NOT_FOUND])
def test_giving_up_keeps_its_cause(last: MpsError) -> None:
    """What MPS or the network said last is the cause of the error."""
    with pytest.raises(MpsError) as caught:
        _wait([(0, last), (3600, last)])
    assert caught.value.__cause__ is last


@pytest.mark.parametrize(
    ("name", "outcome", "error"),
    [
        ("outage_tolerance", _broken(), MpsStateUnknown),
        ("not_found_grace", NOT_FOUND, MpsTaskNotFound),
        ("outage_tolerance", STRANGE, MpsTaskUnsettled),
    ],
)
def test_a_grace_can_be_set_and_can_be_nothing(name: str, outcome: Any, error: type[MpsError]) -> None:
    """Each bound is its own; 0 seconds puts up with nothing."""
    assert _wait([(0, outcome), (49, outcome)], **{name: 50}) is None
    for polls, grace in (([(0, outcome), (50, outcome)], 50), ([(0, outcome)], 0)):
        with pytest.raises(error):
            _wait(polls, **{name: grace})


def test_no_settle_grace_ends_at_once() -> None:
    """With 0 seconds a task without result is handed over at the first poll."""
    assert _wait([(0, UNSETTLED)], settle_grace=0) is UNSETTLED


@pytest.mark.parametrize("name", ["timeout", "outage_tolerance", "not_found_grace", "settle_grace"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "60", [60], True])
def test_a_limit_is_a_number_of_seconds(name: str, value: Any) -> None:
    """Anything else is a clear error before the first poll."""
    with pytest.raises(MpsConfigError, match=rf"{name} is .*, not a number of seconds"):
        WaitPolicy(**{name: value})


def test_a_policy_round_trips() -> None:
    """As plain JSON; names that are not known are left out."""
    policy = WaitPolicy(timeout=10, settle_grace=1)
    assert WaitPolicy.from_dict(json.loads(json.dumps(policy.to_dict())) | {"other": 1}) == policy
    assert WaitPolicy.from_dict(None) == WaitPolicy()


@pytest.mark.parametrize("first", [WAITING, RUNNING, UNSETTLED, NOT_FOUND, _broken(), STRANGE])
@pytest.mark.parametrize("then", [WAITING, UNSETTLED, NOT_FOUND, _broken(), STRANGE, DONE])
def test_a_wait_goes_on_in_another_process(first: Any, then: Any) -> None:
    """What was seen survives as plain JSON, and the next poll is evaluated as if nothing had happened."""
    policy, here = WaitPolicy(), WaitState(TASK_ID, START)
    evaluate(policy, here, first, START + 80)
    there = WaitState.from_dict(TASK_ID, json.loads(json.dumps(here.to_dict(), allow_nan=False)))
    assert there == here
    outcomes = []
    for state in (here, there):
        try:
            outcomes.append(repr(evaluate(policy, state, then, START + 210)))
        except MpsError as error:
            outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        "text",
        [],
        {"started": 1.0},
        {"mps_task_id": "another", "started": 1.0},
        {"mps_task_id": None},
        {"mps_task_id": TASK_ID, "started": "1", "answered": None, "failing_since": "x", "unsettled_since": []},
        {"mps_task_id": TASK_ID, "found": 1, "ignores_lists": "no", "trigger_failures": 1.5, "other": 1},
    ],
)
def test_a_foreign_state_is_no_state(stored: Any) -> None:
    """Another task's, or one that makes no sense, leaves the wait as it was."""
    assert WaitState(TASK_ID, START).merge_stored(stored) == WaitState(TASK_ID, START)


def test_a_wait_begins_with_its_first_poll() -> None:
    """Its deadline counts from there; before it there is none."""
    policy, state = WaitPolicy(timeout=100), WaitState(TASK_ID)
    assert state.seconds_left(policy, START) is None
    evaluate(policy, state, RUNNING, START)
    assert state.seconds_left(policy, START + 30) == 70
    assert state.seconds_left(WaitPolicy(), START + 30) is None


@pytest.mark.fault("F89")
@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_f89_times_of_a_wrong_clock_end_nothing(ahead: float) -> None:
    """Until MPS tells its time, this machine's has to do; from then on the wait counts from there."""
    policy, state = WaitPolicy(timeout=100, outage_tolerance=60), WaitState(TASK_ID)
    evaluate(policy, state, _broken(), START + ahead, is_mps_time=False)
    assert state.seconds_left(policy, START + ahead + 30) == 70
    evaluate(policy, state, _broken(), START + 30)
    assert state.seconds_left(policy, START + 30) == 100
    assert evaluate(policy, state, _broken(), START + 80) is None
    with pytest.raises(MpsStateUnknown):
        evaluate(policy, state, _broken(), START + 90)


@pytest.mark.parametrize(
    ("state", "accepts"), [({}, True), ({"ignores_lists": True}, False), ({"unsettled_since": START}, False)]
)
def test_hints_are_accepted_as_long_as_they_tell_anything(state: dict[str, Any], accepts: bool) -> None:
    """Once for each wait, and not where the end is known and results are missing."""
    assert WaitState(TASK_ID, **state).accepts_hints is accepts
