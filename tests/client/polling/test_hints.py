"""HintAccuracy in lists: earned by helping lately, lost by being wrong more often than right."""

from __future__ import annotations

from airflow_provider_mps.client.polling.hints import HintAccuracy


def _rounds(trust: HintAccuracy, number: int, *, whole: bool = True) -> None:
    for _ in range(number):
        trust.round_over(1000.0, whole=whole)


def _found(trust: HintAccuracy, number: int, *, ended: bool, called: bool, named: bool = True) -> None:
    for each in range(number):
        trust.found(f"{called}{each}", ended=ended, called=called, should_be_named=named)


def test_it_starts_without() -> None:
    """Nothing is relied on before it has helped; nothing is given up before it was wrong."""
    trust = HintAccuracy()
    _rounds(trust, 100)
    assert not trust.is_earned
    assert not trust.is_lost


def test_help_earns_it_and_time_takes_it() -> None:
    """A list that has not helped for a minute is not relied on any more."""
    trust = HintAccuracy()
    _found(trust, 1, ended=True, called=True)
    assert trust.is_earned
    _rounds(trust, 12)
    assert not trust.is_earned
    assert not trust.is_lost


def test_twenty_right_and_none_wrong_prove_it() -> None:
    """Then who can bear a mistake need not look; missing a task is no such mistake."""
    trust = HintAccuracy()
    _found(trust, 19, ended=True, called=True)
    assert not trust.is_proven
    _found(trust, 20, ended=True, called=False)
    assert not trust.is_proven
    _found(trust, 1, ended=True, called=True)
    assert trust.is_proven
    _rounds(trust, 1)
    assert not trust.is_proven


def test_one_in_a_hundred_wrong_is_borne() -> None:
    """What runs on although a list named it counts for longer than what lists were right about."""
    trust = HintAccuracy()
    _found(trust, 99, ended=True, called=True)
    _found(trust, 1, ended=False, called=True)
    assert not trust.is_proven
    _found(trust, 1, ended=True, called=True)
    assert trust.is_proven


def test_naming_what_runs_on_loses_it() -> None:
    """Tasks that a list names and that have not ended count against it."""
    trust = HintAccuracy()
    _found(trust, 11, ended=False, called=True)
    assert trust.is_lost


def test_missing_what_has_ended_loses_it() -> None:
    """Tasks that ended and that three whole lists since then have not named."""
    trust = HintAccuracy()
    _found(trust, 20, ended=True, called=False)
    _rounds(trust, 2)
    _rounds(trust, 5, whole=False)
    assert not trust.is_lost
    _rounds(trust, 1)
    assert trust.is_lost


def test_missing_a_task_now_and_then_loses_it_as_well() -> None:
    """Long jobs end one in a while: lists that never name one are given up all the same."""
    trust = HintAccuracy()
    for each in range(11):
        assert not trust.is_lost
        trust.found(str(each), ended=True, called=False, should_be_named=True)
        _rounds(trust, 100)
    assert trust.is_lost


def test_lists_that_helped_for_long_are_given_up_too() -> None:
    """However much they helped before: a hundred that they miss, and some."""
    trust = HintAccuracy()
    _found(trust, 5000, ended=True, called=True)
    for each in range(111):
        assert not trust.is_lost
        trust.found(str(each), ended=True, called=False, should_be_named=True)
        _rounds(trust, 3)
    assert trust.is_lost


def test_what_is_named_late_is_not_missing() -> None:
    """A look that was faster than the list says nothing against it."""
    trust = HintAccuracy()
    _found(trust, 20, ended=True, called=False)
    _rounds(trust, 2)
    for each in range(20):
        trust.named(f"False{each}")
    _rounds(trust, 3)
    assert not trust.is_lost


def test_what_no_list_can_name_is_not_missing() -> None:
    """It ended before the windows of the lists to come."""
    trust = HintAccuracy()
    _found(trust, 50, ended=True, called=False, named=False)
    _rounds(trust, 5)
    assert not trust.is_lost


def test_a_little_wrong_is_forgiven() -> None:
    """A list that mostly helps stays in use, and is relied on while it helps far more than it is wrong."""
    trust = HintAccuracy()
    _found(trust, 100, ended=True, called=True)
    _found(trust, 40, ended=False, called=True)
    assert trust.is_earned
    _found(trust, 30, ended=False, called=True)
    assert not trust.is_earned
    assert not trust.is_lost


def test_one_task_is_called_once_a_minute() -> None:
    """A list that goes on naming a task does not call for a look with each round."""
    trust = HintAccuracy()
    assert trust.may_call("a", 1000.0)
    assert not trust.may_call("a", 1030.0)
    assert trust.may_call("a", 1061.0)
    trust.round_over(1062.0, whole=True)
    assert not trust.may_call("a", 1063.0)
