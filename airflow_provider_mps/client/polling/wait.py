"""When a wait goes on, when it ends, and when it gives up. Pure; the same judge on the worker and in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any, TypeVar

from airflow_provider_mps.client.retry import Limits, Purpose, decide, is_final
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsError,
    MpsStateUnknown,
    MpsTaskNotFound,
    MpsTaskUnsettled,
)
from airflow_provider_mps.results.task import TaskDetail, TaskState

QUERY_WINDOW = "MPS answers for a task for 7 days after its submission (international accounts: 3 days)"
ANSWERED_FOR_SURE = 3 * 86_400.0
"""Seconds after its submission for which MPS answers for a task, whatever the account."""
StateT = TypeVar("StateT", bound=TaskState)
_MEMORY: dict[str, tuple[type, ...]] = {
    "started": (float, int),
    "answered": (float, int),
    "failing_since": (float, int, NoneType),
    "found": (bool,),
    "unsettled_since": (float, int, NoneType),
    "faults": (int,),
    "listed": (bool,),
}


@dataclass(slots=True)
class Patience:
    """
    What one wait puts up with, and what it has seen. All times are Unix seconds.

    :param mps_task_id: the task that is waited for.
    :param started: when the wait began.
    :param outage_tolerance: seconds of looks without any usable answer until the wait gives up. It is counted from the
        first of them, not from the last good one: looks may be hours apart.
    :param not_found_grace: seconds after ``started`` in which MPS may not know the task yet.
    :param settle_grace: seconds in which a FINISHed task may still lack results.
    :param answered: when MPS last said something that can be understood.
    :param failing_since: when the first look failed after that.
    :param found: whether MPS has known the task before.
    :param unsettled_since: when FINISH was first seen without all results.
    :param faults: how often in a row the triggerer gave this wait back without an answer of MPS.
    :param listed: the triggerer has sent a worker to look because a list named the task; it does so once.
    """

    mps_task_id: str
    started: float
    outage_tolerance: float = 3600.0
    not_found_grace: float = 90.0
    settle_grace: float = 120.0
    answered: float = 0.0
    failing_since: float | None = None
    found: bool = False
    unsettled_since: float | None = None
    faults: int = 0
    listed: bool = False

    def __post_init__(self) -> None:
        self.answered = self.answered or self.started
        for name in ("outage_tolerance", "not_found_grace", "settle_grace"):
            seconds = getattr(self, name)
            if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
                raise MpsConfigError(f"{name} is {seconds!r:.40}, not a number of seconds")

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Patience:
        """
        Build from what :meth:`as_dict` gave, in this release or another.

        :raises MpsConfigError: a value makes no sense.
        """
        known = {each.name for each in fields(cls)} - set(_MEMORY)
        return cls(**{name: value for name, value in stored.items() if name in known}, **_memory_in(stored))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, for :meth:`resumed`."""
        return asdict(self)

    def resumed(self, stored: object) -> Patience:
        """This patience with the memory of ``stored``, whatever that is: another release's, another task's, none."""
        if not isinstance(stored, Mapping) or stored.get("mps_task_id") != self.mps_task_id:
            return self
        return replace(self, **_memory_in(stored))

    def judge(self, outcome: StateT | MpsError, now: float) -> StateT | None:
        """
        Decide what one look means.

        :param outcome: what it answered, or the error it ended in. A mere state cannot tell whether a finished task
            lacks results: if it did at the last whole look, it is taken to lack them until the grace is over.
        :return: the state of a task that ended (in success or not); None to go on waiting.
        :raises MpsError: the wait is over: a permanent error as it is, or
            :class:`MpsStateUnknown`, :class:`MpsTaskNotFound`, :class:`MpsTaskUnsettled`.
        """
        if isinstance(outcome, TaskState):
            return self._judge_state(outcome, now)
        if isinstance(outcome, MpsApiError) and outcome.category is Category.NOT_FOUND:
            self._judge_not_found(outcome, now)
            return None
        if is_final(outcome):
            raise outcome
        limits = Limits(seconds=self.outage_tolerance)
        if decide(outcome, Purpose.POLL, elapsed=self.failing(now), limits=limits).retries:
            return None
        raise MpsStateUnknown(
            f"is in an unknown state: no usable answer for {_minutes(now - self.answered)}. "
            f"It may still run, or be done. Last error: {outcome}",
            mps_task_id=self.mps_task_id,
        ) from outcome

    def failing(self, now: float) -> float:
        """Take note that there is no usable answer; returns for how many seconds there has been none."""
        if self.failing_since is None:
            self.failing_since = now
        return now - self.failing_since

    def _judge_state(self, detail: StateT, now: float) -> StateT | None:
        self.found = True
        if not detail.is_known:
            if self.failing(now) < self.outage_tolerance:
                return None
            raise MpsTaskUnsettled(
                f"has had the undocumented status {detail.status!r:.40} for {_minutes(self.failing(now))}",
                mps_task_id=self.mps_task_id,
                findings=(),
            )
        self.answered, self.failing_since = now, None
        if not detail.is_finished:
            self.unsettled_since = None
            return None
        if detail.unsettled if isinstance(detail, TaskDetail) else self.unsettled_since is not None:
            self.unsettled_since = self.unsettled_since or now
            if now - self.unsettled_since < self.settle_grace:
                return None
        return detail

    def _judge_not_found(self, error: MpsApiError, now: float) -> None:
        self.answered, self.failing_since = now, None
        if self.found:
            what = "is no longer known to MPS, although it was before. Its result can no longer be asked for"
        elif now - self.started < self.not_found_grace:
            self.faults = 0  # whoever looks hears the same
            return
        else:
            what = (
                "is not known to MPS: the id has expired, is wrong, belongs to another account or API endpoint, or to "
                "a task of ProcessImage (which needs describe_action='DescribeImageTaskDetail')"
            )
        raise MpsTaskNotFound(f"{what}. {QUERY_WINDOW}. {error}", mps_task_id=self.mps_task_id) from error


def _memory_in(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered, without what cannot be: whatever stands in its place, only that is forgotten."""
    return {name: stored[name] for name, kinds in _MEMORY.items() if name in stored and type(stored[name]) in kinds}


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
