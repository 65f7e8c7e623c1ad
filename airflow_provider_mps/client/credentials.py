"""Where the keys come from. Nothing outside this module and ``wire`` ever holds them."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_mps.errors import MpsConfigError


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
        for name, value in (("SecretId (login)", self.secret_id), ("SecretKey (password)", self.secret_key)):
            if not value:
                raise MpsConfigError(f"The {name} of the MPS connection is empty.")
        for name, value in (
            ("SecretId (login)", self.secret_id),
            ("SecretKey (password)", self.secret_key),
            ("session token", self.token or ""),
        ):
            if not value.isascii() or not value.isprintable() or " " in value:
                raise MpsConfigError(
                    f"The {name} of the MPS connection holds blanks, line breaks or other characters that no key has."
                )
