"""The keys that sign a request, and their expiry. Only this package holds keys, and no text form shows them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.errors import MpsConfigError

if TYPE_CHECKING:
    from airflow_provider_mps.client.action import Action

# Keys are renewed this long before they expire, or a tenth of their lifetime before, whichever is earlier.
_RENEW_BEFORE = 300.0  # seconds
_EMPTY = "is empty"


def flaw_in(secret_id: str, secret_key: str, token: str | None) -> tuple[str, str] | None:
    """Return the name of an invalid key and the reason, without its value; None if the keys are valid."""
    for name, value in (("SecretId", secret_id), ("SecretKey", secret_key)):
        if not value:
            return name, _EMPTY
    for name, value in (("SecretId", secret_id), ("SecretKey", secret_key), ("session token", token or "")):
        if not value.isascii() or not value.isprintable() or " " in value:
            return name, "holds blanks, line breaks or other characters that no key has"
    return None


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    The keys that sign a request. Their text form shows neither key nor token.

    :param secret_id: SecretId of a CAM user or of temporary credentials.
    :param secret_key: SecretKey that belongs to it.
    :param token: session token; set for temporary credentials only.
    :raises MpsConfigError: a key is empty, or holds a character that no key has (a pasted line break, say).
    """

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if flaw := flaw_in(self.secret_id, self.secret_key, self.token):
            field_name = {"SecretId": "SecretId (login)", "SecretKey": "SecretKey (password)"}.get(flaw[0], flaw[0])
            advice = "Fill in both keys, or neither and a credential_source" if flaw[1] == _EMPTY else "Copy it again"
            raise MpsConfigError(f"The {field_name} of the MPS connection {flaw[1]}. {advice}.")

    of_machine: ClassVar[bool] = False

    @property
    def title(self) -> str:
        return "the connection"

    @property
    def identity(self) -> Hashable:
        return ("static", self.secret_id)

    def fetch(self, network: Network) -> ExpiringCredentials:  # noqa: ARG002 - these keys need no network
        return ExpiringCredentials(self, self.title)


@dataclass(frozen=True, slots=True)
class ExpiringCredentials:
    """
    Keys as a provider returns them. All times are Unix seconds of Tencent Cloud's clock.

    :param origin: a description of their source.
    :param expires_at: None if they do not expire, or if the expiry is not known.
    :param obtained_at: when they were fetched.
    :param clock: the clock of the service that issued the keys. The clock of this machine is not used.
    """

    credentials: Credentials
    origin: str
    expires_at: float | None = None
    obtained_at: float = 0.0
    clock: MpsClock = field(default_factory=MpsClock, repr=False, compare=False)

    @classmethod
    def from_answer(cls, keys: Mapping[str, Any], *, origin: str, expires_at: Any) -> ExpiringCredentials:
        """
        Read temporary keys as STS and the metadata service return them.

        :raises ValueError: a value is missing or invalid. The text holds no value.
        """
        secret_id, secret_key, token = (str(keys.get(name) or "") for name in ("TmpSecretId", "TmpSecretKey", "Token"))
        is_time = isinstance(expires_at, (int, float)) and math.isfinite(expires_at)
        if not token or flaw_in(secret_id, secret_key, token) or not is_time:
            raise ValueError("TmpSecretId, TmpSecretKey, Token or their expiry is missing or invalid")
        return cls(Credentials(secret_id, secret_key, token), origin, float(expires_at))

    def obtained_now(self, clock: MpsClock) -> ExpiringCredentials:
        """Return the same keys, fetched now from a service with this clock."""
        return replace(self, obtained_at=clock.now(), clock=clock)

    def is_valid(self, now: float) -> bool:
        """Whether they have not expired."""
        return self.expires_at is None or now < self.expires_at

    def is_due(self, now: float) -> bool:
        """
        Whether to renew them: 5 minutes or a tenth of their lifetime before they expire, whichever comes first.

        Keys with a shorter lifetime are renewed after half of it.
        """
        if self.expires_at is None:
            return False
        life = self.expires_at - self.obtained_at
        return now >= self.expires_at - min(max(_RENEW_BEFORE, 0.1 * life), 0.5 * life)


class Network(Protocol):
    """
    The requests of a provider, with the proxy, certificates and timeouts of the connection.

    :ivar clock: the clock of MPS, for keys whose source gives no time.
    """

    clock: MpsClock

    def assume(
        self, action: Action[ExpiringCredentials], *, endpoint: str, region: str, credentials: Credentials | None
    ) -> ExpiringCredentials:
        """Request keys from STS; without credentials the request is not signed."""

    def read_metadata(self, url: str) -> str:
        """Read from the metadata service of the machine. It is local to the machine, so no proxy is used."""


class CredentialProvider(Protocol):
    """A source of keys. It is hashable, so clients with equal providers share keys. No text form shows a secret."""

    @property
    def of_machine(self) -> bool:
        """Whether each machine has its own keys, which may work on one machine and not on another."""

    @property
    def title(self) -> str:
        """A description for messages."""

    @property
    def identity(self) -> Hashable:
        """Identifies the account without keys and tokens, so that it stays the same when they change."""

    def fetch(self, network: Network) -> ExpiringCredentials:
        """
        Read or request keys. This may take seconds; never call it on an event loop.

        :raises MpsCredentialsError: there are no keys; the text gives the reason.
        """
