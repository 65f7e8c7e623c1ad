"""The poller: many waits, one session, one rate limiter."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client import rate_limiter
from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.poller import Poller, shared_poller
from airflow_provider_mps.client.polling.queue import PollQueue, PollResult
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.polling.wait import next_poll_delay
from airflow_provider_mps.client.retry import is_throttled
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTransportError
from airflow_provider_mps.results.task import TaskState
from tests.support.waits import DONE, RUNNING, open_files, poll, run, status, until


@pytest.mark.parametrize(
    ("age", "poll_interval", "seconds"),
    [
        (0, 30, 5),
        (50, 30, 5),
        (100, 30, 10),
        (299, 30, 29.9),
        (301, 30, 30),
        (86_400, 30, 30),
        (86_400, 600, 600),
        (0, 2, 2),
        (1000, 2, 2),
        (-100, 30, 5),
    ],
)
def test_the_delay_grows_with_the_age(age: float, poll_interval: float, seconds: float) -> None:
    """Short jobs are noticed soon, long ones are not polled all the time; never longer than ``poll_interval``."""
    assert next_poll_delay(age, poll_interval, PollerSettings(jitter=0.0)) == pytest.approx(seconds)


@given(st.floats(0, 1e6), st.floats(0.1, 1e5))
def test_the_delay_is_within_what_was_asked_for(age: float, poll_interval: float) -> None:
    """No task is polled more often than every 5 seconds, unless asked for, never each second; less often by jitter."""
    longest = max(1.1 * poll_interval, 1.0)
    assert max(0.9 * min(5.0, poll_interval), 1.0) <= next_poll_delay(age, poll_interval) <= longest


def test_one_poll_serves_all_who_wait_for_a_task(mps: LocalMps, config: ClientConfig) -> None:
    """A hundred waits for one id cost one call, made when the first of them is due."""
    task_id = mps.backend.script([DONE])

    async def hundred() -> list[PollResult]:
        async with shared_poller(config) as poller:
            return await asyncio.gather(*(poll(poller, task_id, after=0.05 + 0.01 * n) for n in range(100)))

    started = time.monotonic()
    assert {status(result) for result in run(hundred)} == {"FINISH"}
    assert time.monotonic() - started < 1.0
    assert len(mps.backend.calls) == 1


def test_what_is_due_first_is_polled_first(mps: LocalMps, config: ClientConfig) -> None:
    """Also while the pace makes everybody wait: nobody who came later overtakes."""
    ids = [mps.backend.script([DONE]) for _ in range(10)]
    ended: list[int] = []

    async def wait(poller: Poller, number: int) -> None:
        await poll(poller, ids[number], after=(number - 20) * 0.01)
        ended.append(number)

    async def all_of_them() -> None:
        async with shared_poller(replace(config, quota_share=0.2)) as poller:  # 20 a second
            await asyncio.gather(*(wait(poller, number) for number in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)))

    run(all_of_them)
    assert ended == sorted(ended)


def test_a_poll_is_not_made_before_it_is_due(mps: LocalMps, config: ClientConfig) -> None:
    """And an earlier wish of somebody else brings it forward for both."""
    late, both = mps.backend.script([DONE]), mps.backend.script([DONE])

    async def work() -> float:
        async with shared_poller(config) as poller:
            started = time.monotonic()
            await poll(poller, late, after=0.3)
            assert time.monotonic() - started >= 0.3
            started = time.monotonic()
            await asyncio.gather(poll(poller, both, after=60), poll(poller, both, after=0.1))
            return time.monotonic() - started

    assert 0.1 <= run(work) < 2


@pytest.mark.fault("F52")
def test_f52_a_restart_sends_no_more_than_the_pace(mps: LocalMps, config: ClientConfig) -> None:
    """A thousand waits that begin at once do not make a burst: 50 looks a second by default."""
    ids = [mps.backend.script([RUNNING]) for _ in range(1000)]

    async def work() -> None:
        async with shared_poller(config) as poller:
            waits = [asyncio.ensure_future(poll(poller, task_id)) for task_id in ids]
            await until(lambda: len(mps.backend.calls) >= 60)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    run(work)
    calls = mps.backend.calls
    assert len(calls) <= 50 * (calls[-1].time - calls[0].time) + 5
    assert {call.code for call in calls} == {""}


@pytest.mark.fault("F51")
def test_f51_a_storm_of_refusals_fails_nobody(mps: LocalMps, config: ClientConfig) -> None:
    """A server that allows a fifth of what is documented: every look is answered in the end, and few are refused."""
    mps.backend.settings.rates["DescribeTaskDetail"] = 20
    ids = [mps.backend.script([DONE]) for _ in range(200)]

    async def work() -> list[PollResult]:
        async with shared_poller(replace(config, quota_share=1.0)) as poller:
            return await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    results = run(work, timeout=60)
    assert {status(result) for result in results} == {"FINISH"}
    assert sum(call.code != "" for call in mps.backend.calls) <= 20
    assert max(result.delay for result in results) > 5


@pytest.mark.fault("F51")
def test_f51_hundreds_of_waits_share_a_small_quota(mps: LocalMps, config: ClientConfig) -> None:
    """
    Three hundred jobs, each to be looked at three times, and a server that takes half of what the pace begins with:
    all end, and once the limit is found, less than one request in a hundred is refused.
    """
    mps.backend.settings.rates["DescribeTaskDetail"] = 50
    ids = [mps.backend.script([RUNNING, RUNNING, DONE]) for _ in range(300)]

    async def wait(poller: Poller, task_id: str) -> int:
        looks = 1
        while status(await poll(poller, task_id)) != "FINISH":
            looks += 1
        return looks

    async def work() -> list[int]:
        async with shared_poller(replace(config, quota_share=1.0)) as poller:
            return await asyncio.gather(*(wait(poller, task_id) for task_id in ids))

    assert run(work, timeout=120) == [3] * 300
    settled = list(mps.backend.calls)[450:]
    assert len(settled) >= 450
    assert sum(call.code != "" for call in settled) < 0.01 * len(settled)


@pytest.mark.fault("F51")
def test_a_refused_poll_is_told_of_in_the_end(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that is refused for good is an outage for its waits, which they bound in time."""
    monkeypatch.setattr(rate_limiter, "THROTTLE_COOLDOWN", 0.1)
    mps.backend.faults.add(Fault("throttle", times=None))

    async def work() -> PollResult:
        async with shared_poller(config, settings=PollerSettings(throttle_timeout=0.2)) as poller:
            return await poll(poller, mps.backend.script([DONE]))

    result = run(work)
    assert isinstance(result.outcome, MpsApiError)
    assert is_throttled(result.outcome)
    assert len(mps.backend.calls) > 1


@pytest.mark.fault("F53")
def test_f53_a_submission_does_not_wait_for_polls_(mps: LocalMps, config: ClientConfig) -> None:
    """While five hundred looks wait for their turn, a job is sent before most of them."""
    ids = [mps.backend.script([RUNNING]) for _ in range(500)]

    async def work() -> None:
        async with shared_poller(config) as poller, AsyncMpsClient(config) as client:
            waits = [asyncio.ensure_future(poll(poller, task_id)) for task_id in ids]
            await until(lambda: len(mps.backend.calls) > 5)
            await client.call(ProcessMedia(input_info={"Type": "URL", "UrlInputInfo": {"Url": "https://a.invalid/a"}}))
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    run(work)
    assert [call.action for call in mps.backend.calls].index("ProcessMedia") < 250


def test_a_poller_ends_with_its_last_wait(mps: LocalMps, config: ClientConfig) -> None:
    """Its session is closed and none of its tasks is left; the next wait starts another one."""
    task_id = mps.backend.script([DONE])

    async def work() -> tuple[set[Poller], int]:
        pollers, before = set(), len(asyncio.all_tasks())
        for _ in range(3):
            async with shared_poller(config) as first, shared_poller(config) as second:
                assert first is second
                pollers.add(first)
                await poll(first, task_id)
        await asyncio.sleep(0)
        return pollers, len(asyncio.all_tasks()) - before

    pollers, left = run(work)
    assert len(pollers) == 3
    assert left == 0


def test_two_event_loops_have_a_poller_each(mps: LocalMps, config: ClientConfig) -> None:
    """Loops of two threads, at the same time, do not meet each other's session; the pace of the process is one."""
    task_id = mps.backend.script([DONE])
    together = threading.Barrier(2, timeout=10)

    async def work() -> Poller:
        async with shared_poller(config) as poller:
            await asyncio.to_thread(together.wait)
            await poll(poller, task_id)
            await asyncio.to_thread(together.wait)
            return poller

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: run(work), range(2))
    assert first is not second
    assert len(mps.backend.calls) == 2


def test_many_waits_for_one_task_leave_as_quickly_as_others(mps: LocalMps, config: ClientConfig) -> None:
    """Ten thousand cost what ten thousand waits for as many tasks do, and not the square of it, in whatever order."""
    task_id = mps.backend.script([DONE])

    async def work(ids: list[str]) -> float:
        async with shared_poller(config) as poller:
            waits = [asyncio.ensure_future(poll(poller, each, after=60)) for each in ids]
            await asyncio.sleep(0.01)
            gc.collect()
            started = time.process_time()
            for wait in reversed(waits):
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return time.process_time() - started

    same = min(run(lambda: work([task_id] * 10_000)) for _ in range(3))
    different = min(run(lambda: work([f"{task_id}{number}" for number in range(10_000)])) for _ in range(3))
    assert same < 5 * different


def test_places_that_were_left_are_cleared_away(mps: LocalMps, config: ClientConfig) -> None:
    """Thousands of waits that came and went behind one that stays do not stay with it."""
    first = mps.backend.script([DONE])

    async def work() -> int:
        async with shared_poller(config) as poller:
            stays = asyncio.ensure_future(poll(poller, first, after=50))
            for number in range(3000):
                goes = asyncio.ensure_future(poll(poller, f"{first}{number}", after=60))
                await asyncio.sleep(0)
                goes.cancel()
            await asyncio.sleep(0.05)
            (queue,) = poller._queues.values()
            stays.cancel()
            return len(queue._heap)

    assert run(work) < 200


@pytest.mark.fault("F64")
def test_f64_ten_thousand_waits_leave_nothing(mps: LocalMps, config: ClientConfig) -> None:
    """Some end, some are cancelled before they are due, some in mid-request: no task, entry or socket stays."""
    ids = [mps.backend.script([DONE]) for _ in range(50)]

    async def life(poller: Poller, number: int) -> None:
        after = 0.0 if number % 200 == 0 else 60.0
        wait = asyncio.ensure_future(poll(poller, f"{ids[number % 50]}{number if after else ''}", after=after))
        await asyncio.sleep(0)
        if number % 400 == 200:
            await asyncio.sleep(0.005)
        if after or number % 400 == 200:
            wait.cancel()
        await asyncio.wait([wait])

    async def work() -> tuple[int, int, PollQueue]:
        async with shared_poller(config) as poller:
            await life(poller, 0)
            sockets = open_files()
            for start in range(0, 10_000, 500):
                await asyncio.gather(*(life(poller, number) for number in range(start, start + 500)))
            (queue,) = poller._queues.values()
            gc.collect()
            after = open_files()
            return sockets, after, queue

    before, after, queue = run(work, timeout=120)
    assert len(queue) == 0
    assert len(queue._heap) < 200
    assert after <= before + 10


def test_many_hanging_requests_are_bounded(mps: LocalMps, config: ClientConfig) -> None:
    """A server that hangs collects so many requests and no more; when it is back, all are answered."""
    mps.backend.faults.add(Fault("hang", seconds=0.5, times=5))
    ids = [mps.backend.script([DONE]) for _ in range(12)]

    async def work() -> list[PollResult]:
        settings = PollerSettings(max_concurrent_polls=5)
        async with shared_poller(replace(config, quota_share=1.0), settings=settings) as poller:
            return await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    outcomes = [result.outcome for result in run(work)]
    assert mps.backend.calls[5].time - mps.backend.calls[0].time >= 0.5
    assert sum(isinstance(outcome, MpsTransportError) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, TaskState) and outcome.is_finished for outcome in outcomes) == 7
