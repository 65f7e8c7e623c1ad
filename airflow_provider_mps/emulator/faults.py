"""Faults on the way to MPS, as data: a test scripts them, the server plays them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["reset", "hang", "status", "html", "cut", "broken", "slow", "charset", "throttle", "error"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Fault:
    """
    One fault.

    :param kind: ``reset`` drops the connection; ``hang`` answers nothing for ``seconds``, then drops it; ``status``
        answers HTTP ``status`` with a page; ``html`` answers 200 with a page; ``cut`` answers half a JSON; ``broken``
        announces more bytes than it sends; ``slow`` sends ``bytes_per_second``; ``charset`` adds a charset to the
        content type; ``throttle`` answers RequestLimitExceeded; ``error`` answers ``code`` and ``message``.
    :param action: the action that it applies to, ``*`` for all.
    :param when: ``before`` the action takes effect, or ``after`` it, so that only the answer is lost. ``slow`` and
        ``charset`` send the real answer, so they always apply after the action.
    :param times: the number of calls that it applies to; None for all.
    """

    kind: Kind
    action: str = "*"
    when: Literal["before", "after"] = "before"
    times: int | None = 1
    seconds: float = 60.0
    status: int = 502
    code: str = "InternalError"
    message: str = "scripted by a fault"
    bytes_per_second: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.when not in {"before", "after"}:
            raise ValueError(f"kind can be {', '.join(KINDS)}; when can be before or after")
        if self.kind in {"slow", "charset"}:
            self.when = "after"


class FaultScript:
    """The faults that a test has scripted. The first one that matches a call is played."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, action: str, when: str) -> Fault | None:
        """Return the fault for this call, if any, and count the call against it."""
        for fault in self._faults:
            if fault.when == when and fault.action in {"*", action}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None
