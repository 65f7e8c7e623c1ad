"""
Texts that are themselves a result: the description of a picture or video, the content of a watermark. For sentences
with times see ``subtitles.py``.

Source: https://www.tencentcloud.com/document/product/1041/33690 (ImageProcessTaskOutput, ExtractBlindWatermarkTask,
AiAnalysisResult)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from airflow_provider_mps.results.model import ResultModel
from airflow_provider_mps.results.redaction import mask_urls
from airflow_provider_mps.results.walk import TEXTS, Node, walk

TextKind = Literal["image", "blind_watermark", "video_comprehension", "description", "abstract", "generic"]
# The field that encloses a text -> the field of the text, and its kind.
_TEXTS: dict[str, tuple[str, TextKind]] = {
    "ImageProcessTaskResultSet": ("Content", "image"),
    "ExtractBlindWatermarkTask": ("Result", "blind_watermark"),
    "VideoComprehensionTask": ("VideoComprehensionAnalysisResult", "video_comprehension"),
    "DescriptionTask": ("Description", "description"),
    "SegmentTask": ("Abstract", "abstract"),
    "GenericTask": ("Result", "generic"),
}
_TEXT_KEYS = frozenset(key for key, _ in _TEXTS.values())


class TextResult(ResultModel):
    """
    A text from an answer.

    ``kind`` says what the text is about, ``source`` is its path in the answer. Addresses in ``text`` are cut before
    their query. MPS writes some kinds as JSON in a string; they stay so.
    """

    kind: TextKind = "generic"
    source: str = ""
    text: str = ""


def find_texts(body: Mapping[str, Any]) -> tuple[TextResult, ...]:
    """All texts of an answer, in its order."""
    return tuple(text for node in walk(body, TEXTS) for text in _text(node))


def _text(node: Node) -> Iterator[TextResult]:
    if not isinstance(node.value, Mapping) or _TEXT_KEYS.isdisjoint(node.value):
        return
    key, kind = next((_TEXTS[above.key] for above in node.upward() if above.key in _TEXTS), ("", "generic"))
    text = node.value.get(key)
    if isinstance(text, str) and text:
        yield TextResult(kind=kind, source=f"{node.path}.{key}", text=mask_urls(text))
