"""Run the plans of a seed, then hold what happened against the promises."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from airflow.sdk.exceptions import AirflowSensorTimeout
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_mps.client import clock, rate_limiter, retry
from airflow_provider_mps.client.jobs import recovery
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.models import Settings, Task
from airflow_provider_mps.emulator.server import SECRET_KEY, LocalMps
from airflow_provider_mps.errors import MpsError, MpsSubmitUnknown, MpsTaskFailed, MpsTaskTimeout, MpsTaskUnsettled
from airflow_provider_mps.lifecycle.wait import TaskWait
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.campaign.life import CANARY, POLL, Ended, Life, request_of
from tests.campaign.plan import ENDLESS, NO_SESSION, UNSETTLED, USER_BLOWS, Kind, Plan, Point, draw
from tests.campaign.world import AirflowStates, Jobs, Triggerer, Weather, WorkerClocks

AT_ONCE = 12
_WORLD = 50  # tasks that share one MPS: the search for a lost job asks for all of them
_REQUEST_TIMEOUT = 1.0
# The last poll may be a call that is asked again; each of its requests may hang until its timeout.
LAST_POLL = 4 * _REQUEST_TIMEOUT + 1.0
# MPS tells its time in whole seconds, so what two processes know of it may differ by a second.
_CLOCK_PRECISION = 1.0
_SLOW_MACHINE = 5.0  # seconds that twelve tasks at once on a busy machine may take from one of them


@dataclass
class Result:
    """
    What happened in a campaign.

    :param findings: broken promises, each with the plan that it happened to.
    :param blows: what struck, and ``places`` where workers were struck; what was drawn and never landed is in neither.
    :param outcomes: how the jobs were to end at MPS; ``endings`` how the tasks did in Airflow.
    :param late: seconds between a deadline and the end of its wait, at most.
    """

    tasks: int = 0
    jobs: int = 0
    aborts: int = 0
    calls: int = 0
    refused: int = 0
    late: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Take another one in."""
        for name in ("tasks", "jobs", "aborts", "calls", "refused", "findings"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("outcomes", "endings", "blows", "places", "faults"):
            getattr(self, name).update(getattr(other, name))
        self.late = max(self.late, other.late)


def run(seed: int, tasks: int, log: Path, only: int | None = None) -> Result:
    """
    One campaign.

    :param log: where everything goes that is logged, at DEBUG.
    :param only: the number of the one plan to run, to look at a finding.
    """
    plans = [plan for plan in draw(seed, tasks) if only in {None, plan.number}]
    result = Result()
    with _logging_to(log):
        for start in range(0, len(plans), _WORLD):
            result.add(_world(seed + start, plans[start : start + _WORLD]))
    logged = log.read_text(encoding="utf-8")
    result.findings += [f"the secret {secret} is in the log" for secret in (CANARY, SECRET_KEY) if secret in logged]
    result.findings = [f"seed {seed}: {finding}" for finding in result.findings]
    return result


def _world(seed: int, plans: list[Plan]) -> Result:
    airflow, settings, in_threads = AirflowStates(), Settings(state_seconds=0.15, segment_count=1), list[str]()
    clocks = WorkerClocks()
    with LocalMps(settings) as mps, _patched(mps, airflow, clocks, in_threads), Triggerer() as triggers:
        # A second here stands for minutes there, so ten times the polls are sent in it.
        settings.rates = dict.fromkeys(mps.backend.actions, 1000.0)
        weather = mps.backend.faults = Weather(seed)
        jobs = mps.backend.tasks = Jobs(mps.backend, {plan.name: plan for plan in plans})
        mps.backend.aborts = jobs.aborts
        lives = [Life(plan, jobs, triggers, airflow, clocks, _job_of_a_sensor(plan, jobs)) for plan in plans]
        with ThreadPoolExecutor(AT_ONCE) as workers:
            ends = list(workers.map(_run, lives))
        result = Result(len(plans), len(jobs), len(mps.backend.aborts), len(mps.backend.calls), faults=weather.struck)
        result.refused = sum(call.code == "RequestLimitExceeded" for call in mps.backend.calls)
        result.outcomes.update(job.scenario for job in jobs.values())
        result.findings += [f"foreign error: in a thread: {error}" for error in in_threads]
        for life, ended in zip(lives, ends, strict=True):
            result.blows.update(life.landed)
            result.places.update(life.places)
            findings = [*jobs.findings[life.plan.name], *_judged(life, ended, jobs, mps, result)]
            result.findings += ["\n    ".join([each, *_story(life, jobs)]) for each in findings]
    return result


def _story(life: Life, jobs: Jobs) -> Iterator[str]:
    """What was to happen to a task, what did, and its jobs."""
    yield str(life.plan)
    yield from life.history
    for task_id in jobs.of_plan[life.plan.name]:
        job, age = jobs[task_id], jobs.aborts.ages.get(task_id)
        aborted = "" if age is None else f", aborted {age:.1f} s after it"
        somebody = ", aborted by somebody else" * (task_id in jobs.aborted_elsewhere)
        yield f"{job.created - life.born:6.2f} s  {task_id} ({job.scenario}) was accepted{aborted}{somebody}"


def _run(life: Life) -> Ended | Exception:
    try:
        return life.run()
    except Exception as error:  # noqa: BLE001 - a finding like any other: nothing may end a task in such a way
        return error


def _job_of_a_sensor(plan: Plan, jobs: Jobs) -> str | None:
    if plan.kind is not Kind.SENSOR:
        return None
    task_id = f"1250000000-WorkflowTask-{uuid.uuid4().hex}tt7"
    jobs[task_id] = Task(task_id, "DescribeTaskDetail", jobs.now(), request=request_of(plan))
    return task_id


def _judged(life: Life, ended: Ended | Exception, jobs: Jobs, mps: LocalMps, result: Result) -> Iterator[str]:
    """The broken promises of one life."""
    plan, mine = life.plan, jobs.of_plan[life.plan.name]
    if not isinstance(ended, Ended):
        yield f"lost task: {type(ended).__name__}: {ended}"
        return
    timed_out = {task_id for task_id in mine if jobs.is_timed_out(task_id)}
    yield from (f"foreign error: {error}" for error in life.foreign)
    if aborted := set(jobs.aborts) & set(mine) - life.may_be_aborted - timed_out:
        yield f"abort of {aborted} without a user's action or a deadline"
    expected = [task_id for task_id in mine if task_id not in life.left_alone - timed_out]
    if left := [task_id for task_id in expected if jobs.waits_in_vain(task_id)]:
        yield from _left_waiting(plan, ended, left)
    texts = "".join(ended.seen)
    for secret in (CANARY, mps.secret_key):
        if secret in texts:
            yield f"the secret {secret} is in an XCom, an event, trigger arguments, the state store or an error"
    yield from _off_its_deadline(plan, ended, jobs, result)
    what, finding = _verdict(life, ended, jobs)
    result.endings[what] += 1
    if finding:
        yield finding


def _off_its_deadline(plan: Plan, ended: Ended, jobs: Jobs, result: Result) -> Iterator[str]:
    """No wait is given up before its deadline, and none goes on for long after it."""
    if plan.kind is Kind.SENSOR:
        first = last = ended.began
    else:
        # From the first submission, which may be long before MPS takes it; a job that was found again is as old as
        # MPS says, in whole seconds.
        first = int(ended.began)
        last = max((job.created for job in jobs.since_clear(plan)), default=ended.at)
    if _timed_out(ended) and (early := first + plan.timeout - ended.at - _CLOCK_PRECISION) > 0:
        yield f"a deadline {early:.1f} s before its time"
    if plan.ending not in ENDLESS or ended.state in set(USER_BLOWS):
        return
    late = ended.at - last - plan.timeout
    result.late = max(result.late, late)
    if late > POLL + LAST_POLL + _SLOW_MACHINE:
        yield f"the wait ended {late:.1f} s after its deadline"


def _left_waiting(plan: Plan, ended: Ended, left: list[str]) -> Iterator[str]:
    """A job that waits for ever is aborted at its deadline, or when a user ends the task."""
    if plan.kind is Kind.SENSOR:
        return  # it did not start the job
    if ended.user_acted or isinstance(ended.error, MpsTaskTimeout):
        yield f"{left} still wait after {' and '.join(ended.user_acted) or 'the deadline'}"


def _verdict(life: Life, ended: Ended, jobs: Jobs) -> tuple[str, str | None]:
    """How the task ended, in words, and what is wrong with that."""
    plan, error = life.plan, ended.error
    # A sensor did not start its job, and waits for the same one after a Clear.
    mine = [jobs[str(life.mps_task_id)]] if plan.kind is Kind.SENSOR else jobs.since_clear(plan)
    if ended.state in set(USER_BLOWS):
        return ended.state, None
    if ended.state == "success":
        good = mine and ended.value == mine[-1].task_id and jobs.has_succeeded(mine[-1])
        if plan.kind is Kind.LIVE and mine and jobs.is_timed_out(mine[-1].task_id):
            # A worker that dies between the Abort and its error leaves a stream that has ended, in success.
            good = Point.BEFORE_ENDING in life.places
        return "success", None if good else f"wrong verdict: success with {ended.value}"
    if isinstance(error, MpsTaskFailed):
        if not mine or error.mps_task_id != mine[-1].task_id or not jobs.has_failed(mine[-1]):
            return "job failed", f"wrong verdict: {error}"
        # A sensor would only see the same again; an operator has a new job in each try.
        good = plan.kind is Kind.SENSOR or not ended.tries_left
        return "job failed", None if good else f"lost task: with tries left: {error}"
    if _timed_out(ended):
        good = plan.ending in ENDLESS
        return "deadline", None if good else f"lost task: {error}"
    if isinstance(error, MpsSubmitUnknown):
        # Left to a person: a submission without SessionId, or a record that is gone of a job that is not at MPS.
        good = plan.kind in NO_SESSION or (life.is_record_missing and not mine)
        return "left to a person", None if good else f"lost task: {error}"
    network = isinstance(error, MpsError) and retry.may_pass(error)
    if plan.ending in UNSETTLED and (isinstance(error, MpsTaskUnsettled) or network):  # it may be in the way, at last
        return "job without results", f"lost task: with tries left: {error}" if ended.tries_left else None
    if isinstance(error, MpsTaskUnsettled) and mine and mine[-1].task_id in jobs.aborted_elsewhere:
        return "job aborted", f"lost task: with tries left: {error}" if ended.tries_left else None
    return "lost", f"lost task: {type(ended.error).__name__}: {ended.error}"


def _timed_out(ended: Ended) -> bool:
    return isinstance(ended.error, (MpsTaskTimeout, AirflowSensorTimeout))


@contextlib.contextmanager
def _logging_to(log: Path) -> Iterator[None]:
    """Airflow sends the log of an operator to the standard output, the rest to the handlers of the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
        root.handlers[:] = [logging.StreamHandler(file)]
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


@contextlib.contextmanager
def _patched(mps: LocalMps, airflow: AirflowStates, clocks: WorkerClocks, in_threads: list[str]) -> Iterator[None]:
    """A connection to this MPS, an Airflow to ask, and pauses as short as everything else is here."""

    def note(unhandled: threading.ExceptHookArgs) -> None:
        in_threads.append(repr(unhandled.exc_value))

    connection = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": mps.secret_key}
    connection |= {"host": mps.host, "extra": {"region": "ap-guangzhou", "timeout": _REQUEST_TIMEOUT}}
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.dict(os.environ, AIRFLOW_CONN_MPS_DEFAULT=json.dumps(connection)))
        for target, name, value in (
            (RuntimeTaskInstance, "get_task_states", staticmethod(airflow.answer)),
            (threading, "excepthook", note),
            (retry, "_delay", lambda limits, attempt: random.uniform(0.0, 0.2)),
            (time, "time", clocks.time),
            (clock, "_clocks", clocks),
            (recovery, "SEARCH_PAUSE", 0.1),
            (rate_limiter, "THROTTLE_COOLDOWN", 0.1),
            (rate_limiter, "MIN_RATE", 20.0),
            (rate_limiter, "DOUBLING_TIME", 0.3),
            (rate_limiter, "GROWTH_TIME", 1.0),
            (MpsTaskTrigger, "settings", PollerSettings(earliest_event=0.05, min_poll_delay=0.0)),
            (TaskWait, "settings", PollerSettings(min_poll_delay=0.0)),
        ):
            patches.enter_context(mock.patch.object(target, name, value))
        yield
