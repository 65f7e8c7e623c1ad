"""Errors carry what their catcher needs, survive every journey, and show no secret."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

import airflow_provider_mps.errors as errors
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsDownloadError,
    MpsError,
    MpsNotificationError,
    MpsQualityError,
    MpsResultTooLarge,
    MpsSessionClash,
    MpsStateUnknown,
    MpsSubmitUnknown,
    MpsTaskError,
    MpsTaskFailed,
    MpsTaskNotFinished,
    MpsTaskNotFound,
    MpsTaskTimeout,
    MpsTaskUnsettled,
    MpsTransportError,
)
from airflow_provider_mps.results.quality import Violation
from airflow_provider_mps.results.verdict import Finding

TASK_ID = "1250000000-WorkflowTask-1"
FINDINGS = (
    Finding("WorkflowTask.MediaProcessResultSet[1].TranscodeTask", "FAIL", "30010", "codec"),
    Finding("WorkflowTask", "FINISH", "60000", ""),
)
ONE_OF_EACH: list[MpsError] = [
    MpsError("any"),
    MpsConfigError("The region is wrong."),
    MpsCredentialsError("it does not answer", source="the role of this CVM instance", category=Category.NO_ANSWER),
    MpsTransportError("timed out", action="DescribeTaskDetail", category=Category.NO_ANSWER),
    MpsTransportError("no certificate", action="DescribeTaskDetail", category=Category.PERMANENT),
    MpsApiError(action="ProcessMedia", code="InternalError", message="m", request_id="r-1"),
    MpsApiError(
        action="ProcessMedia", code="AuthFailure.SignatureExpire", message="m", request_id="r", clock_skew=-90.5
    ),
    MpsTaskError("is odd", mps_task_id=TASK_ID),
    MpsTaskFailed(mps_task_id=TASK_ID, failures=FINDINGS, succeeded=3, request_id="r-2"),
    MpsTaskNotFound("is unknown", mps_task_id=TASK_ID),
    MpsTaskNotFinished("still runs", mps_task_id=TASK_ID),
    MpsTaskUnsettled("is unclear:", mps_task_id=TASK_ID, findings=FINDINGS),
    MpsTaskTimeout("has not ended", mps_task_id=TASK_ID),
    MpsStateUnknown("is silent", mps_task_id=TASK_ID),
    MpsDownloadError("HTTP 403", address="https://u:p@b-1.cos.ap-nanjing.myqcloud.com/a.vtt?sign=5#x"),
    MpsQualityError(mps_task_id=TASK_ID, violations=[Violation("cos://b-1/a.mp4", "width", "1280", None)]),
    MpsQualityError(mps_task_id="", violations=[Violation("MetaData", "width", "1280", 5)]),
    MpsSubmitUnknown(action="ProcessMedia", why="the answer was lost", sent_at=0, session_context="marker"),
    MpsSessionClash(session_id="mine", mps_task_id=TASK_ID),
    MpsNotificationError("it is not signed"),
    MpsResultTooLarge("2 MB"),
]
each_error = pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)


def test_the_list_has_every_error() -> None:
    """An error class that is added is tested here and drawn in the tree at the top of its module."""
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, MpsError)}
    assert {type(error).__name__ for error in ONE_OF_EACH} == classes
    assert set(re.findall(r"\bMps\w+", errors.__doc__ or "")) >= classes


@pytest.mark.fault("F40")
@each_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error: MpsError, protocol: int) -> None:
    """Airflow may carry it to another process: class, text and all attributes arrive."""
    arrived = pickle.loads(pickle.dumps(error, protocol))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
    assert arrived.args == error.args


@each_error
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_an_error_survives_copying(error: MpsError, duplicate: type) -> None:
    """So do copies, which log handlers and error trackers make."""
    arrived = duplicate(error)
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_a_note_travels_with_its_error() -> None:
    """What a catcher added with add_note is not lost on the way."""
    error = MpsStateUnknown("is silent", mps_task_id=TASK_ID)
    error.add_note("while waiting")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while waiting"]


@each_error
def test_no_error_is_one_of_airflow(error: MpsError) -> None:
    """An AirflowException would be skipped by soft_fail in one mode and fail in another."""
    assert isinstance(error, MpsError)
    assert {base.__module__.partition(".")[0] for base in type(error).__mro__} == {"airflow_provider_mps", "builtins"}


def test_a_wrong_argument_is_also_a_value_error() -> None:
    """Whoever catches ValueError for bad input gets ours as well."""
    assert isinstance(MpsConfigError("wrong"), ValueError)


_WHAT_FAILED = ("WorkflowTask.MediaProcessResultSet[1].TranscodeTask", "30010", "codec", "60000")
# By class, what the text of each of its instances above holds, in any words.
FACTS: dict[type[MpsError], tuple[str, ...]] = {
    MpsConfigError: ("The region is wrong",),
    MpsCredentialsError: ("it does not answer", "the role of this CVM instance"),
    MpsTransportError: ("DescribeTaskDetail",),
    MpsApiError: ("ProcessMedia", "RequestId r"),
    MpsTaskError: (TASK_ID, "is odd"),
    MpsTaskFailed: (TASK_ID, *_WHAT_FAILED, "2 of 5", "RequestId r-2"),
    MpsTaskNotFound: (TASK_ID, "is unknown"),
    MpsTaskNotFinished: (TASK_ID, "still runs"),
    MpsTaskUnsettled: (TASK_ID, *_WHAT_FAILED),
    MpsTaskTimeout: (TASK_ID, "has not ended"),
    MpsStateUnknown: (TASK_ID, "is silent"),
    MpsDownloadError: ("https://b-1.cos.ap-nanjing.myqcloud.com/a.vtt", "HTTP 403"),
    MpsQualityError: ("width", "1280"),
    MpsSubmitUnknown: ("ProcessMedia", "the answer was lost", "1970-01-01 00:00 UTC", "SessionContext", "marker"),
    MpsSessionClash: ("SessionId mine", TASK_ID),
    MpsNotificationError: ("it is not signed",),
    MpsResultTooLarge: ("2 MB",),
}


@each_error
def test_the_text_holds_the_facts(error: MpsError) -> None:
    """The log alone says what the attributes say, and why."""
    values = [getattr(error, name, None) for name in ("code", "message", "request_id", "mps_task_id", "next_step")]
    facts = [*FACTS.get(type(error), ()), *filter(None, values)]
    assert [fact for fact in facts if fact not in str(error)] == []
    assert facts or type(error) is MpsError


def test_a_task_error_names_its_task() -> None:
    """The TaskId is an attribute and stands in the text."""
    for error in ONE_OF_EACH:
        if isinstance(error, MpsTaskError):
            assert error.mps_task_id == TASK_ID
            assert str(error).startswith(f"MPS task {TASK_ID} ")


@pytest.mark.fault("F40")
def test_a_failed_task_lists_every_failed_part() -> None:
    """The text has each part with path, code and message, how many succeeded, and the RequestId for support."""
    error = MpsTaskFailed(mps_task_id=TASK_ID, failures=FINDINGS, succeeded=3, request_id="r-2")
    assert str(error) == (
        f"MPS task {TASK_ID} failed: 2 of 5 parts (RequestId r-2)\n"
        "  WorkflowTask.MediaProcessResultSet[1].TranscodeTask: FAIL 30010 codec\n"
        "  WorkflowTask: FINISH 60000"
    )
    assert (error.failures, error.succeeded, error.request_id) == (FINDINGS, 3, "r-2")


def test_an_unknown_submission_says_where_to_look() -> None:
    """A person can find the job by its time and marker, and is told what each way out costs."""
    error = MpsSubmitUnknown(action="ProcessMedia", why="reset", sent_at=1_551_113_065, session_context="marker-1")
    assert (error.action, error.session_context) == ("ProcessMedia", "marker-1")
    for part in ("accepted ProcessMedia: reset", "2019-02-25 16:44 UTC", "marker-1", "resubmit_if_unknown=True"):
        assert part in str(error)


def test_an_api_error_names_the_task_it_is_about() -> None:
    """Among a thousand waits, the one that failed can be told."""
    error = MpsApiError(action="ManageTask", code="X", message="m", request_id="r", mps_task_id=TASK_ID)
    assert str(error) == f"MPS answered ManageTask of MPS task {TASK_ID} with X: m (RequestId r)"
    assert error.mps_task_id == TASK_ID


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AuthFailure.SecretIdNotFound", "the SecretId (connection login) does not exist"),
        ("AuthFailure.SignatureFailure", "the SecretKey (connection password) does not belong to the SecretId"),
        ("AuthFailure.TokenFailure", "the session token of the connection is wrong or has expired"),
        ("AuthFailure.UnauthorizedOperation", "the CAM policy of this key does not allow the action"),
        ("UnauthorizedOperation.SubUser", "the CAM policy of this key does not allow the action"),
        ("FailedOperation.InvalidMpsUser", "MPS is not activated for this account"),
        ("FailedOperation.UserArrears", "the account is in arrears"),
        ("RequestLimitExceeded.UinLimitExceeded", "more requests per second than MPS allows"),
        ("UnsupportedRegion", "not offered in the region of the connection"),
    ],
)
def test_an_api_error_says_what_to_look_at(code: str, advice: str) -> None:
    """The commonest codes come with the next step for a person, their sub-codes too."""
    error = MpsApiError(action="X", code=code, message="m", request_id="r")
    assert advice in str(error)
    assert str(error).startswith(f"MPS answered X with {code}: m (RequestId r) Next step: ")


def test_an_unknown_code_gets_no_advice() -> None:
    """No guess is better than a wrong one."""
    error = MpsApiError(action="X", code="FailedOperation.Something", message="m", request_id="r")
    assert error.next_step is None
    assert str(error) == "MPS answered X with FailedOperation.Something: m (RequestId r)"


@pytest.mark.parametrize(
    ("skew", "text"),
    [
        (600.0, "the clock of this machine is 10.0 minutes ahead of Tencent Cloud's"),
        (-330.0, "the clock of this machine is 5.5 minutes behind Tencent Cloud's"),
        (None, "the clock of this machine differs from Tencent Cloud's by more than 5 minutes"),
    ],
)
def test_an_expired_signature_says_which_clock(skew: float | None, text: str) -> None:
    """Where the answer told the server's time, the text says by how much, and which way, the clock is off."""
    error = MpsApiError(action="X", code="AuthFailure.SignatureExpire", message="m", request_id="r", clock_skew=skew)
    assert error.next_step == text


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("InternalError", Category.SERVER),
        ("InternalError.DbError", Category.SERVER),
        ("InternalError.IllegalRole", Category.PERMANENT),
        ("InvalidParameterValue.SessionId", Category.DUPLICATE),
        ("InvalidParameterValue.SessionIdTooLong", Category.NOT_FOUND),
        ("RequestLimitExceeded.UinLimitExceeded", Category.THROTTLED),
        ("RequestLimitExceededEver", Category.UNKNOWN),
        ("unknown", Category.UNKNOWN),
        ("", Category.UNKNOWN),
    ],
)
def test_a_code_means_what_its_row_or_family_says(code: str, category: Category) -> None:
    """Whole names are compared; of a code that is in no row nothing is concluded."""
    assert MpsApiError(action="X", code=code, message="m", request_id="r").category is category


@pytest.mark.parametrize("category", list(Category))
def test_which_errors_leave_open_whether_the_request_ran(category: Category) -> None:
    """A request is ambiguous where MPS may have seen it; where keys could not be had, nothing was sent."""
    ambiguous = category in {Category.SERVER, Category.NO_ANSWER, Category.UNKNOWN}
    assert MpsTransportError("t", action="X", category=category).may_have_run is ambiguous
    assert MpsCredentialsError("t", source="s", category=category).may_have_run is False


def test_a_download_error_names_the_file_without_its_secrets() -> None:
    """Neither signature nor password of an address are told."""
    error = MpsDownloadError("HTTP 403", address="https://u:p@b-1.invalid/a.vtt?sign=5@x#y")
    assert str(error) == "The subtitle file https://b-1.invalid/a.vtt was not fetched: HTTP 403."
    assert error.address == "https://b-1.invalid/a.vtt"
