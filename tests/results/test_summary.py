"""The summary at the end of a log tells what came out, how long it took and what the bill goes by."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.results.summary import summarize
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import sample
from tests.support.harness import answer, part
from tests.support.submitting import media

_ID = "1250000000-WorkflowTask-1"
_STORAGE = {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1250000000", "Region": "ap-nanjing"}}


def _summary(body: dict[str, Any]) -> list[str]:
    return summarize(TaskDetail.of(body), _ID)


def _wrote(name: str, **facts: Any) -> dict[str, Any]:
    return part(Output={"Path": name, "OutputStorage": _STORAGE, **facts})


def test_the_published_answer_reads_well() -> None:
    """All of it, as a person sees it."""
    uri = "cos://vodtestgz-235303****/output/videoplayback_transcode_210.m3u8"
    assert _summary(sample("describe_task_detail.finish")) == [
        f"MPS task {_ID} has ended (RequestId requestId)",
        "  1 of 1 parts succeeded, 1 s in the queue, 18 s at work",
        "  in   cos://vodtestbj-235303****/input/videoplayback.mp4  380.947 s  480x360  h264/aac  19.6 MB",
        f"  out  {uri}  transcode  380.958 s  320x240  h264/aac  5.7 kB",
        "  media: 380.947 s in, 380.958 s out",
    ]


def test_a_failed_task_tells_what_it_still_wrote() -> None:
    """Failed parts are counted, the files of the others are listed: they exist, and they cost."""
    failed = part(Status="FAIL", ErrCode=30010, Message="broken", Output=None)
    assert _summary(answer(_wrote("/a.mp4", Duration=60), failed))[1:] == [
        "  1 of 2 parts succeeded, 1 failed",
        "  out  cos://out-1250000000/a.mp4  transcode  60 s",
        "  media: 60 s out",
    ]


def test_texts_are_results_too() -> None:
    """A described picture has no file: the log says that there is a text, and not what it says."""
    body = {"Status": "FINISH", "ImageProcessTaskResultSet": [{"Status": "SUCCESS", "Output": {"Content": "a cat"}}]}
    assert _summary(body)[2:] == ["  text image, 5 characters"]


def test_names_are_readable() -> None:
    """The log shows a name as it is in the bucket, not as a URI encodes it."""
    assert _summary(answer(_wrote("/视频 1.mp4")))[2] == "  out  cos://out-1250000000/视频 1.mp4  transcode"


def test_many_files_of_a_kind_are_one_line() -> None:
    """A hundred snapshots are counted, the video beside them is listed."""
    shots = {"ImagePathSet": [f"/shots/{n}.jpg" for n in range(100)], "OutputStorage": _STORAGE}
    snapshots = {"Type": "SampleSnapshot", "SampleSnapshotTask": part(Output=shots)["TranscodeTask"]}
    _, _, *lines = _summary(answer(_wrote("/shots/a.mp4"), snapshots))
    assert lines == [
        "  out  cos://out-1250000000/shots/a.mp4  transcode",
        "  out  cos://out-1250000000/shots/  100 files of kind sample_snapshot",
    ]


def test_it_stays_short_and_says_so() -> None:
    """Thousands of inputs do not flood the log; what is left out is counted, and the totals count all."""
    infos = [media(f"{n}.mp4") for n in range(1000)]
    body = {"Status": "FINISH", "BatchTaskResult": {"InputInfos": infos, "Metadatas": [{"Duration": 2000.5}] * 1000}}
    lines = _summary(body)
    assert len(lines) == 32
    assert lines[-2:] == ["  ... and 972 lines more", "  media: 2000500 s in"]


@pytest.mark.parametrize(
    ("begun", "ended", "text"),
    [
        ("2026-01-01T00:00:05Z", "2026-01-01T00:01:15Z", "5 s in the queue, 1 min 10 s at work"),
        ("2026-01-01T02:30:00Z", "2026-01-01T05:31:00Z", "2 h 30 min in the queue, 3 h 1 min at work"),
        ("0000-00-00T00:00:00Z", "2026-01-01T00:00:09Z", ""),
        ("2026-01-01T00:00:05Z", "", "5 s in the queue"),
        ("2025-12-31T00:00:00Z", "2025-12-30T00:00:00Z", ""),
    ],
)
def test_times_are_told_where_mps_tells_them(begun: str, ended: str, text: str) -> None:
    """Queue and work apart; nothing is made up from a time that is missing or makes no sense."""
    times = {"CreateTime": "2026-01-01T00:00:00Z", "BeginProcessTime": begun, "FinishTime": ended}
    assert _summary(answer(part()) | times)[1] == f"  1 of 1 parts succeeded{', ' if text else ''}{text}"


def test_no_secret_gets_in() -> None:
    """Inputs and outputs lose their signatures."""
    info = {"Type": "URL", "UrlInputInfo": {"Url": "https://a.invalid/in.mp4?sign=canary"}}
    text = "\n".join(_summary(answer(part(Output={"Path": "https://a.invalid/o.mp4?sign=canary"}), InputInfo=info)))
    assert "https://a.invalid/in.mp4" in text
    assert "https://a.invalid/o.mp4" in text
    assert "canary" not in text
