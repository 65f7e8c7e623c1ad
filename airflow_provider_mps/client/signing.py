"""
TC3-HMAC-SHA256 as pure functions: no clock, no network, no state.

Source: https://www.tencentcloud.com/document/product/1041/33629 (signature v3)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

ALGORITHM = "TC3-HMAC-SHA256"
_SIGNED_BY_DEFAULT = ("content-type", "host")


def authorization(
    *,
    secret_id: str,
    secret_key: str,
    service: str,
    timestamp: int,
    headers: Mapping[str, str],
    payload: bytes,
    method: str = "POST",
    query: str = "",
    signed_headers: Iterable[str] = _SIGNED_BY_DEFAULT,
) -> str:
    """
    The value of the ``Authorization`` header.

    :param timestamp: Unix seconds, the same as in ``X-TC-Timestamp``; the scope date is its UTC day.
    :param headers: must hold every header named in ``signed_headers``; names are compared without case.
    :param payload: the very bytes that are sent.
    :param query: the canonical (URL-encoded) query string of a GET request.
    :param signed_headers: Tencent requires ``content-type`` and ``host`` among them.
    """
    scope = f"{datetime.fromtimestamp(timestamp, UTC).date().isoformat()}/{service}/tc3_request"
    names = sorted(name.lower() for name in signed_headers)
    text = string_to_sign(
        timestamp=timestamp,
        scope=scope,
        canonical_request=canonical_request(
            method=method, query=query, headers=headers, signed_headers=names, payload=payload
        ),
    )
    value = hmac.digest(signing_key(secret_key, scope), text.encode(), "sha256").hex()
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={value}"


def canonical_request(
    *, method: str, query: str, headers: Mapping[str, str], signed_headers: Iterable[str], payload: bytes
) -> str:
    """The request as the server sees it. It lower-cases the values of headers other than the two that are a must."""
    values = {name.lower(): value.strip() for name, value in headers.items()}
    names = list(signed_headers)
    lines = "".join(
        f"{name}:{values[name] if name in _SIGNED_BY_DEFAULT else values[name].lower()}\n" for name in names
    )
    return f"{method}\n/\n{query}\n{lines}\n{';'.join(names)}\n{hashlib.sha256(payload).hexdigest()}"


def string_to_sign(*, timestamp: int, scope: str, canonical_request: str) -> str:
    """What is signed; ``scope`` is ``<date>/<service>/tc3_request``."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def signing_key(secret_key: str, scope: str) -> bytes:
    """Derive the key of one day and service; ``scope`` is ``<date>/<service>/tc3_request``."""
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
