"""What the local MPS holds, as values: accounts, roles, settings, tasks, calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from airflow_provider_mps.emulator.scenarios import Scenario, inputs_of, location, scenario_of

_DAY = 86_400
ROLE_ARN = "qcs::cam::uin/100000000001:roleName/emulator"


@dataclass(frozen=True)
class Account:
    """
    Keys that the emulator accepts; keys with a token are temporary.

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
    :param external_id: the ExternalId that they must send.
    :param web_identity: the provider and the token that may assume it.
    :param max_seconds: the longest lifetime of its keys.
    """

    trusts: frozenset[str] | None = None
    external_id: str | None = None
    web_identity: tuple[str, str] | None = None
    max_seconds: int = 43_200


@dataclass
class Settings:
    """
    How the local MPS behaves.

    :param state_polls: a task leaves WAITING and PROCESSING after this many polls each; with 0 it has ended at once.
    :param state_seconds: if set, after this many seconds each instead.
    :param list_window: the time that StartTime and EndTime of DescribeTasks filter; MPS does not document it.
    :param segment_count: sentences in a subtitle.
    :param rates: requests per second by action. The default is the documented rate; 0 means no limit.
    :param window_seconds: how long after its creation a task can be queried.
    :param session_seconds: how long a SessionId is remembered (documented as 3 and as 7 days).
    :param roles: the roles that STS knows, by RoleArn.
    :param instance_role: the role of the CVM instance of the metadata service.
    :param key_seconds: if set, the lifetime of issued keys, whatever the request says.
    :param next_task_ids: the TaskIds of the next tasks. Later ids are random, in a documented form.
    """

    state_polls: int = 1
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
    A task and its states: WAITING, PROCESSING, FINISH. A scripted task answers its ``answers`` in turn.

    :param describe: the action that returns it.
    :param kind: its ``TaskType`` in answers; that of an image task is WorkflowTask.
    :param answers: contents of ``Response``; the last one is repeated.
    :param state_seconds: overrides that of the settings.
    :param polls_of_end: the polls that returned FINISH.
    """

    task_id: str
    describe: str
    created: float
    kind: str = "WorkflowTask"
    request: Mapping[str, Any] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    state_seconds: float | None = None
    polls: int = 0
    polls_of_end: int = 0
    aborted: bool = False
    finished: float | None = None

    @property
    def is_live(self) -> bool:
        return self.kind.startswith("Live")

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario of the first input that does not simply succeed."""
        scenarios = [scenario_of(info) for info in inputs_of(self.request)]
        return next((each for each in scenarios if each is not Scenario.SUCCESS), Scenario.SUCCESS)

    @property
    def title(self) -> str:
        """Its inputs, for display."""
        return ", ".join(location(info) for info in inputs_of(self.request)) or "scripted answers"

    def status(self, settings: Settings, now: float) -> str:
        """Return its state, which follows from its polls or, if the settings say so, from its age."""
        if self.answers:
            index = min(self.polls, len(self.answers)) - 1
            return str(self.answers[max(index, 0)].get("Status", ""))
        if self.aborted:
            return "FINISH"  # an assumption: no status for aborted tasks is documented
        seconds = self._seconds(settings)
        if seconds is not None:
            stage = int((now - self.created) / seconds) if seconds else 2
        else:
            stage = (self.polls - 1) // settings.state_polls if settings.state_polls else 2
        last = {Scenario.QUEUED: 0, Scenario.STUCK: 1}.get(self.scenario, 2)
        return ("WAITING", "PROCESSING", "FINISH")[max(0, min(stage, last))]

    def end(self, settings: Settings, now: float) -> float:
        """Return when a task in FINISH ended: by its age, or at the poll that first returned FINISH."""
        if self.finished is None:
            seconds = self._seconds(settings)
            self.finished = now if seconds is None else min(self.created + 2 * seconds, now)
        return self.finished

    def _seconds(self, settings: Settings) -> float | None:
        return settings.state_seconds if self.state_seconds is None else self.state_seconds


@dataclass(frozen=True)
class Call:
    """One request that reached the server; ``code`` is "" if it was answered without an error."""

    time: float
    action: str
    code: str
