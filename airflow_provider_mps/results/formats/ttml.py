"""
TTML. pysubs2 writes it from SubStation text, so its texts are escaped as in ``ass.py``.

Source: https://www.w3.org/TR/ttml1/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from airflow_provider_mps.results.formats.ass import escape_braces
from airflow_provider_mps.results.formats.base import Cue, CueStyle, SubtitleWriter


class Ttml(SubtitleWriter):
    """Writes ``.ttml``."""

    def escape(self, text: str) -> str:
        return escape_braces(text)

    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        import pysubs2

        file = pysubs2.SSAFile()
        file.events = [pysubs2.SSAEvent(cue.start, cue.end, r"\N".join(self.lines(cue, style))) for cue in cues]
        file.to_file(stream, "ttml")
