"""
Whole files in a folder of this machine or in an object store: who reads one sees all of it, or the one from before.

A store gets a file in one piece, after it was made on this machine; so a file that could not be made leaves no trace.
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

_MOST_READ = 32 * 1024 * 1024
_LOCAL = frozenset({"", "file", "local"})


def open_folder(path: object, conn_id: str | None = None, *, parameter: str) -> ObjectStoragePath:
    """
    A folder as Airflow names them: ``/data``, ``file:///data``, ``s3://aws_conn@bucket/key``.

    :param parameter: what the user set it with, for the error's text.
    :raises MpsConfigError: it is no such folder, holds a password, or no filesystem is installed for its scheme.
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
    """``text`` as a part of a file's name that every store takes."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


@contextmanager
def whole_file(path: ObjectStoragePath) -> Iterator[BinaryIO]:
    """Write a file, or write it anew; it appears at the end of the block, unless that raises."""
    from airflow.sdk.lineage import get_hook_lineage_collector

    with _local_file(path.path) if path.protocol in _LOCAL else _object(path) as file:
        yield file
    get_hook_lineage_collector().add_output_asset(context=path, uri=str(path))


def read_file(path: ObjectStoragePath) -> bytes:
    """
    Read a file that may be as large as a subtitle file is.

    :raises MpsDownloadError: it is not there, or larger than 32 MiB.
    """
    try:
        with path.open("rb") as file:  # type: ignore[no-untyped-call]  # Airflow has not typed it
            data: bytes = file.read(_MOST_READ + 1)
    except FileNotFoundError:
        # A mount may show what MPS wrote a little later.
        raise MpsDownloadError("there is no such file", address=str(path), category=Category.NO_ANSWER) from None
    if len(data) > _MOST_READ:
        raise MpsDownloadError(f"larger than {_MOST_READ // 2**20} MiB", address=str(path))
    return data


@contextmanager
def _local_file(target: str) -> Iterator[BinaryIO]:
    folder, name = os.path.split(target)
    os.makedirs(folder, exist_ok=True)
    # Beside the target, since only a move within a file system is one step; a name of its own for each try.
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
    # Not path.open("wb"): what was written before an exception would be stored as if it were all.
    with tempfile.NamedTemporaryFile(prefix="mps-") as file:
        yield file  # type: ignore[misc]  # typeshed's wrapper is a BinaryIO in all but name
        file.flush()
        path.fs.put_file(file.name, path.path)
