"""Every setting of a connection reaches MPS from worker and triggerer alike, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_mps.client.actions import DescribeTaskDetail, RawAction
from airflow_provider_mps.client.config import EXTRAS
from airflow_provider_mps.client.credentials.cache import forget_all
from airflow_provider_mps.client.signing import authorization
from airflow_provider_mps.errors import MpsTransportError
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, NO_PAUSES, first_event
from tests.support.recorder import Recorder, Sent, answer
from tests.support.tls import Authority, private_authority

TASK_ID = "1250000000-WorkflowTask-1"
ROLE = "qcs::cam::uin/100000000001:roleName/media"
KEYS = {
    "Credentials": {"TmpSecretId": "AKIDtemp", "TmpSecretKey": "temp-key", "Token": "temp-token"},
    "ExpiredTime": 4_000_000_000,
}


def _serve(server: Recorder) -> None:
    """Have it answer as MPS and as STS, whichever is asked: so one server shows what either is sent."""

    def write(stream: BinaryIO) -> None:
        body = KEYS if server.sent[-1].headers.get("x-tc-action") == "AssumeRole" else DONE
        stream.write(answer(json.dumps({"Response": {**body, "RequestId": "r"}}).encode()))

    server.reply(write)


@dataclass
class World:
    """The servers around a task, and what belongs to a setting beside its value."""

    server: Recorder
    other: Recorder
    https: Recorder
    authority: Authority
    refusing: str
    home: Path
    monkeypatch: pytest.MonkeyPatch
    connection: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        """Make the connection."""
        standard = {"conn_type": "tencentcloud_mps", "login": "AKIDown", "password": "own-key"}
        standard["host"] = f"http://{self.server.netloc}"
        fields = {**standard, **self.connection, "extra": {"timeout": 5, **self.extra}}
        self.monkeypatch.setenv("AIRFLOW_CONN_MPS_SETTINGS", json.dumps(fields))


@pytest.fixture
def world(
    recorder: Recorder,
    refusing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A server, another one, one with a private certificate, a port where nobody listens."""
    authority = private_authority(tmp_path / "tls")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(MpsTaskTrigger, "settings", NO_PAUSES)
    with Recorder() as other, Recorder(authority.server) as https:
        for server in (recorder, other, https):
            _serve(server)
        yield World(recorder, other, https, authority, refusing, tmp_path, monkeypatch)


def on_the_worker() -> None:
    """One poll as a sensor in poke mode makes it."""
    MpsHook("mps_settings").call(DescribeTaskDetail(task_id=TASK_ID))


def in_the_triggerer(seconds: float = 10) -> None:
    """The polls of a trigger, revived from its arguments, until it sees that the task is done, or for so long."""
    policy = {"timeout": seconds}
    first_event(MpsTaskTrigger(mps_task_id=TASK_ID, mps_conn_id="mps_settings", poll_interval=0.01, policy=policy))


def _to_mps(sent: list[Sent]) -> Sent:
    return next(item for item in sent if item.headers.get("x-tc-action") == "DescribeTaskDetail")


def _to_sts(sent: list[Sent]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(next(item.body for item in sent if item.headers["x-tc-action"] == "AssumeRole"))
    return body


Setting = tuple[Callable[[World], dict[str, Any]], Callable[[World], object], object]


def _profile(world: World) -> dict[str, Any]:
    (world.home / ".tencentcloud").mkdir(exist_ok=True)
    (world.home / ".tencentcloud/credentials").write_text("[media]\nsecret_id=AKIDmedia\nsecret_key=k\n")
    return {"login": None, "password": None, "credential_source": "profile", "profile": "media"}


def _environment(world: World) -> dict[str, Any]:
    world.monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "AKIDenvironment")
    world.monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "k")
    return {"login": None, "password": None, "credential_source": "environment"}


def _host(world: World) -> dict[str, Any]:
    return {"host": f"http://{world.other.netloc}"}


def _port(world: World) -> dict[str, Any]:
    return {"host": "http://127.0.0.1", "port": int(world.other.netloc.rpartition(":")[2])}


def _proxy(world: World) -> dict[str, Any]:
    return {"host": f"http://{world.refusing}", "proxy": f"http://user:word@{world.other.netloc}"}


def _verify(world: World) -> dict[str, Any]:
    return {"host": f"https://{world.https.netloc}", "verify": world.authority.ca_file}


def _credential(sent: list[Sent]) -> str:
    return _to_mps(sent).headers["authorization"].split("Credential=")[1].split("/")[0]


def _signature_changes(world: World) -> bool:
    """The same second signed with another key gives another signature."""
    sent = _to_mps(world.server.sent)
    return sent.headers["authorization"] == authorization(
        secret_id="AKIDown",
        secret_key="another-key",
        service="mps",
        timestamp=int(sent.headers["x-tc-timestamp"]),
        headers=sent.headers,
        payload=sent.body,
    )


# A setting: what the connection holds, what is seen of it, and what must be seen.
SETTINGS: dict[str, Setting] = {
    "login": (lambda _: {"login": "AKIDother"}, lambda world: _credential(world.server.sent), "AKIDother"),
    "password": (lambda _: {"password": "another-key"}, _signature_changes, True),
    "host": (_host, lambda world: _to_mps(world.other.sent).headers["host"] == world.other.netloc, True),
    "port": (_port, lambda world: _to_mps(world.other.sent).headers["host"] == world.other.netloc, True),
    "credential_source": (_environment, lambda world: _credential(world.server.sent), "AKIDenvironment"),
    "profile": (_profile, lambda world: _credential(world.server.sent), "AKIDmedia"),
    "token": (
        lambda _: {"token": "a-token"},
        lambda world: _to_mps(world.server.sent).headers["x-tc-token"],
        "a-token",
    ),
    "role_arn": (
        lambda _: {"role_arn": ROLE},
        lambda world: (_to_sts(world.server.sent)["RoleArn"], _to_mps(world.server.sent).headers["x-tc-token"]),
        (ROLE, "temp-token"),
    ),
    "role_session_name": (
        lambda _: {"role_arn": ROLE, "role_session_name": "nightly"},
        lambda world: _to_sts(world.server.sent)["RoleSessionName"],
        "nightly",
    ),
    "role_duration": (
        lambda _: {"role_arn": ROLE, "role_duration": 900},
        lambda world: _to_sts(world.server.sent)["DurationSeconds"],
        900,
    ),
    "external_id": (
        lambda _: {"role_arn": ROLE, "external_id": "a:word"},
        lambda world: _to_sts(world.server.sent)["ExternalId"],
        "a:word",
    ),
    "sts_endpoint": (
        lambda world: {"role_arn": ROLE, "sts_endpoint": f"http://{world.other.netloc}"},
        lambda world: _to_sts(world.other.sent)["RoleArn"],
        ROLE,
    ),
    "region": (
        lambda _: {"region": "ap-nanjing"},
        lambda world: _to_mps(world.server.sent).headers["x-tc-region"],
        "ap-nanjing",
    ),
    "language": (
        lambda _: {"language": "zh-CN"},
        lambda world: _to_mps(world.server.sent).headers["x-tc-language"],
        "zh-CN",
    ),
    "proxy": (
        _proxy,
        lambda world: (
            (
                _to_mps(world.other.sent).target,
                _to_mps(world.other.sent).headers["proxy-authorization"],
            )
            == (f"http://{world.refusing}/", "Basic " + base64.b64encode(b"user:word").decode())
        ),
        True,
    ),
    "verify": (_verify, lambda world: len(world.https.sent), 1),
}
# These two are no part of a request: how long it may take, and how many there are in a second.
OF_TIME = {"timeout", "quota_share"}


def test_every_setting_is_shown_here() -> None:
    """A setting that is added without being carried to both halves fails here."""
    assert set(SETTINGS) | OF_TIME == set(EXTRAS) | {"login", "password", "host", "port"}


@pytest.mark.fault("F56", "F59")
@pytest.mark.parametrize("half", [on_the_worker, in_the_triggerer])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_reaches_both_halves(world: World, half: Callable[[], None], name: str) -> None:
    """The server sees the same, whoever asks."""
    prepare, seen, expected = SETTINGS[name]
    fields = prepare(world)
    world.connection = {key: fields[key] for key in fields if key not in EXTRAS}
    world.extra = {key: fields[key] for key in fields if key in EXTRAS}
    world.write()
    forget_all()
    half()
    assert seen(world) == expected


def test_the_timeout_reaches_both_halves(world: World) -> None:
    """Neither waits for a server that does not answer for longer than the connection says."""
    world.server.reply(lambda stream: time.sleep(5))
    world.extra = {"timeout": 0.4}
    world.write()
    began = time.monotonic()
    with pytest.raises(MpsTransportError, match="timed out"):
        MpsHook("mps_settings").call(RawAction(action="DescribeMediaMetaData"))
    assert time.monotonic() - began < 2
    world.server.sent.clear()
    in_the_triggerer(seconds=4)
    assert len(world.server.sent) >= 2, "the first look was given up in time for another"


def test_the_share_of_the_quota_reaches_both_halves(world: World) -> None:
    """Worker and triggerer read it into one and the same configuration, by which their requests are paced."""
    for share in (0.2, 0.7):
        world.extra = {"quota_share": share}
        world.write()
        of_worker = MpsHook("mps_settings").get_conn().config
        of_trigger = asyncio.run(MpsHook("mps_settings").aget_config())
        assert of_worker == of_trigger
        assert of_worker.quota_share == share


@pytest.mark.fault("F56")
def test_every_argument_of_the_hook_travels_with_the_trigger() -> None:
    """What an operator says beside the connection is not lost at the deferral."""
    arguments = set(inspect.signature(MpsHook).parameters)
    _, travels = MpsTaskTrigger(mps_task_id=TASK_ID).serialize()
    assert arguments <= set(travels)


@pytest.mark.fault("F59", "F60")
@pytest.mark.parametrize("half", [on_the_worker, in_the_triggerer])
@pytest.mark.parametrize(
    ("no_proxy", "through"),
    [("", True), ("127.0.0.1", False), (".tencentcloudapi.com", True), ("*", False), ("27.0.0.1", True)],
)
def test_the_proxy_of_the_environment_reaches_both_halves(
    world: World, half: Callable[[], None], no_proxy: str, through: bool
) -> None:
    """HTTP_PROXY and NO_PROXY mean the same on worker and triggerer."""
    world.monkeypatch.setenv("HTTP_PROXY", f"http://user:word@{world.other.netloc}")
    world.monkeypatch.setenv("NO_PROXY", no_proxy)
    world.write()
    half()
    assert [len(world.other.sent), len(world.server.sent)] == ([1, 0] if through else [0, 1])
