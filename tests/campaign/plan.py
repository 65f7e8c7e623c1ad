"""What will happen to one task, drawn from a seed before it begins. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from airflow_provider_mps.emulator.scenarios import Scenario

# Two jobs that fail, two workers that die, and an outage or two on a slow machine in between.
RETRIES = 8
TIMEOUT = 2.5
LONG = 90.0


class Kind(StrEnum):
    """What the task is."""

    PROCESS = "ProcessMedia"
    EDIT = "EditMedia"
    BATCH = "BatchProcessMedia"
    IMAGE = "ProcessImage"
    LIVE = "ProcessLiveStream"
    SENSOR = "sensor"


NO_SESSION = (Kind.BATCH, Kind.IMAGE)
ENDLESS = (Scenario.QUEUED, Scenario.STUCK)
UNSETTLED = (Scenario.EMPTY_RESULT, Scenario.UNSETTLED)
SUCCESSFUL = (Scenario.SUCCESS, Scenario.LATE_RESULT)
FAILED = (Scenario.ALL_FAIL, Scenario.SOURCE_ERROR, Scenario.PARTIAL_FAILURE, Scenario.LANGUAGE_ERROR)
_ENDINGS = (*[Scenario.SUCCESS] * 7, Scenario.LATE_RESULT, *UNSETTLED, Scenario.QUEUED, *ENDLESS)


class Point(StrEnum):
    """Where a worker process can be struck."""

    BEFORE_SENDING = "before sending"
    BEFORE_STORING = "after acceptance, before storing"
    BEFORE_PUSHING = "after storing, before pushing"
    BEFORE_WAITING = "after pushing, before the wait"
    BEFORE_A_LOOK = "before a look"
    AFTER_A_LOOK = "after a look"


class Blow(StrEnum):
    """What strikes a task. The last three are a user's."""

    SIGKILL = "worker: SIGKILL"
    EVICTION = "worker: SIGTERM, nobody asked for it"
    AIRFLOW_AWAY = "worker: SIGTERM, Airflow does not answer"
    RESTART = "triggerer: SIGTERM and restart"
    FAILOVER = "triggerer: its triggers move, and it wakes again"
    CRASH = "trigger: crashed"
    STRANGE_EVENT = "trigger: strange event"
    MARK_FAILED = "user: mark failed"
    MARK_SUCCESS = "user: mark success"
    CLEAR = "user: Clear"


WORKER_BLOWS = (Blow.SIGKILL, Blow.SIGKILL, Blow.EVICTION, Blow.AIRFLOW_AWAY)
TRIGGER_BLOWS = (Blow.RESTART, Blow.RESTART, Blow.FAILOVER, Blow.CRASH, Blow.STRANGE_EVENT)
USER_BLOWS = (Blow.MARK_FAILED, Blow.MARK_SUCCESS, Blow.CLEAR)


@dataclass(frozen=True)
class Strike:
    """
    One blow on a worker.

    :param skip: how often the point is passed unharmed before.
    """

    blow: Blow
    point: Point
    skip: int = 0


@dataclass(frozen=True)
class Plan:
    """
    One task and its fate.

    :param store: whether Airflow has a task state store (3.3) or not (3.2).
    :param ending: what becomes of its job.
    :param fails: how the jobs fail that it has before.
    :param strikes: on its workers, one in a try.
    :param trigger_blows: on its triggers, one in a deferral.
    :param late: Airflow answers on_kill as if nothing had happened (the cleared task is deferred again already).
    """

    number: int
    kind: Kind
    mode: str
    store: bool
    ending: Scenario
    fails: tuple[Scenario, ...]
    strikes: tuple[Strike, ...]
    trigger_blows: tuple[Blow, ...]
    late: bool

    @property
    def name(self) -> str:
        """Unique within a campaign of one seed, and findable in a request."""
        return f"plan-{self.number:05d}"

    @property
    def timeout(self) -> float:
        """Seconds: short where only a deadline can end the wait."""
        return TIMEOUT if self.ending in ENDLESS else LONG

    @property
    def settle_grace(self) -> float:
        """Seconds: short where nothing can come any more."""
        return 0.5 if self.ending in UNSETTLED else 3.0

    @property
    def blows(self) -> tuple[Blow, ...]:
        """All that is going to strike it."""
        return (*(strike.blow for strike in self.strikes), *self.trigger_blows)

    def __str__(self) -> str:
        store = "with" if self.store else "without"
        strikes = [f"{strike.blow} {strike.point} (+{strike.skip})" for strike in self.strikes]
        fails = "".join(f"{outcome}, then " for outcome in self.fails)
        what = f"{self.name}: {self.kind} {self.mode}, {store} state store, jobs: {fails}{self.ending}"
        return f"{what}; {'; '.join([*strikes, *self.trigger_blows]) or 'left in peace'}{'; late' * self.late}"


def draw(seed: int, count: int) -> Iterator[Plan]:
    """The plans of a seed: the same ones for ever."""
    random = Random(seed)
    for number in range(count):
        yield _draw(random, number)


def _draw(random: Random, number: int) -> Plan:
    kind = random.choice([Kind.PROCESS] * 3 + [Kind.SENSOR] * 2 + [Kind.EDIT, Kind.BATCH, Kind.IMAGE, Kind.LIVE])
    modes = ["poke", "reschedule", "deferrable"] if kind is Kind.SENSOR else ["sync", "deferrable", "deferrable"]
    strikes = [_strike(random, random.choice(WORKER_BLOWS)) for _ in range(random.choice([0, 0, 1, 1, 2]))]
    mode = random.choice(modes)
    triggers = [random.choice(TRIGGER_BLOWS) for _ in range(random.choice([0, 0, 1, 2]))] if "def" in mode else []
    ending, fails = _outcomes(random, kind)
    if random.random() < 0.2 and kind is not Kind.SENSOR:
        blow = random.choice(USER_BLOWS)
        if mode == "deferrable" and random.random() < 0.7:
            triggers.append(blow)
        else:
            strikes.append(_strike(random, blow))
    return Plan(
        number,
        kind,
        mode,
        store=random.random() < 0.7,
        ending=ending,
        fails=fails,
        strikes=tuple(strikes),
        trigger_blows=tuple(triggers),
        late=random.random() < 0.3,
    )


def _outcomes(random: Random, kind: Kind) -> tuple[Scenario, tuple[Scenario, ...]]:
    ending = random.choice(_ENDINGS)
    if ending is Scenario.EMPTY_RESULT and kind in {Kind.IMAGE, Kind.LIVE}:
        ending = Scenario.UNSETTLED  # without any result is how a picture described and a stream unrecorded succeed
    if ending not in SUCCESSFUL:
        return ending, ()
    has_languages = kind in {Kind.PROCESS, Kind.BATCH, Kind.SENSOR}
    failed = FAILED if has_languages else tuple(each for each in FAILED if each is not Scenario.LANGUAGE_ERROR)
    return ending, tuple(random.choice(failed) for _ in range(random.choice([0, 0, 1, 2])))


def _strike(random: Random, blow: Blow) -> Strike:
    return Strike(blow, random.choice(list(Point)), skip=random.choice([0, 0, 1]))
