"""What can go wrong on the way to MPS, as data: scripted by a test, played by the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["reset", "hang", "status", "html", "cut", "broken", "slow", "charset", "throttle", "error"]
KINDS: tuple[Kind, ...] = ("reset", "hang", "status", "html", "cut", "broken", "slow", "charset", "throttle", "error")


@dataclass
class Fault:
    """
    One fault.

    :param kind: ``reset`` drops the connection; ``hang`` answers nothing for ``seconds``, then drops it; ``status``
        answers HTTP ``status`` with a page; ``html`` answers 200 with a page; ``cut`` answers half a JSON; ``broken``
        announces more bytes than it sends; ``slow`` sends ``bytes_per_second``; ``charset`` adds a charset to the
        content type; ``throttle`` answers RequestLimitExceeded; ``error`` answers ``code`` and ``message``.
    :param action: which action it strikes, ``*`` for all.
    :param when: ``before`` the action takes effect, or ``after`` it, so that only the answer is lost. ``slow`` and
        ``charset`` bring the real answer, so they always come after.
    :param times: how many calls it strikes; None for all.
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

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Fault:
        """Build from the JSON of the control endpoint."""
        return cls(**data)


class FaultScript:
    """The faults to come, first scripted first played."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, action: str, when: str) -> Fault | None:
        """The fault that strikes this call, if any; it is used up by one."""
        for fault in self._faults:
            if fault.when == when and fault.action in {"*", action}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None
