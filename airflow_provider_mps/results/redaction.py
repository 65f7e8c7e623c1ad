"""What MPS echoes may hold keys and signed addresses. Nothing leaves this package without passing here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Echoes of the request: they repeat input addresses, notification tokens and S3 keys, and say nothing new.
ECHOES = frozenset({"Input", "InputInfo", "InputInfos", "TaskNotifyConfig", "ImageTask"})
_SECRET_KEYS = frozenset(
    {
        "NotifyKey",
        "S3SecretId",
        "S3SecretKey",
        "SecretId",
        "SecretKey",
        "Sign",
        "SimpleAesDrm",
        "StreamKey",
        "TmpSecretId",
        "TmpSecretKey",
        "Token",
        "WebIdentityToken",
    }
)
# A quote ends an address only where a sentence or a JSON text goes on behind it: a query may hold quotes itself.
_AFTER_QUOTE = r"(?=[\s,}\]):;>]|\\|$)"
_IN_QUOTES = rf"(?:(?!(?P=quote){_AFTER_QUOTE})(?:\\.|\S))*"
_SCHEME = r"\b[a-z][a-z0-9+.-]*://"
_ADDRESS = rf"{_SCHEME}(?:[^\s?#\"'<>]|[\"'](?!{_AFTER_QUOTE}))+"
_QUERY = re.compile(
    rf"(?:(?P<quote>\\?[\"'])|(?P<bracket><))?(?P<address>{_ADDRESS})[?#]"
    rf"(?P<query>(?(quote){_IN_QUOTES}|(?(bracket)[^\s>]*|\S*)))",
    re.IGNORECASE,
)
_USER = re.compile(rf"(?P<scheme>{_SCHEME})(?P<user>[^\s/?#\"'<>]+)@", re.IGNORECASE)
# Without a scheme "?" is a letter like others, unless what follows says that it signs or opens something.
_SIGNED = re.compile(
    r"\?(?P<query>(?=\S*(?:sign|token|secret|credential|passw|auth|key|q-ak)[\w.-]*=)"
    rf"(?:[^\s\"'<>]|[\"'](?!{_AFTER_QUOTE}))*)",
    re.IGNORECASE,
)


def mask_urls(text: str) -> str:
    """Cut query, fragment and user name off every address in ``text``: that is where tokens and signatures stand."""
    if "://" in text:
        text = _USER.sub(r"\g<scheme>", _QUERY.sub(_without_query, text))
    return _SIGNED.sub("", text) if "?" in text else text


def _without_query(found: re.Match[str]) -> str:
    return (found["quote"] or found["bracket"] or "") + found["address"]


def mask_address(address: str) -> str:
    """The same for a text that is an address or a path as a whole, blanks included."""
    if "://" in address:
        return _USER.sub(r"\g<scheme>", re.split(r"[?#]", address, maxsplit=1)[0])
    return address[: signed.start()] if (signed := _SIGNED.search(address)) else address


def secrets_in(value: Any) -> Iterator[str]:
    """What a log or a page must mask when it shows the rest of a JSON value: keys, tokens, query strings, passwords."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item) if key in _SECRET_KEYS else secrets_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets_in(item)
    elif isinstance(value, str):
        yield from (found["query"] for found in _QUERY.finditer(value) if found["query"])
        yield from (found["query"] for found in _SIGNED.finditer(_QUERY.sub(_without_query, value)))
        yield from (found["user"] for found in _USER.finditer(value) if ":" in found["user"])


def masked(value: Any) -> Any:
    """Copy a request for a log: everything stays but keys, tokens and the query strings of addresses."""
    if isinstance(value, Mapping):
        return {key: "***" if key in _SECRET_KEYS and item else masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return mask_urls(value) if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)


def without_secrets(value: Any) -> Any:
    """Copy a JSON value without request echoes, keys and signed query strings."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item) for key, item in value.items() if key not in ECHOES and key not in _SECRET_KEYS
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    return mask_urls(value) if isinstance(value, str) else value
