"""Secrets in requests and answers. MPS echoes keys and signed addresses; all that leaves the package is masked here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_mps.results.walk import ADDRESSES, ECHOES, SECRETS, walk

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
# A query may hold quotes itself. A quote ends an address only if a sentence or a JSON text continues after it.
_AFTER_QUOTE = r"(?=[\s,}\]):;>]|\\|$)"
_END_OF_ADDRESS = re.compile(rf"[\s?#<>]|[\"']{_AFTER_QUOTE}")
_END_OF_PATH = re.compile(rf"[\s<>]|[\"']{_AFTER_QUOTE}")
# The character before an address tells where its query ends: at the same quote, at ">", or at the next blank.
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
_MAX_SCHEME = 32  # characters
_MIN_SECRET = 5  # characters; Airflow does not mask shorter texts either


def mask_urls(text: str) -> str:
    """Remove query, fragment and user name from every address in ``text``: tokens and signatures are there."""
    if "://" in text:
        text = _USER.sub("://", _without(text, _queries(text)))
    return _without(text, _signed(text)) if "?" in text else text


def mask_address(address: str) -> str:
    """Like :func:`mask_urls`, for a text that is one whole address or path and may contain blanks."""
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
    The ranges of queries and fragments of addresses, including their ``?`` or ``#``.

    One regular expression for all of it takes hours for some texts. This loop reads each character at most twice.
    """
    position = 0
    while (found := text.find("://", position)) >= 0 and (stop := _END_OF_ADDRESS.search(text, found + 3)):
        position = stop.end()
        if stop[0] in "?#":
            before = _BEFORE.search(text, max(found - _MAX_SCHEME, 0), found)
            query = _QUERIES[(before and before[1]) or ""].match(text, position)
            position = query.end() if query else position
            yield stop.start(), position


def _signed(text: str) -> Iterator[tuple[int, int]]:
    """The ranges of signed queries of paths. Without a scheme, "?" starts a query only if one of its names signs."""
    position = 0
    while (mark := text.find("?", position)) >= 0:
        stop = _END_OF_PATH.search(text, mark)
        position = stop.start() if stop else len(text)
        if any(_SIGNING.search(name) for name in _NAMES.findall(text, mark, position)):
            yield mark, position
        position = max(position, mark + 1)


def secrets_in(value: Any) -> Iterator[str]:
    """The texts in a JSON value that a log or a page must mask: keys, tokens, query strings, passwords."""
    for node in walk(value, SECRETS):
        if not isinstance(node.value, str):
            continue
        if any(above.key in _SECRET_KEYS for above in node.upward()):
            yield from [node.value] if node.value else []
        else:
            yield from _secrets_in_text(node.value)


def _secrets_in_text(text: str) -> Iterator[str]:
    plain = _without(text, _queries(text))
    for part, ranges in ((text, _queries(text)), (plain, _signed(plain))):
        yield from (part[start + 1 : end] for start, end in ranges if end > start + 1)
    yield from (found["user"] for found in _USER.finditer(text) if ":" in found["user"])


def whole_addresses(body: Mapping[str, Any]) -> dict[str, str]:
    """
    Every address in an answer: masked address to whole address.

    A whole address may be signed. It must not be logged, stored or passed on.
    """
    texts = (node.value for node in walk(body, ADDRESSES) if isinstance(node.value, str))
    return {mask_address(text): text for text in texts if text.startswith(("http://", "https://"))}


def mask_secrets(text: str, secrets: Iterable[str]) -> str:
    """Mask ``secrets`` in a message of MPS, which may repeat what was sent."""
    for secret in sorted((each for each in secrets if len(each) >= _MIN_SECRET), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def masked(value: Any) -> Any:
    """A copy of a request for the log: keys and tokens become ``***``, addresses lose their queries."""
    return _copy(value, starred=_SECRET_KEYS)


def without_secrets(value: Any) -> Any:
    """A copy of a JSON value without request echoes and keys; addresses lose their queries."""
    return _copy(value, dropped=ECHOES | _SECRET_KEYS)


def _copy(value: Any, *, starred: frozenset[str] = frozenset(), dropped: frozenset[str] = frozenset()) -> Any:
    if isinstance(value, str):
        return mask_urls(value)
    if isinstance(value, Mapping):
        return {
            key: "***" if key in starred and item else _copy(item, starred=starred, dropped=dropped)
            for key, item in value.items()
            if key not in dropped
        }
    if isinstance(value, (list, tuple)):
        return [_copy(item, starred=starred, dropped=dropped) for item in value]
    return value
