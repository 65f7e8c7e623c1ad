"""Every example answer that Tencent ships, mainland and international, is read as what it visibly says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mps.client.actions import DescribeMediaMetaData, DescribeTasks, RawAction, describe
from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.client.protocol import Response, decode
from airflow_provider_mps.results.notification import Notification
from airflow_provider_mps.results.redaction import without_secrets
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from tests.support.official import examples, international_examples
from tests.support.typed_walk import opinion

EDITIONS = {"mainland": examples(), "international": international_examples()}
READ_BY_US = {
    "DescribeTaskDetail",
    "DescribeBatchTaskDetail",
    "DescribeImageTaskDetail",
    "DescribeTasks",
    "DescribeMediaMetaData",
    "ParseNotification",
    "ParseLiveStreamProcessNotification",
}
# Whose examples are no JSON as they are shipped.
_NOT_JSON = {"DescribeAsrHotwords", "DescribeSubtitleEmbedTemplates", "DescribeVoices"}
CASES = [
    pytest.param(edition, action, number, id=f"{edition}-{action}-{number}")
    for edition, actions in EDITIONS.items()
    for action, answers in (actions or {}).items()
    if action.startswith(("Describe", "Parse"))
    for number, _ in enumerate(answers)
]


def _decoded(action: Any, body: dict[str, Any]) -> Any:
    return decode(action, Response(200, {}, json.dumps({"Response": body}).encode()), MpsClock())


@pytest.mark.skipif(EDITIONS["international"] is None, reason="tccli-intl-en is not there: make installs it")
def test_both_editions_are_there() -> None:
    """Each has examples for all actions that have a reader of their own here."""
    for actions in EDITIONS.values():
        assert all((actions or {})[name] for name in READ_BY_US)
        read = {name: answers for name, answers in (actions or {}).items() if name.startswith(("Describe", "Parse"))}
        assert {name for name, answers in read.items() if not answers} <= _NOT_JSON


@pytest.mark.parametrize(("edition", "action", "number"), CASES)
def test_an_example_is_read(edition: str, action: str, number: int) -> None:
    """Whatever the action, its answer comes back whole; those with a class say what the JSON says."""
    body = (EDITIONS[edition] or {})[action][number]
    assert _decoded(RawAction(action=action), body) == body
    assert set(without_secrets(body)) <= set(body)
    if reader := _READERS.get(action):
        reader(action, body)


def _task(action: str, body: dict[str, Any]) -> None:
    detail: TaskDetail = _decoded(describe("1250000000-WorkflowTask-0", action), body)
    assert (detail.task_type, detail.status, detail.request_id) == (
        body["TaskType"],
        body["Status"],
        body["RequestId"],
    )
    assert detail.is_finished == (body["Status"] == "FINISH")
    assert f"{detail.create_time:%Y-%m-%dT%H:%M:%SZ}" == body["CreateTime"]
    name = {"DescribeBatchTaskDetail": "BatchTaskResult", "DescribeImageTaskDetail": "image"}.get(action, "")
    _judged_and_listed(name or body["TaskType"], body, detail)


def _judged_and_listed(name: str, body: dict[str, Any], detail: TaskDetail) -> None:
    expected, verdict = opinion(name, body), detail.verdict
    assert {(found.path, found.code) for found in verdict.failures} == expected.failures == set()
    assert (verdict.parts, verdict.succeeded) == (expected.parts, expected.succeeded)
    assert {(file.kind, file.path, file.uri) for file in detail.outputs} == expected.files
    if detail.is_finished:
        detail.raise_for_failure("t")
        assert expected.files
    task = body if name == "image" else body[name]
    told = [task["MetaData"]] if task.get("MetaData") else task.get("Metadatas") or []
    assert [(one.size, one.width, one.height, one.duration, one.container) for one in detail.metadata] == [
        (one["Size"], one["Width"], one["Height"], one["Duration"], one["Container"]) for one in told
    ]
    texts = [(line["Text"], line.get("Trans"), line["StartTimeOffset"]) for line in _lines(task)]
    assert [(one.text, one.translation, one.start) for sub in detail.subtitles for one in sub.segments] == texts
    result = MpsTaskResult.of(detail, "t")
    assert MpsTaskResult.model_validate(json.loads(json.dumps(result.as_json()))).as_json() == result.as_json()


def _lines(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [line for item in value for line in _lines(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("SegmentSet") or []
    return [line for line in own if "Text" in line] + _lines([inner for inner in value.values() if inner is not own])


def _tasks(action: str, body: dict[str, Any]) -> None:
    page = _decoded(DescribeTasks(status="FINISH"), body)
    assert [task.mps_task_id for task in page.tasks] == [task["TaskId"] for task in body["TaskSet"]]
    assert [task.finish_time is None for task in page.tasks] == [
        task["FinishTime"].startswith("0000") for task in body["TaskSet"]
    ]
    assert (page.scroll_token, page.total_count) == (body["ScrollToken"], body["TotalCount"])


def _probe(action: str, body: dict[str, Any]) -> None:
    metadata, told = _decoded(DescribeMediaMetaData(input_info={}), body), body["MetaData"]
    assert (metadata.size, metadata.width, metadata.height) == (told["Size"], told["Width"], told["Height"])
    assert (metadata.duration, metadata.bitrate) == (told["Duration"], told["Bitrate"])
    assert metadata.video.codec == told["VideoStreamSet"][0]["Codec"]
    assert metadata.audio.sampling_rate == told["AudioStreamSet"][0]["SamplingRate"]


def _notification(action: str, body: dict[str, Any]) -> None:
    told = Notification.of(body)
    assert told.event_type == body["EventType"]
    event = body[f"{body['EventType']}Event"]
    assert (told.mps_task_id, told.task.status) == (event["TaskId"], event["Status"])
    assert told.session_context == body["SessionContext"]
    _judged_and_listed(body["EventType"], {body["EventType"]: event}, told.task)


def _live_notification(action: str, body: dict[str, Any]) -> None:
    told = Notification.of(body)
    assert (told.event_type, told.mps_task_id) == (body["NotificationType"], body["TaskId"])
    assert told.findings == {key: value for key, value in body.items() if key.endswith("ResultInfo") and value}
    assert not told.task.is_finished


_READERS = {
    "DescribeTaskDetail": _task,
    "DescribeBatchTaskDetail": _task,
    "DescribeImageTaskDetail": _task,
    "DescribeTasks": _tasks,
    "DescribeMediaMetaData": _probe,
    "ParseNotification": _notification,
    "ParseLiveStreamProcessNotification": _live_notification,
}


def test_every_class_of_ours_is_compared() -> None:
    """The readers above are those of the actions that have one."""
    assert set(_READERS) == READ_BY_US
