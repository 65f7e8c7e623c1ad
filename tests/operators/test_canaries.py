"""No echo of a request reaches XCom: a canary in every field that the API repeats, one by one and all at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsActionOperator, MpsTaskResultOperator
from airflow_provider_mps.results.redaction import without_secrets
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import ECHOES, image_success, successes
from tests.support.harness import new_context
from tests.support.official import api_model

ANSWERS = successes() | {"image": image_success()}
# What an echo may hold at its worst: a key, a token, or an address that is signed.
SHAPES = ("AKIDz8krbsJ5yKBZQpn74WFk/{}+=", "https://user:{0}@h.invalid/in.mp4?q-sign={0}#{0}")
_SECRET_NAMES = {"NotifyKey", "S3SecretId", "S3SecretKey"}
_DEEPEST = 8


def _members(class_name: str) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = api_model()["objects"][class_name]["members"]
    return members


def _echo(class_name: str, path: tuple[str, ...] = ()) -> Any:
    """An object of a request with every field filled, alternatives included; each text is its own place."""
    path = path or (class_name,)
    if len(path) > _DEEPEST:
        return None
    told: dict[str, Any] = {}
    for member in _members(class_name):
        name, inner = member["name"], member["member"]
        here = (*path, name)
        value = _echo(inner, here) if inner in api_model()["objects"] else f"@{'.'.join(here)}@"
        told[name] = [value] if member["type"] == "list" else value
    return told


def _filled(class_name: str, node: Any) -> Any:
    """The answer with each of its echoes filled, found by the classes of the API model."""
    if not isinstance(node, dict):
        return node
    told = dict(node)
    for member in _members(class_name):
        name, inner = member["name"], member["member"]
        if inner not in api_model()["objects"] or node.get(name) is None:
            continue
        if name in ECHOES:
            told[name] = [_echo(inner)] if member["type"] == "list" else _echo(inner)
        elif isinstance(node[name], list):
            told[name] = [_filled(inner, item) for item in node[name]]
        else:
            told[name] = _filled(inner, node[name])
    return told


def _answer(name: str) -> dict[str, Any]:
    root = {"image": "DescribeImageTaskDetailResponse", "BatchTaskResult": "DescribeBatchTaskDetailResponse"}
    answer: dict[str, Any] = _filled(root.get(name, "DescribeTaskDetailResponse"), ANSWERS[name])
    return answer


def _places(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _places(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _places(inner)
    elif isinstance(value, str) and value.startswith("@"):
        yield value


def _shaped(value: Any, shape: str) -> Any:
    if isinstance(value, dict):
        return {name: _shaped(inner, shape) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shaped(inner, shape) for inner in value]
    return shape.format(value) if isinstance(value, str) and value.startswith("@") else value


def _pushed(name: str, answer: dict[str, Any]) -> str:
    detail = TaskDetail.of(answer, is_image=name == "image")
    return json.dumps(MpsTaskResult.of(detail, "t").as_json(), ensure_ascii=False)


@pytest.mark.parametrize("shape", SHAPES, ids=["key", "address"])
@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_no_field_of_an_echo_is_handed_on(name: str, shape: str) -> None:
    """Each place of each echo has its own canary; none of them is in the value that goes to XCom."""
    answer = _answer(name)
    places = set(_places(answer))
    assert places
    value = _pushed(name, _shaped(answer, shape))
    assert [place for place in places if place in value or place.strip("@") in value] == []


def test_every_echo_of_the_api_has_its_canary() -> None:
    """No class of an echo, and no text in it, is left out above; the secret ones are named."""
    seen = {place.strip("@").partition(".")[0] for name in ANSWERS for place in _places(_answer(name))}
    echoes = {
        member["member"]
        for name in ("DescribeTaskDetail", "DescribeBatchTaskDetail", "DescribeImageTaskDetail")
        for holder in _reachable(f"{name}Response", set())
        for member in _members(holder)
        if member["name"] in ECHOES and any(_places(_echo(member["member"])))
    }
    assert echoes
    assert seen == echoes
    leaves = {place.strip("@").rpartition(".")[2] for name in ANSWERS for place in _places(_answer(name))}
    assert leaves >= _SECRET_NAMES | {"NotifyUrl", "Url", "UserExtPara", "ExtInfo", "ResourcePath"}


def _reachable(class_name: str, seen: set[str]) -> set[str]:
    if class_name not in seen and class_name in api_model()["objects"]:
        seen.add(class_name)
        for member in _members(class_name):
            if member["name"] not in ECHOES:
                _reachable(member["member"], seen)
    return seen


@pytest.mark.parametrize("asked", ["zh", "zh-PY", "zh_dialect", "en", "auto", "multilingual"])
def test_a_language_that_was_asked_for_is_handed_on(asked: str) -> None:
    """It is the one thing taken from an echo, because nothing else tells it; only what looks like one passes."""
    task = {"Output": {"SegmentSet": [{"Text": "a"}]}, "Input": {"RawParameter": {"VideoSrcLanguage": asked}}}
    body = {"WorkflowTask": {"SmartSubtitlesTaskResult": [{"AsrFullTextTask": task}]}}
    assert [subtitle.language for subtitle in TaskDetail.of(body).subtitles] == [asked]
    for secret in ("a/b+c=", "AKIDz8krbsJ5yKBZQpn74WFk", "https://h/?x", "", "zh en", 5, {"a": 1}):
        task["Input"] = {"RawParameter": {"VideoSrcLanguage": secret}}
        assert [subtitle.language for subtitle in TaskDetail.of(body).subtitles] == [None]


@pytest.mark.parametrize("name", ["WorkflowTask", "ScheduleTask"])
def test_no_xcom_of_an_operator_holds_a_canary(airflow_mps: LocalMps, name: str) -> None:
    """The same through the operators: the value returned, every key pushed, and the answer of any action."""
    answer = _shaped(_answer(name), SHAPES[1])
    task_id = airflow_mps.backend.script([answer])
    context = new_context()
    operator = MpsTaskResultOperator(task_id="result", mps_task_id=task_id, max_xcom_bytes=10_000_000)
    values = [operator.execute(context), context["ti"].xcoms]
    action = MpsActionOperator(task_id="any", action="DescribeTaskDetail", parameters={"TaskId": task_id})
    values.append(action.execute(new_context()))
    assert "@" not in json.dumps(values)
    assert "q-sign" not in json.dumps(values)


def test_keys_of_any_action_are_dropped() -> None:
    """Whatever the API model calls a secret or a key of a stream, in an answer of any action."""
    told = {
        "DrmInfo": {"SimpleAesDrm": {"Uri": "https://h/key", "Key": "CANARY", "Vector": "CANARY"}},
        "Destinations": [{"Url": "rtmp://h/app", "StreamKey": "CANARY"}],
        "Trigger": {"AwsS3FileUploadTrigger": {"S3Bucket": "b", "S3SecretId": "CANARY", "S3SecretKey": "CANARY"}},
        "Sign": "CANARY",
    }
    before = copy.deepcopy(told)
    assert "CANARY" not in json.dumps(without_secrets(told))
    assert without_secrets(told)["Destinations"] == [{"Url": "rtmp://h/app"}]
    assert told == before
