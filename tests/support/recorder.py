"""A tiny HTTP server that keeps what it was sent. It knows nothing of MPS, so it cannot share a mistake with it."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, cast

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
        self._answer: Callable[[Sent, BinaryIO], object]
        self.reply(answer())
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
        self._answer = lambda _, stream: response(stream) if callable(response) else stream.write(response)

    def hang_up(self) -> None:
        """Read requests from now on, and close the connection without an answer."""
        self.reply(lambda stream: stream.close())

    def relay_to(self, netloc: str) -> list[tuple[Sent, bytes]]:
        """
        Pass requests on to a server of this machine from now on; where that drops the connection, drop it as well.

        Returns each request with the body of its answer, b"" where none came; the list grows.
        """
        exchanges: list[tuple[Sent, bytes]] = []

        def relay(sent: Sent, stream: BinaryIO) -> None:
            connection = http.client.HTTPConnection(netloc, timeout=30)
            try:
                connection.request(sent.method, sent.target, sent.body, sent.headers)
                got = connection.getresponse()
                body = got.read()
            except (http.client.HTTPException, ConnectionError):
                exchanges.append((sent, b""))
                stream.close()
                return
            finally:
                connection.close()
            exchanges.append((sent, body))
            headers = [f"{name}: {value}" for name, value in got.getheaders() if name != "Content-Length"]
            stream.write(answer(body, status=f"{got.status} {got.reason}", headers=tuple(headers)))

        self._answer = relay
        return exchanges

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
                sent = Sent(self.command, self.path, headers, body)
                recorder.sent.append(sent)
                recorder._answer(sent, cast(BinaryIO, self.wfile))
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
