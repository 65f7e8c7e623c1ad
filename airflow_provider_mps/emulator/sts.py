"""What STS and the metadata service of a CVM instance give out: temporary keys, which the local MPS then accepts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_mps.emulator.state import Account, Role, Settings
from airflow_provider_mps.emulator.validation import Refusal

_DEFAULT_SECONDS = 7200
Issued = dict[str, Any]


class Identities:
    """
    Roles, and who may have their keys.

    :param accounts: whom the local MPS knows; issued keys are added.
    :param now: the server's time in Unix seconds.
    """

    def __init__(self, accounts: dict[str, Account], settings: Settings, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._settings = settings
        self._now = now

    def assume_role(self, parameters: dict[str, Any], caller: str) -> Issued:
        """
        The answer to AssumeRole.

        :param caller: the SecretId that signed the request.
        """
        role = self._role(parameters)
        if (role.trusts is not None and caller not in role.trusts) or parameters.get("ExternalId") != role.external_id:
            raise Refusal("UnauthorizedOperation", "The caller is not allowed to assume the role.")
        return self._answer(role, parameters)

    def assume_role_with_web_identity(self, parameters: dict[str, Any]) -> Issued:
        """The answer to AssumeRoleWithWebIdentity."""
        role = self._role(parameters)
        if (parameters["ProviderId"], parameters["WebIdentityToken"]) != role.web_identity:
            # The real service may quote what it was sent, so this one does.
            raise Refusal(
                "InvalidParameter.WebIdentityTokenError", f"The token {parameters['WebIdentityToken']} is not valid."
            )
        return self._answer(role, parameters)

    def instance_role(self) -> str:
        """The name of the role of this instance; "" where it has none."""
        return self._settings.instance_role or ""

    def instance_keys(self) -> Issued:
        """What the metadata service says of it."""
        keys, expires = self._issue(self._settings.key_seconds or _DEFAULT_SECONDS)
        times = {"ExpiredTime": int(expires), "Expiration": _iso(expires)}
        return {**keys, **times, "Code": "Success"}

    def _role(self, parameters: dict[str, Any]) -> Role:
        role = self._settings.roles.get(parameters["RoleArn"])
        if role is None:
            raise Refusal("ResourceNotFound.RoleNotFound", "The role does not exist.")
        return role

    def _answer(self, role: Role, parameters: dict[str, Any]) -> Issued:
        seconds = parameters.get("DurationSeconds") or _DEFAULT_SECONDS
        if seconds > role.max_seconds:
            raise Refusal("InvalidParameter.OverTimeError", "DurationSeconds is longer than the role allows.")
        keys, expires = self._issue(self._settings.key_seconds or seconds)
        return {"Credentials": keys, "ExpiredTime": int(expires), "Expiration": _iso(expires)}

    def _issue(self, seconds: float) -> tuple[Issued, float]:
        expires = self._now() + seconds
        secret_id, secret_key, token = (f"AKIDtemp{secrets.token_hex(12)}", *(secrets.token_hex(20) for _ in range(2)))
        self._accounts[secret_id] = Account(secret_key, token, expires)
        return {"TmpSecretId": secret_id, "TmpSecretKey": secret_key, "Token": token}, expires


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
