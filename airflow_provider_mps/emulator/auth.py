"""Verifies the TC3 signature of a request, header by header, as the real service does."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from airflow_provider_mps.client.signing import ALGORITHM, authorization
from airflow_provider_mps.emulator.exceptions import ApiError
from airflow_provider_mps.emulator.models import Account

_MAX_CLOCK_SKEW = 300  # seconds
_HEADER = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/,\s]+)/(?P<date>\d{{4}}-\d\d-\d\d)/(?P<service>\w+)/tc3_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def verify(
    *,
    method: str,
    query: str,
    headers: Mapping[str, str],
    payload: bytes,
    accounts: Mapping[str, Account],
    now: float,
    service: str = "mps",
) -> str:
    """
    Return the SecretId of the account that signed the request.

    :param headers: the names are in lower case.
    :raises ApiError: with the documented AuthFailure code.
    """
    found = _HEADER.fullmatch(headers.get("authorization", ""))
    signed = found["headers"].split(";") if found else []
    if not found or not {"content-type", "host"} <= set(signed) <= set(headers) or signed != sorted(signed):
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization header is malformed.")
    timestamp = headers.get("x-tc-timestamp", "")
    if not timestamp.isdecimal():
        raise ApiError("MissingParameter", "X-TC-Timestamp is missing.")
    if abs(now - int(timestamp)) > _MAX_CLOCK_SKEW:
        raise ApiError("AuthFailure.SignatureExpire", "The signature has expired: check the clock of the client.")
    account = accounts.get(found["id"])
    if account is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    if headers.get("x-tc-token") != account.token or (account.expires_at is not None and now >= account.expires_at):
        raise ApiError("AuthFailure.TokenFailure", "The token is wrong, missing or has expired.")
    expected = authorization(
        secret_id=found["id"],
        secret_key=account.secret_key,
        service=service,
        timestamp=int(timestamp),
        headers=headers,
        payload=b"UNSIGNED-PAYLOAD" if headers.get("x-tc-content-sha256") == "UNSIGNED-PAYLOAD" else payload,
        method=method,
        query=query,
        signed_headers=signed,
    )
    given = _HEADER.fullmatch(expected)
    # Comparing all of it covers the date and the service of the scope as well.
    if given is None or not hmac.compare_digest("/".join(given.groups()), "/".join(found.groups())):
        raise ApiError(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please check your signature is correct.",
        )
    return found["id"]
