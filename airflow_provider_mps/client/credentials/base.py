"""The keys that sign a request, and when they expire. No other package holds them; no text form shows them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.errors import MpsConfigError

if TYPE_CHECKING:
    from airflow_provider_mps.client.action import Action

# Keys are renewed this long before they expire, or a tenth of their life before, whichever is earlier.
_RENEW_BEFORE = 300.0  # seconds
_EMPTY = "is empty"


def flaw_in(secret_id: str, secret_key: str, token: str | None) -> tuple[str, str] | None:
    """What is wrong with keys, if anything: which of them, and what; never its value."""
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
    Keys as a provider gives them. All times are Unix seconds of Tencent Cloud's clock.

    :param origin: where they came from, in words.
    :param expires_at: None where they do not say, or do not expire.
    :param obtained_at: when they were fetched.
    :param clock: Tencent Cloud's, as the service told it that gave the keys; the clock of this machine decides nothing.
    """

    credentials: Credentials
    origin: str
    expires_at: float | None = None
    obtained_at: float = 0.0
    clock: MpsClock = field(default_factory=MpsClock, repr=False, compare=False)

    @classmethod
    def from_answer(cls, keys: Mapping[str, Any], *, origin: str, expires_at: Any) -> ExpiringCredentials:
        """
        Read temporary keys as STS and the metadata service write them.

        :raises ValueError: something is missing or is no key. The text holds no value.
        """
        secret_id, secret_key, token = (str(keys.get(name) or "") for name in ("TmpSecretId", "TmpSecretKey", "Token"))
        is_time = isinstance(expires_at, (int, float)) and math.isfinite(expires_at)
        if not token or flaw_in(secret_id, secret_key, token) or not is_time:
            raise ValueError("TmpSecretId, TmpSecretKey, Token or their expiry is missing or makes no sense")
        return cls(Credentials(secret_id, secret_key, token), origin, float(expires_at))

    def obtained_now(self, clock: MpsClock) -> ExpiringCredentials:
        """The same, just fetched from a service with this clock."""
        return replace(self, obtained_at=clock.now(), clock=clock)

    def is_valid(self, now: float) -> bool:
        """Whether they have not expired."""
        return self.expires_at is None or now < self.expires_at

    def is_due(self, now: float) -> bool:
        """
        Whether to ask for new ones: 5 minutes or a tenth of their life before they expire, whichever comes first.

        Keys that live shorter than that serve for half of their life.
        """
        if self.expires_at is None:
            return False
        life = self.expires_at - self.obtained_at
        return now >= self.expires_at - min(max(_RENEW_BEFORE, 0.1 * life), 0.5 * life)


class Network(Protocol):
    """
    What a provider may ask for, with the proxy, certificates and timeouts of the connection.

    :ivar clock: MPS's, for keys whose origin tells no time.
    """

    clock: MpsClock

    def assume(
        self, action: Action[ExpiringCredentials], *, endpoint: str, region: str, credentials: Credentials | None
    ) -> ExpiringCredentials:
        """Ask STS for keys; without credentials the request goes unsigned."""

    def read_metadata(self, url: str) -> str:
        """Ask the metadata service of the machine; it is on the machine's own link, so no proxy is used."""


class CredentialProvider(Protocol):
    """Where keys come from. Hashable, so that clients with the same one share its keys; no text form shows a secret."""

    @property
    def of_machine(self) -> bool:
        """Whether each machine has keys of its own, so that they may work on one and not on another."""

    @property
    def title(self) -> str:
        """It in words."""

    @property
    def identity(self) -> Hashable:
        """Which account it stands for: without keys and tokens, so that it stays the same while they change."""

    def fetch(self, network: Network) -> ExpiringCredentials:
        """
        Read or ask for keys. May take seconds; never call it on an event loop.

        :raises MpsCredentialsError: there are none; the text says why.
        """
