"""Subtitle files that MPS wrote, read back: SRT, WebVTT, ASS, TTML and the other formats of pysubs2."""

from __future__ import annotations

import codecs
import html
import io

from airflow_provider_mps.errors import MpsDownloadError
from airflow_provider_mps.results.segments import Segment

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_subtitle_file(data: bytes, name: str) -> tuple[Segment, ...]:
    """
    Read a file; its format is detected.

    :param name: for the text of the error.
    :raises MpsDownloadError: it is not a subtitle file.
    """
    import pysubs2

    encodings = (encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if data.startswith(mark))
    try:
        # TextIOWrapper, because pysubs2 expects "\n" at the end of each line.
        text = io.TextIOWrapper(io.BytesIO(data), next(encodings, "utf-8")).read()
        events = pysubs2.SSAFile.from_string(text)
    except (pysubs2.exceptions.Pysubs2Error, ValueError, SyntaxError) as error:  # SyntaxError: broken XML
        raise MpsDownloadError(f"no subtitle file ({type(error).__name__})", address=name) from None
    # pysubs2 does not decode the character references of WebVTT.
    plain = html.unescape if events.format == "vtt" else str
    return tuple(
        Segment(start=event.start / 1000, end=event.end / 1000, text=plain(event.plaintext), speaker=event.name or None)
        for event in events
        if event.is_text
    )
