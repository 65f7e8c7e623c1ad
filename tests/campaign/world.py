"""What a campaign's tasks live in: an MPS whose network is bad, a triggerer, and an Airflow that can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from random import Random
from typing import Any, Self, TypeVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.faults import Fault, FaultScript
from airflow_provider_mps.emulator.models import Task
from airflow_provider_mps.emulator.scenarios import Scenario
from tests.campaign.plan import ENDLESS, FAILED, LONG, SUCCESSFUL, UNSETTLED, Plan
from tests.support.harness import as_json, revive

_FAULTS = (
    Fault("reset"),
    Fault("reset", when="after"),
    Fault("status", status=502),
    Fault("status", status=504, when="after"),
    Fault("html"),
    Fault("html", when="after"),
    Fault("cut", when="after"),
    Fault("broken", when="after"),
    Fault("throttle"),
    Fault("throttle"),
    Fault("error", code="InternalError"),
    Fault("error", code="InternalError", when="after"),
    Fault("hang", seconds=3),
    Fault("hang", seconds=3, when="after"),
)
T = TypeVar("T")
_SPELL = 0.5  # seconds
_NAME = re.compile(r"plan-\d{5}")


class Weather(FaultScript):
    """
    Strikes calls at random, now and then all of them for half a second. Counts what it did.

    A seed does not repeat it: calls of many threads draw from it in the order in which they arrive.
    """

    def __init__(self, seed: int, share: float = 0.06) -> None:
        super().__init__()
        self.struck: Counter[str] = Counter()
        self._random = Random(seed)
        self._share = share
        self._spell: tuple[float, Fault] = (0.0, _FAULTS[0])
        self._last_abort_was_struck = False

    def take(self, action: str, when: str) -> Fault | None:
        """As the server asks: once before the action and once after it."""
        if action == "ManageTask":  # an Abort is best effort within seconds; one fault it has to survive
            self._last_abort_was_struck = not self._last_abort_was_struck and self._random.random() < self._share
            return self._note(action, Fault("reset")) if self._last_abort_was_struck and when == "before" else None
        until, fault = self._spell
        if time.monotonic() < until:
            return self._note(action, fault) if when == "before" else None
        fault = self._random.choice(_FAULTS)
        if fault.when != when or self._random.random() >= self._share:
            return None
        if when == "before" and fault.kind != "hang" and self._random.random() < 0.05:
            self._spell = (time.monotonic() + _SPELL, fault)
        return self._note(action, fault)

    def _note(self, action: str, fault: Fault) -> Fault:
        self.struck[f"{fault.kind} {fault.code * (fault.kind == 'error')} {fault.when}".replace("  ", " ")] += 1
        return replace(fault)


class Jobs(dict[str, Task]):
    """The jobs at MPS. Each ends as the plan of its task says; one that no plan allows is a finding."""

    def __init__(self, backend: LocalMpsBackend, plans: dict[str, Plan]) -> None:
        super().__init__()
        self._backend = backend
        self._plans = plans
        self.of_plan: dict[str, list[str]] = {name: [] for name in plans}
        self.clears: Counter[str] = Counter()
        self.aborted_elsewhere: set[str] = set()
        self.aborts = Aborts(self)
        self._clears_before: dict[str, int] = {}
        self._plan_of: dict[str, str] = {}
        self.findings: dict[str, list[str]] = {name: [] for name in plans}

    def __setitem__(self, task_id: str, task: Task) -> None:
        text = json.dumps(dict(task.request))
        found = _NAME.search(text)
        if found:
            plan, earlier = self._plans[found[0]], self.of_plan[found[0]]
            for other in self.since_clear(plan):
                if not self.is_over(other):
                    self.findings[plan.name].append(f"duplicate job {task_id}: {other.task_id} has not failed")
            outcome = (*plan.fails, plan.ending)[min(len(earlier), len(plan.fails))]
            task.request = json.loads(text.replace(found[0], f"{found[0]}.{outcome}"))
            self._clears_before[task_id] = self.clears[plan.name]
            earlier.append(task_id)
            self._plan_of[task_id] = plan.name
        super().__setitem__(task_id, task)

    def since_clear(self, plan: Plan) -> list[Task]:
        """The jobs of a plan since a user last cleared it, by what was done here and not by a mark on them."""
        clears = self.clears[plan.name]
        return [self[each] for each in self.of_plan[plan.name] if self._clears_before[each] == clears]

    def now(self) -> float:
        """The time at MPS."""
        return self._backend.now()

    def is_over(self, task: Task) -> bool:
        """It has ended in anything but success: failed, aborted by somebody, or without results."""
        if task.task_id in self.aborted_elsewhere:
            return True
        return task.scenario in (*FAILED, *UNSETTLED) and self._backend.status(task) == "FINISH"

    def abort_elsewhere(self, task_id: str) -> bool:
        """Somebody aborts it, if it can be aborted."""
        task = self[task_id]
        if task.aborted or self._backend.status(task) != "WAITING":
            return False
        self.aborted_elsewhere.add(task_id)
        task.aborted = True
        return True

    def has_failed(self, task: Task) -> bool:
        """Certainly, and by now."""
        return task.scenario in FAILED and self._backend.status(task) == "FINISH"

    def has_succeeded(self, task: Task) -> bool:
        """Certainly, and by now. A late result counts once it shows."""
        return task.scenario in SUCCESSFUL and not task.aborted and self._backend.status(task) == "FINISH"

    def is_timed_out(self, task_id: str) -> bool:
        """It was aborted when its deadline had come, as well as whole seconds of MPS's time tell."""
        plan = self._plans[self._plan_of[task_id]]
        return self.aborts.ages.get(task_id, 0.0) >= plan.timeout - 1.5

    def waits_in_vain(self, task_id: str) -> bool:
        """Nobody has aborted it, which can be done, and nothing else will end it: it waits, or it is a stream."""
        task = self[task_id]
        can_be_aborted = task.describe != "DescribeImageTaskDetail"
        endless = task.scenario in ENDLESS if task.is_live else task.scenario is Scenario.QUEUED
        return can_be_aborted and endless and not task.aborted


class Aborts(list[str]):
    """The jobs that were aborted by request, and when; stands for ``backend.aborts``."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self.ages: dict[str, float] = {}

    def append(self, task_id: str) -> None:
        self.ages[task_id] = self._jobs.now() - self._jobs[task_id].created
        super().append(task_id)


class AirflowStates:
    """What Airflow says of its tasks, by run id. Installed as ``RuntimeTaskInstance.get_task_states``."""

    AWAY = "away"

    def __init__(self) -> None:
        self.of_run: dict[str, str] = {}

    def answer(self, *, task_ids: list[str], run_ids: list[str], **_: Any) -> dict[str, Any]:
        state = self.of_run[run_ids[0]]
        if state == self.AWAY:
            raise RuntimeError("the API server does not answer")
        return {run_ids[0]: {task_ids[0]: state}}


class WorkerClocks(dict[Any, MpsClock]):
    """
    The wall clocks of the workers, each on a thread of its own, and what each process knows of MPS's time.

    It stands for ``clock._clocks``, and its ``time`` for ``time.time``. The triggerer and MPS have the right time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.right = time.time
        self._ahead: dict[int, float] = {}

    def time(self) -> float:
        """What the clock of this thread's machine says."""
        return self.right() + self._ahead.get(threading.get_ident(), 0.0)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return super().setdefault((threading.get_ident(), key), default)

    @contextlib.contextmanager
    def process(self, ahead: float) -> Iterator[None]:
        """A new worker process on this thread: it does not know MPS's time. After it the time is right again."""
        thread = threading.get_ident()
        for key in [key for key in self if key[0] == thread]:
            del self[key]
        self._ahead[thread] = ahead
        try:
            yield
        finally:
            self._ahead[thread] = 0.0

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """What the thread of a worker does here is done elsewhere, in the right time."""
        thread = threading.get_ident()
        ahead = self._ahead.get(thread, 0.0)
        self._ahead[thread] = 0.0
        try:
            yield
        finally:
            self._ahead[thread] = ahead


class Deferral:
    """
    One trigger that runs in the triggerer.

    :param frozen: its process does not run until it is stopped.
    """

    def __init__(self, trigger: Any, task_instance: Any, *, frozen: bool = False) -> None:
        self.trigger = revive(trigger)
        if frozen:
            self.trigger._payload = asyncio.Event().wait
        self.trigger.task_instance = task_instance
        self.by_user = False
        self.task: asyncio.Task[list[Any]]

    async def run(self) -> list[Any]:
        """As Airflow's runner does it: on_kill at a user's action (and at a failover), clean up in any case."""
        events = []
        try:
            async for event in self.trigger.run():
                events.append(as_json(event.payload))
        except asyncio.CancelledError:
            if self.by_user and hasattr(BaseTrigger, "on_kill"):
                await asyncio.wait_for(self.trigger.on_kill(), 30)
            raise
        finally:
            await self.trigger.cleanup()
        return events


class Triggerer:
    """All triggers of a campaign in one event loop, on a thread of its own; use it in a ``with``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="triggerer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def end_the_rest() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._run(end_the_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def start(self, trigger: Any, task_instance: Any, *, frozen: bool = False) -> Deferral:
        """Take a trigger over, from what is stored of it."""
        deferral = Deferral(trigger, task_instance, frozen=frozen)

        async def spawn() -> None:
            deferral.task = asyncio.create_task(deferral.run())

        self._run(spawn())
        return deferral

    def events(self, deferral: Deferral, timeout: float) -> list[Any] | None:
        """What it has sent when it ends within ``timeout`` seconds; None for one that still runs."""

        async def wait() -> list[Any] | None:
            done, _ = await asyncio.wait({deferral.task}, timeout=timeout)
            return deferral.task.result() if done else None

        return self._run(wait())

    def stop(self, deferral: Deferral, *, by_user: bool) -> None:
        """Cancel it; ``by_user`` as Airflow does at a user's action and, by mistake, at a failover."""

        async def cancel() -> None:
            deferral.by_user = by_user
            deferral.task.cancel()
            await asyncio.wait({deferral.task})

        self._run(cancel())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LONG + 60)
