"""Plain text: the texts without times, one line each. With two languages an empty line separates the segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from airflow_provider_mps.results.formats.base import Cue, CueStyle, SubtitleWriter


class Txt(SubtitleWriter):
    """Writes ``.txt``."""

    direction_marks = False

    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        separator = "\n" if style.text == "bilingual" else ""
        for number, cue in enumerate(cues):
            stream.write((separator if number else "") + "\n".join(self.lines(cue, style)) + "\n")
