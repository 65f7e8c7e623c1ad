"""The benchmarks still measure what they say: their candidates run and read the same. How fast is not tested here."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.results.formats import SUBTITLE_FORMATS

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a benchmark as its command does, and forget it afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = {path.stem for path in FOLDER.glob("*.py")}
    yield importlib.import_module
    for name in names & set(sys.modules):
        del sys.modules[name]


@pytest.mark.parametrize("words", [False, True])
def test_both_parsers_read_the_same(load: Any, monkeypatch: pytest.MonkeyPatch, words: bool) -> None:
    """Ours and the SDK's find the same segments, which is what makes the comparison one."""
    parse = load("parse")
    monkeypatch.setattr(parse, "SEGMENTS", 5)
    parse.check(parse.answer(words=words, segments=5), words=words)
    with pytest.raises(SystemExit):
        parse.check(parse.answer(words=words, segments=4), words=words)


def test_every_format_of_a_large_answer_is_written(load: Any) -> None:
    """Each writer that is measured writes something."""
    large, parse = load("large"), load("parse")
    [subtitle] = parse.ours(parse.answer(words=True, segments=5))
    assert all(large.write(subtitle, format_) > 100 for format_ in SUBTITLE_FORMATS)


def test_every_kind_of_look_says_the_same(load: Any) -> None:
    """Ours, the client alone, bare aiohttp and the SDK ask for the same task and read the same state."""
    look = load("look")

    async def states(host: str) -> list[set[str | None]]:
        async with contextlib.AsyncExitStack() as stack:
            task_ids, candidates = await look.open_all(host, stack)
            return [{await each(task_id) for each in candidates.values()} for task_id in task_ids[:2]]

    with look.emulator() as host:
        assert asyncio.run(states(host)) == [{"PROCESSING"}] * 2
