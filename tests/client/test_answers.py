"""Reading an answer: MPS's own, MPS's errors, and what gateways and proxies put in their place. No network."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client.actions import DescribeTaskDetail, ManageTask, ProcessMedia, RawAction
from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.client.protocol import Response, decode, transport_error
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError

DESCRIBE = DescribeTaskDetail(task_id="1250000000-WorkflowTask-1")
RAW = RawAction(action="DescribeMediaMetaData")
SUBMIT = ProcessMedia(input_info={"Type": "URL"})


def _response(body: Any, *, status: int = 200, **headers: str) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"content-type": "application/json"} | headers, data)


def _error(code: str, **headers: str) -> Response:
    answer = {"Error": {"Code": code, "Message": "text"}, "RequestId": "r-1"}
    return _response({"Response": answer}, **headers)


def test_a_success_becomes_the_result_of_the_action() -> None:
    """The content of Response is handed to the action, whatever the content type says of its charset."""
    plain = _response({"Response": {"Status": "FINISH", "RequestId": "r-1", "New": {"Field": 1}}})
    charset = plain._replace(headers={"content-type": "application/json; charset=utf-8"})
    for response in (plain, charset):
        detail = decode(DESCRIBE, response, MpsClock())
        assert (detail.status, detail.request_id, detail.body["New"]) == ("FINISH", "r-1", {"Field": 1})


@pytest.mark.fault("F55")
def test_a_refusal_that_repeats_the_request_shows_none_of_its_secrets() -> None:
    """The text of an error names what was wrong, and not the keys and signatures that were sent."""
    notify = {"NotifyType": "URL", "NotifyUrl": "https://example.com/cb?token=canary-token", "NotifyKey": "canary-key"}
    action = ProcessMedia(input_info={"Type": "URL"}, task_notify_config=notify)
    text = "TaskNotifyConfig: key canary-key, address https://example.com/cb?token=canary-token is wrong"
    with pytest.raises(MpsApiError) as caught:
        decode(action, _response({"Response": {"Error": {"Code": "InvalidParameter", "Message": text}}}), MpsClock())
    assert "canary" not in str(caught.value)
    assert "TaskNotifyConfig: key ***, address https://example.com/cb" in str(caught.value)


def test_a_warning_beside_a_result_is_no_error() -> None:
    """A deprecated action answers as ever, with one more key."""
    body = {"DeprecatedWarning": "use another", "RequestId": "r-1"}
    assert decode(ManageTask(task_id="t"), _response({"Response": body}), MpsClock()).request_id == "r-1"


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json; charset=utf-8"}, {"content-type": ""}])
def test_an_error_is_an_error_in_any_content_type(headers: dict[str, str]) -> None:
    """The official SDK takes an error with a charset for a success; here the body decides."""
    with pytest.raises(MpsApiError) as caught:
        decode(RAW, _error("InvalidParameter")._replace(headers=headers), MpsClock())
    error = caught.value
    assert (error.action, error.code, error.message, error.request_id) == (
        "DescribeMediaMetaData",
        "InvalidParameter",
        "text",
        "r-1",
    )
    assert str(error) == "MPS answered DescribeMediaMetaData with InvalidParameter: text (RequestId r-1)"


@pytest.mark.parametrize(
    ("error", "code", "request_id"),
    [
        ({}, "unknown", "unknown"),
        ({"Code": None, "Message": None}, "unknown", "unknown"),
        ({"Code": 5, "Message": ["x"]}, "5", "unknown"),
        ("out of order", "unknown", "unknown"),
        ([], "unknown", "unknown"),
    ],
)
def test_a_crippled_error_is_still_an_error(error: Any, code: str, request_id: str) -> None:
    """An Error object without its fields does not pass for a result."""
    with pytest.raises(MpsApiError) as caught:
        decode(RAW, _response({"Response": {"Error": error}}), MpsClock())
    assert (caught.value.code, caught.value.request_id) == (code, request_id)


def test_addresses_in_an_error_text_lose_their_query() -> None:
    """MPS may repeat a signed input address in its message; the signature must not reach a log."""
    message = "download of https://user:CANARY@host/a.mp4?sign=CANARY failed"
    body = {"Response": {"Error": {"Code": "FailedOperation", "Message": message}, "RequestId": "r"}}
    with pytest.raises(MpsApiError) as caught:
        decode(RAW, _response(body), MpsClock())
    assert "CANARY" not in f"{caught.value} {caught.value.message}"
    assert "https://host/a.mp4 failed" in caught.value.message


@pytest.mark.fault("F91")
@pytest.mark.parametrize(
    "status", [204, 301, 302, 307, 400, 401, 403, 404, 407, 408, 413, 418, 425, 429, 500, 502, 503]
)
def test_f91_another_http_status_is_not_an_answer_of_mps(status: int) -> None:
    """F91: MPS says 200 also for errors; anything else comes from a gateway, may have run, and may pass."""
    response = _response({"Response": {"TaskId": "t", "RequestId": "r"}}, status=status)
    with pytest.raises(MpsTransportError, match=f"HTTP {status} from a gateway or proxy") as caught:
        decode(SUBMIT, response, MpsClock())
    assert (caught.value.action, caught.value.category) == ("ProcessMedia", Category.NO_ANSWER)
    assert caught.value.may_have_run


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b'{"Response": {"TaskId": "t", "Requ',
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"Response": null}',
        b'{"Response": []}',
        b'{"Response": "text"}',
        b'{"response": {"TaskId": "t"}}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_body_that_is_not_mps_is_no_result(body: bytes) -> None:
    """HTML, half an answer or foreign JSON behind a 200 is a transport error that may have run."""
    with pytest.raises(MpsTransportError, match="the answer is not one of MPS") as caught:
        decode(SUBMIT, _response(body), MpsClock())
    assert caught.value.category is Category.NO_ANSWER


def test_a_submission_without_a_task_id_is_not_accepted_in_silence() -> None:
    """An answer that names no job leaves open whether one runs."""
    for answer in ({"RequestId": "r"}, {"TaskId": "", "RequestId": "r"}, {"TaskId": None}, {"TaskId": ["t"]}):
        with pytest.raises(MpsTransportError, match="names no TaskId") as caught:
            decode(SUBMIT, _response({"Response": answer}), MpsClock())
        assert caught.value.may_have_run


def test_half_a_surrogate_pair_is_read() -> None:
    """Recognised text may hold what strict parsers refuse and no database stores; only that character is lost."""
    response = _response(rb'{"Response": {"Text": "\ud83d!", "Set": ["\ude00", "\ud83d\ude00"], "RequestId": "r"}}')
    result = decode(RAW, response, MpsClock())
    assert (result["Text"], result["Set"]) == ("\ufffd!", ["\ufffd", "\U0001f600"])


@given(body=st.binary(max_size=200))
def test_no_body_gives_a_foreign_exception(body: bytes) -> None:
    """Whatever bytes come back, the caller sees a result or an error of this package."""
    try:
        result = decode(RAW, _response(body), MpsClock())
    except MpsError:
        return
    assert isinstance(result, dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(error=json_values, request_id=json_values)
def test_no_error_object_gives_a_foreign_exception(error: Any, request_id: Any) -> None:
    """An Error of any shape is an error of this package; only null is none."""
    try:
        decode(RAW, _response({"Response": {"Error": error, "RequestId": request_id}}), MpsClock())
    except MpsError:
        assert error is not None
    else:
        assert error is None


@pytest.mark.parametrize("ahead", [0, 600, -600])
def test_an_error_tells_how_far_the_clock_is_off(ahead: int) -> None:
    """The Date of the answer against this machine's clock; positive when this machine is ahead."""
    date = formatdate(time.time() - ahead, usegmt=True)
    with pytest.raises(MpsApiError) as caught:
        decode(RAW, _error("AuthFailure.SignatureExpire", date=date), MpsClock())
    assert caught.value.clock_skew == pytest.approx(ahead, abs=2)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "yesterday"}])
def test_without_a_date_the_clock_is_unknown(headers: dict[str, str]) -> None:
    """Nothing is corrected on a guess."""
    clock = MpsClock()
    with pytest.raises(MpsApiError) as caught:
        decode(RAW, _error("AuthFailure.SignatureExpire", **headers), clock)
    assert caught.value.clock_skew is None
    assert not clock.is_known


@pytest.mark.parametrize(
    ("reason", "never_sent", "timed_out", "text", "category"),
    [
        (OSError("Connection refused"), True, False, "no answer: Connection refused", Category.UNREACHABLE),
        (OSError("Connection reset by peer"), False, False, "no answer: Connection reset by peer", Category.NO_ANSWER),
        (TimeoutError(), False, True, "no answer: timed out", Category.NO_ANSWER),
        (TimeoutError(), True, True, "no answer: timed out while connecting", Category.UNREACHABLE),
        (OSError(), False, False, "no answer: OSError", Category.NO_ANSWER),
        (OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), True, False, "not trusted", Category.PERMANENT),
        (
            OSError("proxy http://u:CANARY@proxy:3128 failed"),
            True,
            False,
            "proxy http://proxy:3128",
            Category.UNREACHABLE,
        ),
    ],
)
def test_a_library_exception_becomes_one_of_ours(
    reason: Exception, never_sent: bool, timed_out: bool, text: str, category: Category
) -> None:
    """It says what is known: whether MPS can have seen the request, whether asking again can help, and no password."""
    error = transport_error("ProcessMedia", reason, never_sent=never_sent, timed_out=timed_out)
    assert str(error).startswith("ProcessMedia: ")
    assert text in str(error)
    assert "CANARY" not in str(error)
    assert error.category is category


def test_a_proxy_that_wants_a_login_is_asked_once() -> None:
    """It has not passed the request on, and will want the login again."""
    reason = OSError("Tunnel connection failed: 407")
    error = transport_error("ProcessMedia", reason, never_sent=True, timed_out=False, wants_login=True)
    assert "(HTTP 407): http://user:password@host:port" in str(error)
    assert error.category is Category.PERMANENT
