"""Worker and triggerer are two machines: the keys, the account or the clock of one of them may be wrong."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout
from airflow.triggers.base import TriggerEvent
from structlog.testing import capture_logs

from airflow_provider_mps.client.credentials import cache
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsStateUnknown
from airflow_provider_mps.lifecycle import wait
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, RUNNING, Mode, new_context, refusal, run_sensor
from tests.support.submitting import jobs, submit

_AHEAD = 600.0


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


@pytest.fixture
def ahead(triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> Triggerer:
    """A triggerer whose clock is ten minutes ahead."""
    genuine = time.time
    triggerer.enter = lambda: monkeypatch.setattr(time, "time", lambda: genuine() + _AHEAD)
    triggerer.leave = lambda: monkeypatch.setattr(time, "time", genuine)
    return triggerer


@pytest.mark.fault("F48", "F56")
def test_a_wait_that_only_the_triggerer_cannot_ask_for_ends(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """Not a worker for each look, for days: after the third refusal in a row the task says what to set right."""
    task_id = airflow_mps.backend.script([RUNNING])
    with pytest.raises(MpsConfigError, match=r"triggerer cannot ask.*although this worker can.*3 times") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=task_id)
    assert task_id in str(caught.value)
    assert "MpsCredentialsError: No keys from" in str(caught.value)
    assert [event["status"] for event in keyless.events] == ["refused"] * 3
    assert len(airflow_mps.backend.calls) == 4


@pytest.mark.fault("F48", "F56")
def test_a_job_of_an_operator_is_not_touched_by_it(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """The error leaves the job alone and is worth a retry, which takes the job up."""
    with pytest.raises(MpsConfigError, match="triggerer cannot ask") as caught:
        submit(MpsProcessMediaOperator, "talk.stuck.mp4", deferrable=True)
    assert not caught.value.permanent
    assert len(jobs(airflow_mps)) == 1
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F46", "F58")
def test_refusals_are_counted_in_a_row(airflow_mps: LocalMps, keyless: Triggerer) -> None:
    """Once the triggerer has had an answer the count begins anew, and the wait ends with the task."""
    enter, refused = keyless.enter, [True, True, False, True, False]
    keyless.enter = lambda: enter() if refused.pop(0) else None
    odd = refusal("FailedOperation.Odd")
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, RUNNING, RUNNING, odd, RUNNING, RUNNING, DONE])
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id) == task_id
    assert [event["status"] for event in keyless.events] == ["refused", "refused", "fault", "refused", "look"]


@pytest.mark.fault("F50", "F56")
def test_a_triggerer_of_another_account_ends_the_wait(airflow_mps: LocalMps, triggerer: Triggerer) -> None:
    """It does not know the task that the worker sees: said after the third time, and worth a retry."""
    unknown = Fault("error", action="DescribeTaskDetail", code="ResourceNotFound", times=None)
    triggerer.enter = lambda: airflow_mps.backend.faults.add(unknown)
    triggerer.leave = airflow_mps.backend.faults.clear
    with pytest.raises(MpsStateUnknown, match=r"gave it up 3 times in a row.*MpsTaskNotFound") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=airflow_mps.backend.script([RUNNING]), not_found_grace=0.0)
    assert not caught.value.permanent


@pytest.mark.fault("F49")
def test_a_task_that_neither_knows_yet_is_not_held_against_the_triggerer(
    airflow_mps: LocalMps, ahead: Triggerer
) -> None:
    """With a clock that is ahead the grace of a new task seems over there; that of the worker counts."""
    unknown = refusal("ResourceNotFound")
    task_id = airflow_mps.backend.script([unknown] * 12 + [RUNNING, DONE])
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id, timeout=300) == task_id
    assert len(ahead.events) > 3


@pytest.mark.fault("F57")
def test_a_triggerer_whose_clock_is_ahead_ends_no_wait(airflow_mps: LocalMps, ahead: Triggerer) -> None:
    """Its "the deadline has come" costs one look; the next trigger gets the deadline as its clock will show it."""
    task_id = airflow_mps.backend.script([RUNNING] * 5 + [DONE])
    with capture_logs() as log:
        assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id, timeout=300) == task_id
    assert [event["status"] for event in ahead.events] == ["timeout", "look"]
    told = [line["event"] for line in log if "clock of the triggerer" in line["event"]]
    assert told
    assert all(task_id in text and "600 seconds ahead" in text for text in told)


@pytest.mark.fault("F57")
def test_nor_does_it_abort_a_job(airflow_mps: LocalMps, ahead: Triggerer) -> None:
    """The same for an operator, which would abort a job that still waits."""
    airflow_mps.backend.settings.state_seconds = None
    airflow_mps.backend.settings.state_looks = 3
    task_id = submit(MpsProcessMediaOperator, deferrable=True, timeout=300)
    assert jobs(airflow_mps) == [task_id]
    assert airflow_mps.backend.aborts == []
    assert [event["status"] for event in ahead.events] == ["timeout", "look"]


@pytest.mark.fault("F22", "F57")
def test_the_deadline_of_the_worker_still_comes(
    airflow_mps: LocalMps, ahead: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is ahead neither shortens nor extends the wait."""
    monkeypatch.setattr(wait, "_CLOCK_TOLERANCE", 0.5)
    started = time.monotonic()
    with pytest.raises(AirflowSensorTimeout):
        run_sensor(Mode.DEFERRABLE, mps_task_id=airflow_mps.backend.script([RUNNING]), timeout=3)
    assert 2.5 <= time.monotonic() - started < 20
    assert [event["status"] for event in ahead.events] == ["timeout", "timeout"]


@pytest.mark.fault("F57", "F67")
@pytest.mark.parametrize(
    ("event", "deadline"),
    [({}, 1000.0), ({"clock": "noon"}, 1000.0), ({"clock": float("inf")}, 1000.0), ({"clock": None}, None)],
    ids=["without a clock", "text", "infinite", "no deadline"],
)
def test_a_timeout_is_believed_where_no_clock_speaks_against_it(
    airflow_mps: LocalMps, event: dict[str, Any], deadline: float | None
) -> None:
    """A clock may be missing or make no sense, and Airflow's own timeout brings neither clock nor deadline."""
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=airflow_mps.backend.script([RUNNING]), deferrable=True)
    resume = {"event": {"status": "timeout", **event}, "deadline": deadline and time.time() + deadline}
    with pytest.raises(AirflowSensorTimeout):
        sensor.resume_execution("execute_complete", resume, new_context())


@pytest.mark.fault("F57")
def test_a_wait_that_began_in_the_triggerer_keeps_its_deadline(airflow_mps: LocalMps) -> None:
    """No worker has set it, so that none knows better."""
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=airflow_mps.backend.script([RUNNING]), deferrable=True)
    then = time.time() + _AHEAD
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete(new_context(), {"status": "timeout", "deadline": then, "clock": then})  # type: ignore[arg-type]
