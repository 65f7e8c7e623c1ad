"""
One real Airflow and its local MPSs for the whole suite. What takes long is started first and looked at last.

``small`` and ``celery`` have Airflows of their own, and a process of their own in ``make test``. The executor is
LocalExecutor; with ``MPS_TEST_EXECUTOR=celery``, as in ``make e2e-celery``, it is Celery, with two of each kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.local_postgres import SERVER, database
from dev.local_redis import redis
from tests.e2e.scenario import Loops, Metrics, Run

CANARY = "canary-callback-5cfa3e"
SIGNATURE = "canary-signature-77ab01"
TOKEN = "canary-token-19e4d2"
ROOT = Path(__file__).resolve().parent.parent.parent
MANY = int(os.environ.get("MPS_TEST_MANY", "200"))  # fewer, to look at something else
DEBIAN = Path("/etc/debian_version")
ON_CELERY = os.environ.get("MPS_TEST_EXECUTOR") == "celery"
# So that a frozen triggerer and a worker whose Airflow is away are noticed in seconds.
_SHORT = {
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "2",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "20",  # a busy machine is no outage
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    # Airflow fails a task now and then over a stale message of its executor (issues 66374, 72716).
    "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "1",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}


@pytest.fixture(scope="session", autouse=True)
def _ended_in_order() -> None:
    """Who ends the tests with SIGTERM, as a CI does after its time, gets all processes stopped as with Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def services(*, celery: bool) -> Iterator[tuple[str | None, str | None]]:
    """The URLs of a database and of the broker of Celery; the test is skipped where Celery lacks a server."""
    with contextlib.ExitStack() as servers:
        url = servers.enter_context(database())
        broker = servers.enter_context(redis()) if celery else None
        if celery and (url is None or broker is None):
            _cannot_run("Celery needs PostgreSQL and redis-server, and one of them is not installed.")
        yield url, broker


def _cannot_run(why: str) -> NoReturn:
    """A skip, except where .ci/run installs what is missing: there a skip would be a green run that says too little."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0 and DEBIAN.exists():
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[str | None, str | None]]:
    """Database and broker of the Airflow; None for SQLite and for LocalExecutor."""
    with services(celery=ON_CELERY) as urls:
        if urls[0] is None:
            warnings.warn(
                f"Neither {SERVER} nor PostgreSQL's programs: Airflow runs on SQLite, and the test of {MANY} tasks "
                "that are deferred at once is skipped.",
                stacklevel=1,
            )
        yield urls


@pytest.fixture(scope="session")
def postgres(servers: tuple[str | None, str | None]) -> str | None:
    """The URL of a PostgreSQL database; None where there is no PostgreSQL."""
    return servers[0]


@pytest.fixture(scope="session")
def mps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """Jobs that take a few seconds in each state."""
    with LocalMpsProcess(tmp_path_factory.mktemp("mps") / "mps.log", "--state-seconds", "5") as mps:
        yield mps


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """Jobs that wait until the settings are changed: ``control("settings", state_seconds=1)``. It demands a token."""
    log = tmp_path_factory.mktemp("held") / "mps.log"
    with LocalMpsProcess(log, "--state-seconds", "1e9", "--token", TOKEN) as mps:
        yield mps


@pytest.fixture(scope="session")
def clearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """As ``mps``, for jobs that two may try to abort at once, so that what is asked for them is counted apart."""
    with LocalMpsProcess(tmp_path_factory.mktemp("clearing") / "mps.log", "--state-seconds", "5") as mps:
        yield mps


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMpsProcess]:
    """As ``held``, for few jobs, which are let go before the many."""
    with LocalMpsProcess(tmp_path_factory.mktemp("kept") / "mps.log", "--state-seconds", "1e9") as mps:
        yield mps


@contextlib.contextmanager
def new_airflow(
    home: Path, *folders: Path, servers: tuple[str | None, str | None], config: Mapping[str, str] | None = None
) -> Iterator[LocalAirflow]:
    """An Airflow with the DAGs of these folders, and what those DAGs ask for; Celery workers if there is a broker."""
    database, broker = servers
    dags = home.with_name(f"{home.name}-dags")
    dags.mkdir()
    for path in (path for folder in folders for path in folder.glob("*.py")):
        shutil.copy(path, dags)
    with LocalAirflow(home, dags, database=database, broker=broker, config={**_SHORT, **(config or {})}) as airflow:
        for key, value in (("callback_credential", CANARY), ("signature", SIGNATURE)):
            airflow.api("POST", "variables", json={"key": key, "value": value})
        airflow.wait_for_dags(*(path.stem for path in dags.glob("example_*.py")), "e2e_deferred", "e2e_dies")
        yield airflow


def with_token(mps: Any) -> dict[str, Any]:
    """Fields of a connection to a local MPS that demands the token."""
    return {**connection_to(mps), "extra": json.dumps({"region": "ap-guangzhou", "token": TOKEN})}


@pytest.fixture(scope="session")
def airflow(
    mps: LocalMpsProcess,
    held: LocalMpsProcess,
    clearing: LocalMpsProcess,
    kept: LocalMpsProcess,
    servers: tuple[str | None, str | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalAirflow]:
    """The Airflow of most tests, with the example DAGs; everything is logged."""
    home = tmp_path_factory.mktemp("airflow")
    lineage = {"type": "file", "log_file_path": str(home / "lineage.jsonl"), "append": True}
    config = {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW__CORE__PARALLELISM": "12",  # several wait on their workers for long
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "6",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",  # it costs a process for each event
    }
    folders = (ROOT / "example_dags", ROOT / "tests/e2e/dags")
    with new_airflow(home, *folders, servers=servers, config=config) as airflow:
        airflow.add_connection("mps_default", **connection_to(mps))
        airflow.add_connection("mps_held", **with_token(held))
        airflow.add_connection("mps_clearing", **connection_to(clearing))
        airflow.add_connection("mps_kept", **connection_to(kept))
        yield airflow


@pytest.fixture(scope="session")
def observer(airflow: LocalAirflow) -> Iterator[Metrics]:
    """Sees which states the tasks go through."""
    with Metrics(airflow) as observer:
        yield observer


@pytest.fixture(scope="session")
def loops(airflow: LocalAirflow) -> Iterator[Loops]:
    """Sees how the loops of the triggerers fare."""
    with Loops(airflow) as loops:
        yield loops


@pytest.fixture(scope="session")
def many(airflow: LocalAirflow, held: LocalMpsProcess, postgres: str | None, loops: Loops, observer: Metrics) -> Run:
    """Hundreds of deferred tasks, started beside everything else and watched; their jobs wait until they are let go."""
    count = MANY if postgres else 20
    return Run(airflow, held, "e2e_many", "many").start(numbers=list(range(count)))
