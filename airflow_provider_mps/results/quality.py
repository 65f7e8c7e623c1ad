"""Checks of media files against expected values. A value that MPS does not give is a violation, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeFloat,
    ValidationError,
)

from airflow_provider_mps.errors import MpsConfigError, MpsQualityError
from airflow_provider_mps.results.files import media_of
from airflow_provider_mps.results.media import MediaMetadata
from airflow_provider_mps.results.outputs import OutputFile
from airflow_provider_mps.results.result import MpsTaskResult

Media = OutputFile | MediaMetadata
INPUT = "input"
_ROUNDING = 0.005  # tolerance for rounded numbers, in the unit of each


def _as_range(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value, value
    return value


def _in_order(value: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = value
    if low is None and high is None:
        raise ValueError("at least one bound must be a number")
    if low is not None and high is not None and low > high:
        raise ValueError("the lower bound comes first")
    return value


def _as_names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Number = Annotated[float, AllowInfNan(False)]
Range = Annotated[tuple[_Number | None, _Number | None], BeforeValidator(_as_range), AfterValidator(_in_order)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]


class Violation(NamedTuple):
    """One property of one file that is not as expected. ``found`` is None where MPS does not give it."""

    file: str
    fact: str
    expected: str
    found: Any

    def __str__(self) -> str:
        found = "not given by MPS" if self.found is None else self.found
        return f"{self.file}: {self.fact} is {found}, expected {self.expected}"


class MediaExpectation(BaseModel):
    """
    The expected properties of a media file. Only the given ones are checked.

    A number may be exact (``1280``) or a range (``[1280, 1920]``, ``[None, 4_000_000]``). A name may be one name or a
    list of allowed names.

    :param container: for example ``mp4``; MPS lists several names for one.
    :param size: bytes.
    :param duration: seconds.
    :param duration_tolerance: seconds by which the duration may differ from that of the only input of the task.
    :param width: pixels, as ``height``.
    :param fps: frames per second.
    :param bitrate: of the file, in bit/s.
    :param video_codec: of the first video stream, as MPS names it (``h264``, ``hevc``, ...).
    :param video_bitrate: of the first video stream, in bit/s.
    :param hdr_type: of the first video stream.
    :param audio_codec: of the first audio stream (``aac``, ...).
    :param sampling_rate: of the first audio stream, in Hz.
    :param channels: of the first audio stream.
    :param loudness: of the first audio stream, in LUFS; MPS gives it for some files only.
    :param has_video: whether the file must or must not have a video stream.
    :param has_audio: whether the file must or must not have an audio stream.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    container: Names | None = None
    size: Range | None = None
    duration: Range | None = None
    duration_tolerance: Annotated[NonNegativeFloat, AllowInfNan(False)] | None = None
    width: Range | None = None
    height: Range | None = None
    fps: Range | None = None
    bitrate: Range | None = None
    video_codec: Names | None = None
    video_bitrate: Range | None = None
    hdr_type: Names | None = None
    audio_codec: Names | None = None
    sampling_rate: Range | None = None
    channels: Range | None = None
    loudness: Range | None = None
    has_video: bool | None = None
    has_audio: bool | None = None

    def violations(self, media: Media, name: str, source: Media | None = None) -> Iterator[Violation]:
        """
        Every property that is not as expected.

        :param name: of the file, for the text.
        :param source: the input, for ``duration_tolerance``.
        """
        for fact in type(self).model_fields:
            expected = getattr(self, fact)
            if expected is None:
                continue
            if fact == "duration_tolerance":
                yield from self._against_input(media, name, source)
                continue
            found = _FACTS[fact](media)
            if isinstance(expected, bool):
                if found is not expected:
                    yield Violation(name, fact, str(expected), found)
            elif not (_is_within(found, expected) if _is_range(fact) else _is_named(found, expected)):
                yield Violation(name, fact, _in_words(expected, is_range=_is_range(fact)), found)

    def _against_input(self, media: Media, name: str, source: Media | None) -> Iterator[Violation]:
        wanted = source.duration if source else None
        if wanted is None:
            yield Violation(name, "duration", "that of the input, which MPS does not give", media.duration)
        elif media.duration is None or abs(media.duration - wanted) > (self.duration_tolerance or 0) + _ROUNDING:
            expected = f"{wanted:g} as the input, within {self.duration_tolerance:g}"
            yield Violation(name, "duration", expected, media.duration)


def check(
    result: MpsTaskResult | Mapping[str, Any], expect: Mapping[str, MediaExpectation | Mapping[str, Any]]
) -> list[str]:
    """
    Check the files of a task, or one file's metadata.

    :param result: what ``MpsTaskResultOperator`` returns, or ``MpsMediaMetadataOperator``.
    :param expect: kind of output (``transcode``, ``edit``, ...; see ``outputs`` of a result) to the expectation for
        each file of that kind; ``input`` stands for the inputs. There must be at least one file of each kind.
    :return: addresses of the outputs that were checked.
    :raises MpsQualityError: a file is not as expected; the error lists every violation.
    :raises MpsConfigError: an expectation is invalid, or files were left out of the result so that it fits into XCom.
    """
    wanted = _expectations(expect)
    task = _as_task(result)
    if missing := {"outputs", "metadata"} & set(task.left_out):
        raise MpsConfigError(f"The result lacks {' and '.join(sorted(missing))}; read it from {task.full_result}.")
    files = _files(task)
    if violations := [found for kind, one in wanted.items() for found in _violations(kind, one, files)]:
        raise MpsQualityError(mps_task_id=task.mps_task_id, violations=violations)
    return [name for kind in wanted if kind != INPUT for name, _ in files[kind]]


def _files(task: MpsTaskResult) -> dict[str, list[tuple[str, Media]]]:
    """Kind of file to names and properties."""
    inputs = [item for item in task.metadata if not item.is_of_output]
    files: dict[str, list[tuple[str, Media]]] = {INPUT: [(item.source, item) for item in inputs]} if inputs else {}
    for output in task.outputs:
        name = output.uri or output.path or output.source
        files.setdefault(output.kind, []).append((name, media_of(output, task.metadata)))
    return files


def _violations(
    kind: str, expectation: MediaExpectation, files: Mapping[str, list[tuple[str, Media]]]
) -> Iterator[Violation]:
    if kind not in files:
        yield Violation(kind, "the number of files", f"at least 1 (there is {', '.join(files) or 'nothing'})", 0)
    inputs = [media for _, media in files.get(INPUT, ())]
    for name, media in files.get(kind, ()):
        yield from expectation.violations(media, name, inputs[0] if len(inputs) == 1 else None)


def _expectations(expect: Mapping[str, Any]) -> dict[str, MediaExpectation]:
    if not isinstance(expect, Mapping) or not expect:
        raise MpsConfigError(f"expect is {expect!r:.60}; it must be like {{'transcode': {{'width': 1280}}}}")
    return {str(kind): _expectation(str(kind), value) for kind, value in expect.items()}


def _expectation(kind: str, value: Any) -> MediaExpectation:
    try:
        return MediaExpectation.model_validate(value)
    except ValidationError as error:
        problems = [f"{'.'.join([kind, *map(str, one['loc'][:1])])}: {one['msg']}" for one in error.errors()]
        raise MpsConfigError(f"expect cannot be read: {'; '.join(dict.fromkeys(problems))}") from None


def _as_task(result: MpsTaskResult | Mapping[str, Any]) -> MpsTaskResult:
    if isinstance(result, MpsTaskResult):
        return result
    if not isinstance(result, Mapping):
        raise MpsConfigError(f"result is a {type(result).__name__}, not what an MPS operator returned")
    if "schema_version" in result:
        return MpsTaskResult.model_validate(result)
    return MpsTaskResult(metadata=(MediaMetadata.model_validate(result),))


def _first(streams: Any, name: str) -> Any:
    return getattr(streams[0], name) if streams else None


_FACTS: dict[str, Callable[[Media], Any]] = {
    "container": lambda media: media.container,
    "size": lambda media: media.size,
    "duration": lambda media: media.duration,
    "width": lambda media: media.width or _first(media.video_streams, "width"),
    "height": lambda media: media.height or _first(media.video_streams, "height"),
    "fps": lambda media: _first(media.video_streams, "fps"),
    "bitrate": lambda media: media.bitrate,
    "video_codec": lambda media: _first(media.video_streams, "codec"),
    "video_bitrate": lambda media: _first(media.video_streams, "bitrate"),
    "hdr_type": lambda media: _first(media.video_streams, "hdr_type"),
    "audio_codec": lambda media: _first(media.audio_streams, "codec"),
    "sampling_rate": lambda media: _first(media.audio_streams, "sampling_rate"),
    "channels": lambda media: _first(media.audio_streams, "channels"),
    "loudness": lambda media: _first(media.audio_streams, "loudness"),
    "has_video": lambda media: bool(media.video_streams),
    "has_audio": lambda media: bool(media.audio_streams),
}
_NAMED = frozenset({"container", "video_codec", "hdr_type", "audio_codec"})


def _is_range(fact: str) -> bool:
    return fact not in _NAMED


def _is_within(found: float | None, expected: tuple[float | None, float | None]) -> bool:
    low, high = expected
    return (
        found is not None and (low is None or found >= low - _ROUNDING) and (high is None or found <= high + _ROUNDING)
    )


def _is_named(found: str | None, expected: tuple[str, ...]) -> bool:
    # A container has several names: mov,mp4,m4a,3gp,3g2,mj2.
    return bool({name.lower() for name in expected} & set((found or "").lower().split(",")))


def _in_words(expected: tuple[Any, ...], *, is_range: bool) -> str:
    if not is_range:
        return " or ".join(expected)
    low, high = expected
    if low == high:
        return f"{low:.15g}"
    bounds = {"at least": low, "at most": high}
    return " and ".join(f"{word} {bound:.15g}" for word, bound in bounds.items() if bound is not None)
