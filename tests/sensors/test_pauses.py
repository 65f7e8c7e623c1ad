"""How long the sensor pauses between polls, and what it says of a wait that is longer than MPS answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSensorTimeout
from structlog.testing import capture_logs

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import ALL_MODES, DONE, RUNNING, FastClock, Mode, new_context, run_sensor
from tests.support.submitting import asked, submit

_INTERVAL = 30.0
_DAY = 86_400.0
_AIRFLOWS_TIMEOUT = conf.getfloat("sensors", "default_timeout")  # of a sensor that sets none


def _pause(task_id: str, number: int, after: float = 0.0, **arguments: Any) -> float:
    """Seconds to the next poll of the ``number``-th of many sensors, ``after`` seconds after its first."""
    sensor = MpsTaskSensor(
        task_id=f"wait_{number}",
        mps_task_id=task_id,
        mode="reschedule",
        exponential_backoff=True,
        **{"poke_interval": _INTERVAL, "timeout": 5 * _DAY, **arguments},
    )
    context = new_context(task_id=sensor.task_id)
    if after:
        context["ti"].first_reschedule = datetime.now(UTC) - timedelta(seconds=after)
    with pytest.raises(AirflowRescheduleException) as caught:
        sensor.execute(context)
    return (caught.value.reschedule_date - datetime.now(UTC)).total_seconds() + 0.5


@pytest.mark.fault("F34")
@pytest.mark.parametrize("after", [0.0, 100.0, 3000.0])
def test_f34_many_sensors_spread_their_polls(airflow_mps: LocalMps, after: float) -> None:
    """F34: with exponential_backoff the pauses differ from sensor to sensor, and none is below poke_interval."""
    airflow_mps.backend.settings.rates["DescribeTaskDetail"] = 0
    task_id = airflow_mps.backend.script([RUNNING])
    pauses = [_pause(task_id, number, after) for number in range(200)]
    assert min(pauses) >= _INTERVAL
    seconds = [sum(int(pause) == second for pause in pauses) for second in {int(pause) for pause in pauses}]
    assert max(seconds) <= 40  # of 200; a quota of 100 a second has room for them
    assert max(pauses) - min(pauses) > _INTERVAL / 2


@pytest.mark.fault("F34")
def test_f34_pauses_grow_to_the_longest_that_is_asked_for(airflow_mps: LocalMps) -> None:
    """F34: they grow with the time waited, keep to max_wait, and none goes beyond the timeout."""
    task_id = airflow_mps.backend.script([RUNNING])
    first, later, latest = (_pause(task_id, 0, after) for after in (0.0, 200.0, 5000.0))
    assert first < later < latest
    assert _pause(task_id, 0, 5000.0, max_wait=timedelta(seconds=90)) == pytest.approx(90, abs=2)
    assert _pause(task_id, 0, 5000.0, timeout=5050.0) == pytest.approx(50, abs=2)


@pytest.mark.fault("F25")
@ALL_MODES
def test_f25_a_job_of_twelve_hours_is_waited_for(airflow_mps: LocalMps, fast_clock: FastClock, mode: Mode) -> None:
    """F25: hours pass without an end of the wait, by the timeout that nobody has set, at the interval asked for."""
    started = fast_clock.time()
    task_id = airflow_mps.backend.run_for(_DAY / 2)
    assert run_sensor(mode, mps_task_id=task_id, poke_interval=600, timeout=_AIRFLOWS_TIMEOUT) == task_id
    assert _DAY / 2 <= fast_clock.time() - started < _DAY / 2 + 3600
    fewest, most = (90, 130) if mode is Mode.DEFERRABLE else (72, 80)  # a trigger polls a young job more often
    assert fewest <= asked(airflow_mps, "DescribeTaskDetail") <= most


@pytest.mark.fault("F25", "F29")
@ALL_MODES
def test_f25_no_wait_is_endless(airflow_mps: LocalMps, fast_clock: FastClock, mode: Mode) -> None:
    """F25: a sensor ends at its timeout, however long that is, and says what goes on."""
    task_id, started = airflow_mps.backend.script([RUNNING]), fast_clock.time()
    with pytest.raises(AirflowSensorTimeout, match=f"{task_id} has not ended within 518400 seconds"):
        run_sensor(mode, mps_task_id=task_id, poke_interval=3600, timeout=6 * _DAY)
    assert 6 * _DAY <= fast_clock.time() - started < 6 * _DAY + 7200


@pytest.mark.fault("F50")
@ALL_MODES
@pytest.mark.parametrize(("timeout", "warned"), [(4 * _DAY, 1), (3 * _DAY, 0), (_AIRFLOWS_TIMEOUT, 0)])
def test_f50_a_wait_longer_than_mps_answers_is_told(
    airflow_mps: LocalMps, mode: Mode, timeout: float, warned: int
) -> None:
    """F50: beyond three days a warning, once for a wait; none for Airflow's default, of which nobody has thought."""
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, DONE])
    with capture_logs() as log:
        assert run_sensor(mode, mps_task_id=task_id, timeout=timeout) == task_id
    told = [line["event"] for line in log if "`timeout` is" in line["event"]]
    assert len(told) == warned
    assert all(task_id in text and "4 days" in text for text in told)


@pytest.mark.fault("F50")
def test_f50_an_operator_tells_it_as_well(airflow_mps: LocalMps) -> None:
    """F50: a submit operator whose timeout is beyond three days says so, and works."""
    with capture_logs() as log:
        submit(MpsProcessMediaOperator, timeout=10 * _DAY)
    assert sum("`timeout` is 10 days" in line["event"] for line in log) == 1
