"""MpsClient over requests. With ``aio`` the only module that touches the network."""

from __future__ import annotations

import logging
import time
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Self, TypeVar

import requests
import tenacity
import urllib3.exceptions

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.retry import DEFAULT_ATTEMPTS, clock_correction, policy
from airflow_provider_mps.client.wire import MAX_RESPONSE_BYTES, Request, Response, decode, encode, no_answer
from airflow_provider_mps.errors import MpsApiError, MpsTransportError

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


class MpsClient:
    """
    Ask MPS, waiting for the answer. Close it, or use it in a ``with``.

    :param attempts: how often one call may be sent in all, where it may be sent again.
    :ivar clock_skew: seconds by which this machine's clock turned out to be ahead of MPS's; 0 while it is accepted.
    """

    def __init__(self, config: ClientConfig, *, attempts: int = DEFAULT_ATTEMPTS) -> None:
        self.config = config
        self.attempts = attempts
        self.clock_skew = 0.0
        self._session: requests.Session | None = None

    def call(self, action: Action[ResultT]) -> ResultT:
        """
        Send an action and return its result.

        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        result: ResultT = tenacity.Retrying(**policy(action, self.attempts))(self._once, action)
        return result

    def _once(self, action: Action[ResultT]) -> ResultT:
        timestamp = int(time.time() - self.clock_skew)
        response = self._send(action.name, encode(action, self.config, timestamp))
        try:
            return decode(action, response, timestamp)
        except MpsApiError as error:
            self.clock_skew += clock_correction(error)
            if clock_correction(error):
                log.warning("%s. Signing with the server's time from here on.", error.next_step)
            raise

    def _send(self, action: str, request: Request) -> Response:
        if self._session is None:
            self._session = _new_session(self.config)
        deadline = time.monotonic() + self.config.timeout
        try:
            with self._session.post(
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=(self.config.connect_timeout, self.config.timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status_code, headers, _read(answer, deadline))
        except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
            raise _transport_error(action, error) from None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _new_session(config: ClientConfig) -> requests.Session:
    session = requests.Session()
    # Otherwise a .netrc entry replaces our Authorization header; the proxy is resolved in one place for both clients.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    proxy = config.resolve_proxy()
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    session.verify = config.ca_file or True
    return session


def _read(answer: requests.Response, deadline: float) -> bytes:
    """Read piece by piece: the timeout of requests bounds each pause, not an answer that trickles in."""
    pieces: list[bytes] = []
    size = 0
    while piece := answer.raw.read1(decode_content=True):
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise requests.exceptions.ContentDecodingError("larger than MPS ever answers")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer came in too slowly")
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
    return no_answer(
        action,
        reason,
        never_sent=never_sent,
        timed_out=isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)),
        wants_login=refused_tunnel and " 407 " in f"{reason} ",
    )
