"""MpsMediaMetadataOperator reads a file before a job is paid for, in the form that results use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsConfigError
from airflow_provider_mps.inputs import cos_input, url_input
from airflow_provider_mps.operators.mps import MpsMediaMetadataOperator, MpsProcessMediaOperator, MpsTaskResultOperator
from airflow_provider_mps.results.media import MediaMetadata
from tests.support.harness import as_json, new_context, run_operator
from tests.support.submitting import process

COS = cos_input("media-1250000000", "ap-guangzhou", "talk.mp4")


def _read(input_info: Any = COS, **arguments: Any) -> dict[str, Any]:
    operator = MpsMediaMetadataOperator(task_id="inspect", input_info=input_info, **arguments)
    value: dict[str, Any] = operator.execute(new_context())
    return value


def test_it_says_what_a_result_says(airflow_mps: LocalMps) -> None:
    """One form for a file before its job and for the input in its result; no job is started for it."""
    read = _read()
    assert airflow_mps.backend.counts()["jobs"] == 0
    assert read == as_json(read)
    assert MediaMetadata.model_validate(read).video.width == 1920
    context = new_context()
    submit = MpsProcessMediaOperator(task_id="submit", request=process(), poll_interval=0.02)
    task_id = run_operator(lambda: submit, context)
    result = MpsTaskResultOperator(task_id="result", mps_task_id=task_id).execute(new_context())
    assert result["metadata"] == [read | {"source": "WorkflowTask.MetaData"}]


@pytest.mark.parametrize("mode", [None, "slow"])
def test_the_mode_is_sent_only_where_asked_for(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """MPS knows one word for it; without it the parameter stays away."""
    seen: list[tuple[Any, ...]] = []
    answer = airflow_mps.backend.answer
    monkeypatch.setattr(airflow_mps.backend, "answer", lambda *call: seen.append(call) or answer(*call))
    _read(mode=mode)
    assert [call[1] for call in seen] == [{"InputInfo": COS} | ({"Mode": "slow"} if mode else {})]


def test_a_file_that_mps_cannot_read(airflow_mps: LocalMps) -> None:
    """The code and the RequestId are in the error, the signature of the address is not."""
    with pytest.raises(
        MpsApiError, match=r"DescribeMediaMetaData with InvalidParameterValue.SrcFile.*RequestId"
    ) as caught:
        _read(url_input("https://media.invalid/talk.source-error.mp4?sign=CANARY"))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("input_info", [None, "talk.mp4", [COS], {"X": float("nan")}], ids=repr)
def test_a_bad_input_is_never_sent(airflow_mps: LocalMps, input_info: Any) -> None:
    """It fails before the first call."""
    with pytest.raises(MpsConfigError):
        _read(input_info)
    assert not airflow_mps.backend.calls


def test_a_lost_answer_is_asked_for_again(airflow_mps: LocalMps) -> None:
    """Reading does no harm twice."""
    airflow_mps.backend.faults.add(Fault("reset", action="DescribeMediaMetaData", when="after", times=1))
    assert _read()["duration"] == 372.5


def test_a_probe_without_metadata_is_no_success(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that tells nothing of the file is not handed on as a file of which nothing is known."""
    from airflow_provider_mps.client.actions import DescribeMediaMetaData
    from airflow_provider_mps.errors import MpsTransportError

    for answer in ({}, {"MetaData": None}, {"MetaData": {}}, {"MetaData": "x"}):
        monkeypatch.setattr(airflow_mps.backend, "answer", lambda *_, answer=answer: answer)
        with pytest.raises(MpsTransportError, match="holds no MetaData"):
            _read()
    with pytest.raises(ValueError, match="holds no MetaData"):
        DescribeMediaMetaData(input_info=COS).result({})


def test_secrets_of_the_input_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow shows rendered fields: the keys of an S3 input are masked in them."""
    from airflow.sdk import log as sdk_log

    masked: list[str] = []
    monkeypatch.setattr(sdk_log, "mask_secret", masked.append)
    s3 = {"Type": "AWS-S3", "S3InputInfo": {"S3Bucket": "b", "S3SecretId": "ID-1", "S3SecretKey": "KEY-1"}}
    operator = MpsMediaMetadataOperator(task_id="inspect", input_info=s3)
    operator.render_template_fields({})
    assert masked == ["ID-1", "KEY-1"]
    assert json.dumps(operator.input_info) == json.dumps(s3)
