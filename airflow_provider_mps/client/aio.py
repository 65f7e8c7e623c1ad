"""AsyncMpsClient over aiohttp. With ``sync`` the only module that touches the network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig, tls_context
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials, Lease
from airflow_provider_mps.client.credentials.cache import CredentialCache, credential_cache_for
from airflow_provider_mps.client.protocol import (
    MAX_RESPONSE_BYTES,
    Request,
    Response,
    decode,
    decode_status,
    encode,
    transport_error,
)
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.client.retry import LIMITS, Limits, Purpose, clock_correction, decide
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsCredentialsError, MpsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail, TaskState

log = logging.getLogger(__name__)
# More than whoever shares a client has under way: a request that waits for a connection uses up its timeout.
_MOST_CONNECTIONS = 1000
# Reading a connection can stall for ever in older Airflow 3.x.
_REREAD_TIMEOUT = 30.0
# For so long keys that were refused, and for which there were no others, are not read again.
_IN_VAIN = 30.0
ResultT = TypeVar("ResultT")
AnswerT = TypeVar("AnswerT")
if TYPE_CHECKING:  # at run time pydantic would make a class of it
    _Reader = Callable[[Action[AnswerT], Response, int], ResultT]


class AsyncMpsClient:
    """
    Ask MPS without blocking the event loop. Close it, or use it in an ``async with``.

    :param limits: how often and for how long one call is repeated.
    :ivar clock_skew: seconds by which this machine's clock turned out to be ahead of MPS's; 0 while it is accepted.
    """

    def __init__(self, config: ClientConfig, *, limits: Limits | None = None) -> None:
        self.config = config
        self.limits = limits
        self.clock_skew = 0.0
        self._keyring: CredentialCache | None = None
        self._rereading = asyncio.Lock()
        self._in_vain: tuple[Credentials | None, float] = (None, -_IN_VAIN)
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._proxy: str | None = None

    async def call(self, action: Action[ResultT]) -> ResultT:
        """
        Send an action, when its turn has come, and return its result.

        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        limits = self.limits or LIMITS[Purpose.CALL]
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                return await self._rate_limited(action)
            except MpsError as error:
                elapsed = time.monotonic() - started
                decision = decide(error, Purpose.CALL, action=action, attempt=attempt, elapsed=elapsed, limits=limits)
                if not decision.retries:
                    raise
                log.debug("Attempt %d: %s. Repeated in %.1f seconds.", attempt, error, decision.delay)
            await asyncio.sleep(decision.delay)

    async def look(self, action: Action[TaskDetail]) -> TaskState:
        """
        Ask for the state of a task, now and once: for a poll loop, which keeps the pace itself and asks again anyway.

        :return: a whole :class:`TaskDetail`; of a large answer (some 100 kB) its head only.
        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        """
        return await self._once(action, decode_status)

    @property
    def is_ready(self) -> bool:
        """Whether there are keys to sign with, which need not be renewed soon."""
        return self._keyring.is_fresh if self._keyring else self.config.credentials is None

    async def ready(self) -> None:
        """Wait until there are keys to sign with, or none to be had, which the request then tells."""
        with contextlib.suppress(MpsCredentialsError):
            await self._current_keys()

    async def _rate_limited(self, action: Action[ResultT]) -> ResultT:
        pace = rate_limiter_for(action, self.config)
        await pace.turn()
        with pace.request():
            return await self._once(action, decode)

    async def _once(self, action: Action[AnswerT], read: _Reader[AnswerT, ResultT]) -> ResultT:
        """One request, and one more if it only wanted another signature: by the server's clock, or with new keys."""
        used, config, skew = None, self.config, self.clock_skew
        try:
            used = await self._current_keys()
            return await self._exchange(action, read, used, skew)
        except (MpsApiError, MpsCredentialsError) as error:
            helped = (
                await self._keys_replaced(used, config.credentials)
                if error.category is Category.KEYS
                else self._clock_corrected(error, skew)
            )
            if not helped:
                raise
        await rate_limiter_for(action, config).turn()  # that of the keys before, at which everybody else still asks
        return await self._exchange(action, read, await self._current_keys(), self.clock_skew)

    async def _exchange(
        self,
        action: Action[AnswerT],
        read: _Reader[AnswerT, ResultT],
        credentials: Credentials | None,
        skew: float,
    ) -> ResultT:
        now = int(time.time())
        request = encode(action, self.config, int(now - skew), credentials)
        return read(action, await self._send(action.name, request), now)

    async def _current_keys(self, refused: Credentials | None = None) -> Credentials | None:
        if self.config.credentials is None:
            return None
        if self._keyring is None:
            self._keyring = credential_cache_for(self.config.credentials, self.config, _fetch_keys)
        return await self._keyring.aget(self.config.timeout, refused)

    async def _keys_replaced(self, refused: Credentials | None, source: CredentialProvider | None) -> bool:
        """Whether there are other keys than these by now, in the connection or from its source; asked once for all."""
        async with self._rereading:
            if self.config.credentials != source:
                return True  # somebody else's request was refused before, and has seen to it
            if refused is not None and self._keyring is not None and not self._keyring.holds(refused):
                return True  # or there are new ones from the same source
            keys, at = self._in_vain
            if keys == refused and time.monotonic() - at < _IN_VAIN:
                return False
            replaced = await self._read_others(refused)
            self._in_vain = (refused, -_IN_VAIN if replaced else time.monotonic())
            return replaced

    async def _read_others(self, refused: Credentials | None) -> bool:
        read = await _read_again(self.config)
        if read is not None and read != self.config.credentials:
            self.config, self._keyring = replace(self.config, credentials=read), None
            return True
        return refused is not None and await self._current_keys(refused) != refused

    def _clock_corrected(self, error: MpsError, skew: float) -> bool:
        """Whether this machine's clock was the reason; from here on requests are signed by the server's."""
        correction = clock_correction(error, skew)
        if correction and self.clock_skew == skew:  # else a request that was on its way as well has seen to it
            self.clock_skew += correction
            log.warning("%s. Signing with the server's time from here on.", error.next_step)
        return correction != 0

    async def _send(self, action: str, request: Request) -> Response:
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
            raise _transport_error(action, error) from None

    async def _new_session(self) -> aiohttp.ClientSession:
        ca_file = self.config.ca_file
        self._proxy = self.config.resolve_proxy()
        context = await asyncio.to_thread(tls_context, ca_file) if ca_file else True
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=_MOST_CONNECTIONS),
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


def _fetch_keys(config: ClientConfig) -> Lease:
    from airflow_provider_mps.client.sync import fetch_keys  # loads requests, on the keyring's thread, where needed

    return fetch_keys(config)


async def _read_again(config: ClientConfig) -> CredentialProvider | None:
    """The credentials of the configuration as they are now; None where that cannot be told."""
    if config.reread is None:
        return None
    try:
        async with asyncio.timeout(_REREAD_TIMEOUT):
            read: ClientConfig = await config.reread()
    except Exception as error:  # noqa: BLE001 - whatever it is, the refusal that led here is the better message
        log.warning("The refused keys could not be read again: %s", type(error).__name__)
        return None
    return read.credentials


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
