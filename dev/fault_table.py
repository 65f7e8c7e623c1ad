"""
``make faults``: docs/faults.md, from the fault catalogue, the markers of the tests and the results of a run.

Reads the JUnit files that pytest writes; tests/conftest.py puts the rows that a test is marked with into them.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from tests.faults import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "faults.md"
TESTS = ROOT / "tests"
Outcomes = dict[str, dict[str, Counter[str]]]  # row, test, how often it passed, failed, was skipped
_HEAD = """# Faults, and the tests that cover them

What goes wrong around a system like this one in production, and what has to happen then. P0 is money, a wrong verdict
or a secret, P1 a task that is lost or stuck, P2 noise or speed. `tests/faults.py` holds the rows; a test names those
that it proves with `@pytest.mark.fault`; `make test` and then `make faults` write this page. Numbers are of the
parametrised cases.

"""


def outcomes(*junits: Path) -> Outcomes:
    """The results of runs, by row of the catalogue and by test."""
    found: Outcomes = {}
    for case in (case for junit in junits for case in ElementTree.parse(junit).iter("testcase")):
        rows = [entry.get("value") for entry in case.iter("property") if entry.get("name") == "fault"]
        parts = (case.get("classname") or "").split(".")
        test = f"{'/'.join(parts)}.py::{(case.get('name') or '').partition('[')[0]}"
        result = next((word for tag, word in _TAGS.items() if case.find(tag) is not None), "passed")
        for row in rows:
            found.setdefault(str(row), {}).setdefault(test, Counter())[result] += 1
    return found


def marked() -> dict[str, set[str]]:
    """Row of the catalogue to the tests that are marked with it, read from their source."""
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for mark in _marks(node):
                rows = [argument.value for argument in mark.args if isinstance(argument, ast.Constant)]
                name = f"{path.relative_to(TESTS)}::{getattr(node, 'name', '*')}"
                for row in rows:
                    found.setdefault(str(row), set()).add(name)
    return found


def _marks(node: ast.stmt) -> list[ast.Call]:
    """Of a test function."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return [mark for mark in decorators if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault"]


_TAGS = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}


def page(found: Outcomes, tests: Mapping[str, set[str]]) -> str:
    """
    The whole document.

    :param tests: the marked tests by row; those without a result count as not run.
    """
    return _HEAD + "".join(f"{line}\n" for line in _lines(found, tests))


def _lines(found: Outcomes, marked_tests: Mapping[str, set[str]]) -> Iterator[str]:
    yield "| row | P | fault, and what has to happen | test | result |"
    yield "|---|---|---|---|---|"
    for row, fault in CATALOGUE.items():
        counts = {test.removeprefix("tests/"): count for test, count in found.get(row, {}).items()}
        tests = [*counts, *sorted(marked_tests.get(row, set()) - set(counts))]
        names = "<br>".join(f"`{test}`" for test in tests)
        results = "<br>".join(_result(counts.get(test)) for test in tests)
        yield f"| {row} | {fault.priority} | {fault.what} | {names or fault.untested or 'none yet'} | {results} |"


def _result(counts: Counter[str] | None) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) if counts else "not run"


def main() -> int:
    found = outcomes(*map(Path, sys.argv[1:]))
    TABLE.write_text(page(found, marked()), encoding="utf-8")
    failed = [row for row, tests in found.items() if any("FAILED" in counts for counts in tests.values())]
    print(f"{TABLE.name}: {len(found)} of {len(CATALOGUE)} rows have tests; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
