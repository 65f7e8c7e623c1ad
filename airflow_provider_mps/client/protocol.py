"""Actions to requests, responses to results. Performs no I/O; the only module that knows JSON and headers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.signing import authorization
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsConfigError, MpsTransportError
from airflow_provider_mps.results.redaction import mask_secrets, mask_urls, masked, secrets_in
from airflow_provider_mps.results.task import TaskDetail, TaskState

ResultT = TypeVar("ResultT")
log = logging.getLogger(__name__)

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


def decode(action: Action[ResultT], response: Response, now: int) -> ResultT:
    """
    Read an answer.

    :param now: Unix seconds of this machine's clock when the request was signed, whatever it was signed with.
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
            clock_skew=_clock_skew(response.headers, now),
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


def decode_status(action: Action[TaskDetail], response: Response, now: int) -> TaskState:
    """
    Read an answer as :func:`decode` does, but of a large one the head only: nothing else is built in memory.

    :raises MpsApiError: MPS answered with an error.
    :raises MpsTransportError: the answer is not one of MPS.
    """
    if response.status == 200 and len(response.body) > LARGE_ANSWER:
        try:
            head = _head_decoder.decode(response.body).Response
        except (ValueError, RecursionError):
            return decode(action, response, now)  # it knows what to say
        if head.Error is None:
            return TaskState.read(msgspec.structs.asdict(head))
    return decode(action, response, now)


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
    :param wants_login: a proxy refused to connect for want of a user name and a password.
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


def _clock_skew(headers: Mapping[str, str], now: int) -> float | None:
    try:
        return now - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
