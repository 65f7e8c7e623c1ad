"""Every row of the fault catalogue that costs money or loses a task has a test, or says why not."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from dev import fault_table
from dev.fault_table import TABLE, complaints, marked, outcomes, outdated, page
from tests.support.faults import CATALOGUE

GRAVE = {row for row, fault in CATALOGUE.items() if fault.is_grave and not fault.untested}


def junit(path: Path, cases: str = "", start: str = "2026-11-20T12:00:00+00:00", seconds: float = 60) -> Path:
    """A file as pytest writes it."""
    path.write_text(f'<testsuites><testsuite timestamp="{start}" time="{seconds}">{cases}</testsuite></testsuites>')
    return path


def case(name: str, result: str = "", row: str = "F01") -> str:
    """One test case of it."""
    mark = f'<properties><property name="fault" value="{row}"/></properties>'
    return f'<testcase classname="tests.client.test_x" name="{name}">{mark}{result}</testcase>'


def test_every_grave_fault_is_tested_or_says_why_not() -> None:
    """P0 and P1 rows have a test or a reason; no test names a row that there is not."""
    tested = marked()
    assert set(tested) >= GRAVE
    assert set(tested) <= set(CATALOGUE)


def test_the_table_in_the_docs_is_of_these_tests() -> None:
    """docs/faults.md names the marked tests, and each grave row has one that passed; ``make faults`` renews it."""
    text = TABLE.read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if re.match(r"\| F\d\d ", line)}
    assert set(rows) == set(CATALOGUE)
    shown = {row: set(re.findall(r"`([^`]*::[^`]*)`", line)) for row, line in rows.items()}
    assert {row: tests for row, tests in shown.items() if tests} == marked(), "run `make test`, then `make faults`"
    assert "FAILED" not in text
    assert not {row for row in GRAVE if not re.search(r"\b\d+ passed", rows[row])}, "nothing there proves these rows"


def test_marks_of_tests_and_of_modules_are_read(tmp_path: Path) -> None:
    """A module's mark counts for each of its tests; where marks are not looked for, there must be none."""
    (tmp_path / "test_a.py").write_text(
        "pytestmark = [pytest.mark.e2e, pytest.mark.fault('F01')]\n"
        "def helper(): ...\n"
        "@pytest.mark.fault('F02', 'F03')\n"
        "def test_one(): ...\n"
        "async def test_two(): ...\n"
    )
    both = {"test_a.py::test_one", "test_a.py::test_two"}
    assert marked(tmp_path) == {"F01": both, "F02": {"test_a.py::test_one"}, "F03": {"test_a.py::test_one"}}
    (tmp_path / "test_b.py").write_text("@pytest.mark.fault('F04')\nclass TestOfAClass: ...\n")
    with pytest.raises(ValueError, match=r"test_b\.py: a mark"):
        marked(tmp_path)


def test_results_come_from_the_run(tmp_path: Path) -> None:
    """Passed, failed and skipped cases are counted by row and test; a test is shown only where it is marked."""
    cases = case("a[1]") + case("a[2]", "<failure/>") + case("b", "<skipped/>") + case("gone")
    found = outcomes(junit(tmp_path / "junit.xml", cases))
    a, b, c = (f"client/test_x.py::{name}" for name in "abc")
    assert found["F01"][a] == {"passed": 1, "FAILED": 1}
    shown = page(found, {"F01": {a, b, c}})
    assert f"| `{a}`<br>`{b}`<br>`{c}` | 1 passed, 1 FAILED<br>1 skipped<br>not run |" in shown
    assert "gone" not in shown


def test_a_grave_row_needs_a_test_that_passed() -> None:
    """Skipped or not run proves nothing, failed and not run are named; a row without weight may be skipped."""
    good = {row: {f"{row}.py::test": Counter(passed=1)} for row in GRAVE}
    tests = {row: set(counts) for row, counts in good.items()} | {"F77": {"x.py::skipped"}}
    assert list(complaints({**good, "F77": {"x.py::skipped": Counter(skipped=1)}}, tests)) == []
    bad = {**good, "F01": {"F01.py::test": Counter(skipped=2)}, "F03": {"F03.py::test": Counter(passed=1, FAILED=1)}}
    del bad["F02"]
    assert list(complaints(bad, tests)) == [
        "F01 (P0): no test of it has passed",
        "F02: F02.py::test has not run",
        "F02 (P0): no test of it has passed",
        "F03: F03.py::test failed",
        "F77: x.py::skipped has not run",
    ]


def test_results_of_an_earlier_run_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, or whose run ended before the first began, ends in words and writes no page."""
    unit = junit(tmp_path / "unit.xml", start="2026-11-20T12:00:00+00:00")
    beside = junit(tmp_path / "beside.xml", start="2026-11-20T11:59:00+00:00", seconds=90)
    before = junit(tmp_path / "before.xml", start="2026-11-20T11:58:00+00:00", seconds=90)
    assert outdated(unit, beside, before) == [before]
    monkeypatch.setattr(fault_table, "TABLE", tmp_path / "page.md")
    for second, said in ((before, "older than"), (tmp_path / "none.xml", "not there")):
        monkeypatch.setattr(sys, "argv", ["fault_table", str(unit), str(second)])
        with pytest.raises(SystemExit, match=said):
            fault_table.main()
    assert not (tmp_path / "page.md").exists()
    monkeypatch.setattr(sys, "argv", ["fault_table", str(unit), str(beside)])
    assert fault_table.main() == 1
    assert (tmp_path / "page.md").exists()
