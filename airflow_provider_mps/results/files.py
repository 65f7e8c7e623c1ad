"""The files of a task and what is known of them: what it read, what it wrote. No key and no query string is in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_mps.results.media import MediaMetadata
from airflow_provider_mps.results.model import ResultModel
from airflow_provider_mps.results.outputs import OutputFile, Storage
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.walk import SOURCES, Node, walk

# Type -> the object that tells the place, and its keys for bucket, region and path.
_PLACES = {
    "COS": ("CosInputInfo", "Bucket", "Region", "Object"),
    "AWS-S3": ("S3InputInfo", "S3Bucket", "S3Region", "S3Object"),
    "VOD": ("VODInputInfo", "Bucket", "Region", "Object"),
    "URL": ("UrlInputInfo", "", "", "Url"),
}


class SourceFile(ResultModel):
    """
    A file that a task reads. ``path`` is the path inside the bucket as MPS writes it, or an address without its query;
    ``metadata`` is what MPS found out about it, if it told.

    Source: https://www.tencentcloud.com/document/product/1041/33690 (MediaInputInfo)
    """

    path: str = ""
    uri: str | None = None
    storage: Storage = Storage()
    metadata: MediaMetadata | None = None


# An event is sent, and an asset stored, for each file: snapshots come by the hundred.
MANY = 20


class FileGroup(NamedTuple):
    """
    A file that a task wrote, or a folder with many of one kind, as snapshots are.

    ``uri`` is None where MPS does not tell the bucket; ``address`` then still says what is known of the place.
    ``number`` counts its files, ``seconds`` is the length of them all; ``facts`` are those of :func:`facts_of`, of a
    folder none.
    """

    address: str
    uri: str | None
    kind: str
    number: int
    facts: dict[str, Any]
    seconds: float


def written_files(
    outputs: Sequence[OutputFile], metadata: Sequence[MediaMetadata], *, most: int = MANY
) -> list[FileGroup]:
    """
    What a task wrote, in the order of its answer.

    :param most: more files of one kind in one folder than this are one entry.
    """
    folders: dict[tuple[str, str], list[OutputFile]] = {}
    for output in outputs:
        if address := output.uri or output.path or output.file_id:
            folders.setdefault((output.kind, _folder(address)), []).append(output)
    return [
        group
        for (kind, folder), files in folders.items()
        for group in ([_group(folder, kind, files)] if len(files) > most else [_file(file, metadata) for file in files])
    ]


def _folder(address: str) -> str:
    return address.rpartition("/")[0] + "/"


def _group(folder: str, kind: str, files: Sequence[OutputFile]) -> FileGroup:
    seconds = sum(file.duration or 0 for file in files)
    return FileGroup(folder, folder if files[0].uri else None, kind, len(files), {}, seconds)


def _file(file: OutputFile, metadata: Sequence[MediaMetadata]) -> FileGroup:
    facts = facts_of(media_of(file, metadata))
    address = file.uri or file.path or file.file_id or ""
    return FileGroup(address, file.uri, file.kind, 1, facts, facts.get("duration") or 0)


def media_of(output: OutputFile, metadata: Sequence[MediaMetadata]) -> OutputFile | MediaMetadata:
    """What tells size, duration and streams of an output: itself, or for an edit the metadata beside its path."""
    beside = f"{output.source.rpartition('.')[0]}.MetaData"
    return next((item for item in metadata if item.source == beside), output)


def facts_of(media: OutputFile | MediaMetadata | None) -> dict[str, Any]:
    """Size in bytes, duration in seconds, bit rate in bit/s, picture, codecs; only what MPS told."""
    if media is None:
        return {}
    facts = {name: getattr(media, name) for name in ("container", "size", "duration", "bitrate", "width", "height")}
    facts["video_codec"] = next((stream.codec for stream in media.video_streams), None)
    facts["audio_codec"] = next((stream.codec for stream in media.audio_streams), None)
    return {name: value for name, value in facts.items() if value is not None}


def find_sources(value: Any, metadata: Sequence[MediaMetadata] = ()) -> tuple[SourceFile, ...]:
    """
    The inputs in a request or an answer, in its order, each once: media, and pictures that are laid over it.

    :param metadata: what the answer tells of its files. That of an edit is about its output.
    """
    about_inputs = iter(item for item in metadata if not item.is_of_output)
    found: dict[tuple[Storage, str], SourceFile] = {}
    for source in filter(None, map(_source, walk(value, SOURCES))):
        known = next(about_inputs, None)
        found.setdefault((source.storage, source.path), source.model_copy(update={"metadata": known}))
    return tuple(found.values())


def _source(node: Node) -> SourceFile | None:
    if not isinstance(node.value, Mapping):
        return None
    kind = str(node.value.get("Type") or "")
    name, bucket, region, path = _PLACES.get(kind, ("", "", "", ""))
    place = node.value.get(name)
    if not isinstance(place, Mapping) or not isinstance(place.get(path), str) or not place[path]:
        return None
    storage = Storage.read({"type": kind, "bucket": place.get(bucket), "region": place.get(region)})
    return SourceFile(path=mask_address(place[path]), uri=storage.uri(place[path]), storage=storage)
