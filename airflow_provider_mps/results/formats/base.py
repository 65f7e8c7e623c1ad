r"""
The base of the subtitle formats.

How to add a format:

1. Create ``formats/<name>.py`` with a subclass of :class:`SubtitleWriter`. The module docstring says what is special
   about the format and links its specification.
2. Implement :meth:`~SubtitleWriter.write`. It gets the cues in order of their start and writes them to a text stream.
   :meth:`~SubtitleWriter.lines` gives the lines of a cue as they stand in the file.
3. Implement :meth:`~SubtitleWriter.escape`, so that no text is read as markup. Where a format cannot escape a
   character sequence, split the sequence with :data:`SPLIT`, which is invisible.
4. If the format can time words, derive from :class:`WordTimingWriter`. Set ``speaker_labels`` to False if it has
   its own place for the name of a speaker, and ``direction_marks`` to False if its players find the direction of a line
   themselves.
5. Import a library inside the function that needs it: DAG files import this package.
6. Add the name to ``CueFormat`` and the writer to ``_WRITERS`` in ``formats/__init__.py``.
7. Add the name to the tests in ``tests/results/test_formats.py`` and to the table in ``docs/subtitles.md``.

A format that is read needs no step here yet: ``reader.py`` detects the format of a file.
"""

from __future__ import annotations

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TextIO

from airflow_provider_mps.results.segments import Segment, TextChoice

SPLIT = "\N{ZERO WIDTH NON-JOINER}"
_MAX_TIME = 359_999_999  # milliseconds: SubRip has two digits for hours
_EMPTY_CUE = 1000  # milliseconds that a cue without a length is displayed
# Control characters, half surrogate pairs and non-characters: XML forbids them, and players show them as garbage.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BACKSLASH = re.compile(r"\\(?=[A-Za-z]|$)")


@dataclass(frozen=True, slots=True)
class CueStyle:
    """
    What the cues of a file show.

    :param text: the original, the translation, or both, the original above.
    :param speakers: name the speaker: as a voice in WebVTT and in the Name field of ASS, where players do not display
        it by default; before the text in the other formats.
    :param word_timing: mark when each word of the original begins, in WebVTT (timestamp tags) and ASS (karaoke). This
        needs words in the answer of MPS.
    """

    text: TextChoice = "bilingual"
    speakers: bool = False
    word_timing: bool = False


class Cue(NamedTuple):
    """One caption. Times in milliseconds; the first ``original`` lines are original text, the others translation."""

    start: int
    end: int
    lines: list[str]
    original: int
    segment: Segment

    @property
    def speaker(self) -> str:
        return " ".join((self.segment.speaker or "").split())


class SubtitleWriter(ABC):
    """Writes the files of one format."""

    speaker_labels: ClassVar[bool] = True
    direction_marks: ClassVar[bool] = True

    @abstractmethod
    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        """Write a whole file."""

    def escape(self, text: str) -> str:
        """The text of one line without anything that a player takes for a command."""
        return text

    def escaped(self, cue: Cue, style: CueStyle) -> list[str]:  # noqa: ARG002 - formats that time words need it
        """The escaped lines of a cue, with word times where the format has them."""
        return [self.escape(line) for line in cue.lines]

    def lines(self, cue: Cue, style: CueStyle) -> list[str]:
        """The lines of a cue as they stand in the file: escaped, with speaker, word times and direction marks."""
        lines = self.escaped(cue, style)
        if self.speaker_labels and style.speakers and cue.speaker:
            lines[0] = self.escape(f"{cue.speaker}: ") + lines[0]
        if not self.direction_marks:
            return lines
        pairs = zip(cue.lines, lines, strict=True)
        return [f"\u202b{line}\u202c" if _is_right_to_left(plain) else line for plain, line in pairs]


class WordTimingWriter(SubtitleWriter):
    """Writes the files of a format that can mark when each word begins."""

    @abstractmethod
    def word_tag(self, start: int, end: int, *, is_first: bool) -> str:
        """The tag before words that are spoken from ``start`` to ``end``, in milliseconds."""

    def escaped(self, cue: Cue, style: CueStyle) -> list[str]:
        lines = super().escaped(cue, style)
        if style.word_timing and cue.segment.words and cue.original:
            lines[: cue.original] = self._timed(cue).split("\n")
        return lines

    def _timed(self, cue: Cue) -> str:
        pieces = list(_timed_pieces(cue))
        ends = [start for start, _ in pieces[1:]] + [cue.end]
        timed = []
        for index, ((start, text), end) in enumerate(zip(pieces, ends, strict=True)):
            tag = self.word_tag(start, end, is_first=index == 0) if len(pieces) > 1 else ""
            timed.append(tag + "\n".join(self.escape(line) for line in text.split("\n")))
        return "".join(timed)


def make_cues(segments: Iterable[Segment], text: TextChoice) -> list[Cue]:
    """
    One cue for each segment that has text, in order of start. Cues may overlap.

    A segment that does not end after its start is displayed for a second, or until the next one begins.
    """
    cues = sorted(filter(None, (_cue(segment, text) for segment in segments)), key=lambda cue: cue.start)
    next_start: float = math.inf  # of the first cue that begins later
    for index in range(len(cues) - 1, -1, -1):
        cue = cues[index]
        if index + 1 < len(cues) and cues[index + 1].start > cue.start:
            next_start = cues[index + 1].start
        if cue.end <= cue.start:
            cues[index] = cue._replace(end=int(min(cue.start + _EMPTY_CUE, next_start)))
    return cues


def timestamp(milliseconds: int, separator: str = ".") -> str:
    """``HH:MM:SS.mmm``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{rest:03}"


def split_backslashes(text: str) -> str:
    r"""
    The text without commands such as ``\N``, which ends a line in SubStation.

    Readers of the other formats that are built on SubStation know these commands, too.
    """
    return _BACKSLASH.sub(rf"\\{SPLIT}", text) if "\\" in text else text


def _cue(segment: Segment, text: TextChoice) -> Cue | None:
    original = _lines(segment.text) if text != "translation" else []
    translation = _lines(segment.translation or "") if text != "original" else []
    if not (original or translation):
        return None
    times = _milliseconds(segment.start), _milliseconds(segment.end)
    return Cue(*times, original + translation, len(original), segment)


def _milliseconds(seconds: float) -> int:
    return round(min(max(seconds, 0), _MAX_TIME / 1000) * 1000)


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in _UNPRINTABLE.sub("", text).splitlines())
    return [line for line in lines if line]


def _is_right_to_left(line: str) -> bool:
    """Whether the first character with a direction runs from right to left."""
    directions = map(unicodedata.bidirectional, line)
    return next((found for found in directions if found in {"L", "R", "AL"}), "L") != "L"


def _timed_pieces(cue: Cue) -> Iterator[tuple[int, str]]:
    """The original text in pieces, each with its start in milliseconds. Words that the text lacks are skipped."""
    text = "\n".join(cue.lines[: cue.original])
    at, begin, searched = cue.start, 0, 0
    for word in cue.segment.words:
        wanted = word.text.strip()
        position = text.find(wanted, searched) if wanted and word.start is not None else -1
        if position < 0 or word.start is None:
            continue
        searched = position + len(wanted)
        if at < (start := _milliseconds(word.start)) < cue.end:
            yield at, text[begin:position]
            at, begin = start, position
    yield at, text[begin:]
