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

    BEFORE_SENDING = "before sending"  # the record is saved before the request
    BEFORE_STORING = "after acceptance, before storing"
    BEFORE_PUSHING = "after storing, before pushing"
    BEFORE_WAITING = "after pushing, before the wait"
    BEFORE_A_POLL = "before a poll"
    AFTER_A_POLL = "after a poll"
    BEFORE_ENDING = "before the end is stored"
    AFTER_THE_END = "after the end, before Airflow knows"


class Blow(StrEnum):
    """What strikes a task. The last three are a user's, who ends it."""

    SIGKILL = "worker: SIGKILL"
    EVICTION = "worker: SIGTERM, nobody asked for it"
    AIRFLOW_AWAY = "worker: SIGTERM, Airflow does not answer"
    CLOCK = "worker: its clock is wrong"
    NESTED = "worker: a second submission in the same try"
    CLEANED = "between tries: state store cleaned"
    EDITED = "between tries: `retries` edited"
    QUEUED_AGAIN = "between tries: run queued again"
    ABORTED = "job: aborted by somebody else"
    RESTART = "triggerer: SIGTERM and restart"
    FAILOVER = "triggerer: its triggers move, and it wakes again"
    LATE_FAILOVER = "triggerer: its triggers move and fire, and it wakes again"
    CRASH = "trigger: crashed"
    STRANGE_EVENT = "trigger: strange event"
    MARK_FAILED = "user: mark failed"
    MARK_SUCCESS = "user: mark success"
    CLEAR = "user: Clear"


_WHILE_A_JOB_RUNS = (Point.BEFORE_PUSHING, Point.BEFORE_WAITING, Point.BEFORE_A_POLL, Point.AFTER_A_POLL)
_CLOCKS = (0, 4, -4, 60, -60)  # minutes
WORKER_BLOWS = (Blow.SIGKILL, Blow.SIGKILL, Blow.EVICTION, Blow.AIRFLOW_AWAY)
TRIGGER_BLOWS = (Blow.RESTART, Blow.FAILOVER, Blow.LATE_FAILOVER, Blow.CRASH, Blow.STRANGE_EVENT)
HARMLESS = (Blow.NESTED, Blow.ABORTED)  # the worker lives on
BETWEEN = (Blow.CLEANED, Blow.EDITED, Blow.QUEUED_AGAIN)
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

    :param ending: what becomes of its job.
    :param fails: how the jobs fail that it has before.
    :param strikes: on its workers, one in a try.
    :param trigger_blows: on its triggers, one in a deferral.
    :param between: what happens between two tries, all at once after the first of them.
    :param clocks: minutes by which the clocks of its workers are ahead, one after the other.
    :param late: Airflow answers on_kill as if nothing had happened (the cleared task is deferred again already).
    """

    number: int
    kind: Kind
    mode: str
    ending: Scenario
    fails: tuple[Scenario, ...]
    strikes: tuple[Strike, ...]
    trigger_blows: tuple[Blow, ...]
    between: tuple[Blow, ...]
    clocks: tuple[int, ...]
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
        return 0.5 if self.ending in UNSETTLED or Blow.ABORTED in self.blows else 3.0

    @property
    def blows(self) -> tuple[Blow, ...]:
        """All that is going to strike it."""
        clock = [Blow.CLOCK] if any(self.clocks) else []
        return (*(strike.blow for strike in self.strikes), *self.trigger_blows, *self.between, *clock)

    def __str__(self) -> str:
        blows = [f"{strike.blow} {strike.point} (+{strike.skip})" for strike in self.strikes]
        blows += [*self.trigger_blows, *self.between]
        if any(self.clocks):
            blows.append(f"clocks of workers ahead by {self.clocks} minutes")
        fails = "".join(f"{outcome}, then " for outcome in self.fails)
        what = f"{self.name}: {self.kind} {self.mode}, jobs: {fails}{self.ending}"
        return f"{what}; {'; '.join(blows) or 'left in peace'}{'; late' * self.late}"


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
    if kind is not Kind.SENSOR:
        if random.random() < 0.2:
            _add(random, random.choice(USER_BLOWS), mode, strikes, triggers)
        if random.random() < 0.1:
            strikes.insert(0, _strike(random, Blow.NESTED, _WHILE_A_JOB_RUNS))
    if ending is not Scenario.LATE_RESULT and kind not in {Kind.IMAGE, Kind.LIVE} and random.random() < 0.1:
        _add(random, Blow.ABORTED, mode, strikes, triggers)
    return Plan(
        number,
        kind,
        mode,
        ending=ending,
        fails=fails,
        strikes=tuple(strikes),
        trigger_blows=tuple(triggers),
        between=_between(random, strikes, triggers),
        clocks=tuple(random.choice(_CLOCKS) for _ in range(3)) if random.random() < 0.25 else (0,),
        late=random.random() < 0.3,
    )


def _add(random: Random, blow: Blow, mode: str, strikes: list[Strike], triggers: list[Blow]) -> None:
    """Where the task is most of the time."""
    if mode == "deferrable" and random.random() < 0.7:
        triggers.append(blow)
    else:
        strikes.append(_strike(random, blow, _WHILE_A_JOB_RUNS if blow is Blow.ABORTED else tuple(Point)))


def _between(random: Random, strikes: list[Strike], triggers: list[Blow]) -> tuple[Blow, ...]:
    if random.random() >= 0.4:
        return ()
    blows = tuple(blow for blow in BETWEEN if random.random() < 0.5)
    # What docs/guarantees.md excepts: an edited `retries` may look like a Clear after a success, or without a record.
    is_cleared = Blow.CLEAR in (*(strike.blow for strike in strikes), *triggers)
    has_succeeded = any(strike.point is Point.AFTER_THE_END for strike in strikes)
    is_excepted = has_succeeded or (is_cleared and Blow.CLEANED in blows)
    return tuple(blow for blow in blows if blow is not Blow.EDITED or not is_excepted)


def _outcomes(random: Random, kind: Kind) -> tuple[Scenario, tuple[Scenario, ...]]:
    ending = random.choice(_ENDINGS)
    if ending is Scenario.EMPTY_RESULT and kind in {Kind.IMAGE, Kind.LIVE}:
        ending = Scenario.UNSETTLED  # without any result is how a picture described and a stream unrecorded succeed
    if ending not in SUCCESSFUL:
        return ending, ()
    has_languages = kind in {Kind.PROCESS, Kind.BATCH, Kind.SENSOR}
    failed = FAILED if has_languages else tuple(each for each in FAILED if each is not Scenario.LANGUAGE_ERROR)
    return ending, tuple(random.choice(failed) for _ in range(random.choice([0, 0, 1, 2])))


def _strike(random: Random, blow: Blow, points: tuple[Point, ...] = tuple(Point)) -> Strike:
    return Strike(blow, random.choice(points), skip=random.choice([0, 0, 1]))
