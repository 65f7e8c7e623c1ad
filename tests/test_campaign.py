"""A short fault campaign; ``make campaign`` runs the long ones."""

from __future__ import annotations

import pytest

from airflow_provider_mps.emulator.scenarios import Scenario
from tests.campaign.campaign import Result, run
from tests.campaign.plan import Blow, Kind, Point, draw

# Of the first 6,000 seeds two whose hundred plans hold each place and each blow twice where nothing is in its way.
_SEEDS = (4659, 1753)


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Result, str]]:
    """Result and log by seed."""
    done = {}
    for seed in _SEEDS:
        log = tmp_path_factory.mktemp("campaign") / "log"
        done[seed] = run(seed, 50, log), log.read_text(encoding="utf-8")
    return done


@pytest.mark.fault(
    "F01",
    "F03",
    "F04",
    "F05",
    "F13",
    "F14",
    "F15",
    "F20",
    "F21",
    "F36",
    "F39",
    "F46",
    "F79",
    "F80",
    "F87",
    "F89",
    "F95",
)
@pytest.mark.parametrize("seed", _SEEDS)
def test_promises_hold_whatever_happens(campaigns: dict[int, tuple[Result, str]], seed: int) -> None:
    """Bad network, dying workers, restarting triggerers, users: no duplicate, no wrong verdict, nothing lost."""
    result, log = campaigns[seed]
    assert not result.findings, "\n".join(result.findings)
    assert result.faults.total() > 0
    assert len(result.endings) >= 3
    assert "accepted as" in log


def test_everything_that_is_drawn_lands(campaigns: dict[int, tuple[Result, str]]) -> None:
    """A blow that never lands checks nothing: over the seeds each lands, one at each place, and jobs end each way."""
    total = Result()
    for result, _ in campaigns.values():
        total.add(result)
    assert set(total.places) == set(Point)
    assert set(total.blows) == set(Blow)
    assert set(total.outcomes) == set(Scenario)


def test_a_seed_is_a_schedule() -> None:
    """The same seed draws the same plans; five hundred hold every kind, end, place and blow that there is."""
    plans = list(draw(7, 500))
    assert plans == list(draw(7, 500))
    assert plans != list(draw(8, 500))
    assert {plan.kind for plan in plans} == set(Kind)
    assert {outcome for plan in plans for outcome in (plan.ending, *plan.fails)} == set(Scenario)
    assert {strike.point for plan in plans for strike in plan.strikes} == set(Point)
    assert {blow for plan in plans for blow in plan.blows} == set(Blow)
