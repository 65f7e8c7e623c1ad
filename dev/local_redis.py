"""A Redis server on loopback, the broker of Celery workers: with a password of its own, and nothing kept on disk."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dev.processes import Process, free_port, loopback_environment

_START_SECONDS = 20.0
_CONFIG = """
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
save ""
appendonly no
daemonize no
"""


@contextlib.contextmanager
def redis() -> Iterator[str | None]:
    """
    The URL of an empty Redis for as long as the ``with`` lasts; None where ``redis-server`` is not installed.

    :raises RuntimeError: the server does not start.
    """
    if (program := shutil.which("redis-server")) is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="mps-redis-") as name:
        folder, port, password = Path(name), free_port(), secrets.token_hex(16)
        config = folder / "redis.conf"  # a password on the command line is shown to every user
        config.touch(mode=0o600)
        config.write_text(_CONFIG.format(port=port, password=password, folder=folder), encoding="utf-8")
        server = Process([program, str(config)], loopback_environment(), folder / "log")
        try:
            _wait_for(server, port, password)
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            server.stop()


def _wait_for(server: Process, port: int, password: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.returncode is not None:
            raise RuntimeError(f"Redis did not start:\n{server.log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            with client.makefile("rb") as answers:
                if [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]:
                    return
        time.sleep(0.1)
    raise RuntimeError(f"Redis did not start within {_START_SECONDS:g} seconds.")
