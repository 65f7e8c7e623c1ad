"""What the result operator writes beside its XCom value: subtitle files, and the whole result where it is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from airflow_provider_mps.common.object_storage import file_name, open_folder, whole_file
from airflow_provider_mps.errors import MpsConfigError, MpsResultTooLarge
from airflow_provider_mps.results.formats import SUBTITLE_FORMATS, SubtitleFormat
from airflow_provider_mps.results.formats.base import CueStyle
from airflow_provider_mps.results.merging import merge
from airflow_provider_mps.results.segments import TextChoice
from airflow_provider_mps.results.subtitles import Subtitle
from airflow_provider_mps.results.xcom_size import fits, shorten

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_mps.results.result import MpsTaskResult

FULL_RESULT = "result.json"


class _Track(NamedTuple):
    """One set of files, and the positions in the result of the subtitles that it shows."""

    name: str
    subtitle: Subtitle
    style: CueStyle
    positions: list[int]


@dataclass(frozen=True, slots=True)
class Exports:
    """
    Where to, and in which form. ``folder`` is that of one MPS task; None where nothing is written. ``limit`` is in
    bytes of JSON.
    """

    limit: int
    folder: ObjectStoragePath | None
    formats: tuple[SubtitleFormat, ...]
    style: CueStyle
    merge_languages: bool
    save_result: bool

    @classmethod
    def of(
        cls,
        *,
        mps_task_id: str,
        output_path: str | None,
        output_conn_id: str | None,
        subtitle_formats: Sequence[str],
        text: str,
        speakers: bool,
        word_timing: bool,
        merge_languages: bool,
        save_result: bool,
        max_xcom_bytes: int,
    ) -> Exports:
        """
        Check the arguments of the operator.

        :raises MpsConfigError: a format or text that there is not, files without a folder, a folder without files.
        """
        formats = _formats(subtitle_formats)
        if text not in get_args(TextChoice):
            raise MpsConfigError(f"subtitle_text is {text!r:.40}; it can be {', '.join(get_args(TextChoice))}")
        if isinstance(max_xcom_bytes, bool) or not isinstance(max_xcom_bytes, int) or max_xcom_bytes < 1:
            raise MpsConfigError(f"max_xcom_bytes is {max_xcom_bytes!r:.40}; it must be a whole number above 0")
        wanted = formats or save_result
        if wanted and not output_path:
            raise MpsConfigError("subtitle_formats and save_result need an output_path to write to")
        if output_path and not wanted:
            raise MpsConfigError("output_path alone writes nothing: set subtitle_formats, save_result or both")
        folder = None
        if output_path:
            folder = open_folder(output_path, output_conn_id, parameter="output_path") / file_name(mps_task_id)
        style = CueStyle(cast("TextChoice", text), speakers, word_timing)
        return cls(max_xcom_bytes, folder, formats, style, merge_languages, save_result)

    def write_subtitles(self, result: MpsTaskResult) -> MpsTaskResult:
        """Write every subtitle that has something to show; its ``exports`` name the files."""
        if self.folder is None or not self.formats:
            return result
        subtitles = list(result.subtitles)
        for track in self._tracks(result.subtitles):
            uris = {}
            for format_ in self.formats:
                path = self.folder / f"{track.name}.{format_}"
                with whole_file(path) as file:
                    stream = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
                    track.subtitle.write(stream, format_, track.style)
                    stream.detach()  # the file is not the stream's to close
                uris[format_] = str(path)
            for position in track.positions:
                subtitles[position] = subtitles[position].model_copy(update={"exports": uris})
        return result.model_copy(update={"subtitles": tuple(subtitles)})

    def fit(self, result: MpsTaskResult) -> dict[str, Any]:
        """
        The value for XCom. The whole result goes to a file if that was asked for, or if it is too large.

        :raises MpsResultTooLarge: it is larger than ``limit``, and there is no folder for it.
        """
        if not fits(result, self.limit) and self.folder is None:
            segments = sum(subtitle.segment_count for subtitle in result.subtitles)
            raise MpsResultTooLarge(
                f"The result of MPS task {result.mps_task_id} ({segments} subtitle segments, {len(result.outputs)} "
                f"files) is larger than max_xcom_bytes={self.limit}: set output_path and save_result=True, so that all "
                "of it goes to a file and XCom gets what fits, or raise max_xcom_bytes if your XCom backend takes "
                "values of that size."
            )
        if self.folder is not None and (self.save_result or not fits(result, self.limit)):
            path = self.folder / FULL_RESULT
            result = result.model_copy(update={"full_result": str(path)})
            with whole_file(path) as file:
                for piece in result.json_pieces():
                    file.write(piece.encode())
        return result.as_json() if fits(result, self.limit) else shorten(result, self.limit)

    def _tracks(self, subtitles: Sequence[Subtitle]) -> Iterator[_Track]:
        groups: dict[object, list[int]] = {}
        for position, subtitle in enumerate(subtitles):
            if any(segment.show(self.style.text).strip() for segment in subtitle.segments):
                groups.setdefault(subtitle.input_index if self.merge_languages else position, []).append(position)
        for positions in groups.values():
            subtitle = subtitles[positions[0]]
            style, kind = self.style, str(subtitle.kind)
            languages = [subtitle.language, subtitle.translation_language]
            if style.text != "bilingual":
                languages = languages[:1] if style.text == "original" else languages[1:]
            if len(positions) > 1:
                subtitle = merge([subtitles[position] for position in positions], style.text)
                # What each contributes was chosen already: all of it is original text now.
                style, kind, languages = replace(style, text="bilingual"), "merged", [subtitle.language]
            name = "-".join([f"{positions[0]:02d}", kind, *(language for language in languages if language)])
            yield _Track(file_name(name), subtitle, style, positions)


def _formats(wanted: Sequence[str] | None) -> tuple[SubtitleFormat, ...]:
    if isinstance(wanted, str) or not isinstance(wanted, Sequence | None):
        raise MpsConfigError(f"subtitle_formats is {wanted!r:.60}; it must be a list such as ['srt', 'vtt']")
    if unknown := [name for name in wanted or () if name not in SUBTITLE_FORMATS]:
        raise MpsConfigError(f"subtitle_formats has {unknown!r:.60}; there are {', '.join(SUBTITLE_FORMATS)}")
    return cast("tuple[SubtitleFormat, ...]", tuple(dict.fromkeys(wanted or ())))
