"""The local MPS over HTTP: envelope, signature check, control endpoint and the page for people."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
import requests

from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.signing import authorization
from airflow_provider_mps.emulator.faults import KINDS, Fault, FaultScript
from airflow_provider_mps.emulator.models import Account
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.transports import Caller

LIST = b'{"Status": "FINISH"}'


def _ask(
    mps: LocalMps, payload: bytes = LIST, *, sign: dict[str, Any] | None = None, offset: int = 0, **headers: Any
) -> requests.Response:
    """A request signed by hand; ``sign`` changes what is signed, ``headers`` what is sent (None leaves one out)."""
    sent = {
        "Content-Type": "application/json",
        "Host": f"127.0.0.1:{mps.port}",
        "X-TC-Action": "DescribeTasks",
        "X-TC-Version": "2019-06-12",
        "X-TC-Timestamp": str(int(time.time()) + offset),
    }
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value is not None}
    signed: dict[str, Any] = {
        "secret_id": mps.secret_id,
        "secret_key": mps.secret_key,
        "service": "mps",
        "timestamp": int(sent.get("X-TC-Timestamp") or 0),
        "headers": sent,
        "payload": payload,
    }
    sent.setdefault("Authorization", authorization(**(signed | (sign or {}))))
    return requests.post(mps.host, data=payload, headers=sent, timeout=10)


def _code(response: requests.Response) -> str:
    return str(response.json()["Response"].get("Error", {}).get("Code", ""))


def test_the_envelope() -> None:
    """HTTP 200 also for errors, exactly application/json, and a new RequestId in every answer."""
    with LocalMps() as mps:
        answers = [_ask(mps), _ask(mps, b"{}"), _ask(mps, sign={"secret_key": "wrong"})]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/json"}
    assert len({uuid.UUID(answer.json()["Response"]["RequestId"]) for answer in answers}) == 3
    assert [_code(answer) for answer in answers] == ["", "MissingParameter", "AuthFailure.SignatureFailure"]


@pytest.mark.parametrize(
    ("sign", "headers", "code"),
    [
        ({}, {}, ""),
        ({"signed_headers": ["content-type", "host", "x-tc-action"]}, {}, ""),
        ({"signed_headers": ["content-type", "host", "x-tc-action", "x-tc-timestamp"]}, {}, ""),
        ({"payload": b"UNSIGNED-PAYLOAD"}, {"X_TC_Content_SHA256": "UNSIGNED-PAYLOAD"}, ""),
        ({"payload": b"UNSIGNED-PAYLOAD"}, {}, "AuthFailure.SignatureFailure"),
        ({"payload": b"{}"}, {}, "AuthFailure.SignatureFailure"),
        ({"service": "cvm"}, {}, "AuthFailure.SignatureFailure"),
        ({"method": "GET"}, {}, "AuthFailure.SignatureFailure"),
        ({"query": "a=b"}, {}, "AuthFailure.SignatureFailure"),
        ({"timestamp": 1_551_113_065}, {}, "AuthFailure.SignatureFailure"),
        ({"signed_headers": ["host"]}, {}, "AuthFailure.InvalidAuthorization"),
        ({"signed_headers": ["content-type"]}, {}, "AuthFailure.InvalidAuthorization"),
        ({"secret_id": "AKIDunknown"}, {}, "AuthFailure.SecretIdNotFound"),
        ({}, {"X_TC_Token": "unasked"}, "AuthFailure.TokenFailure"),
        ({}, {"offset": -310}, "AuthFailure.SignatureExpire"),
        ({}, {"offset": 310}, "AuthFailure.SignatureExpire"),
        ({"timestamp": 0}, {"X_TC_Timestamp": None}, "MissingParameter"),
        ({}, {"Authorization": "TC3-HMAC-SHA256 Credential=x"}, "AuthFailure.InvalidAuthorization"),
        ({}, {"Authorization": "Basic YTpi"}, "AuthFailure.InvalidAuthorization"),
        ({}, {"X_TC_Version": "2018-01-01"}, "NoSuchVersion"),
        ({}, {"X_TC_Version": None}, "NoSuchVersion"),
        ({}, {"X_TC_Action": "DoSomething"}, "InvalidAction"),
        ({}, {"X_TC_Action": None}, "InvalidAction"),
    ],
)
def test_what_is_signed_is_checked(mps: LocalMps, sign: dict[str, Any], headers: dict[str, Any], code: str) -> None:
    """Scope, key, body, method, time and the headers that the request itself names; extra signed ones are welcome."""
    assert _code(_ask(mps, sign=sign, **headers)) == code


def test_an_account_with_a_token_wants_it(mps: LocalMps) -> None:
    """Temporary keys count with their token only."""
    mps.backend.accounts[mps.secret_id] = Account(mps.secret_key, "token")
    assert _code(_ask(mps)) == "AuthFailure.TokenFailure"
    assert _code(_ask(mps, X_TC_Token="other")) == "AuthFailure.TokenFailure"
    assert _code(_ask(mps, X_TC_Token="token")) == ""


@pytest.mark.parametrize("payload", [b"{", b"[]", b'"text"', b"\xff", b"null"])
def test_a_body_that_is_no_object_is_an_error(mps: LocalMps, payload: bytes) -> None:
    """With an error of the API, not of HTTP."""
    assert _code(_ask(mps, payload)) == "InvalidParameter"


def test_the_calls_are_counted_with_their_codes(mps: LocalMps) -> None:
    """What a test asserts on: how often each action was called, and what came of it."""
    _ask(mps)
    _ask(mps, b"{}")
    mps.backend.faults.add(Fault("status"))
    _ask(mps)
    calls = {"accepted": 1, "MissingParameter": 1, "fault status": 1}
    assert requests.get(f"{mps.host}/control/state", timeout=10).json() == {
        "jobs": 0,
        "aborts": 0,
        "calls": {"DescribeTasks": calls},
        "tasks": [],
    }


def test_faults_are_scripted_over_http(mps: LocalMps) -> None:
    """One fault for the next call of an action, until cleared; a fault that does not exist is an error."""
    control = f"{mps.host}/control/faults"
    fault = {"kind": "error", "action": "DescribeTasks", "code": "InternalError", "times": 2}
    assert requests.post(control, json=fault, timeout=10).ok
    assert [_code(_ask(mps)) for _ in range(3)] == ["InternalError", "InternalError", ""]
    requests.post(control, json=fault, timeout=10)
    requests.delete(control, timeout=10)
    assert _code(_ask(mps)) == ""
    for wrong in ({"kind": "flood"}, {"kind": "reset", "when": "later"}, {"kind": "reset", "colour": 1}, {}):
        answer = requests.post(control, json=wrong, timeout=10)
        assert (answer.status_code, "\n" in answer.text) == (400, True)


def test_tasks_clock_settings_and_reset_over_http(mps: LocalMps) -> None:
    """Everything that a test in another process needs."""
    control = f"{mps.host}/control"
    made = requests.post(f"{control}/tasks", json={"answers": [{"Status": "FINISH"}]}, timeout=10).json()
    [task] = requests.get(f"{control}/state", timeout=10).json()["tasks"]
    expected = {"TaskId": made["TaskId"], "Status": "FINISH", "polls": 0, "aborted": False}
    assert task == {**expected, "title": "scripted answers"}
    assert requests.post(f"{control}/settings", json={"state_seconds": 7}, timeout=10).ok
    assert mps.backend.settings.state_seconds == 7
    assert requests.post(f"{control}/settings", json={"speed": 7}, timeout=10).status_code == 400
    requests.post(f"{control}/clock", json={"seconds": 900}, timeout=10)
    assert _code(_ask(mps)) == "AuthFailure.SignatureExpire"
    requests.post(f"{control}/reset", json={}, timeout=10)
    assert _code(_ask(mps)) == ""
    assert mps.backend.tasks == {}


def test_faults_are_played_in_order() -> None:
    """The first that fits, as often as it was scripted; others wait for their action and their moment."""
    script = FaultScript()
    script.add(Fault("reset", action="ProcessMedia", when="after"))
    script.add(Fault("throttle", times=2))
    script.add(Fault("status", times=None))
    assert script.take("ProcessMedia", "after") is not None
    kinds = [fault.kind for _ in range(4) if (fault := script.take("DescribeTasks", "before"))]
    assert kinds == ["throttle", "throttle", "status", "status"]
    assert script.take("ProcessMedia", "after") is None
    script.clear()
    assert script.take("DescribeTasks", "before") is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_scripted_as_json(kind: str) -> None:
    """A test in another language names a fault as this one does."""
    assert Fault(**json.loads(json.dumps({"kind": kind, "times": None}))).kind == kind


def test_the_page_shows_jobs_and_no_secret(mps: LocalMps, client: Caller) -> None:
    """What a person reads: ids, states, inputs and calls; markup in a name stays text, signatures are cut off."""
    name = "<script>alert(1)</script>.mp4"
    task_id = client.call(
        ProcessMedia(
            input_info={"Type": "URL", "UrlInputInfo": {"Url": f"https://u:CANARY@media.invalid/{name}?sign=CANARY"}},
            task_notify_config={"NotifyKey": "CANARY", "NotifyUrl": "https://host/?token=CANARY"},
        )
    ).mps_task_id
    mps.backend.script([{"Status": "<b>FINISH</b>"}], "1250000000-WorkflowTask-<i>")
    page = requests.get(mps.host, timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    for shown in (task_id, "WAITING", "&lt;script&gt;alert(1)&lt;/script&gt;.mp4", "ProcessMedia", "accepted"):
        assert shown in page.text
    for hidden in ("<script>", "<i>", "<b>", "CANARY", mps.secret_key, mps.secret_id):
        assert hidden not in page.text


def test_the_page_of_an_empty_mps(mps: LocalMps) -> None:
    """Before the first call there is something to read."""
    assert requests.get(mps.host, timeout=10).text.count("None yet.") == 2


def test_two_local_mps_do_not_meet() -> None:
    """Each has a port, jobs and faults of its own, and gives them back at its end."""
    with LocalMps() as one, LocalMps() as other:
        assert one.port != other.port
        one.backend.script([{"Status": "FINISH"}])
        assert other.backend.tasks == {}
    with pytest.raises(requests.ConnectionError):
        requests.get(one.host, timeout=10)
