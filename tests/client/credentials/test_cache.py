"""Every credential source, over real HTTP and both transports: asked once, renewed in time, never in anyone's way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.actions import BatchProcessMedia, DescribeTasks
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials import cache
from airflow_provider_mps.client.credentials.base import Credentials, ExpiringCredentials, Network
from airflow_provider_mps.client.retry import Limits, may_pass
from airflow_provider_mps.client.sync import MpsClient, fetch_keys
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import ROLE_ARN, Account, Role
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsCredentialsError, MpsError
from tests.conftest import Connect
from tests.support.machine import MACHINES, POD_TOKEN, Machine, in_a_pod, on_an_instance, with_a_role, with_variables
from tests.support.transports import OverAiohttp, OverRequests

LIST = DescribeTasks(status="FINISH")
JOB = BatchProcessMedia(input_info=[{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}])
KEY_CALLS = {"AssumeRole", "AssumeRoleWithWebIdentity", "metadata"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has nothing yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def _config(mps: LocalMps, fields: dict[str, Any], **more: Any) -> ClientConfig:
    extra = {**fields, "timeout": 10, **more}
    login, password = extra.pop("login", None), extra.pop("password", None)
    return ClientConfig.from_connection(login=login, password=password, host=mps.host, port=None, extra=extra)


def _calls(mps: LocalMps, *names: str) -> list[str]:
    """The codes of the calls of these names, of all that ask for keys if none is named."""
    return [call.code for call in mps.backend.calls if call.action in (names or KEY_CALLS)]


@pytest.fixture(params=MACHINES.values(), ids=MACHINES)
def machine(request: pytest.FixtureRequest) -> tuple[Machine, int]:
    """Every source in turn."""
    chosen: tuple[Machine, int] = request.param
    return chosen


def test_every_source_signs_in(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, machine: tuple[Machine, int]
) -> None:
    """The local MPS verifies each signature and token; many clients of one process ask the source once."""
    prepare, requests = machine
    config = _config(mps, prepare(mps, monkeypatch, home))
    for _ in range(3):
        caller = connect(dataclasses.replace(config))
        caller.call(LIST)
        caller.call(LIST)
    assert _calls(mps, "DescribeTasks") == [""] * 6
    assert len(_calls(mps)) == requests


def test_both_transports_and_many_threads_share_one_request(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty threads and two hundred tasks of an event loop that start at once are one AssumeRole."""
    config = _config(mps, with_a_role(mps, monkeypatch, home))
    mps.backend.settings.rates = {"DescribeTasks": 0}

    def over_requests(_: int) -> None:
        with MpsClient(config, limits=Limits(attempts=1)) as client:
            client.call(LIST)

    async def over_aiohttp() -> None:
        async with AsyncMpsClient(config, limits=Limits(attempts=1)) as shared:
            await asyncio.gather(*(shared.call(LIST) for _ in range(200)))

    with ThreadPoolExecutor(21) as threads:
        loop = threads.submit(asyncio.run, over_aiohttp())
        list(threads.map(over_requests, range(20)))
        loop.result()
    assert _calls(mps) == [""]
    assert _calls(mps, "DescribeTasks") == [""] * 220


@pytest.mark.fault("F58")
def test_keys_are_renewed_before_they_expire(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """A job of many lives of its keys sees none of them expire, and nobody waits for the new ones."""
    mps.backend.settings.key_seconds = 4.0
    caller = connect(_config(mps, with_a_role(mps, monkeypatch, home)))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        caller.call(LIST)
        time.sleep(0.05)
    assert set(_calls(mps, "DescribeTasks")) == {""}
    assert 3 <= len(_calls(mps)) <= 6


def test_the_loop_is_free_while_a_source_hangs(mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks of the loop go on, who waits gives up after the timeout of the connection, and says for what."""
    mps.backend.faults.add(Fault("hang", action="metadata", seconds=3, times=None))
    config = _config(mps, on_an_instance(mps, monkeypatch, home), timeout=0.5)
    pauses: list[float] = []

    async def run() -> MpsCredentialsError:
        async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
            waiting = asyncio.create_task(client.call(LIST))
            while not waiting.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                pauses.append(time.monotonic() - before)
            with pytest.raises(MpsCredentialsError) as caught:
                await waiting
            return caught.value

    error = asyncio.run(run())
    assert max(pauses) < 0.2
    assert str(error) == "No keys from the role of this CVM instance: no answer within 0.5 seconds"
    assert (may_pass(error), error.may_have_run) == (True, False)


def test_who_stops_waiting_takes_nothing_from_the_others(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger that is cancelled while keys are fetched leaves the fetch to those that still wait for it."""
    mps.backend.faults.add(Fault("slow", action="AssumeRole", bytes_per_second=1000))
    config = _config(mps, with_a_role(mps, monkeypatch, home))

    async def run() -> None:
        async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
            first, second = (asyncio.create_task(client.call(LIST)) for _ in range(2))
            await asyncio.sleep(0.1)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            await second

    asyncio.run(run())
    assert _calls(mps) == [""]


def test_a_loop_that_ends_while_keys_are_fetched_leaves_no_trace(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A triggerer that is stopped in mid-fetch: the answer comes to a loop that is closed, and nobody minds."""
    mps.backend.faults.add(Fault("slow", action="AssumeRole", bytes_per_second=400))
    config = _config(mps, with_a_role(mps, monkeypatch, home))

    async def run() -> None:
        async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.call(LIST), 0.1)

    asyncio.run(run())
    with MpsClient(config, limits=Limits(attempts=1)) as client:
        client.call(LIST)
    assert _calls(mps) == [""]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_valid_keys_outlive_a_source_that_is_away(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """A refresh that fails is tried again later; as long as the keys hold, calls go through."""
    monkeypatch.setattr(cache, "FETCH_BACKOFF", 3.0)
    caller = connect(_config(mps, with_a_role(mps, monkeypatch, home)))
    caller.call(LIST)
    monkeypatch.setattr(ExpiringCredentials, "is_due", lambda keys, now: True)
    mps.backend.faults.add(Fault("error", action="AssumeRole", code="InvalidParameter.ParamError", times=None))
    until = time.monotonic() + 10
    while "The cached keys are used while they are valid" not in caplog.text and time.monotonic() < until:
        caller.call(LIST)
    caller.call(LIST)
    assert _calls(mps) == ["", "fault error"]
    mps.backend.faults.clear()
    while len(_calls(mps)) < 3 and time.monotonic() < until:
        caller.call(LIST)
        time.sleep(0.05)
    assert _calls(mps)[2] == ""
    assert set(_calls(mps, "DescribeTasks")) == {""}


def test_a_failing_source_is_left_alone_for_a_while(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """Hundreds of tasks that want its keys do not become hundreds of requests; then it is asked again."""
    monkeypatch.setattr(cache, "FETCH_BACKOFF", 3.0)
    config = _config(mps, with_a_role(mps, monkeypatch, home) | {"external_id": "wrong"})
    for _ in range(5):
        with pytest.raises(MpsCredentialsError, match="UnauthorizedOperation"):
            connect(config).call(LIST)
    assert len(_calls(mps)) == 1
    mps.backend.settings.roles[ROLE_ARN] = Role(external_id="wrong")
    with pytest.raises(MpsCredentialsError):
        connect(config).call(LIST)
    time.sleep(3.1)
    connect(config).call(LIST)
    assert len(_calls(mps)) == 2


def _revoke(mps: LocalMps) -> None:
    """What the server does to keys that it no longer takes, although they have not expired."""
    for secret_id, account in mps.backend.accounts.items():
        if account.token:
            mps.backend.accounts[secret_id] = dataclasses.replace(account, expires_at=0.0)


@pytest.mark.fault("F58")
@pytest.mark.parametrize("prepare", [with_a_role, in_a_pod, on_an_instance])
def test_a_rejected_token_is_replaced_once(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, prepare: Machine
) -> None:
    """Rejected before the job ran, so that even one that must not be repeated is signed anew: it runs once."""
    caller = connect(_config(mps, prepare(mps, monkeypatch, home)))
    caller.call(LIST)
    _revoke(mps)
    caller.call(JOB)
    assert _calls(mps, "BatchProcessMedia") == ["AuthFailure.TokenFailure", ""]
    assert len(mps.backend.tasks) == 1


@pytest.mark.fault("F58")
def test_keys_that_stay_rejected_are_an_error(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """One new signature, with keys that the source has just given; then the error is final."""
    caller = connect(_config(mps, with_a_role(mps, monkeypatch, home)), attempts=4)
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="AuthFailure.TokenFailure", times=None))
    with pytest.raises(MpsApiError, match=r"AuthFailure\.TokenFailure"):
        caller.call(LIST)
    assert len(_calls(mps, "DescribeTasks")) == 2
    assert _calls(mps) == ["", ""]


@dataclasses.dataclass(frozen=True)
class Source:
    """A provider of keys that expire after some seconds, or after none that can be told."""

    keys: Credentials
    seconds: float
    fetched: list[float] = dataclasses.field(default_factory=list, compare=False)

    of_machine, title, identity = False, "a source", "a source"

    def fetch(self, network: Network) -> ExpiringCredentials:
        self.fetched.append(time.monotonic())
        expires_at = network.clock.now() + self.seconds
        return ExpiringCredentials(self.keys, self.title, expires_at).obtained_now(network.clock)


@pytest.mark.parametrize("seconds", [-1.0, -7200.0, float("nan"), float("-inf")])
def test_f117_expired_keys_are_never_handed_out(
    config: ClientConfig, mps: LocalMps, connect: Connect, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """F117: one fetch per back-off, and an error that says what is wrong; nothing is signed with them."""
    monkeypatch.setattr(cache, "FETCH_BACKOFF", 1.0)
    source = Source(Credentials(mps.secret_id, mps.secret_key), seconds)
    caller = connect(dataclasses.replace(config, credentials=source))
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        with pytest.raises(MpsCredentialsError, match=r"No keys from a source: its keys had expired .* check why"):
            caller.call(LIST)
    assert len(source.fetched) == 2
    assert not mps.backend.calls


def test_f117_expired_keys_replace_no_valid_ones(
    config: ClientConfig, mps: LocalMps, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """F117: a source that begins to give old keys ends no wait before the last good ones have expired."""
    source = Source(Credentials(mps.secret_id, mps.secret_key), 590.0)
    caller = connect(dataclasses.replace(config, credentials=source))
    caller.call(LIST)
    object.__setattr__(source, "seconds", -1.0)
    mps.backend.clock_offset = 297.0  # by MPS's clock they are due soon, and not by this machine's
    caller.call(LIST)
    until = time.monotonic() + 5
    while "The cached keys are used while they are valid" not in caplog.text and time.monotonic() < until:
        caller.call(LIST)
    assert len(source.fetched) == 2
    assert {call.code for call in mps.backend.calls} == {""}


@pytest.mark.fault("F93")
@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_f93_a_clock_that_is_set_expires_no_keys(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, step: float
) -> None:
    """F93: keys of half an hour are neither fetched again nor used too long when this machine's clock is set."""
    mps.backend.settings.key_seconds = 1800.0
    caller = connect(_config(mps, with_a_role(mps, monkeypatch, home)))
    caller.call(LIST)
    wall, real = time.time, mps.backend.now
    monkeypatch.setattr(mps.backend, "now", lambda: real() - step)  # the local MPS stays where it was
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    caller.call(LIST)
    assert _calls(mps) == [""]
    assert _calls(mps, "DescribeTasks") == ["", ""]


def test_keys_are_shared_only_where_they_are_fetched_in_the_same_way(
    config: ClientConfig, mps: LocalMps, connect: Connect, tmp_path: Path
) -> None:
    """Another proxy or another authority may lead to another service: its keys are its own."""
    authority = tmp_path / "authority.pem"
    authority.touch()
    source = Source(Credentials(mps.secret_id, mps.secret_key), 7200.0)
    base = dataclasses.replace(config, credentials=source)
    others = [{}, {"proxy": ""}, {"proxy": "http://127.0.0.1:1"}, {"ca_file": str(authority)}]

    def caches() -> list[cache.CredentialCache]:
        configs = [dataclasses.replace(base, **other) for other in others]
        return [cache.credential_cache_for(source, each, fetch_keys) for each in configs]

    assert len(set(caches())) == len(others)
    assert caches() == caches()
    assert caches()[0] is cache.credential_cache_for(source, dataclasses.replace(base, timeout=3.0), fetch_keys)


@pytest.mark.fault("F58")
def test_many_rejected_at_once_renew_once(mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of one account find out together that a token has expired; one asks, all sign again."""
    config = _config(mps, with_a_role(mps, monkeypatch, home))

    async def run() -> None:
        async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
            await client.call(LIST)
            _revoke(mps)
            await asyncio.gather(*(client.call(LIST) for _ in range(30)))

    asyncio.run(run())
    assert _calls(mps) == ["", ""]


@pytest.mark.fault("F57", "F89")
@pytest.mark.parametrize("seconds", [-3600.0, -900.0, 900.0, 3600.0])
def test_f89_keys_of_sts_hold_by_tencents_clock(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect, seconds: float
) -> None:
    """F89: on a machine whose clock is off the expiry is read by Tencent's, so nothing is renewed too often."""
    mps.backend.clock_offset = seconds
    mps.backend.settings.key_seconds = 1200.0
    with LocalMps() as other:  # STS is another host, with a clock of its own
        fields = with_a_role(mps, monkeypatch, home) | {"sts_endpoint": mps.host}
        other.backend.accounts, other.backend.clock_offset = mps.backend.accounts, seconds
        config = dataclasses.replace(_config(mps, fields), endpoint=other.host)
        for _ in range(3):
            connect(config).call(LIST)
        assert [call.code for call in other.backend.calls] == ["AuthFailure.SignatureExpire", "", "", ""]
    assert _calls(mps) == ["AuthFailure.SignatureExpire", ""]


@pytest.mark.fault("F58")
@pytest.mark.parametrize("age", ["sync", "async"])
def test_a_key_that_was_rotated_in_the_connection_is_read_again(mps: LocalMps, config: ClientConfig, age: str) -> None:
    """The connection is read once more when its keys are rejected; what it says now signs the second request."""
    old = dataclasses.replace(config, credentials=Credentials("AKIDold", "old-key"))
    reads: list[str] = []

    def reload() -> ClientConfig:
        reads.append("read")
        return config

    async def areload() -> ClientConfig:
        return reload()

    caller = (
        OverRequests(dataclasses.replace(old, reload=reload), attempts=1)
        if age == "sync"
        else OverAiohttp(dataclasses.replace(old, reload=areload), attempts=1)
    )
    caller.call(JOB)
    caller.call(LIST)
    caller.close()
    assert reads == ["read"]
    assert _calls(mps, "BatchProcessMedia", "DescribeTasks") == ["AuthFailure.SecretIdNotFound", "", ""]


@pytest.mark.fault("F58")
@pytest.mark.parametrize("fails", [False, True])
def test_keys_that_were_not_rotated_stay_rejected(
    mps: LocalMps, config: ClientConfig, connect: Connect, transport: type, fails: bool
) -> None:
    """The same keys again, or a connection that cannot be read: one request, and its error is what the caller sees."""
    wrong = dataclasses.replace(config, credentials=Credentials(mps.secret_id, "wrong"))

    def reload() -> ClientConfig:
        if fails:
            raise ValueError("not defined")
        return wrong

    async def areload() -> ClientConfig:
        return reload()

    caller = connect(dataclasses.replace(wrong, reload=reload if transport is OverRequests else areload))
    with pytest.raises(MpsApiError, match=r"AuthFailure\.SignatureFailure"):
        caller.call(LIST)
    assert len(mps.backend.calls) == 1


@pytest.mark.fault("F58")
def test_keys_that_assume_a_role_may_be_rotated_too(mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STS rejects the old ones; the connection is read again and the role is assumed with the new ones."""
    fields = with_a_role(mps, monkeypatch, home)
    right = _config(mps, fields)
    old = _config(mps, fields | {"password": "old-key"})
    with MpsClient(dataclasses.replace(old, reload=lambda: right), limits=Limits(attempts=1)) as client:
        client.call(LIST)
    assert _calls(mps) == ["AuthFailure.SignatureFailure", ""]


@pytest.mark.fault("F58")
def test_all_who_share_a_client_take_up_rotated_keys_of_a_role(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected by STS at the same time, they read the connection once, and none is left with the error."""
    fields = with_a_role(mps, monkeypatch, home)
    right, reads = _config(mps, fields), []
    old = _config(mps, fields | {"password": "old-key"})

    async def reload() -> ClientConfig:
        reads.append(1)
        await asyncio.sleep(0.05)
        return right

    async def ten() -> None:
        async with AsyncMpsClient(dataclasses.replace(old, reload=reload), limits=Limits(attempts=1)) as client:
            await asyncio.gather(*(client.call(LIST) for _ in range(10)))

    asyncio.run(ten())
    assert len(reads) == 1
    assert _calls(mps, "DescribeTasks") == [""] * 10


@pytest.mark.parametrize(
    ("life", "left", "due"),
    [
        (7200, 7199, False),
        (7200, 721, False),
        (7200, 719, True),
        (1800, 301, False),
        (1800, 299, True),
        (300, 151, False),
        (300, 149, True),
        (43_200, 4_321, False),
        (43_200, 4_319, True),
        (7200, -1, True),
    ],
)
def test_when_keys_are_due(life: float, left: float, due: bool) -> None:
    """Five minutes or a tenth of their life before the end; keys of a short life serve for half of it."""
    keys = ExpiringCredentials(
        Credentials("AKID", "key", "token"), "a test", expires_at=1000.0 + life, obtained_at=1000.0
    )
    now = 1000.0 + life - left
    assert keys.is_due(now) is due
    assert keys.is_valid(now) is (left > 0)


def test_keys_without_an_end_are_never_due() -> None:
    """What somebody wrote down holds until it is rejected."""
    keys = ExpiringCredentials(Credentials("AKID", "key"), "a test")
    assert (keys.is_due(1e12), keys.is_valid(1e12)) == (False, True)


def test_a_forked_process_fetches_its_own_keys(mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow forks; a thread that was fetching, and a lock that it held, do not exist in the child."""
    config = _config(mps, with_a_role(mps, monkeypatch, home))
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with cache._caches_lock:
            held.set()
            go_on.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with MpsClient(config, limits=Limits(attempts=1)) as client:
                client.call(LIST)
            status = 0
        finally:
            os._exit(status)
    go_on.set()
    holder.join(10)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_one_account_has_one_key_without_a_secret(mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shares something for an account finds it under one name, whatever becomes of a token, and may log it."""
    fields = {"login": "AKIDcanary", "password": "CANARY-key", "token": "CANARY-token"}
    one, renewed = _config(mps, fields), _config(mps, fields | {"token": "CANARY-other"})
    other = _config(mps, fields | {"login": "AKIDother"})
    elsewhere = dataclasses.replace(one, endpoint="https://mps.tencentcloudapi.com")
    assert one.account_key == renewed.account_key
    assert one != renewed
    assert len({one.account_key, other.account_key, elsewhere.account_key}) == 3
    assert "canary" not in one.account_key.lower()
    assert dataclasses.replace(one, timeout=3).account_key == one.account_key
    assert hash(one) == hash(dataclasses.replace(one))
    for prepare, _ in MACHINES.values():
        for path in home.glob(".t*"):
            path.rename(home / f"old-{time.monotonic_ns()}")
        assert len(_config(mps, prepare(mps, monkeypatch, home)).account_key) == 16


@pytest.mark.fault("F55")
def test_no_secret_leaves_a_source(
    mps: LocalMps,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    machine: tuple[Machine, int],
) -> None:
    """Keys, temporary keys and the token of the pod are in no log at DEBUG, no text form and no exception."""
    caplog.set_level(logging.DEBUG)
    prepare, _ = machine
    config = _config(mps, prepare(mps, monkeypatch, home))
    caller = connect(config)
    caller.call(LIST)
    seen = [caplog.text, repr(config), str(config), repr(caller.client), repr(vars(caller.client)), config.account_key]
    seen += [repr(vars(held)) for held in cache._caches.values()]
    temporary = [pair for pair in mps.backend.accounts.items() if pair[1].token]
    _revoke(mps)
    mps.backend.settings.roles = {}
    mps.backend.accounts[mps.secret_id] = Account("rotated")
    cache.forget_all()
    for action in (LIST, JOB):
        with contextlib.nullcontext() if prepare is on_an_instance else pytest.raises(MpsError) as caught:
            connect(config).call(action)
        if caught is not None:
            error = caught.value
            seen += [str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]
            seen.append(str(pickle.dumps(error)))
    secrets = [
        mps.secret_key,
        POD_TOKEN,
        *(text for _, account in temporary for text in (account.secret_key, account.token)),
    ]
    secrets += [secret_id for secret_id, _ in temporary]
    for secret in secrets:
        assert secret is not None
        assert all(secret not in text for text in seen)


@pytest.mark.fault("F55")
def test_a_pods_token_is_read_each_time_and_never_quoted(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """Kubernetes replaces the file; an answer of STS that quotes the token loses it on the way."""
    config = _config(mps, in_a_pod(mps, monkeypatch, home))
    (home / "token").write_text("CANARY-stale-token")
    monkeypatch.setattr(cache, "FETCH_BACKOFF", 0.0)
    with pytest.raises(MpsCredentialsError, match=r"InvalidParameter\.WebIdentityTokenError: The token \*\*\* is not"):
        connect(config).call(LIST)
    (home / "token").write_text(f"{POD_TOKEN}\n")
    connect(config).call(LIST)


def test_variables_may_carry_a_token(
    mps: LocalMps, home: Path, monkeypatch: pytest.MonkeyPatch, connect: Connect
) -> None:
    """Temporary keys of the environment go out with their token, under the name of either tool of Tencent's."""
    mps.backend.accounts[mps.secret_id] = Account(mps.secret_key, token="its-token")
    fields = with_variables(mps, monkeypatch, home)
    for name in ("TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"):
        monkeypatch.setenv(name, "its-token")
        cache.forget_all()
        connect(_config(mps, fields)).call(LIST)
        monkeypatch.delenv(name)
