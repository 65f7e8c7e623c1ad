"""``make soak`` judges what it has measured, and nothing else."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from dev import soak
from dev.soak import Sample, flat, sample

MEMORY = 200 * 2**20


def samples(*growth: float) -> list[Sample]:
    """One every ten seconds, with this part of the memory more than at first."""
    return [Sample(10.0 * number, int(MEMORY * (1 + part)), 40, 20) for number, part in enumerate(growth)]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (samples(*[0.0] * 9), True),
        (samples(*[0.0] * 6, *[0.04] * 3), True),
        (samples(*[0.0] * 6, *[0.06] * 3), False),
        (samples(*[0.5] * 3, *[0.0] * 9), True),
    ],
    ids=["flat", "a little", "grows", "falls"],
)
def test_growth_is_told(measured: list[Sample], expected: bool) -> None:
    """The last third after the start may have a twentieth more than the first."""
    assert flat(measured, settled=0) is expected


def test_too_few_samples_are_no_result(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be compared is an error, and a time that is too short is refused before anything is started."""
    with pytest.raises(RuntimeError, match="2 samples after 30 s are too few"):
        flat(samples(*[0.0] * 5), settled=30)
    monkeypatch.setattr(sys, "argv", ["soak", "--minutes", "0.5"])
    with pytest.raises(SystemExit):
        soak.main()
    assert "--minutes must be at least" in capsys.readouterr().err


def test_a_child_that_ends_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may end between being listed and being measured; the triggerer may not."""

    class Gone:
        def memory_info(self) -> Any:
            raise psutil.NoSuchProcess(1)

    real = psutil.Process()
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [Gone()])
    triggerer = SimpleNamespace(pid=real.pid, returncode=None)
    airflow: Any = SimpleNamespace(processes={"triggerer": triggerer}, rows=lambda query: [(3,)])
    found = sample(airflow, 0)
    assert found.triggers == 3
    assert found.memory > 0
    assert found.descriptors > 0
    triggerer.returncode = -9
    with pytest.raises(RuntimeError, match="The triggerer has ended with -9"):
        sample(airflow, 0)
