"""The package and its pages use the terms of the field. Words that this project once invented do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "airflow_provider_mps").rglob("*.py"))
# Not the catalogue of faults and the history of proofs: they quote names of tests.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in {"faults.md", "proof.md"}),
]
# A pattern, and the term that replaces it.
PRIVATE_WORDS = {
    r"\blanes?\b|Sighting|\bsightings?\b": "PollQueue, PollResult",
    r"call(ed)?_forward|can_be_called|call(s|ed)? (looks |polls )?forward": "expedite",
    r"[Kk]eyring|KeySource|FirstOf\b|_in_vain": "CredentialCache, CredentialProvider, ChainProvider",
    r"\b[Pp]atience\b": "WaitPolicy, WaitState",
    r"pace_of|\bPace\b": "RateLimiter",
    r"\bcrowded\b|_CROWD\b": "is_backlogged",
    r"tell_all|_keeps_its_place": "fail_all, _requeue_throttled",
    r"take_lists_at_their_word|word_is_enough|at (its|their) word": "hint",
    r"\blooks_(refused|unanswered)|oldest_due_look|mps\.looks\b": "polls_throttled, polls_failed, poll_lag",
    r"state.looks|decode_look|\b(first|last|each|one|between|two|more) looks\b": "poll",
    r"only_useful_retries": "fail_fast_on_permanent",
    r"MasksSecrets": "MaskSecretsMixin",
    r"Canceller": "lifecycle/cancel.py",
    r"TaskStateLedger": "TaskStateJobStore",
    r"JobOutcome": "CompletesJobMixin",
    r"keys_refused|(?<!connection )\b([Rr]efuse[sd]?|[Rr]efusals?)\b": "throttled, error, rejected, denied, invalid",
    r"\b_?(MOST|LONGEST|SHORTEST)(_\w+)?\b|_SOON\b|_BEYOND_THEM\b|_IN_VAIN\b": "MAX_*, MIN_*",
    r"\bin vain\b|\bfor so long\b|\bso many (seconds|times|waits|tasks)\b|\bone too many\b": "plain words",
}


def private_words(text: str) -> list[str]:
    """Each private word in a text, with the term that replaces it."""
    return [
        f"{found[0]}: say {term}" for pattern, term in PRIVATE_WORDS.items() for found in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize("path", [*PACKAGE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_word_is_left(path: Path) -> None:
    """In code, comments, log lines, errors and pages the field's term stands in its place."""
    assert private_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a job has ended at the first looks", 1),
        ("mps.looks_refused", 1),
        ("MPS refused the request", 1),
        ("connection refused, a plane, it looks for a job", 0),
        ("_MOST_READ = 3", 1),
    ],
)
def test_this_test_finds_them(text: str, count: int) -> None:
    """A pattern finds its word, and leaves ordinary words alone."""
    assert len(private_words(text)) == count
