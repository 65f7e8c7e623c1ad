r"""
SubRip. It cannot escape markup: an invisible character splits ``-->``, tags such as ``<i>``, and ``\N``.

Source: https://www.matroska.org/technical/subtitles.html (SRT Subtitles)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TextIO

from airflow_provider_mps.results.formats.base import (
    SPLIT,
    Cue,
    CueStyle,
    SubtitleWriter,
    split_backslashes,
    timestamp,
)

_TAG = re.compile(r"<(?=\s*/?\s*[A-Za-z])")


class Srt(SubtitleWriter):
    """Writes ``.srt``."""

    def escape(self, text: str) -> str:
        return split_backslashes(_TAG.sub(f"<{SPLIT}", text).replace("-->", f"--{SPLIT}>"))

    def write(self, cues: Sequence[Cue], stream: TextIO, style: CueStyle) -> None:
        for number, cue in enumerate(cues, 1):
            text = "\n".join(self.lines(cue, style))
            stream.write(f"{number}\n{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}\n{text}\n\n")
