"""Every class of Tencent's API model that can hold a failure, broken in every way it can be: each is found, exactly."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import pytest

from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.verdict import Verdict, judge
from tests.support.answers import (
    LANGUAGES,
    TASK_OBJECTS,
    Place,
    at,
    changed,
    image_places,
    image_success,
    places,
    successes,
)

ANSWERS = successes()
IMAGE = image_success()
PLACES = [(name, place) for name, answer in ANSWERS.items() for place in places(name, answer)]
IMAGE_PLACES = [("image", place) for place in image_places(IMAGE)]
EVERYWHERE = PLACES + IMAGE_PLACES
PARTS = [
    (name, place)
    for name, place in EVERYWHERE
    if place.class_name not in TASK_OBJECTS | {"DescribeImageTaskDetailResponse"}
]
each_place = pytest.mark.parametrize(("name", "place"), EVERYWHERE, ids=[place.path for _, place in EVERYWHERE])
each_part = pytest.mark.parametrize(("name", "place"), PARTS, ids=[place.path for _, place in PARTS])


def _judge(name: str, answer: dict[str, Any]) -> Verdict:
    return judge(answer, image=name == "image")


def _answer(name: str) -> dict[str, Any]:
    return IMAGE if name == "image" else ANSWERS[name]


def test_the_answers_hold_every_documented_class() -> None:
    """The API model has as many classes of each sort as the documentation lists; none is left out of these tests."""
    classes: dict[frozenset[str], set[str]] = defaultdict(set)
    for _, place in EVERYWHERE:
        classes[place.fields].add(place.class_name)
    assert {tuple(sorted(fields)): len(names) for fields, names in classes.items()} == {
        ("ErrCode", "ErrCodeExt", "Status"): 38,
        ("ErrCode", "Status"): 16,
        ("ErrCodeExt", "Status"): 5,
        ("ErrCode", "ErrMsg", "Status"): 1,
        ("ErrMsg", "Status"): 1,
        ("Status",): 2,
    }


def _ways_to_fail(place: Place) -> dict[str, dict[str, Any]]:
    """What a failed result of the class looks like: its values, and the code that a person must see."""
    ways: dict[str, dict[str, Any]] = {
        "": {"Status": "Error"} if place.class_name in LANGUAGES else {"Status": "FAIL"},
        "30010": {"Status": "FAIL", "ErrCode": 30010},
        "60000": {"ErrCode": 60000},
        "InvalidInput": {"ErrCodeExt": "InvalidInput"},
        "SourceFileError": {"Status": "FAIL", "ErrCode": 60000, "ErrCodeExt": "SourceFileError"},
        "FailedOperation": {"Status": "FAIL", "ErrMsg": "FailedOperation"},
    }
    return {code: values for code, values in ways.items() if set(values) <= place.fields}


@pytest.mark.fault("F35")
@each_place
def test_each_failure_is_found_and_it_alone(name: str, place: Place) -> None:
    """Whichever of Status, ErrCode, ErrCodeExt and ErrMsg tells of it, exactly that path is named."""
    assert _ways_to_fail(place)
    for code, values in _ways_to_fail(place).items():
        verdict = _judge(name, changed(_answer(name), place.path, Message="why", **values))
        assert [(found.path, found.code, found.message) for found in verdict.failures] == [(place.path, code, "why")]
        assert verdict.unsettled == ()


@pytest.mark.fault("F37")
@each_part
@pytest.mark.parametrize("status", ["PROCESSING", "WAITING", "PAUSED", None, 5])
def test_a_part_that_is_not_done_is_not_done(name: str, place: Place, status: Any) -> None:
    """Success is what is allowed: a part that runs, waits, or says a word that nobody documents keeps the task open."""
    verdict = _judge(name, changed(_answer(name), place.path, Status=status))
    assert verdict.failures == ()
    languages_need_none = place.class_name in LANGUAGES and status is None
    assert [found.path for found in verdict.unsettled] == ([] if languages_need_none else [place.path])


@pytest.mark.fault("F36")
@each_part
@pytest.mark.parametrize("empty", [None, {}, []], ids=repr)
def test_a_part_without_its_result_is_not_done(name: str, place: Place, empty: Any) -> None:
    """SUCCESS without what it stands for is no success; only a rule check has no output of its own."""
    node = {"Output": empty}
    if place.class_name == "SmartSubtitleTaskBatchOutput":
        node = {"AsrFullTextTask": empty, "TransTextTask": empty}
    elif place.class_name in LANGUAGES:
        node = {"Path": empty, "SubtitleFileId": empty, "SubtitleEmbedPath": empty}
    elif place.class_name == "ScheduleExecRuleTaskResult":
        assert _judge(name, changed(_answer(name), place.path, Output=empty)).unsettled == ()
        return
    verdict = _judge(name, changed(_answer(name), place.path, **node))
    assert verdict.failures == ()
    assert place.path in [found.path for found in verdict.unsettled]


def _everywhere(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A success in which every place that has these fields holds these values; ``...`` leaves a field out."""
    answer = copy.deepcopy(_answer(name))
    for where, place in EVERYWHERE:
        if where == name:
            node = at(answer, place.path)
            for field in place.fields & set(values):
                node[field] = values[field]
                if values[field] is ...:
                    del node[field]
    return answer


@pytest.mark.parametrize("name", [*ANSWERS, "image"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ErrCodeExt": "SUCCESS", "ErrMsg": "SUCCESS"},
        {"ErrCodeExt": "Success"},
        {"ErrCodeExt": "0", "ErrCode": "0"},
        {"ErrCodeExt": None, "ErrCode": None, "ErrMsg": None},
        {"ErrCodeExt": ..., "ErrCode": ..., "ErrMsg": ...},
    ],
    ids=["as documented", "SUCCESS", "Success", "0", "null", "absent"],
)
def test_a_success_is_a_success(name: str, values: dict[str, Any]) -> None:
    """ErrCodeExt is documented as "" and published as "SUCCESS"; older answers lack it. None of it is a failure."""
    verdict = _judge(name, _everywhere(name, values))
    assert (verdict.failures, verdict.unsettled) == ((), ())
    assert verdict.succeeded == verdict.parts > 0
    assert verdict.percent == 100
    TaskDetail.of(_everywhere(name, values), is_image=name == "image").raise_for_failure("t")


@pytest.mark.fault("F35")
@pytest.mark.parametrize("name", ["WorkflowTask", "ScheduleTask", "BatchTaskResult"])
def test_all_failures_are_listed(name: str) -> None:
    """A task in which every part fails names every one of them, in the order of the answer."""
    leaves = [
        place.path
        for where, place in PARTS
        if where == name and not any(other.path.startswith(f"{place.path}.") for _, other in PARTS)
    ]
    answer = _answer(name)
    for path in leaves:
        answer = changed(answer, path, Status="FAIL")
    assert [found.path for found in _judge(name, answer).failures] == leaves
    assert _judge(name, answer).succeeded == 0
