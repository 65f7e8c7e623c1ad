"""Times and numbers as MPS writes them, and metadata from each of its places."""

from __future__ import annotations

from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.media import AudioStream, MediaMetadata, VideoStream, find_metadata
from airflow_provider_mps.results.model import as_items, finite, parse_time
from airflow_provider_mps.results.subtitles import find_subtitles
from airflow_provider_mps.results.task import TaskState
from tests.support.answers import sample, successes


@pytest.mark.fault("F44")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-07-16T06:21:27Z", "2019-07-16T06:21:27Z"),
        ("2019-07-16T14:21:27+08:00", "2019-07-16T06:21:27Z"),
        ("2019-07-16T06:21:27.123Z", "2019-07-16T06:21:27.123000Z"),
        ("0000-00-00T00:00:00Z", None),
        ("0000-00-00 00:00:00", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("2019-13-45T99:99:99Z", None),
        ("2019-02-30T00:00:00Z", None),
        ("2019-07-16 06:21", "2019-07-16T06:21:00Z"),
        ("2019", None),
        ("12:30:00", None),
        ("P1D", None),
        ("0:", None),
        ("2019-07-16T06:21:27Z/P1D", None),
        (1563258087, None),
        ([], None),
    ],
)
def test_a_time_is_utc_or_none(value: Any, expected: str | None) -> None:
    """The year 0 means "not yet"; what is broken is absent, not an exception."""
    time = parse_time(value)
    assert (time and time.to_iso8601_string()) == expected
    assert time is None or time.timezone_name == "UTC"


@given(text=st.text() | st.from_regex(r"(\d{4}-\d\d-\d\d[T ])?\d{0,2}:\d{0,2}.{0,6}", fullmatch=True))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    """Whatever stands where a time should, the answer is read."""
    time = parse_time(text)
    assert time is None or isinstance(time, pendulum.DateTime)


def test_times_of_a_running_task() -> None:
    """The published answer of a running task has a FinishTime in the year 0."""
    state = TaskState.read(sample("describe_task_detail.processing"))
    assert state.begin_process_time == pendulum.datetime(2019, 8, 8, 7, 47, 9, tz="UTC")
    assert state.finish_time is None
    assert state.model_dump(mode="json")["begin_process_time"] == "2019-08-08T07:47:09Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        ("1.5", 1.5),
        (0, 0.0),
        ("x", None),
        (None, None),
        ([], None),
        ("nan", None),
        ("inf", None),
        (10**400, None),
    ],
    ids=repr,
)
def test_a_number_is_finite_or_none(value: Any, expected: float | None) -> None:
    """JSON knows neither NaN nor infinity, so a result does not either."""
    assert finite(value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-inf"])
def test_no_result_holds_a_number_that_json_has_not(value: Any) -> None:
    """It is absent, in metadata and in segments alike, and alone."""
    [metadata] = find_metadata({"W": {"MetaData": {"Duration": value, "Size": 1}}})
    assert (metadata.duration, metadata.size) == (None, 1)
    line = {"Text": "a", "EndTimeOffset": value, "Confidence": value}
    [subtitle] = find_subtitles({"W": {"AsrFullTextTask": {"Output": {"SegmentSet": [line]}}}})
    assert [(one.text, one.end, one.confidence) for one in subtitle.segments] == [("a", 0.0, None)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [([1], [1]), ((1,), [1]), ([], []), (None, []), ({"a": 1}, [{"a": 1}]), ("text", []), (5, [])],
)
def test_a_list_may_be_written_as_one_object(value: Any, expected: list[Any]) -> None:
    """SmartSubtitlesTaskResult is a list in one API and an object in the other."""
    assert as_items(value) == expected


def test_the_published_metadata() -> None:
    """Every field of the probe's example, zero values included."""
    [metadata] = find_metadata(sample("describe_media_meta_data"))
    assert metadata == MediaMetadata(
        source="MetaData",
        size=19626862,
        container="mov,mp4,m4a,3gp,3g2,mj2",
        duration=380.9465637207031,
        bitrate=409657,
        width=480,
        height=360,
        rotate=0,
        video_duration=380.8804931640625,
        audio_duration=380.9465637207031,
        video_streams=(
            VideoStream(
                codec="h264",
                bitrate=313658,
                width=480,
                height=360,
                fps=29,
                hdr_type="",
                codecs="avc1.ffe100",
                color_primaries="",
                color_space="",
                color_transfer="",
            ),
        ),
        audio_streams=(
            AudioStream(codec="aac", bitrate=95999, sampling_rate=44100, channels=2, loudness=0, codecs="mp4a.40.2"),
        ),
    )
    assert metadata.video == metadata.video_streams[0]
    assert metadata.audio == metadata.audio_streams[0]


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("WorkflowTask", ["WorkflowTask.MetaData"]),
        ("ScheduleTask", ["ScheduleTask.MetaData"]),
        ("EditMediaTask", ["EditMediaTask.Output.MetaData"]),
        ("BatchTaskResult", ["BatchTaskResult.Metadatas[0]"]),
        ("LiveStreamProcessTask", []),
        ("LiveScheduleTask", []),
        ("ExtractBlindWatermarkTask", []),
    ],
)
def test_each_documented_place_of_metadata(name: str, sources: list[str]) -> None:
    """Of the input, of an edit's output, or one for each input of a batch, under a plural key of its own."""
    found = find_metadata(successes()[name])
    assert [metadata.source for metadata in found] == sources
    assert all(metadata.size == 1 and metadata.video and metadata.audio for metadata in found)


def test_a_batch_keeps_the_order_of_its_inputs() -> None:
    """An input that could not be probed is null; the others keep their index."""
    body = {"BatchTaskResult": {"Metadatas": [{"Size": 1}, None, {"Size": 3}]}}
    assert [(metadata.source, metadata.size) for metadata in find_metadata(body)] == [
        ("BatchTaskResult.Metadatas[0]", 1),
        ("BatchTaskResult.Metadatas[2]", 3),
    ]


def test_a_silent_film_and_a_sound_without_picture() -> None:
    """A stream that is not there is None, not an exception."""
    film, sound = find_metadata({"A": {"MetaData": {"VideoStreamSet": [{"Fps": 25}]}}, "B": {"MetaData": {"Size": 1}}})
    assert film.video == VideoStream(fps=25)
    assert (film.audio, sound.video, sound.audio) == (None, None, None)
