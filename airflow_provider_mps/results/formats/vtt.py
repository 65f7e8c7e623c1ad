"""
WebVTT. A voice tag names the speaker, a timestamp tag begins a word. Browsers find the direction of a line themselves.

Source: https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TextIO

from airflow_provider_mps.results.formats.base import Cue, CueStyle, WordTimingWriter, split_backslashes, timestamp


class Vtt(WordTimingWriter):
    """Writes ``.vtt``."""

    speaker_labels = False
    direction_marks = False

    def escape(self, text: str) -> str:
        return split_backslashes(html.escape(text, quote=False))

    def word_tag(self, start: int, end: int, *, is_first: bool) -> str:  # noqa: ARG002 - the cue has the end
        return "" if is_first else f"<{timestamp(start)}>"

    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        stream.write("WEBVTT\n\n")
        for number, cue in enumerate(cues, 1):
            voice = f"<v {self.escape(cue.speaker)}>" if style.speakers and cue.speaker else ""
            text = "\n".join(self.lines(cue, style))
            stream.write(f"{number}\n{timestamp(cue.start)} --> {timestamp(cue.end)}\n{voice}{text}\n\n")
