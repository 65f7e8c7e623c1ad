"""Worker and triggerer are two machines: the keys, the account or the clock of one of them may be wrong."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from airflow.triggers.base import TriggerEvent

from airflow_provider_mps.client import clock
from airflow_provider_mps.client.credentials import cache
from airflow_provider_mps.client.retry import is_final
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsStateUnknown
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import ALL_MODES, DONE, RUNNING, Mode, new_context, refusal, run_sensor
from tests.support.submitting import WAYS, jobs, submit


class Triggerer:
    """The machine that triggers run on: ``enter`` and ``leave`` make this process that machine and undo it."""

    def __init__(self) -> None:
        self.enter: Callable[[], None] = lambda: None
        self.leave: Callable[[], None] = lambda: None
        self.events: list[dict[str, Any]] = []


@pytest.fixture
def triggerer(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> Triggerer:
    """Another machine for the triggers; counts their events, each of which starts a worker."""
    machine, genuine = Triggerer(), MpsTaskTrigger.run

    async def run(self: MpsTaskTrigger) -> AsyncIterator[TriggerEvent]:
        machine.enter()
        try:
            async for event in genuine(self):
                machine.events.append(event.payload)
                yield event
        finally:
            machine.leave()

    monkeypatch.setattr(MpsTaskTrigger, "run", run)
    return machine


@pytest.fixture
def keyless(airflow_mps: LocalMps, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> Triggerer:
    """A triggerer without the environment variables from which the workers take their keys."""
    connection = {"conn_type": "tencentcloud_mps", "host": airflow_mps.host}
    monkeypatch.setenv(
        "AIRFLOW_CONN_MPS_DEFAULT", json.dumps({**connection, "extra": {"credential_source": "environment"}})
    )
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", airflow_mps.secret_key)

    def leave() -> None:
        monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", airflow_mps.secret_id)
        cache.forget_all()

    def enter() -> None:
        monkeypatch.delenv("TENCENTCLOUD_SECRET_ID")
        cache.forget_all()

    leave()
    triggerer.enter, triggerer.leave = enter, leave
    return triggerer


class Clocks:
    """How far worker and triggerer are ahead of MPS, in seconds; each process has to learn MPS's time anew."""

    def __init__(self, mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
        self._mps, self._monkeypatch, self._genuine = mps, monkeypatch, time.time
        self.worker = self.triggerer = 0.0

    def set(self, ahead: float) -> None:
        genuine = self._genuine
        self._monkeypatch.setattr(time, "time", lambda: genuine() + ahead)
        self._mps.backend.clock_offset = -ahead  # it reads the same clock
        clock.forget_all()


@pytest.fixture
def clocks(airflow_mps: LocalMps, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Two machines, each with a clock of its own; begin with ``clocks.set(clocks.worker)``."""
    here = Clocks(airflow_mps, monkeypatch)
    triggerer.enter = lambda: here.set(here.triggerer)
    triggerer.leave = lambda: here.set(here.worker)
    return here


@pytest.mark.fault("F48", "F56")
def test_a_wait_that_only_the_triggerer_cannot_ask_for_ends(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """Not a worker for each poll, for days: after the third rejection in a row the task says what to set right."""
    task_id = airflow_mps.backend.script([RUNNING])
    with pytest.raises(MpsConfigError, match=r"rejects the triggerer.*accepts this worker.*3 times") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=task_id)
    assert task_id in str(caught.value)
    assert "MpsCredentialsError: No keys from" in str(caught.value)
    assert [event["status"] for event in keyless.events] == ["permanent_error"] * 3
    assert len(airflow_mps.backend.calls) == 4


@pytest.mark.fault("F48", "F56")
def test_a_job_of_an_operator_is_not_touched_by_it(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """The error leaves the job alone and is worth a retry, which takes the job up."""
    with pytest.raises(MpsConfigError, match="rejects the triggerer") as caught:
        submit(MpsProcessMediaOperator, "talk.stuck.mp4", deferrable=True)
    assert not isinstance(caught.value, AirflowFailException)
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F46", "F58")
def test_rejections_are_counted_in_a_row(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """Once the triggerer has had an answer the count begins anew, and the wait ends with the task."""
    enter, refused = keyless.enter, [True, True, False, True, False]
    keyless.enter = lambda: enter() if refused.pop(0) else None
    gone = refusal("ResourceNotFound")
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, RUNNING, RUNNING, gone, RUNNING, RUNNING, DONE])
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id) == task_id
    assert [event["status"] for event in keyless.events] == [
        "permanent_error",
        "permanent_error",
        "failure",
        "permanent_error",
        "resume",
    ]


@pytest.mark.fault("F50", "F56")
def test_a_triggerer_of_another_account_ends_the_wait(airflow_mps: LocalMps, triggerer: Triggerer) -> None:
    """It does not know the task that the worker sees: said after the third time, and worth a retry."""
    unknown = Fault("error", action="DescribeTaskDetail", code="ResourceNotFound", times=None)
    triggerer.enter = lambda: airflow_mps.backend.faults.add(unknown)
    triggerer.leave = airflow_mps.backend.faults.clear
    with pytest.raises(MpsStateUnknown, match=r"failed 3 times in a row.*MpsTaskNotFound") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=airflow_mps.backend.script([RUNNING]), not_found_grace=0.0)
    assert not is_final(caught.value)


@pytest.mark.fault("F49")
def test_a_task_that_neither_knows_yet_is_not_held_against_the_triggerer(
    airflow_mps: LocalMps, triggerer: Triggerer
) -> None:
    """It gives such a wait back only after the grace, which the worker judges alike."""
    task_id = airflow_mps.backend.script([refusal("ResourceNotFound")] * 12 + [RUNNING, DONE])
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id, timeout=300) == task_id
    assert [event["status"] for event in triggerer.events] == ["resume"]


_WRONG = pytest.mark.parametrize("ahead", [300.0, -300.0, 900.0, -900.0, 3600.0, -3600.0])
_WHERE = pytest.mark.parametrize("where", ["worker", "triggerer", "both"])


def _set(clocks: Clocks, where: str, ahead: float) -> None:
    clocks.worker = 0.0 if where == "triggerer" else ahead
    clocks.triggerer = 0.0 if where == "worker" else ahead
    clocks.set(clocks.worker)


@pytest.mark.fault("F57", "F89")
@ALL_MODES
@_WHERE
@_WRONG
def test_f89_a_wrong_clock_ends_no_wait(
    airflow_mps: LocalMps, triggerer: Triggerer, clocks: Clocks, mode: Mode, where: str, ahead: float
) -> None:
    """F89: deadlines are in MPS's time: no wait of four minutes ends early, and no worker is resumed in vain."""
    _set(clocks, where, ahead)
    task_id = airflow_mps.backend.script([RUNNING] * 5 + [DONE])
    assert run_sensor(mode, mps_task_id=task_id, timeout=240) == task_id
    assert [event["status"] for event in triggerer.events] == ["resume"] * (mode is Mode.DEFERRABLE)


@pytest.mark.fault("F22", "F57", "F89")
@pytest.mark.parametrize("mode", [Mode.RESCHEDULE, Mode.DEFERRABLE])
@_WHERE
@pytest.mark.parametrize("ahead", [900.0, -900.0])
def test_f89_the_deadline_still_comes(
    airflow_mps: LocalMps, clocks: Clocks, mode: Mode, where: str, ahead: float
) -> None:
    """F89: a wrong clock neither shortens nor extends the wait."""
    _set(clocks, where, ahead)
    started = time.monotonic()
    with pytest.raises(AirflowSensorTimeout):
        run_sensor(mode, mps_task_id=airflow_mps.backend.script([RUNNING]), timeout=3)
    assert 1.5 <= time.monotonic() - started < 10


@pytest.mark.fault("F57", "F89")
@WAYS
@_WHERE
@pytest.mark.parametrize("ahead", [900.0, -900.0])
def test_f89_a_wrong_clock_aborts_no_job(
    airflow_mps: LocalMps, clocks: Clocks, deferrable: bool, where: str, ahead: float
) -> None:
    """F89: an operator, which would abort a job that still waits, sends one job and sees it to its end."""
    _set(clocks, where, ahead)
    airflow_mps.backend.settings.state_seconds = None
    airflow_mps.backend.settings.state_polls = 3
    task_id = submit(MpsProcessMediaOperator, deferrable=deferrable, timeout=240)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F67")
def test_airflows_own_timeout_is_believed(airflow_mps: LocalMps) -> None:
    """It takes what was stored, so that no worker knows when the wait began: one poll, and the wait is over."""
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=airflow_mps.backend.script([RUNNING]), deferrable=True)
    with pytest.raises(AirflowSensorTimeout):
        sensor.resume_execution("execute_complete", {"event": {"status": "timeout"}}, new_context())


@pytest.mark.fault("F89")
@pytest.mark.parametrize(("ago", "over"), [(10, False), (96, True), (110, True)])
def test_a_trigger_that_says_too_early_that_time_is_up_ends_nothing(
    airflow_mps: LocalMps, ago: float, over: bool
) -> None:
    """The worker judges by MPS's time, give or take what both may have misread of it."""
    task_id = airflow_mps.backend.script([RUNNING])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, timeout=100)
    state = {"mps_task_id": task_id, "started": time.time() - ago}
    with pytest.raises(AirflowSensorTimeout if over else TaskDeferred):
        sensor.resume_execution("execute_complete", {"event": {"status": "timeout"}, "state": state}, new_context())
