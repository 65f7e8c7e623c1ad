"""A short fault campaign; ``make campaign`` runs the long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.campaign import run
from tests.campaign.plan import Blow, Ending, Kind, Point, draw


@pytest.mark.fault("F01", "F03", "F04", "F05", "F13", "F14", "F15", "F20", "F21", "F36", "F39", "F46")
@pytest.mark.parametrize("seed", [1, 2])
def test_promises_hold_whatever_happens(tmp_path: Path, seed: int) -> None:
    """Bad network, dying workers, restarting triggerers, users: no duplicate, no wrong verdict, nothing lost."""
    result = run(seed, 25, tmp_path / "log")
    assert result.findings == []
    assert result.faults.total() > 0
    assert result.blows.total() > 0
    assert len(result.endings) >= 3
    assert "MPS accepted" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_seed_is_a_schedule() -> None:
    """The same seed draws the same plans; five hundred hold every kind, ending, place and blow that there is."""
    plans = list(draw(7, 500))
    assert plans == list(draw(7, 500))
    assert plans != list(draw(8, 500))
    assert {plan.kind for plan in plans} == set(Kind)
    assert {plan.ending for plan in plans} == set(Ending)
    assert {strike.point for plan in plans for strike in plan.strikes} == set(Point)
    assert {blow for plan in plans for blow in plan.blows} == set(Blow)
