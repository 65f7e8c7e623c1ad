"""Every answer means the same to an operator that waits for its own job as to a sensor."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import Task
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsError, MpsTaskFailed, MpsTaskTimeout
from airflow_provider_mps.operators.mps import (
    MpsBatchProcessMediaOperator,
    MpsEditMediaOperator,
    MpsProcessLiveStreamOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import Mode, new_context, run_sensor
from tests.support.submitting import ALL_KINDS, WAYS, jobs, new_operator, submit
from tests.support.verdict_table import EVERY_CASE, Case

_KINDS: dict[str, type[MpsSubmitOperator]] = {
    "BatchTask": MpsBatchProcessMediaOperator,
    "EditMediaTask": MpsEditMediaOperator,
    "LiveStreamProcessTask": MpsProcessLiveStreamOperator,
}
_GRACES = {"not_found_grace": 0.1, "settle_grace": 0.1, "outage_tolerance": 0.1}
_PATIENT = {"settle_grace": 20}


class ScriptedJobs(dict[str, Task]):
    """The jobs of a local MPS; each new one gives the answers of a case in turn, the last one for ever."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self._answers = [*case.before, case.last]

    def __setitem__(self, task_id: str, task: Task) -> None:
        task.answers = list(self._answers)
        super().__setitem__(task_id, task)


def _submit(mps: LocalMps, case: Case, deferrable: bool, context: dict[str, Any]) -> Any:
    mps.backend.tasks = ScriptedJobs(case)
    if case.fault:  # at the looks alone: what strikes a submission is not a verdict
        mps.backend.faults.add(Fault(case.fault, action="DescribeTaskDetail", times=None))  # type: ignore[arg-type]
    kind = _KINDS.get(case.last.get("TaskType", ""), MpsProcessMediaOperator)
    graces = _PATIENT if case.submitter is None else _GRACES
    return submit(kind, context=context, deferrable=deferrable, **{**graces, **case.arguments})


@pytest.mark.fault("F32", "F35", "F36", "F37", "F38", "F47", "F48", "F49", "F50")
@WAYS
@EVERY_CASE
def test_a_submit_operator_ends_like_the_sensor(airflow_mps: LocalMps, case: Case, deferrable: bool) -> None:
    """Verdict, type of the exception and failed parts are the sensor's; but for a deadline, Airflow tries it again."""
    context = new_context()
    if case.submitter is None:
        assert [_submit(airflow_mps, case, deferrable, context)] == jobs(airflow_mps)
        return
    with pytest.raises(case.submitter) as caught:
        _submit(airflow_mps, case, deferrable, context)
    [mps_task_id] = jobs(airflow_mps)
    assert isinstance(caught.value, MpsError)
    assert mps_task_id in str(caught.value)
    assert isinstance(caught.value, AirflowFailException) is (case.submitter is MpsTaskTimeout)
    if isinstance(caught.value, MpsTaskFailed):
        assert tuple(failure.path for failure in caught.value.failures) == case.failed


@pytest.mark.fault("F32")
@ALL_KINDS
def test_each_mode_returns_the_same(airflow_mps: LocalMps, kind: type[MpsSubmitOperator]) -> None:
    """Operator and sensor return the TaskId in every mode, and the other XComs do not tell the mode either."""
    others = []
    for deferrable in (False, True):
        context = new_context()
        value = submit(kind, context=context, deferrable=deferrable)
        xcoms = context["ti"].xcoms
        assert value == jobs(airflow_mps)[-1] == xcoms.pop("mps_task_id")
        assert xcoms.pop("request_id")
        others.append(xcoms)
        question = {"mps_task_id": value, "describe_action": new_operator(kind)().describe_action}
        assert [run_sensor(mode, **question) for mode in Mode] == [value] * len(Mode)
    assert others[0] == others[1]
