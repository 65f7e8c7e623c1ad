"""
Subtitle files: one module for each format. ``base.py`` explains how to add one.

No module imports a subtitle library before a file is read or written, because DAG files import this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TextIO, get_args

from airflow_provider_mps.results.formats.ass import Ass
from airflow_provider_mps.results.formats.base import CueStyle, SubtitleWriter, make_cues
from airflow_provider_mps.results.formats.srt import Srt
from airflow_provider_mps.results.formats.ttml import Ttml
from airflow_provider_mps.results.formats.txt import Txt
from airflow_provider_mps.results.formats.vtt import Vtt
from airflow_provider_mps.results.segments import Segment

CueFormat = Literal["srt", "vtt", "ass", "ttml", "txt"]
SubtitleFormat = CueFormat | Literal["json"]
SUBTITLE_FORMATS: tuple[str, ...] = (*get_args(CueFormat), "json")

_WRITERS: dict[CueFormat, SubtitleWriter] = {"srt": Srt(), "vtt": Vtt(), "ass": Ass(), "ttml": Ttml(), "txt": Txt()}


def write_cues(segments: Iterable[Segment], stream: TextIO, format_: CueFormat, style: CueStyle) -> None:
    """
    Write segments as a subtitle file. For ``json`` see ``json.py``.

    :raises MpsConfigError: the format cannot express a time.
    """
    _WRITERS[format_].write(make_cues(segments, style.text), stream, style)
