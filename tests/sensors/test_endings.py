"""How a wait ends when Airflow's own options are in play: the same in every mode."""

from __future__ import annotations

import time

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferralError

from airflow_provider_mps.client.retry import is_final
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsConfigError, MpsStateUnknown, MpsTaskFailed
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import ALL_MODES, DONE, FAILED, RUNNING, Mode, new_context, refusal, run_sensor

_WAYS = pytest.mark.parametrize("option", ["soft_fail", "never_fail"])


@pytest.mark.fault("F29")
@ALL_MODES
def test_timeout_names_task_and_state(airflow_mps: LocalMps, mode: Mode) -> None:
    """A wait that takes too long ends in AirflowSensorTimeout, which Airflow does not retry; its text helps."""
    task_id = airflow_mps.backend.script([RUNNING])
    with pytest.raises(AirflowSensorTimeout, match=f"(?s){task_id}.*PROCESSING.*keeps running"):
        run_sensor(mode, mps_task_id=task_id, timeout=0.1)
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F30")
@ALL_MODES
@_WAYS
def test_timeout_skips_when_asked(airflow_mps: LocalMps, mode: Mode, option: str) -> None:
    """soft_fail and never_fail turn a timeout into a skip."""
    task_id = airflow_mps.backend.script([RUNNING])
    with pytest.raises(AirflowSkipException):
        run_sensor(mode, mps_task_id=task_id, timeout=0.1, **{option: True})


@pytest.mark.fault("F31")
@ALL_MODES
@pytest.mark.parametrize(
    ("answer", "connection", "error"),
    [(FAILED, "mps_default", MpsTaskFailed), (DONE, "wrong_key", MpsApiError), (DONE, "empty_key", MpsConfigError)],
    ids=["failed job", "wrong key", "empty key"],
)
def test_soft_fail_hides_no_failure(
    airflow_mps: LocalMps, mode: Mode, answer: dict[str, object], connection: str, error: type[Exception]
) -> None:
    """soft_fail skips on a timeout only: a failed job and a wrong connection stay failures."""
    task_id = airflow_mps.backend.script([RUNNING, answer])
    with pytest.raises(error) as caught:
        run_sensor(mode, mps_task_id=task_id, mps_conn_id=connection, soft_fail=True)
    assert not isinstance(caught.value, AirflowSkipException)


@ALL_MODES
@pytest.mark.parametrize("connection", ["mps_default", "wrong_key", "empty_key"])
def test_never_fail_skips_whatever_happens(airflow_mps: LocalMps, mode: Mode, connection: str) -> None:
    """never_fail skips on a failed job and a wrong connection as well."""
    task_id = airflow_mps.backend.script([RUNNING, FAILED])
    with pytest.raises(AirflowSkipException):
        run_sensor(mode, mps_task_id=task_id, mps_conn_id=connection, never_fail=True)


@ALL_MODES
def test_silent_fail_goes_on_after_an_error(airflow_mps: LocalMps, mode: Mode) -> None:
    """silent_fail logs a failed poll and waits on."""
    task_id = airflow_mps.backend.script([refusal("UnauthorizedOperation"), RUNNING, DONE])
    assert run_sensor(mode, mps_task_id=task_id, silent_fail=True) == task_id


@pytest.mark.fault("F35")
@ALL_MODES
def test_partial_success_is_opt_in(airflow_mps: LocalMps, mode: Mode) -> None:
    """allow_partial accepts failed parts as long as one part succeeded."""
    partly = airflow_mps.backend.script([RUNNING, FAILED])
    assert run_sensor(mode, mps_task_id=partly, allow_partial=True) == partly
    alone = {**FAILED["WorkflowTask"], "MediaProcessResultSet": FAILED["WorkflowTask"]["MediaProcessResultSet"][1:]}
    wholly = airflow_mps.backend.script([RUNNING, FAILED | {"WorkflowTask": alone}])
    with pytest.raises(MpsTaskFailed):
        run_sensor(mode, mps_task_id=wholly, allow_partial=True)


@ALL_MODES
def test_a_retry_begins_anew(airflow_mps: LocalMps, mode: Mode) -> None:
    """The next try of a sensor that failed starts with a new poll, a new deadline and no memory."""
    context = new_context()
    task_id = airflow_mps.backend.script([RUNNING, refusal("UnauthorizedOperation")])
    with pytest.raises(MpsApiError):
        run_sensor(mode, mps_task_id=task_id, context=context)
    airflow_mps.backend.script([RUNNING, DONE], task_id)
    context["ti"].try_number, context["ti"].first_reschedule = 2, None
    assert run_sensor(mode, mps_task_id=task_id, context=context) == task_id


@pytest.mark.fault("F48")
@ALL_MODES
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameter", "FailedOperation.UserArrears"])
@pytest.mark.parametrize("polls", [0, 1], ids=["at the first poll", "in mid-wait"])
def test_f48_a_refusal_for_good_ends_the_wait(airflow_mps: LocalMps, mode: Mode, polls: int, code: str) -> None:
    """F48: it is polled twice at most, by the triggerer and by the worker."""
    task_id = airflow_mps.backend.script([*[RUNNING] * polls, refusal(code)])
    with pytest.raises(MpsApiError, match=code):
        run_sensor(mode, mps_task_id=task_id)
    assert len(airflow_mps.backend.calls) <= polls + 2


@pytest.mark.fault("F46")
@ALL_MODES
def test_an_outage_is_sat_out(airflow_mps: LocalMps, mode: Mode) -> None:
    """Ten bad polls in a row do not end a wait."""
    trouble = [refusal("InternalError")] * 40  # each poll of a worker sends four requests
    task_id = airflow_mps.backend.script([RUNNING, *trouble, RUNNING, DONE])
    assert run_sensor(mode, mps_task_id=task_id) == task_id


@pytest.mark.fault("F91")
@ALL_MODES
@pytest.mark.parametrize("status", [302, 403, 404, 418])
def test_f91_a_page_of_a_gateway_is_sat_out(
    airflow_mps: LocalMps, mode: Mode, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """F91: nobody knows that it is permanent: the wait goes on, and the log names it."""
    airflow_mps.backend.faults.add(Fault("status", action="DescribeTaskDetail", status=status, times=6))
    task_id = airflow_mps.backend.script([RUNNING, DONE])
    assert run_sensor(mode, mps_task_id=task_id) == task_id
    assert f"HTTP {status} from a gateway" in capsys.readouterr().out


@pytest.mark.fault("F92")
@ALL_MODES
@pytest.mark.parametrize("code", ["NobodyKnows", "NobodyKnows.This", None])
def test_f92_an_unknown_error_is_sat_out(
    airflow_mps: LocalMps, mode: Mode, code: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """F92: a code that is not documented, or none at all: the wait goes on, and the log names it."""
    odd = {"Error": {"Message": "out of the blue"} | ({"Code": code} if code else {})}
    task_id = airflow_mps.backend.script([RUNNING, *[odd] * 6, RUNNING, DONE])
    assert run_sensor(mode, mps_task_id=task_id) == task_id
    assert "out of the blue" in capsys.readouterr().out


@pytest.mark.fault("F91", "F92")
@ALL_MODES
def test_f91_it_is_not_sat_out_for_ever(airflow_mps: LocalMps, mode: Mode) -> None:
    """F91: after ``outage_tolerance`` the wait fails, and may be retried."""
    airflow_mps.backend.faults.add(Fault("status", action="DescribeTaskDetail", status=404, times=None))
    with pytest.raises(MpsStateUnknown, match="HTTP 404") as caught:
        run_sensor(mode, mps_task_id=airflow_mps.backend.script([RUNNING]), outage_tolerance=0.3)
    assert not is_final(caught.value)


@pytest.mark.fault("F31")
def test_a_crashed_trigger_fails_even_with_soft_fail(airflow_mps: LocalMps) -> None:
    """Airflow skips a sensor whose trigger crashed; a crash is not a timeout, so ours fails."""
    task_id = airflow_mps.backend.script([DONE])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, soft_fail=True)
    with pytest.raises(TaskDeferralError):
        sensor.resume_execution("__fail__", {"error": "Trigger failure", "traceback": ["boom"]}, new_context())


@pytest.mark.fault("F21")
@pytest.mark.parametrize(("answer", "ends_well"), [(DONE, True), (RUNNING, False)], ids=["done", "still running"])
def test_the_framework_timeout_gets_a_last_poll(
    airflow_mps: LocalMps, answer: dict[str, object], ends_well: bool
) -> None:
    """Airflow's own defer timeout loses our arguments; a job that is done by then still counts as a success."""
    task_id = airflow_mps.backend.script([answer])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True)
    if ends_well:
        assert sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, new_context()) == task_id
    else:
        with pytest.raises(AirflowSensorTimeout):
            sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, new_context())


@pytest.mark.fault("F22")
def test_the_deadline_survives_a_second_deferral(airflow_mps: LocalMps) -> None:
    """The deadline is absolute: an event that comes to nothing does not restart the clock."""
    task_id = airflow_mps.backend.script([RUNNING])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, timeout=1000)
    with pytest.raises(AirflowSensorTimeout):
        sensor.resume_execution(
            "execute_complete",
            {"event": {"status": "resume"}, "state": {"mps_task_id": task_id, "started": time.time() - 1001}},
            new_context(),
        )
