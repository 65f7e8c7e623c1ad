"""Sets this machine up so that a credential source finds keys of the local MPS on it; a table for tests to walk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator.models import ROLE_ARN, Role
from airflow_provider_mps.emulator.server import LocalMps

POD_ROLE = "qcs::cam::uin/100000000001:roleName/pod"
POD_TOKEN = "CANARY-web-identity-token"
Machine = Callable[[LocalMps, pytest.MonkeyPatch, Path], dict[str, Any]]


def with_variables(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """Keys in the environment."""
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", mps.secret_id)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", mps.secret_key)
    return {"credential_source": "environment"}


def with_variables_of_a_role(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """Keys and a role in the environment, as the command line of Tencent takes them."""
    monkeypatch.setenv("TENCENTCLOUD_ROLE_ARN", ROLE_ARN)
    monkeypatch.setenv("TENCENTCLOUD_ROLE_SESSION_NAME", "of-the-environment")
    return with_variables(mps, monkeypatch, home)


def with_sdk_file(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """The file of the SDKs, with quotes as Tencent's documentation shows them."""
    (home / ".tencentcloud").mkdir()
    text = f'[default]\nsecret_id = "{mps.secret_id}"\nsecret_key = "{mps.secret_key}"\n'
    (home / ".tencentcloud/credentials").write_text(text)
    return {"credential_source": "profile"}


def with_sdk_file_of_a_role(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """The file of the SDKs, another section, and a role to assume."""
    (home / ".tencentcloud").mkdir()
    text = f"[media]\nsecret_id={mps.secret_id}\nsecret_key={mps.secret_key}\nrole_arn={ROLE_ARN}\n"
    (home / ".tencentcloud/credentials").write_text(text)
    return {"credential_source": "profile", "profile": "media"}


def with_tccli_file(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """The file of the command line."""
    (home / ".tccli").mkdir()
    keys = {"secretId": mps.secret_id, "secretKey": mps.secret_key}
    (home / ".tccli/media.credential").write_text(json.dumps(keys))
    return {"credential_source": "profile", "profile": "media"}


def on_an_instance(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """A CVM instance with a role."""
    return {"credential_source": "cvm_role"}


def in_a_pod(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """A pod of TKE; its token file ends with a line break, as many do."""
    mps.backend.settings.roles[POD_ROLE] = Role(web_identity=("cluster", POD_TOKEN))
    (home / "token").write_text(f"{POD_TOKEN}\n")
    for name, value in {
        "REGION": "ap-nanjing",
        "PROVIDER_ID": "cluster",
        "WEB_IDENTITY_TOKEN_FILE": str(home / "token"),
        "ROLE_ARN": POD_ROLE,
    }.items():
        monkeypatch.setenv(f"TKE_{name}", value)
    return {"credential_source": "tke_oidc"}


def with_a_role(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """Keys in the connection, and a role that they may assume."""
    mps.backend.settings.roles[ROLE_ARN] = Role(trusts=frozenset({mps.secret_id}), external_id="shared:word")
    return {"login": mps.secret_id, "password": mps.secret_key, "role_arn": ROLE_ARN, "external_id": "shared:word"}


def on_an_instance_with_a_role(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, home: Path) -> dict[str, Any]:
    """The role of an instance, which may assume another: temporary keys that assume a role."""
    return {"credential_source": "cvm_role", "role_arn": ROLE_ARN}


# Each with the number of requests that it takes to get its keys.
MACHINES: dict[str, tuple[Machine, int]] = {
    "environment": (with_variables, 0),
    "environment, role": (with_variables_of_a_role, 1),
    "SDK file": (with_sdk_file, 0),
    "SDK file, role": (with_sdk_file_of_a_role, 1),
    "tccli file": (with_tccli_file, 0),
    "CVM role": (on_an_instance, 2),
    "TKE": (in_a_pod, 1),
    "AssumeRole": (with_a_role, 1),
    "AssumeRole with a CVM role": (on_an_instance_with_a_role, 3),
}
