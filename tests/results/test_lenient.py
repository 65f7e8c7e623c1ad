"""Reading is lenient: nulls, absent keys and wrong types anywhere lose a value, never the answer."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.errors import MpsTaskError
from airflow_provider_mps.results.media import find_metadata
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.subtitles import find_subtitles
from airflow_provider_mps.results.task import SubmittedTask, TaskDetail, TaskPage
from tests.support.answers import ECHOES, sample, successes


def _one_part_each(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Small answers, each with one part of a large one: what is wrong in one part must not hide in the others."""
    [name] = [key for key, value in answer.items() if isinstance(value, dict) and key not in ECHOES]
    task = answer[name]
    for key, value in task.items():
        for part in value if isinstance(value, list) else []:
            yield answer | {name: {"Status": "FINISH", key: [part]}}
        if isinstance(value, dict) and key not in ECHOES:
            yield answer | {name: {"Status": "FINISH", key: value}}


BODIES = [
    *(body for answer in successes().values() for body in _one_part_each(answer)),
    sample("describe_task_detail.finish"),
    sample("describe_task_detail.processing"),
    sample("describe_batch_task_detail.finish"),
    sample("callback.workflow_task.partial_failure"),
    sample("vod_sibling.describe_task_detail.edit_media_error"),
]
Step = str | int
GONE = object()


def _all_places(node: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        if key not in ECHOES - {"Input"}:
            yield from _all_places(value, (*path, key))


PLACES = [(number, place) for number, body in enumerate(BODIES) for place in _all_places(body)]
# The same field of the same kind of part needs no second look.
DISTINCT = list(
    {tuple(step for step in place if isinstance(step, str))[-4:]: (number, place) for number, place in PLACES}.values()
)


def _with(body: dict[str, Any], place: tuple[Step, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    node: Any = changed
    for step in place[:-1]:
        node = node[step]
    if value is GONE:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return changed


def _read_all(body: Any) -> None:
    """Read everything that can be read, and make of it what leaves this package: plain JSON."""
    for is_image in (False, True):
        detail = TaskDetail.of(body, is_image=is_image)
        assert isinstance(detail.summary, str)
        assert isinstance(detail.mps_task_id, str)
        assert not (detail.verdict.failures and detail.verdict.parts < detail.verdict.succeeded)
        with contextlib.suppress(MpsTaskError):
            detail.raise_for_failure("t", allow_partial=True)
        result = MpsTaskResult.of(detail, "t").as_json()
        assert MpsTaskResult.model_validate(json.loads(json.dumps(result, allow_nan=False))).as_json() == result
    for subtitle in detail.subtitles:
        assert isinstance(subtitle.to_srt(), str)
        assert isinstance(subtitle.to_vtt(), str)


wrong_values = st.sampled_from(
    [
        "\ud83d",
        [5],
        ["x"],
        GONE,
        None,
        "",
        "x",
        0,
        -1,
        10**400,
        1e308,
        float("nan"),
        float("inf"),
        True,
        [],
        {},
        [None],
        [[]],
        [{}],
        {"x": None},
    ]
) | st.text(max_size=3)


@settings(max_examples=400)
@given(where=st.sampled_from(PLACES), value=wrong_values)
def test_any_value_may_be_missing_null_or_of_another_type(where: tuple[int, tuple[Step, ...]], value: Any) -> None:
    """One wrong value anywhere in any answer that we know breaks neither verdict, metadata, subtitles nor files."""
    number, place = where
    assume(value is not GONE or isinstance(place[-1], str))
    _read_all(_with(BODIES[number], place, value))


@pytest.mark.parametrize("value", [None, ["x"], {"x": 1}, 1e308, 10**400], ids=lambda value: f"{value!r:.12}")
@pytest.mark.parametrize("name", ["TransSrc", "Path", "SubtitlePath", "StartTimeOffset", "Confidence", "SegmentSet"])
def test_what_once_broke_does_not(name: str, value: Any) -> None:
    """Values that cannot be hashed or are too large for a time, in the fields where they were met."""
    for number, place in DISTINCT:
        if place[-1] == name:
            _read_all(_with(BODIES[number], place, value))


names = st.sampled_from(sorted({step for number, place in PLACES for step in place if isinstance(step, str)}))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("SUCCESS")
structures = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=25,
)


@given(body=st.dictionaries(names, structures, max_size=5))
def test_any_structure_of_known_names_is_read(body: dict[str, Any]) -> None:
    """Nor does an answer whose names we know in an order and nesting that we do not."""
    _read_all(body)


def test_every_single_null_is_read() -> None:
    """MPS writes null where its documentation says "never null": every field of every part, one after the other."""
    assert len(DISTINCT) > 800
    for number, place in DISTINCT:
        _read_all(_with(BODIES[number], place, None))


def test_a_wrong_value_is_lost_alone() -> None:
    """What stands beside it keeps its value."""
    meta = {
        "Size": "big",
        "Duration": 5,
        "Width": None,
        "Height": [1],
        "VideoStreamSet": [{"Fps": {}, "Codec": "h264"}],
    }
    [metadata] = find_metadata({"WorkflowTask": {"MetaData": meta}})
    assert (metadata.size, metadata.width, metadata.height, metadata.duration) == (None, None, None, 5.0)
    assert [(stream.fps, stream.codec) for stream in metadata.video_streams] == [(None, "h264")]


def test_a_wrong_item_of_a_list_is_lost_alone() -> None:
    """A null is no item; one that cannot be read keeps its place, so that the others keep theirs."""
    streams = [None, "broken", {"Codec": "h264", "Bitrate": "fast"}, {"Codec": "hevc"}]
    [metadata] = find_metadata({"W": {"MetaData": {"Size": 1, "VideoStreamSet": streams}}})
    assert [stream.codec for stream in metadata.video_streams] == [None, "h264", "hevc"]
    assert metadata.size == 1


def test_a_wrong_segment_is_lost_alone() -> None:
    """One broken sentence among many leaves the others, and their order."""
    line = {"StartTimeOffset": 1, "EndTimeOffset": 2, "Text": "a"}
    broken = [
        line,
        None,
        "text",
        line | {"EndTimeOffset": "late"},
        line | {"Text": None},
        {"Wordlist": {}},
        line | {"Text": "z"},
    ]
    body = {"W": {"AsrFullTextTask": {"Status": "SUCCESS", "Output": {"SegmentSet": broken}}}}
    [subtitle] = find_subtitles(body)
    assert subtitle.segment_count == 5
    assert [(one.start, one.end, one.text) for one in subtitle.segments] == [
        (1, 2, "a"),
        (1, 0, "a"),
        (1, 2, ""),
        (0, 0, ""),
        (1, 2, "z"),
    ]


def test_numbers_and_texts_change_places() -> None:
    """MPS writes numbers as text and the other way round in places; both are read."""
    body = {"Status": "FINISH", "TaskType": 5, "WorkflowTask": {"MetaData": {"Size": "12", "Duration": "1.5"}}}
    detail = TaskDetail.of(body)
    assert detail.task_type == "5"
    assert (detail.metadata[0].size, detail.metadata[0].duration) == (12, 1.5)


def test_a_page_of_tasks_is_read_leniently() -> None:
    """Old answers lack TotalCount; an item that is none is left out."""
    page = TaskPage.of(
        {"TaskSet": [{"TaskId": "a", "FinishTime": "0000-00-00T00:00:00Z"}, None, 5], "ScrollToken": None}
    )
    assert [(item.mps_task_id, item.finish_time) for item in page.tasks] == [("a", None)]
    assert (page.scroll_token, page.total_count) == ("", None)
    assert TaskPage.of({"TaskSet": None}).tasks == ()


def test_the_published_page_and_submissions() -> None:
    """The examples of the documentation."""
    page = TaskPage.of(sample("describe_tasks.page"))
    assert len(page.tasks) == len(sample("describe_tasks.page")["TaskSet"])
    assert all(item.mps_task_id and item.create_time for item in page.tasks)
    assert (
        SubmittedTask.of(sample("process_media")).mps_task_id
        == "2600007696-WorkflowTask-67771a50b24d08baaf6165da23461e36tt7"
    )
    assert SubmittedTask.of(sample("batch_process_media")).mps_task_id.endswith("t20")
