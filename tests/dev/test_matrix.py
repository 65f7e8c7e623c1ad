"""``make matrix`` runs what it says, or fails."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from dev import matrix


@pytest.mark.fault("F77")
def test_the_oldest_airflow_is_the_floor_of_the_package() -> None:
    """What pyproject.toml promises is what is run, and each Airflow is tested with its own Task SDK."""
    oldest = min(map(Version, matrix.AIRFLOWS))
    requirements = tomllib.loads((matrix.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"apache-airflow>={oldest.major}.{oldest.minor}" in requirements["dependencies"]
    assert all(set(pins) == {"apache-airflow-task-sdk"} for pins in matrix.AIRFLOWS.values())


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What is run, instead of running it; an interpreter for each Python, and a place for the environments."""
    ran: list[list[str]] = []

    def run(command: Sequence[str], **_: Any) -> None:
        ran.append(list(command))
        if "venv" in command:
            Path(command[-1]).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(matrix, "HOME", tmp_path)
    monkeypatch.setattr(matrix, "python_of", lambda version: f"/bin/python{version}")
    monkeypatch.setattr(sys, "argv", ["matrix"])
    return ran


def test_an_environment_is_made_anew_for_other_requirements(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used again only while constraints.txt and pyproject.toml are those that it was made of."""
    for made in (True, False):
        commands.clear()
        matrix.environment("3.3.2", "3.11")
        assert bool(commands) is made
    monkeypatch.setitem(matrix.AIRFLOWS, "3.3.2", {"apache-airflow-task-sdk": "1.3.1"})
    matrix.environment("3.3.2", "3.11")
    assert commands


def test_one_that_cannot_be_installed_does_not_end_the_others(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts as failed, and the rest is run."""
    run = subprocess.run

    def breaks_once(command: Sequence[str], **options: Any) -> Any:
        if "apache-airflow==3.3.2" in command:
            raise subprocess.CalledProcessError(1, list(command))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", breaks_once)
    assert matrix.main() == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Airflow")]
    assert len(said) == len(matrix.PAIRS)
    assert all(("FAILED" in line) is ("3.3.2" in line) for line in said)


def test_nothing_run_is_no_success(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a name that fits nothing nor a machine without any Python is a pass."""
    monkeypatch.setattr(sys, "argv", ["matrix", "--only", "3.33"])
    assert matrix.main() == 1
    assert "Nothing was run of: Airflow 3.4" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["matrix"])
    monkeypatch.setattr(matrix, "python_of", lambda version: None)
    assert matrix.main() == 1
    assert commands == []


def test_the_newest_python_is_taken(tmp_path: Path) -> None:
    """By number, not by letter; another kind of Python, and a folder without one, is none."""
    for name in ("3.11.9", "3.11.10", "3.11.2", "3.11.10t"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
    (tmp_path / "3.11.11").mkdir()
    assert matrix.newest(tmp_path.iterdir()) == tmp_path / "3.11.10"
    assert matrix.newest([]) is None


@pytest.mark.parametrize("e2e", [False, True])
def test_real_processes_are_asked_for(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, e2e: bool) -> None:
    """Without the option no environment starts an Airflow; with it each runs both parts, after its unit tests."""
    monkeypatch.setattr(sys, "argv", ["matrix", "--only", "3.4.0b2", *["--e2e"] * e2e])
    assert matrix.main() == 0
    parts = [command[4:] for command in commands if "pytest" in command and "--numprocesses" not in command]
    without = ["--ignore", "tests/e2e/small", "--ignore", "tests/e2e/celery"]
    assert parts == ([["tests/e2e", *without], ["tests/e2e/small"]] if e2e else [])
    assert ("--numprocesses" in commands[-1]) is not e2e
