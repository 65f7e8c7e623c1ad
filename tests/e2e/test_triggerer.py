"""A triggerer of four places: sensors that begin in it, more waits than it takes at once, and the metrics it sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.local_postgres import database

pytestmark = pytest.mark.e2e


class StatsD:
    """A StatsD server that keeps what it is sent."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.lines: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="statsd")

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                self.lines += self._socket.recv(65_535).decode().splitlines()
            except TimeoutError:
                continue

    def __enter__(self) -> StatsD:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def statsd() -> Iterator[StatsD]:
    with StatsD() as server:
        yield server


@pytest.fixture(scope="module")
def small(mps: LocalMpsProcess, statsd: StatsD, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """An Airflow whose triggerer takes four triggers at once and tells a StatsD server about it."""
    config = {
        "AIRFLOW__TRIGGERER__CAPACITY": "4",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(statsd.port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }
    dags = Path(__file__).parent / "triggerer_dags"
    with (
        database() as url,
        LocalAirflow(tmp_path_factory.mktemp("small"), dags, database=url, config=config) as airflow,
    ):
        airflow.add_connection("mps_default", **connection_to(mps))
        airflow.wait_for_dags("from_trigger", "queue")
        yield airflow


def _end(airflow: LocalAirflow, dag_id: str, run_id: str) -> dict[str, str | None]:
    *_, last = airflow.wait_for_run(dag_id, run_id, timeout=240)
    return last


@pytest.mark.fault("F69")
def test_more_waits_than_places(small: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Ten waits in four places: all end in success; the one whose deadline comes while it queues ends by it."""
    # The first eight hold the places until the last one's deadline is over.
    ids = mps.control("tasks", seconds=[45] * 9 + [10_000])["TaskIds"]
    small.trigger("queue", "r", {"ids": ids})
    states = _end(small, "queue", "r")
    assert [states[f"wait_{number}"] for number in range(9)] == ["success"] * 9
    assert states["wait_9"] == "failed"
    assert "WAITING" in small.log("queue", "r", "wait_9")


def test_a_sensor_that_begins_in_the_triggerer(small: LocalAirflow, mps: LocalMpsProcess) -> None:
    """A worker starts once, at the end: its log holds the end only, the triggerer's the wait."""
    jobs = mps.state()["jobs"]
    small.trigger("from_trigger", "r")
    assert set(_end(small, "from_trigger", "r").values()) == {"success"}
    assert mps.state()["jobs"] == jobs + 1
    task_id = small.xcom("from_trigger", "r", "done")
    assert task_id == small.xcom("from_trigger", "r", "submit")
    log = small.log("from_trigger", "r", "done")
    assert log.index("Trigger fired event") < log.index("Pre Execute")
    assert log.count("Pre Execute") == 1


def test_metrics_of_the_watch(small: LocalAirflow, statsd: StatsD) -> None:
    """Looks, waits, lateness and detection delay arrive at Airflow's metrics server, by action."""
    sent = {line.partition(":")[0] for line in statsd.lines}
    for name in ("looks", "waits", "oldest_due_look", "detection_delay"):
        tags = [each.split(",") for each in sent if each.startswith(f"airflow.mps.{name},")]
        assert any("action=DescribeTaskDetail" in each for each in tags), name
