"""The pages under docs/ and what they show: every Python block runs, every link to a file leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from airflow.sdk import DAG

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
RUN_ELSEWHERE = {"testing"}  # it shows test files, which test_testing runs as such
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    if page.stem not in RUN_ELSEWHERE
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_python_block_runs(block: str) -> None:
    """Names are spelled right, arguments exist; nothing is asked of MPS or Airflow while a DAG is built."""
    with DAG("docs", schedule=None):
        exec(compile(block, "docs", "exec"), {"__name__": "docs"})


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the repository."""
    links = re.findall(r"\]\(((?!https?://|#)[^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
