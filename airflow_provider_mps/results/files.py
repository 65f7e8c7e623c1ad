"""The files that a task read and wrote, and their properties. No value holds a key or a query string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_mps.results.media import MediaMetadata
from airflow_provider_mps.results.model import ResultModel
from airflow_provider_mps.results.outputs import OutputFile, Storage
from airflow_provider_mps.results.redaction import mask_address
from airflow_provider_mps.results.walk import SOURCES, Node, walk

# Type -> the object with the place of the file, and its fields for bucket, region and path.
_PLACES = {
    "COS": ("CosInputInfo", "Bucket", "Region", "Object"),
    "AWS-S3": ("S3InputInfo", "S3Bucket", "S3Region", "S3Object"),
    "VOD": ("VODInputInfo", "Bucket", "Region", "Object"),
    "URL": ("UrlInputInfo", "", "", "Url"),
}


class SourceFile(ResultModel):
    """
    A file that a task reads. ``path`` is the path inside the bucket as MPS writes it, or an address without its query.
    ``metadata`` is None where MPS gives none.

    Source: https://www.tencentcloud.com/document/product/1041/33690 (MediaInputInfo)
    """

    path: str = ""
    uri: str | None = None
    storage: Storage = Storage()
    metadata: MediaMetadata | None = None


# Files of one kind in one folder that are listed one by one. More are listed as one folder: each entry becomes an
# asset event, and a task may write hundreds of snapshots.
MAX_LISTED_FILES = 20


class FileGroup(NamedTuple):
    """
    A file that a task wrote, or a folder with many files of one kind, such as snapshots.

    ``uri`` is None where MPS does not give the bucket; ``address`` is then the path or the FileId. ``number`` counts
    the files, ``seconds`` is their total duration. ``facts`` are those of :func:`facts_of`, empty for a folder.
    """

    address: str
    uri: str | None
    kind: str
    number: int
    facts: dict[str, Any]
    seconds: float


def written_files(
    outputs: Sequence[OutputFile], metadata: Sequence[MediaMetadata], *, max_files: int = MAX_LISTED_FILES
) -> list[FileGroup]:
    """
    The files that a task wrote, in the order of its answer.

    :param max_files: if there are more files of one kind in one folder, the folder is one entry.
    """
    folders: dict[tuple[str, str], list[OutputFile]] = {}
    for output in outputs:
        if address := output.uri or output.path or output.file_id:
            folders.setdefault((output.kind, _folder(address)), []).append(output)
    groups: list[FileGroup] = []
    for (kind, folder), files in folders.items():
        if len(files) > max_files:
            groups.append(_group(folder, kind, files))
        else:
            groups += [_file(file, metadata) for file in files]
    return groups


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
    """The value with size, duration and streams of an output: itself, or for an edit the metadata beside its path."""
    path = f"{output.source.rpartition('.')[0]}.MetaData"
    return next((item for item in metadata if item.source == path), output)


def facts_of(media: OutputFile | MediaMetadata | None) -> dict[str, Any]:
    """Size in bytes, duration in seconds, bit rate in bit/s, width and height, codecs, as far as MPS gives them."""
    if media is None:
        return {}
    facts = {name: getattr(media, name) for name in ("container", "size", "duration", "bitrate", "width", "height")}
    facts["video_codec"] = next((stream.codec for stream in media.video_streams), None)
    facts["audio_codec"] = next((stream.codec for stream in media.audio_streams), None)
    return {name: value for name, value in facts.items() if value is not None}


def find_sources(value: Any, metadata: Sequence[MediaMetadata] = ()) -> tuple[SourceFile, ...]:
    """
    The inputs in a request or an answer, in its order, each once: media, and pictures such as watermarks.

    :param metadata: the metadata of the answer. Items about outputs are ignored.
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
