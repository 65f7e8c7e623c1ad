"""MpsClient over requests. With ``aio`` the only module that touches the network."""

from __future__ import annotations

import http.client
import io
import logging
import socket
import time
from dataclasses import replace
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import requests
import urllib3.connection
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.clock import clock_for
from airflow_provider_mps.client.config import ClientConfig, tls_context
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials, Lease
from airflow_provider_mps.client.credentials.cache import CredentialCache, credential_cache_for
from airflow_provider_mps.client.protocol import MAX_RESPONSE_BYTES, Request, Response, decode, encode, transport_error
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.client.retry import LIMITS, Limits, Purpose, clock_correction, decide
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsCredentialsError, MpsError, MpsTransportError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

_KEYS_TIMEOUT = 10.0
_METADATA_TIMEOUT = (2.0, 5.0)  # to connect, to answer; it is one hop away


class MpsClient:
    """
    Ask MPS, waiting for the answer. Close it, or use it in a ``with``.

    :param limits: how often and for how long one call is repeated.
    :ivar clock_skew: seconds by which this machine's clock turned out to be ahead of MPS's; 0 while it is accepted.
    """

    def __init__(self, config: ClientConfig, *, limits: Limits | None = None) -> None:
        self.config = config
        self.limits = limits
        self.clock_skew = 0.0
        self.clock = clock_for(config.endpoint)
        self._keyring: CredentialCache | None = None
        self._session: requests.Session | None = None

    def call(self, action: Action[ResultT], *, limits: Limits | None = None) -> ResultT:
        """
        Send an action within the rate limit, and return its result.

        :param limits: overrides the client's, for this call.
        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        limits = limits or self.limits or LIMITS[Purpose.CALL]
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                return self._rate_limited(action)
            except MpsError as error:
                elapsed = time.monotonic() - started
                decision = decide(error, Purpose.CALL, action=action, attempt=attempt, elapsed=elapsed, limits=limits)
                if not decision.retries:
                    raise
                log.debug("Attempt %d: %s. Repeated in %.1f seconds.", attempt, error, decision.delay)
            time.sleep(decision.delay)

    def _rate_limited(self, action: Action[ResultT]) -> ResultT:
        pace = rate_limiter_for(action, self.config)
        time.sleep(pace.take())
        with pace.request():
            return self._once(action)

    def _once(self, action: Action[ResultT]) -> ResultT:
        """One request, and one more if it only wanted another signature: by the server's clock, or with new keys."""
        used, config, skew = None, self.config, self.clock_skew
        try:
            used = self._current_keys()
            return self._exchange(action, used, skew)
        except (MpsApiError, MpsCredentialsError) as error:
            if not (
                self._keys_replaced(used) if error.category is Category.KEYS else self._clock_corrected(error, skew)
            ):
                raise
        time.sleep(rate_limiter_for(action, config).take())
        return self._exchange(action, self._current_keys(), self.clock_skew)

    def _exchange(self, action: Action[ResultT], credentials: Credentials | None, skew: float) -> ResultT:
        now = int(time.time())
        request = encode(action, self.config, int(now - skew), credentials)
        response = self._send(action.name, request)
        self.clock.observe(response.headers.get("date"))
        return decode(action, response, now)

    def _current_keys(self, refused: Credentials | None = None) -> Credentials | None:
        if self.config.credentials is None:
            return None
        if self._keyring is None:
            self._keyring = credential_cache_for(self.config.credentials, self.config, fetch_keys)
        return self._keyring.get(self.config.timeout, refused)

    @property
    def key_origin(self) -> str:
        """Where the keys come from, in words: as told by the source once it has given some."""
        source = self.config.credentials
        return self._keyring.origin if self._keyring else source.title if source else "nowhere"

    def _keys_replaced(self, refused: Credentials | None) -> bool:
        """Whether there are other keys than these by now, in the connection or from its source."""
        read = _read_again(self.config)
        if read is not None and read != self.config.credentials:
            self.config, self._keyring = replace(self.config, credentials=read), None
            return True
        return refused is not None and self._current_keys(refused) != refused

    def _clock_corrected(self, error: MpsError, skew: float) -> bool:
        """Whether this machine's clock was the reason; from here on requests are signed by the server's."""
        correction = clock_correction(error, skew)
        if correction and self.clock_skew == skew:  # else a request that was on its way as well has seen to it
            self.clock_skew += correction
            log.warning("%s. Signing with the server's time from here on.", error.next_step)
        return correction != 0

    def _send(self, action: str, request: Request) -> Response:
        if self._session is None:
            self._session = _new_session(self.config)
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
                return Response(answer.status_code, headers, _read(answer))
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


def _read_again(config: ClientConfig) -> CredentialProvider | None:
    """The credentials of the configuration as they are now; None where that cannot be told."""
    if config.reread is None:
        return None
    try:
        read: ClientConfig = config.reread()
    except Exception as error:  # noqa: BLE001 - whatever it is, the refusal that led here is the better message
        log.warning("The refused keys could not be read again: %s", type(error).__name__)
        return None
    return read.credentials


def fetch_keys(config: ClientConfig) -> Lease:
    """
    Ask the credential source of a configuration.

    :raises MpsCredentialsError: it gives no keys.
    """
    if config.credentials is None:
        raise TypeError("there is no source to ask")
    return config.credentials.lease(_KeyNetwork(config))


class _KeyNetwork:
    """The network as key sources use it, see :class:`Network`: what hangs is given up before anyone's timeout."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config

    def assume(self, action: Action[Lease], *, endpoint: str, region: str, credentials: Credentials | None) -> Lease:
        config = replace(
            self._config,
            credentials=credentials,
            endpoint=endpoint,
            region=region,
            timeout=min(self._config.timeout, _KEYS_TIMEOUT),
            reread=None,
        )
        with MpsClient(config, limits=LIMITS[Purpose.KEYS]) as client:
            return client.call(action).by_clock(client.clock_skew)

    def read_metadata(self, url: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.get(url, timeout=_METADATA_TIMEOUT, allow_redirects=False)
            except requests.RequestException as error:
                raise _transport_error("the metadata service", error) from None
        if answer.status_code == 404:
            return ""
        if answer.status_code != 200:
            raise MpsTransportError(
                f"HTTP {answer.status_code}", action="the metadata service", category=Category.UNREACHABLE
            )
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


def _new_session(config: ClientConfig) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    # Otherwise a .netrc entry replaces our Authorization header; the proxy is resolved in one place for both clients.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    proxy = config.resolve_proxy()
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    if config.ca_file:
        tls_context(config.ca_file)  # requests would find out at the first request, and call it no answer
    session.verify = config.ca_file or True
    return session


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
