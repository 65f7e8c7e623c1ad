"""Texts that are themselves a result are handed on, each from its place, without the secrets of addresses in them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.results.texts import find_texts
from tests.support.answers import image_success, successes

ANSWERS = successes() | {"image": image_success()}
DESCRIBED = ["abstract", "description", "generic", "video_comprehension"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("image", ["image"]),
        ("ExtractBlindWatermarkTask", ["blind_watermark"]),
        ("WorkflowTask", DESCRIBED),
        ("ScheduleTask", DESCRIBED),
        ("EditMediaTask", []),
        ("BatchTaskResult", []),
        ("LiveScheduleTask", []),
    ],
)
def test_every_kind_of_task_has_its_texts(name: str, kinds: list[str]) -> None:
    """Each once, and with the place where it stood; in these answers a text is its own place."""
    texts = find_texts(ANSWERS[name])
    assert sorted(text.kind for text in texts) == kinds
    assert all(text.text == f"/{text.source}" for text in texts)


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("A cat, see https://u:p@host/cat?sign=CANARY there", "A cat, see https://host/cat there"),
        (r'{"url": "https://host/cat?sign=CANARY", "n": 1}', r'{"url": "https://host/cat", "n": 1}'),
    ],
)
def test_a_text_shows_no_signed_address(told: str, text: str) -> None:
    """In a sentence and in JSON alike."""
    [found] = find_texts({"ImageProcessTaskResultSet": [{"Output": {"Content": told}}]})
    assert found.text == text


@pytest.mark.parametrize("value", ["", None, 5, [], {}])
def test_what_is_no_text_is_none(value: Any) -> None:
    """A watermark that was not found has no Result."""
    assert find_texts({"ExtractBlindWatermarkTask": {"IsDetected": False, "Result": value}}) == ()


def test_an_echo_and_a_name_that_is_only_alike_are_no_texts() -> None:
    """Description is a word that many objects have; only that of its task counts."""
    body = {
        "DescriptionTask": {"Input": {"Description": "asked"}, "Output": {"DescriptionSet": [{"Description": "told"}]}},
        "TagTask": {"Output": {"Description": "other", "Result": "other", "Content": "other"}},
    }
    assert [text.text for text in find_texts(body)] == ["told"]
