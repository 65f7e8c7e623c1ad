"""Whether to ask again: one decision for each error and purpose, table by table. No network."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest

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
from airflow_provider_mps.client.retry import (
    LIMITS,
    Decision,
    Limits,
    Next,
    Purpose,
    decide,
    is_final,
    is_not_found,
    is_throttled,
    lacks_capacity,
    may_pass,
)
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsDownloadError,
    MpsError,
    MpsResultTooLarge,
    MpsSessionClash,
    MpsStateUnknown,
    MpsTaskNotFound,
    MpsTaskTimeout,
    MpsTransportError,
)

QUESTIONS: list[Action[Any]] = [
    DescribeTaskDetail(task_id="t"),
    DescribeBatchTaskDetail(task_id="t"),
    DescribeTasks(status="FINISH"),
    ManageTask(task_id="t"),
    RawAction(action="DescribeImageTasks", may_be_repeated=True),
]
WITHOUT_SESSION: list[Action[Any]] = [
    ProcessMedia(input_info={"Type": "URL"}),
    BatchProcessMedia(input_info=[{"Type": "URL"}]),
]
WITH_SESSION: list[Action[Any]] = [
    ProcessMedia(input_info={"Type": "URL"}, session_id="s"),
    EditMedia(file_infos=[{}], output_storage={}, output_object_path="/a.mp4", session_id="s"),
]
RAW = RawAction(action="ProcessImage")


def _api(code: str, skew: float | None = None) -> MpsApiError:
    return MpsApiError(action="X", code=code, message="m", request_id="r", clock_skew=skew)


def _transport(category: Category) -> MpsTransportError:
    return MpsTransportError("broken", action="X", category=category)


def _credentials(category: Category) -> MpsCredentialsError:
    return MpsCredentialsError("away", source="s", category=category)


# error; is it asked again: by a call, by a poll, by a submission with a SessionId, by one without
DECISIONS: list[tuple[BaseException, bool, bool, bool, bool]] = [
    (_transport(Category.UNREACHABLE), True, True, True, True),
    (_transport(Category.NO_ANSWER), True, True, True, False),
    (_transport(Category.PERMANENT), False, False, False, False),
    (_api("RequestLimitExceeded"), True, True, True, True),
    (_api("RequestLimitExceeded.UinLimitExceeded"), True, True, True, True),
    (_api("RequestLimitExceeded.GlobalRegionUinLimitExceeded"), True, True, True, True),
    (_api("RequestLimitExceeded.IPLimitExceeded"), True, True, True, True),
    (_api("RequestLimitExceededEver"), True, True, True, False),
    (_api("InternalError"), True, True, True, False),
    (_api("InternalError.DbError"), True, True, True, False),
    (_api("ServiceUnavailable"), True, True, True, False),
    (_api("ResourceUnavailable"), True, True, True, False),
    (_api("FailedOperation.NetWorkError"), True, True, True, False),
    (_api("LimitExceeded.CreateTask"), True, True, True, True),
    (_api("ResourceInsufficient"), True, True, True, True),
    (_api("ResourceInUse"), True, True, True, True),
    (_api("LimitExceeded"), False, True, False, False),
    (_api("FailedOperation"), False, True, False, False),
    (_api("unknown"), True, True, True, False),
    (_api("Teapot.Steaming"), True, True, True, False),
    (_api("AuthFailure.SignatureExpire", 600), False, False, True, True),  # its record gets the time of MPS first
    (_api("AuthFailure.SignatureFailure", 600), False, False, False, False),
    (_api("AuthFailure.SecretIdNotFound"), False, False, False, False),
    (_api("AuthFailure.TokenFailure"), False, False, False, False),
    (_api("AuthFailure.UnauthorizedOperation"), False, False, False, False),
    (_api("UnauthorizedOperation"), False, False, False, False),
    (_api("InvalidParameter"), False, False, False, False),
    (_api("MissingParameter"), False, False, False, False),
    (_api("UnknownParameter"), False, False, False, False),
    (_api("ResourceNotFound"), False, False, False, False),
    (_api("RequestSizeLimitExceeded"), False, False, False, False),
    (_api("FailedOperation.UserArrears"), False, False, False, False),
    (_api("FailedOperation.InvalidMpsUser"), False, False, False, False),
    (MpsConfigError("wrong"), False, False, False, False),
    (_credentials(Category.NO_ANSWER), True, True, True, True),
    (_credentials(Category.UNREACHABLE), True, True, True, True),
    (_credentials(Category.FAILED), False, True, False, False),
    (_credentials(Category.PERMANENT), False, False, False, False),
    (MpsDownloadError("HTTP 503", address="a", category=Category.NO_ANSWER), True, True, True, False),
    (MpsDownloadError("HTTP 404", address="a"), False, False, False, False),
    (MpsResultTooLarge("large"), False, False, False, False),
    (MpsTaskTimeout("is late", mps_task_id="t"), False, False, False, False),
    (MpsError("any"), False, True, False, False),
    (ConnectionResetError(), True, True, True, True),
    (TimeoutError(), True, True, True, True),
    (ValueError("Airflow"), True, True, True, True),
    (KeyboardInterrupt(), False, False, False, False),
    (SystemExit(), False, False, False, False),
]
IDS = [f"{number} {type(row[0]).__name__} {getattr(row[0], 'code', '')}" for number, row in enumerate(DECISIONS)]


def _retries(error: BaseException, purpose: Purpose, actions: list[Action[Any]]) -> bool:
    [same] = {decide(error, purpose, action=action).retries for action in actions}
    return same


@pytest.mark.fault("F46", "F48", "F91", "F92")
@pytest.mark.parametrize(("error", "call", "poll", "session", "no_session"), DECISIONS, ids=IDS)
def test_the_decision(error: BaseException, call: bool, poll: bool, session: bool, no_session: bool) -> None:
    """Only what is known to be permanent stops; a job is repeated only where it has not run, or MPS can tell it."""
    assert _retries(error, Purpose.CALL, QUESTIONS) is call
    assert _retries(error, Purpose.POLL, QUESTIONS) is poll
    assert decide(error, Purpose.POLL).retries is poll
    assert _retries(error, Purpose.SUBMIT, WITH_SESSION) is session
    assert _retries(error, Purpose.SUBMIT, WITHOUT_SESSION) is no_session


def test_every_category_is_decided() -> None:
    """A kind of error that is added needs its place in the decision, for each purpose."""
    retried = {purpose: {each for each in Category if decide(_transport(each), purpose).retries} for purpose in Purpose}
    passing = {
        Category.THROTTLED,
        Category.CAPACITY,
        Category.SERVER,
        Category.UNREACHABLE,
        Category.NO_ANSWER,
        Category.UNKNOWN,
    }
    assert retried == {
        Purpose.CALL: passing,
        Purpose.SUBMIT: passing | {Category.CLOCK},
        Purpose.POLL: passing | {Category.FAILED},
        Purpose.LIST: passing | {Category.FAILED},
        Purpose.ABORT: passing,
        Purpose.KEYS: passing,
        Purpose.CONNECTION: passing,
    }


@pytest.mark.fault("F11")
@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.SUBMIT])
def test_an_unknown_action_that_may_have_run_is_not_sent_again(purpose: Purpose) -> None:
    """What a RawAction does is not known; its author says whether a second execution does no harm."""
    assert decide(_api("InternalError"), purpose, action=RAW) == Decision(Next.STOP)
    assert decide(_api("RequestLimitExceeded"), purpose, action=RAW).retries


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_session_id_seen_before_means_find(purpose: Purpose) -> None:
    """The job of a submission runs already; for every other purpose the code is an error like any."""
    decision = decide(_api("InvalidParameterValue.SessionId"), purpose)
    assert decision == Decision(Next.FIND if purpose is Purpose.SUBMIT else Next.STOP)
    assert decide(_api("InvalidParameterValue.SessionIdTooLong"), purpose) == Decision(Next.STOP)


@pytest.mark.fault("F57", "F89")
@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False)])
def test_a_submission_with_a_wrong_clock_is_sent_again_at_once(attempt: int, again: bool) -> None:
    """Another request may have failed before it; a clock that stays wrong stops."""
    decision = decide(_api("AuthFailure.SignatureExpire", 600), Purpose.SUBMIT, attempt=attempt)
    assert decision == Decision(Next.RETRY if again else Next.STOP)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_limits_of_each_purpose_end_it(purpose: Purpose) -> None:
    """By the number of requests or by the time since the first, whichever the purpose names."""
    limits, error = LIMITS[purpose], _transport(Category.UNREACHABLE)
    assert decide(error, purpose, attempt=1, elapsed=0.0).retries
    if limits.attempts < 1000:
        assert decide(error, purpose, attempt=int(limits.attempts) - 1).retries
        assert not decide(error, purpose, attempt=int(limits.attempts)).retries
    if limits.seconds < 1e9:
        assert decide(error, purpose, elapsed=limits.seconds - 1).retries
        assert not decide(error, purpose, elapsed=limits.seconds).retries


def test_limits_of_a_caller_replace_those_of_the_purpose() -> None:
    """One request means one, also where MPS throttles it."""
    for error in (_transport(Category.UNREACHABLE), _api("RequestLimitExceeded")):
        assert not decide(error, Purpose.CALL, limits=Limits(attempts=1, throttle_timeout=60.0)).retries
        assert decide(error, Purpose.CALL, limits=Limits(attempts=2)).retries


@pytest.mark.fault("F53")
def test_a_throttled_request_is_no_attempt() -> None:
    """A crowded account fails no task: what MPS throttles is sent again for a minute, jobs included."""
    error, action = _api("RequestLimitExceeded.UinLimitExceeded"), BatchProcessMedia(input_info=[{}])
    assert decide(error, Purpose.CALL, action=action, attempt=30, elapsed=59.0).retries
    assert not decide(error, Purpose.CALL, action=action, attempt=30, elapsed=60.0).retries
    assert not decide(_api("ResourceInsufficient"), Purpose.CALL, action=action, attempt=30, elapsed=59.0).retries


def test_delays_grow_and_are_spread_and_stay_bounded() -> None:
    """Many clients that failed together do not come back together, and none waits longer than the limit."""
    random.seed(7)
    error, limits = _transport(Category.UNREACHABLE), Limits(first_delay=0.5, max_delay=8.0)

    def delays(attempt: int) -> list[float]:
        return [decide(error, Purpose.CALL, attempt=attempt, limits=limits).delay for _ in range(200)]

    for attempt, longest in ((1, 0.5), (2, 1.0), (4, 4.0), (5, 8.0), (5000, 8.0)):
        found = delays(attempt)
        assert longest / 2 <= min(found) < 0.6 * longest
        assert 0.9 * longest < max(found) <= longest
        assert len(set(found)) == len(found)


@pytest.mark.fault("F48")
@pytest.mark.parametrize(
    ("error", "final", "with_a_job"),
    [
        (MpsConfigError("wrong"), True, False),
        (_credentials(Category.PERMANENT), True, False),
        (_credentials(Category.NO_ANSWER), False, False),
        (_api("AuthFailure.SignatureFailure"), True, False),
        (_api("UnauthorizedOperation"), True, False),
        (_api("FailedOperation.UserArrears"), True, False),
        (_api("InvalidParameter"), True, False),
        (_api("Teapot"), False, False),
        (_api("InternalError"), False, False),
        (_transport(Category.PERMANENT), True, False),
        (_transport(Category.NO_ANSWER), False, False),
        (MpsDownloadError("HTTP 404", address="a"), True, True),
        (MpsSessionClash(session_id="s", mps_task_id=None), True, True),
        (MpsResultTooLarge("large"), True, True),
        (MpsTaskTimeout("is late", mps_task_id="t"), True, True),
        (MpsTaskNotFound("is unknown", mps_task_id="t"), False, False),
        (MpsStateUnknown("is unknown", mps_task_id="t"), False, False),
        (MpsError("any"), False, False),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, MpsError) else None,
)
def test_which_errors_end_a_task_at_once(error: MpsError, final: bool, with_a_job: bool) -> None:
    """No retry helps before somebody changes something; once a job may run, a retry that takes it up costs nothing."""
    assert is_final(error) is final
    assert is_final(error, job_sent=True) is with_a_job


@pytest.mark.parametrize(
    ("code", "not_found"),
    [
        ("ResourceNotFound", True),
        ("ResourceNotFound.TaskNotFound", True),
        ("ResourceNotFound.UserUnregister", True),
        ("InvalidParameterValue", True),
        ("InvalidParameterValue.TaskId", True),
        ("FailedOperation.TaskNotFound", True),
        ("InvalidParameterValue.SessionId", False),
        ("InvalidParameter", False),
        ("ResourceNotFoundX", False),
        ("FailedOperation", False),
        ("ResourceUnavailable", False),
        ("InternalError", False),
    ],
)
def test_which_codes_mean_an_unknown_task(code: str, not_found: bool) -> None:
    """The not-found family, matched by whole names; which of them means "expired" MPS does not document."""
    assert is_not_found(_api(code)) is not_found
    assert not is_not_found(MpsTaskNotFound("is unknown", mps_task_id="t"))


def test_what_an_error_is_about() -> None:
    """Throttling, capacity and what passes by itself are asked for by name."""
    errors = [_api("RequestLimitExceeded.X"), _api("ResourceInsufficient"), _api("InvalidParameter")]
    assert [is_throttled(error) for error in errors] == [True, False, False]
    assert [lacks_capacity(error) for error in errors] == [False, True, False]
    assert [may_pass(error) for error in errors] == [True, True, False]


def test_a_dag_file_pays_little_for_the_decision() -> None:
    """DAG files import it, for retry policies: no model, no transport is loaded with it."""
    heavy = {"pydantic", "requests", "aiohttp", "msgspec", "urllib3"}
    program = f"import sys, airflow_provider_mps.client.retry; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
