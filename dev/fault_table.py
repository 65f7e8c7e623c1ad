"""
``make faults``: docs/faults.md, from the fault catalogue, the markers of the tests and the results of a run.

Reads the JUnit files that pytest writes; tests/conftest.py puts the rows that a test is marked with into them.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

from tests.support.faults import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "faults.md"
TESTS = ROOT / "tests"
Outcomes = dict[str, dict[str, Counter[str]]]  # row, test, how often it passed, failed, was skipped
_HEAD = """# Faults, and the tests that cover them

What goes wrong around a system like this one in production, and what has to happen then. P0 is money, a wrong verdict
or a secret, P1 a task that is lost or stuck, P2 noise or speed. `tests/support/faults.py` holds the rows; a test
names those that it proves with `@pytest.mark.fault`; `make test` and then `make faults` write this page. Numbers are of
the parametrised cases.

"""


def outcomes(*junits: Path) -> Outcomes:
    """The results of runs, by row of the catalogue and by test."""
    found: Outcomes = {}
    for case in (case for junit in junits for case in ElementTree.parse(junit).iter("testcase")):
        rows = [entry.get("value") for entry in case.iter("property") if entry.get("name") == "fault"]
        parts = (case.get("classname") or "").removeprefix("tests.").split(".")
        test = f"{'/'.join(parts)}.py::{(case.get('name') or '').partition('[')[0]}"
        result = next((word for tag, word in _TAGS.items() if case.find(tag) is not None), "passed")
        for row in rows:
            found.setdefault(str(row), {}).setdefault(test, Counter())[result] += 1
    return found


def outdated(*junits: Path) -> list[Path]:
    """Those whose run had ended before the run of the first began: results of other code, most likely."""
    runs = [_span(junit) for junit in junits]
    return [junit for junit, (_, end) in zip(junits, runs, strict=True) if end < runs[0][0]]


def _span(junit: Path) -> tuple[datetime, datetime]:
    """When a run began and ended."""
    suites = [suite.attrib for suite in ElementTree.parse(junit).iter("testsuite")]
    starts = [datetime.fromisoformat(suite["timestamp"]) for suite in suites]
    ends = [start + timedelta(seconds=float(suite["time"])) for start, suite in zip(starts, suites, strict=True)]
    return min(starts), max(ends)


def marked(folder: Path = TESTS) -> dict[str, set[str]]:
    """
    Row of the catalogue to the tests that are marked with it, each or with their whole module, read from their source.

    :raises ValueError: a mark is where this does not look for it, for example at a class.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        tests = [
            node
            for node in module.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        of_all = [mark for node in module.body if _is_pytestmark(node) for mark in _marks(node)]
        own = {test.name: [mark for place in test.decorator_list for mark in _marks(place)] for test in tests}
        if len(_marks(module)) != len(of_all) + sum(map(len, own.values())):
            raise ValueError(f"{path}: a mark with a fault is neither at a test function nor in pytestmark")
        for name, marks in own.items():
            for row in (ast.literal_eval(argument) for mark in [*of_all, *marks] for argument in mark.args):
                found.setdefault(row, set()).add(f"{path.relative_to(folder).as_posix()}::{name}")
    return found


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(ast.unparse(target) == "pytestmark" for target in node.targets)


def _marks(node: ast.AST) -> list[ast.Call]:
    """With a fault, anywhere below."""
    calls = (part for part in ast.walk(node) if isinstance(part, ast.Call))
    return [call for call in calls if ast.unparse(call.func) == "pytest.mark.fault"]


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
        tests = sorted(marked_tests.get(row, ()))
        names = "<br>".join(f"`{test}`" for test in tests)
        results = "<br>".join(_result(found.get(row, {}).get(test)) for test in tests)
        yield f"| {row} | {fault.priority} | {fault.what} | {names or fault.untested or 'none yet'} | {results} |"


def _result(counts: Counter[str] | None) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) if counts else "not run"


def complaints(found: Outcomes, tests: Mapping[str, set[str]]) -> Iterator[str]:
    """What keeps these results from being a proof: tests that failed or did not run, grave rows that none proves."""
    for row, fault in CATALOGUE.items():
        counts = {test: found.get(row, {}).get(test, Counter[str]()) for test in sorted(tests.get(row, ()))}
        yield from (f"{row}: {test} failed" for test, count in counts.items() if count["FAILED"])
        yield from (f"{row}: {test} has not run" for test, count in counts.items() if not count)
        if fault.is_grave and not fault.untested and not any(count["passed"] for count in counts.values()):
            yield f"{row} ({fault.priority}): no test of it has passed"


def main() -> int:
    junits = [Path(name) for name in sys.argv[1:]]
    if missing := [str(junit) for junit in junits if not junit.exists()]:
        sys.exit(f"{', '.join(missing)}: not there; `make test` writes it.")
    if old := outdated(*junits):
        sys.exit(f"{', '.join(map(str, old))}: older than {junits[0]}, nothing is written; run `make test` to its end.")
    found, tests = outcomes(*junits), marked()
    TABLE.write_text(page(found, tests), encoding="utf-8")
    wrong = list(complaints(found, tests))
    print(f"{TABLE.name}: {len(tests)} of {len(CATALOGUE)} rows have tests", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
