"""Published and recorded payloads: what is read from each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pendulum
import pytest

from airflow_provider_mps.results.result import SCHEMA_VERSION, MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.verdict import Finding
from tests.support.answers import DATA, sample


@dataclass(frozen=True)
class Expected:
    """What one payload says."""

    mps_task_id: str
    summary: str
    failures: tuple[Finding, ...] = ()
    unsettled: tuple[str, ...] = ()
    durations: list[float] = field(default_factory=list)
    subtitles: list[tuple[str, int]] = field(default_factory=list)
    outputs: list[tuple[str, str | None]] = field(default_factory=list)


def _event(name: str) -> dict[str, Any]:
    """A callback's task object as the answer that DescribeTaskDetail would give of it."""
    return {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": sample(name)["WorkflowTaskEvent"]}


_OUT = "cos://gztest-125****654/dasda"
PAYLOADS: dict[str, tuple[dict[str, Any], Expected]] = {
    "describe_task_detail.finish": (
        sample("describe_task_detail.finish"),
        Expected(
            "235303****-WorkflowTask-80108cc3380155d98b2e3573a48a******",
            "FINISH (1/1 parts done)",
            durations=[380.9465637207031],
            outputs=[("transcode", "cos://vodtestgz-235303****/output/videoplayback_transcode_210.m3u8")],
        ),
    ),
    "describe_task_detail.processing": (
        sample("describe_task_detail.processing"),
        Expected(
            "2451******-WorkflowTask-fc2172f5******a2e507cece0cb06fbet0",
            "PROCESSING (0/1 parts done)",
            durations=[204.2919921875],
        ),
    ),
    "describe_batch_task_detail.finish": (
        sample("describe_batch_task_detail.finish"),
        Expected(
            "24xxxxx-BatchTask-e6fefa34fc497xxxxxxx7det20",
            "FINISH (1/1 parts done)",
            durations=[55.455],
            subtitles=[("translation", 2)],
            outputs=[("subtitle", "http://tetst-xxxx-12234xxx.cos.ap-xxxx.myqcloud.com/output/3529.vtt")],
        ),
    ),
    "callback.workflow_task.partial_failure": (
        _event("callback.workflow_task.partial_failure"),
        Expected(
            "245****654-WorkflowTask-f46dac7fe2436c47******d71946986t0",
            "FINISH (3/4 parts done, 1 failed)",
            failures=(
                Finding(
                    "WorkflowTask.MediaProcessResultSet[1].AnimatedGraphicTask",
                    "FAIL",
                    "30010",
                    "TencentVodPlatErr Or Unkown",
                ),
            ),
            durations=[11.261677742004395],
            outputs=[
                ("transcode", f"{_OUT}/dianping2_transcode_10.mp4"),
                ("snapshot", f"{_OUT}/dianping2_snapshotByOffset_10_0.jpg"),
                ("image_sprite", f"{_OUT}/imageSprite/dianping2_imageSprite_10_0.jpg"),
                ("web_vtt", f"{_OUT}/imageSprite/dianping2_imageSprite_10.vtt"),
            ],
        ),
    ),
    "callback.workflow_task.no_subtasks": (
        _event("callback.workflow_task.no_subtasks"),
        Expected(
            "2600010949-WorkflowTask-764a7f3ca6f6eb13cda2048cfb034025tt7",
            "FINISH",
            unsettled=("WorkflowTask",),
            durations=[30.571],
        ),
    ),
    "vod_sibling.describe_task_detail.edit_media_error": (
        sample("vod_sibling.describe_task_detail.edit_media_error"),
        Expected(
            "1257290329-EditMedia-4f1921b9fbcb8149e9719978212b5636t0",
            "FINISH (0/1 parts done, 1 failed)",
            failures=(Finding("EditMediaTask", "FINISH", "40000", "invalid input"),),
        ),
    ),
}
OTHERS = {
    "batch_process_media",
    "process_media",
    "manage_task",
    "describe_tasks.page",
    "describe_media_meta_data",
    "describe_image_task_detail.finish",
    "describe_image_task_detail.processing",
    "error.signature_failure",
    "callback.live_stream.process_eof",
}


def test_every_payload_is_read_somewhere() -> None:
    """A payload that is added to tests/data needs a line here; those of other actions are read by their own tests."""
    assert {path.stem for path in DATA.glob("*.json")} == set(PAYLOADS) | OTHERS


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_published_payload(name: str) -> None:
    """Verdict, TaskId, metadata, subtitles and files of a real answer."""
    body, expected = PAYLOADS[name]
    detail = TaskDetail.of(body)
    assert detail.mps_task_id == expected.mps_task_id
    assert detail.summary == expected.summary
    assert detail.failures == expected.failures
    assert tuple(found.path for found in detail.unsettled) == expected.unsettled
    assert [metadata.duration for metadata in detail.metadata] == expected.durations
    assert [(subtitle.kind, subtitle.segment_count) for subtitle in detail.subtitles] == expected.subtitles
    assert [(output.kind, output.uri) for output in detail.outputs] == expected.outputs


def test_what_a_transcoded_file_tells() -> None:
    """Size, times, streams and template of the file stand beside its address."""
    [output] = TaskDetail.of(sample("describe_task_detail.finish")).outputs
    assert (output.definition, output.size, output.duration) == (210, 5692, 380.9580078125)
    assert [stream.codec for stream in (*output.video_streams, *output.audio_streams)] == ["h264", "aac"]
    assert output.source == "WorkflowTask.MediaProcessResultSet[0].TranscodeTask.Output.Path"


def test_the_parsed_result_is_plain_json_that_reads_back() -> None:
    """The value for the next task: snake_case, versioned, times as text, and a model again on the other side."""
    for body, _ in PAYLOADS.values():
        detail = TaskDetail.of(body)
        result = MpsTaskResult.of(detail, "task-1")
        plain = json.loads(json.dumps(result.as_json(), allow_nan=False))
        assert plain["schema_version"] == SCHEMA_VERSION
        assert plain["mps_task_id"] == "task-1"
        assert set(plain) == set(MpsTaskResult.model_fields)
        again = MpsTaskResult.model_validate(plain)
        assert again == result
        assert again.finish_time == detail.finish_time


def test_the_head_of_a_published_answer() -> None:
    """Status, type, times and RequestId are the same fields for every task type."""
    detail = TaskDetail.of(sample("describe_batch_task_detail.finish"))
    assert (detail.task_type, detail.status, detail.is_finished, detail.is_known) == ("BatchTask", "FINISH", True, True)
    assert detail.finish_time == pendulum.datetime(2025, 5, 17, 7, 15, 36, tz="UTC")
    assert detail.request_id


@pytest.mark.fault("F38")
@pytest.mark.parametrize(
    ("status", "finished", "known"),
    [
        ("FINISH", True, True),
        ("WAITING", False, True),
        ("PROCESSING", False, True),
        ("finish", False, False),
        ("SUCCESS", False, False),
        ("FAIL", False, False),
        ("", False, False),
        (None, False, False),
        (["FINISH"], False, False),
    ],
)
def test_the_status_of_a_task(status: Any, finished: bool, known: bool) -> None:
    """Three words are documented; anything else neither ends a task nor passes for known."""
    detail = TaskDetail.of({"Status": status})
    assert (detail.is_finished, detail.is_known) == (finished, known)


def test_a_detail_keeps_the_whole_answer_to_itself() -> None:
    """Fields that nobody models stay reachable in ``body``, which no dump and no repr shows."""
    detail = TaskDetail.of({"Status": "FINISH", "Future": {"Field": "value-1"}})
    assert detail.body["Future"] == {"Field": "value-1"}
    assert "value-1" not in f"{detail!r}{detail.model_dump_json()}"
