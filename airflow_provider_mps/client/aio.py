"""AsyncMpsClient: the flow of :mod:`~airflow_provider_mps.client.protocol`, performed with ``aiohttp``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp

from airflow_provider_mps.client.action import Action
from airflow_provider_mps.client.config import ClientConfig, tls_context
from airflow_provider_mps.client.credentials.base import ExpiringCredentials
from airflow_provider_mps.client.protocol import (
    MAX_RESPONSE_BYTES,
    AcquireTurn,
    BaseClient,
    Exclusively,
    FetchKeys,
    ReloadConnection,
    Request,
    Response,
    Send,
    Sleep,
    Step,
    decode_status,
    transport_error,
)
from airflow_provider_mps.client.retry import Limits, Purpose
from airflow_provider_mps.errors import MpsCredentialsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail, TaskState

if TYPE_CHECKING:
    from airflow_provider_mps.client.protocol import Flow

ResultT = TypeVar("ResultT")

# More than one shared client has under way: a request that waits for a connection uses up its timeout.
MAX_CONNECTIONS = 1000
# Airflow may not answer at all when the connection is read.
RELOAD_TIMEOUT = 30.0  # seconds


class AsyncMpsClient(BaseClient):
    """
    Ask MPS without blocking the event loop. Close it, or use it in an ``async with``.

    :param limits: how often and for how long one call is repeated; else its purpose decides.
    :ivar clock: MPS's time.
    """

    def __init__(self, config: ClientConfig, *, limits: Limits | None = None) -> None:
        super().__init__(config, limits=limits)
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self._opening = asyncio.Lock()
        self._exclusive = asyncio.Lock()

    async def call(
        self, action: Action[ResultT], *, purpose: Purpose = Purpose.CALL, limits: Limits | None = None
    ) -> ResultT:
        """
        Send an action within the rate limit, and return its result.

        :param limits: overrides the client's, for this call.
        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS answered with an error.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        return await self._run(self._call(action, purpose, limits))

    async def poll(self, action: Action[TaskDetail]) -> TaskState:
        """
        Ask for the state of a task, at once and once: for a poll loop, which keeps to the rate limit itself.

        :return: a whole :class:`TaskDetail`; of a large answer (some 100 kB) its head only.
        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS answered with an error.
        :raises MpsTransportError: no usable answer came.
        """
        return await self._run(self._send_signed(action, decode_status))

    @property
    def is_ready(self) -> bool:
        """Whether there are keys to sign with that need not be renewed soon."""
        return self._cache.is_fresh if self._cache else self.config.credentials is None

    async def ready(self) -> None:
        """Wait until there are keys to sign with, or none to be had; the next request then raises the reason."""
        with contextlib.suppress(MpsCredentialsError):
            await self._run(self._keys())

    async def _run(self, flow: Flow[ResultT]) -> ResultT:
        resume: Callable[[], Step] = partial(flow.send, None)
        while True:
            try:
                step = resume()
            except StopIteration as end:
                result: ResultT = end.value
                return result
            try:
                resume = partial(flow.send, await self._perform(step))
            except Exception as error:  # noqa: BLE001 - the flow decides what follows from it
                resume = partial(flow.throw, error)

    async def _perform(self, step: Step) -> Any:
        match step:
            case Send(action_name, request):
                return await self._post(action_name, request)
            case AcquireTurn(limiter):
                return await limiter.acquire()
            case FetchKeys(cache, timeout, rejected):
                return await cache.aget(timeout, rejected)
            case Sleep(seconds):
                return await asyncio.sleep(seconds)
            case ReloadConnection(reload):
                async with asyncio.timeout(RELOAD_TIMEOUT):
                    return await reload()
            case Exclusively(flow):
                async with self._exclusive:
                    return await self._run(flow)

    async def _post(self, action_name: str, request: Request) -> Response:
        if self._session is None:
            async with self._opening:  # the first two calls at once must not open two
                self._session = self._session or await self._new_session()
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
            raise _transport_error(action_name, error) from None

    async def _new_session(self) -> aiohttp.ClientSession:
        ca_file = self.config.ca_file
        self._proxy = self.config.resolve_proxy()
        context = await asyncio.to_thread(tls_context, ca_file) if ca_file else True
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self.config.timeout, sock_connect=self.config.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            # Otherwise .netrc adds an Authorization header; the proxy is resolved in one place for both clients.
            trust_env=False,
        )

    @staticmethod
    def _fetch(config: ClientConfig) -> ExpiringCredentials:
        return _fetch_keys(config)

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


def _fetch_keys(config: ClientConfig) -> ExpiringCredentials:
    from airflow_provider_mps.client.sync import fetch_keys  # loads requests, on the cache's thread, where needed

    return fetch_keys(config)


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
    return transport_error(
        action,
        error,
        never_sent=never_sent,
        timed_out=isinstance(error, TimeoutError),
        wants_login=isinstance(error, aiohttp.ClientHttpProxyError) and error.status == 407,
    )
