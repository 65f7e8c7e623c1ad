"""Every file that a task wrote, whatever the class of its result. The keys are listed, the shapes are walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from airflow_provider_mps.results.media import AudioStreams, VideoStreams
from airflow_provider_mps.results.model import Number, ResultModel
from airflow_provider_mps.results.redaction import ECHOES, mask_address
from airflow_provider_mps.results.uris import object_uri

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
            return mask_address(path)
        scheme = {"COS": "cos", "AWS-S3": "s3", "VOD": "vod"}.get(self.type)
        if not (scheme and self.bucket):
            return None
        return object_uri(scheme, self.bucket, mask_address(path))


class OutputFile(ResultModel):
    """
    A file that the task wrote.

    ``kind`` says what it is (transcode, snapshot, subtitle, ...), ``source`` where in the answer it stood, ``path``
    is the path inside the bucket as MPS writes it, or an address without its query. A file in VOD may be known by
    its ``file_id`` alone; then ``path`` is "". ``size`` in bytes, ``duration`` in seconds, ``bitrate`` in bit/s.
    What MPS does not tell is None.
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
    """All files of an answer, in its order. A file that is named twice is listed once, with all that is said of it."""
    found: dict[tuple[Any, ...], OutputFile] = {}
    for output in _walk(body, "", "", Storage()):
        same = (output.kind, output.path, output.uri, None if output.path else output.file_id)
        found[same] = _merged(found[same], output) if same in found else output
    return tuple(found.values())


def _merged(first: OutputFile, other: OutputFile) -> OutputFile:
    told = {name: value for name, value in other if getattr(first, name) in (None, ()) and value not in (None, ())}
    return first.model_copy(update=told) if told else first


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
        elif key.endswith("FileId") and isinstance(value, str) and value:
            if not _text(node.get(path_key := _path_key(key))):  # else it stands with its path
                yield _file(node, here, path_key, "", task, storage)
        elif key in ECHOES or key in {"MetaData", "Metadatas"}:
            continue
        elif isinstance(value, Mapping):
            yield from _walk(value, here, _task_name(key, task), storage)
        elif isinstance(value, list) and not is_spoken(value):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _walk(item, f"{here}[{index}]", _task_name(key, task), storage)


def is_spoken(items: list[Any]) -> bool:
    """Recognised sentences and words; there may be a hundred thousand, and none names a file."""
    return bool(items) and isinstance(items[0], Mapping) and ("Text" in items[0] or "Word" in items[0])


def _task_name(key: str, task: str) -> str:
    return key if key.endswith(("Task", "TaskResult")) or key in _KINDS else task


def _path_key(file_id_key: str) -> str:
    """``VideoPath`` for ``VideoFileId``; the FileId of a subtitle stands beside a plain ``Path``."""
    return "Path" if file_id_key == "SubtitleFileId" else f"{file_id_key.removesuffix('FileId')}Path"


def _file(node: Mapping[str, Any], source: str, key: str, location: str, task: str, storage: Storage) -> OutputFile:
    kind = _FILE_KEYS.get(key) or _KINDS.get(task) or ("subtitle" if task in _SUBTITLE_TASKS else _snake(task))
    ids = [f"{key.removesuffix('Path')}FileId", *(["SubtitleFileId"] if key == "Path" else [])]
    return OutputFile.read(
        {
            **_described(node, key),
            "kind": kind,
            "source": source,
            "path": mask_address(location),
            "uri": storage.uri(location) if location else None,
            "storage": Storage(type="URL") if "://" in location else storage,
            "file_id": next((value for name in ids if (value := _text(node.get(name)))), None),
            "language": _text(node.get("Language")) or _text(node.get("TransDst")),
        }
    )


def _described(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What an answer says of the file beside its path; the numbers beside a list of pictures are not theirs."""
    if key in {"Path", "Url"}:
        metadata = node.get("MetaData")  # of an edited file
        told = {**(metadata if isinstance(metadata, Mapping) else {}), **node}
        return {name: value for name, value in told.items() if name[:1].isupper()}
    names = {"HighlightPath": ("Duration",), "HighlightUrl": ("Duration",)}.get(key, ("TimeOffset", "Definition"))
    return {name: node.get(name) for name in names}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _snake(name: str) -> str:
    name = name.removesuffix("Result").removesuffix("Task")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_") or "file"
