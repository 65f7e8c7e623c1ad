"""What is away for a while on the way to MPS, and comes back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import pytest

from tests.support.tls import pass_on


class NameServer:
    """Of this process: it knows ``localhost``, except while it is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._away, genuine = False, socket.getaddrinfo

        def getaddrinfo(*arguments: Any, **named: Any) -> Any:
            if self._away and arguments[0] == "localhost":
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return genuine(*arguments, **named)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def fail(self) -> None:
        self._away = True

    def heal(self) -> None:
        self._away = False


class Gate:
    """A port of this machine that leads to a server, and is closed for a while: it refuses, and drops what it had."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._passing: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open()

    def fail(self) -> None:
        self.close()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))  # the port stays ours, and nobody listens

    def heal(self) -> None:
        self._socket.listen()
        self._open()

    def drop(self) -> None:
        """End the connections that there are."""
        while self._passing:
            _end(self._passing.pop())

    def close(self) -> None:
        _end(self._socket)
        self.drop()

    def _open(self) -> None:
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client = listening.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                self._passing += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
