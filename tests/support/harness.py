"""
Runs our operators as Airflow does, without Airflow's processes: every start is a new instance, and what crosses
from one start to the next crosses as JSON. The end-to-end tests show that the real processes do the same.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred
from airflow.sdk.module_loading import import_string

from airflow_provider_mps.client import rate_limiter
from airflow_provider_mps.client import retry as retry_policy
from airflow_provider_mps.client.jobs import recovery
from airflow_provider_mps.client.polling import poller
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.lifecycle.wait import TaskWait
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers import connection as connecting
from airflow_provider_mps.triggers.mps import MpsTaskTrigger

_MOST_STARTS = 200
_LONGEST_PAUSE = 3600.0
_EVENT_WITHIN = 30.0
NO_PAUSES = PollerSettings(earliest_event=0.0, min_poll_delay=0.0, throttle_timeout=0.1)


class Mode(StrEnum):
    """How a sensor waits."""

    POKE = "poke"
    RESCHEDULE = "reschedule"
    DEFERRABLE = "deferrable"


ALL_MODES = pytest.mark.parametrize("mode", list(Mode))


class Crash(BaseException):
    """The process is gone: nothing after this line of it runs."""


class StateStore:
    """
    Airflow's task state store, as far as we use it: JSON in, JSON out.

    The process dies when a record with the state ``crash_before`` is about to be stored.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self.crash_before: str | None = None

    def get(self, key: str) -> Any:
        return json.loads(self._values[key]) if key in self._values else None

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if self.crash_before and isinstance(value, dict) and value.get("state") == self.crash_before:
            raise Crash
        self._values[key] = json.dumps(value)

    def values(self) -> dict[str, Any]:
        """All that is stored."""
        return {key: self.get(key) for key in self._values}


class TaskInstance:
    """What our operators ask of a task instance."""

    def __init__(self, **names: Any) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "a_dag", "a_run", "a_task", -1
        self.try_number, self.max_tries = 1, 2
        self.start_date = datetime.now(UTC)
        self.first_reschedule: datetime | None = None
        self.xcoms: dict[str, Any] = {}
        self.crash_on_push = False
        self.__dict__.update(names)

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        if self.crash_on_push:
            raise Crash
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, key: str, default: Any = None, **_: Any) -> Any:
        return self.xcoms.get(key, default)


class DagRun:
    """What our operators ask of a run."""

    def __init__(self) -> None:
        self.start_date = self.run_after = datetime.now(UTC)
        self.clear_number = 0


def new_context(**names: Any) -> dict[str, Any]:
    """The context of a first try; ``names`` are attributes of its task instance."""
    return {"ti": TaskInstance(**names), "dag_run": DagRun(), "task_state_store": StateStore()}


def retry(context: dict[str, Any]) -> dict[str, Any]:
    """The context of Airflow's next try: XComs are gone, the state store is not."""
    ti = context["ti"]
    ti.try_number += 1
    ti.first_reschedule, ti.crash_on_push, ti.xcoms = None, False, {}
    context["task_state_store"].crash_before = None
    return context


def clear(context: dict[str, Any], retries: int = 2) -> dict[str, Any]:
    """The context after a user cleared the task: Airflow's numbers have grown, the state store is as it was."""
    context["ti"].max_tries = context["ti"].try_number + retries
    context["dag_run"].clear_number += 1
    return retry(context)


def run_operator(new: Callable[[], Any], context: dict[str, Any]) -> Any:
    """One try of an operator to its end, deferrals included: every start is a new instance."""
    resume: tuple[str, dict[str, Any]] | None = None
    for _ in range(_MOST_STARTS):
        try:
            return new().execute(context) if resume is None else new().resume_execution(*resume, context)
        except TaskDeferred as deferred:
            resume = (deferred.method_name, as_json({**deferred.kwargs, "event": first_event(deferred.trigger)}))
    raise AssertionError(f"The operator did not end within {_MOST_STARTS} starts.")


def run_sensor(mode: Mode, *, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Run a MpsTaskSensor to its end; returns what it returns, raises what it raises."""
    context = context or new_context()

    def new() -> MpsTaskSensor:
        return MpsTaskSensor(
            task_id="wait",
            mode="poke" if mode in {Mode.POKE, Mode.DEFERRABLE} else "reschedule",
            deferrable=mode is Mode.DEFERRABLE,
            **{"poke_interval": 0.02, "timeout": 20, **arguments},
        )

    resume: tuple[str, dict[str, Any]] | None = None
    for _ in range(_MOST_STARTS):
        try:
            if resume is None:
                return new().execute(context)
            return new().resume_execution(*resume, context)
        except AirflowRescheduleException:
            ti = context["ti"]
            ti.first_reschedule = ti.first_reschedule or datetime.fromtimestamp(time.time(), UTC)
            time.sleep(new().poke_interval)
        except TaskDeferred as deferred:
            resume = (deferred.method_name, as_json({**deferred.kwargs, "event": first_event(deferred.trigger)}))
    raise AssertionError(f"The sensor did not end within {_MOST_STARTS} starts.")


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


def revive(trigger: Any) -> Any:
    """The trigger as the triggerer builds it: from its path and JSON arguments."""
    path, arguments = trigger.serialize()
    return import_string(path)(**as_json(arguments))


def first_event(trigger: Any) -> dict[str, Any]:
    """Run a revived trigger to its event; it must send one, and then end."""

    async def run() -> list[Any]:
        return [event.payload async for event in revive(trigger).run()]

    payloads = asyncio.run(asyncio.wait_for(run(), _EVENT_WITHIN))
    assert len(payloads) == 1
    payload: dict[str, Any] = as_json(payloads[0])
    return payload


@pytest.fixture
def airflow_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalMps]:
    """A local MPS, Airflow connections to it (``mps_default``, ``wrong_key``, ``nobody_there``), and no idle pauses."""
    with LocalMps() as mps:
        good = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": mps.secret_key, "host": mps.host}
        good["extra"] = {"region": "ap-guangzhou", "timeout": 1}
        others = {
            "mps_default": good,
            "wrong_key": {**good, "password": "not-the-key"},
            "unknown_id": {**good, "login": "AKIDunknown"},
            "nobody_there": {**good, "host": "http://127.0.0.1:1"},
            "no_such_host": {**good, "host": "mps.invalid"},
            "empty_key": {**good, "password": ""},
            "plain_http": {**good, "host": "http://mps.example.com"},
            "bad_region": {**good, "extra": {"region": "Guangzhou!"}},
        }
        for name, fields in others.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
        for purpose, limits in retry_policy.LIMITS.items():
            monkeypatch.setitem(retry_policy.LIMITS, purpose, limits._replace(max_delay=0.0))
        monkeypatch.setattr(recovery, "SEARCH_PAUSE", 0.0)
        monkeypatch.setattr(rate_limiter, "THROTTLE_COOLDOWN", 0.0)
        monkeypatch.setattr(rate_limiter, "MIN_RATE", 50.0)
        for waits in (TaskWait, MpsTaskTrigger):
            monkeypatch.setattr(waits, "settings", NO_PAUSES)
        yield mps


class FastClock:
    """
    The clock of a worker and of its triggers, whose pauses take no time: hours and days pass in seconds.

    Other threads sleep as ever, the local MPS among them; what time it is, it reads from here.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept = 0.0
        self._planned: list[tuple[float, Callable[[], object]]] = []
        worker, now, monotonic, sleep = threading.get_ident(), time.time, time.monotonic, time.sleep

        def skip(seconds: float) -> None:
            if threading.get_ident() == worker:
                self.skip(seconds)
            else:
                sleep(seconds)

        monkeypatch.setattr(time, "time", lambda: now() + self.slept)
        monkeypatch.setattr(
            time, "monotonic", lambda: monotonic() + (self.slept if threading.get_ident() == worker else 0.0)
        )
        monkeypatch.setattr(time, "sleep", skip)
        monkeypatch.setattr(timezone, "utcnow", lambda: datetime.fromtimestamp(time.time(), UTC))
        monkeypatch.setattr(selectors, "DefaultSelector", lambda: _FastSelector(self))

    def time(self) -> float:
        """Unix seconds, those that really pass included."""
        return time.time()

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        self.slept += seconds
        while self._planned and self._planned[0][0] <= self.slept:
            self._planned.pop(0)[1]()

    def plan(self, *steps: tuple[float, Callable[[], object]]) -> None:
        """What is to happen so many seconds from now, in this order, each as soon as a pause is over."""
        self._planned += [(self.slept + seconds, step) for seconds, step in steps]


class _FastSelector(selectors.DefaultSelector):
    """What an event loop of triggers sleeps in. While one of them waits for an answer, the time is the real one."""

    def __init__(self, clock: FastClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        # A poller does something every few seconds; where the next thing is hours away, a thread is waited for.
        if timeout is None or not 0 < timeout < _LONGEST_PAUSE or self._awaits_an_answer():
            return super().select(timeout)
        self._clock.skip(timeout)
        return super().select(0)

    def _awaits_an_answer(self) -> bool:
        loop = asyncio.get_running_loop()
        queues = [queue for each in poller._pollers.get(loop, {}).values() for queue in each._queues.values()]
        ends = loop._executor_shutdown_called  # type: ignore[attr-defined]  # Python 3.13 waits for threads in the loop
        return ends or bool(connecting._reads.get(loop)) or any(queue._requests for queue in queues)


@pytest.fixture
def fast_clock(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> FastClock:
    """Wait for days in a test."""
    airflow_mps.backend.settings.rates["DescribeTaskDetail"] = 0  # it gets the looks of days within seconds
    monkeypatch.setattr("tests.support.harness._EVENT_WITHIN", 30 * 86_400.0)
    return FastClock(monkeypatch)


def part(**fields: Any) -> dict[str, Any]:
    """A transcode part that succeeded, changed by ``fields``."""
    done = {"Status": "SUCCESS", "ErrCodeExt": "", "ErrCode": 0, "Message": "SUCCESS", "Output": {"Path": "/a.mp4"}}
    return {"Type": "Transcode", "TranscodeTask": {**done, **fields}}


def answer(*parts: dict[str, Any], status: str = "FINISH", **task: Any) -> dict[str, Any]:
    """The content of ``Response`` for a WorkflowTask with these parts."""
    body = {"Status": "FINISH", "ErrCode": 0, "Message": "", "MediaProcessResultSet": list(parts), **task}
    return {"TaskType": "WorkflowTask", "Status": status, "WorkflowTask": body}


RUNNING = answer(part(Status="PROCESSING", Output=None), status="PROCESSING", Status="PROCESSING")
DONE = answer(part())
FAILED = answer(part(), part(Status="FAIL", ErrCode=30010, Message="broken", Output=None))


def refusal(code: str) -> dict[str, Any]:
    """An error answer."""
    return {"Error": {"Code": code, "Message": "scripted"}}
