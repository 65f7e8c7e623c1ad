"""Subtitle files that MPS wrote, read back: for answers that name files and hold no segments."""

from __future__ import annotations

import codecs
import html
import io
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_mps.errors import MpsDownloadError
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.segments import Segment
from airflow_provider_mps.results.subtitles import Subtitle, SubtitleFile

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def missing_files(subtitle: Subtitle) -> tuple[SubtitleFile, ...]:
    """The files of a subtitle that has no segments; those that MPS could not write have no path."""
    return () if subtitle.segment_count else tuple(file for file in subtitle.files if file.path)


def subtitle_of_file(subtitle: Subtitle, file: SubtitleFile, data: bytes) -> Subtitle:
    """
    What one file of a subtitle says. Its texts are the originals then: which of two lines is which, it does not tell.

    :raises MpsDownloadError: it is no subtitle file that pysubs2 knows.
    """
    segments = read_subtitle_file(data, str(file.path))
    return subtitle.model_copy(
        update={
            "language": file.language or (subtitle.language if len(subtitle.files) == 1 else None),
            "translation_language": None,
            "segment_count": len(segments),
            "segments": segments,
            "files": (file,),
        }
    )


def read_subtitle_file(data: bytes, name: str) -> tuple[Segment, ...]:
    """
    Read SRT, WebVTT, ASS, TTML or another format of pysubs2.

    :param name: for the error's text.
    :raises MpsDownloadError: it is none of them.
    """
    import pysubs2  # here, because a DAG file that imports the operators must stay light

    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        # As a file that is opened gives them: pysubs2 knows one end of a line.
        text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
        events = pysubs2.SSAFile.from_string(text)
    except (pysubs2.exceptions.Pysubs2Error, ValueError, SyntaxError) as error:  # SyntaxError: broken XML
        raise MpsDownloadError(f"no subtitle file ({type(error).__name__})", address=name) from None
    # pysubs2 leaves the character references of WebVTT as they are.
    plain = html.unescape if events.format == "vtt" else str
    return tuple(
        Segment(start=event.start / 1000, end=event.end / 1000, text=plain(event.plaintext), speaker=event.name or None)
        for event in events
        if event.is_text
    )


def whole_addresses(value: Any) -> Iterator[tuple[str, str]]:
    """
    Every address in an answer, after what is left of it without its query.

    The whole one may be signed: it must not be logged, stored or passed on.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "SegmentSet":
                yield from whole_addresses(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from whole_addresses(item)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        yield mask_address(value), value
