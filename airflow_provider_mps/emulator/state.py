"""What the local MPS holds: accounts, settings, jobs, calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from airflow_provider_mps.emulator.scenarios import Outcome, inputs_of, location, outcome_of

_DAY = 86_400
ROLE_ARN = "qcs::cam::uin/100000000001:roleName/emulator"


@dataclass(frozen=True)
class Account:
    """
    Keys that the emulator accepts; with a token they count as temporary credentials.

    :param expires_at: Unix seconds of the server's clock.
    """

    secret_key: str
    token: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Role:
    """
    A CAM role.

    :param trusts: the SecretIds that may assume it; None for all.
    :param external_id: what they have to name.
    :param web_identity: the provider and the token that may assume it.
    :param max_seconds: how long its keys may hold.
    """

    trusts: frozenset[str] | None = None
    external_id: str | None = None
    web_identity: tuple[str, str] | None = None
    max_seconds: int = 43_200


@dataclass
class Settings:
    """
    How the local MPS behaves.

    :param state_looks: a job leaves WAITING and PROCESSING after this many looks each; with 0 it has ended at once.
    :param state_seconds: if set, after this many seconds each instead.
    :param list_window: what StartTime and EndTime of DescribeTasks filter; MPS does not document it.
    :param segment_count: sentences in a subtitle.
    :param rates: requests per second and action; without an entry the documented rate holds, 0 switches it off.
    :param window_seconds: how long after its creation a job can be asked for.
    :param session_seconds: how long a SessionId is remembered (documented as 3 and as 7 days).
    :param roles: by their RoleArn, what STS knows.
    :param instance_role: the role of the CVM instance that the metadata service speaks for.
    :param key_seconds: if set, how long issued keys hold, whatever was asked for.
    :param next_task_ids: TaskIds of the next jobs, in their order; after them ids have a documented form.
    """

    state_looks: int = 1
    state_seconds: float | None = None
    list_window: Literal["creation", "end"] = "creation"
    segment_count: int = 120
    rates: dict[str, float] = field(default_factory=dict)
    window_seconds: float = 7 * _DAY
    session_seconds: float = 3 * _DAY
    roles: dict[str, Role] = field(default_factory=lambda: {ROLE_ARN: Role()})
    instance_role: str | None = "emulator"
    key_seconds: float | None = None
    next_task_ids: list[str] = field(default_factory=list)


@dataclass
class Task:
    """
    A job. A scripted one answers its ``answers`` in turn, the last for ever.

    :param describe: the action that tells its state.
    :param kind: its ``TaskType`` in answers; that of an image task is WorkflowTask.
    :param state_seconds: overrides that of the settings.
    """

    task_id: str
    describe: str
    created: float
    kind: str = "WorkflowTask"
    request: Mapping[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    state_seconds: float | None = None
    looks: int = 0
    late_looks: int = 0
    aborted: bool = False
    finished: float | None = None

    @property
    def is_live(self) -> bool:
        return self.kind.startswith("Live")

    @cached_property
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
