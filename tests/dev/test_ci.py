"""What the CI runs does not pass with less than it should have run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parent.parent.parent / ".ci" / "run"
pytestmark = pytest.mark.skipif(not CI.exists(), reason="a source distribution has no CI")


def _run(folder: Path, **programs: str) -> subprocess.CompletedProcess[bytes]:
    """With no other programs than these; what ``make`` leaves behind is a file."""
    for name in ("bash", "dirname", "touch"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, body in {"id": "echo 0", "make": f"touch {folder}/made", **programs}.items():
        command = folder / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key != "MPS_TEST_POSTGRES"}
    return subprocess.run([str(CI)], env={**env, "PATH": str(folder)}, timeout=30, check=False)


@pytest.mark.parametrize(
    ("apt", "ran"),
    [
        ("exit 100", False),
        ('[ "$1" = update ] || exit 100', False),
        ('[ "$1" != update ] || exit 100', False),
        ("exit 0", True),
    ],
    ids=["nothing works", "no package", "no index", "all works"],
)
def test_without_the_servers_nothing_is_green(tmp_path: Path, apt: str, ran: bool) -> None:
    """Root of a Debian that the servers cannot be installed on gets a failure, not tests on SQLite or skipped ones."""
    done = _run(tmp_path, **{"ls": "exit 1", "apt-get": apt})
    assert (done.returncode == 0) is ran
    assert (tmp_path / "made").exists() is ran


@pytest.mark.parametrize(
    ("there", "installed"),
    [
        ((), "postgresql redis-server"),
        (("ls",), "redis-server"),
        (("redis-server",), "postgresql"),
        (("ls", "redis-server"), None),
    ],
    ids=["neither", "postgresql", "redis-server", "both"],
)
def test_only_what_is_missing_is_installed(tmp_path: Path, there: tuple[str, ...], installed: str | None) -> None:
    """What the machine has is left as it is."""
    asked = tmp_path / "asked"
    programs = {"ls": "exit 1", **dict.fromkeys(there, "exit 0")}
    assert _run(tmp_path, **{**programs, "apt-get": f'echo "$@" >> {asked}'}).returncode == 0
    if installed is None:
        assert not asked.exists()
    else:
        update, install = asked.read_text().splitlines()
        assert update.startswith("update")
        assert install.endswith(f"--no-install-recommends {installed}")
