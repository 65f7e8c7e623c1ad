"""The quality gate as a task: it fails once, with everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.errors import MpsConfigError, MpsQualityError
from airflow_provider_mps.operators.mps import MpsMediaCheckOperator
from airflow_provider_mps.results.outputs import OutputFile
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.xcom_size import shorten
from tests.support.harness import new_context


def _result(count: int = 1) -> MpsTaskResult:
    outputs = tuple(
        OutputFile(kind="transcode", uri=f"cos://b-1/{number}.mp4", width=1280 + number) for number in range(count)
    )
    return MpsTaskResult(mps_task_id="24-WorkflowTask-1", outputs=outputs)


def _run(result: Any, expect: Any) -> list[str]:
    checked: list[str] = MpsMediaCheckOperator(task_id="check", result=result, expect=expect).execute(new_context())
    return checked


def test_what_is_as_expected_is_handed_on() -> None:
    """The addresses of the files that passed."""
    assert _run(_result().as_json(), {"transcode": {"width": 1280}}) == ["cos://b-1/0.mp4"]


def test_a_difference_is_not_retried() -> None:
    """A retry would find the same files: Airflow fails the task at once, and the error holds the differences."""
    with pytest.raises(AirflowFailException, match=r"0\.mp4: width is 1280, expected 1920") as caught:
        _run(_result().as_json(), {"transcode": {"width": 1920, "height": 1080}})
    assert isinstance(caught.value, MpsQualityError)
    assert len(caught.value.violations) == 2


def test_files_that_were_left_out_of_xcom_are_checked_too(tmp_path: Path) -> None:
    """The whole list is read from the file that the result names."""
    whole = _result(200).model_copy(update={"full_result": f"file://{tmp_path}/result.json"})
    (tmp_path / "result.json").write_text("".join(whole.json_pieces()))
    value = shorten(whole, 5000)
    assert 0 < len(value["outputs"]) < 200
    assert len(_run(value, {"transcode": {"width": [1280, 1480]}})) == 200
    with pytest.raises(AirflowFailException, match=r"199\.mp4: width is 1479"):
        _run(value, {"transcode": {"width": [1280, 1478]}})


def test_a_typo_is_told_apart() -> None:
    """It is the DAG that has to be changed."""
    with pytest.raises(MpsConfigError, match=r"transcode\.widht"):
        _run(_result().as_json(), {"transcode": {"widht": 1280}})
