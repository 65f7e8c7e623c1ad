"""Pauses that lists make longer, and how far back those lists have to go."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.metrics import NULL_METRICS
from airflow_provider_mps.client.polling.queue import PollQueue, PollResult
from airflow_provider_mps.client.rate_limiter import RateLimiter
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.waits import DONE, run


def test_pauses_can_be_relaxed_and_are_what_they_were_again(mps: LocalMps, config: ClientConfig) -> None:
    """Longer from there on; back at once, also those that have begun, when that ends."""
    task_id = mps.backend.script([DONE])

    async def work() -> tuple[float, float]:
        async with AsyncMpsClient(config) as client:
            lane = PollQueue(client, RateLimiter(100), NULL_METRICS)
            running = asyncio.ensure_future(lane.run())
            times = []
            for restore in (False, True):
                lane.relax(4.0)
                started = time.monotonic()
                due = asyncio.get_running_loop().time() + 0.2
                look = asyncio.ensure_future(lane.look(describe(task_id), due=due, since=0.0))
                await asyncio.sleep(0.05)
                if restore:
                    lane.relax(1.0)
                await look
                times.append(time.monotonic() - started)
            running.cancel()
            await asyncio.wait([running])
            return times[0], times[1]

    relaxed, restored = run(work)
    assert 0.8 <= relaxed < 2
    assert 0.2 <= restored < 0.7


@pytest.mark.parametrize(("since", "first"), [(150.0, True), (50.0, False)], ids=["first look", "older than the list"])
def test_what_no_list_can_name_is_not_relaxed(mps: LocalMps, config: ClientConfig, since: float, first: bool) -> None:
    """A wait that was just taken over may have ended before any list begins, and some hold no older task."""
    ids = [mps.backend.script([DONE]) for _ in range(2)]

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane = PollQueue(client, RateLimiter(100), NULL_METRICS)
            running = asyncio.ensure_future(lane.run())
            lane.relax(1000.0, since=100.0)
            started = time.monotonic()
            due = asyncio.get_running_loop().time() + 0.2
            later = asyncio.ensure_future(lane.look(describe(ids[0]), due=due, since=150.0))
            await lane.look(describe(ids[1]), due=due, since=since, first=first)
            took = time.monotonic() - started
            assert not later.done()
            running.cancel()
            later.cancel()
            await asyncio.wait([running, later])
            return took

    assert 0.2 <= run(work) < 20


@pytest.mark.parametrize("first_comes", [True, False], ids=["it came first", "it came second"])
def test_a_first_look_is_not_relaxed_by_another_wait(mps: LocalMps, config: ClientConfig, first_comes: bool) -> None:
    """Two wait for one task, and one of them has just begun: its look comes when it is due, whoever came first."""
    task_id = mps.backend.script([DONE])

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane = PollQueue(client, RateLimiter(100), NULL_METRICS)
            running = asyncio.ensure_future(lane.run())
            lane.relax(1000.0)
            started = time.monotonic()
            due = asyncio.get_running_loop().time() + 0.3
            wishes = [{"due": due, "first": True}, {"due": due - 0.1, "first": False}]
            looks = []
            for wish in wishes if first_comes else reversed(wishes):
                looks.append(asyncio.ensure_future(lane.look(describe(task_id), since=0.0, **wish)))  # type: ignore[arg-type]
                await asyncio.sleep(0)
            await asyncio.gather(*looks)
            running.cancel()
            await asyncio.wait([running])
            return time.monotonic() - started

    assert 0.3 <= run(work) < 5


@pytest.mark.parametrize(
    ("straggler", "oldest"), [(1100.0, 1100.0), (700_000.0, 1250.0)], ids=["a little older", "of last week"]
)
def test_how_far_back_a_list_has_to_go(config: ClientConfig, straggler: float, oldest: float) -> None:
    """To the oldest task; but one in two hundred may be much older than the others, and makes no list longer."""

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane, now = PollQueue(client, RateLimiter(100), NULL_METRICS), time.time()
            due = asyncio.get_running_loop().time() + 1000.0
            ages = [straggler] + [1000.0] * 250
            looks = [
                asyncio.ensure_future(lane.look(describe(f"24-WorkflowTask-{number}"), due=due, since=now - age))
                for number, age in enumerate(ages)
            ]
            await asyncio.sleep(0)
            since = lane.oldest
            assert since is not None
            for look in looks:
                look.cancel()
            await asyncio.wait(looks)
            return now - since

    assert run(work) == pytest.approx(oldest, abs=5)


def test_a_pause_that_was_longer_than_asked_for_is_no_delay(mps: LocalMps, config: ClientConfig) -> None:
    """When pauses are what they were again, looks that were due long ago come at once, in their order, and not late."""
    ids = [mps.backend.script([DONE]) for _ in range(3)]

    async def work() -> tuple[list[PollResult], list[int]]:
        async with AsyncMpsClient(config) as client:
            lane = PollQueue(client, RateLimiter(20), NULL_METRICS)
            running = asyncio.ensure_future(lane.run())
            lane.relax(1000.0)
            order: list[int] = []

            async def wait(number: int) -> PollResult:
                due = asyncio.get_running_loop().time() + 0.1 * (number + 1)
                sighting = await lane.look(describe(ids[number]), due=due, since=0.0)
                order.append(number)
                return sighting

            looks = [asyncio.ensure_future(wait(number)) for number in (2, 0, 1)]
            await asyncio.sleep(2)
            lane.relax(1.0)
            sightings = await asyncio.gather(*looks)
            running.cancel()
            await asyncio.wait([running])
            return sightings, order

    sightings, order = run(work)
    assert max(sighting.late for sighting in sightings) < 1.5
    assert order == [0, 1, 2]
