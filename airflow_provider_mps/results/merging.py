"""Several languages in one track. MPS writes one subtitle for each pair, cut into the same sentences or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.segments import Segment, TextChoice
from airflow_provider_mps.results.subtitles import Subtitle


def merge(subtitles: Sequence[Subtitle], text: TextChoice = "bilingual") -> Subtitle:
    """
    One subtitle that shows several: the first cuts the time into segments, the others add their lines below.

    A segment of the others is added to the one of the first that it shares most time with (words and speaker stay
    those of the first); where it shares none, it stands alone. A line that the segment shows already is not repeated,
    so that ``zh`` to ``en`` and ``zh`` to ``ja`` give three lines and not four.

    :param text: what each of them contributes. The merged lines are all in ``Segment.text``.
    :raises MpsConfigError: there is none to merge.
    """
    if not subtitles:
        raise MpsConfigError("There are no subtitles to merge.")
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
    """``track``, in order of its starts, with the lines of ``others``."""
    lines = [[segment.text] for segment in track]
    alone: list[Segment] = []
    running: list[int] = []
    begun = 0
    for other in sorted(others, key=lambda segment: segment.start):
        while begun < len(track) and track[begun].start < _end(other):
            running.append(begun)
            begun += 1
        # What has ended is of no interest to those that begin later.
        running = [index for index in running if _end(track[index]) > other.start]
        best = max(running, key=lambda index: _likeness(track[index], other), default=None)
        if best is None or _shared(track[best], other) <= 0:
            alone.append(other)
        else:
            lines[best].append(other.text)
    merged = [
        msgspec.structs.replace(segment, text=_without_repetition(texts))
        for segment, texts in zip(track, lines, strict=True)
    ]
    return sorted([*merged, *alone], key=lambda segment: segment.start)


def _shared(one: Segment, other: Segment) -> float:
    return min(_end(one), _end(other)) - max(one.start, other.start)


def _likeness(one: Segment, other: Segment) -> tuple[float, float]:
    """Of two that share the same time with another, the shorter one is more like it."""
    return _shared(one, other), one.start - _end(one)


def _end(segment: Segment) -> float:
    """What has no length is taken for a moment, so that it shares time with what goes on then."""
    return max(segment.end, segment.start + 0.001)


def _without_repetition(texts: list[str]) -> str:
    lines = (line.strip() for text in texts for line in text.splitlines())
    return "\n".join(dict.fromkeys(line for line in lines if line))
