"""The pages under docs/ and beside it, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")),
]
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in _PAGES}


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    number: int
    language: str
    code: str

    @property
    def dags(self) -> set[str]:
        """The DAGs that it defines, where it is a whole DAG file."""
        return set(re.findall(r"^(\w+)\(\)$", self.code, re.MULTILINE)) if "@dag(" in self.code else set()

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def _blocks(page: str) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", TEXT[page], re.DOTALL | re.MULTILINE)
    return [Block(page, number, language, code) for number, (language, code) in enumerate(found)]


BLOCKS = [block for page in TEXT for block in _blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
WHOLE = [block for block in PYTHON if block.dags]


def prose(page: str) -> str:
    """What is no block."""
    return without_blocks(TEXT[page])


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
