r"""
Segments as the text of a subtitle file: what was said is what a player shows, one cue for each segment with text.

Nothing in a text is a command to a player or to the library that writes it. SubRip and SubStation have no way to
escape, so a ZERO WIDTH NON-JOINER, which nobody sees, parts what would be one (``-->``, ``<i>``, ``\N``).
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO, get_args

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.segments import Segment, TextChoice

if TYPE_CHECKING:
    from pysubs2 import SSAEvent

CueFormat = Literal["srt", "vtt", "ass", "ttml", "txt"]
CUE_FORMATS: tuple[str, ...] = get_args(CueFormat)

_LONGEST = 359_999_999  # milliseconds: SubRip has two digits for hours
_LONGEST_ASS = 35_999_990  # SubStation has one
_SHORTEST = 1000  # what has no length would never be seen
_SPLIT = "\N{ZERO WIDTH NON-JOINER}"
# Control characters, half surrogate pairs and non-characters: XML forbids them, players stumble over them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BACKSLASH = re.compile(r"\\(?=[A-Za-z]|$)")
_TAG = re.compile(r"<(?=\s*/?\s*[A-Za-z])")
_FULL_WIDTH = str.maketrans("{}", "\N{FULLWIDTH LEFT CURLY BRACKET}\N{FULLWIDTH RIGHT CURLY BRACKET}")


@dataclass(frozen=True, slots=True)
class CueStyle:
    """
    What the cues of a file show.

    :param text: the original, the translation, or both, the original above.
    :param speakers: name the speaker: as a voice in WebVTT, in the Name field of ASS (neither is displayed by itself),
        elsewhere before the text.
    :param word_timing: mark when each word of the original begins, in WebVTT (timestamp tags) and ASS (karaoke);
        where MPS told no words this changes nothing.
    """

    text: TextChoice = "bilingual"
    speakers: bool = False
    word_timing: bool = False


class _Cue(NamedTuple):
    """Times in milliseconds; ``original`` is how many of the lines are of the original text."""

    start: int
    end: int
    lines: list[str]
    original: int
    segment: Segment


def write_cues(segments: Iterable[Segment], stream: TextIO, format_: CueFormat, style: CueStyle) -> None:
    """
    Write a subtitle file (``txt``: the texts without times).

    Cues stand in order of their start; those that overlap stay so. A segment that does not end after its start is
    shown for a second, or until the next one begins. ASS counts hundredths of a second: its times are off by up to
    5 ms, and no cue is shorter than 10 ms.

    :raises MpsConfigError: ASS ends at ten hours, and a segment begins later.
    """
    cues = _cues(segments, style.text)
    if format_ == "txt":
        _write_text(cues, stream, style)
        return
    import pysubs2  # here, because a DAG file that imports the operators must stay light

    if format_ == "ass" and cues and cues[-1].start > _LONGEST_ASS:
        raise MpsConfigError("ASS cannot name times past 10 hours; choose srt, vtt or ttml.")
    subtitles = pysubs2.SSAFile()
    subtitles.events = [_event(cue, format_, style) for cue in cues]
    # Kept as they are, the braces of SubRip and WebVTT reach the file as the text they were.
    options = {"keep_ssa_tags": True} if format_ in {"srt", "vtt"} else {}
    subtitles.to_file(stream, format_, **options)


def _cues(segments: Iterable[Segment], text: TextChoice) -> list[_Cue]:
    cues = []
    for segment in segments:
        original = _lines(segment.text) if text != "translation" else []
        translation = _lines(segment.translation or "") if text != "original" else []
        if lines := original + translation:
            times = _milliseconds(segment.start), _milliseconds(segment.end)
            cues.append(_Cue(*times, lines, len(original), segment))
    cues.sort(key=lambda cue: cue.start)
    following: float = math.inf
    for index in range(len(cues) - 1, -1, -1):
        cue = cues[index]
        if index + 1 < len(cues) and cues[index + 1].start > cue.start:
            following = cues[index + 1].start
        if cue.end <= cue.start:
            cues[index] = cue._replace(end=int(min(cue.start + _SHORTEST, following)))
    return cues


def _milliseconds(seconds: float) -> int:
    return round(min(max(seconds, 0), _LONGEST / 1000) * 1000)


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in _UNPRINTABLE.sub("", text).splitlines())
    return [line for line in lines if line]


def _event(cue: _Cue, format_: CueFormat, style: CueStyle) -> SSAEvent:
    import pysubs2

    start, end = cue.start, cue.end
    if format_ == "ass":
        start, end = _hundredths(start), _hundredths(end)
        end = max(end, start + 10)
    event = pysubs2.SSAEvent(start=start, end=end)
    # By lines: pysubs2 takes the backslash sequence for the end of one.
    event.text = r"\N".join(_shown(cue, format_, style))
    speaker = " ".join((cue.segment.speaker or "").split())
    if speaker and style.speakers:
        if format_ == "ass":
            event.name = speaker.replace(",", " ")
        elif format_ == "vtt":
            event.text = f"<v {_escape(speaker, 'vtt')}>{event.text}"
    return event


def _hundredths(milliseconds: int) -> int:
    return (milliseconds + 5) // 10 * 10


def _shown(cue: _Cue, format_: CueFormat, style: CueStyle) -> Iterator[str]:
    """The lines as they stand in the file."""
    shown = [_escape(line, format_) for line in cue.lines]
    if style.word_timing and cue.segment.words and format_ in {"vtt", "ass"} and cue.original:
        pieces = _timed_pieces("\n".join(cue.lines[: cue.original]), cue)
        shown[: cue.original] = _timed(pieces, cue, format_).split("\n")
    if label := _label(cue, format_, style):
        shown[0] = _escape(label, format_) + shown[0]
    for plain, line in zip(cue.lines, shown, strict=True):
        # Browsers tell the direction of each line by themselves, other players do not.
        yield f"\u202b{line}\u202c" if format_ != "vtt" and _is_right_to_left(plain) else line


def _label(cue: _Cue, format_: CueFormat, style: CueStyle) -> str:
    speaker = " ".join((cue.segment.speaker or "").split())
    return f"{speaker}: " if speaker and style.speakers and format_ in {"srt", "ttml", "txt"} else ""


def _escape(text: str, format_: CueFormat) -> str:
    if format_ == "txt":
        return text
    if format_ == "srt":
        text = _TAG.sub(f"<{_SPLIT}", text).replace("-->", f"--{_SPLIT}>")
    elif format_ == "vtt":
        text = html.escape(text, quote=False)
    else:  # between braces stand the commands of ASS, which pysubs2 also writes TTML from
        text = text.translate(_FULL_WIDTH)
    return _BACKSLASH.sub(rf"\\{_SPLIT}", text) if "\\" in text else text


def _is_right_to_left(line: str) -> bool:
    """Whether the first character that has a direction runs from right to left."""
    for character in line:
        direction = unicodedata.bidirectional(character)
        if direction in {"L", "R", "AL"}:
            return direction != "L"
    return False


def _timed_pieces(text: str, cue: _Cue) -> Iterator[tuple[int, str]]:
    """The text in pieces with the milliseconds at which each begins; words that do not stand in it are passed over."""
    at, begun, searched = cue.start, 0, 0
    for word in cue.segment.words:
        wanted = word.text.strip()
        position = text.find(wanted, searched) if wanted and word.start is not None else -1
        if position < 0 or word.start is None:
            continue
        searched = position + len(wanted)
        if at < (start := _milliseconds(word.start)) < cue.end:
            yield at, text[begun:position]
            at, begun = start, position
    yield at, text[begun:]


def _timed(pieces: Iterator[tuple[int, str]], cue: _Cue, format_: CueFormat) -> str:
    from pysubs2.formats.webvtt import WebVTTFormat

    known = list(pieces)
    if len(known) == 1:
        return _escape_lines(known[0][1], format_)
    timed = []
    for index, (at, text) in enumerate(known):
        tag = ""
        if format_ == "ass":
            until = known[index + 1][0] if index + 1 < len(known) else cue.end
            tag = f"{{\\k{(_hundredths(until) - _hundredths(at)) // 10}}}"
        elif index:
            tag = f"<{WebVTTFormat.ms_to_timestamp(at)}>"
        timed.append(tag + _escape_lines(text, format_))
    return "".join(timed)


def _escape_lines(text: str, format_: CueFormat) -> str:
    return "\n".join(_escape(line, format_) for line in text.split("\n"))


def _write_text(cues: list[_Cue], stream: TextIO, style: CueStyle) -> None:
    separator = "\n" if style.text == "bilingual" else ""
    for number, cue in enumerate(cues):
        lines = [_label(cue, "txt", style) + cue.lines[0], *cue.lines[1:]]
        stream.write((separator if number else "") + "\n".join(lines) + "\n")
