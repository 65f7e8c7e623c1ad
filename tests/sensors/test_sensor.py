"""What the sensor does before and between its polls."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException, TaskDeferred

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsTransportError
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import ALL_MODES, DONE, RUNNING, Mode, first_event, new_context, revive, run_sensor
from tests.support.task_ids import NO_TASK_IDS

_BATCH = "1250000000-BatchTask-0123456789abcdef0123456789abcdeft20"


def _deferral(task_id: str, **arguments: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True, **arguments).execute(new_context())
    return caught.value


@pytest.mark.fault("F33")
def test_what_has_ended_is_not_deferred(airflow_mps: LocalMps) -> None:
    """The first poll comes before the deferral: one call, no trigger."""
    task_id = airflow_mps.backend.script([DONE])
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id) == task_id
    assert len(airflow_mps.backend.calls) == 1


@pytest.mark.fault("F56")
def test_the_deferral_carries_all_that_shapes_a_poll(airflow_mps: LocalMps) -> None:
    """Connection, region, action, interval, limits and start are the same on the worker and in the triggerer."""
    task_id = airflow_mps.backend.script([RUNNING])
    before = time.time()
    deferred = _deferral(
        task_id, region="ap-nanjing", describe_action="DescribeTaskDetail", poke_interval=7, timeout=100
    )
    trigger = revive(deferred.trigger)
    assert (trigger.mps_task_id, trigger.mps_conn_id, trigger.region) == (task_id, "mps_default", "ap-nanjing")
    assert (trigger.describe_action, trigger.poll_interval) == ("DescribeTaskDetail", 7)
    assert trigger.policy["timeout"] == 100
    assert before - 2 <= trigger.state["started"] <= time.time() + 2  # MPS tells its time in whole seconds
    assert deferred.timeout is not None
    assert deferred.timeout.total_seconds() > 100


@pytest.mark.fault("F55")
def test_nothing_secret_is_deferred(airflow_mps: LocalMps) -> None:
    """Airflow stores the arguments of triggers and deferrals in clear text."""
    deferred = _deferral(airflow_mps.backend.script([RUNNING]))
    stored = repr(deferred.trigger.serialize()) + repr(deferred.kwargs)
    assert airflow_mps.secret_key not in stored
    assert airflow_mps.secret_id not in stored


def test_a_triggerer_that_cannot_ask_says_so(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that only the worker has ends the wait with the triggerer's words, not in a loop of deferrals."""
    deferred = _deferral(airflow_mps.backend.script([RUNNING]))
    connection = "AIRFLOW_CONN_MPS_DEFAULT"
    with monkeypatch.context() as away:
        away.delenv(connection)
        deferred.trigger.policy["outage_tolerance"] = 0.0  # type: ignore[attr-defined]
        event = first_event(deferred.trigger)
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=deferred.trigger.mps_task_id, deferrable=True)
    with pytest.raises(MpsConfigError, match=r"triggerer cannot wait.*mps_default"):
        sensor.resume_execution("execute_complete", {**deferred.kwargs, "event": event}, new_context())


def test_a_false_hint_costs_one_poll(airflow_mps: LocalMps) -> None:
    """The worker sees that the job runs on, and defers again; this wait ignores lists from then on."""
    deferred = _deferral(airflow_mps.backend.script([RUNNING, RUNNING, DONE]))
    state = {**deferred.kwargs["state"], "ignores_lists": True}
    event = {"status": "resume", "message": "DescribeTasks lists it as finished", "state": state}
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=deferred.trigger.mps_task_id, deferrable=True)
    with pytest.raises(TaskDeferred) as again:
        sensor.resume_execution("execute_complete", {**deferred.kwargs, "event": event}, new_context())
    assert revive(again.value.trigger).state["ignores_lists"]
    assert len(airflow_mps.backend.calls) == 2


def test_the_task_id_picks_the_action(airflow_mps: LocalMps) -> None:
    """A batch id is asked for with DescribeBatchTaskDetail, unless told otherwise."""
    batch = {"TaskType": "BatchTask", "Status": "FINISH"}
    output = {"Status": "SUCCESS", "TransTextTask": {"SegmentSet": []}}
    batch["BatchTaskResult"] = {"SmartSubtitlesTaskResult": {"Outputs": [output]}}  # type: ignore[assignment]
    airflow_mps.backend.script([batch], _BATCH)
    for action in (None, "DescribeBatchTaskDetail", "DescribeTaskDetail"):
        run_sensor(Mode.POKE, mps_task_id=_BATCH, describe_action=action)
    asked = [call.action for call in airflow_mps.backend.calls]
    assert asked == ["DescribeBatchTaskDetail", "DescribeBatchTaskDetail", "DescribeTaskDetail"]


@pytest.mark.fault("F71")
@ALL_MODES
@pytest.mark.parametrize("value", NO_TASK_IDS, ids=lambda value: f"{value!r:.30}")
def test_no_id_is_refused_before_any_request(airflow_mps: LocalMps, mode: Mode, value: Any) -> None:
    """What is no TaskId gives one clear error and no request."""
    with pytest.raises(MpsConfigError, match="no MPS TaskId"):
        run_sensor(mode, mps_task_id=value)
    assert not airflow_mps.backend.calls


@pytest.mark.fault("F54")
@ALL_MODES
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"poke_interval": 0}, "poke_interval"),
        ({"describe_action": "DescribeTask"}, "describe_action"),
        ({"outage_tolerance": -1}, "outage_tolerance"),
        ({"settle_grace": "5"}, "settle_grace"),
        ({"not_found_grace": float("nan")}, "not_found_grace"),
        ({"region": "Guangzhou"}, "region"),
        ({"mps_conn_id": "empty_key"}, "SecretKey.*empty"),
        ({"mps_conn_id": "plain_http"}, "loopback"),
        ({"mps_conn_id": "bad_region"}, "Guangzhou!"),
    ],
    ids=lambda value: str(value),
)
def test_bad_arguments_are_refused_before_any_request(
    airflow_mps: LocalMps, mode: Mode, arguments: dict[str, Any], text: str
) -> None:
    """Bad arguments and bad connections give one clear error and no request."""
    with pytest.raises(MpsConfigError, match=text):
        run_sensor(mode, mps_task_id=_BATCH, **arguments)
    assert not airflow_mps.backend.calls


@ALL_MODES
def test_a_missing_connection_is_named(airflow_mps: LocalMps, mode: Mode) -> None:
    """Airflow's own error names the connection that does not exist."""
    with pytest.raises(AirflowNotFoundException, match="not_there"):
        run_sensor(mode, mps_task_id=_BATCH, mps_conn_id="not_there")
    assert not airflow_mps.backend.calls


@ALL_MODES
def test_an_unreachable_endpoint_is_named_in_the_end(airflow_mps: LocalMps, mode: Mode) -> None:
    """An endpoint that never answers is waited for, and then named."""
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as caught:
        run_sensor(mode, mps_task_id=_BATCH, mps_conn_id="nobody_there", outage_tolerance=0.05)
    assert isinstance(caught.value.__cause__, MpsTransportError)
