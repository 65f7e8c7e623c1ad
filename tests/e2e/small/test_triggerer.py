"""A triggerer of four places: sensors that begin in it, more waits than it takes at once, and the metrics it sends."""

from __future__ import annotations

import pytest

from tests.e2e.scenario import Loops, Run, StatsD

pytestmark = pytest.mark.e2e


@pytest.mark.fault("F69")
def test_more_waits_than_places(queued: dict[str, Run]) -> None:
    """Ten waits in four places: all end in success; the one whose deadline comes while it queues ends by it."""
    states = queued["queue"].end()
    assert [states[f"wait_{number}"] for number in range(9)] == ["success"] * 9
    assert states["wait_9"] == "failed"
    assert "WAITING" in queued["queue"].log("wait_9", try_number=1)


def test_a_sensor_that_begins_in_the_triggerer(queued: dict[str, Run]) -> None:
    """A worker starts once, at the end: its log holds the end only, the triggerer's the wait."""
    run = queued["from_trigger"]
    assert set(run.end().values()) == {"success"}
    assert len(run.jobs) == 1
    assert run.xcom("done") == run.xcom("submit")
    log = run.log("done", try_number=1)
    assert log.index("Trigger fired event") < log.index("Pre Execute")
    assert log.count("Pre Execute") == 1


def test_metrics_of_the_poller(queued: dict[str, Run], statsd: StatsD) -> None:
    """Polls, waits, lag and detection delay arrive at Airflow's metrics server, by action."""
    sent = {line.partition(":")[0] for line in statsd.lines}
    for name in ("polls", "waits", "poll_lag", "detection_delay"):
        tags = [each.split(",") for each in sent if each.startswith(f"airflow.mps.{name},")]
        assert any("action=DescribeTaskDetail" in each for each in tags), name


@pytest.mark.fault("F61")
@pytest.mark.skipif(not Loops.known, reason="the system does not tell how long a process waits for a processor")
def test_the_loop_of_the_triggerer_was_free(queued: dict[str, Run], loops: Loops) -> None:
    """In all that has run here, outages included, nothing has held it for a second: no request can."""
    queued["queue"].end()
    assert loops.held(1.0) == []  # what Airflow itself does in it has taken two tenths
