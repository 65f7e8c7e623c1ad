"""What travelled to MPS, without what differs from run to run: secrets, times, ports, ids."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any

from tests.support.recorder import Sent

OWN = "my-"  # begins each SessionId and SessionContext that a scenario chose itself
# What the HTTP libraries add, each its own.
_OF_THE_TRANSPORT = {"user-agent", "accept", "accept-encoding", "connection", "content-length"}
_TIMES = {"StartTime", "EndTime"}
_IDS = {"TaskId", "SessionId", "SessionContext"}
_TOLD_APART = 3  # more ids of one kind than that are all alike
_CREDENTIAL = re.compile(r"(?<=Credential=)(?P<id>[^/]+)/[\d-]+/|(?<=Signature=)[0-9a-f]{64}")


class Transcript:
    """
    Reads exchanges; ids become placeholders in the order in which they appear.

    :param polls: requests may be repeated while something is waited for: how often is left out.
    """

    def __init__(self, exchanges: list[tuple[Sent, bytes]], *, polls: bool) -> None:
        self._exchanges = list(exchanges)
        self._polls = polls
        self._known: dict[str, dict[str, str]] = {}

    def read(self) -> dict[str, Any]:
        """The actions in their order, and each request that differs from those before it."""
        requests: list[dict[str, Any]] = []
        for sent, _ in self._exchanges:
            if (request := self._request(sent)) not in requests:
                requests.append(request)
        steps = [_step(sent, answer) for sent, answer in self._exchanges]
        return {"steps": [step for step, _ in itertools.groupby(steps)] if self._polls else steps, "requests": requests}

    def _request(self, sent: Sent) -> dict[str, Any]:
        headers = {name: value for name, value in sent.headers.items() if name not in _OF_THE_TRANSPORT}
        return {
            "request": f"{sent.method} {sent.target}",
            "headers": {name: self._header(name, value) for name, value in sorted(headers.items())},
            "body": self._body(json.loads(sent.body)) if sent.body else None,
        }

    def _header(self, name: str, value: str) -> str:
        if name == "host":
            return "<host>"
        if name == "x-tc-token":
            return self._placeholder("token", value)
        if name == "x-tc-timestamp":
            return f"<now{round(int(value) - int(time.time()), -2):+} s>"
        if name == "authorization":
            return _CREDENTIAL.sub(self._signature, value)
        return value

    def _signature(self, found: re.Match[str]) -> str:
        secret_id = found["id"]
        return f"{self._placeholder('SecretId', secret_id)}/<date>/" if secret_id else "<signature>"

    def _body(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self._body(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._body(inner, name) for inner in value]
        if name in _IDS and not str(value).startswith(OWN):
            return self._placeholder(name, value)
        if name in _TIMES:
            return re.sub(r"\d", "0", value)
        return "<token>" if name == "WebIdentityToken" else value

    def _placeholder(self, kind: str, value: str) -> str:
        known = self._known.setdefault(kind, {})
        number = len(known) + 1
        return known.setdefault(value, f"<{kind} {number if number <= _TOLD_APART else 'of many'}>")


def _step(sent: Sent, answer: bytes) -> str:
    """The action, and the error code that came back or that nothing did."""
    action = sent.headers.get("x-tc-action") or f"{sent.method} {sent.target}"
    if not answer:
        return f"{action}: no answer"
    code = re.search(rb'"Error": \{"Code": "([\w.]+)"', answer)
    return f"{action}: {code[1].decode()}" if code else action
