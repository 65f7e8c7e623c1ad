"""Every answer means the same, however it is waited for."""

from __future__ import annotations

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from tests.support.harness import ALL_MODES, Mode, new_context, run_sensor
from tests.support.verdict_table import CASES, EVERY_CASE, Case


def _script(mps: LocalMps, case: Case, *, whole: bool) -> str:
    answers = [*(case.before if whole else ()), case.last]
    if case.fault:
        mps.backend.faults.add(Fault(case.fault, times=None))  # type: ignore[arg-type]
    return mps.backend.script(answers, case.task_id)


def test_the_table_is_long_enough() -> None:
    """At least forty answers are judged, each with a name of its own."""
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.fault("F32", "F35", "F36", "F37", "F38", "F47", "F48", "F49", "F50")
@ALL_MODES
@EVERY_CASE
def test_a_sensor_ends_alike_in_every_mode(airflow_mps: LocalMps, case: Case, mode: Mode) -> None:
    """Return value, or type of the exception and list of failed parts, do not depend on the mode."""
    task_id = _script(airflow_mps, case, whole=True)
    graces = {"not_found_grace": 0.1, "settle_grace": 0.1, "outage_tolerance": 0.1}
    if case.sensor is None:
        graces = {}
        assert run_sensor(mode, mps_task_id=task_id, **case.arguments) == task_id
        return
    with pytest.raises(case.sensor) as caught:
        run_sensor(mode, mps_task_id=task_id, **{**graces, **case.arguments})
    assert isinstance(caught.value, case.sensor)
    assert case.fault or task_id in str(caught.value) or case.operator is case.sensor
    if isinstance(caught.value, MpsTaskFailed):
        assert tuple(failure.path for failure in caught.value.failures) == case.failed


@pytest.mark.fault("F32")
@EVERY_CASE
def test_the_result_operator_ends_like_the_sensor(airflow_mps: LocalMps, case: Case) -> None:
    """It accepts what a sensor accepts and refuses what a sensor refuses; what still runs, it calls too early."""
    task_id = _script(airflow_mps, case, whole=False)
    operator = MpsTaskResultOperator(task_id="result", mps_task_id=task_id, settle_grace=0.02)
    operator.hook.get_conn().throttle_patience = 1.0  # a minute of refusals teaches nothing more
    if case.operator is None:
        assert operator.execute(new_context())["mps_task_id"] == task_id
        return
    with pytest.raises(case.operator) as caught:
        operator.execute(new_context())
    assert isinstance(caught.value, case.operator)
    if isinstance(caught.value, MpsTaskFailed):
        assert tuple(failure.path for failure in caught.value.failures) == case.failed
