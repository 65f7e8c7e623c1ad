"""
What the benchmarks of waiting share: a local MPS and the waiting process, each in a process of its own, on loopback.

``ours`` runs the trigger as the triggerer does: built from its path and its arguments, connection read, log lines
written (to nowhere). The worker that its event resumes polls once, with a client of its own. ``naive`` is the loop that
a DAG author writes: each wait polls for itself, with its own client, every ``poll_interval`` seconds. It signs and
reads as ours does, so what differs is only who decides when to poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple, Self

import aiohttp
import structlog

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.retry import Limits, is_throttled, may_pass
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.models import Call, Settings
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY, LocalMps
from airflow_provider_mps.errors import MpsError
from airflow_provider_mps.hooks.mps import MpsHook

SETTLED = 30.0  # seconds after the first request, in which a process may learn the limit
_SPAWN = multiprocessing.get_context("spawn")


class Server:
    """A local MPS in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(settings, theirs), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.host: str = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(10)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function with the backend there, and return what it returns."""
        self._pipe.send((function, arguments))
        return self._pipe.recv()


def _serve(settings: Settings, pipe: Any) -> None:
    with LocalMps(settings) as mps:
        pipe.send(mps.host)
        while (message := pipe.recv()) is not None:
            function, arguments = message
            pipe.send(function(mps.backend, *arguments))


def calls(backend: LocalMpsBackend) -> list[Call]:
    return list(backend.calls)


def ends(backend: LocalMpsBackend) -> dict[str, float]:
    """When each job ends, in Unix seconds."""
    return {
        task.task_id: task.created + 2 * (task.state_seconds or backend.settings.state_seconds or 0.0)
        for task in backend.tasks.values()
    }


@contextlib.contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes for so many functions."""
    with ProcessPoolExecutor(count, mp_context=_SPAWN, max_tasks_per_child=1) as pool:
        yield pool


def prepare(host: str, *, quota_share: float = 1.0, timeout: float = 30.0) -> ClientConfig:
    """Make this process one in which the trigger, all loaded, finds its connection; returns what that says."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # loopback needs none
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="benchmark-"))
    extra = {"quota_share": quota_share, "timeout": timeout}
    connection = {"conn_type": "tencentcloud_mps", "login": SECRET_ID, "password": SECRET_KEY, "host": host}
    os.environ["AIRFLOW_CONN_MPS_DEFAULT"] = json.dumps(connection | {"extra": extra})
    importlib.import_module("airflow_provider_mps.triggers.mps")
    importlib.import_module("airflow_provider_mps.client.polling.poller")
    structlog.configure(  # lines are written, as in a triggerer, but nobody reads them; Airflow has set its own by now
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        cache_logger_on_first_use=True,
        logger_factory=structlog.WriteLoggerFactory(open(os.devnull, "w")),  # noqa: SIM115 - as long as the process
    )
    asyncio.run(MpsHook().aget_config())  # the first time, Airflow loads much; a triggerer has done so long before
    return ClientConfig(Credentials(SECRET_ID, SECRET_KEY), endpoint=host, quota_share=quota_share, timeout=timeout)


class Seen(NamedTuple):
    """What a wait ended with, and when, in Unix seconds."""

    task_id: str
    at: float
    status: str


@contextlib.asynccontextmanager
async def worker(config: ClientConfig) -> AsyncIterator[Callable[[str], Awaitable[bool]]]:
    """The worker's half of waits: polls a task once, and again while MPS throttles; whether the task had ended."""
    async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:

        async def poll(task_id: str) -> bool:
            for attempt in itertools.count():
                try:
                    return (await client.poll(describe(task_id))).is_finished
                except MpsError as error:
                    if not is_throttled(error):
                        raise
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(0.5 * 2**attempt, 8.0))  # as the worker's client
            raise AssertionError

        yield poll


async def ours(
    task_id: str,
    poll_interval: float,
    started: float = 0.0,
    worker_polls: Callable[[str], Awaitable[bool]] | None = None,
) -> Seen:
    """
    Wait with the trigger, and with the worker that it resumes; the time is that of the first event that was right.

    :param started: when the job was created, by MPS's clock; 0 where the wait does not know.
    """
    from airflow_provider_mps.triggers.mps import MpsTaskTrigger

    state: dict[str, Any] = {"mps_task_id": task_id, "started": started, "created": started or None}
    while True:
        _, arguments = MpsTaskTrigger(mps_task_id=task_id, poll_interval=poll_interval, state=state).serialize()
        [event] = [event.payload async for event in MpsTaskTrigger(**arguments).run()]
        seen = Seen(task_id, time.time(), event["status"])
        if worker_polls is None or await worker_polls(task_id):
            return seen
        state = event["state"]


async def naive(config: ClientConfig, task_id: str, poll_interval: float) -> Seen:
    """Wait as a DAG author writes it."""
    async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
        while True:
            try:
                if (await client.poll(describe(task_id))).is_finished:
                    return Seen(task_id, time.time(), "resume")
            except MpsError as error:
                if not may_pass(error):
                    raise
            await asyncio.sleep(poll_interval)


async def start_jobs(host: str, seconds: Sequence[float], *, batch: bool = False) -> list[str]:
    """Start jobs that last so long; their TaskIds."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{host}/control/tasks", json={"seconds": list(seconds), "batch": batch}) as answer,
    ):
        task_ids: list[str] = (await answer.json())["TaskIds"]
        return task_ids


class Plan(NamedTuple):
    """Waits that begin at once, for jobs that end at once."""

    host: str
    waits: int
    seconds: float  # how long the jobs last
    patience: float  # how long after that a wait goes on
    poll_interval: float = 10.0
    batch: bool = False
    quota_share: float = 1.0
    naive: bool = False


def carry_out(plan: Plan) -> list[Seen]:
    """Wait in this process; returns what was seen in time."""
    config = prepare(plan.host, quota_share=plan.quota_share)

    async def run() -> list[Seen]:
        created = time.time()
        task_ids = await start_jobs(plan.host, [plan.seconds] * plan.waits, batch=plan.batch)
        async with worker(config) as worker_polls:
            waits = [
                asyncio.create_task(
                    naive(config, task_id, plan.poll_interval)
                    if plan.naive
                    else ours(task_id, plan.poll_interval, created, worker_polls)
                )
                for task_id in task_ids
            ]
            done, late = await asyncio.wait(waits, timeout=plan.seconds + plan.patience)
            for wait in late:
                wait.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            return [wait.result() for wait in done]

    return asyncio.run(run())


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Traffic(NamedTuple):
    """What reached a server."""

    sent: int
    refused: int

    @classmethod
    def of(cls, log: Sequence[Call], since: float = 0.0) -> Traffic:
        """:param since: seconds after the first request."""
        counted = [call for call in log if call.time >= log[0].time + since]
        return cls(len(counted), sum(call.code.startswith("RequestLimitExceeded") for call in counted))

    @property
    def share(self) -> float:
        return self.refused / self.sent if self.sent else 0.0


def busiest_second(log: Sequence[Call]) -> int:
    """Most requests that arrived within one second."""
    most, first = 0, 0
    for last, call in enumerate(log):
        while call.time - log[first].time >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def show_waits(
    name: str, seen: Sequence[Seen], ended: dict[str, float], log: Sequence[Call], patience: float
) -> list[float]:
    """
    Print what became of waits, and return how many seconds late each was noticed.

    :param patience: so many seconds at least it took for those that were not seen.
    """
    early, late = Traffic.of(log), Traffic.of(log, SETTLED)
    missing = len(ended) - len(seen)
    delays = [each.at - ended[each.task_id] for each in seen] + [patience] * missing
    figures = " ".join(f"{percentile(delays, share):7.1f}" for share in (0.5, 0.99, 1.0))
    failed = sum(each.status != "resume" for each in seen)
    actions = ", ".join(f"{action} {len(list(group))}" for action, group in by_action(log))
    print(
        f"  {name:34} {figures}   {len(seen):7} {missing:5} {failed:6}   "
        f"{early.share:6.1%} {late.refused:4} of {late.sent:<5}   {actions}"
    )
    return delays


WAITS_HEADER = (
    f"  {'':34} seconds until noticed     noticed   not errors   throttled: all, later\n"
    f"  {'':34} {'median':>7} {'p99':>7} {'last':>7}"
)


def by_action(log: Sequence[Call]) -> Iterator[tuple[str, Iterator[Call]]]:
    return itertools.groupby(sorted(log, key=lambda call: call.action), key=lambda call: call.action)
