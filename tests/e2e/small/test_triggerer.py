"""A triggerer of four places: sensors that begin in it, more waits than it takes at once, and the metrics it sends."""

from __future__ import annotations

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.scenario import StatsD

pytestmark = pytest.mark.e2e


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
