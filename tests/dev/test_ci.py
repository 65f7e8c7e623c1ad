"""What the CI runs does not pass with less than it should have run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parent.parent.parent / ".ci" / "run"
pytestmark = pytest.mark.skipif(not CI.exists(), reason="a source distribution has no CI")


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
def test_without_postgresql_nothing_is_green(tmp_path: Path, apt: str, ran: bool) -> None:
    """Root of a Debian that PostgreSQL cannot be installed on gets a failure, not tests on SQLite."""
    for name, body in {"id": "echo 0", "ls": "exit 1", "apt-get": apt, "make": f"touch {tmp_path}/made"}.items():
        command = tmp_path / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key != "MPS_TEST_POSTGRES"}
    done = subprocess.run([str(CI)], env={**env, "PATH": f"{tmp_path}:{env['PATH']}"}, timeout=30, check=False)
    assert (done.returncode == 0) is ran
    assert (tmp_path / "made").exists() is ran
