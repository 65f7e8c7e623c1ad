"""Several languages in one subtitle. MPS writes one subtitle for each language pair, and their sentences may differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.segments import Segment, TextChoice
from airflow_provider_mps.results.subtitles import Subtitle


def merge(subtitles: Sequence[Subtitle], text: TextChoice = "bilingual") -> Subtitle:
    """
    Merge subtitles into one: the first gives the segments, the others add their lines below.

    A segment of another subtitle is added to the segment that overlaps it longest. Words and speaker are those of the
    first subtitle. A segment that overlaps none stays a segment of its own. A line that a segment already has is not
    added again: ``zh`` to ``en`` and ``zh`` to ``ja`` give three lines and not four.

    :param text: the texts that are taken of each subtitle. All merged lines are in ``Segment.text``.
    :raises MpsConfigError: ``subtitles`` is empty.
    """
    if not subtitles:
        raise MpsConfigError("There are no subtitles to merge; give at least one.")
    first, *others = subtitles
    merged = [_shown(segment, text) for segment in first.segments]
    merged.sort(key=lambda segment: segment.start)
    for other in others:
        merged = _add(merged, [_shown(segment, text) for segment in other.segments])
    languages = [language for subtitle in subtitles for language in _languages(subtitle, text)]
    return first.model_copy(
        update={
            "language": "+".join(dict.fromkeys(languages)) or None,
            "translation_language": None,
            "segment_count": len(merged),
            "segments": tuple(merged),
            "files": tuple(file for subtitle in subtitles for file in subtitle.files),
            "exports": {},
        }
    )


def _languages(subtitle: Subtitle, text: TextChoice) -> Iterable[str]:
    named = {
        "original": [subtitle.language],
        "translation": [subtitle.translation_language],
        "bilingual": [subtitle.language, subtitle.translation_language],
    }
    return (language for language in named[text] if language)


def _shown(segment: Segment, text: TextChoice) -> Segment:
    words = () if text == "translation" else segment.words
    return msgspec.structs.replace(segment, text=segment.show(text), translation=None, words=words)


def _add(track: list[Segment], others: list[Segment]) -> list[Segment]:
    """``track``, which is in order of its starts, with the lines of ``others``."""
    lines = [[segment.text] for segment in track]
    alone: list[Segment] = []
    running: list[int] = []  # positions in track that may overlap the current segment
    begun = 0
    for other in sorted(others, key=lambda segment: segment.start):
        while begun < len(track) and track[begun].start < _end(other):
            running.append(begun)
            begun += 1
        # A segment that ended before this one begins overlaps no later one either.
        running = [index for index in running if _end(track[index]) > other.start]
        best = max(running, key=lambda index: _overlap_rank(track[index], other), default=None)
        if best is None or _overlap(track[best], other) <= 0:
            alone.append(other)
        else:
            lines[best].append(other.text)
    merged = [
        msgspec.structs.replace(segment, text=_without_repetition(texts))
        for segment, texts in zip(track, lines, strict=True)
    ]
    return sorted([*merged, *alone], key=lambda segment: segment.start)


def _overlap(one: Segment, other: Segment) -> float:
    return min(_end(one), _end(other)) - max(one.start, other.start)


def _overlap_rank(one: Segment, other: Segment) -> tuple[float, float]:
    """Sort key: the longest overlap, then the shorter segment."""
    return _overlap(one, other), one.start - _end(one)


def _end(segment: Segment) -> float:
    """The end of a segment, at least 1 ms after its start, so that a segment without a length can overlap."""
    return max(segment.end, segment.start + 0.001)


def _without_repetition(texts: list[str]) -> str:
    lines = (line.strip() for text in texts for line in text.splitlines())
    return "\n".join(dict.fromkeys(line for line in lines if line))
