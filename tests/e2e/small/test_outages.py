"""Airflow's API and MPS are away for a minute under tasks that wait: nothing is aborted, lost or sent again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from airflow_provider_mps.emulator.models import Account, Settings
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY, LocalMps
from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.conftest import TOKEN, with_token
from tests.e2e.scenario import Run, until

pytestmark = pytest.mark.e2e
_MINUTE = 60


class _Moving:
    """A local MPS in this process, which can go away and come back with its jobs and its port."""

    def __init__(self) -> None:
        self._server = LocalMps(Settings(state_seconds=1e9), {SECRET_ID: Account(SECRET_KEY, TOKEN)})
        self._server.__enter__()
        self.port = self._server.port
        self.backend = self._server.backend

    def leave(self) -> None:
        self._server.__exit__(None, None, None)

    def come_back(self) -> None:
        self._server = LocalMps(port=self.port)
        self._server.backend = self.backend
        self._server.__enter__()


@pytest.fixture(scope="module")
def moving() -> Iterator[_Moving]:
    """It is away at the end."""
    mps = _Moving()
    yield mps
    mps.leave()


def _in_both_ways(airflow: LocalAirflow, mps: LocalMpsProcess, name: str, conn: str) -> list[Run]:
    """A task that waits on a worker and one that is deferred, whose jobs wait."""
    runs = [Run(airflow, mps, dag_id, f"{name}_{dag_id}").start(conn=conn) for dag_id in ("e2e_sync", "e2e_deferred")]
    runs[0].wait_for("running")
    runs[1].in_a_triggerer()
    return runs


@pytest.fixture(scope="module")
def waits(small: LocalAirflow, mps: LocalMpsProcess, moving: _Moving) -> list[Run]:
    """Both ways, at the MPS that moves."""
    small.add_connection("mps_moving", **with_token(moving))
    started = _in_both_ways(small, mps, "away", "mps_moving")
    until(lambda: len(moving.backend.tasks) == 2, what="both jobs")
    return started


@pytest.mark.fault("F20")
def test_the_api_server_away_for_a_minute(small: LocalAirflow, moving: _Moving, waits: list[Run]) -> None:
    """F20: workers that cannot reach Airflow are ended by it, and a triggerer does without: no Abort, one job each."""
    small.end("api-server")
    time.sleep(_MINUTE)
    small.start("api-server")
    small.wait_until_healthy(90)
    assert moving.backend.aborts == []
    assert len(moving.backend.tasks) == 2


@pytest.mark.fault("F20", "F46")
def test_mps_away_for_a_minute(moving: _Moving, waits: list[Run], queued: dict[str, Run]) -> None:
    """F20, F46: the retry takes the job up; then MPS is away for a minute: the waits go on, and end in success."""
    backend = moving.backend
    sync, deferred = waits
    until(lambda: sync.tries() >= 2, what="the retry of the task that lost its API server")
    sync.wait_for("running")
    assert len(backend.tasks) == 2

    moving.leave()
    time.sleep(_MINUTE)
    moving.come_back()
    backend.settings.state_seconds = 1.0
    for run in (sync, deferred):
        assert run.end() == {"job": "success"}
    assert len(backend.tasks) == 2
    assert backend.aborts == []
    assert "reattached" in sync.log()
