"""Answers of every shape that the API model allows are read as a second reader, who goes by classes, reads them."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from typing import Any

import pytest

from airflow_provider_mps.results.outputs import OutputFile
from airflow_provider_mps.results.result import MpsTaskResult
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import at, image_places, image_success, places, successes
from tests.support.random_answers import RandomAnswers
from tests.support.typed_walk import FILES, TEXTS, Details, Opinion, opinion

SEED = 20190612  # the version of the API
ANSWERS = successes() | {"image": image_success()}
NAMES = sorted(ANSWERS)
EACH = math.ceil(2000 / len(NAMES))
ALONE = [
    (name, place)
    for name in NAMES
    for place in (image_places(ANSWERS[name]) if name == "image" else places(name, ANSWERS[name]))
]


def _read(name: str, body: dict[str, Any]) -> tuple[Opinion, TaskDetail, MpsTaskResult]:
    detail = TaskDetail.of(body, is_image=name == "image")
    result = MpsTaskResult.of(detail, "t")
    verdict = detail.verdict
    files = result.outputs
    said = Opinion(
        failures={(found.path, found.code) for found in verdict.failures},
        unsettled={found.path for found in verdict.unsettled},
        parts=verdict.parts,
        succeeded=verdict.succeeded,
        files={(file.kind, file.path, file.uri) for file in files},
        details={file.path: _details(file) for file in files if file.path},
        texts={(text.kind, text.text) for text in result.texts},
        file_ids={file.file_id for file in files if file.file_id},
    )
    assert len(verdict.failures) == len(said.failures)
    return said, detail, result


def _details(file: OutputFile) -> Details:
    storage = (file.storage.type, file.storage.bucket, file.storage.region)
    streams = len(file.video_streams) + len(file.audio_streams)
    return Details(storage, file.size, file.md5, file.duration, file.width, file.height, streams)


def _alone(answer: dict[str, Any], path: str) -> dict[str, Any]:
    """The answer with this one result in it: of every list on the way one item, of every object nothing beside."""
    answer = copy.deepcopy(answer)
    node: Any = answer
    for step in path.removeprefix("Response").lstrip(".").replace("]", "").replace("[", ".").split("."):
        if not step:
            continue
        if step.isdecimal():
            node = node[int(step)]
        else:
            for name, value in node.items():
                if name != step and isinstance(value, (dict, list)) and name not in {"OutputStorage", "Storage"}:
                    node[name] = None
            if isinstance(node[step], list):
                index = int(path.partition(f"{step}[")[2].partition("]")[0])
                node[step] = [value if at_ == index else None for at_, value in enumerate(node[step])]
                node[step] = [node[step][index]] if index == 0 else node[step]
            node = node[step]
    return answer


@pytest.mark.parametrize(("name", "place"), ALONE, ids=[place.path for _, place in ALONE])
def test_every_class_alone(name: str, place: Any) -> None:
    """With nothing beside it, each result is judged and its files are listed as the class says."""
    body = _alone(ANSWERS[name], place.path)
    assert at(body, place.path)["Status"]
    said, _, _ = _read(name, body)
    assert said == opinion(name, body)
    for values in ({"Status": "FAIL", "Output": None}, {"Status": None}, {"Output": None}):
        changed = copy.deepcopy(body)
        at(changed, place.path).update(values)
        assert _read(name, changed)[0] == opinion(name, changed)


@pytest.mark.parametrize("name", NAMES)
def test_random_answers(name: str) -> None:
    """Two thousand in all: no crash, the same failures, missing results, parts and files, and no secret."""
    answers = RandomAnswers(SEED)
    seen: Counter[str] = Counter()
    for number in range(EACH):
        body = answers.answer(name)
        said, detail, result = _read(name, body)
        expected = opinion(name, body)
        assert said == expected, f"answer {number} of {name}"
        text = json.dumps(result.as_json())
        assert "CANARY" not in text
        assert MpsTaskResult.model_validate(json.loads(text)).as_json() == json.loads(text)
        assert detail.has_failed() == bool(expected.failures)
        seen.update(failed=bool(said.failures), unsettled=bool(said.unsettled), files=len(said.files))
        seen["success"] += not said.failures and not said.unsettled
    has_files = name not in {"LiveStreamProcessTask", "ExtractBlindWatermarkTask"}
    assert seen["failed"] > 5
    assert seen["unsettled"] > 5
    assert seen["success"] > 5
    assert not has_files or seen["files"] > 20


def test_random_answers_fill_every_class() -> None:
    """The comparison above looks at each class that has files or texts, in one answer or another."""
    told = set()
    for name in NAMES:
        answers = RandomAnswers(SEED)
        for _ in range(EACH):
            told |= opinion(name, answers.answer(name)).looked_at
    files = {(class_name, member) for class_name, members in FILES.items() for member, *_ in members}
    assert told == files | {(class_name, member) for class_name, (member, _) in TEXTS.items()}


@pytest.mark.parametrize("name", NAMES)
def test_one_success_is_made_a_failure_by_any_one_leaf(name: str) -> None:
    """Each leaf of a full answer in turn, by the second reader as well as by ours."""
    answer = ANSWERS[name]
    assert _read(name, answer)[0] == opinion(name, answer)
    for where, place in ALONE:
        if where == name:
            changed = copy.deepcopy(answer)
            at(changed, place.path).update(Status="FAIL", Message="why")
            said, expected = _read(name, changed)[0], opinion(name, changed)
            assert said == expected
            assert [path for path, _ in said.failures] == [place.path]
