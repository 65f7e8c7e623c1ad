"""Fixtures for tests that talk to the local MPS. Nothing here imports Airflow."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from airflow_provider_mps.client import clock
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials import cache
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.emulator.models import Settings
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.faults import CATALOGUE
from tests.support.recorder import Recorder
from tests.support.transports import Caller, OverAiohttp, OverRequests

# A property that is slow on a busy machine is not a failed one.
settings.register_profile("mps", deadline=None)
settings.load_profile("mps")

_E2E_TIMEOUT = 1200  # seconds
Connect = Callable[..., Caller]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    The rows of the fault catalogue that a test proves go into the JUnit file, for the table in the docs.

    The time of a test with real Airflows includes their start and what other tests have begun.
    """
    for item in items:
        rows = {row for mark in item.iter_markers("fault") for row in mark.args}
        if unknown := rows - set(CATALOGUE):
            raise pytest.UsageError(f"{item.nodeid}: {unknown} is not in the fault catalogue")
        item.user_properties.extend(("fault", row) for row in sorted(rows))
        if item.get_closest_marker("e2e") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_E2E_TIMEOUT))


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may sit behind a proxy; the tests talk to this machine only."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are its keys used, nor those that another test has fetched."""
    for name in list(os.environ):
        if name.startswith(("TENCENTCLOUD_", "TKE_")):
            monkeypatch.delenv(name)
    cache.forget_all()


@pytest.fixture(autouse=True)
def _no_clock_of_another_test() -> None:
    """A port may serve another local MPS, whose clock is off by another time."""
    clock.forget_all()


@pytest.fixture
def mps() -> Iterator[LocalMps]:
    """A local MPS with short subtitles; a job leaves a state with each look."""
    with LocalMps(Settings(segment_count=3)) as server:
        yield server


@pytest.fixture
def config(mps: LocalMps) -> ClientConfig:
    """What signs in at the local MPS."""
    return ClientConfig(Credentials(mps.secret_id, mps.secret_key), endpoint=mps.host, timeout=10)


@pytest.fixture(params=[OverRequests, OverAiohttp], ids=["requests", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> type[OverRequests] | type[OverAiohttp]:
    """Both transports in turn."""
    chosen: type[OverRequests] | type[OverAiohttp] = request.param
    return chosen


@pytest.fixture
def connect(transport: type[OverRequests] | type[OverAiohttp]) -> Iterator[Connect]:
    """Open clients over one transport; the end of the test closes them."""
    opened: list[Caller] = []

    def connect(config: ClientConfig, attempts: int = 1) -> Caller:
        opened.append(transport(config, attempts=attempts))
        return opened[-1]

    yield connect
    for caller in opened:
        caller.close()


@pytest.fixture
def client(connect: Connect, config: ClientConfig) -> Caller:
    """A client of the local MPS that asks again where it may."""
    return connect(config, attempts=4)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A server that keeps what it was sent."""
    with Recorder() as server:
        yield server


@pytest.fixture
def refusing() -> Iterator[str]:
    """Host and port of this machine where nobody listens, and nobody else can begin to."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
