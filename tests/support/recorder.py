"""A tiny HTTP server that keeps what it was sent. It knows nothing of MPS, so it cannot share a mistake with it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

# Something that every action can read.
ANSWER = b'{"Response": {"TaskId": "1250000000-WorkflowTask-1", "MetaData": {"Size": 1}, "RequestId": "recorded"}}'


class Sent(NamedTuple):
    """A request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


def answer(
    body: bytes = ANSWER, *, status: str = "200 OK", headers: tuple[str, ...] = ("Content-Type: application/json",)
) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Recorder:
    """
    Keeps requests, answers each with the same bytes.

    :param tls: speaks HTTPS with it.
    :ivar sent: what arrived.
    :ivar open_connections: connections that the client has not closed yet.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.sent: list[Sent] = []
        self.open_connections = 0
        self._changed = threading.Condition()
        self._write: Callable[[BinaryIO], object] = lambda stream: stream.write(answer())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def reply(self, response: bytes | Callable[[BinaryIO], object]) -> None:
        """Answer with these bytes, or with what a function writes, from now on."""
        self._write = response if callable(response) else lambda stream: stream.write(response)

    def hang_up(self) -> None:
        """Read requests from now on, and close the connection without an answer."""
        self._write = lambda stream: stream.close()

    def all_closed(self, seconds: float = 5.0) -> bool:
        """Whether the clients close their connections before ``seconds`` are over."""
        with self._changed:
            return self._changed.wait_for(lambda: self.open_connections == 0, seconds)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                recorder._count(+1)

            def finish(self) -> None:
                super().finish()
                recorder._count(-1)

            def _keep(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.sent.append(Sent(self.command, self.path, headers, body))
                recorder._write(self.wfile)
                self.close_connection = self.close_connection or self.wfile.closed

            do_POST = do_GET = do_CONNECT = _keep  # noqa: N815 - the names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Say nothing."""

        return Handler

    def _count(self, change: int) -> None:
        with self._changed:
            self.open_connections += change
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
