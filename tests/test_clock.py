"""Time zones, and clocks that are set during a wait: only MPS's time and monotonic pauses count."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_mps.client.actions import DescribeTasks
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import ALL_MODES, DONE, RUNNING, Mode, airflow_mps, new_context, revive, run_sensor
from tests.support.submitting import WAYS, asked, jobs, submit

__all__ = ["airflow_mps"]

_POLL = 0.2
_TIMEOUT = 60.0
_BOUND = 20.0
pytestmark = pytest.mark.fault("F45", "F93")


class _Clock:
    """The wall clock of this machine, which can be set; MPS's is right."""

    def __init__(self, mps: LocalMps) -> None:
        self._mps, self._real, self.offset = mps, time.time, 0.0

    def set(self, offset: float) -> None:
        self.offset, self._mps.backend.clock_offset = offset, -offset

    def __call__(self) -> float:
        return self._real() + self.offset


@pytest.fixture(params=["Asia/Shanghai", "America/New_York"])
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """A machine in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def set_while_waiting(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[_Clock]:
    """The clock is set in the pause after the second poll."""
    clock, answer, timers = _Clock(airflow_mps), airflow_mps.backend.answer, []

    def then_set(action: str, *arguments: Any, **named: Any) -> Any:
        answered = answer(action, *arguments, **named)
        if asked(airflow_mps, "DescribeTaskDetail") == 2 and not timers:
            for after, offset in ((_POLL / 4, request.param), (_BOUND, 0.0)):  # right again: no test hangs for an hour
                timers.append(threading.Timer(after, clock.set, (offset,)))
                timers[-1].start()
        return answered

    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(airflow_mps.backend, "answer", then_set)
    yield clock
    assert clock.offset == request.param, "the wait did not go on before the clock was right again"
    for timer in timers:
        timer.cancel()


_SET = pytest.mark.parametrize("set_while_waiting", [3600.0, 180.0, -180.0, -3600.0], indirect=True)


@_SET
@ALL_MODES
def test_f93_a_clock_that_is_set_costs_a_sensor_nothing(
    airflow_mps: LocalMps, set_while_waiting: _Clock, mode: Mode
) -> None:
    """F93: three minutes or an hour within a pause: polls keep their interval, and no wait of a minute ends early."""
    task_id = airflow_mps.backend.script([RUNNING] * 4 + [DONE])
    assert run_sensor(mode, mps_task_id=task_id, poke_interval=_POLL, timeout=_TIMEOUT) == task_id
    assert asked(airflow_mps, "DescribeTaskDetail") <= 6  # a worker that resumes polls once more


@_SET
@WAYS
def test_f93_a_clock_that_is_set_costs_an_operator_nothing(
    airflow_mps: LocalMps, set_while_waiting: _Clock, deferrable: bool
) -> None:
    """F93: the same for a job of our own: seen to its end, not sent again and not aborted."""
    airflow_mps.backend.settings.state_seconds = None
    airflow_mps.backend.settings.state_polls = 3
    task_id = submit(MpsProcessMediaOperator, poll_interval=_POLL, timeout=_TIMEOUT, deferrable=deferrable)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []


@ALL_MODES
def test_no_time_zone_matters_to_a_wait(airflow_mps: LocalMps, zone: str, mode: Mode) -> None:
    """Signatures, windows and deadlines are in UTC wherever the machine is."""
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, DONE])
    assert run_sensor(mode, mps_task_id=task_id) == task_id
    assert [call.code for call in airflow_mps.backend.calls] == [""] * len(airflow_mps.backend.calls)


def test_no_time_zone_matters_to_a_deadline(airflow_mps: LocalMps, zone: str) -> None:
    """The start of the wait that crosses to the triggerer is a number of seconds since 1970."""
    task_id = airflow_mps.backend.script([RUNNING])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, timeout=100)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(new_context())
    assert revive(caught.value.trigger).state["started"] == pytest.approx(time.time(), abs=5)


def test_no_time_zone_matters_to_a_list(airflow_mps: LocalMps, zone: str) -> None:
    """Times that MPS tells are read as what they say they are."""
    before = time.time()
    airflow_mps.backend.run_for(0.0)
    (task,) = MpsHook().call(DescribeTasks(status="FINISH", limit=10)).tasks
    assert task.create_time is not None
    assert before - 1 <= task.create_time.timestamp() <= time.time() + 1
