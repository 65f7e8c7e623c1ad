"""The Airflow of a team: Celery workers, schedulers and triggerers, two of each, on PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from tests.e2e.conftest import new_airflow, services


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """Jobs that wait until the settings are changed: ``control("settings", state_seconds=1)``."""
    with LocalMpsProcess(tmp_path_factory.mktemp("waiting") / "mps.log", "--state-seconds", "1e9") as mps:
        yield mps


@pytest.fixture(scope="session")
def team(waiting: LocalMpsProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """Two of each kind."""
    dags = Path(__file__).parent.parent / "dags"
    with (
        services(celery=True) as servers,
        new_airflow(tmp_path_factory.mktemp("team"), dags, servers=servers) as airflow,
    ):
        airflow.add_connection("mps_default", **connection_to(waiting))
        yield airflow
