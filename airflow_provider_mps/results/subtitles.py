"""
Subtitles in one form, from any place of an answer.

Source: https://www.tencentcloud.com/document/product/1041/33690 (SmartSubtitlesResult, AiRecognitionResult,
SmartSubtitleTaskBatchOutput)
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TextIO

from pydantic import Field

from airflow_provider_mps.errors import MpsResultTooLarge
from airflow_provider_mps.results.formats import SubtitleFormat, write_cues
from airflow_provider_mps.results.formats.base import CueStyle
from airflow_provider_mps.results.formats.json import json_pieces
from airflow_provider_mps.results.formats.reader import read_subtitle_file
from airflow_provider_mps.results.model import ResultModel, as_items, as_object, finite
from airflow_provider_mps.results.outputs import Storage
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.segments import Segments, TextChoice, read_segments
from airflow_provider_mps.results.walk import SUBTITLES, Node, walk

SubtitleKind = Literal["asr", "translation", "ocr", "pure_translation", "erase", "dubbing", "description"]
# Fields that hold subtitles, in a workflow, an orchestration and a batch alike.
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
# These write subtitles only on request.
_OPTIONAL_KINDS = frozenset({"erase", "dubbing", "description"})
_LANGUAGE = re.compile(r"[A-Za-z]{2,12}([-_][A-Za-z0-9]{1,12}){0,3}")
_BATCH_INDEX = re.compile(r"BatchTaskResult\.SmartSubtitlesTaskResult\.Outputs\[(\d+)\]")


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

    :param source: their path in the answer.
    :param kind: asr (speech), translation, ocr (text in the picture), pure_translation (of a subtitle file),
        erase, dubbing and description (files only).
    :param language: language of ``Segment.text``, as MPS writes it (``zh``, ``en``, ...), None where unknown.
    :param translation_language: language of ``Segment.translation``, None where unknown or none.
    :param input_index: the input of a batch that they belong to. MPS gives no index; it is the position in the answer.
    :param segment_count: the number of segments, also where ``segments`` was left out because it is too long.
    :param segments: empty where MPS wrote only files, or where they were left out.
    :param files: the files that MPS wrote.
    :param exports: the files that were written from the segments: format (srt, vtt, ...) to URI.
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
        """The segments as SubRip text. Segments without text are left out."""
        return self.render("srt", text=text)

    def to_vtt(self, text: TextChoice = "bilingual") -> str:
        """The segments as WebVTT text. Segments without text are left out."""
        return self.render("vtt", text=text)

    def to_ass(self, text: TextChoice = "bilingual") -> str:
        """The segments as SubStation Alpha (ASS) text. Segments without text are left out."""
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
        :param word_timing: mark when each word begins, in vtt and ass.
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
                "XCom. Read them from the files that exports names, or from full_result of the whole value."
            )
        if format_ == "json":
            stream.writelines(self.json_pieces(exclude={"exports"}))
        else:
            write_cues(self.segments, stream, format_, style)

    def json_pieces(self, *, exclude: set[str] | None = None) -> Iterator[str]:
        """The JSON object of this value, some hundred segments at a time."""
        return json_pieces(self.model_dump_json(exclude={"segments", *(exclude or ())}), self.segments)


def missing_files(subtitle: Subtitle) -> tuple[SubtitleFile, ...]:
    """The files of a subtitle without segments. A file that MPS could not write has no path and is left out."""
    return () if subtitle.segment_count else tuple(file for file in subtitle.files if file.path)


def subtitle_of_file(subtitle: Subtitle, file: SubtitleFile, data: bytes) -> Subtitle:
    """
    The subtitle with the segments of one of its files. All text counts as original: a file does not mark translations.

    :raises MpsDownloadError: ``data`` is not a subtitle file.
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


def find_subtitles(body: Mapping[str, Any]) -> tuple[Subtitle, ...]:
    """All subtitles of an answer, in its order. Parts that failed or still run hold none."""
    parts = (node for node in walk(body, SUBTITLES) if node.key in _KINDS and isinstance(node.value, Mapping))
    return tuple(subtitle for node in parts for subtitle in _subtitle(node))


def _subtitle(node: Node) -> Iterator[Subtitle]:
    part = node.value
    output = part.get("Output") if "Status" in part or "Output" in part else part  # a batch does not wrap its output
    if not isinstance(output, Mapping):
        return
    segments = _segments([item for item in as_items(output.get("SegmentSet")) if isinstance(item, dict)])
    files = tuple(_files(output))
    kind = _KINDS[node.key]
    if not (segments or files) and kind in _OPTIONAL_KINDS:
        return
    translated = kind in {"translation", "pure_translation"} or any(item.get("Trans") for item in segments)
    language, target = _languages(output, _request(node))
    source = node.path
    batch = _BATCH_INDEX.match(source)
    yield Subtitle.read(
        {
            "source": source,
            "kind": kind,
            "language": language,
            "translation_language": target if translated else None,
            "input_index": int(batch[1]) if batch else None,
            "segment_count": len(segments),
            "segments": read_segments(segments),
            "files": files,
        }
    )


def _request(node: Node) -> Mapping[str, Any]:
    """The nearest echo of the request. Often it is the only place that names the languages."""
    echoes = (as_object(above.value.get("Input")) for above in node.upward() if isinstance(above.value, Mapping))
    request = next((echo for echo in echoes if echo), {})
    return as_object(request.get("RawParameter")) or request


def _languages(output: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Source and target language. What the output names counts before what was requested."""
    results = [item for item in as_items(output.get("SubtitleResults")) if isinstance(item, Mapping)]
    sources, targets = _texts(results, "TransSrc"), _texts(results, "TransDst")
    source = as_object(output.get("SubtitleInfo")).get("Language") or _only(sources)
    target = None if targets else _language(request.get("TranslateDstLanguage"))
    return source or _language(request.get("VideoSrcLanguage")), _only(targets) or target


def _segments(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The segments as MPS writes them, with one text each."""
    return [_joined(item) for item in items] if items and "TextSet" in items[0] else items


def _joined(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """AI recognition lists several texts for one moment of the picture, each with its place."""
    texts = [as_object(text) for text in as_items(item.get("TextSet"))]
    confidences = [value for value in (finite(text.get("Confidence")) for text in texts) if value is not None]
    text = "\n".join(str(text.get("Text") or "") for text in texts)
    return {**item, "Text": text, "Confidence": min(confidences, default=None)}


def _files(output: Mapping[str, Any]) -> Iterator[SubtitleFile]:
    storage = Storage.of(output.get("OutputStorage"))
    paths = [output.get("SubtitlePath"), output.get("Path") if "SegmentSet" in output else None]
    for path in dict.fromkeys(path for path in paths if isinstance(path, str) and path):
        yield _file(storage, path, {})
    for key in ("SubtitleInfo", "SubtitleResults", "RecognizeSubtitleResult", "TransSubtitleResult"):
        for item in as_items(output.get(key)):
            if isinstance(item, Mapping) and any(item.get(name) for name in ("Path", "SubtitleFileId", "Status")):
                yield _file(storage, item.get("Path"), item, item.get("SubtitleFileId"))
    for key in ("OriginSubtitle", "TranslateSubtitle"):
        located, file_id = output.get(f"{key}Path"), output.get(f"{key}FileId")
        if located or file_id:
            yield _file(storage, located, output, file_id)


def _file(storage: Storage, path: Any, node: Mapping[str, Any], file_id: Any = None) -> SubtitleFile:
    path, embedded = (
        value if isinstance(value, str) and value else None for value in (path, node.get("SubtitleEmbedPath"))
    )
    return SubtitleFile.read(
        {
            "language": node.get("Language") or node.get("TransDst") or None,
            "path": path and mask_address(path),
            "uri": path and storage.uri(path),
            "embedded_path": embedded and mask_address(embedded),
            "file_id": file_id or None,
            "status": node.get("Status") or None,
        }
    )


def _texts(items: list[Mapping[str, Any]], key: str) -> set[str]:
    return {value for item in items if isinstance(value := item.get(key), str) and value}


def _language(value: Any) -> str | None:
    """A language from the request. Nothing else is taken from an echo, so only a short word passes."""
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else None


def _only(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None
