"""What the local MPS holds: accounts, settings, jobs, calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_mps.emulator.outcomes import Outcome, inputs_of, location, outcome_of

_DAY = 86_400


@dataclass(frozen=True)
class Account:
    """Keys that the emulator accepts; with a token they count as temporary credentials."""

    secret_key: str
    token: str | None = None


@dataclass
class Settings:
    """
    How the local MPS behaves.

    :param state_looks: a job leaves WAITING and PROCESSING after this many looks each.
    :param state_seconds: if set, after this many seconds each instead.
    :param segment_count: sentences in a subtitle.
    :param rates: requests per second and action; without an entry the documented rate holds, 0 switches it off.
    :param window_seconds: how long after its creation a job can be asked for.
    :param session_seconds: how long a SessionId is remembered (documented as 3 and as 7 days).
    """

    state_looks: int = 1
    state_seconds: float | None = None
    segment_count: int = 120
    rates: dict[str, float] = field(default_factory=dict)
    window_seconds: float = 7 * _DAY
    session_seconds: float = 3 * _DAY


@dataclass
class Task:
    """
    A job. A scripted one answers its ``answers`` in turn, the last for ever.

    :param describe: the action that tells its state.
    :param kind: its ``TaskType`` in answers; that of an image task is WorkflowTask.
    """

    task_id: str
    describe: str
    created: float
    kind: str = "WorkflowTask"
    request: Mapping[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    late_looks: int = 0
    aborted: bool = False
    finished: float | None = None

    @property
    def is_live(self) -> bool:
        return self.kind.startswith("Live")

    @property
    def outcome(self) -> Outcome:
        """The outcome of the first input that does not simply succeed."""
        outcomes = [outcome_of(info) for info in inputs_of(self.request)]
        return next((outcome for outcome in outcomes if outcome is not Outcome.SUCCESS), Outcome.SUCCESS)

    @property
    def title(self) -> str:
        """What it works on, for people."""
        return ", ".join(location(info) for info in inputs_of(self.request)) or "scripted answers"


@dataclass(frozen=True)
class Call:
    """One request that reached the server; ``code`` is "" when it was accepted."""

    time: float
    action: str
    code: str
