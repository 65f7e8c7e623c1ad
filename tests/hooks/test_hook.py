"""From an Airflow connection to a client, and what the test button says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_provider_mps.client.actions import DescribeTasks, RawAction
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import Account
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsConfigError
from airflow_provider_mps.hooks.mps import MpsHook


def test_call_reaches_mps(airflow_mps: LocalMps) -> None:
    """An action with and without a class of its own goes through the same call."""
    hook = MpsHook()
    assert hook.call(DescribeTasks(status="FINISH")).tasks == ()
    assert hook.call(RawAction(action="DescribeTasks", body={"Status": "FINISH"}))["TaskSet"] == []


def test_the_client_is_made_once(airflow_mps: LocalMps) -> None:
    """One hook keeps one connection to MPS."""
    hook = MpsHook()
    assert hook.get_conn() is hook.get_conn()


@pytest.mark.parametrize("form", ["json", "uri", "uri with port"])
def test_connection_forms(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """JSON and URI connections, as docs/connection.md writes them, give the same client."""
    values = {
        "json": json.dumps(
            {
                "conn_type": "tencentcloud_mps",
                "login": "AKIDexample",
                "password": "a/b+c=",
                "host": "http://127.0.0.1:8089",
                "extra": {"region": "ap-guangzhou", "timeout": 5},
            }
        ),
        "uri": "tencentcloud-mps://AKIDexample:a%2Fb%2Bc%3D@http%3A%2F%2F127.0.0.1%3A8089/?region=ap-guangzhou&timeout=5",
        "uri with port": "tencentcloud-mps://AKIDexample:a%2Fb%2Bc%3D@http%3A%2F%2F127.0.0.1:8089/"
        "?region=ap-guangzhou&timeout=5",
    }
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", values[form])
    config = MpsHook().get_conn().config
    assert (config.credentials.secret_id, config.credentials.secret_key) == ("AKIDexample", "a/b+c=")
    assert (config.endpoint, config.region, config.timeout) == ("http://127.0.0.1:8089", "ap-guangzhou", 5)


def test_what_the_form_stores_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of Airflow stores null for an empty field and adds no host: that means the default."""
    extra = dict.fromkeys(("region", "token", "language", "timeout", "proxy", "verify"))
    connection = Connection(
        conn_id="x", conn_type="tencentcloud_mps", login=" AKIDexample ", password="key\n", extra=json.dumps(extra)
    )
    monkeypatch.setenv("AIRFLOW_CONN_X", connection.get_uri())
    config = MpsHook("x").get_conn().config
    assert config.endpoint == "https://mps.tencentcloudapi.com"
    assert (config.credentials.secret_id, config.credentials.secret_key) == ("AKIDexample", "key")


def test_region_of_the_hook_wins(airflow_mps: LocalMps) -> None:
    """An operator's region goes before the connection's."""
    assert MpsHook().get_conn().config.region == "ap-guangzhou"
    assert MpsHook(region="ap-nanjing").get_conn().config.region == "ap-nanjing"


@pytest.mark.parametrize(
    ("connection", "ok", "text"),
    [
        ("mps_default", True, "Signed in with keys from the connection; MPS answers at 127.0.0.1"),
        ("wrong_key", False, "SecretKey (connection password) does not belong to the SecretId"),
        ("unknown_id", False, "SecretId (connection login) does not exist"),
        ("nobody_there", False, "MPS cannot be reached at http://127.0.0.1:1: check the API endpoint"),
        ("no_such_host", False, "MPS cannot be reached at https://mps.invalid"),
        ("empty_key", False, "SecretKey (password) of the MPS connection is empty"),
        ("plain_http", False, "loopback"),
        ("bad_region", False, "Guangzhou!"),
    ],
)
def test_the_test_button_says_what_is_wrong(airflow_mps: LocalMps, connection: str, ok: bool, text: str) -> None:
    """Every wrong connection gets words that a person can act on, and none of its secrets."""
    done, message = MpsHook(connection).test_connection()
    assert done is ok
    assert text in message
    assert airflow_mps.secret_key not in message
    assert "not-the-key" not in message


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("FailedOperation.InvalidMpsUser", "MPS is not activated for this account"),
        ("UnauthorizedOperation", "CAM policy"),
        ("FailedOperation.UserArrears", "arrears"),
        ("SomethingNew", "SomethingNew"),
    ],
)
def test_the_test_button_explains_refusals(airflow_mps: LocalMps, code: str, text: str) -> None:
    """What MPS refuses is explained where it is known, and quoted where it is not."""
    airflow_mps.backend.faults.add(Fault("error", code=code, message="no", times=None))
    ok, message = MpsHook().test_connection()
    assert not ok
    assert text in message
    assert "RequestId" in message


@pytest.mark.parametrize(("seconds", "text"), [(900, "15.0 minutes behind"), (-900, "15.0 minutes ahead of")])
def test_the_test_button_tells_a_wrong_clock(airflow_mps: LocalMps, seconds: float, text: str) -> None:
    """A clock that is off is corrected and named, with the minutes."""
    airflow_mps.backend.clock_offset = seconds
    ok, message = MpsHook().test_connection()
    assert ok
    assert text in message


def test_a_wrong_token_is_told(airflow_mps: LocalMps) -> None:
    """Temporary credentials without their token are refused in words."""
    airflow_mps.backend.accounts[airflow_mps.secret_id] = Account(airflow_mps.secret_key, token="right")
    ok, message = MpsHook().test_connection()
    assert not ok
    assert "session token" in message


def test_errors_name_the_connection(airflow_mps: LocalMps) -> None:
    """With many connections, the error says which one is wrong."""
    with pytest.raises(MpsConfigError, match="Connection empty_key"):
        MpsHook("empty_key").get_conn()


@pytest.mark.fault("F40")
def test_errors_name_action_code_and_request(airflow_mps: LocalMps) -> None:
    """What MPS refuses carries all that its support asks for."""
    with pytest.raises(MpsApiError) as caught:
        MpsHook("wrong_key").call(DescribeTasks(status="FINISH"))
    error: Any = caught.value
    assert (error.action, error.code) == ("DescribeTasks", "AuthFailure.SignatureFailure")
    assert error.request_id in str(error)
