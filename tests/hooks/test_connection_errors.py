"""Every error that a wrong connection can cause: made over real HTTP, and written down in docs/connection.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.credentials import providers
from airflow_provider_mps.client.credentials.cache import forget_all
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import ROLE_ARN, Account, Role
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.hooks import mps as hook_module
from airflow_provider_mps.hooks.mps import MpsHook
from tests.support.machine import in_a_pod
from tests.support.recorder import Recorder
from tests.support.tls import TunnelProxy, private_authority

PAGE = Path(__file__).parents[2] / "docs/connection.md"
CANARY = "CANARY-3e91"


@dataclass
class World:
    """A local MPS, a connection to it, and what else a test may need."""

    mps: LocalMps
    monkeypatch: pytest.MonkeyPatch
    home: Path
    refusing: str
    connection: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def says(self) -> tuple[bool, str]:
        """What the test button answers."""
        standard = {"login": self.mps.secret_id, "password": self.mps.secret_key, "host": self.mps.host}
        fields = {"conn_type": "tencentcloud_mps", **standard, **self.connection, "extra": {"timeout": 1, **self.extra}}
        self.monkeypatch.setenv("AIRFLOW_CONN_MPS_WRONG", json.dumps(fields))
        forget_all()
        return MpsHook("mps_wrong").test_connection()


@pytest.fixture
def world(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refusing: str) -> World:
    """Everything is right, until a case breaks it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(providers, "_SYSTEM_FILE", tmp_path / "etc/credentials")
    monkeypatch.setattr(hook_module, "_TEST_TIMEOUT", 1.0)
    return World(mps, monkeypatch, tmp_path, refusing)


Break = Callable[[World], object]


def _fields(**fields: Any) -> Break:
    return lambda world: world.connection.update(fields)


def _extra(**fields: Any) -> Break:
    return lambda world: world.extra.update(fields)


def _of_machine(**fields: Any) -> Break:
    """Without keys of its own."""

    def prepare(world: World) -> None:
        world.connection.update(login=None, password=None)
        world.extra.update(fields)

    return prepare


def _refused(code: str, message: str = "the words of MPS", action: str = "DescribeTasks") -> Break:
    return lambda world: world.mps.backend.faults.add(Fault("error", action, code=code, message=message, times=None))


def _fault(kind: Any, **fields: Any) -> Break:
    return lambda world: world.mps.backend.faults.add(Fault(kind, "DescribeTasks", times=None, **fields))


def _both(*steps: Break) -> Break:
    return lambda world: [step(world) for step in steps]


def _file(name: str, text: str) -> Break:
    def prepare(world: World) -> None:
        (world.home / name).parent.mkdir(exist_ok=True)
        (world.home / name).write_text(text)

    return prepare


def _role(role: Role | None, **fields: Any) -> Break:
    def prepare(world: World) -> None:
        world.mps.backend.settings.roles = {ROLE_ARN: role} if role else {}
        world.extra.update(role_arn=ROLE_ARN, **fields)

    return prepare


def _token(world: World) -> None:
    world.mps.backend.accounts[world.mps.secret_id] = Account(world.mps.secret_key, token="another")
    world.extra["token"] = CANARY


def _untrusted(world: World) -> Iterator[None]:
    with Recorder(private_authority(world.home / "tls").server) as server:
        world.connection["host"] = f"https://{server.netloc}"
        yield


def _wrong_ca(world: World) -> Iterator[None]:
    (world.home / "empty.pem").write_text("no certificate")
    world.extra["verify"] = str(world.home / "empty.pem")
    yield from _untrusted(world)


def _proxy_login(world: World) -> Iterator[None]:
    with TunnelProxy("407 Proxy Authentication Required") as proxy:
        world.connection["host"] = "mps.invalid"
        world.extra["proxy"] = proxy.url.replace("//", f"//user:{CANARY}@")
        yield


def _clock(world: World) -> None:
    world.mps.backend.clock_offset = 900
    world.mps.backend.faults.add(Fault("error", "DescribeTasks", code="AuthFailure.SignatureExpire", times=None))


def _pod(world: World) -> None:
    in_a_pod(world.mps, world.monkeypatch, world.home)
    (world.home / "token").write_text(CANARY)
    _of_machine(credential_source="tke_oidc")(world)


def _away(kind: Any) -> Break:
    return _both(
        _of_machine(credential_source="cvm_role"),
        lambda world: world.mps.backend.faults.add(Fault(kind, "metadata", times=None, seconds=9)),
    )


CASES: dict[str, Break | Callable[[World], Iterator[None]]] = {
    # The connection itself.
    "no SecretKey": _fields(password=""),
    "blank in key": _fields(password=f"{CANARY} x"),
    "source and keys": _extra(credential_source="cvm_role"),
    "unknown source": _extra(credential_source="vault"),
    "role": _extra(role_arn="media"),
    "session name": _extra(role_arn=ROLE_ARN, role_session_name="a b"),
    "external id": _extra(role_arn=ROLE_ARN, external_id="?"),
    "external id without role": _extra(external_id="word"),
    "duration": _extra(role_arn=ROLE_ARN, role_duration="2h"),
    "profile name": _extra(profile="a/b"),
    "sts endpoint": _extra(sts_endpoint="sts.example.com"),
    "endpoint": _fields(host="mps.tencentcloudapi.com/path"),
    "endpoint is region": _fields(host="ap-guangzhou"),
    "standard port in it": _fields(host="http://mps.tencentcloudapi.com"),
    "region": _extra(region="Guangzhou"),
    "language": _extra(language="en"),
    "timeout": _extra(timeout=0),
    "timeout word": _extra(timeout="soon"),
    "quota share": _extra(quota_share=0),
    "proxy": _extra(proxy=f"socks5://user:{CANARY}@proxy:1080"),
    "verify false": _extra(verify="false"),
    "verify file": _extra(verify="/no/such/file.pem"),
    "verify no certificates": _wrong_ca,
    # Keys of the machine.
    "nothing": _both(_of_machine(), lambda world: setattr(world.mps.backend.settings, "instance_role", None)),
    "no variables": _of_machine(credential_source="environment"),
    "half variables": _both(
        _of_machine(credential_source="environment"),
        lambda world: world.monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "AKIDhalf"),
    ),
    "no file": _of_machine(credential_source="profile"),
    "broken file": _both(_of_machine(credential_source="profile"), _file(".tencentcloud/credentials", f"{CANARY}\n")),
    "half file": _both(
        _of_machine(credential_source="profile"),
        _file(".tencentcloud/credentials", f"[default]\nsecret_id={CANARY}\n"),
    ),
    "broken tccli": _both(_of_machine(credential_source="profile"), _file(".tccli/default.credential", CANARY)),
    "expired tccli": _both(
        _of_machine(credential_source="profile"),
        _file(
            ".tccli/default.credential",
            json.dumps({"secretId": CANARY, "secretKey": CANARY, "token": CANARY, "expiresAt": 1}),
        ),
    ),
    "file is folder": _both(
        _of_machine(credential_source="profile"),
        lambda world: (world.home / ".tencentcloud/credentials").mkdir(parents=True),
    ),
    "no pod": _of_machine(credential_source="tke_oidc"),
    "pod refused": _pod,
    "pod without token": _both(_pod, lambda world: (world.home / "token").unlink()),
    "no instance role": _both(
        _of_machine(credential_source="cvm_role"),
        lambda world: setattr(world.mps.backend.settings, "instance_role", None),
    ),
    "no instance": _away("reset"),
    "odd metadata": _away("html"),
    "slow metadata": _away("hang"),
    # Roles.
    "no such role": _role(None),
    "role does not trust": _role(Role(trusts=frozenset())),
    "role duration too long": _role(Role(max_seconds=3600), role_duration=7200),
    "sts key": _both(_role(Role()), _fields(password="wrong")),
    # What MPS refuses.
    "unknown SecretId": _fields(login="AKIDunknown"),
    "wrong SecretKey": _fields(password="wrong"),
    "no key of the API": _refused("AuthFailure.InvalidSecretId"),
    "token": _token,
    "clock": _clock,
    "second factor": _refused("AuthFailure.MFAFailure"),
    "permission": _refused("UnauthorizedOperation"),
    "permission of key": _refused("AuthFailure.UnauthorizedOperation"),
    "address": _refused("IpNotInWhitelist"),
    "not activated": _refused("FailedOperation.InvalidMpsUser"),
    "arrears": _refused("FailedOperation.UserArrears"),
    "unsupported region": _refused("UnsupportedRegion"),
    "another service": _refused("InvalidAction"),
    "throttled": _refused("RequestLimitExceeded"),
    "something else": _refused("FailedOperation.SomethingNew"),
    # The network.
    "no such host": _fields(host="mps.invalid"),
    "nobody listens": _fields(host="http://127.0.0.1:1"),
    "hangs": _fault("hang", seconds=9),
    "reset": _fault("reset"),
    "certificate": _untrusted,
    "proxy login": _proxy_login,
    "proxy away": lambda world: (
        world.connection.update(host="mps.invalid"),
        world.extra.update(proxy=f"http://user:{CANARY}@{world.refusing}"),
    ),
    "gateway": _fault("status", status=403),
    "no JSON": _fault("html"),
}


def _rows() -> list[str]:
    """The messages in the second column of the tables of errors."""
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## When the button says no") :]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ") and " | `" in line]
    return [row[1].strip().strip("`") for row in rows]


def _pattern(row: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(piece) for piece in row.split("…")), re.DOTALL)


def _message(world: World, name: str) -> str:
    broken = CASES[name](world)
    steps = broken if isinstance(broken, Iterator) else iter((None,))
    for _ in steps:
        ok, message = world.says()
    assert not ok
    return message


@pytest.mark.fault("F55")
@pytest.mark.parametrize("name", CASES)
def test_every_error_is_in_the_table(world: World, name: str) -> None:
    """In the very words that the button shows, in one row, and with none of the secrets."""
    message = _message(world, name)
    for secret in (CANARY, world.mps.secret_key, "not-the-key"):
        assert secret not in message
    assert [row for row in _rows() if _pattern(row).fullmatch(message)], message


def test_every_row_of_the_table_comes_true(
    mps: LocalMps, tmp_path: Path, refusing: str, request: pytest.FixtureRequest
) -> None:
    """No row tells of an error that cannot be made."""
    said = []
    for number, name in enumerate(CASES):
        home = tmp_path / str(number)
        home.mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch, LocalMps() as fresh:
            monkeypatch.setenv("HOME", str(home))
            monkeypatch.setattr(providers, "_SYSTEM_FILE", home / "etc/credentials")
            monkeypatch.setattr(hook_module, "_TEST_TIMEOUT", 0.5)
            said.append(_message(World(fresh, monkeypatch, home, refusing), name))
    for row in _rows():
        assert any(_pattern(row).fullmatch(message) for message in said), row
