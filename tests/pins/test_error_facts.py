"""What a person reads when a task has failed holds the facts, whatever the words are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_mps import errors
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsBatchProcessMediaOperator, MpsProcessMediaOperator
from airflow_provider_mps.operators.mps import MpsTaskResultOperator as Result
from tests.support.harness import DONE, FAILED, RUNNING, Mode, airflow_mps, answer, new_context, run_operator
from tests.support.harness import run_sensor as sensor
from tests.support.submitting import process, submit

__all__ = ["airflow_mps"]

TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"
Run = Callable[[], Any]


def _sensor(mode: Mode = Mode.POKE, **arguments: Any) -> Run:
    return lambda: sensor(mode, mps_task_id=TASK_ID, **{"settle_grace": 0.1, "not_found_grace": 0.1, **arguments})


def _result(**arguments: Any) -> Run:
    options = {"mps_task_id": TASK_ID, "settle_grace": 0.1, **arguments}
    return lambda: run_operator(lambda: Result(task_id="result", **options), new_context())


def _clash() -> None:
    for run_id in ("one", "other"):
        context = new_context(store=True, run_id=run_id)
        submit(MpsProcessMediaOperator, request=process(f"{run_id}.mp4", SessionId="mine"), context=context)


# What MPS answers, what is run, how it ends, and what the text has to hold.
CASES: dict[str, tuple[dict[str, Any] | None, Run, type[Exception], tuple[str, ...]]] = {
    "failed part": (
        FAILED,
        _result(),
        errors.MpsTaskFailed,
        (TASK_ID, "1 of 2", "MediaProcessResultSet[1].TranscodeTask", "FAIL", "30010", "broken", "RequestId"),
    ),
    "no result": (answer(), _sensor(), errors.MpsTaskUnsettled, (TASK_ID, "FINISH", "WorkflowTask")),
    "unknown id": (
        None,
        _sensor(Mode.DEFERRABLE),
        errors.MpsTaskNotFound,
        (TASK_ID, "DescribeTaskDetail", "ResourceNotFound", "RequestId", "7 days", "3 days", "describe_action"),
    ),
    "not finished": (RUNNING, _result(), errors.MpsTaskNotFinished, (TASK_ID, "PROCESSING", "0/1")),
    "sensor's timeout": (
        RUNNING,
        _sensor(timeout=0.2),
        AirflowSensorTimeout,
        (TASK_ID, "0.2", "PROCESSING", "timeout"),
    ),
    "operator's timeout": (
        None,
        lambda: submit(MpsProcessMediaOperator, "a.queued.mp4", timeout=0.2),
        errors.MpsTaskTimeout,
        ("MPS task 1250000000-WorkflowTask-", "0.2", "WAITING", "aborted"),
    ),
    "wrong key": (
        DONE,
        _result(mps_conn_id="wrong_key"),
        errors.MpsApiError,
        (TASK_ID, "DescribeTaskDetail", "AuthFailure.SignatureFailure", "RequestId", "SecretKey", "password"),
    ),
    "nobody there": (
        DONE,
        _result(mps_conn_id="nobody_there"),
        errors.MpsTransportError,
        ("DescribeTaskDetail", "127.0.0.1:1", "refused"),
    ),
    "state unknown": (
        DONE,
        _sensor(mps_conn_id="nobody_there", outage_tolerance=0.1),
        errors.MpsStateUnknown,
        (TASK_ID, "DescribeTaskDetail", "127.0.0.1:1"),
    ),
    "too large": (
        DONE,
        _result(max_xcom_bytes=300),
        errors.MpsResultTooLarge,
        (TASK_ID, "max_xcom_bytes=300", "output_path", "save_result"),
    ),
    "lost answer": (
        None,
        lambda: submit(MpsBatchProcessMediaOperator),
        errors.MpsSubmitUnknown,
        ("BatchProcessMedia", "UTC", "SessionContext", "MpsTaskSensor", "resubmit_if_unknown"),
    ),
    "taken SessionId": (None, _clash, errors.MpsSessionClash, ("mine", "MPS task 1250000000-WorkflowTask-", "3 days")),
    "no TaskId": (None, _result(mps_task_id="None"), errors.MpsConfigError, ("mps_task_id", "'None'")),
    "bad connection": (None, _result(mps_conn_id="bad_region"), errors.MpsConfigError, ("bad_region", "Guangzhou!")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failure_tells_the_facts(airflow_mps: LocalMps, name: str) -> None:
    """Task, action, code, RequestId, limits, and the argument that changes it."""
    body, run, kind, facts = CASES[name]
    if body is not None:
        airflow_mps.backend.script([body], TASK_ID)
    airflow_mps.backend.faults.add(Fault("reset", "BatchProcessMedia", when="after"))
    with pytest.raises(kind) as raised:
        run()
    assert [fact for fact in facts if fact not in str(raised.value)] == []
