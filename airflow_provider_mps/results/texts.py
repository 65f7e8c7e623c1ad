"""
Texts that are themselves the result: what a picture or a video shows, what a watermark says. Sentences with times are
subtitles, see ``results/subtitles.py``.

Source: https://www.tencentcloud.com/document/product/1041/33690 (ImageProcessTaskOutput, ExtractBlindWatermarkTask,
AiAnalysisResult)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from airflow_provider_mps.results.model import ResultModel
from airflow_provider_mps.results.outputs import is_spoken
from airflow_provider_mps.results.redaction import ECHOES, mask_urls

TextKind = Literal["image", "blind_watermark", "video_comprehension", "description", "abstract", "generic"]
# What encloses the text -> its key, and the kind.
_TEXTS: dict[str, tuple[str, TextKind]] = {
    "ImageProcessTaskResultSet": ("Content", "image"),
    "ExtractBlindWatermarkTask": ("Result", "blind_watermark"),
    "VideoComprehensionTask": ("VideoComprehensionAnalysisResult", "video_comprehension"),
    "DescriptionTask": ("Description", "description"),
    "SegmentTask": ("Abstract", "abstract"),
    "GenericTask": ("Result", "generic"),
}


class TextResult(ResultModel):
    """
    A text that MPS answers with.

    ``kind`` says what it is about, ``source`` where in the answer it stood. Addresses in ``text`` are cut before their
    query; some kinds are JSON in a string, as MPS writes them.
    """

    kind: TextKind = "generic"
    source: str = ""
    text: str = ""


def find_texts(body: Mapping[str, Any]) -> tuple[TextResult, ...]:
    """All such texts of an answer, in its order."""
    return tuple(_walk(body, "", ""))


def _walk(node: Mapping[str, Any], path: str, holder: str) -> Iterator[TextResult]:
    wanted, kind = _TEXTS.get(holder, ("", "generic"))
    for key, value in node.items():
        here = f"{path}.{key}" if path else key
        if key == wanted and isinstance(value, str) and value:
            yield TextResult(kind=kind, source=here, text=mask_urls(value))
        elif key in ECHOES:
            continue
        elif isinstance(value, Mapping):
            yield from _walk(value, here, key if key in _TEXTS else holder)
        elif isinstance(value, list) and not is_spoken(value):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _walk(item, f"{here}[{index}]", key if key in _TEXTS else holder)
