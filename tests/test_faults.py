"""Every row of the fault catalogue that costs money or loses a task has a test, or says why not."""

from __future__ import annotations

import re
from pathlib import Path

from dev.fault_table import TABLE, marked, outcomes, page
from tests.faults import CATALOGUE


def test_every_grave_fault_is_tested_or_says_why_not() -> None:
    """P0 and P1 rows have a test or a reason; no test names a row that there is not."""
    tested = marked()
    grave = {row for row, fault in CATALOGUE.items() if fault.priority in {"P0", "P1"}}
    assert {row for row in grave if row not in tested and not CATALOGUE[row].untested} == set()
    assert set(tested) <= set(CATALOGUE)


def test_the_table_in_the_docs_is_of_these_tests() -> None:
    """docs/faults.md names tests that are marked so, for each marked row; ``make faults`` renews it."""
    text = TABLE.read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if re.match(r"\| F\d\d ", line)}
    assert set(rows) == set(CATALOGUE)
    for row, tests in marked().items():
        shown = set(re.findall(r"`([^`]*::[^`]*)`", rows[row]))
        assert shown, row
        assert shown <= tests, row
    assert "FAILED" not in text


def test_results_come_from_the_run(tmp_path: Path) -> None:
    """Passed, failed and skipped cases are counted by row and test, and shown."""
    mark = '<properties><property name="fault" value="F01"/></properties>'
    cases = {"a[1]": "", "a[2]": "<failure/>", "b": "<skipped/>"}
    body = "".join(f'<testcase classname="tests.test_x" name="{n}">{mark}{r}</testcase>' for n, r in cases.items())
    (tmp_path / "junit.xml").write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
    found = outcomes(tmp_path / "junit.xml")
    assert found["F01"]["tests/test_x.py::a"] == {"passed": 1, "FAILED": 1}
    assert "| `test_x.py::a`<br>`test_x.py::b` | 1 passed, 1 FAILED<br>1 skipped |" in page(found, {})
    missing = page({}, {"F01": {"test_x.py::c"}})
    assert "| `test_x.py::c` | not run |" in missing
