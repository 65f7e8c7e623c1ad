"""One task from its first try to its end: what Airflow would do with it, and what strikes it on the way."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_mps.errors import MpsConfigError, MpsError
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.campaign.plan import HARMLESS, RETRIES, USER_BLOWS, Blow, Kind, Plan, Point, Strike
from tests.campaign.world import AirflowStates, Deferral, Jobs, Triggerer, WorkerClocks
from tests.support.harness import Crash, DagRun, StateStore, TaskInstance, as_json, clear, retry
from tests.support.submitting import KINDS, batch, edit, media, orchestrated_stream, picture, process

CANARY = "canary-notify-5cfa3e"
POLL = 0.05
RETRY_DELAY = 0.6  # as in Airflow, where it is minutes, longer than a bad spell of the network
_STRANGE = (None, {}, {"status": "done"}, {"status": "resume"}, {"mps_task_id": 7, "state": "lost"})
_MOVED_ON = ("scheduled", "queued", "running", "up_for_retry")  # where a task is after its trigger's event
_BEFORE = {
    "sending": Point.BEFORE_SENDING,
    "accepted": Point.BEFORE_STORING,
    "ended": Point.BEFORE_ENDING,
}
_OPERATORS = {kind.action_name: kind for kind in KINDS}
_NOTIFY = {"TaskNotifyConfig": {"NotifyType": "URL", "NotifyKey": CANARY}}
_TRANSCODE_TWICE = {"TranscodeTaskSet": [{"Definition": 100010}, {"Definition": 100030}]}
_TRANSLATE = {"RawParameter": {"TranslateSwitch": "ON"}}


def request_of(plan: Plan, ending: str = "mp4") -> dict[str, Any]:
    """With a secret where one has a place, and several parts where there can be, so that one fails among others."""
    name = f"{plan.name}.{ending}"
    process_request = process(name, MediaProcessTask=_TRANSCODE_TWICE, SmartSubtitlesTask=_TRANSLATE, **_NOTIFY)
    return {
        Kind.PROCESS: process_request,
        Kind.SENSOR: process_request,
        Kind.EDIT: edit(name, **_NOTIFY),
        Kind.BATCH: batch(name, InputInfo=[media(name), media(name)], SmartSubtitlesTask=_TRANSLATE, **_NOTIFY),
        Kind.IMAGE: picture(name),
        Kind.LIVE: orchestrated_stream(name, **_NOTIFY),
    }[plan.kind]


class UserActed(BaseException):
    """A user has ended this try."""

    def __init__(self, blow: Blow) -> None:
        super().__init__(blow)
        self.blow = blow


@dataclass
class Ended:
    """
    How a task ended.

    :param state: ``success``, ``failed``, or what a user made of it.
    :param began: when the time of its deadline began to run, at the earliest.
    :param tries_left: how often Airflow would have tried it again.
    :param seen: everything that left the process and that a person or a table may hold.
    """

    state: str
    value: Any
    error: BaseException | None
    at: float
    began: float
    tries_left: int
    user_acted: tuple[Blow, ...]
    seen: list[str] = field(default_factory=list)


class _Store(StateStore):
    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if key == "mps_job" and (point := _BEFORE.get(value["state"])):
            self._life.passes(point)
        super().set(key, value, retention=retention)


class _TaskInstance(TaskInstance):
    def __init__(self, life: Life, **names: Any) -> None:
        super().__init__(**names)
        self._life = life

    def xcom_push(self, key: str, value: Any) -> None:
        if key == "mps_task_id":
            self._life.passes(Point.BEFORE_PUSHING)
        super().xcom_push(key, value)
        if key == "region":
            self._life.passes(Point.BEFORE_WAITING)


class Life:
    """
    Runs one plan to its end. Every start is a new operator; what crosses from one to the next crosses as JSON.

    :param mps_task_id: of the job that a sensor waits for.
    :ivar may_be_aborted: the jobs that there were at a user's actions.
    :ivar left_alone: jobs that nobody can be expected to abort: their record is gone.
    :ivar is_record_missing: since the last Clear.
    :ivar history: what happened, for people; ``born`` is when it began.
    :ivar foreign: errors of tries and triggers that are nobody's plan; what came later may have hidden them.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: Jobs,
        triggerer: Triggerer,
        airflow: AirflowStates,
        clocks: WorkerClocks,
        mps_task_id: str | None = None,
    ) -> None:
        self.plan = plan
        self.jobs = jobs
        self.triggerer = triggerer
        self.airflow = airflow
        self.clocks = clocks
        self.mps_task_id = mps_task_id
        self.landed: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.may_be_aborted: set[str] = set()
        self.is_record_missing = False
        self.left_alone: set[str] = set()
        self.foreign: list[str] = []
        self.history: list[str] = []
        self.born = time.time()
        self._random = Random(plan.number)
        self._strikes = list(plan.strikes)
        self._trigger_blows = list(plan.trigger_blows)
        self._between = list(plan.between)
        self._retries = RETRIES
        self._now: Strike | None = None
        self._passed = 0
        self._began: float | None = None
        self._user_acted: list[Blow] = []
        self._seen: list[str] = []
        ti = _TaskInstance(self, run_id=plan.name, max_tries=RETRIES)
        self.context: dict[str, Any] = {"ti": ti, "dag_run": DagRun(), "task_state_store": _Store(self)}
        self._operator: Any = None
        self._starts = 0

    def _note(self, what: object) -> None:
        self.history.append(f"{self.clocks.right() - self.born:6.2f} s  try {self.context['ti'].try_number}: {what}")

    def run(self) -> Ended:
        """All tries."""
        ti = self.context["ti"]
        while True:
            self._now, self._passed = (self._strikes.pop(0) if self._strikes else None), 0
            self.airflow.of_run[self.plan.name] = "running"
            if self._began is None or self.plan.kind is Kind.SENSOR:  # a job's deadline outlives the tries
                self._began = time.time()
            try:
                return self._end("success", value=self._try())
            except UserActed as acted:
                self._user_acted.append(acted.blow)
                if acted.blow is not Blow.CLEAR:
                    return self._end(acted.blow.value)
                self._meanwhile()
                clear(self.context, self._retries)
                self.jobs.clears[self.plan.name] += 1
                self._began, self.is_record_missing = None, False
                continue
            except Crash as crash:
                error: BaseException = crash
            except (AirflowFailException, AirflowSensorTimeout, AirflowSkipException) as final:
                return self._end("failed", error=final)
            except Exception as failed:  # noqa: BLE001 - whatever an operator raises is a failed try to Airflow
                self._seen.append(f"{type(failed).__name__}: {failed}")
                self._note(self._seen[-1])
                if not isinstance(failed, (MpsError, AirflowException)):
                    self.foreign.append(repr(failed))
                error = failed
            if ti.try_number > ti.max_tries:
                return self._end("failed", error=error)
            self._meanwhile()
            retry(self.context)
            time.sleep(RETRY_DELAY)

    def _meanwhile(self) -> None:
        """What happens between two tries."""
        self.landed.update(self._between)
        self._note(", ".join(self._between) or "ends")
        for blow in self._between:
            if blow is Blow.CLEANED:
                self._seen.append(str(self.context["task_state_store"].values()))
                self.context["task_state_store"] = _Store(self)
                self.is_record_missing = True
                self.left_alone.update(self.jobs.of_plan[self.plan.name])
            elif blow is Blow.EDITED:
                self._retries += self._random.choice([-1, 1])
            else:
                self.context["dag_run"].start_date += timedelta(hours=5)
        self._between = []

    def _end(self, state: str, *, value: Any = None, error: BaseException | None = None) -> Ended:
        ti = self.context["ti"]
        self._note(f"the task ends: {state} {value or ''} {error or ''}")
        self._seen += [str(error), str(ti.xcoms), str(self.context["task_state_store"].values())]
        now, left = time.time(), max(ti.max_tries + 1 - ti.try_number, 0)
        return Ended(state, value, error, now, self._began or now, left, tuple(self._user_acted), self._seen)

    # One try.

    def _try(self) -> Any:
        resume: tuple[str, dict[str, Any]] | None = None
        while True:
            try:
                return self._start(resume)
            except TaskDeferred as deferred:
                resume = self._deferred(deferred)
            except AirflowRescheduleException:
                ti = self.context["ti"]
                if ti.first_reschedule is None:
                    ti.first_reschedule = ti.start_date.now(ti.start_date.tzinfo)
                    self._began = ti.first_reschedule.timestamp()  # where Airflow counts from, once it has rescheduled
                time.sleep(POLL)

    def _start(self, resume: tuple[str, dict[str, Any]] | None) -> Any:
        """One worker process."""
        clocks = self.plan.clocks
        minutes = clocks[self._starts % len(clocks)]
        self._starts += 1
        self.landed.update([Blow.CLOCK] if minutes else [])
        self._note(f"a worker starts, its clock is {minutes} minutes ahead" if minutes else "a worker starts")
        operator = self._operator = self._new()
        self.airflow.of_run[self.plan.name] = "running"
        with self.clocks.process(60.0 * minutes):
            if resume is None:
                value = operator.execute(self.context)
            else:
                value = operator.resume_execution(*resume, self.context)
            self.passes(Point.AFTER_THE_END)
            return value

    def _new(self) -> Any:
        plan = self.plan
        common: dict[str, Any] = {"task_id": "a_task", "retries": self._retries}
        common["deferrable"] = plan.mode == "deferrable"
        common |= {"timeout": plan.timeout, "settle_grace": plan.settle_grace}
        common |= {"not_found_grace": 3, "outage_tolerance": 60}
        operator: Any
        if plan.kind is Kind.SENSOR:
            mode = "reschedule" if plan.mode == "reschedule" else "poke"
            operator = MpsTaskSensor(mps_task_id=str(self.mps_task_id), mode=mode, poke_interval=POLL, **common)
        else:
            operator = _OPERATORS[plan.kind.value](request=request_of(plan), poll_interval=POLL, **common)
        self._strike_at_looks(operator)
        return operator

    def _strike_at_looks(self, operator: Any) -> None:
        new_wait = operator._new_wait

        def watched(*arguments: Any) -> Any:
            wait = new_wait(*arguments)
            poll = wait.poll

            def struck() -> Any:
                self.passes(Point.BEFORE_A_LOOK)
                seen = poll()
                self.passes(Point.AFTER_A_LOOK)
                return seen

            wait.poll = struck
            return wait

        operator._new_wait = watched

    def passes(self, point: Point) -> None:
        """The worker is here; this is where it is struck, if it is."""
        strike = self._now
        if strike is None or strike.point is not point:
            return
        self._passed += 1
        if self._passed <= strike.skip:
            return
        if strike.blow is Blow.ABORTED and not self._abort_elsewhere():
            return  # it lands where the job can be aborted
        self._now = None
        self.landed[strike.blow] += 1
        self.places[point] += 1
        self._note(f"{strike.blow} {point}")
        if strike.blow in HARMLESS:
            if strike.blow is Blow.NESTED:
                self._submit_another()
            return
        says = {Blow.SIGKILL: None, Blow.EVICTION: "running", Blow.AIRFLOW_AWAY: AirflowStates.AWAY}
        if strike.blow in USER_BLOWS:
            self._user_acts(strike.blow)
            self._operator.on_kill()
            raise UserActed(strike.blow)
        if (state := says[strike.blow]) is not None:
            self.airflow.of_run[self.plan.name] = state
            self._operator.on_kill()
        raise Crash

    def _submit_another(self) -> None:
        """As a DAG's author does who calls an operator in a loop."""
        another = type(self._operator)(task_id="a_task", request=request_of(self.plan, "another.mp4"))
        try:
            value = another.execute(self.context)
        except MpsConfigError as error:
            if "One task instance submits one job" in str(error):
                return
            value = error
        self.foreign.append(f"a second submission in one try ended in {value!r}")

    def _abort_elsewhere(self) -> bool:
        with self.clocks.outside():
            jobs = self.jobs.of_plan[self.plan.name]
            return bool(jobs) and self.jobs.abort_elsewhere(jobs[-1])

    def _user_acts(self, blow: Blow, *, deferred: bool = False) -> None:
        self.may_be_aborted.update(self.jobs.of_plan[self.plan.name])
        cleared = "scheduled" if deferred else "restarting"
        if self.plan.late and deferred:
            cleared = "deferred"
        states = {Blow.MARK_FAILED: "failed", Blow.MARK_SUCCESS: "success", Blow.CLEAR: cleared}
        self.airflow.of_run[self.plan.name] = states[blow]

    # In the triggerer.

    def _deferred(self, deferred: TaskDeferred) -> tuple[str, dict[str, Any]]:
        self.airflow.of_run[self.plan.name] = "deferred"
        self._seen.append(str(deferred.trigger.serialize()))
        blow = self._trigger_blows.pop(0) if self._trigger_blows else None
        is_late = blow is Blow.LATE_FAILOVER
        deferral = self.triggerer.start(deferred.trigger, self.context["ti"], frozen=is_late)
        if blow is not None and self.triggerer.events(deferral, self._random.uniform(0.0, 0.2)) is None:
            landed = blow is not Blow.ABORTED or self._abort_elsewhere()
            self.landed[blow] += landed
            self._note(blow if landed else f"{blow}: too late")
            if blow is Blow.CRASH:
                self.triggerer.stop(deferral, by_user=False)
                return "__fail__", {"error": "Trigger failure", "traceback": None}
            deferral = self._struck(blow, deferred, deferral)
        events = self.triggerer.events(deferral, self.plan.timeout + 30)
        if events is None or len(events) != 1:
            raise AssertionError(f"The trigger sent {events} instead of one event.")
        self._seen.append(str(events))
        self._note(f"the trigger says {events[0]['status']}: {events[0]['message']}")
        if events[0]["status"] == "fault" and not events[0]["message"].startswith("Mps"):
            self.foreign.append(f"in the triggerer: {events[0]['message']}")
        event = self._random.choice(_STRANGE) if blow is Blow.STRANGE_EVENT else events[0]
        return deferred.method_name, as_json({**deferred.kwargs, "event": event})

    def _struck(self, blow: Blow, deferred: TaskDeferred, deferral: Deferral) -> Deferral:
        if blow in USER_BLOWS:
            self._user_acts(blow, deferred=True)
            self.triggerer.stop(deferral, by_user=True)
            raise UserActed(blow)
        if blow is Blow.RESTART:
            self.triggerer.stop(deferral, by_user=False)
            return self.triggerer.start(deferred.trigger, self.context["ti"])
        if blow in {Blow.FAILOVER, Blow.LATE_FAILOVER}:
            taken_over = self.triggerer.start(deferred.trigger, self.context["ti"])
            if blow is Blow.LATE_FAILOVER:
                self.triggerer.events(taken_over, self.plan.timeout + 30)
                self.airflow.of_run[self.plan.name] = self._random.choice(_MOVED_ON)
            self.triggerer.stop(deferral, by_user=True)
            return taken_over
        return deferral
