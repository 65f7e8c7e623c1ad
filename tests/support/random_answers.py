"""Answers at random, by the API model: every field filled, null, absent or wrong, every result in any state."""

from __future__ import annotations

import random
from typing import Any

from tests.support.answers import LANGUAGES, TASK_OBJECTS, VERDICT_FIELDS
from tests.support.official import api_model
from tests.support.typed_walk import FILES, ROOTS

ABSENT = object()
_LOCATIONS = {member for members in FILES.values() for member, *_ in members} | {"Url", "Message"}
STATUSES = ["SUCCESS", "FAIL", "FAIL", "PROCESSING", "WAITING", "", None, ABSENT, "PAUSED"]
LANGUAGE_STATUSES = ["Success", "Error", "", None, ABSENT]
TASK_STATUSES = ["FINISH", "PROCESSING", None, ABSENT]
CODES: dict[str, list[Any]] = {
    "ErrCode": [0, "0", None, ABSENT, 30010, 60000],
    "ErrCodeExt": ["", "SUCCESS", None, ABSENT, "InvalidInput", "SourceFileError"],
    "ErrMsg": ["", None, ABSENT, "FailedOperation"],
}
STORAGES: list[Any] = [
    {"Type": "COS", "CosOutputStorage": {"Bucket": "cos-1", "Region": "ap-guangzhou"}},
    {"Type": "AWS-S3", "S3OutputStorage": {"S3Bucket": "s3-b", "S3Region": "us", "S3SecretKey": "CANARY"}},
    {"Type": "VOD", "VODOutputStorage": {"Bucket": "vod-b", "Region": "r", "SubAppId": 15}},
    {"Type": "COS", "CosOutputStorage": None},
    None,
    ABSENT,
]


class RandomAnswers:
    """A stream of answers; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.trouble = self.gaps = 0.0

    def answer(self, name: str) -> dict[str, Any]:
        """The content of ``Response`` for a task that says FINISH; ``name`` as in ``typed_walk.opinion``."""
        # A task has dozens of parts: were each as likely to fail, no task would ever succeed.
        self.trouble = self.random.choice([0, 0.02, 0.4])
        self.gaps = self.random.choice([0, 0, 0.12])
        root = self._object(ROOTS.get(name, name))
        head = {"TaskType": name, "Status": "FINISH", "RequestId": "r"}
        return root | head if name == "image" else head | {name: root}

    def _object(self, class_name: str) -> dict[str, Any]:
        members = {member["name"]: member for member in api_model()["objects"][class_name]["members"]}
        alternatives = [name for name in members if name.endswith("Task") and not VERDICT_FIELDS & set(members)]
        chosen = self.random.choice(alternatives) if alternatives else None
        told = {}
        for name, member in members.items():
            value = None if name in alternatives and name != chosen else self._value(class_name, name, member)
            if value is not ABSENT:
                told[name] = value
        return told

    def _value(self, class_name: str, name: str, member: dict[str, Any]) -> Any:
        if name == "Status":
            choices = TASK_STATUSES if class_name in TASK_OBJECTS | set(ROOTS.values()) else STATUSES
            return self._state(LANGUAGE_STATUSES if class_name in LANGUAGES else choices)
        if name in CODES:
            return self._state(CODES[name])
        if member["member"] == "TaskOutputStorage":
            return self.random.choice(STORAGES)
        if self.random.random() < self.gaps:
            return self.random.choice([None, ABSENT])
        if member["type"] == "list":
            return [self._item(name, member) for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))]
        return self._item(name, member)

    def _state(self, choices: list[Any]) -> Any:
        return self.random.choice(choices) if self.random.random() < self.trouble else choices[0]

    def _item(self, name: str, member: dict[str, Any]) -> Any:
        if member["member"] in api_model()["objects"]:
            return self._object(member["member"])
        kind = member["member"] if member["type"] == "list" else member["type"]
        if kind == "bool":
            return True
        if kind.startswith(("int", "uint", "float", "double")):
            return self.random.choice([0, 1, 99] if "int" in kind else [0, 1.5, 60])
        self.count += 1
        if name.endswith("FileId"):
            return self.random.choice([f"file-{self.count}", ""])
        path = f"/目录/{self.count} ü+.bin"
        if name not in _LOCATIONS:
            return self.random.choice([f"text {self.count}", ""])
        return self.random.choice([path, path, f"https://host.invalid/{self.count}?sign=CANARY", ""])
