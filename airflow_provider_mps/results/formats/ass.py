r"""
SubStation Alpha (ASS). It counts hundredths of a second up to ten hours: times are off by up to 5 ms, and no cue is
shorter than 10 ms.

It cannot escape markup: braces become full-width braces, and an invisible character splits ``\N``. The speaker is in
the Name field, word times are karaoke tags.

Source: http://www.tcax.org/docs/ass-specs.htm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.formats.base import Cue, CueStyle, WordTimingWriter, split_backslashes

_MAX_START = 35_999_990  # milliseconds: there is one digit for hours
_FULL_WIDTH = str.maketrans("{}", "\N{FULLWIDTH LEFT CURLY BRACKET}\N{FULLWIDTH RIGHT CURLY BRACKET}")


def escape_braces(text: str) -> str:
    """The text without commands: they stand between braces or begin with a backslash."""
    return split_backslashes(text.translate(_FULL_WIDTH))


class Ass(WordTimingWriter):
    """Writes ``.ass``."""

    speaker_labels = False

    def escape(self, text: str) -> str:
        return escape_braces(text)

    def word_tag(self, start: int, end: int, *, is_first: bool) -> str:  # noqa: ARG002 - the first has one, too
        return f"{{\\k{(_rounded(end) - _rounded(start)) // 10}}}"

    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        """
        Write a whole file.

        :raises MpsConfigError: a cue begins after ten hours.
        """
        import pysubs2

        if cues and cues[-1].start > _MAX_START:
            raise MpsConfigError("ASS has no times after 10 hours; choose srt, vtt or ttml.")
        file = pysubs2.SSAFile()
        for cue in cues:
            start = _rounded(cue.start)
            event = pysubs2.SSAEvent(start, max(_rounded(cue.end), start + 10), r"\N".join(self.lines(cue, style)))
            event.name = cue.speaker.replace(",", " ") if style.speakers else ""
            file.events.append(event)
        file.to_file(stream, "ass")


def _rounded(milliseconds: int) -> int:
    """To hundredths of a second."""
    return (milliseconds + 5) // 10 * 10
