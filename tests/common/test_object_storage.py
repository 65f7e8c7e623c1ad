"""Files that others may read at any moment: they see a whole one, the one from before, or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from airflow.sdk.io import store as airflow_stores
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_mps.common.object_storage import file_name, open_folder, whole_file
from airflow_provider_mps.errors import MpsConfigError


class Store(MemoryFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """An object store of its own, that counts what it is given and can refuse it."""

    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False
    puts: list[str]
    broken = False

    def put_file(self, local: str, remote: str, **options: Any) -> None:
        if self.broken:
            raise OSError("the store is away")
        self.puts.append(remote)
        super().put_file(local, remote, **options)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """What ``memory://aws_conn@bucket`` is, for Airflow, during the test."""
    monkeypatch.setattr(airflow_stores, "_STORE_CACHE", {})
    filesystem = Store()
    filesystem.store.clear()
    filesystem.puts = []
    attach("memory", "aws_conn", fs=filesystem)
    return filesystem


def test_a_local_file_appears_in_one_step(tmp_path: Path) -> None:
    """While it is written there is no file of its name, later there is the old one, and no other file is left."""
    target = ObjectStoragePath(f"file://{tmp_path}/a/b/result.json")
    with whole_file(target) as file:
        file.write(b"first")
        assert not Path(target.path).exists()
    with whole_file(target) as file:
        file.write(b"second")
        file.flush()
        assert Path(target.path).read_bytes() == b"first"
    assert Path(target.path).read_bytes() == b"second"
    assert os.listdir(tmp_path / "a" / "b") == ["result.json"]


def test_a_local_file_is_for_others_too(tmp_path: Path) -> None:
    """Its permissions are those that the umask gives to any new file."""
    plain = tmp_path / "plain"
    plain.touch()
    with whole_file(ObjectStoragePath(f"file://{tmp_path}/whole")) as file:
        file.write(b"x")
    assert stat.S_IMODE((tmp_path / "whole").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def _break_half_way(target: ObjectStoragePath) -> None:
    with whole_file(target) as file:
        file.write(b"after")
        raise RuntimeError("half way")


def test_what_breaks_half_way_changes_nothing(tmp_path: Path, store: Store) -> None:
    """An exception leaves the file from before, and no part of the new one, on a disk and in a store."""
    for target in (ObjectStoragePath(f"file://{tmp_path}/x"), ObjectStoragePath("memory://aws_conn@bucket/x")):
        with whole_file(target) as file:
            file.write(b"before")
        with pytest.raises(RuntimeError, match="half way"):
            _break_half_way(target)
        assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["x"]
    assert store.puts == ["/bucket/x"]


def test_a_store_gets_each_file_once(store: Store) -> None:
    """One put for each file, at its end; its address opens in the next task, and names the connection, not its keys."""
    folder = open_folder("memory://aws_conn@bucket/out", parameter="output_path")
    with whole_file(folder / "a.srt") as file:
        file.write(b"x" * 100)
        file.write(b"y" * 100)
        assert store.puts == []
    assert store.puts == ["/bucket/out/a.srt"]
    assert store.cat_file("/bucket/out/a.srt") == b"x" * 100 + b"y" * 100
    assert ObjectStoragePath(str(folder / "a.srt")).read_bytes() == store.cat_file("/bucket/out/a.srt")


def test_a_store_that_refuses(store: Store) -> None:
    """Its error reaches the task, which Airflow retries."""
    store.broken = True
    with pytest.raises(OSError, match="the store is away"), whole_file(ObjectStoragePath("memory://aws_conn@b/x")):
        pass


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (None, "must be a folder"),
        (" ", "must be a folder"),
        ("s3://key:secret@bucket/x", "holds a password"),
        ("gopher://host/x", "gopher.*has to be installed"),
    ],
)
def test_what_is_no_folder(path: object, text: str) -> None:
    """Said at once, in words, and without the password."""
    with pytest.raises(MpsConfigError, match=text) as caught:
        open_folder(path, parameter="output_path")
    assert "secret" not in str(caught.value)


def test_names_that_every_store_takes() -> None:
    """Letters, digits, dot, dash; what else a language's name holds is replaced."""
    assert file_name("00-merged-zh+en/日本語 .srt") == "00-merged-zh_en_____.srt"
