"""
Subtitles in one form, whichever of the many places of an answer they come from.

Source: https://www.tencentcloud.com/document/product/1041/33690 (SmartSubtitlesResult, AiRecognitionResult,
SmartSubtitleTaskBatchOutput)
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TextIO

import msgspec
from pydantic import Field

from airflow_provider_mps.errors import MpsResultTooLarge
from airflow_provider_mps.results.cues import CUE_FORMATS, CueFormat, CueStyle, write_cues
from airflow_provider_mps.results.model import ResultModel, as_items, finite
from airflow_provider_mps.results.outputs import Storage
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.segments import Segments, TextChoice, as_plain, read_segments

_PIECE = 500
_LANGUAGE = re.compile(r"[A-Za-z]{2,12}([-_][A-Za-z0-9]{1,12}){0,3}")
SubtitleFormat = CueFormat | Literal["json"]
SUBTITLE_FORMATS: tuple[str, ...] = (*CUE_FORMATS, "json")
SubtitleKind = Literal["asr", "translation", "ocr", "pure_translation", "erase", "dubbing", "description"]


class SubtitleFile(ResultModel):
    """A subtitle file that MPS wrote. ``path`` and ``uri`` as in :class:`OutputFile`."""

    language: str | None = None
    path: str | None = None
    uri: str | None = None
    embedded_path: str | None = None
    file_id: str | None = None
    status: str | None = None


class Subtitle(ResultModel):
    """
    The subtitles of one part of a task.

    :param source: where in the answer they stood.
    :param kind: asr (speech), translation, ocr (text in the picture), pure_translation (of a subtitle file),
        erase, dubbing and description (files only).
    :param language: language of ``Segment.text``, as MPS writes it (``zh``, ``en``, ...), None where unknown.
    :param translation_language: language of ``Segment.translation``, None where unknown or none.
    :param input_index: which input of a batch they belong to. MPS does not say; it is the position in the answer.
    :param segment_count: also where the segments themselves were left out because they are too many.
    :param segments: empty where MPS wrote only files, or where they were left out.
    :param files: what MPS wrote.
    :param exports: what was written from the segments: format (srt, vtt, ...) to URI.
    """

    source: str = ""
    kind: SubtitleKind = "asr"
    language: str | None = None
    translation_language: str | None = None
    input_index: int | None = None
    segment_count: int = 0
    segments: Segments = ()
    files: tuple[SubtitleFile, ...] = ()
    exports: dict[str, str] = Field(default_factory=dict)

    def to_srt(self, text: TextChoice = "bilingual") -> str:
        """The segments as SubRip text. Segments with nothing to show are left out."""
        return self.render("srt", text=text)

    def to_vtt(self, text: TextChoice = "bilingual") -> str:
        """The segments as WebVTT text. Segments with nothing to show are left out."""
        return self.render("vtt", text=text)

    def to_ass(self, text: TextChoice = "bilingual") -> str:
        """The segments as SubStation Alpha (ASS) text. Segments with nothing to show are left out."""
        return self.render("ass", text=text)

    def render(
        self,
        format_: SubtitleFormat,
        *,
        text: TextChoice = "bilingual",
        speakers: bool = False,
        word_timing: bool = False,
    ) -> str:
        """
        The segments as the text of a file: srt, vtt, ass, ttml, txt (no times) or json (everything).

        :param text: the original, the translation, or both.
        :param speakers: name the speakers.
        :param word_timing: say when each word begins, in vtt and ass.
        :raises MpsResultTooLarge: the segments were left out of this value, so that it fits into XCom.
        """
        stream = io.StringIO()
        self.write(stream, format_, CueStyle(text, speakers, word_timing))
        return stream.getvalue()

    def write(self, stream: TextIO, format_: SubtitleFormat, style: CueStyle) -> None:
        """Write what :meth:`render` returns, piece by piece."""
        if self.segment_count and not self.segments:
            raise MpsResultTooLarge(
                f"The {self.segment_count} segments of {self.source} were left out of this value, so that it fits into "
                "XCom. They are in the files that exports, or full_result of the whole value, names."
            )
        if format_ != "json":
            write_cues(self.segments, stream, format_, style)
            return
        for piece in self.json_pieces(exclude={"exports"}):
            stream.write(piece)

    def json_pieces(self, *, exclude: set[str] | None = None) -> Iterator[str]:
        """The JSON object of this value, some hundred segments at a time."""
        head = self.model_dump_json(exclude={"segments", *(exclude or ())})
        yield f'{head[:-1]},"segments":['
        for first in range(0, len(self.segments), _PIECE):
            piece = msgspec.json.encode(as_plain(self.segments[first : first + _PIECE])).decode()
            yield ("," if first else "") + piece[1:-1]
        yield "]}"


def find_subtitles(body: Mapping[str, Any]) -> tuple[Subtitle, ...]:
    """All subtitles of an answer, in its order. Parts that failed or still run hold none."""
    return tuple(_walk(body, "", {}))


# Tasks whose output is text, and tasks that also write subtitle files. The same keys stand in WorkflowTask,
# in AI recognition, in a schedule's activities and in a batch, where the output is not wrapped.
_KINDS: dict[str, SubtitleKind] = {
    "AsrFullTextTask": "asr",
    "TransTextTask": "translation",
    "OcrFullTextTask": "ocr",
    "PureSubtitleTransTask": "pure_translation",
    "DeLogoTask": "erase",
    "SmartEraseTask": "erase",
    "SmartEraseTaskResult": "erase",
    "AIDubbingTask": "dubbing",
    "AiDubbingTaskResult": "dubbing",
    "DescriptionSet": "description",
}


def _walk(node: Mapping[str, Any], path: str, request: Mapping[str, Any]) -> Iterator[Subtitle]:
    """``request`` is the nearest echo of what was asked for: the only place that names the languages for sure."""
    request = _mapping(node.get("Input")) or request
    for key, value in node.items():
        if key in {"Input", "SegmentSet", "MetaData"}:
            continue
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(item, Mapping):
                continue
            here = f"{path}.{key}" if path else key
            here += f"[{index}]" if isinstance(value, list) else ""
            wrapped = "Status" in item or "Output" in item
            output = item.get("Output") if wrapped else item
            if key in _KINDS and isinstance(output, Mapping):
                yield from _subtitle(key, output, here, _mapping(item.get("Input")) or request)
            else:
                yield from _walk(item, here, request)


def _subtitle(key: str, output: Mapping[str, Any], source: str, request: Mapping[str, Any]) -> Iterator[Subtitle]:
    storage = Storage.of(output.get("OutputStorage"))
    files = tuple(_files(output, storage))
    data = _segments([item for item in as_items(output.get("SegmentSet")) if isinstance(item, dict)])
    kind = _KINDS[key]
    if not (data or files) and kind in {"erase", "dubbing", "description"}:
        return  # these write subtitles only when asked to
    asked = _mapping(request.get("RawParameter")) or request
    results = [item for item in as_items(output.get("SubtitleResults")) if isinstance(item, Mapping)]
    info = _mapping(output.get("SubtitleInfo"))
    sources, targets = _texts(results, "TransSrc"), _texts(results, "TransDst")
    target = _only(targets) or (None if targets else _language(asked.get("TranslateDstLanguage")))
    translated = kind in {"translation", "pure_translation"} or any(item.get("Trans") for item in data)
    yield Subtitle.read(
        {
            "source": source,
            "kind": kind,
            "language": info.get("Language") or _only(sources) or _language(asked.get("VideoSrcLanguage")),
            "translation_language": target if translated else None,
            "input_index": _batch_index(source),
            "segment_count": len(data),
            "segments": read_segments(data),
            "files": files,
        }
    )


def _segments(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """AI recognition lists several texts with boxes for one moment of the picture; elsewhere a segment is one text."""
    if not (items and "TextSet" in items[0]):
        return items
    joined: list[Mapping[str, Any]] = []
    for item in items:
        texts = [_mapping(text) for text in as_items(item.get("TextSet"))]
        confidences = [value for value in (finite(text.get("Confidence")) for text in texts) if value is not None]
        text = "\n".join(str(text.get("Text") or "") for text in texts)
        joined.append({**item, "Text": text, "Confidence": min(confidences, default=None)})
    return joined


def _files(output: Mapping[str, Any], storage: Storage) -> Iterator[SubtitleFile]:
    def file(path: Any, node: Mapping[str, Any], file_id: str = "SubtitleFileId") -> SubtitleFile:
        located = isinstance(path, str) and path
        embedded = node.get("SubtitleEmbedPath")
        return SubtitleFile.read(
            {
                "language": node.get("Language") or node.get("TransDst") or None,
                "path": mask_address(path) if located else None,
                "uri": storage.uri(path) if located else None,
                "embedded_path": mask_address(embedded) if isinstance(embedded, str) and embedded else None,
                "file_id": node.get(file_id) or None,
                "status": node.get("Status") or None,
            }
        )

    named = [output.get("SubtitlePath"), output.get("Path") if "SegmentSet" in output else None]
    for path in dict.fromkeys(path for path in named if path and isinstance(path, str)):
        yield file(path, {})
    for key in ("SubtitleInfo", "SubtitleResults", "RecognizeSubtitleResult", "TransSubtitleResult"):
        for item in as_items(output.get(key)):
            if isinstance(item, Mapping) and any(item.get(name) for name in ("Path", "SubtitleFileId", "Status")):
                yield file(item.get("Path"), item)
    for key in ("OriginSubtitle", "TranslateSubtitle"):
        if output.get(f"{key}Path") or output.get(f"{key}FileId"):
            yield file(output.get(f"{key}Path"), output, f"{key}FileId")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(items: list[Mapping[str, Any]], key: str) -> set[str]:
    return {value for item in items if isinstance(value := item.get(key), str) and value}


def _language(value: Any) -> str | None:
    """A language as it was asked for: all that is ever taken from an echo, so nothing but a short word passes."""
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else None


def _only(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None


def _batch_index(source: str) -> int | None:
    prefix = "BatchTaskResult.SmartSubtitlesTaskResult.Outputs["
    return int(source.removeprefix(prefix).partition("]")[0]) if source.startswith(prefix) else None
