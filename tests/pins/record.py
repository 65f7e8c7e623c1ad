"""
What must not change while the package is rebuilt, recorded as JSON beside this file.

``python -m tests.pins.record`` writes the records anew; a change of theirs is a change of behaviour.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).parent / "recorded"
_RECORD = "RECORD_PINS"


def is_recording() -> bool:
    """Whether what is seen is the record, and not compared with one."""
    return _RECORD in os.environ


def pinned(file: str, name: str, value: Any) -> None:
    """Compare a value with the one that is recorded under this name; while recording, write it down."""
    value = json.loads(json.dumps(value))
    if is_recording():
        text = json.dumps({**recorded(file), name: value}, indent=1, sort_keys=True, ensure_ascii=False)
        (RECORDED / file).write_text(f"{text}\n", encoding="utf-8")
    assert value == recorded(file).get(name), f"{name} differs from {file}; see {__name__}"


def recorded(file: str) -> dict[str, Any]:
    """All that a file holds."""
    path = RECORDED / file
    records: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return records


def main() -> int:
    """Forget all records, and run the tests to make new ones."""
    RECORDED.mkdir(exist_ok=True)
    for path in RECORDED.glob("*.json"):
        path.unlink()
    os.environ[_RECORD] = "1"
    return int(pytest.main(["-q", "-p", "no:xdist", str(Path(__file__).parent)]))


if __name__ == "__main__":
    sys.exit(main())
