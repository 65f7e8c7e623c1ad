"""AsyncMpsClient over aiohttp. With ``sync`` the only module that touches the network."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from functools import lru_cache
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import tenacity

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.retry import DEFAULT_ATTEMPTS, clock_correction, policy
from airflow_provider_mps.client.wire import MAX_RESPONSE_BYTES, Request, Response, decode, encode, no_answer
from airflow_provider_mps.errors import MpsApiError, MpsConfigError, MpsTransportError

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


class AsyncMpsClient:
    """
    Ask MPS without blocking the event loop. Close it, or use it in an ``async with``.

    :param attempts: how often one call may be sent in all, where it may be sent again.
    :ivar clock_skew: seconds by which this machine's clock turned out to be ahead of MPS's; 0 while it is accepted.
    """

    def __init__(self, config: ClientConfig, *, attempts: int = DEFAULT_ATTEMPTS) -> None:
        self.config = config
        self.attempts = attempts
        self.clock_skew = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None

    async def call(self, action: Action[ResultT]) -> ResultT:
        """
        Send an action and return its result.

        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        if self.attempts == 1:
            try:
                return await self._once(action)
            except MpsApiError as error:
                if not clock_correction(error):
                    raise
                return await self._once(action)
        return await tenacity.AsyncRetrying(**policy(action, self.attempts))(self._once, action)

    async def _once(self, action: Action[ResultT]) -> ResultT:
        timestamp = int(time.time() - self.clock_skew)
        response = await self._send(action.name, encode(action, self.config, timestamp))
        try:
            return decode(action, response, timestamp)
        except MpsApiError as error:
            self.clock_skew += clock_correction(error)
            if clock_correction(error):
                log.warning("%s. Signing with the server's time from here on.", error.next_step)
            raise

    async def _send(self, action: str, request: Request) -> Response:
        if self._session is None:
            self._session = await self._new_session()
        try:
            async with self._session.post(
                request.url,
                data=request.body,
                headers=request.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Response(answer.status, headers, await _read(answer))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _transport_error(action, error) from None

    async def _new_session(self) -> aiohttp.ClientSession:
        ca_file = self.config.ca_file
        self._proxy = self.config.resolve_proxy()
        # Reading certificates takes long enough to be noticed by every other trigger of the loop.
        try:
            context = await asyncio.to_thread(_tls_context, ca_file) if ca_file else True
        except ssl.SSLError as error:
            raise MpsConfigError(f"verify names {ca_file}, which holds no certificates: {error.reason}") from None
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=self.config.timeout, sock_connect=self.config.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            # Otherwise .netrc adds an Authorization header; the proxy is resolved in one place for both clients.
            trust_env=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@lru_cache(maxsize=8)
def _tls_context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise aiohttp.ClientPayloadError("larger than MPS ever answers")
        pieces.append(piece)
    return b"".join(pieces)


def _transport_error(action: str, error: Exception) -> MpsTransportError:
    never_sent = isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, aiohttp.ConnectionTimeoutError)
    )
    return no_answer(
        action,
        error,
        never_sent=never_sent,
        timed_out=isinstance(error, TimeoutError),
        wants_login=isinstance(error, aiohttp.ClientHttpProxyError) and error.status == 407,
    )
