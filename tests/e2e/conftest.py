"""One real Airflow and one local MPS for the whole suite."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.local_postgres import database

CANARY = "canary-callback-5cfa3e"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def mps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """Jobs that take a few seconds in each state."""
    with LocalMpsProcess(tmp_path_factory.mktemp("mps") / "mps.log", "--state-seconds", "5") as mps:
        yield mps


@pytest.fixture(scope="session")
def postgres() -> Iterator[str | None]:
    """The URL of a PostgreSQL database; None where there is no PostgreSQL."""
    with database() as url:
        yield url


@pytest.fixture(scope="session")
def airflow(
    mps: LocalMpsProcess, postgres: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAirflow]:
    """Four processes, the example DAGs, and connections in the database."""
    home = tmp_path_factory.mktemp("airflow")
    lineage = {"type": "file", "log_file_path": str(home / "lineage.jsonl"), "append": True}
    config = {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__TRIGGERER__DEFAULT_CAPACITY": "1000",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage),
    }
    dags = tmp_path_factory.mktemp("dags")
    for path in [*(ROOT / "example_dags").glob("*.py"), *(ROOT / "tests/e2e/dags").glob("*.py")]:
        shutil.copy(path, dags)
    with LocalAirflow(home, dags, database=postgres, config=config) as airflow:
        airflow.add_connection("mps_default", **connection_to(mps))
        airflow.api("POST", "variables", json={"key": "callback_credential", "value": CANARY})
        airflow.wait_for_dags("example_mps_subtitles", "example_mps_wait_for_task", "e2e_deferred", "e2e_dies")
        yield airflow
