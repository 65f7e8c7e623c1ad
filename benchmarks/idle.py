"""
What waiting costs when nothing happens, and what it leaves behind.

Three processes, one after the other. 5,000 waits whose next poll is minutes away: CPU, beside 5,000 plain
``asyncio.sleep``. 2,000 triggers against a server that hangs, trickles, and then answers: the longest that the event
loop was held by one callback, in CPU time of its thread (which other processes do not disturb) and by the clock. What
Python takes to collect garbage, which comes at any moment and walks over all that Airflow has loaded, is told apart,
and beside it what one collection takes in that process before the first wait.
10,000 triggers that live and die, a hundred at a time, half of them cancelled, many in the middle of a request: open
files and memory afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import asyncio.events
import gc
import os
import random
import signal
import statistics
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import aiohttp
from _waits import Server, calls, ours, prepare, processes, start_jobs

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.models import Settings

HELD = 0.05  # seconds
AT_ONCE = 100
SLOW = ({"kind": "hang", "seconds": 3.0, "times": 300}, {"kind": "slow", "bytes_per_second": 200.0, "times": 200})


def cpu_of_waiting(host: str, waits: int, seconds: float) -> tuple[float, float]:
    """Shares of a core: of waits that are not due, and of sleeping."""
    config = prepare(host)

    async def measure(begin: Callable[[], Any]) -> float:
        tasks = [asyncio.create_task(begin()) for _ in range(waits)]
        await asyncio.sleep(3)
        gc.collect()
        used = time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - used) / seconds
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return share

    async def run() -> tuple[float, float]:
        from airflow_provider_mps.client.polling.poller import shared_poller

        numbers = iter(range(waits))
        async with shared_poller(config) as poller:
            due = asyncio.get_running_loop().time() + 600.0

            async def wait() -> None:
                action = describe(f"1250000000-WorkflowTask-{next(numbers)}")
                await poller.poll(action, due=due, created=time.time())

            waiting = await measure(wait)
        return waiting, await measure(lambda: asyncio.sleep(600))

    return asyncio.run(run())


class Held(NamedTuple):
    """How long one callback held the loop, in seconds; of the CPU time, how much went into collecting garbage."""

    cpu: float
    wall: float
    collecting: float
    what: str

    @property
    def working(self) -> float:
        return self.cpu - self.collecting


class Loop(NamedTuple):
    """What an event loop did: the callbacks that held it longest, how many there were, and Python's collections."""

    held: list[Held]
    count: int
    before: float  # seconds for collecting everything, before the first wait
    objects: int
    full: list[float]  # seconds for each collection of everything, while it ran


def collecting_everything() -> float:
    """Seconds, as the median of five times."""
    taken = []
    for _ in range(5):
        began = time.thread_time()
        gc.collect()
        taken.append(time.thread_time() - began)
    return statistics.median(taken)


def loop_of_a_slow_server(host: str, waits: int, seconds: float) -> Loop:
    """How long single callbacks held the loop."""
    prepare(host, timeout=10.0)
    before, objects = collecting_everything(), len(gc.get_objects())
    held: list[Held] = []
    full: list[float] = []
    count = 0
    collecting = began = 0.0
    where = ""
    plain = asyncio.events.Handle._run  # type: ignore[attr-defined]  # the one place that every callback passes

    def look_where(_: int, frame: FrameType | None) -> None:
        nonlocal where
        stack = traceback.extract_stack(frame)[:-7:-1]
        where = " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in stack)

    def collect(phase: str, told: dict[str, int]) -> None:
        nonlocal collecting, began
        if phase == "start":
            began = time.thread_time()
            return
        collecting += time.thread_time() - began
        if told["generation"] == 2:
            full.append(time.thread_time() - began)

    def timed(handle: Any) -> None:
        nonlocal count, where, collecting
        count, where, collecting = count + 1, "", 0.0
        signal.setitimer(signal.ITIMER_PROF, HELD / 2)
        wall, cpu = time.perf_counter(), time.thread_time()
        plain(handle)
        used = Held(time.thread_time() - cpu, time.perf_counter() - wall, collecting, where)
        if max(used.cpu, used.wall) > HELD / 10:
            held.append(used)

    signal.signal(signal.SIGPROF, look_where)
    gc.callbacks.append(collect)

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            for fault in SLOW:
                async with session.post(f"{host}/control/faults", json={**fault, "action": "DescribeTaskDetail"}):
                    pass
        task_ids = await start_jobs(host, [random.uniform(20, seconds) for _ in range(waits)])
        asyncio.events.Handle._run = timed  # type: ignore[attr-defined]
        tasks = [asyncio.create_task(ours(task_id, 10.0)) for task_id in task_ids]
        await asyncio.wait(tasks, timeout=seconds)
        asyncio.events.Handle._run = plain  # type: ignore[attr-defined]
        signal.setitimer(signal.ITIMER_PROF, 0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        if any(isinstance(result, Exception) for result in results):
            raise RuntimeError("a wait failed")

    asyncio.run(run())
    return Loop(held, count, before, objects, full)


class Footprint(NamedTuple):
    """What a process holds."""

    lives: int
    cancelled: int
    files: int
    memory: int  # bytes


def lives(host: str, count: int) -> list[Footprint]:
    """Start, end and cancel triggers; what the process holds now and then."""
    prepare(host, quota_share=10.0, timeout=5.0)
    from airflow_provider_mps.triggers.mps import MpsTaskTrigger

    MpsTaskTrigger.settings = PollerSettings(earliest_event=0.0, min_poll_delay=0.0)
    held: list[Footprint] = []
    cancelled = 0

    async def live(ended: str, running: str) -> None:
        nonlocal cancelled
        if random.random() < 0.5:
            await ours(ended, 0.1)
            return
        task = asyncio.create_task(ours(running, 0.05))
        await asyncio.sleep(random.uniform(0, 0.4))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        cancelled += task.cancelled()

    async def run() -> None:
        ended = await start_jobs(host, [0.01] * AT_ONCE)
        running = await start_jobs(host, [3600.0] * AT_ONCE)
        for number in range(count // AT_ONCE):
            # Now and then the server hangs, so that many are cancelled while they wait for an answer.
            fault = {"kind": "hang", "seconds": 0.3, "times": AT_ONCE // 2, "action": "DescribeTaskDetail"}
            async with aiohttp.ClientSession() as session, session.post(f"{host}/control/faults", json=fault):
                pass
            await asyncio.gather(*(live(*pair) for pair in zip(ended, running, strict=True)))
            if number % (count // AT_ONCE // 5) == 0 or number == count // AT_ONCE - 1:
                await asyncio.sleep(0.5)
                held.append(_footprint((number + 1) * AT_ONCE, cancelled))

    asyncio.run(run())
    return held


def _footprint(lived: int, cancelled: int) -> Footprint:
    gc.collect()
    with open("/proc/self/statm") as file:
        memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return Footprint(lived, cancelled, len(os.listdir("/proc/self/fd")), memory)


def main() -> None:
    """Measure one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of everything")
    part = 0.2 if parser.parse_args().quick else 1.0
    with processes(1) as pool:
        with Server(Settings()) as server:
            waits, seconds = int(5000 * part), 30.0
            waiting, sleeping = pool.submit(cpu_of_waiting, server.host, waits, seconds).result()
            log = server.ask(calls)
            print(f"\n{waits:,} waits that are not due: {waiting:.2%} of a core, {len(log)} lists;", end=" ")
            print(f"as many sleeps: {sleeping:.2%}")
            if any(call.action != "DescribeTasks" for call in log):
                raise SystemExit("broken: polls of what is not due")
        with Server(Settings()) as server:
            waits, seconds = int(2000 * part), 90.0 if part == 1 else 45.0
            loop = pool.submit(loop_of_a_slow_server, server.host, waits, seconds).result()
            sent, held = len(server.ask(calls)), loop.held
            print(f"\n{waits:,} waits and a slow server: {sent} requests, {loop.count:,} callbacks of the loop")
            longest = max(held, key=lambda each: each.working, default=Held(0.0, 0.0, 0.0, "none"))
            print(f"  longest: {longest.working * 1e3:.0f} ms of CPU: {longest.what}")
            print(f"  over {HELD * 1e3:.0f} ms: {sum(each.working > HELD for each in held)} in CPU time", end=" ")
            print(f"({sum(each.cpu > HELD for each in held)} with garbage),", end=" ")
            by_clock = [each for each in held if each.wall > HELD]
            print(f"{len(by_clock)} by the clock, longest {max((each.wall for each in held), default=0) * 1e3:.0f} ms")
            longest_full = max(loop.full, default=0.0)
            print(
                f"  Python collected everything {len(loop.full)} times, for {longest_full * 1e3:.0f} ms at most;",
                end=" ",
            )
            print(f"before the first wait it takes {loop.before * 1e3:.0f} ms ({loop.objects:,} objects of Airflow)")
        with Server(Settings(rates={"DescribeTaskDetail": 0, "DescribeTasks": 0})) as server:
            held_by_then = pool.submit(lives, server.host, int(10_000 * part)).result()
            print("\ntriggers that lived, of them cancelled, open files, memory")
            for each in held_by_then:
                print(f"  {each.lives:8,} {each.cancelled:8,} {each.files:8} {each.memory / 1e6:10.1f} MB")


if __name__ == "__main__":
    main()
