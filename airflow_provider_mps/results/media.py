"""Media metadata of files. Names and units follow MediaMetaData of the MPS API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from airflow_provider_mps.results.model import Number, ResultModel, as_items


class VideoStream(ResultModel):
    """A video stream. ``bitrate`` in bit/s, ``width`` and ``height`` in pixels, ``duration`` in seconds."""

    codec: str | None = Field(None, alias="Codec")
    bitrate: int | None = Field(None, alias="Bitrate")
    width: int | None = Field(None, alias="Width")
    height: int | None = Field(None, alias="Height")
    fps: Number | None = Field(None, alias="Fps")
    duration: Number | None = Field(None, alias="Duration")
    hdr_type: str | None = Field(None, alias="HdrType")
    codecs: str | None = Field(None, alias="Codecs")
    color_primaries: str | None = Field(None, alias="ColorPrimaries")
    color_space: str | None = Field(None, alias="ColorSpace")
    color_transfer: str | None = Field(None, alias="ColorTransfer")


class AudioStream(ResultModel):
    """An audio stream. ``bitrate`` in bit/s, ``sampling_rate`` in Hz, ``loudness`` in LUFS as MPS writes it."""

    codec: str | None = Field(None, alias="Codec")
    bitrate: int | None = Field(None, alias="Bitrate")
    sampling_rate: int | None = Field(None, alias="SamplingRate")
    channels: int | None = Field(None, alias="Channel")
    duration: Number | None = Field(None, alias="Duration")
    loudness: Number | None = Field(None, alias="Loudness")
    codecs: str | None = Field(None, alias="Codecs")


VideoStreams = Annotated[tuple[VideoStream, ...], BeforeValidator(as_items)]
AudioStreams = Annotated[tuple[AudioStream, ...], BeforeValidator(as_items)]


class MediaMetadata(ResultModel):
    """
    Metadata of one media file.

    ``size`` in bytes, ``bitrate`` in bit/s, ``width`` and ``height`` in pixels, ``rotate`` in degrees,
    durations in seconds. ``source`` is its path in the answer. Values that MPS does not give are None.

    Source: https://www.tencentcloud.com/document/product/1041/33690 (MediaMetaData)
    """

    source: str = ""
    size: int | None = Field(None, alias="Size")
    container: str | None = Field(None, alias="Container")
    duration: Number | None = Field(None, alias="Duration")
    bitrate: int | None = Field(None, alias="Bitrate")
    width: int | None = Field(None, alias="Width")
    height: int | None = Field(None, alias="Height")
    rotate: int | None = Field(None, alias="Rotate")
    video_duration: Number | None = Field(None, alias="VideoDuration")
    audio_duration: Number | None = Field(None, alias="AudioDuration")
    video_streams: VideoStreams = Field((), alias="VideoStreamSet")
    audio_streams: AudioStreams = Field((), alias="AudioStreamSet")

    @classmethod
    def of_probe(cls, body: Mapping[str, Any]) -> Self:
        """
        Read the content of ``Response`` of DescribeMediaMetaData.

        :raises ValueError: it holds no metadata.
        """
        data = body.get("MetaData")
        if not (isinstance(data, Mapping) and data):
            raise ValueError("it holds no MetaData")
        return cls.read({**data, "source": "MetaData"})

    @property
    def is_of_output(self) -> bool:
        """Whether it describes a file that the task wrote, as for EditMedia, and not an input."""
        return "Output" in self.source

    @property
    def video(self) -> VideoStream | None:
        """The first video stream, None for a file without video."""
        return next(iter(self.video_streams), None)

    @property
    def audio(self) -> AudioStream | None:
        """The first audio stream, None for a file without audio."""
        return next(iter(self.audio_streams), None)


def find_metadata(body: Mapping[str, Any]) -> tuple[MediaMetadata, ...]:
    """All metadata of an answer: of the inputs, of the output of an edit, or of a probed file."""
    return tuple(MediaMetadata.read({**data, "source": path}) for path, data in _places(body))


def _places(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in [("", body), *body.items()]:
        if not isinstance(node, Mapping):
            continue
        prefix = f"{name}." if name else ""
        output = node.get("Output")
        candidates = {
            "MetaData": node.get("MetaData"),
            "Output.MetaData": output.get("MetaData") if isinstance(output, Mapping) else None,
        }
        # A batch lists the metadata of its inputs under this name.
        for index, item in enumerate(as_items(node.get("Metadatas"))):
            candidates[f"Metadatas[{index}]"] = item
        for key, data in candidates.items():
            if isinstance(data, Mapping) and data:
                yield f"{prefix}{key}", data
