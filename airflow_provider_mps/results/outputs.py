"""Every file that a task wrote, whatever the class of its result. The keys are listed, the shapes are walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pydantic import Field

from airflow_provider_mps.results.media import AudioStreams, VideoStreams
from airflow_provider_mps.results.model import Number, ResultModel
from airflow_provider_mps.results.redaction import ECHOES, mask_urls

# Key of a path, a list of paths or an address -> kind of the file. "Path" is named after the task that wrote it.
_FILE_KEYS = {
    "Path": None,
    "Paths": None,
    "ImagePathSet": None,
    "WebVttPath": "web_vtt",
    "CoverPath": "cover",
    "CovImgPath": "cover",
    "CovImgUrl": "cover",
    "HighlightPath": "highlight",
    "HighlightUrl": "highlight",
    "SegmentUrl": "segment",
    "AudioUrl": "audio",
    "PersonPositionUrl": "person_position",
    "SubtitlePath": "subtitle",
    "SubtitleEmbedPath": "video_with_subtitle",
    "OriginSubtitlePath": "subtitle",
    "TranslateSubtitlePath": "subtitle",
    "VideoPath": "video",
    "VideoPaths": "video",
    "ErasedVideoPath": "video",
    "EraseVideoPath": "video",
    "VoiceClonedVideo": "video",
    "VoiceClonedMarkFile": "voice_mark",
    "DubbingEditInfoUrl": "dubbing_edit_info",
    "SpeakerPath": "speaker",
    "DstAudioPath": "audio",
    "ScriptPath": "script",
    "MindMapPath": "mind_map",
    "MindMapUrl": "mind_map",
    "SignedUrl": "image",
    "Url": "record",
}
# What "Path" means where the name of the task does not say it.
_KINDS = {
    "TranscodeTask": "transcode",
    "AnimatedGraphicTask": "animated_graphic",
    "SnapshotByTimeOffsetTask": "snapshot",
    "SampleSnapshotTask": "sample_snapshot",
    "ImageSpriteTask": "image_sprite",
    "AdaptiveDynamicStreamingTask": "adaptive_stream",
    "EditMediaTask": "edit",
    "FileList": "record",
    "SubtitleInfo": "subtitle",
    "SubtitleResults": "subtitle",
    "RecognizeSubtitleResult": "subtitle",
    "TransSubtitleResult": "subtitle",
    "ImageProcessTaskResultSet": "image",
}
_SUBTITLE_TASKS = {"AsrFullTextTask", "TransTextTask", "PureSubtitleTransTask", "OcrFullTextTask"}


_STORAGE_KEYS = {"COS": "CosOutputStorage", "AWS-S3": "S3OutputStorage", "VOD": "VODOutputStorage"}


class Storage(ResultModel):
    """Where a file lies. ``type`` is COS, AWS-S3 or VOD, "URL" for a bare address, "" where MPS does not tell."""

    type: str = ""
    bucket: str | None = None
    region: str | None = None
    sub_app_id: int | None = None

    @classmethod
    def of(cls, data: Any) -> Storage:
        """Read a TaskOutputStorage object; its S3 keys are left behind."""
        if not isinstance(data, Mapping):
            return cls()
        kind = str(data.get("Type") or "")
        place = data.get(_STORAGE_KEYS.get(kind, ""))
        place = place if isinstance(place, Mapping) else {}
        return cls.read(
            {
                "type": kind,
                "bucket": place.get("Bucket") or place.get("S3Bucket"),
                "region": place.get("Region") or place.get("S3Region"),
                "sub_app_id": place.get("SubAppId"),
            }
        )

    def uri(self, path: str) -> str | None:
        """
        The address of ``path``: ``cos://bucket/key``, ``s3://bucket/key``, or the URL itself without its query.

        None where the bucket is not known. MPS paths start with "/", object keys do not.
        """
        if "://" in path:
            return mask_urls(path)
        scheme = {"COS": "cos", "AWS-S3": "s3", "VOD": "vod"}.get(self.type)
        if not (scheme and self.bucket):
            return None
        return f"{scheme}://{self.bucket}/{quote(path.lstrip('/'), safe='/!$&()*+,;=:@~', errors='replace')}"


class OutputFile(ResultModel):
    """
    A file that the task wrote.

    ``kind`` says what it is (transcode, snapshot, subtitle, ...), ``source`` where in the answer it stood, ``path``
    is the path inside the bucket as MPS writes it, or an address without its query. ``size`` in bytes,
    ``duration`` in seconds, ``bitrate`` in bit/s. What MPS does not tell is None.
    """

    kind: str = ""
    source: str = ""
    path: str = ""
    uri: str | None = None
    storage: Storage = Storage()
    file_id: str | None = None
    definition: int | None = Field(None, alias="Definition")
    container: str | None = Field(None, alias="Container")
    size: int | None = Field(None, alias="Size")
    md5: str | None = Field(None, alias="Md5")
    duration: Number | None = Field(None, alias="Duration")
    bitrate: int | None = Field(None, alias="Bitrate")
    width: int | None = Field(None, alias="Width")
    height: int | None = Field(None, alias="Height")
    time_offset: Number | None = Field(None, alias="TimeOffset")
    language: str | None = None
    video_streams: VideoStreams = Field((), alias="VideoStreamSet")
    audio_streams: AudioStreams = Field((), alias="AudioStreamSet")


def find_outputs(body: Mapping[str, Any]) -> tuple[OutputFile, ...]:
    """All files of an answer, in its order. A file named twice under one result is listed once."""
    found: dict[tuple[str, str, str | None], OutputFile] = {}
    for output in _walk(body, "", "", Storage()):
        found.setdefault((output.kind, output.path, output.uri), output)
    return tuple(found.values())


def _walk(node: Mapping[str, Any], path: str, task: str, storage: Storage) -> Iterator[OutputFile]:
    """``task`` is the nearest enclosing key that says what the files are, ``storage`` the nearest one named."""
    own = node.get("OutputStorage") or node.get("Storage")
    storage = Storage.of(own) if own else storage
    for key, value in node.items():
        here = f"{path}.{key}" if path else key
        if key in _FILE_KEYS and (key != "Url" or task == "FileList"):  # elsewhere Url is an input or a still
            for location in value if isinstance(value, list) else [value]:
                if isinstance(location, str) and location:
                    yield _file(node, here, key, location, task, storage)
        elif key in ECHOES or key in {"MetaData", "Metadatas"}:
            continue
        elif isinstance(value, Mapping):
            yield from _walk(value, here, _task_name(key, task), storage)
        elif isinstance(value, list) and not _is_text(value):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _walk(item, f"{here}[{index}]", _task_name(key, task), storage)


def _is_text(items: list[Any]) -> bool:
    """Recognised sentences and words; there may be a hundred thousand, and none names a file."""
    return bool(items) and isinstance(items[0], Mapping) and ("Text" in items[0] or "Word" in items[0])


def _task_name(key: str, task: str) -> str:
    return key if key.endswith(("Task", "TaskResult")) or key in _KINDS else task


def _file(node: Mapping[str, Any], source: str, key: str, location: str, task: str, storage: Storage) -> OutputFile:
    kind = _FILE_KEYS[key] or _KINDS.get(task) or ("subtitle" if task in _SUBTITLE_TASKS else _snake(task))
    described = node if key == "Path" else {"TimeOffset": node.get("TimeOffset")}
    # VideoPath stands beside VideoFileId, Path beside FileId or, for the subtitle of a language, SubtitleFileId.
    file_id = node.get(f"{key.removesuffix('Path')}FileId") or (node.get("SubtitleFileId") if key == "Path" else None)
    return OutputFile.read(
        {
            **{name: value for name, value in described.items() if name[:1].isupper()},
            "kind": kind,
            "source": source,
            "path": mask_urls(location),
            "uri": storage.uri(location),
            "storage": Storage(type="URL") if "://" in location else storage,
            "file_id": file_id,
            "language": node.get("Language") or node.get("TransDst"),
        }
    )


def _snake(name: str) -> str:
    name = name.removesuffix("Result").removesuffix("Task")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_") or "file"
