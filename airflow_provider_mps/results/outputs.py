"""Every file that a task wrote. The fields that can name a file are listed here; the class of the result is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from airflow_provider_mps.results.media import AudioStreams, VideoStreams
from airflow_provider_mps.results.model import Number, ResultModel
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.uris import object_uri
from airflow_provider_mps.results.walk import OUTPUTS, Node, walk

# Field of a path, a list of paths or an address -> kind of the file. None: the task that wrote the file gives the kind.
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
# Task, or field that encloses the file -> kind of its files. Other tasks give their own name.
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
    "AsrFullTextTask": "subtitle",
    "TransTextTask": "subtitle",
    "PureSubtitleTransTask": "subtitle",
    "OcrFullTextTask": "subtitle",
    "ImageProcessTaskResultSet": "image",
}
_STORAGE_KEYS = {"COS": "CosOutputStorage", "AWS-S3": "S3OutputStorage", "VOD": "VODOutputStorage"}


class Storage(ResultModel):
    """The place of a file. ``type`` is COS, AWS-S3 or VOD, "URL" for a bare address, "" where MPS gives none."""

    type: str = ""
    bucket: str | None = None
    region: str | None = None
    sub_app_id: int | None = None

    @classmethod
    def of(cls, data: Any) -> Storage:
        """Read a TaskOutputStorage object, without its S3 keys."""
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

        None if the bucket is unknown. MPS paths start with "/", object keys do not.
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

    ``kind`` says what it is (transcode, snapshot, subtitle, ...), ``source`` is its path in the answer. ``path`` is
    the path inside the bucket as MPS writes it, or an address without its query. A file in VOD may have only a
    ``file_id``; then ``path`` is "". ``size`` in bytes, ``duration`` in seconds, ``bitrate`` in bit/s. Values that MPS
    does not give are None.
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
    """All files of an answer, in its order. A file that is named twice is listed once, with the data of both places."""
    found: dict[tuple[Any, ...], OutputFile] = {}
    storages: dict[int, Storage] = {}
    for node in walk(body, OUTPUTS):
        for output in _files(node, storages) if isinstance(node.value, Mapping) else ():
            same = (output.kind, output.path, output.uri, None if output.path else output.file_id)
            found[same] = _merged(found[same], output) if same in found else output
    return tuple(found.values())


def _merged(first: OutputFile, other: OutputFile) -> OutputFile:
    added = {name: value for name, value in other if getattr(first, name) in (None, ()) and value not in (None, ())}
    return first.model_copy(update=added) if added else first


def _files(node: Node, storages: dict[int, Storage]) -> Iterator[OutputFile]:
    """The files that an object names: by a path, a list of paths, or a FileId without a path."""
    for key, value in node.value.items():
        if key in _FILE_KEYS:
            # Outside of FileList, Url is an input or a still.
            if key != "Url" or _task(node) == "FileList":
                paths = [path for path in (value if isinstance(value, list) else [value]) if _text(path)]
                yield from _described(node, key, key, paths, _storage(node, storages)) if paths else ()
        elif key.endswith("FileId") and _text(value):
            path_key = _path_key(key)
            if not _text(node.value.get(path_key)):
                yield from _described(node, key, path_key, [""], _storage(node, storages))


def _described(node: Node, field: str, key: str, paths: list[str], storage: Storage) -> Iterator[OutputFile]:
    """
    The files at ``paths``, with all that the answer says of them.

    :param field: the field that names them.
    :param key: the field of their path, which may be absent.
    """
    task = _task(node)
    ids = [f"{key.removesuffix('Path')}FileId", *(["SubtitleFileId"] if key == "Path" else [])]
    common = {
        **_properties(node.value, key),
        "kind": _FILE_KEYS.get(key) or _KINDS.get(task) or _snake(task),
        "source": f"{node.path}.{field}" if node.path else field,
        "file_id": next((value for name in ids if (value := _text(node.value.get(name)))), None),
        "language": _text(node.value.get("Language")) or _text(node.value.get("TransDst")),
    }
    for path in paths:
        place = {
            "path": mask_address(path),
            "uri": storage.uri(path) if path else None,
            "storage": Storage(type="URL") if "://" in path else storage,
        }
        yield OutputFile.read({**common, **place})


def _task(node: Node) -> str:
    """The nearest enclosing field that says what the files are."""
    for above in node.upward():
        if above.key.endswith(("Task", "TaskResult")) or above.key in _KINDS:
            return above.key
    return ""


def _storage(node: Node, known: dict[int, Storage]) -> Storage:
    """The nearest storage that encloses an object. ``known`` keeps each, by the id of its JSON value."""
    objects = (above.value for above in node.upward() if isinstance(above.value, Mapping))
    own = next((own for one in objects if (own := one.get("OutputStorage") or one.get("Storage"))), None)
    if id(own) not in known:
        known[id(own)] = Storage.of(own)
    return known[id(own)]


def _path_key(file_id_key: str) -> str:
    """``VideoPath`` for ``VideoFileId``; the FileId of a subtitle stands beside a plain ``Path``."""
    return "Path" if file_id_key == "SubtitleFileId" else f"{file_id_key.removesuffix('FileId')}Path"


def _properties(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The properties of a file, from beside its path. Numbers beside a list of pictures are not about the pictures."""
    if key in {"Path", "Url"}:
        metadata = holder.get("MetaData")  # of an edited file
        properties = {**(metadata if isinstance(metadata, Mapping) else {}), **holder}
        return {name: value for name, value in properties.items() if name[:1].isupper()}
    names = {"HighlightPath": ("Duration",), "HighlightUrl": ("Duration",)}.get(key, ("TimeOffset", "Definition"))
    return {name: holder.get(name) for name in names}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _snake(name: str) -> str:
    name = name.removesuffix("Result").removesuffix("Task")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_") or "file"
