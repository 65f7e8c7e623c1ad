"""The least privilege that docs/connection.md names is what operators, sensor and button really call."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTaskTimeout, MpsTaskUnsettled
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import DONE, airflow_mps, new_context, run_operator
from tests.support.official import api_model
from tests.support.submitting import ALL_KINDS, NO_SESSION, WAYS, submit

__all__ = ["airflow_mps"]

URL = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}


def _table() -> dict[str, set[str]]:
    """Who needs what, as the page says."""
    text = (Path(__file__).parent.parent / "docs/connection.md").read_text(encoding="utf-8")
    section = text[text.index("| used | needs |") :].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines()[2:]]
    return {name.strip("`"): set(re.findall(r"`(\w+)`", actions)) for name, actions in rows}


TABLE = _table()


def _called(mps: LocalMps) -> set[str]:
    return {call.action for call in mps.backend.calls}


def test_everybody_is_in_the_table() -> None:
    """An operator that is added says what it needs."""
    assert set(TABLE) == {*operators.__all__, "MpsTaskSensor", "the test button"}


def test_the_actions_exist() -> None:
    """By the names that Tencent's own description has, which are those of CAM."""
    assert set().union(*TABLE.values()) <= set(api_model()["actions"])


@ALL_KINDS
@WAYS
def test_a_job_takes_no_more(airflow_mps: LocalMps, kind: type[MpsSubmitOperator], deferrable: bool) -> None:
    """Also where the answer to its submission is lost, and the job has to be found."""
    if kind not in NO_SESSION:
        airflow_mps.backend.faults.add(Fault("reset", kind.action_name, when="after"))
    submit(kind, deferrable=deferrable)
    assert kind.action_name in _called(airflow_mps)
    assert _called(airflow_mps) <= TABLE[kind.__name__]


@ALL_KINDS
def test_a_job_that_is_aborted_takes_no_more(airflow_mps: LocalMps, kind: type[MpsSubmitOperator]) -> None:
    """At its deadline it is looked at once more, and aborted."""
    with contextlib.suppress(MpsTaskTimeout, MpsTaskUnsettled):
        submit(kind, "talk.queued.mp4", timeout=0.2, settle_grace=0.1)
    assert _called(airflow_mps) <= TABLE[kind.__name__]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("MpsTaskSensor", lambda task_id: MpsTaskSensor(task_id="t", mps_task_id=task_id)),
        ("MpsTaskSensor", lambda task_id: MpsTaskSensor(task_id="t", mps_task_id=task_id, deferrable=True)),
        ("MpsTaskResultOperator", lambda task_id: operators.MpsTaskResultOperator(task_id="t", mps_task_id=task_id)),
        ("MpsAbortTaskOperator", lambda task_id: operators.MpsAbortTaskOperator(task_id="t", mps_task_id=task_id)),
        ("MpsMediaMetadataOperator", lambda _: operators.MpsMediaMetadataOperator(task_id="t", input_info=URL)),
    ],
)
def test_a_reader_takes_no_more(airflow_mps: LocalMps, name: str, new: Callable[[str], Any]) -> None:
    """One look, one probe, one abort."""
    task_id = airflow_mps.backend.script([DONE])
    run_operator(lambda: new(task_id), new_context())
    assert _called(airflow_mps)
    assert _called(airflow_mps) <= TABLE[name]


def test_the_button_takes_no_more(airflow_mps: LocalMps) -> None:
    """It may say no where a task would go through: the page says so."""
    assert MpsHook().test_connection()[0]
    assert _called(airflow_mps) == TABLE["the test button"]
