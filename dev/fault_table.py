"""
``make faults``: docs/faults.md, from the fault catalogue, the markers of the tests and the results of a run.

Reads the JUnit files that pytest writes; tests/conftest.py puts the rows that a test is marked with into them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

from tests.faults import CATALOGUE

TABLE = Path(__file__).resolve().parent.parent / "docs" / "faults.md"
Outcomes = dict[str, dict[str, Counter[str]]]  # row, test, how often it passed, failed, was skipped
_HEAD = """# Faults, and the tests that cover them

What goes wrong around a system like this one in production, and what has to happen then. P0 is money, a wrong verdict
or a secret, P1 a task that is lost or stuck, P2 noise or speed. `tests/faults.py` holds the rows; a test names those
that it proves with `@pytest.mark.fault`; `make faults` runs these tests and writes this page. Numbers are of the
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


_TAGS = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}


def page(found: Mapping[str, Mapping[str, Counter[str]]]) -> str:
    """The whole document."""
    return _HEAD + "".join(f"{line}\n" for line in _lines(found))


def _lines(found: Mapping[str, Mapping[str, Counter[str]]]) -> Iterator[str]:
    yield "| row | P | fault, and what has to happen | test | result |"
    yield "|---|---|---|---|---|"
    for row, fault in CATALOGUE.items():
        tests = found.get(row, {})
        names = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests)
        results = "<br>".join(", ".join(f"{count} {word}" for word, count in tests[test].items()) for test in tests)
        yield f"| {row} | {fault.priority} | {fault.what} | {names or fault.untested or 'none yet'} | {results} |"


def main() -> int:
    found = outcomes(*map(Path, sys.argv[1:]))
    TABLE.write_text(page(found), encoding="utf-8")
    failed = [row for row, tests in found.items() if any("FAILED" in counts for counts in tests.values())]
    print(f"{TABLE.name}: {len(found)} of {len(CATALOGUE)} rows have tests; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
