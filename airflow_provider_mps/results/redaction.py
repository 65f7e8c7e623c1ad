"""What MPS echoes may hold keys and signed addresses. Nothing leaves this package without passing here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
_END_OF_ADDRESS = re.compile(rf"[\s?#<>]|[\"']{_AFTER_QUOTE}")
_END_OF_PATH = re.compile(rf"[\s<>]|[\"']{_AFTER_QUOTE}")
# What stands before an address says where its query ends: at the same quote, the bracket's fellow, or the next blank.
_BEFORE = re.compile(r"""(\\?["']|<)?[a-z][a-z0-9+.-]*$""", re.IGNORECASE)
_QUERIES = {
    **{
        quote: re.compile(rf"(?:(?!{re.escape(quote)}{_AFTER_QUOTE})(?:\\.|\S))*+")
        for quote in ('"', "'", r"\"", r"\'")
    },
    "<": re.compile(r"[^\s>]*+"),
    "": re.compile(r"\S*+"),
}
_USER = re.compile(r"://(?P<user>[^\s/?#\"'<>]+)@")
_NAMES = re.compile(r"(?<![\w.-])([\w.-]++)=")
_SIGNING = re.compile(r"sign|token|secret|credential|passw|auth|key|q-ak", re.IGNORECASE)
_LONGEST_SCHEME = 32
_SHORTEST_SECRET = 5


def mask_urls(text: str) -> str:
    """Cut query, fragment and user name off every address in ``text``: that is where tokens and signatures stand."""
    if "://" in text:
        text = _USER.sub("://", _without(text, _queries(text)))
    return _without(text, _signed(text)) if "?" in text else text


def mask_address(address: str) -> str:
    """The same for a text that is an address or a path as a whole, blanks included."""
    if "://" in address:
        return _USER.sub("://", re.split(r"[?#]", address, maxsplit=1)[0])
    start, _ = next(_signed(address), (len(address), 0))
    return address[:start]


def _without(text: str, ranges: Iterator[tuple[int, int]]) -> str:
    pieces, kept = [], 0
    for start, end in ranges:
        pieces.append(text[kept:start])
        kept = end
    return "".join([*pieces, text[kept:]])


def _queries(text: str) -> Iterator[tuple[int, int]]:
    """
    Where the queries and fragments of addresses stand, their mark included.

    By hand, because one pattern for all of it takes hours for some texts: here no character is read more than twice.
    """
    position = 0
    while (found := text.find("://", position)) >= 0 and (stop := _END_OF_ADDRESS.search(text, found + 3)):
        position = stop.end()
        if stop[0] in "?#":
            before = _BEFORE.search(text, max(found - _LONGEST_SCHEME, 0), found)
            query = _QUERIES[(before and before[1]) or ""].match(text, position)
            position = query.end() if query else position
            yield stop.start(), position


def _signed(text: str) -> Iterator[tuple[int, int]]:
    """Without a scheme "?" is a letter like others, unless a name behind it says that it signs or opens something."""
    position = 0
    while (mark := text.find("?", position)) >= 0:
        stop = _END_OF_PATH.search(text, mark)
        position = stop.start() if stop else len(text)
        if any(_SIGNING.search(name) for name in _NAMES.findall(text, mark, position)):
            yield mark, position
        position = max(position, mark + 1)


def secrets_in(value: Any) -> Iterator[str]:
    """What a log or a page must mask when it shows the rest of a JSON value: keys, tokens, query strings, passwords."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item) if key in _SECRET_KEYS else secrets_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secrets_in(item)
    elif isinstance(value, str):
        plain = _without(value, _queries(value))
        for text, ranges in ((value, _queries(value)), (plain, _signed(plain))):
            yield from (text[start + 1 : end] for start, end in ranges if end > start + 1)
        yield from (found["user"] for found in _USER.finditer(value) if ":" in found["user"])


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text of MPS that may repeat what it was sent, without these; as with Airflow, four letters are no secret."""
    for secret in sorted((each for each in secrets if len(each) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


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
