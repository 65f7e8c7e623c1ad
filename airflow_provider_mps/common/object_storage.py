"""
Files in a local folder or in an object store. A reader sees the complete new file or the old one, never a part.

A file is written locally first and then stored in one step, so that a failed write leaves no trace.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsConfigError, MpsDownloadError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_MAX_READ = 32 * 1024 * 1024  # bytes
_LOCAL = frozenset({"", "file", "local"})


def open_folder(path: object, conn_id: str | None = None, *, parameter: str) -> ObjectStoragePath:
    """
    Open a folder as Airflow names it: ``/data``, ``file:///data``, ``s3://aws_conn@bucket/key``.

    :param parameter: the name of the parameter that holds it, for the error's text.
    :raises MpsConfigError: it is not a folder, holds a password, or no filesystem is installed for its scheme.
    """
    from airflow.sdk import ObjectStoragePath

    if not isinstance(path, str) or not path.strip():
        raise MpsConfigError(f"{parameter} is {path!r:.40}; it must be a folder such as s3://aws_conn@bucket/subtitles")
    if ":" in urlsplit(path).netloc.rpartition("@")[0]:
        raise MpsConfigError(f"{parameter} holds a password; put it into a connection: scheme://conn_id@host/path")
    try:
        folder = ObjectStoragePath(path, conn_id=conn_id)
        folder.fs  # noqa: B018 - asks for the filesystem of the scheme
    except (ValueError, ImportError) as error:
        raise MpsConfigError(
            f"{parameter}: {error}. The Airflow provider for that storage has to be installed (s3: amazon[s3fs], gs: "
            "google, abfs: microsoft-azure)."
        ) from error
    return folder


def file_name(text: str) -> str:
    """Return ``text`` as a part of a file's name that is valid in every store."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


@contextmanager
def whole_file(path: ObjectStoragePath) -> Iterator[BinaryIO]:
    """Write or replace a file. It appears at the end of the block, unless the block raises."""
    from airflow.sdk.lineage import get_hook_lineage_collector

    with _local_file(path.path) if path.protocol in _LOCAL else _object(path) as file:
        yield file
    get_hook_lineage_collector().add_output_asset(context=path, uri=str(path))


def read_file(path: ObjectStoragePath) -> bytes:
    """
    Read a subtitle file.

    :raises MpsDownloadError: it does not exist, or is larger than 32 MiB.
    """
    try:
        with path.open("rb") as file:  # type: ignore[no-untyped-call]  # Airflow has not typed it
            data: bytes = file.read(_MAX_READ + 1)
    except FileNotFoundError:
        # A mount may show a new file of MPS with a delay.
        raise MpsDownloadError("there is no such file", address=str(path), category=Category.NO_ANSWER) from None
    if len(data) > _MAX_READ:
        raise MpsDownloadError(f"larger than {_MAX_READ // 2**20} MiB", address=str(path))
    return data


@contextmanager
def _local_file(target: str) -> Iterator[BinaryIO]:
    folder, name = os.path.split(target)
    os.makedirs(folder, exist_ok=True)
    # Beside the target: a move is atomic only within one file system. Each try has its own name.
    part = os.path.join(folder, f".{name}.{uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


@contextmanager
def _object(path: ObjectStoragePath) -> Iterator[BinaryIO]:
    # Not path.open("wb"): after an exception it would store the part that was written.
    with tempfile.NamedTemporaryFile(prefix="mps-") as file:
        yield file  # type: ignore[misc]  # typeshed's wrapper is a BinaryIO in all but name
        file.flush()
        path.fs.put_file(file.name, path.path)
