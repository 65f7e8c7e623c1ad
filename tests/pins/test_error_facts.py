"""What a person reads when a task has failed holds the facts, whatever the words are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
_PART, _DESCRIBE = "WorkflowTask.MediaProcessResultSet[1].TranscodeTask", "DescribeTaskDetail"
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


_TIMED_OUT = partial(submit, MpsProcessMediaOperator, "a.queued.mp4", timeout=0.2)
_LOST = partial(submit, MpsBatchProcessMediaOperator)
_KEY = _result(mps_conn_id="wrong_key")
_NOBODY = _result(mps_conn_id="nobody_there")
_SILENCE = _sensor(mps_conn_id="nobody_there", outage_tolerance=0.1)
# What MPS answers, what is run, how it ends, and what the text has to hold.
CASES: list[tuple[dict[str, Any] | None, Run, type[Exception], str]] = [
    (FAILED, _result(), errors.MpsTaskFailed, f"{TASK_ID}, 1 of 2, {_PART}, FAIL, 30010, broken, RequestId"),
    (answer(), _sensor(), errors.MpsTaskUnsettled, f"{TASK_ID}, FINISH, WorkflowTask"),
    (None, _sensor(Mode.DEFERRABLE), errors.MpsTaskNotFound, f"{TASK_ID}, {_DESCRIBE}, ResourceNotFound, RequestId"),
    (None, _result(), errors.MpsTaskNotFound, f"{TASK_ID}, 7 days, 3 days, describe_action"),
    (RUNNING, _result(), errors.MpsTaskNotFinished, f"{TASK_ID}, PROCESSING, 0/1"),
    (RUNNING, _sensor(timeout=0.2), AirflowSensorTimeout, f"{TASK_ID}, 0.2, PROCESSING, timeout"),
    (None, _TIMED_OUT, errors.MpsTaskTimeout, "MPS task 1250000000-WorkflowTask-, 0.2, WAITING, aborted"),
    (DONE, _KEY, errors.MpsApiError, f"{TASK_ID}, {_DESCRIBE}, AuthFailure.SignatureFailure, RequestId, SecretKey"),
    (DONE, _NOBODY, errors.MpsTransportError, f"{_DESCRIBE}, 127.0.0.1:1, refused"),
    (DONE, _SILENCE, errors.MpsStateUnknown, f"{TASK_ID}, {_DESCRIBE}, 127.0.0.1:1"),
    (DONE, _result(max_xcom_bytes=300), errors.MpsResultTooLarge, f"{TASK_ID}, max_xcom_bytes=300, save_result"),
    (
        None,
        _LOST,
        errors.MpsSubmitUnknown,
        "BatchProcessMedia, UTC, SessionContext, MpsTaskSensor, resubmit_if_unknown",
    ),
    (None, _clash, errors.MpsSessionClash, "mine, MPS task 1250000000-WorkflowTask-, 3 days"),
    (None, _result(mps_task_id="None"), errors.MpsConfigError, "mps_task_id, 'None'"),
    (None, _result(mps_conn_id="bad_region"), errors.MpsConfigError, "bad_region, Guangzhou!"),
]


@pytest.mark.parametrize(("body", "run", "kind", "facts"), CASES)
def test_a_failure_tells_the_facts(
    airflow_mps: LocalMps, body: dict[str, Any] | None, run: Run, kind: type[Exception], facts: str
) -> None:
    """Task, action, code, RequestId, limits, and the argument that changes it."""
    if body is not None:
        airflow_mps.backend.script([body], TASK_ID)
    airflow_mps.backend.faults.add(Fault("reset", "BatchProcessMedia", when="after"))
    with pytest.raises(kind) as raised:
        run()
    assert [fact for fact in facts.split(", ") if fact not in str(raised.value)] == []
