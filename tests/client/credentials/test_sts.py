"""Our requests for keys beside those of the official SDK, and beside Tencent's description of the API."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_pascal

from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.assume_role import AssumedRole, Sts
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials
from airflow_provider_mps.client.credentials.providers import InstanceRole, WebIdentity
from airflow_provider_mps.client.credentials.sts import AssumeRole, AssumeRoleWithWebIdentity
from airflow_provider_mps.client.sync import fetch_keys
from airflow_provider_mps.emulator.models import ROLE_ARN
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError
from tests.support.machine import in_a_pod, with_variables
from tests.support.official import HttpProfile, credential, sts_model
from tests.support.recorder import Recorder, Sent, answer

KEYS = {
    "Credentials": {"TmpSecretId": "AKIDtemp", "TmpSecretKey": "key", "Token": "token"},
    "ExpiredTime": 4_000_000_000,
}
GRANTED = answer(json.dumps({"Response": {**KEYS, "RequestId": "r"}}).encode())
METADATA = {"Code": "Success", "ExpiredTime": 4_000_000_000, **KEYS["Credentials"]}  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def _official_sdk_over_plain_http(monkeypatch: pytest.MonkeyPatch, mps: LocalMps) -> None:
    """The SDK asks STS by https only; the local one speaks http."""
    monkeypatch.setattr(credential, "HttpProfile", functools.partial(HttpProfile, protocol="http"))
    for name in ("_metadata_endpoint", "_role_endpoint"):
        here = getattr(credential.CVMRoleCredential, name).replace("http://metadata.tencentyun.com", mps.host)
        monkeypatch.setattr(credential.CVMRoleCredential, name, here)


def _ours(source: CredentialProvider, endpoint: str) -> tuple[str, str, str | None]:
    keys = fetch_keys(ClientConfig(source, endpoint=endpoint)).credentials
    return keys.secret_id, keys.secret_key, keys.token


def _relevant(sent: Sent) -> tuple[dict[str, Any], dict[str, str]]:
    names = ("x-tc-action", "x-tc-version", "x-tc-region", "content-type", "host", "x-tc-token")
    headers = {name: value for name, value in sent.headers.items() if name in names}
    # Signed or not, by whom, and for which service: the rest depends on the second.
    headers["authorization"] = sent.headers["authorization"].partition("/")[0]
    headers["service"] = "/sts/tc3_request" if "/sts/tc3_request" in sent.headers["authorization"] else "unsigned"
    return json.loads(sent.body), headers


def test_our_assume_role_is_the_official_one(recorder: Recorder) -> None:
    """Same parameters, version, region, service of the signature; and the answer is read alike."""
    recorder.reply(GRANTED)
    theirs = credential.STSAssumeRoleCredential(
        "AKIDbase", "base-key", ROLE_ARN, "a-session", 1800, endpoint=recorder.netloc
    ).get_credential_info()
    sts = Sts(f"http://{recorder.netloc}", session_name="a-session", duration=1800)
    ours = _ours(AssumedRole(Credentials("AKIDbase", "base-key"), ROLE_ARN, sts), f"http://{recorder.netloc}")
    assert ours == theirs == ("AKIDtemp", "key", "token")
    assert _relevant(recorder.sent[1]) == _relevant(recorder.sent[0])


def test_our_web_identity_is_the_official_one(
    mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sent unsigned, with the same parameters; only the line break at the end of a token file is ours to cut."""
    recorder.reply(GRANTED)
    in_a_pod(mps, monkeypatch, tmp_path)
    official = credential.DefaultTkeOIDCRoleArnProvider().get_credential()
    official.endpoint = recorder.netloc
    theirs = official.get_credential_info()
    assert _ours(WebIdentity(Sts(f"http://{recorder.netloc}", duration=7200)), f"http://{recorder.netloc}") == theirs
    (their_body, their_headers), (body, headers) = map(_relevant, recorder.sent)
    assert headers == their_headers
    assert headers["authorization"] == "SKIP"
    assert their_body.pop("WebIdentityToken").strip() == body.pop("WebIdentityToken")
    assert their_body.pop("RoleSessionName").startswith("tencentcloud-python-sdk-")
    assert body.pop("RoleSessionName") == "airflow-provider-mps"
    assert body == their_body


def test_the_official_sdk_gets_its_keys_of_the_local_mps(
    mps: LocalMps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Our STS and metadata service are those that the SDK's own credential classes know."""
    netloc = mps.host.removeprefix("http://")
    in_a_pod(mps, monkeypatch, tmp_path)
    (tmp_path / "token").write_text((tmp_path / "token").read_text().strip())
    pod = credential.DefaultTkeOIDCRoleArnProvider().get_credential()
    pod.endpoint = netloc
    assumed = credential.STSAssumeRoleCredential(mps.secret_id, mps.secret_key, ROLE_ARN, "a-session", endpoint=netloc)
    for official in (pod, assumed, credential.CVMRoleCredential()):
        secret_id, secret_key, token = official.get_credential_info()
        account = mps.backend.accounts[secret_id]
        assert (account.secret_key, account.token) == (secret_key, token)


def test_the_instance_role_is_read_as_the_sdk_does(mps: LocalMps) -> None:
    """The role's name, then its keys."""
    official = credential.CVMRoleCredential()
    assert official.get_role_name() == "emulator"
    secret_id, _, _ = _ours(InstanceRole(mps.host), mps.host)
    assert secret_id in mps.backend.accounts


def test_the_variables_and_files_of_the_sdk_are_ours(
    mps: LocalMps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What signs the SDK in signs us in, under the same names."""
    with_variables(mps, monkeypatch, tmp_path)
    theirs = credential.EnvironmentVariableCredential().get_credential()
    assert (theirs.secret_id, theirs.secret_key) == (mps.secret_id, mps.secret_key)
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".tencentcloud").mkdir()
    (tmp_path / ".tencentcloud/credentials").write_text("[default]\nsecret_id = AKIDfile\nsecret_key = file-key\n")
    theirs = credential.ProfileCredential().get_credential()
    assert (theirs.secret_id, theirs.secret_key) == ("AKIDfile", "file-key")
    config = ClientConfig.from_connection(login=None, password=None, host=mps.host, port=None, extra={})
    keys = fetch_keys(config).credentials
    assert (keys.secret_id, keys.secret_key) == ("AKIDfile", "file-key")


@pytest.mark.parametrize("action", [AssumeRole, AssumeRoleWithWebIdentity], ids=lambda action: action.__name__)
def test_the_parameters_are_tencents(action: type[AssumeRole] | type[AssumeRoleWithWebIdentity]) -> None:
    """Each is in Tencent's description of the API, and those that it requires are required here."""
    described = {member["name"]: member for member in sts_model()["objects"][f"{action.__name__}Request"]["members"]}
    ours = {field.alias or to_pascal(name): field for name, field in action.model_fields.items()}
    assert set(ours) <= set(described)
    assert {name for name, field in ours.items() if field.is_required()} == {
        name for name, member in described.items() if member["required"]
    }
    assert sts_model()["metadata"]["apiVersion"] == action.version
    assert sts_model()["metadata"]["serviceShortName"] == action.service


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"role_arn": "media"}, "role_arn: it does not have the form qcs::cam::uin/100000000001:roleName/media"),
        ({"role_arn": "qcs::cam::uin/1:roleName/a b"}, "role_arn"),
        ({"role_session_name": "x"}, "role_session_name: it does not have the form of 2 to 128 letters"),
        ({"role_session_name": "a b"}, "role_session_name"),
        ({"external_id": "a#b"}, "external_id: it does not have the form"),
        ({"duration_seconds": 43_201}, "duration_seconds"),
        ({"duration_seconds": 0}, "duration_seconds"),
    ],
)
def test_what_sts_would_refuse_is_not_sent(change: dict[str, Any], text: str) -> None:
    """Names, lengths and forms are those that STS documents."""
    with pytest.raises(MpsConfigError, match="AssumeRole cannot be sent") as caught:
        AssumeRole(**({"role_arn": ROLE_ARN, "role_session_name": "a-session"} | change))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "role_arn",
    [
        "qcs::cam::uin/12345678:role/4611686018427397919",
        "qcs::cam::uin/12345678:roleName/testRoleName",
        "qcs::cam::uin/12345678:role/tencentcloudServiceRole/4611686018427397920",
        "qcs::cam::uin/12345678:role/tencentcloudServiceRoleName/testServiceRoleName",
    ],
)
def test_every_documented_form_of_a_role_is_taken(role_arn: str) -> None:
    """The four that the page of AssumeRole names."""
    assert AssumeRole(role_arn=role_arn, role_session_name="cts").parameters["RoleArn"] == role_arn
