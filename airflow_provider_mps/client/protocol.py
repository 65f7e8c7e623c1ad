"""
Actions to requests, responses to results, and the one flow of requests that a call consists of. Performs no I/O.

The flow is a generator: it yields small steps (send a request, sleep, fetch keys), and a client performs them.
:class:`~airflow_provider_mps.client.sync.MpsClient` and :class:`~airflow_provider_mps.client.aio.AsyncMpsClient` are
the two. So signing, rate limiting, retries, and what follows from rejected keys or a wrong clock are written once.
"""

from __future__ import annotations

import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_mps.client.action import Action, SubmitAction
from airflow_provider_mps.client.clock import SIGNIFICANT_OFFSET, MpsClock, clock_for
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import CredentialProvider, Credentials, ExpiringCredentials
from airflow_provider_mps.client.credentials.cache import CredentialCache, credential_cache_for
from airflow_provider_mps.client.rate_limiter import RateLimiter, rate_limiter_for
from airflow_provider_mps.client.retry import LIMITS, Limits, Purpose, decide
from airflow_provider_mps.client.signing import authorization
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsError,
    MpsTransportError,
)
from airflow_provider_mps.results.redaction import mask_secrets, mask_urls, masked, secrets_in
from airflow_provider_mps.results.task import TaskDetail, TaskState

AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")
log = logging.getLogger(__name__)

RELOAD_BACKOFF = 30.0
"""Seconds for which rejected keys are not looked up again after there were no others."""

# MPS documents 10 MB for a signed POST and 50 MB for an answer.
MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
_decoder = msgspec.json.Decoder()
_encoder = json.JSONEncoder(allow_nan=False)  # json.dumps would make one for each request
# Below this a whole answer is read in a few milliseconds; MPS writes up to 50 MB.
LARGE_ANSWER = 256 * 1024
_CONTENT_TYPE = "application/json"
_UNSIGNED = "SKIP"


class Request(NamedTuple):
    """A POST, ready to send: any change to ``body`` or to the host breaks its signature."""

    url: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def encode(action: Action[Any], config: ClientConfig, timestamp: int, credentials: Credentials | None) -> Request:
    """
    Build and sign the request.

    :param credentials: what signs it; None sends it unsigned, as one action of STS wants it.
    :param timestamp: Unix seconds; MPS accepts 300 seconds around its own clock.
    :raises MpsConfigError: the parameters are no JSON (NaN, bytes, a datetime) or larger than MPS accepts.
    """
    try:
        body = _encoder.encode(action.parameters).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MpsConfigError(f"The parameters of {action.name} are not plain JSON: {error}") from error
    if len(body) > MAX_REQUEST_BYTES:
        raise MpsConfigError(f"The parameters of {action.name} are larger than the 10 MB that MPS accepts.")
    headers = {
        "Content-Type": _CONTENT_TYPE,
        "Host": config.host,
        "X-TC-Action": action.name,
        "X-TC-Version": action.version,
        "X-TC-Timestamp": str(timestamp),
        "X-TC-Language": config.language,
    }
    if config.region:
        headers["X-TC-Region"] = config.region
    if credentials is None:
        headers["Authorization"] = _UNSIGNED
    else:
        if credentials.token:
            headers["X-TC-Token"] = credentials.token
        headers["Authorization"] = authorization(
            secret_id=credentials.secret_id,
            secret_key=credentials.secret_key,
            service=action.service,
            timestamp=timestamp,
            headers=headers,
            payload=body,
        )
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s to %s: %s", action.name, config.host, json.dumps(masked(action.parameters), ensure_ascii=False))
    return Request(f"{config.endpoint}/", headers, body)


def decode(action: Action[ResultT], response: Response, clock: MpsClock) -> ResultT:
    """
    Read an answer.

    :param clock: of the service; an answer of the service, and no other, sets it.
    :raises MpsApiError: MPS answered with an error.
    :raises MpsTransportError: the answer is not one of MPS.
    """
    if response.status != 200:
        # MPS answers 200 also for errors: this is a gateway's or proxy's answer.
        raise MpsTransportError(
            f"HTTP {response.status} from a gateway or proxy on the way, not an answer of {action.service.upper()}",
            action=action.name,
            category=Category.NO_ANSWER,
        )
    body = _parse(action, response)
    clock.observe(response.headers.get("date"))
    log.debug("%s answered with %d bytes (RequestId %s)", action.name, len(response.body), body.get("RequestId"))
    error = body.get("Error")
    if error is not None:
        error = error if isinstance(error, Mapping) else {"Message": error}
        raise MpsApiError(
            action=action.name,
            code=str(error.get("Code") or "unknown"),
            message=mask_secrets(mask_urls(str(error.get("Message") or "")), secrets_in(action.parameters)),
            request_id=str(body.get("RequestId") or "unknown"),
            mps_task_id=action.parameters.get("TaskId"),
            clock_skew=clock.machine_ahead() if clock.is_known else None,
            service=action.service.upper(),
        )
    try:
        return action.result(body)
    except ValueError as problem:
        raise _unusable(action, str(problem)) from problem


class _Head(msgspec.Struct):
    Error: Any = None
    TaskType: Any = None
    Status: Any = None
    CreateTime: Any = None
    BeginProcessTime: Any = None
    FinishTime: Any = None
    SessionId: Any = None
    SessionContext: Any = None
    RequestId: Any = None


class _Envelope(msgspec.Struct):
    Response: _Head


_head_decoder = msgspec.json.Decoder(_Envelope)


def decode_status(action: Action[TaskDetail], response: Response, clock: MpsClock) -> TaskState:
    """
    Read an answer as :func:`decode` does, but of a large one the head only: nothing else is built in memory.

    :raises MpsApiError: MPS answered with an error.
    :raises MpsTransportError: the answer is not one of MPS.
    """
    if response.status == 200 and len(response.body) > LARGE_ANSWER:
        try:
            head = _head_decoder.decode(response.body).Response
        except (ValueError, RecursionError):
            return decode(action, response, clock)  # it knows what to say
        if head.Error is None:
            clock.observe(response.headers.get("date"))
            return TaskState.read(msgspec.structs.asdict(head))
    return decode(action, response, clock)


def _parse(action: Action[Any], response: Response) -> Mapping[str, Any]:
    try:
        answer = _decoder.decode(response.body)
    except (ValueError, RecursionError):
        try:
            # It also reads half a surrogate pair, which recognised text may hold and nothing after us can store.
            answer = _without_half_pairs(json.loads(response.body))
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type")
            raise _unusable(action, f"it is not complete JSON ({kind}, {len(response.body)} bytes)") from None
    body = answer.get("Response") if isinstance(answer, Mapping) else None
    if not isinstance(body, Mapping):
        raise _unusable(action, "it holds no Response")
    return body


def _without_half_pairs(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_half_pairs(key): _without_half_pairs(item) for key, item in value.items()}
    return [_without_half_pairs(item) for item in value] if isinstance(value, list) else value


def _unusable(action: Action[Any], why: str) -> MpsTransportError:
    service = action.service.upper()
    return MpsTransportError(
        f"the answer is not one of {service}: {why}", action=action.name, category=Category.NO_ANSWER
    )


def transport_error(
    action: str, reason: object, *, never_sent: bool, timed_out: bool, wants_login: bool = False
) -> MpsTransportError:
    """
    What a transport makes of its library's exception.

    :param never_sent: no connection came about, so MPS cannot have seen the request.
    :param wants_login: a proxy does not connect without a user name and a password.
    """
    if wants_login:
        return MpsTransportError(
            "the proxy wants a user name and a password (HTTP 407): http://user:password@host:port",
            action=action,
            category=Category.PERMANENT,
        )
    text = mask_urls(str(reason))  # it may name a proxy with its password
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return MpsTransportError(
            "the server's certificate is not trusted; if it is your proxy's, set verify to its authority's file",
            action=action,
            category=Category.PERMANENT,
        )
    if timed_out:
        text = "timed out" + (" while connecting" if never_sent else "")
    category = Category.UNREACHABLE if never_sent else Category.NO_ANSWER
    return MpsTransportError(f"no answer: {text or type(reason).__name__}", action=action, category=category)


# The flow. Each step is something that only a client can do; what it answers stands beside it.


class Send(NamedTuple):
    """Send a request. Answers the :class:`Response`; raises MpsTransportError where none comes."""

    action_name: str
    request: Request


class Sleep(NamedTuple):
    """Let time pass."""

    seconds: float


class AcquireTurn(NamedTuple):
    """Wait until the rate limiter allows one more request."""

    limiter: RateLimiter


class FetchKeys(NamedTuple):
    """Take keys from the cache. Answers Credentials; raises MpsCredentialsError where there are none."""

    cache: CredentialCache
    timeout: float  # seconds
    rejected: Credentials | None


class ReloadConnection(NamedTuple):
    """Read the connection anew. Answers the ClientConfig; may raise anything."""

    reload: Callable[[], Any]


class Exclusively(NamedTuple):
    """Run this flow while no other flow of the client is run in this way. Answers its result."""

    flow: Flow[bool]


Step = Send | Sleep | AcquireTurn | FetchKeys | ReloadConnection | Exclusively
if TYPE_CHECKING:
    Flow = Generator[Step, Any, ResultT]
    Reader = Callable[[Action[AnswerT], Response, MpsClock], ResultT]


class BaseClient(ABC):
    """
    What both clients share: everything but the I/O.

    :param limits: how often and for how long one call is repeated; else its purpose decides.
    :ivar clock: MPS's time.
    """

    def __init__(self, config: ClientConfig, *, limits: Limits | None = None) -> None:
        self.config = config
        self.limits = limits
        self.clock = clock_for(config.endpoint)
        self._cache: CredentialCache | None = None
        # Keys that were rejected and for which there were no others, and until when that is taken for granted.
        self._reload_backoff: tuple[Credentials | None, float] = (None, -math.inf)

    @staticmethod
    @abstractmethod
    def _fetch(config: ClientConfig) -> ExpiringCredentials:
        """Ask the credential provider of a configuration; runs on a thread."""

    @property
    def key_origin(self) -> str:
        """Where the keys come from, in words: as the provider says once it has given some."""
        provider = self.config.credentials
        return self._cache.origin if self._cache else provider.title if provider else "nowhere"

    def _call(self, action: Action[ResultT], purpose: Purpose, limits: Limits | None) -> Flow[ResultT]:
        """Send an action within the rate limit, and again as long as :func:`~.retry.decide` says so."""
        limits = limits or self.limits or LIMITS[purpose]
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            limiter = rate_limiter_for(action, self.config)
            yield AcquireTurn(limiter)
            try:
                with limiter.request():
                    return (yield from self._send_signed(action, decode))
            except MpsError as error:
                elapsed = time.monotonic() - started
                decision = decide(error, purpose, action=action, attempt=attempt, elapsed=elapsed, limits=limits)
                if not decision.retries:
                    raise
                log.debug("Attempt %d: %s. Repeated in %.1f seconds.", attempt, error, decision.delay)
            yield Sleep(decision.delay)

    def _send_signed(self, action: Action[AnswerT], read: Reader[AnswerT, ResultT]) -> Flow[ResultT]:
        """One request, and one more if it only needed another signature: with MPS's time, or with other keys."""
        used, config, offset = None, self.config, self.clock.offset
        try:
            used = yield from self._keys()
            return (yield from self._round_trip(action, read, used))
        except (MpsApiError, MpsCredentialsError) as error:
            if error.category is Category.KEYS:
                sign_again = yield Exclusively(self._replace_keys(used, config.credentials))
            else:
                sign_again = self._was_clock_corrected(error, action, offset)
            if not sign_again:
                raise
        # The limiter of the keys before: all other requests still use that one.
        yield AcquireTurn(rate_limiter_for(action, config))
        return (yield from self._round_trip(action, read, (yield from self._keys())))

    def _round_trip(
        self, action: Action[AnswerT], read: Reader[AnswerT, ResultT], credentials: Credentials | None
    ) -> Flow[ResultT]:
        request = encode(action, self.config, int(self.clock.now()), credentials)
        return read(action, (yield Send(action.name, request)), self.clock)

    def _was_clock_corrected(self, error: MpsError, action: Action[Any], offset: float) -> bool:
        """
        Whether the request was signed with a wrong time, and the answer has told the right one.

        A submission is not sent again here: its record holds the time at which it was sent.
        """
        moved = abs(self.clock.offset - offset) >= SIGNIFICANT_OFFSET
        return error.category is Category.CLOCK and moved and not isinstance(action, SubmitAction)

    def _keys(self, rejected: Credentials | None = None) -> Flow[Credentials | None]:
        if self.config.credentials is None:
            return None
        if self._cache is None:
            self._cache = credential_cache_for(self.config.credentials, self.config, self._fetch)
        keys: Credentials = yield FetchKeys(self._cache, self.config.timeout, rejected)
        return keys

    def _replace_keys(self, rejected: Credentials | None, provider: CredentialProvider | None) -> Flow[bool]:
        """Whether there are other keys than these now, from the connection or the provider; looked up once for all."""
        if self.config.credentials != provider:
            return True  # another request was rejected before, and has read the connection
        if rejected is not None and self._cache is not None and not self._cache.holds(rejected):
            return True  # or it has fetched new keys from the same provider
        keys, until = self._reload_backoff
        if keys == rejected and time.monotonic() < until:
            return False
        replaced = yield from self._reload_connection()
        if not replaced and rejected is not None:
            replaced = (yield from self._keys(rejected)) != rejected
        self._reload_backoff = (rejected, -math.inf if replaced else time.monotonic() + RELOAD_BACKOFF)
        return replaced

    def _reload_connection(self) -> Flow[bool]:
        """Whether the connection has other credentials by now, which are used from here on."""
        if self.config.reload is None:
            return False
        try:
            config: ClientConfig = yield ReloadConnection(self.config.reload)
        except Exception as error:  # noqa: BLE001 - whatever it is, the error that led here is the better message
            log.warning("The connection could not be read again after its keys were rejected: %s", type(error).__name__)
            return False
        if config.credentials == self.config.credentials:
            return False
        self.config, self._cache = replace(self.config, credentials=config.credentials), None
        return True
