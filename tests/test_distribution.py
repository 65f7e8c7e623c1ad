"""What is published holds what it should and nothing else: the wheel what runs, the source archive what builds it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

import pytest

import airflow_provider_mps

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_mps"
STEM = f"{PACKAGE}-{airflow_provider_mps.__version__}"
FOLDERS = (PACKAGE, "benchmarks", "dev", "docs", "example_dags", "tests")
FILES = {
    ".airflow-registry.yaml",
    ".gitignore",  # hatchling's own doing: it decides what is left out when the archive is built again
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
}


def _sources(*folders: str) -> Iterator[str]:
    """The files below some folders as they are written, without what Python and tools leave behind."""
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            if path.is_file() and not hidden:
                yield path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, and a wheel that was built from nothing but that archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert sorted(path.name for path in folder.iterdir()) == [f"{STEM}-py3-none-any.whl", f"{STEM}.tar.gz"]
    return folder


def test_the_wheel_holds_the_package_alone(built: Path) -> None:
    """Every module and the mark of its types; no test, no example, no file of a developer."""
    with zipfile.ZipFile(built / f"{STEM}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    info = {name for name in names if name.startswith(f"{STEM}.dist-info/")}
    assert {name.partition("/")[2] for name in info} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert names - info == set(_sources(PACKAGE))
    assert f"{PACKAGE}/py.typed" in names


def test_the_source_archive_holds_the_sources(built: Path) -> None:
    """What it takes to build, test and read: and nothing that was made on the way."""
    with tarfile.open(built / f"{STEM}.tar.gz") as archive:
        names = {member.name.removeprefix(f"{STEM}/") for member in archive.getmembers() if member.isfile()}
    assert names == {"PKG-INFO", *FILES, *_sources(*FOLDERS)}


def test_the_wheel_says_what_airflow_and_pytest_read(built: Path) -> None:
    """Entry points, and the name, license and page that an index shows."""
    with zipfile.ZipFile(built / f"{STEM}-py3-none-any.whl") as wheel:
        points = ConfigParser(delimiters=["="])
        points.read_string(wheel.read(f"{STEM}.dist-info/entry_points.txt").decode())
        metadata = Parser().parsestr(wheel.read(f"{STEM}.dist-info/METADATA").decode())
    assert {name: dict(points[name]) for name in points.sections()} == {
        "apache_airflow_provider": {"provider_info": f"{PACKAGE}.get_provider_info:get_provider_info"},
        "pytest11": {f"{PACKAGE}.testing": f"{PACKAGE}.testing"},
    }
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Framework :: Apache Airflow :: Provider" in (metadata.get_all("Classifier") or [])
    assert set(metadata.get_all("Provides-Extra") or []) == {"docs", "openlineage", "test"}
