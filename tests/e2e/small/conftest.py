"""An Airflow of which parts are stopped, and whose triggerer takes few triggers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from tests.e2e.conftest import ON_CELERY, new_airflow, services
from tests.e2e.scenario import Loops, Run, StatsD


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsD]:
    """What the small Airflow says of itself."""
    with StatsD() as server:
        yield server


@pytest.fixture(scope="session")
def small(mps: LocalMpsProcess, statsd: StatsD, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """An Airflow whose triggerer takes four triggers at once and tells a StatsD server about it; it may be stopped."""
    config = {
        "AIRFLOW__TRIGGERER__CAPACITY": "4",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }
    tests = Path(__file__).parent
    folders = (tests.parent / "dags", tests / "dags")
    with (
        services(celery=ON_CELERY) as servers,  # not those of the other Airflow: both may run in one process
        new_airflow(tmp_path_factory.mktemp("small"), *folders, servers=servers, config=config) as airflow,
    ):
        airflow.add_connection("mps_default", **connection_to(mps))
        airflow.wait_for_dags("from_trigger", "queue")
        yield airflow


@pytest.fixture(scope="session", autouse=True)
def loops(small: LocalAirflow) -> Iterator[Loops]:
    """Sees how the loop of the triggerer fares, from the first test."""
    with Loops(small) as loops:
        yield loops


@pytest.fixture(scope="session")
def queued(small: LocalAirflow, mps: LocalMpsProcess) -> dict[str, Run]:
    """More waits than places, and a sensor that begins in the triggerer: started, and looked at later."""
    # The first eight hold the places until the last one's deadline is over.
    ids = mps.control("tasks", seconds=[45] * 9 + [10_000])["TaskIds"]
    small.trigger("queue", "r", {"ids": ids})
    small.trigger("from_trigger", "r")
    return {dag_id: Run(small, mps, dag_id, "r") for dag_id in ("queue", "from_trigger")}
