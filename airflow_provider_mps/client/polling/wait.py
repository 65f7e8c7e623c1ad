"""
When a wait goes on, when it ends, and when it gives up: the same rules on the worker and in the triggerer. No I/O.

All times are Unix seconds of MPS's clock (:mod:`airflow_provider_mps.client.clock`), so that a wait can move between
machines whose clocks differ.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any, TypeVar

from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.retry import Limits, Purpose, decide, is_final, is_not_found
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
MIN_QUERY_SECONDS = 3 * 86_400.0
"""Seconds after its submission for which MPS answers for a task, whatever the account."""
MAX_TRIGGER_FAILURES = 3
"""Consecutive trigger failures tolerated before the task fails."""
StateT = TypeVar("StateT", bound=TaskState)
_LIMITS = ("outage_tolerance", "not_found_grace", "settle_grace")


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """
    The limits of one wait, in seconds.

    :param timeout: from the start of the wait until it gives up; None waits for ever.
    :param outage_tolerance: of polls without any usable answer until the wait gives up. It is counted from the first
        of them, not from the last good one: polls may be hours apart.
    :param not_found_grace: after the start, in which MPS may not know the task yet.
    :param settle_grace: in which a FINISHed task may still lack results.
    """

    timeout: float | None = None
    outage_tolerance: float = 3600.0
    not_found_grace: float = 90.0
    settle_grace: float = 120.0

    def __post_init__(self) -> None:
        for name in _LIMITS if self.timeout is None else ("timeout", *_LIMITS):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
                raise MpsConfigError(f"{name} is {seconds!r:.40}, not a number of seconds")

    @classmethod
    def from_dict(cls, stored: object) -> WaitPolicy:
        """
        Build from what :meth:`to_dict` gave.

        :raises MpsConfigError: a value makes no sense.
        """
        known = {each.name for each in fields(cls)}
        values = stored if isinstance(stored, Mapping) else {}
        return cls(**{name: value for name, value in values.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(slots=True)
class WaitState:
    """
    What one wait has seen.

    :param mps_task_id: the task that is waited for.
    :param started: when the wait began; 0 before its first poll with an answer.
    :param own_started: the same by the clock of a machine that did not know MPS's time; only used until it is known.
    :param created: when MPS created the task, as far as is known.
    :param answered: when MPS last gave a usable answer.
    :param failing_since: when the first poll failed after that.
    :param found: whether MPS has known the task before.
    :param unsettled_since: when FINISH was first seen without all results.
    :param trigger_failures: how often in a row the triggerer gave this wait back without an answer of MPS.
    :param ignores_lists: a list has expedited this wait once; if the task was not finished then, lists are wrong.
    """

    mps_task_id: str
    started: float = 0.0
    own_started: float = 0.0
    created: float | None = None
    answered: float = 0.0
    failing_since: float | None = None
    found: bool = False
    unsettled_since: float | None = None
    trigger_failures: int = 0
    ignores_lists: bool = False

    @property
    def accepts_hints(self) -> bool:
        """Whether a list that names the task tells anything new."""
        return not self.ignores_lists and self.unsettled_since is None

    @property
    def began(self) -> float:
        """When the wait began, as well as is known; 0 before its first poll."""
        return self.started or self.own_started

    def seconds_left(self, policy: WaitPolicy, now: float) -> float | None:
        """Seconds until the deadline; None without one, and before the first poll."""
        return self.began + policy.timeout - now if policy.timeout is not None and self.began else None

    @classmethod
    def from_dict(cls, mps_task_id: str, stored: object) -> WaitState:
        """The state of this task in what :meth:`to_dict` gave, whatever that is: an event, a row, another task's."""
        return cls(mps_task_id).merge_stored(stored)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def merge_stored(self, stored: object) -> WaitState:
        """This state with what was stored; values that make no sense are left out."""
        if not isinstance(stored, Mapping) or stored.get("mps_task_id") != self.mps_task_id:
            return self
        values = {name: stored[name] for name, kinds in _TYPES.items() if type(stored.get(name, ...)) in kinds}
        return replace(self, **values)

    def failing(self, now: float) -> float:
        """Take note that there is no usable answer; returns for how many seconds there has been none."""
        if self.failing_since is None:
            self.failing_since = now
        return now - self.failing_since


_SECONDS = (float, int)
_TYPES: dict[str, tuple[type, ...]] = {
    "started": _SECONDS,
    "own_started": _SECONDS,
    "created": (*_SECONDS, NoneType),
    "answered": _SECONDS,
    "failing_since": (*_SECONDS, NoneType),
    "found": (bool,),
    "unsettled_since": (*_SECONDS, NoneType),
    "trigger_failures": (int,),
    "ignores_lists": (bool,),
}


def next_poll_delay(age: float, poll_interval: float, settings: PollerSettings | None = None) -> float:
    """
    Seconds until the next poll of a task, for workers and triggers alike.

    A tenth of its age, so that the end of a short job is noticed soon and a long one is not polled all the time; with
    jitter, so that waits that began together do not stay together.

    :param age: seconds since the wait began.
    :param poll_interval: longest pause; also the pause of a young task, if it is shorter than 5 seconds.
    """
    settings = settings or PollerSettings()
    seconds = min(poll_interval, max(age / settings.polls_per_age, settings.young_poll_delay))
    return max(seconds * random.uniform(1 - settings.jitter, 1 + settings.jitter), settings.min_poll_delay)


def evaluate(
    policy: WaitPolicy, state: WaitState, outcome: StateT | MpsError, now: float, *, is_mps_time: bool = True
) -> StateT | None:
    """
    Decide what one poll means for a wait, and take note of it in ``state``.

    :param outcome: what MPS answered, or the error. A state that is not a whole detail cannot tell whether a finished
        task lacks results: if it did at the last whole answer, it is taken to lack them until the grace is over.
    :param now: by MPS's clock.
    :param is_mps_time: False if no answer has told MPS's time yet, so that ``now`` is by this machine's clock.
    :return: the state of a task that ended (in success or not); None to go on waiting.
    :raises MpsError: the wait is over: a permanent error as it is, or
        :class:`MpsStateUnknown`, :class:`MpsTaskNotFound`, :class:`MpsTaskUnsettled`.
    """
    _take_time(state, now, is_mps_time=is_mps_time)
    if isinstance(outcome, TaskState):
        return _evaluate_state(policy, state, outcome, now)
    if _means_not_found(outcome):
        _evaluate_not_found(policy, state, outcome, now)
        return None
    limits = Limits(seconds=policy.outage_tolerance)
    if decide(outcome, Purpose.POLL, elapsed=state.failing(now), limits=limits).retries:
        return None
    if is_final(outcome):
        raise outcome
    raise MpsStateUnknown(
        f"is in an unknown state: no usable answer for {_minutes(now - (state.answered or state.began))}. "
        f"It may still run, or be done. Last error: {outcome}",
        mps_task_id=state.mps_task_id,
    ) from outcome


def _take_time(state: WaitState, now: float, *, is_mps_time: bool) -> None:
    """Times by a machine's own clock count until MPS's time is known; the wait then begins anew, never ends early."""
    if not is_mps_time:
        if not state.own_started:
            state.own_started, state.failing_since = now, None
        return
    if state.own_started:
        state.own_started, state.failing_since = 0.0, None
    state.started = state.started or now


def _means_not_found(error: MpsError) -> bool:
    """MPS has no one code for it; an error of the same kind from STS is about a role, not about the task."""
    return isinstance(error, MpsApiError) and error.action.startswith("Describe") and is_not_found(error)


def _evaluate_state(policy: WaitPolicy, state: WaitState, polled: StateT, now: float) -> StateT | None:
    state.found = True
    if polled.create_time is not None:
        state.created = polled.create_time.timestamp()
    if not polled.is_known:
        if state.failing(now) < policy.outage_tolerance:
            return None
        raise MpsTaskUnsettled(
            f"has had the undocumented status {polled.status!r:.40} for {_minutes(state.failing(now))}",
            mps_task_id=state.mps_task_id,
            findings=(),
        )
    state.answered, state.failing_since = now, None
    if not polled.is_finished:
        state.unsettled_since = None
        return None
    if polled.unsettled if isinstance(polled, TaskDetail) else state.unsettled_since is not None:
        state.unsettled_since = state.unsettled_since or now
        if now - state.unsettled_since < policy.settle_grace:
            return None
    return polled


def _evaluate_not_found(policy: WaitPolicy, state: WaitState, error: MpsError, now: float) -> None:
    state.answered, state.failing_since = now, None
    if state.found:
        reason = "is no longer known to MPS, although it was before. Its result can no longer be asked for"
    elif now - state.started < policy.not_found_grace:
        state.trigger_failures = 0  # a worker would get the same answer
        return
    else:
        reason = (
            "is not known to MPS: the id has expired, is wrong, belongs to another account or API endpoint, or to "
            "a task of ProcessImage (which needs describe_action='DescribeImageTaskDetail')"
        )
    raise MpsTaskNotFound(f"{reason}. {QUERY_WINDOW}. {error}", mps_task_id=state.mps_task_id) from error


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
