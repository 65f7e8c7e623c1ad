"""One counter says how far lists can be relied on."""

from __future__ import annotations

import pytest

from airflow_provider_mps.client.polling.hints import HintAccuracy
from airflow_provider_mps.client.polling.settings import PollerSettings


def _accuracy(hints: int = 0, false: int = 0, missed: int = 0, lists: int = 3) -> HintAccuracy:
    accuracy = HintAccuracy(PollerSettings())
    for _ in range(hints):
        accuracy.hint()
    for _ in range(false):
        accuracy.false_hint()
    for number in range(missed):
        accuracy.found_ended(str(number))
    for _ in range(lists):
        accuracy.list_complete()
    return accuracy


@pytest.mark.parametrize(
    ("counts", "useful", "unreliable"),
    [
        ({}, True, False),
        ({"hints": 1000}, True, False),
        ({"hints": 20, "false": 8}, False, False),
        ({"hints": 30, "false": 6}, True, False),
        ({"false": 1}, False, False),
        ({"missed": 1}, False, False),
        ({"missed": 1, "hints": 3}, True, False),
        ({"hints": 10, "false": 10}, False, True),
        ({"missed": 5}, False, True),
        ({"missed": 100, "lists": 2}, True, False),
        ({"hints": 5000, "missed": 15}, False, True),
    ],
    ids=[
        "nothing known",
        "always right",
        "as often wrong as right",
        "mostly right",
        "a false hint",
        "a missed end",
        "a missed end, forgiven",
        "only lies",
        "misses all",
        "not missed yet",
        "was right for long",
    ],
)
def test_credit(counts: dict[str, int], useful: bool, unreliable: bool) -> None:
    """Right hints earn credit, up to a limit; mistakes cost more than a hint earns."""
    accuracy = _accuracy(**counts)
    assert (accuracy.is_useful, accuracy.is_unreliable) == (useful, unreliable)


def test_missing_a_task_now_and_then_is_unreliable_as_well() -> None:
    """Long jobs end one in a while: lists that never name one are given up all the same."""
    accuracy = _accuracy()
    for number in range(5):
        assert not accuracy.is_unreliable
        accuracy.found_ended(str(number))
        for _ in range(100):
            accuracy.list_complete()
    assert accuracy.is_unreliable


def test_what_is_named_late_is_not_missing() -> None:
    """A poll that was faster than the list says nothing against it."""
    accuracy = _accuracy(missed=20, lists=2)
    for number in range(20):
        accuracy.named(str(number))
    accuracy.list_complete()
    assert accuracy.is_useful
