"""The planted bugs fit the code, so that ``make mutants`` can run at any time; planting them takes minutes."""

from __future__ import annotations

import pytest

from dev.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.bug)
def test_a_bug_can_be_planted(mutant: Mutant) -> None:
    """Its text is in its module once, it changes something, and the test that has to see it is there."""
    assert mutant.found() == 1
    assert mutant.new != mutant.old
    path, _, name = mutant.tests.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_a_bug_has_a_name_of_its_own() -> None:
    """``--only`` and the table tell them by it."""
    assert len({mutant.bug for mutant in MUTANTS}) == len(MUTANTS)
