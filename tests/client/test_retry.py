"""Whether to ask again: one decision for each error, table by table. No network."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tenacity

from airflow_provider_mps.client.actions import (
    Action,
    BatchProcessMedia,
    DescribeBatchTaskDetail,
    DescribeTaskDetail,
    DescribeTasks,
    EditMedia,
    ManageTask,
    ProcessMedia,
    RawAction,
)
from airflow_provider_mps.client.retry import clock_correction, policy, should_retry
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsError,
    MpsResultTooLarge,
    MpsStateUnknown,
    MpsTaskNotFound,
    MpsTransportError,
)

REPEATABLE: list[Action[Any]] = [
    DescribeTaskDetail(task_id="t"),
    DescribeBatchTaskDetail(task_id="t"),
    DescribeTasks(status="FINISH"),
    ManageTask(task_id="t"),
    RawAction(action="DescribeImageTasks", may_be_repeated=True),
]
SUBMISSIONS: list[Action[Any]] = [
    ProcessMedia(input_info={"Type": "URL"}),
    ProcessMedia(input_info={"Type": "URL"}, session_id="s"),
    BatchProcessMedia(input_info=[{"Type": "URL"}]),
    EditMedia(file_infos=[{}], output_storage={}, output_object_path="/a.mp4", session_id="s"),
    RawAction(action="ProcessImage"),
]


def _api(code: str, skew: float | None = None) -> MpsApiError:
    return MpsApiError(action="X", code=code, message="m", request_id="r", clock_skew=skew)


def _transport(*, may_have_run: bool, retryable: bool = True) -> MpsTransportError:
    return MpsTransportError("broken", action="X", may_have_run=may_have_run, retryable=retryable)


# error, again for an action that may be repeated, again for a submission
DECISIONS: list[tuple[BaseException, bool, bool]] = [
    (_transport(may_have_run=False), True, True),
    (_transport(may_have_run=True), True, False),
    (_transport(may_have_run=False, retryable=False), False, False),
    (_transport(may_have_run=True, retryable=False), False, False),
    (_api("RequestLimitExceeded"), True, True),
    (_api("RequestLimitExceeded.UinLimitExceeded"), True, True),
    (_api("RequestLimitExceeded.GlobalRegionUinLimitExceeded"), True, True),
    (_api("RequestLimitExceeded.IPLimitExceeded"), True, True),
    (_api("RequestLimitExceededEver"), False, False),
    (_api("InternalError"), True, False),
    (_api("InternalError.DbError"), True, False),
    (_api("ServiceUnavailable"), True, False),
    (_api("ResourceUnavailable"), True, False),
    (_api("FailedOperation.NetWorkError"), True, False),
    (_api("LimitExceeded.CreateTask"), True, True),
    (_api("ResourceInsufficient"), True, True),
    (_api("ResourceInUse"), True, True),
    (_api("LimitExceeded"), False, False),
    (_api("AuthFailure.SignatureExpire", 600), False, False),  # signed again at once, which is no repetition
    (_api("AuthFailure.SignatureExpire"), False, False),
    (_api("AuthFailure.SignatureFailure", 600), False, False),
    (_api("AuthFailure.SecretIdNotFound"), False, False),
    (_api("AuthFailure.TokenFailure"), False, False),
    (_api("AuthFailure.UnauthorizedOperation"), False, False),
    (_api("UnauthorizedOperation"), False, False),
    (_api("InvalidParameter"), False, False),
    (_api("InvalidParameterValue.SessionId"), False, False),
    (_api("MissingParameter"), False, False),
    (_api("UnknownParameter"), False, False),
    (_api("ResourceNotFound"), False, False),
    (_api("RequestSizeLimitExceeded"), False, False),
    (_api("FailedOperation.UserArrears"), False, False),
    (_api("FailedOperation.InvalidMpsUser"), False, False),
    (_api("unknown"), False, False),
    (MpsConfigError("wrong"), False, False),
    (MpsCredentialsError("away", source="s", retryable=True), True, True),
    (MpsCredentialsError("none", source="s", retryable=False), False, False),
    (MpsResultTooLarge("large"), False, False),
    (MpsTaskNotFound("is unknown", mps_task_id="t"), False, False),
    (MpsStateUnknown("is unknown", mps_task_id="t"), False, False),
    (MpsError("any"), False, False),
    (ConnectionResetError(), False, False),
    (TimeoutError(), False, False),
    (KeyboardInterrupt(), False, False),
]


@pytest.mark.parametrize(
    ("error", "repeatable", "submission"),
    DECISIONS,
    ids=[f"{type(row[0]).__name__} {getattr(row[0], 'code', '')} {number}" for number, row in enumerate(DECISIONS)],
)
def test_the_decision(error: BaseException, repeatable: bool, submission: bool) -> None:
    """A question is repeated when that may help; a job only when it provably has not run."""
    assert {should_retry(action, error) for action in REPEATABLE} == {repeatable}
    assert {should_retry(action, error) for action in SUBMISSIONS} == {submission}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (_api("AuthFailure.SignatureExpire", 600), 600),
        (_api("AuthFailure.SignatureExpire", -300.5), -300.5),
        (_api("AuthFailure.SignatureExpire", 60), 60),
        (_api("AuthFailure.SignatureExpire", 59.9), 0),
        (_api("AuthFailure.SignatureExpire"), 0),
        (_api("AuthFailure.SignatureFailure", 600), 0),
        (_transport(may_have_run=True), 0),
    ],
)
def test_only_a_clock_that_is_the_reason_is_corrected(error: MpsError, seconds: float) -> None:
    """A refused signature whose time agrees with the server's has another reason."""
    assert clock_correction(error) == seconds


def _pauses(attempts: int) -> list[float]:
    """The pauses that the policy makes while a question fails for good, taken without making them."""
    taken: list[float] = []

    def fail() -> None:
        raise _transport(may_have_run=True)

    with pytest.raises(MpsTransportError):
        tenacity.Retrying(**policy(REPEATABLE[0], attempts), sleep=taken.append)(fail)
    return taken


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_policy_ends_after_its_attempts(attempts: int) -> None:
    """The last error itself comes out, not a wrapper of the library."""
    assert len(_pauses(attempts)) == attempts - 1


def test_pauses_grow_are_random_and_stay_bounded() -> None:
    """Many clients that failed together do not come back together, and none waits for longer than 8 seconds."""
    random.seed(7)
    runs = [_pauses(10) for _ in range(50)]
    assert max(map(max, runs)) <= 8
    assert all(run[0] <= 0.5 for run in runs)
    assert sum(run[-1] for run in runs) > 4 * sum(run[0] for run in runs)
    assert len({run[-1] for run in runs}) == len(runs)


@pytest.mark.fault("F53")
@pytest.mark.parametrize(("patience", "sent"), [(0.0, 4), (60.0, 30)], ids=["none", "default"])
def test_a_refusal_for_the_rate_is_no_attempt(patience: float, sent: int) -> None:
    """A crowded account fails no task: what MPS refuses as one too many is sent again for a minute, jobs included."""
    calls = 0

    def ask() -> str:
        nonlocal calls
        calls += 1
        if calls < 30:
            raise _api("RequestLimitExceeded.UinLimitExceeded")
        return "accepted"

    action = ProcessMedia(input_info={})
    retrying = tenacity.Retrying(**policy(action, 4, patience), sleep=lambda _: None)
    if sent == 30:
        assert retrying(ask) == "accepted"
    else:
        with pytest.raises(MpsApiError):
            retrying(ask)
    assert calls == sent
