"""Temporary keys, as STS and the metadata service of a CVM instance issue them; the local MPS accepts them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_mps.emulator.exceptions import ApiError
from airflow_provider_mps.emulator.models import Account, Role, Settings

_DEFAULT_KEY_SECONDS = 7200
Issued = dict[str, Any]


class StsBackend:
    """
    Issues the keys of the roles that the settings define.

    :param accounts: the accounts of the local MPS; issued keys are added to them.
    :param now: returns the server's time in Unix seconds.
    """

    def __init__(self, accounts: dict[str, Account], settings: Settings, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._settings = settings
        self._now = now

    def assume_role(self, parameters: dict[str, Any], caller: str) -> Issued:
        """
        Answer AssumeRole.

        :param caller: the SecretId that signed the request.
        """
        role = self._role(parameters)
        if (role.trusts is not None and caller not in role.trusts) or parameters.get("ExternalId") != role.external_id:
            raise ApiError("UnauthorizedOperation", "The caller is not allowed to assume the role.")
        return self._answer(role, parameters)

    def assume_role_with_web_identity(self, parameters: dict[str, Any]) -> Issued:
        """Answer AssumeRoleWithWebIdentity."""
        role = self._role(parameters)
        if (parameters["ProviderId"], parameters["WebIdentityToken"]) != role.web_identity:
            # The real service may quote the token, so the emulator does: no log may show it.
            raise ApiError(
                "InvalidParameter.WebIdentityTokenError", f"The token {parameters['WebIdentityToken']} is not valid."
            )
        return self._answer(role, parameters)

    def instance_role(self) -> str:
        """Return the name of the role of this instance; "" if it has none."""
        return self._settings.instance_role or ""

    def instance_keys(self) -> Issued:
        """Return the keys of this instance in the shape of the metadata service."""
        keys, expires = self._issue(self._settings.key_seconds or _DEFAULT_KEY_SECONDS)
        times = {"ExpiredTime": int(expires), "Expiration": _iso(expires)}
        return {**keys, **times, "Code": "Success"}

    def _role(self, parameters: dict[str, Any]) -> Role:
        role = self._settings.roles.get(parameters["RoleArn"])
        if role is None:
            raise ApiError("ResourceNotFound.RoleNotFound", "The role does not exist.")
        return role

    def _answer(self, role: Role, parameters: dict[str, Any]) -> Issued:
        seconds = parameters.get("DurationSeconds") or _DEFAULT_KEY_SECONDS
        if seconds > role.max_seconds:
            raise ApiError("InvalidParameter.OverTimeError", "DurationSeconds is longer than the role allows.")
        keys, expires = self._issue(self._settings.key_seconds or seconds)
        return {"Credentials": keys, "ExpiredTime": int(expires), "Expiration": _iso(expires)}

    def _issue(self, seconds: float) -> tuple[Issued, float]:
        expires = self._now() + seconds
        secret_id, secret_key, token = (f"AKIDtemp{secrets.token_hex(12)}", *(secrets.token_hex(20) for _ in range(2)))
        self._accounts[secret_id] = Account(secret_key, token, expires)
        return {"TmpSecretId": secret_id, "TmpSecretKey": secret_key, "Token": token}, expires


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
