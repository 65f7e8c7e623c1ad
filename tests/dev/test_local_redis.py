"""The broker of a local Airflow: a Redis of its own, or a skip that says what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dev import local_redis
from tests.e2e import conftest as e2e


def _ask(port: int, *lines: str) -> list[bytes]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client, client.makefile("rb") as answers:
        client.sendall("".join(f"{line}\r\n" for line in lines).encode())
        return [answers.readline().strip() for _ in lines]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_it_answers_who_knows_the_password_and_stops() -> None:
    """It listens for as long as the ``with`` lasts, and obeys nobody without its password."""
    with local_redis.redis() as url:
        parts = urlsplit(str(url))
        port = int(parts.port or 0)
        assert _ask(port, f"AUTH {parts.password}", "PING") == [b"+OK", b"+PONG"]
        assert _ask(port, "PING")[0].startswith(b"-NOAUTH")
    with pytest.raises(ConnectionRefusedError):
        _ask(port, "PING")


@pytest.mark.parametrize(
    ("ci", "user", "debian", "outcome"),
    [
        ("true", 0, True, pytest.fail.Exception),
        ("", 0, True, pytest.skip.Exception),
        ("true", 1000, True, pytest.skip.Exception),
        ("true", 0, False, pytest.skip.Exception),
    ],
    ids=["CI as root of Debian", "no CI", "CI of another user", "CI on another system"],
)
def test_without_redis_only_a_ci_that_could_install_it_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, user: int, debian: bool, outcome: type[BaseException]
) -> None:
    """Elsewhere the tests on Celery are skipped, and say what they need."""
    monkeypatch.setattr(local_redis.shutil, "which", lambda _: None)
    monkeypatch.setattr(e2e, "database", lambda: contextlib.nullcontext("postgresql://here"))
    monkeypatch.setattr(e2e, "DEBIAN", tmp_path if debian else tmp_path / "missing")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="redis-server"), e2e.services(celery=True):
        pass
