"""The quality gate: every difference is listed, nothing unknown passes, and what makes no sense is refused."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.errors import MpsConfigError, MpsQualityError
from airflow_provider_mps.results.media import AudioStream, MediaMetadata, VideoStream
from airflow_provider_mps.results.outputs import OutputFile
from airflow_provider_mps.results.quality import MediaExpectation, check
from airflow_provider_mps.results.result import MpsTaskResult

VIDEO = VideoStream(codec="h264", width=1280, height=720, fps=25, bitrate=1_200_000, hdr_type="hdr10")
AUDIO = AudioStream(codec="aac", sampling_rate=44_100, channels=2, bitrate=128_000, loudness=-16.2)
SOURCE = MediaMetadata(source="WorkflowTask.MetaData", duration=372.5, container="mov", video_streams=(VIDEO,))
GOOD = OutputFile(
    kind="transcode",
    uri="cos://b-1/good.mp4",
    container="mov,mp4,m4a,3gp,3g2,mj2",
    size=43_303_172,
    duration=372.48,
    bitrate=1_328_000,
    width=1280,
    height=720,
    video_streams=(VIDEO,),
    audio_streams=(AUDIO,),
)


def _task(*outputs: OutputFile, **fields: Any) -> dict[str, Any]:
    task = MpsTaskResult(mps_task_id="24-WorkflowTask-1", metadata=(SOURCE,), outputs=outputs)
    return task.model_copy(update=fields).as_json()


EVERYTHING = {
    "container": "mp4",
    "size": [1, None],
    "duration": [372, 373],
    "duration_tolerance": 0.5,
    "width": 1280,
    "height": [720, 1080],
    "fps": 25,
    "bitrate": [None, 2_000_000],
    "video_codec": ["H264", "hevc"],
    "video_bitrate": [1_000_000, 1_500_000],
    "hdr_type": "hdr10",
    "audio_codec": "aac",
    "sampling_rate": 44_100,
    "channels": [1, 2],
    "loudness": [-17, -15],
    "has_video": True,
    "has_audio": True,
}


def test_what_is_as_expected_passes() -> None:
    """Exact values, ranges, open ends, several names; the addresses of the files come back."""
    assert set(EVERYTHING) == set(MediaExpectation.model_fields)
    assert check(_task(GOOD), {"transcode": EVERYTHING}) == ["cos://b-1/good.mp4"]


def test_every_difference_is_listed() -> None:
    """All facts of all files at once, so that nobody fixes one after the other."""
    bad = GOOD.model_copy(
        update={"uri": "cos://b-1/bad.mp4", "width": 640, "duration": 200.0, "audio_streams": (), "video_streams": ()}
    )
    expect = {"width": [1280, 1920], "duration_tolerance": 0.5, "has_audio": True, "loudness": [-17, -15], "fps": 25}
    with pytest.raises(MpsQualityError) as caught:
        check(_task(GOOD, bad), {"transcode": expect, "input": {"duration": [None, 60]}})
    assert str(caught.value) == (
        "The result of MPS task 24-WorkflowTask-1 is not as expected:\n"
        "  cos://b-1/bad.mp4: duration is 200.0, expected 372.5 as the input, within 0.5\n"
        "  cos://b-1/bad.mp4: width is 640, expected at least 1280 and at most 1920\n"
        "  cos://b-1/bad.mp4: fps is not given by MPS, expected 25\n"
        "  cos://b-1/bad.mp4: loudness is not given by MPS, expected at least -17 and at most -15\n"
        "  cos://b-1/bad.mp4: has_audio is False, expected True\n"
        "  WorkflowTask.MetaData: duration is 372.5, expected at most 60"
    )
    assert len(caught.value.violations) == 6


@pytest.mark.parametrize("fact", [fact for fact in EVERYTHING if fact not in {"has_audio", "has_video"}])
def test_what_is_not_told_does_not_pass(fact: str) -> None:
    """An expectation about a fact that MPS does not give is not met."""
    nothing = OutputFile(kind="transcode", path="/nothing.mp4")
    with pytest.raises(MpsQualityError) as caught:
        check(_task(nothing), {"transcode": {fact: EVERYTHING[fact]}})
    [violation] = caught.value.violations
    assert (violation.file, violation.found) == ("/nothing.mp4", None)
    assert "not given by MPS" in str(violation)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("container", "webm"),
        ("container", "m4"),
        ("size", [None, 10]),
        ("duration", 372),
        ("duration_tolerance", 0),
        ("width", 1281),
        ("fps", [30, 60]),
        ("video_codec", ["av1", "vp9"]),
        ("audio_codec", "opus"),
        ("channels", 6),
        ("loudness", [-15, None]),
        ("has_video", False),
        ("has_audio", False),
    ],
)
def test_each_fact_can_fail(fact: str, value: Any) -> None:
    """One difference each, with what was expected and what was found."""
    with pytest.raises(MpsQualityError) as caught:
        check(_task(GOOD), {"transcode": {fact: value}})
    assert len(caught.value.violations) == 1


def test_no_file_is_a_difference() -> None:
    """A kind that the task did not write fails, and the text names those that it did."""
    with pytest.raises(MpsQualityError, match=r"transcod: the number of files is 0, expected at least 1 .*input, tr"):
        check(_task(GOOD), {"transcod": {"width": 1280}})


def test_the_input_has_to_be_one_to_compare_with() -> None:
    """With several inputs it is not known which one an output came from."""
    with pytest.raises(MpsQualityError, match="that of the input, which MPS does not give"):
        check(_task(GOOD, metadata=(SOURCE, SOURCE)), {"transcode": {"duration_tolerance": 1}})


def test_an_edit_is_checked_by_the_metadata_beside_it() -> None:
    """EditMedia tells the facts of its output in a metadata object; that is no input."""
    about = MediaMetadata(source="EditMediaTask.Output.MetaData", duration=10, width=640)
    output = OutputFile(kind="edit", source="EditMediaTask.Output.Path", uri="cos://b-1/cut.mp4")
    task = _task(output, metadata=(about,))
    assert check(task, {"edit": {"width": 640, "duration": 10}}) == ["cos://b-1/cut.mp4"]
    with pytest.raises(MpsQualityError, match="input: the number of files is 0"):
        check(task, {"input": {"width": 640}})


def test_a_probe_is_checked_as_an_input() -> None:
    """What MpsMediaMetadataOperator returns, before a job is paid for."""
    probed = SOURCE.model_dump(mode="json")
    assert check(probed, {"input": {"duration": [1, 600], "has_video": True}}) == []
    with pytest.raises(MpsQualityError, match=r"^The file is not as expected:\n  WorkflowTask.MetaData: has_audio"):
        check(probed, {"input": {"has_audio": True}})


@pytest.mark.parametrize(
    ("expect", "text"),
    [
        ({}, "must be like"),
        (None, "must be like"),
        ({"transcode": {"widht": 5}}, "transcode.widht"),
        ({"transcode": {"width": [5, 1]}}, r"transcode.width: .*the lower bound comes first"),
        ({"transcode": {"width": [None, None]}}, "transcode.width"),
        ({"transcode": {"duration_tolerance": float("inf")}}, "transcode.duration_tolerance"),
        ({"transcode": {"width": "wide"}}, "transcode.width"),
        ({"transcode": {"width": [1, 2, 3]}}, "transcode.width"),
        ({"transcode": {"width": ["a", 3]}}, "transcode.width"),
        ({"transcode": {"width": float("nan")}}, "transcode.width"),
        ({"transcode": {"duration_tolerance": -1}}, "transcode.duration_tolerance"),
        ({"transcode": {"has_audio": "maybe"}}, "transcode.has_audio"),
        ({"transcode": 5}, "transcode: "),
    ],
    ids=repr,
)
def test_an_expectation_that_makes_no_sense(expect: Any, text: str) -> None:
    """A typo is an error of its own, never a check that cannot fail."""
    with pytest.raises(MpsConfigError, match=text):
        check(_task(GOOD), expect)


def test_a_shortened_result_is_not_checked() -> None:
    """Files that were left out of XCom would pass unseen."""
    with pytest.raises(MpsConfigError, match=r"lacks outputs; read it from s3://b/result\.json"):
        check(_task(GOOD, left_out={"outputs": 5}, full_result="s3://b/result.json"), {"transcode": {"width": 1280}})
    assert check(_task(GOOD, left_out={"segments": 5}), {"transcode": {"width": 1280}})


def test_what_is_no_result() -> None:
    """The output of some other task."""
    with pytest.raises(MpsConfigError, match="result is a str, not what an MPS operator returned"):
        check("a", {"transcode": {"width": 1}})  # type: ignore[arg-type]  # the mistake that is tested
