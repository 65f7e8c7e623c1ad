"""What the result operator hands on, where, and how large it may be."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.actions import BatchProcessMedia, ProcessMedia, describe
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsResultTooLarge, MpsTaskFailed, MpsTaskUnsettled
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.links.mps import MpsTaskLink
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.mps import MpsAbortTaskOperator, MpsTaskResultOperator
from airflow_provider_mps.results.result import MpsTaskResult
from tests.support.harness import FAILED, answer, as_json, new_context, part
from tests.support.task_ids import NO_TASK_IDS

_SUBTITLES = {"RawParameter": {"VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"}}
_SECRET = "canary-5cfa3e"


def _input(name: str) -> dict[str, Any]:
    return {"Type": "COS", "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-nanjing", "Object": f"/{name}"}}


def _finished(request: BatchProcessMedia | ProcessMedia) -> str:
    hook = MpsHook()
    task_id = hook.call(request).mps_task_id
    while not hook.call(describe(task_id)).is_finished:
        pass  # the local MPS goes on by looks
    return task_id


def _subtitle_task(*names: str) -> str:
    inputs = [_input(name) for name in names or ("talk.mp4",)]
    return _finished(BatchProcessMedia(InputInfo=inputs, SmartSubtitlesTask=_SUBTITLES))


def _run(task_id: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    context = new_context()
    value = MpsTaskResultOperator(task_id="result", mps_task_id=task_id, **arguments).execute(context)
    return as_json(value), context["ti"].xcoms


def test_a_batch_subtitle_task(airflow_mps: LocalMps) -> None:
    """Metadata of every input, bilingual subtitles with speakers and times, and the files, as plain JSON."""
    value, xcoms = _run(_subtitle_task("a.mp4", "b.mp4"), max_xcom_bytes=200_000)
    assert value["schema_version"] == 1
    assert [media["source"] for media in value["metadata"]] == [f"BatchTaskResult.Metadatas[{i}]" for i in (0, 1)]
    assert value["metadata"][0]["video_streams"][0]["width"] == 1920
    assert [subtitle["input_index"] for subtitle in value["subtitles"]] == [0, 1]
    subtitle = value["subtitles"][0]
    assert (subtitle["kind"], subtitle["language"], subtitle["translation_language"]) == ("translation", "zh", "en")
    assert subtitle["segment_count"] == len(subtitle["segments"]) == 120
    assert subtitle["segments"][1]["translation"] == "Let us first look at the city in the morning."
    assert value["outputs"][0]["uri"] == "cos://media-1250000000/output/subtitle.vtt"
    parts = {key: value[key] for key in ("metadata", "subtitles", "outputs")}
    assert xcoms == parts | {MpsTaskLink().xcom_key: airflow_mps.host}
    assert MpsTaskResult.model_validate(value).as_json() == value


def test_a_transcode_task(airflow_mps: LocalMps) -> None:
    """Every file of a transcode with snapshots, with kind, address and facts."""
    media = {"TranscodeTaskSet": [{"Definition": 100030}], "SampleSnapshotTaskSet": [{"Definition": 10}]}
    value, _ = _run(_finished(ProcessMedia(InputInfo=_input("film.mp4"), MediaProcessTask=media)))
    kinds = [output["kind"] for output in value["outputs"]]
    assert kinds == ["transcode"] + ["sample_snapshot"] * 10
    transcode = value["outputs"][0]
    assert (transcode["width"], transcode["duration"], transcode["container"]) == (
        1280,
        372.5,
        "mov,mp4,m4a,3gp,3g2,mj2",
    )
    assert transcode["uri"] == "cos://media-1250000000/output/film_Transcode_100030.mp4"
    assert transcode["storage"] == {
        "type": "COS",
        "bucket": "media-1250000000",
        "region": "ap-nanjing",
        "sub_app_id": None,
    }


def test_partial_results_are_opt_in_and_list_what_failed(airflow_mps: LocalMps) -> None:
    """Without allow_partial a failed part raises; with it the result names it beside what succeeded."""
    task_id = _subtitle_task("good.mp4", "talk.partial-failure.mp4")
    with pytest.raises(MpsTaskFailed, match=r"Outputs\[1\].*InternalError"):
        _run(task_id)
    value, _ = _run(task_id, allow_partial=True)
    assert [failure["path"] for failure in value["failures"]] == ["BatchTaskResult.SmartSubtitlesTaskResult.Outputs[1]"]
    assert len(value["subtitles"]) == 1


@pytest.mark.fault("F36")
def test_a_late_result_is_waited_for(airflow_mps: LocalMps) -> None:
    """FINISH without a result is looked at again before anything is said."""
    task_id = airflow_mps.backend.script([answer(), answer(), answer(part())])
    operator = MpsTaskResultOperator(task_id="result", mps_task_id=task_id, settle_grace=0.2)
    assert operator.execute(new_context())["outputs"][0]["path"] == "/a.mp4"
    with pytest.raises(MpsTaskUnsettled, match="holds no result"):
        _run(airflow_mps.backend.script([answer()]), settle_grace=0.05)


@pytest.mark.fault("F42")
def test_large_segments_without_a_place_fail_with_advice(airflow_mps: LocalMps) -> None:
    """Nothing is cut off in silence: the error names the size, the limit and what to set; nothing is pushed."""
    airflow_mps.backend.settings.segment_count = 2500
    context = new_context()
    task_id = _subtitle_task()
    with pytest.raises(MpsResultTooLarge, match=r"2500 subtitle segm.*48000.*output_path.*save_result.*max_xcom"):
        MpsTaskResultOperator(task_id="result", mps_task_id=task_id).execute(context)
    assert set(context["ti"].xcoms) == {MpsTaskLink().xcom_key}


@pytest.mark.fault("F55")
def test_nothing_secret_is_pushed(airflow_mps: LocalMps, tmp_path: Path) -> None:
    """Keys, tokens and signed addresses that MPS echoes reach neither XCom nor files nor errors."""
    signed = f"https://media.invalid/a.vtt?sign={_SECRET}"
    echo = {
        "TaskNotifyConfig": {"NotifyKey": _SECRET, "NotifyUrl": f"https://u:{_SECRET}@x.invalid/?token={_SECRET}"},
        "SessionContext": "harmless",
    }
    storage = {"Type": "AWS-S3", "S3OutputStorage": {"S3Bucket": "b", "S3SecretId": _SECRET, "S3SecretKey": _SECRET}}
    source = {"Type": "URL", "UrlInputInfo": {"Url": signed}}
    segments = [{"StartTimeOffset": 0, "EndTimeOffset": 1, "Text": "hello"}]
    output = {"SegmentSet": segments, "SubtitlePath": signed, "Path": signed, "OutputStorage": storage}
    task = {"Status": "SUCCESS", "ErrCode": 0, "Input": {"UserExtPara": _SECRET}, "Output": output}
    body = answer(SmartSubtitlesTaskResult=[{"AsrFullTextTask": task}], InputInfo=source) | echo
    value, xcoms = _run(
        airflow_mps.backend.script([body]),
        output_path=str(tmp_path),
        subtitle_formats=["json", "vtt"],
        save_result=True,
    )
    written = "".join(path.read_text() for path in tmp_path.rglob("*.*"))
    assert "hello" in written
    assert _SECRET not in json.dumps(value) + json.dumps(xcoms) + written
    failed = answer(part(Status="FAIL", ErrCode=1, Message=f"cannot read {signed}", Output=None), InputInfo=source)
    with pytest.raises(MpsTaskFailed, match=r"cannot read https://media\.invalid/a\.vtt") as caught:
        _run(airflow_mps.backend.script([failed | echo]))
    assert _SECRET not in str(caught.value) + repr(caught.value.failures)


_TAKE_AN_ID = [
    kind
    for kind in (getattr(operators, name) for name in operators.__all__)
    if "mps_task_id" in inspect.signature(kind.__init__).parameters
]


@pytest.mark.fault("F71")
@pytest.mark.parametrize("kind", _TAKE_AN_ID, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("value", NO_TASK_IDS, ids=lambda value: f"{value!r:.30}")
def test_no_id_is_refused_before_any_request(airflow_mps: LocalMps, kind: Any, value: Any) -> None:
    """What is no TaskId gives one clear error and no request, whichever operator it was given to."""
    assert {MpsTaskResultOperator, MpsAbortTaskOperator} <= set(_TAKE_AN_ID)
    with pytest.raises(MpsConfigError, match="no MPS TaskId"):
        kind(task_id="a_task", mps_task_id=value).execute(new_context())
    assert not airflow_mps.backend.calls


@pytest.mark.fault("F40")
def test_a_failure_survives_airflows_pickling(airflow_mps: LocalMps) -> None:
    """A callback gets TaskId, RequestId, codes and messages from the exception."""
    task_id = airflow_mps.backend.script([FAILED])
    with pytest.raises(MpsTaskFailed) as caught:
        _run(task_id)
    error = caught.value
    assert error.mps_task_id == task_id
    assert error.request_id
    assert [(failure.code, failure.message) for failure in error.failures] == [("30010", "broken")]
