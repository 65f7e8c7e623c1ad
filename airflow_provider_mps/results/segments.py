"""
Sentences and words with their times. One answer may hold a hundred thousand, so each is a small immutable struct.

msgspec reads all segments at once. If one has a value of a wrong type, they are read one by one.

Source: https://www.tencentcloud.com/document/product/1041/33690 (SmartSubtitleTaskTransTextSegmentItem, WordResult)
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from airflow_provider_mps.results.model import as_items

TextChoice = Literal["original", "translation", "bilingual"]
# Seconds or percent. The range excludes NaN and infinity; no recording is longer.
_Number = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
# msgspec raises UnicodeError if half a surrogate pair stands in place of a number.
_UNREADABLE = (msgspec.ValidationError, UnicodeError)
_StructT = TypeVar("_StructT", bound=msgspec.Struct)


class Word(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"text": "Word", "start": "Start", "end": "End", "translation": "Trans"},
):
    """One word with its times in seconds. MPS lists words only on request."""

    text: str = ""
    start: _Number | None = None
    end: _Number | None = None
    translation: str | None = None


class Segment(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "start": "StartTimeOffset",
        "end": "EndTimeOffset",
        "text": "Text",
        "translation": "Trans",
        "confidence": "Confidence",
        "speaker": "SpeakerId",
        "words": "Wordlist",
    },
):
    """One sentence or line: times in seconds from the start of the file, ``confidence`` from 0 to 100."""

    start: _Number = 0.0
    end: _Number = 0.0
    text: str = ""
    translation: str | None = None
    confidence: _Number | None = None
    speaker: str | None = None
    words: tuple[Word, ...] = ()

    def show(self, text: TextChoice) -> str:
        """The text to display. ``bilingual`` is the original above its translation, as far as they exist."""
        translation = self.translation or ""
        if text == "original":
            return self.text
        if text == "translation":
            return translation
        return "\n".join(line for line in (self.text, translation) if line)


def read_segments(items: list[Any]) -> tuple[Segment, ...]:
    """Read a SegmentSet of MPS. A value of a wrong type counts as absent; all others are kept."""
    try:
        return msgspec.convert(items, tuple[Segment, ...])
    except _UNREADABLE:
        return tuple(_read(Segment, item) for item in items if isinstance(item, Mapping))


def as_plain(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """The segments as JSON values, with the field names of this module."""
    return [
        {**msgspec.structs.asdict(segment), "words": [msgspec.structs.asdict(word) for word in segment.words]}
        for segment in segments
    ]


def _read(struct: type[_StructT], item: Mapping[str, Any]) -> _StructT:
    try:
        return msgspec.convert(item, struct)
    except _UNREADABLE:
        return struct(**dict(_readable(struct, item)))


def _readable(struct: type[msgspec.Struct], item: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    hints = _hints(struct)
    for field in msgspec.structs.fields(struct):
        value = item.get(field.encode_name)
        if field.name == "words":
            yield field.name, tuple(_read(Word, word) for word in as_items(value) if isinstance(word, Mapping))
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str in _kinds(hints[field.name]):
            value = str(value)
        try:
            # Not strict, because MPS sometimes writes numbers as text.
            yield field.name, msgspec.convert(value, hints[field.name], strict=False)
        except _UNREADABLE:
            continue


@cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(struct, include_extras=True)


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def _validate(value: Any) -> tuple[Segment, ...]:
    """Read segments, or the values that :func:`as_plain` made of them."""
    return tuple(item if isinstance(item, Segment) else _read(Segment, _mps_names(item)) for item in value or ())


def _mps_names(item: Mapping[str, Any]) -> dict[str, Any]:
    words = [{_NAMES[Word].get(name, name): value for name, value in word.items()} for word in item.get("words") or ()]
    return {_NAMES[Segment].get(name, name): value for name, value in {**item, "words": words}.items()}


def _json_schema() -> dict[str, Any]:
    def struct(kind: type[msgspec.Struct], **fields: Any) -> dict[str, Any]:
        _, schemas = msgspec.json.schema_components([kind], ref_template="{name}")
        known = schemas[kind.__name__]["properties"]
        own = {field.name: known[field.encode_name] for field in msgspec.structs.fields(kind)}
        return {"type": "object", "title": kind.__name__, "properties": {**own, **fields}}

    words = {"type": "array", "items": struct(Word)}
    return {"type": "array", "items": struct(Segment, words=words)}


_NAMES = {kind: {field.name: field.encode_name for field in msgspec.structs.fields(kind)} for kind in (Segment, Word)}
Segments = Annotated[
    tuple[Segment, ...],
    PlainValidator(_validate),
    PlainSerializer(as_plain, return_type=list[dict[str, Any]]),
    WithJsonSchema(_json_schema()),
]
