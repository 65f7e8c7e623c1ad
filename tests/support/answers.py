"""Answers built from Tencent's own API model: everything that a task can hold, in success, to break it at one place."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.official import api_model

DATA = Path(__file__).parents[1] / "data"
ECHOES = {"Input", "InputInfo", "InputInfos", "TaskNotifyConfig", "ImageTask"}
VERDICT_FIELDS = {"Status", "ErrCode", "ErrCodeExt", "ErrMsg"}
TASK_OBJECTS = {
    "EditMediaTask",
    "WorkflowTask",
    "LiveStreamProcessTask",
    "ExtractBlindWatermarkTask",
    "ScheduleTask",
    "LiveScheduleTask",
}
LANGUAGES = {"SubtitleResult", "SubtitleTransResultItem"}


class Place(NamedTuple):
    """An object of an answer that has a status or an error code of its own."""

    path: str
    class_name: str
    fields: frozenset[str]


def sample(name: str) -> dict[str, Any]:
    """A published payload; its ``Response`` is unwrapped where it has one."""
    data: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    inner: dict[str, Any] = data.get("Response", data)
    return inner


def successes() -> dict[str, dict[str, Any]]:
    """
    For each task object one answer that says FINISH and holds every kind of part, each in success.

    Every path and address in it is its own place: ``/WorkflowTask.MediaProcessResultSet[0].TranscodeTask.Output.Path``.
    """
    answers = {}
    for name in sorted(TASK_OBJECTS):
        head = {"TaskType": name, "Status": "FINISH", "RequestId": "r", "TaskNotifyConfig": _one("TaskNotifyConfig")}
        answers[name] = head | {name: _one(name)}
    answers["BatchTaskResult"] = _one("DescribeBatchTaskDetailResponse") | {"Status": "FINISH"}
    return {name: _labelled(answer, "") for name, answer in answers.items()}


def image_success() -> dict[str, Any]:
    """An answer of DescribeImageTaskDetail."""
    answer: dict[str, Any] = _labelled(_one("DescribeImageTaskDetailResponse") | {"Status": "FINISH"}, "")
    return answer


def places(name: str, answer: dict[str, Any]) -> list[Place]:
    """Every place of an answer of :func:`successes` that can hold a failure, by the API model alone."""
    class_name = "BatchSubTaskResult" if name == "BatchTaskResult" else name
    return list(_places(class_name, answer[name], name))


def image_places(answer: dict[str, Any]) -> list[Place]:
    """The same for :func:`image_success`."""
    return list(_places("DescribeImageTaskDetailResponse", answer, "Response"))


def at(answer: dict[str, Any], path: str) -> dict[str, Any]:
    """The object that ``path`` names, for example ``WorkflowTask.MediaProcessResultSet[1].TranscodeTask``."""
    node: Any = answer
    for step in path.replace("]", "").removeprefix("Response").lstrip(".").replace("[", ".").split("."):
        if step:
            node = node[int(step)] if step.isdecimal() else node[step]
    found: dict[str, Any] = node
    return found


def changed(answer: dict[str, Any], path: str, **values: Any) -> dict[str, Any]:
    """A copy of ``answer`` with other values at one place."""
    answer = copy.deepcopy(answer)
    at(answer, path).update(values)
    return answer


def _labelled(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {name: _labelled(inner, f"{path}.{name}" if path else name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_labelled(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
    return f"/{path}" if isinstance(value, str) and value.startswith("/") else value


def _members(class_name: str) -> dict[str, dict[str, Any]]:
    return {member["name"]: member for member in api_model()["objects"][class_name]["members"]}


def _one(class_name: str) -> dict[str, Any]:
    return _variants(class_name)[0]


def _variants(class_name: str) -> list[dict[str, Any]]:
    """The object in success; one for each alternative where only one of several ``*Task`` keys is ever filled."""
    members = _members(class_name)
    values = {name: _value(class_name, member) for name, member in members.items()}
    alternatives = [name for name in members if name.endswith("Task") and not VERDICT_FIELDS & set(members)]
    if alternatives:
        return [values | {other: None for other in alternatives if other != name} for name in alternatives]
    for name, member in members.items():
        if member["type"] == "object" and len(several := _variants(member["member"])) > 1:
            return [values | {name: one} for one in several]
    return [values]


def _value(class_name: str, member: dict[str, Any]) -> Any:
    name, inner = member["name"], member["member"]
    if name in {"Status", "Message", "ErrCodeExt", "ErrMsg", "ErrCode", "Progress"}:
        finished = "FINISH" if class_name in TASK_OBJECTS else "Success" if class_name in LANGUAGES else "SUCCESS"
        told = {"Status": finished, "Message": "SUCCESS", "ErrCodeExt": "", "ErrMsg": "", "ErrCode": 0}
        return told.get(name, 100)
    if member["type"] == "object":
        return _one(inner)
    if member["type"] == "list":
        return _variants(inner) if inner in api_model()["objects"] else [_scalar(name, inner)]
    return _scalar(name, member["type"])


def _scalar(name: str, kind: str) -> Any:
    if kind == "bool":
        return True
    if kind.startswith(("int", "uint")):
        return 1
    if kind in {"float", "double"}:
        return 1.5
    if name == "Type":
        return "COS"
    return "2026-01-02T03:04:05Z" if name.endswith("Time") else f"/{name}"


def _places(class_name: str, node: dict[str, Any], path: str) -> Iterator[Place]:
    members = _members(class_name)
    if fields := VERDICT_FIELDS & set(members):
        yield Place(path, class_name, frozenset(fields))
    for name, member in members.items():
        if name in ECHOES or member["member"] not in api_model()["objects"] or not node.get(name):
            continue
        if member["type"] == "list":
            for index, item in enumerate(node[name]):
                yield from _places(member["member"], item, f"{path}.{name}[{index}]")
        else:
            yield from _places(member["member"], node[name], f"{path}.{name}")
