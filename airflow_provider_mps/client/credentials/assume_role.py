"""Roles that keys assume through STS, and the helpers that providers share."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from airflow_provider_mps.client.credentials.base import (
    CredentialProvider,
    Credentials,
    ExpiringCredentials,
    Network,
    flaw_in,
)
from airflow_provider_mps.client.credentials.sts import AssumeRole
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsCredentialsError, MpsError

DEFAULT_SESSION_NAME = "airflow-provider-mps"


class NotConfigured(MpsCredentialsError):
    """This machine has no configuration for this provider, so the next provider is tried."""


@dataclass(frozen=True, slots=True)
class Sts:
    """
    The settings with which roles are assumed.

    :param endpoint: ``https://host`` of STS.
    :param region: its ``X-TC-Region``, which STS requires.
    :param session_name: the name of the session in CAM and its audit.
    :param duration: lifetime of the keys in seconds; None means the default of STS (7200).
    """

    endpoint: str
    region: str = "ap-guangzhou"
    session_name: str = DEFAULT_SESSION_NAME
    duration: int | None = None


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """A role that the keys of another provider assume; it may belong to another account."""

    base: CredentialProvider
    role_arn: str
    sts: Sts
    external_id: str | None = None

    @property
    def of_machine(self) -> bool:
        return self.base.of_machine

    @property
    def title(self) -> str:
        return f"the role {self.role_arn}, assumed with {self.base.title}"

    @property
    def identity(self) -> Hashable:
        return ("role", self.role_arn, self.base.identity)

    def fetch(self, network: Network) -> ExpiringCredentials:
        base = self.base.fetch(network)
        return in_role(base, self.role_arn, self.sts.session_name, self.sts, network, self.external_id)


def in_role(
    base: ExpiringCredentials,
    role_arn: str,
    session_name: str,
    sts: Sts,
    network: Network,
    external_id: str | None = None,
) -> ExpiringCredentials:
    """Return the keys of a role; without a role return ``base``."""
    if not role_arn:
        return base
    origin = f"the role {role_arn}, assumed with {base.origin}"
    try:
        action = AssumeRole(
            role_arn=role_arn,
            role_session_name=session_name or sts.session_name,
            duration_seconds=sts.duration,
            external_id=external_id,
        )
        keys = network.assume(action, endpoint=sts.endpoint, region=sts.region, credentials=base.credentials)
    except MpsError as error:
        raise sts_error(origin, error) from None
    return replace(keys, origin=origin)


def checked(origin: str, secret_id: str, secret_key: str, token: str | None) -> Credentials:
    """Return keys from a file or variable; an error names their origin."""
    token = (token or "").strip() or None
    if flaw := flaw_in(secret_id, secret_key, token):
        raise failed(origin, f"the {flaw[0]} {flaw[1]}")
    return Credentials(secret_id, secret_key, token)


def not_configured(source: str, why: str) -> NotConfigured:
    """Return the error for a provider that is not configured on this machine."""
    return NotConfigured(why, source=source)


def failed(source: str, why: str, category: Category = Category.PERMANENT) -> MpsCredentialsError:
    """Return the error for a provider that is configured but gives no keys."""
    return MpsCredentialsError(why, source=source, category=category)


def sts_error(source: str, error: MpsError, hidden: str = "") -> MpsCredentialsError:
    """
    Return the error for a failed request to STS.

    :param hidden: a secret in the request, which the answer may quote.
    """
    why = str(error).replace(hidden, "***") if hidden else str(error)
    if isinstance(error, MpsApiError) and error.code.startswith("UnauthorizedOperation"):
        why += " The policy of the caller must allow sts:AssumeRole on the role, and the role must trust the caller"
    return MpsCredentialsError(why, source=source, category=error.category)
