"""
A session of ``requests`` that ends in time: the whole answer, however slowly it trickles in, within one timeout.

It keeps no cookies, follows no redirect, and takes nothing from the environment. Beside ``aio`` and ``download`` the
only module that touches the network.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3.connection
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from airflow_provider_mps.client.config import ClientConfig, tls_context
from airflow_provider_mps.client.protocol import MAX_RESPONSE_BYTES, Request, Response, transport_error
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsTransportError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_METADATA_TIMEOUT = (2.0, 5.0)  # seconds to connect, to answer; it is one hop away


class BoundedSession:
    """
    The HTTP connections of one client.

    :raises MpsConfigError: the proxy of the environment or the certificates of the configuration cannot be used.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._timeout = (config.connect_timeout, config.timeout)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter())
        # Otherwise .netrc replaces our Authorization header; the proxy is resolved in one place for both clients.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        proxy = config.resolve_proxy()
        self._session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        if config.ca_file:
            tls_context(config.ca_file)  # requests would find out at the first request, and call it no answer
        self._session.verify = config.ca_file or True

    def post(self, action_name: str, request: Request) -> Response:
        """
        Send a request.

        :raises MpsTransportError: no whole answer came within the timeout.
        """
        try:
            with self._session.post(
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status_code, headers, _read(answer))
        except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise _transport_error(action_name, error) from None

    def close(self) -> None:
        self._session.close()


def get_metadata(url: str) -> str:
    """
    Ask the metadata service of this machine; "" for what it does not have.

    :raises MpsTransportError: it gave no usable answer.
    """
    name = "the metadata service"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, timeout=_METADATA_TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            raise _transport_error(name, error) from None
    if answer.status_code == 404:
        return ""
    if answer.status_code != 200:
        raise MpsTransportError(f"HTTP {answer.status_code}", action=name, category=Category.UNREACHABLE)
    return answer.text


class _UntilDeadline(io.RawIOBase):
    """The bytes of a socket until a deadline: the timeout of the socket itself begins anew with every byte."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        self._raw = raw
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if (left := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError("the answer came in too slowly")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer whose headers and body arrive within one timeout, however slowly they trickle in."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if (seconds := sock.gettimeout()) is not None:
            self.fp = io.BufferedReader(_UntilDeadline(self.fp.detach(), sock, seconds))


class _Plain:
    """Its text is what error messages call the other side."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _HttpConnection(_Plain, urllib3.connection.HTTPConnection):
    response_class = _BoundedResponse


class _HttpsConnection(_Plain, urllib3.connection.HTTPSConnection):
    response_class = _BoundedResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Has requests use these connections, through a proxy too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


def _read(answer: requests.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := answer.raw.read1(decode_content=True):
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise requests.exceptions.ContentDecodingError("larger than MPS ever answers")
        pieces.append(piece)
    return b"".join(pieces)


def _transport_error(action: str, error: Exception) -> MpsTransportError:
    reason: object = error
    if isinstance(error, requests.ConnectionError) and error.args:
        reason = getattr(error.args[0], "reason", None) or error
    if isinstance(reason, urllib3.exceptions.ProxyError):
        # So urllib3 also calls a connection that broke after the request went through the proxy.
        reason = reason.original_error
    refused_tunnel = str(reason).startswith("Tunnel connection failed")
    never_sent = refused_tunnel or isinstance(
        reason, (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError)
    )
    return transport_error(
        action,
        reason,
        never_sent=never_sent,
        timed_out=isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)),
        wants_login=refused_tunnel and " 407 " in f"{reason} ",
    )
