"""
Ten thousand waits in one triggerer, at 100 requests a second, jobs of ten minutes on average: the steady state.

What is simulated: jobs that start at an even rate and last 0 to 20 minutes, evenly spread (``--exponential``:
exponentially, with a long tail), since so long that as many end as start: 17 a second. The server holds all that
started within the longest job's time, ended ones as well, so its list is as long as in reality. All waits begin at
once, as in a triggerer that has just started; a wait that ends is followed by a new job. After a time to settle, what
ends within the next minutes counts. Once with a server whose list filters the creation of a task, once its end; naive
polling beside them, begun spread over its interval.

Memory is what the process grew by for each wait, beside a process with as many triggers that only sleep.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from _waits import (
    Seen,
    Server,
    Traffic,
    by_action,
    calls,
    ends,
    naive,
    ours,
    percentile,
    prepare,
    processes,
    start_jobs,
    worker,
)

from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.models import Settings

MEAN = 600.0
LONGEST = 10.0  # mean lengths, for an exponential mix; e^-10 of the jobs last longer


class Plan(NamedTuple):
    """What one process does. Times in seconds since it began."""

    name: str
    waits: int
    poll_interval: float
    settled: float
    measured: float
    drained: float
    exponential: bool
    naive: bool = False


class Figures(NamedTuple):
    """What one process saw and used."""

    seen: list[Seen]
    begun: float  # Unix seconds
    cpu: float  # of a core
    memory: float  # bytes for each wait


def length(exponential: bool) -> float:
    return random.expovariate(1 / MEAN) if exponential else random.uniform(0, 2 * MEAN)


def populate(backend: LocalMpsBackend, waits: int, exponential: bool) -> list[tuple[str, float]]:
    """Fill a server with the jobs of the past; the TaskIds of those that run, and when they were created."""
    horizon = MEAN * (LONGEST if exponential else 2.0)
    count = int(waits / MEAN * horizon)
    now, running = backend.now(), []
    for number in range(count):
        lasts = length(exponential)
        task_id = backend.run_for(lasts)
        created = now - horizon * (1 - number / count)
        backend.tasks[task_id].created = created
        if created + lasts > now:
            running.append((task_id, created))
    return running


def resident() -> int:
    """Bytes."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def crowd(host: str, running: list[tuple[str, float]], plan: Plan) -> Figures:
    """Wait for these, and for a new job after each that ends."""
    config = prepare(host)
    seen: list[Seen] = []
    tasks: set[asyncio.Task[None]] = set()

    worker_polls: Callable[[str], Awaitable[bool]] | None = None

    async def wait(task_id: str, created: float) -> None:
        if plan.naive:
            await asyncio.sleep(random.uniform(0, plan.poll_interval) if created < begun else plan.poll_interval)
            seen.append(await naive(config, task_id, plan.poll_interval))
        else:
            seen.append(await ours(task_id, plan.poll_interval, created, worker_polls))

    def begin(task_id: str, created: float) -> None:
        task = asyncio.create_task(wait(task_id, created))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def follow() -> None:
        followed = 0
        while True:
            await asyncio.sleep(1)
            if ended := len(seen) - followed:
                followed += ended
                for task_id in await start_jobs(host, [length(plan.exponential) for _ in range(ended)]):
                    begin(task_id, time.time())

    async def run() -> Figures:
        nonlocal worker_polls
        async with worker(config) as polls:
            worker_polls = polls
            return await measure()

    async def measure() -> Figures:
        for task_id, created in running:
            begin(task_id, created)
        following = asyncio.create_task(follow())
        await asyncio.sleep(plan.settled)
        started, used = time.monotonic(), time.process_time()
        await asyncio.sleep(plan.measured)
        cpu = (time.process_time() - used) / (time.monotonic() - started)
        memory = (resident() - before) / len(running)
        await asyncio.sleep(plan.drained)
        following.cancel()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(following, *tasks, return_exceptions=True)
        return Figures(seen, begun, cpu, memory)

    asyncio.run(asyncio.sleep(0))
    before, begun = resident(), time.time()
    return asyncio.run(run())


def idle(host: str, waits: int) -> float:
    """Bytes for each trigger that only sleeps."""
    prepare(host)
    from airflow.triggers.base import BaseTrigger

    class Sleeper(BaseTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "", {}

        async def run(self) -> AsyncIterator[Any]:
            await asyncio.sleep(3600)
            yield None

    async def sleep() -> None:
        [_ async for _ in Sleeper().run()]  # type: ignore[no-untyped-call]

    async def run() -> float:
        tasks = [asyncio.create_task(sleep()) for _ in range(waits)]
        await asyncio.sleep(5)
        memory = (resident() - before) / waits
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return memory

    before = resident()
    return asyncio.run(run())


def show(plan: Plan, figures: Figures, server: Server, asleep: float) -> list[float]:
    """Print what one process did; returns how late each end was noticed."""
    first, last = figures.begun + plan.settled, figures.begun + plan.settled + plan.measured
    noticed = {each.task_id: each.at for each in figures.seen}
    due = {task_id: end for task_id, end in server.ask(ends).items() if first <= end < last}
    delays = [noticed[task_id] - end for task_id, end in due.items() if task_id in noticed]
    missed = len(due) - len(delays)
    delays += [last + plan.drained - end for task_id, end in due.items() if task_id not in noticed]
    log = [call for call in server.ask(calls) if first <= call.time < last]
    traffic = Traffic.of(log)
    rates = ", ".join(f"{action} {len(list(group)) / plan.measured:.1f}/s" for action, group in by_action(log))
    print(f"\n{plan.name}: {len(due)} ended")
    print(
        "  noticed after, in seconds: "
        + ", ".join(f"{name} {percentile(delays, share):.1f}" for name, share in (("median", 0.5), ("p99", 0.99)))
        + f", last {max(delays):.1f}; not by the end: {missed}"
    )
    print(f"  requests: {rates}; throttled {traffic.share:.2%}")
    beyond = figures.memory - asleep
    print(f"  CPU {figures.cpu:.1%} of a core; memory {beyond / 1e3:.1f} kB a wait beyond an idle trigger's", end=" ")
    print(f"{asleep / 1e3:.1f} kB")
    return delays


def main() -> None:
    """Both kinds of list, naive polling, and idle triggers, all at the same time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=10_000)
    parser.add_argument("--poll-interval", type=float, default=60.0)
    parser.add_argument("--exponential", action="store_true", help="lengths of jobs, instead of evenly spread")
    parser.add_argument("--window", choices=("creation", "end"), help="only a server that filters this")
    parser.add_argument("--no-naive", action="store_true", help="ours only")
    parser.add_argument("--quick", action="store_true", help="2,000 waits, at a fifth of the rates, for a minute")
    arguments = parser.parse_args()
    waits, share = (2000, 0.2) if arguments.quick else (arguments.waits, 1.0)
    times = (30.0, 60.0, 30.0) if arguments.quick else (60.0, 120.0, 60.0)
    runs = [(window, False) for window in ("creation", "end") if arguments.window in {None, window}]
    runs += [] if arguments.no_naive else [("end", True)]
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(processes(len(runs) + 1))
        asleep = pool.submit(idle, "http://127.0.0.1:1", waits)
        started = []
        for window, alone in runs:
            rates = {"DescribeTaskDetail": 100.0 * share, "DescribeTasks": 100.0 * share}
            server = stack.enter_context(Server(Settings(rates=rates, list_window=window)))  # type: ignore[arg-type]
            running = server.ask(populate, waits, arguments.exponential)
            name = "naive polling" if alone else f"ours, the list filters the {window} of tasks"
            plan = Plan(name, waits, arguments.poll_interval, *times, arguments.exponential, alone)
            started.append((plan, server, pool.submit(crowd, server.host, running, plan)))
        print(f"{waits:,} waits, {100 * share:g} requests/s allowed, poll_interval {arguments.poll_interval:g}")
        for plan, server, future in started:
            delays = show(plan, future.result(), server, asleep.result())
            if not delays:
                raise SystemExit("broken: no job ended")


if __name__ == "__main__":
    main()
