"""The judge of a wait: what each look means, with time as an argument. No network, no clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mps.client.polling.wait import Patience
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


def _refused(code: str) -> MpsApiError:
    return MpsApiError(action="DescribeTaskDetail", code=code, message="m", request_id="r")


def _broken(*, retryable: bool = True) -> MpsTransportError:
    return MpsTransportError("reset", action="DescribeTaskDetail", may_have_run=True, retryable=retryable)


WAITING, RUNNING, DONE = _detail("WAITING"), _detail("PROCESSING", Status="PROCESSING"), _detail("FINISH")
FAILED = _detail("FINISH", Status="FAIL", ErrCode=30010)
UNSETTLED = _detail("FINISH", Status="PROCESSING")
STRANGE = _detail("PAUSED")
NOT_FOUND = _refused("ResourceNotFound")
Looks = list[tuple[float, TaskDetail | MpsError]]


def _watch(looks: Looks, **graces: float) -> TaskDetail | None:
    """Judge looks at seconds after the start; the last one decides, those before must leave the wait open."""
    patience = Patience(TASK_ID, START, **graces)
    for seconds, outcome in looks[:-1]:
        assert patience.judge(outcome, START + seconds) is None
    seconds, outcome = looks[-1]
    return patience.judge(outcome, START + seconds)


@pytest.mark.fault("F36", "F46", "F49")
@pytest.mark.parametrize(
    "looks",
    [
        [(0, WAITING)],
        [(0, WAITING), (10, RUNNING), (1e6, RUNNING)],
        [(0, UNSETTLED)],
        [(0, UNSETTLED), (119, UNSETTLED)],
        [(0, UNSETTLED), (100, RUNNING), (101, UNSETTLED), (220, UNSETTLED)],
        [(0, NOT_FOUND), (89, NOT_FOUND)],
        [(0, _refused("InvalidParameterValue")), (50, _refused("FailedOperation.TaskNotFound"))],
        [(0, _broken()), (3599, _broken())],
        [(0, RUNNING), (3000, _broken()), (3599, _broken())],
        [(0, _broken()), (3000, RUNNING), (6000, _broken())],
        [(0, _broken()), (80, NOT_FOUND), (3600, _broken())],
        [(0, _refused("InternalError")), (10, _refused("RequestLimitExceeded"))],
        [(0, _refused("ServiceUnavailable"))],
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
        "unknown status within the tolerance",
        "one failure after a pause longer than the tolerance",
        "failures that begin after long pauses",
    ],
)
def test_the_wait_goes_on(looks: Looks) -> None:
    """Nothing is decided yet."""
    assert _watch(looks) is None


@pytest.mark.fault("F36", "F37", "F38")
@pytest.mark.parametrize(
    ("looks", "expected"),
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
def test_the_wait_ends_with_a_detail(looks: Looks, expected: TaskDetail) -> None:
    """An ended task is handed over as it is, in success or not: the verdict is not the judge's business."""
    assert _watch(looks) is expected


PERMANENT = _refused("AuthFailure.SecretIdNotFound")


@pytest.mark.fault("F38", "F47", "F49", "F50")
@pytest.mark.parametrize(
    ("looks", "error", "text"),
    [
        ([(0, _broken()), (3600, _broken())], MpsStateUnknown, "no usable answer for 60 minutes"),
        ([(0, RUNNING), (10, _broken()), (3610, _broken())], MpsStateUnknown, "It may still run, or be done"),
        ([(0, _refused("InternalError")), (3600, _refused("InternalError"))], MpsStateUnknown, "InternalError"),
        ([(90, NOT_FOUND)], MpsTaskNotFound, "has expired, is wrong, belongs to another account"),
        ([(0, NOT_FOUND), (90, NOT_FOUND)], MpsTaskNotFound, "ResourceNotFound"),
        ([(0, WAITING), (10, NOT_FOUND)], MpsTaskNotFound, "is no longer known to MPS, although it was before"),
        ([(0, STRANGE), (10, NOT_FOUND)], MpsTaskNotFound, "is no longer known"),
        ([(0, STRANGE), (3600, STRANGE)], MpsTaskUnsettled, "the undocumented status 'PAUSED' for 60 minutes"),
        ([(0, PERMANENT)], MpsApiError, "SecretIdNotFound"),
        ([(0, RUNNING), (10, _refused("UnauthorizedOperation"))], MpsApiError, "CAM policy"),
        ([(0, _refused("InvalidParameterValue.Limit"))], MpsApiError, "Limit"),
        ([(0, _broken(retryable=False))], MpsTransportError, "reset"),
        ([(0, MpsConfigError("The region is wrong."))], MpsConfigError, "region"),
    ],
)
def test_the_wait_ends_with_an_error(looks: Looks, error: type[MpsError], text: str) -> None:
    """Each way to give up has its own error, at its own time and with its reason."""
    with pytest.raises(error) as caught:
        _watch(looks)
    assert text in str(caught.value)
    assert type(caught.value) is error


@pytest.mark.fault("F48")
def test_a_permanent_error_comes_out_as_it_is() -> None:
    """The one that the client raised, not a copy: its RequestId is what support asks for."""
    with pytest.raises(MpsApiError) as caught:
        _watch([(0, PERMANENT)])
    assert caught.value is PERMANENT


@pytest.mark.parametrize("last", [_broken(), NOT_FOUND])
def test_giving_up_keeps_its_cause(last: MpsError) -> None:
    """What MPS or the network said last is the cause of the error."""
    with pytest.raises(MpsError) as caught:
        _watch([(0, last), (3600, last)])
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
    assert _watch([(0, outcome), (49, outcome)], **{name: 50}) is None
    for looks, grace in (([(0, outcome), (50, outcome)], 50), ([(0, outcome)], 0)):
        with pytest.raises(error):
            _watch(looks, **{name: grace})


def test_no_settle_grace_ends_at_once() -> None:
    """With 0 seconds a task without result is handed over at the first look."""
    assert _watch([(0, UNSETTLED)], settle_grace=0) is UNSETTLED


@pytest.mark.parametrize("name", ["outage_tolerance", "not_found_grace", "settle_grace"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), None, "60", [60]])
def test_a_grace_is_a_number_of_seconds(name: str, value: Any) -> None:
    """Anything else is a clear error before the first look."""
    with pytest.raises(MpsConfigError, match=rf"{name} is .*, not a number of seconds"):
        Patience(TASK_ID, START, **{name: value})


@pytest.mark.parametrize("first", [WAITING, RUNNING, UNSETTLED, NOT_FOUND, _broken(), STRANGE])
@pytest.mark.parametrize("then", [WAITING, UNSETTLED, NOT_FOUND, _broken(), STRANGE, DONE])
def test_a_wait_goes_on_in_another_process(first: Any, then: Any) -> None:
    """What was seen survives as plain JSON, and the next look is judged as if nothing had happened."""
    here = Patience(TASK_ID, START)
    here.judge(first, START + 80)
    there = Patience(TASK_ID, START + 100).resumed(json.loads(json.dumps(here.as_dict(), allow_nan=False)))
    assert there == here
    outcomes = []
    for patience in (here, there):
        try:
            outcomes.append(repr(patience.judge(then, START + 210)))
        except MpsError as error:
            outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


def test_a_wait_resumes_with_its_own_bounds() -> None:
    """The memory is what was seen; what is put up with follows the arguments of today."""
    stored = Patience(TASK_ID, START, outage_tolerance=10).as_dict() | {"found": True, "of_a_later_release": 1}
    resumed = Patience(TASK_ID, START + 500, outage_tolerance=7200).resumed(stored)
    assert (resumed.started, resumed.found, resumed.outage_tolerance) == (START, True, 7200)


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
        {"mps_task_id": TASK_ID, "found": 1, "listed": "no", "faults": 1.5},
    ],
)
def test_a_foreign_memory_is_no_memory(stored: Any) -> None:
    """Another task's, another release's or a broken one leaves the wait as if it began now."""
    fresh = Patience(TASK_ID, START)
    assert fresh.resumed(stored) == Patience(TASK_ID, START)
