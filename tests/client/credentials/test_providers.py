"""Which source a connection means, and what is said where it gives nothing: which one was tried, and why it failed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials import providers
from airflow_provider_mps.client.credentials.assume_role import AssumedRole
from airflow_provider_mps.client.credentials.providers import (
    ChainProvider,
    Environment,
    InstanceRole,
    ProfileFile,
    WebIdentity,
)
from airflow_provider_mps.client.retry import is_final, may_pass
from airflow_provider_mps.client.sync import fetch_keys
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import ROLE_ARN, Role
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsCredentialsError
from tests.support.machine import in_a_pod, with_sdk_file, with_tccli_file, with_variables

CANARY = "CANARY-5d7f"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has nothing yet, on a machine without a file for all users."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(providers, "_SYSTEM_FILE", tmp_path / "etc/credentials")
    return tmp_path


def _config(host: str | None = None, login: str = "", password: str = "", **extra: Any) -> ClientConfig:
    return ClientConfig.from_connection(login=login, password=password, host=host, port=None, extra=extra)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, ChainProvider),
        ({"credential_source": "environment"}, Environment),
        ({"credential_source": "profile"}, ProfileFile),
        ({"credential_source": "cvm_role"}, InstanceRole),
        ({"credential_source": "tke_oidc"}, WebIdentity),
        ({"role_arn": ROLE_ARN}, AssumedRole),
        ({"credential_source": "cvm_role", "role_arn": ROLE_ARN}, AssumedRole),
        ({"login": "AKID", "password": "key", "role_arn": ROLE_ARN}, AssumedRole),
    ],
)
def test_the_source_that_a_connection_means(fields: dict[str, Any], kind: type) -> None:
    """Its keys, the source that it names, or the first that the machine has; any of them may assume a role."""
    assert type(_config(**fields).credentials) is kind


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"credential_source": "vault"}, "credential_source is 'vault'; it can be static, environment, profile, "),
        ({"credential_source": "static"}, "The SecretId (login) of the MPS connection is empty"),
        ({"login": "AKID"}, "The SecretKey (password) of the MPS connection is empty"),
        ({"token": CANARY}, "The SecretId (login) of the MPS connection is empty"),
        (
            {"credential_source": "cvm_role", "login": "AKID", "password": CANARY},
            "credential_source is cvm_role, but the connection holds keys as well",
        ),
        ({"role_arn": "media"}, "role_arn: it does not have the form qcs::cam::uin/100000000001:roleName/media"),
        (
            {"role_arn": ROLE_ARN, "role_session_name": "a b"},
            "role_session_name: it does not have the form of 2 to 128",
        ),
        ({"role_arn": ROLE_ARN, "external_id": "?"}, "external_id: it does not have the form of 2 to 128"),
        ({"external_id": "word"}, "external_id is set, but no role_arn"),
        ({"role_duration": "1h"}, "role_duration is '1h'; it can be 1 to 43200 seconds"),
        ({"role_duration": 43_201}, "role_duration is '43201'; it can be 1 to 43200 seconds"),
        ({"profile": "../../etc/passwd"}, "is no name of a profile"),
        ({"sts_endpoint": "sts.evil.com"}, "sts_endpoint must be a host of Tencent Cloud"),
        ({"sts_endpoint": "sts.tencentcloudapi.com.evil.com"}, "sts_endpoint must be a host of Tencent Cloud"),
        ({"sts_endpoint": "http://sts.tencentcloudapi.com"}, "sts_endpoint uses http://"),
        ({"sts_endpoint": "sts.tencentcloudapi.com/x"}, "sts_endpoint is not a host name"),
        ({"host": "ap-guangzhou"}, "is ap-guangzhou, a region. Put that into Region"),
    ],
    ids=lambda value: f"{value!r:.60}" if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_clear_error(fields: dict[str, Any], text: str) -> None:
    """Found before anything is sent; the text names the field and never a secret."""
    with pytest.raises(MpsConfigError) as caught:
        _config(**fields)
    assert text in str(caught.value)
    assert CANARY not in f"{caught.value!s} {caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    ("host", "given", "sts"),
    [
        (None, None, "https://sts.tencentcloudapi.com"),
        ("mps.ap-nanjing.tencentcloudapi.com", None, "https://sts.tencentcloudapi.com"),
        ("mps.intl.tencentcloudapi.com", None, "https://sts.intl.tencentcloudapi.com"),
        ("gateway.internal:8443", None, "https://sts.tencentcloudapi.com"),
        ("http://127.0.0.1:8089", None, "http://127.0.0.1:8089"),
        (None, "sts.ap-singapore.tencentcloudapi.com", "https://sts.ap-singapore.tencentcloudapi.com"),
        (None, "sts.internal.tencentcloudapi.com", "https://sts.internal.tencentcloudapi.com"),
        (None, "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_sts_is_the_one_of_the_account(host: str | None, given: str | None, sts: str) -> None:
    """International accounts have a service of their own, and the local MPS plays it too."""
    extra = {"credential_source": "environment"} | ({"sts_endpoint": given} if given else {})
    source = _config(host, **extra).credentials
    assert isinstance(source, Environment)
    assert source.sts.endpoint == sts


def test_sts_takes_the_region_of_the_connection() -> None:
    """STS wants one where MPS wants none."""
    for region, expected in ((None, "ap-guangzhou"), ("ap-jakarta", "ap-jakarta")):
        source = _config(credential_source="environment", region=region).credentials
        assert isinstance(source, Environment)
        assert source.sts.region == expected


def test_the_order_of_the_sources(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Variables, a file, the pod, and only then the instance, whose service may have to be waited for."""
    preparations = [in_a_pod, with_tccli_file, with_sdk_file, with_variables]
    origins = [fetch_keys(_config(mps.host, profile="default")).origin]
    for prepare in preparations:
        fields = prepare(mps, monkeypatch, home)
        origins.append(fetch_keys(_config(mps.host, profile=fields.get("profile", "default"))).origin)
    assert [origin.split(" (")[0] for origin in origins] == [
        "the role of this CVM instance",
        "the web identity of this TKE pod",
        f"profile media of {home}/.tccli/media.credential",
        f"profile default of {home}/.tencentcloud/credentials",
        "environment variables",
    ]


def test_a_machine_without_any_source_names_all(mps: LocalMps, home: Path) -> None:
    """Each that was tried, each with its reason, and what to do."""
    mps.backend.settings.instance_role = None
    with pytest.raises(MpsCredentialsError) as caught:
        fetch_keys(_config(mps.host))
    assert str(caught.value) == (
        "No keys from any source of this machine: "
        "environment variables: TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY not set; "
        f"a credentials file with the profile default: no profile in {home}/.tencentcloud/credentials, "
        f"{home}/etc/credentials, {home}/.tccli/default.credential; "
        "the web identity of this TKE pod: TKE_REGION, TKE_PROVIDER_ID, TKE_WEB_IDENTITY_TOKEN_FILE, TKE_ROLE_ARN not "
        "set: the service account of the pod has to name a role; "
        "the role of this CVM instance: the instance has no role; bind one to it in the CVM console. "
        "Fill in SecretId and SecretKey, or set credential_source to the one that you mean"
    )
    assert is_final(caught.value)


def test_a_source_that_is_there_and_fails_is_not_passed_over(
    mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """Whoever set one half of the variables shall not find himself signed in as somebody else."""
    with_variables(mps, monkeypatch, home)
    monkeypatch.delenv("TENCENTCLOUD_SECRET_KEY")
    with pytest.raises(
        MpsCredentialsError, match="No keys from environment variables: TENCENTCLOUD_SECRET_KEY not set"
    ):
        fetch_keys(_config(mps.host))


def _write(home: Path, name: str, text: str) -> None:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


SDK, TCCLI = ".tencentcloud/credentials", ".tccli/default.credential"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (SDK, f"secret_id={CANARY}\n", "the file is not in INI format (MissingSectionHeaderError)"),
        (SDK, f"[default]\n{CANARY}\n", "the file is not in INI format (ParsingError)"),
        (SDK, f"[default]\nsecret_id={CANARY}\n", "the SecretKey is empty"),
        (SDK, f"[default]\nsecret_id={CANARY} x\nsecret_key=k\n", "the SecretId holds blanks, line breaks"),
        (SDK, f"[other]\nsecret_id={CANARY}\nsecret_key=k\n", "no profile in "),
        (TCCLI, f"{{{CANARY}", "the file is not a JSON object"),
        (TCCLI, f'["{CANARY}"]', "the file is not a JSON object"),
        (TCCLI, json.dumps({"secretId": CANARY}), "the SecretKey is empty"),
        (
            TCCLI,
            json.dumps({"secretId": CANARY, "secretKey": "k", "token": "t", "expiresAt": int(time.time()) - 60}),
            "its keys have expired; sign in again with the tool that wrote it (tccli auth login)",
        ),
    ],
    ids=["no section", "no value", "half", "blank", "another section", "no JSON", "no object", "half JSON", "expired"],
)
def test_a_file_that_gives_no_keys(home: Path, name: str, text: str, why: str) -> None:
    """The text names the file and what is wrong with it, and quotes nothing of it."""
    _write(home, name, text)
    with pytest.raises(MpsCredentialsError) as caught:
        fetch_keys(_config(credential_source="profile"))
    assert why in str(caught.value)
    assert str(home / name) in str(caught.value)
    assert CANARY not in f"{caught.value!s} {caught.value!r} {vars(caught.value)} {caught.value.__cause__!r}"
    assert is_final(caught.value)


def test_a_file_that_cannot_be_read(home: Path) -> None:
    """A folder in its place, or no permission: in the words of the system."""
    (home / SDK).mkdir(parents=True)
    with pytest.raises(MpsCredentialsError, match="the file cannot be read: Is a directory"):
        fetch_keys(_config(credential_source="profile"))


def test_keys_of_a_sign_in_expire_with_it(home: Path) -> None:
    """The command line writes when its keys end; so they are read again by then."""
    expires = int(time.time()) + 3600
    _write(home, TCCLI, json.dumps({"secretId": "AKID", "secretKey": "k", "token": "t", "expiresAt": expires}))
    assert fetch_keys(_config(credential_source="profile")).expires_at == expires


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "status", "status": 500}, "the metadata service: HTTP 500"),
        ({"kind": "reset"}, "the metadata service: no answer"),
        ({"kind": "html"}, "the metadata service gave no keys of the role <html><head><title>"),
    ],
)
def test_a_metadata_service_that_fails(mps: LocalMps, fault: dict[str, Any], why: str) -> None:
    """What is away for a moment does not end a wait of hours."""
    mps.backend.faults.add(Fault(**{**fault, "action": "metadata", "times": None}))
    with pytest.raises(MpsCredentialsError) as caught:
        fetch_keys(_config(mps.host, credential_source="cvm_role"))
    assert why in str(caught.value)
    assert may_pass(caught.value)
    assert not caught.value.may_have_run


def test_the_metadata_service_is_never_asked_through_a_proxy(
    mps: LocalMps, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers on the machine's own link, with keys that no proxy has to see."""
    monkeypatch.setenv("HTTP_PROXY", f"http://{refusing}")
    config = _config(mps.host, credential_source="cvm_role", proxy=f"http://{refusing}")
    assert fetch_keys(config).credentials.token


@pytest.mark.parametrize(
    ("role", "fields", "why"),
    [
        (None, {}, "ResourceNotFound.RoleNotFound: The role does not exist. "),
        (Role(trusts=frozenset()), {}, "The policy of the caller must allow sts:AssumeRole on the role"),
        (Role(external_id="word"), {"external_id": "other"}, "and the role must trust the caller"),
        (Role(max_seconds=3600), {"role_duration": 7200}, "role_duration is longer than the role allows"),
    ],
)
def test_a_role_that_cannot_be_assumed(mps: LocalMps, role: Role | None, fields: dict[str, Any], why: str) -> None:
    """STS's code and RequestId, and what to do about it."""
    mps.backend.settings.roles = {ROLE_ARN: role} if role else {}
    with pytest.raises(MpsCredentialsError) as caught:
        fetch_keys(_config(mps.host, mps.secret_id, mps.secret_key, role_arn=ROLE_ARN, **fields))
    text = str(caught.value)
    assert text.startswith(
        f"No keys from the role {ROLE_ARN}, assumed with the connection: STS answered AssumeRole with "
    )
    assert why in text
    assert "RequestId" in text
    assert is_final(caught.value)


@pytest.mark.parametrize(("code", "passes"), [("InternalError.DbError", True), ("InternalError.IllegalRole", False)])
def test_a_fault_of_sts_is_asked_again(mps: LocalMps, code: str, passes: bool) -> None:
    """Where that can help; a role that is no good is not among them, whatever the code begins with."""
    mps.backend.faults.add(Fault("error", action="AssumeRole", code=code))
    config = _config(mps.host, mps.secret_id, mps.secret_key, role_arn=ROLE_ARN)
    if passes:
        assert fetch_keys(config).credentials.token
    else:
        with pytest.raises(MpsCredentialsError, match="IllegalRole"):
            fetch_keys(config)
    assert len(mps.backend.calls) == (2 if passes else 1)


def test_a_pod_whose_token_is_gone(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Named by its variable, in the words of the system."""
    fields = in_a_pod(mps, monkeypatch, home)
    os.unlink(home / "token")
    with pytest.raises(MpsCredentialsError, match="TKE_WEB_IDENTITY_TOKEN_FILE cannot be read: No such file"):
        fetch_keys(_config(mps.host, **fields))
