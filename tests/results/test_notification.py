"""What MPS tells by itself is read like an answer, and its signature checked for what it is worth."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.errors import MpsNotificationError
from airflow_provider_mps.results.notification import Notification
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import sample, successes

# The documented way to sign, computed by hand: md5("1633046400" + "notify-key-EXAMPLE").
SIGNED = {"Timestamp": 1633046400, "Sign": "57f9b4f9846013fe5cab1c122743c49d"}
KEY = "notify-key-EXAMPLE"
EVENTS = {
    "WorkflowTask": "WorkflowTaskEvent",
    "EditMediaTask": "EditMediaTaskEvent",
    "ScheduleTask": "ScheduleTaskEvent",
    "BatchTaskResult": "BatchTaskEvent",
    "ExtractBlindWatermarkTask": "ExtractBlindWatermarkTask",
}


def test_a_recorded_job_with_a_failed_part() -> None:
    """FINISH and ErrCode 0, and yet one of four parts failed: the failure is named as in an answer."""
    told = Notification.of(sample("callback.workflow_task.partial_failure"))
    assert told.event_type == "WorkflowTask"
    assert told.mps_task_id == told.task.mps_task_id != ""
    assert told.task.is_finished
    [failure] = told.task.failures
    assert (failure.code, failure.status) == ("30010", "FAIL")
    assert failure.path.startswith("WorkflowTask.MediaProcessResultSet[")
    assert told.task.verdict.succeeded == 3
    assert (told.session_id, told.timestamp) == ("", None)


def test_a_recorded_job_without_parts() -> None:
    """Undocumented keys do no harm; without results it is neither success nor failure."""
    told = Notification.of(sample("callback.workflow_task.no_subtasks"))
    assert told.mps_task_id == "2600010949-WorkflowTask-764a7f3ca6f6eb13cda2048cfb034025tt7"
    assert [found.message for found in told.task.unsettled] == ["holds no result"]
    assert [metadata.duration for metadata in told.task.metadata] == [30.571]


@pytest.mark.parametrize("code", [0, 60000])
def test_the_end_of_a_live_stream(code: int) -> None:
    """ProcessEof ends the task; its error code says how."""
    body = sample("callback.live_stream.process_eof") | {"ProcessEofInfo": {"ErrCode": code, "Message": "told"}}
    told = Notification.of(body)
    assert (told.event_type, told.mps_task_id) == (
        "ProcessEof",
        "2600010949-procedure-live-48a2680775c4d73651ca894aaa91052ctt7",
    )
    assert told.task.is_finished
    assert [failure.code for failure in told.task.failures] == (["60000"] if code else [])
    assert told.findings == {}


def test_news_of_a_live_stream_that_goes_on() -> None:
    """Findings come as Tencent writes them, records also as files; the task has not ended."""
    record = {"RecordOver": 2, "FileResults": [{"Url": "https://h/a.mp4?sign=CANARY", "Size": 5, "Duration": 7}]}
    told = Notification.of({"NotificationType": "LiveRecordResult", "TaskId": "t-live", "LiveRecordResultInfo": record})
    assert not told.task.is_finished
    assert [(file.kind, file.uri, file.size) for file in told.task.outputs] == [("record", "https://h/a.mp4", 5)]
    assert told.findings == {"LiveRecordResultInfo": record}
    assert "CANARY" not in repr(told) + told.model_dump_json()


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_read_like_an_answer(name: str) -> None:
    """The same object under another name: the same verdict, files, subtitles and metadata."""
    answer = successes()[name]
    event_type = "BatchTask" if name == "BatchTaskResult" else name
    told = Notification.of({"EventType": event_type, EVENTS[name]: answer[name], "SessionContext": "mine"})
    detail = TaskDetail.of(answer)
    assert told.task.verdict == detail.verdict
    assert (told.task.outputs, told.task.metadata) == (detail.outputs, detail.metadata)
    assert [one.source for one in told.task.subtitles] == [one.source for one in detail.subtitles]
    assert (told.session_context, told.task.session_context) == ("mine", "mine")
    # A batch notification tells neither id nor status, so nobody can take it for the end of the job.
    assert (told.mps_task_id != "", told.task.is_finished) == ((name != "BatchTaskResult"),) * 2


def test_what_is_told_holds_no_secret() -> None:
    """Echoes, keys and the signature are in nothing that is printed or passed on."""
    body = {"EventType": "WorkflowTask", "WorkflowTaskEvent": {"InputInfo": {"X": "CANARY"}}, "Sign": "CANARY"}
    told = Notification.of(body)
    assert "CANARY" not in repr(told) + str(told) + told.model_dump_json() + json.dumps(told.model_dump(mode="json"))


@pytest.mark.fault("F78")
@pytest.mark.parametrize("sign", [SIGNED["Sign"], str(SIGNED["Sign"]).upper()], ids=["lower", "upper"])
def test_a_signed_notification_is_taken(sign: Any) -> None:
    """Until its time is over, in either case of letters: which one MPS writes is not documented."""
    told = Notification.of({"EventType": "WorkflowTask"} | SIGNED | {"Sign": sign})
    told.verify(KEY, now=1633046400)


@pytest.mark.fault("F78")
@pytest.mark.parametrize(
    ("changes", "key", "now", "text"),
    [
        ({}, "another-key", 1633046000, "another key"),
        ({"Timestamp": 1633046401}, KEY, 1633046000, "another key"),
        ({"Sign": "57f9b4f9846013fe5cab1c122743c49e"}, KEY, 1633046000, "another key"),
        ({"Sign": "\u00fc"}, KEY, 1633046000, "another key"),
        ({}, KEY, 1633046460, "expired 60 seconds ago"),
        ({"Sign": ""}, KEY, 1633046000, "not signed"),
        ({"Sign": None, "Timestamp": None}, KEY, 1633046000, "not signed"),
        ({"Timestamp": None}, KEY, 1633046000, "not signed"),
    ],
)
def test_any_other_notification_is_refused(changes: dict[str, Any], key: str, now: float, text: str) -> None:
    """Wrong key, changed time, too late, or not signed at all; no text of the error shows the key."""
    told = Notification.of({"EventType": "WorkflowTask"} | SIGNED | changes)
    with pytest.raises(MpsNotificationError, match=text) as caught:
        told.verify(key, now=now)
    assert key not in str(caught.value)


@pytest.mark.fault("F78")
@pytest.mark.parametrize("body", [{}, {"Response": {}}, {"EventType": ""}, {"TaskId": "t"}, [], "text", None], ids=repr)
def test_what_is_no_notification_is_refused(body: Any) -> None:
    """Anybody can post anything to a URL."""
    with pytest.raises(MpsNotificationError, match="no event notification of MPS"):
        Notification.of(body)


KEYS = ["EventType", "NotificationType", "TaskId", "WorkflowTaskEvent", "BatchTaskEvent", "Sign", "Timestamp", "X"]
MORE_KEYS = ["ProcessEofInfo", "LiveRecordResultInfo", "SessionId", "Response"]
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["Status", "ErrCode", "FileResults", "Url"]), inner)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(KEYS + MORE_KEYS), VALUES))
def test_no_body_gives_a_foreign_exception(body: dict[str, Any]) -> None:
    """Whatever shape it has, it is read or refused; and it is not changed."""
    before = copy.deepcopy(body)
    try:
        told = Notification.of(body)
        assert told.task.summary
        told.verify(KEY, now=0)
    except MpsNotificationError:
        pass
    assert body == before
