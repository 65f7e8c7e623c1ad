"""What MPS echoes may hold keys and signed addresses. Nothing leaves this package without passing here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Echoes of the request: they repeat input addresses, notification tokens and S3 keys, and say nothing new.
ECHOES = frozenset({"Input", "InputInfo", "InputInfos", "TaskNotifyConfig", "ImageTask"})
_SECRET_KEYS = frozenset(
    {"NotifyKey", "S3SecretId", "S3SecretKey", "SecretId", "SecretKey", "TmpSecretId", "TmpSecretKey", "Token"}
)
_QUERY = re.compile(r"(?P<address>\b[a-z][a-z0-9+.-]*://[^\s?#\"'<>]+)[?#](?P<query>[^\s\"'<>]*)", re.IGNORECASE)
_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s/@\"'<>]+)@", re.IGNORECASE)


def mask_urls(text: str) -> str:
    """Cut query, fragment and user name off every address in ``text``: that is where tokens and signatures stand."""
    if "://" not in text:
        return text
    return _USER.sub(r"\g<scheme>", _QUERY.sub(r"\g<address>", text))


def secrets_in(value: Any) -> Iterator[str]:
    """What a log or a page must mask when it shows the rest of a JSON value: keys, tokens, query strings, passwords."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in _SECRET_KEYS and isinstance(item, str) and item:
                yield item
            yield from secrets_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets_in(item)
    elif isinstance(value, str):
        yield from (found["query"] for found in _QUERY.finditer(value) if found["query"])
        yield from (found["user"] for found in _USER.finditer(value) if ":" in found["user"])


def without_secrets(value: Any) -> Any:
    """Copy a JSON value without request echoes, keys and signed query strings."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item) for key, item in value.items() if key not in ECHOES and key not in _SECRET_KEYS
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    return mask_urls(value) if isinstance(value, str) else value
