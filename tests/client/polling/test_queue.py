"""The queue alone: pauses that become longer and shorter, expedited tasks, and how far back lists have to go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.queue import PollQueue, PollResult
from airflow_provider_mps.client.rate_limiter import RateLimiter
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.waits import DONE, RUNNING, run, status, until


def _with_queue(
    config: ClientConfig, work: Callable[[PollQueue], Awaitable[Any]], *, rate: float = 100.0, **arguments: Any
) -> Any:
    """What ``work`` returns, with a queue that runs meanwhile."""

    async def all_of_it() -> Any:
        async with AsyncMpsClient(config) as client:
            queue = PollQueue(client, RateLimiter(rate), **arguments)
            running = asyncio.ensure_future(queue.run())
            try:
                return await work(queue)
            finally:
                running.cancel()
                await asyncio.wait([running])

    return run(all_of_it)


def _begin(
    queue: PollQueue, task_id: str, after: float, *, created: float | None = 0.0, accepts_hints: bool = True
) -> asyncio.Task[PollResult]:
    due = asyncio.get_running_loop().time() + after
    poll = queue.poll(describe(task_id), due=due, created=created, accepts_hints=accepts_hints)
    return asyncio.ensure_future(poll)


@pytest.mark.parametrize("when", ["before", "after", "taken back"])
def test_pauses_become_longer_and_shorter(mps: LocalMps, config: ClientConfig, when: str) -> None:
    """The factor counts for pauses that begin and for those that have begun, in both directions."""
    task_id = mps.backend.script([DONE])

    async def work(queue: PollQueue) -> float:
        if when == "before":
            queue.set_interval_factor(4.0)
        started = time.monotonic()
        poll = _begin(queue, task_id, 0.2)
        await asyncio.sleep(0.05)
        queue.set_interval_factor(4.0)
        if when == "taken back":
            queue.set_interval_factor(1.0)
        await poll
        return time.monotonic() - started

    took = _with_queue(config, work)
    assert (0.2 <= took < 0.7) if when == "taken back" else (0.8 <= took < 2)


@pytest.mark.parametrize(
    "wait",
    [{"created": None}, {"created": 50.0}, {"created": 150.0, "accepts_hints": False}],
    ids=["of unknown age", "older than the list", "ignores lists"],
)
def test_a_pause_without_lists_stays_as_requested(mps: LocalMps, config: ClientConfig, wait: dict[str, Any]) -> None:
    """A task that no list may name, or whose wait ignores lists, is polled as often as was requested."""
    ids = [mps.backend.script([DONE]) for _ in range(2)]

    async def work(queue: PollQueue) -> float:
        queue.set_interval_factor(1000.0, since=100.0)
        started = time.monotonic()
        longer = _begin(queue, ids[0], 0.2, created=150.0)
        await _begin(queue, ids[1], 0.2, **wait)
        assert not longer.done()
        longer.cancel()
        return time.monotonic() - started

    assert 0.2 <= _with_queue(config, work) < 20


@pytest.mark.parametrize("first_comes", [True, False])
def test_a_wait_that_shares_a_task_is_not_delayed(mps: LocalMps, config: ClientConfig, first_comes: bool) -> None:
    """Two waits for one task, of which one accepts no longer pause: the poll comes in time for it."""
    task_id = mps.backend.script([DONE])

    async def work(queue: PollQueue) -> float:
        queue.set_interval_factor(1000.0)
        started = time.monotonic()
        wishes = [(0.3, None), (0.2, 0.0)]
        polls = [
            _begin(queue, task_id, after, created=created) for after, created in wishes[:: 1 if first_comes else -1]
        ]
        await asyncio.gather(*polls)
        return time.monotonic() - started

    assert 0.2 <= _with_queue(config, work) < 5


def test_a_longer_pause_is_no_delay(mps: LocalMps, config: ClientConfig) -> None:
    """When pauses become shorter again, polls that are due come at once, in their order, and are not called late."""
    ids = [mps.backend.script([DONE]) for _ in range(3)]

    async def work(queue: PollQueue) -> tuple[list[PollResult], list[int]]:
        queue.set_interval_factor(1000.0)
        order: list[int] = []
        polls = [_begin(queue, ids[number], 0.1 * (number + 1)) for number in (2, 0, 1)]
        for number, poll in zip((2, 0, 1), polls, strict=True):
            poll.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
        await asyncio.sleep(2)
        queue.set_interval_factor(1.0)
        return list(await asyncio.gather(*polls)), order

    results, order = _with_queue(config, work, rate=20.0)
    assert max(result.delay for result in results) < 1.5
    assert order == [0, 1, 2]


def test_an_expedited_task_has_no_poll(mps: LocalMps, config: ClientConfig) -> None:
    """Its turn is left to a worker; waits that accept no hint are polled when they are due."""
    hinted, both = mps.backend.script([RUNNING]), mps.backend.script([DONE])

    async def work(queue: PollQueue) -> list[PollResult]:
        polls = [
            _begin(queue, hinted, 60),
            _begin(queue, both, 60),
            _begin(queue, both, 0.5, accepts_hints=False),
        ]
        await asyncio.sleep(0)
        for task_id in (hinted, both, "1250000000-WorkflowTask-other"):
            queue.expedite(task_id)
        return list(await asyncio.gather(*polls))

    first, second, third = _with_queue(config, work)
    assert (first.outcome, second.outcome) == (None, None)
    assert status(third) == "FINISH"
    assert len(mps.backend.calls) == 1


def test_expedited_tasks_keep_to_the_rate(mps: LocalMps, config: ClientConfig) -> None:
    """Each takes a turn of the rate limiter, so that no more workers are resumed than may send a request."""
    ids = [mps.backend.script([RUNNING]) for _ in range(20)]

    async def work(queue: PollQueue) -> float:
        polls = [_begin(queue, task_id, 60) for task_id in ids]
        await asyncio.sleep(0)
        started = time.monotonic()
        for task_id in ids:
            queue.expedite(task_id)
        await asyncio.gather(*polls)
        return time.monotonic() - started

    assert 0.8 < _with_queue(config, work, rate=20.0) < 3


def test_a_found_end_leaves_the_worker_a_turn(mps: LocalMps, config: ClientConfig) -> None:
    """A poll that finds the end, and the worker's: together they keep to the rate."""
    ids = [mps.backend.script([DONE]) for _ in range(10)]

    async def work(queue: PollQueue) -> float:
        started = time.monotonic()
        await asyncio.gather(*(_begin(queue, task_id, 0.0) for task_id in ids))
        return time.monotonic() - started

    assert 0.8 < _with_queue(config, work, rate=20.0, reserve_for_worker=True) < 3


def test_expedited_tasks_starve_no_overdue_one(mps: LocalMps, config: ClientConfig) -> None:
    """They take turns."""
    ids = [mps.backend.script([RUNNING]) for _ in range(20)]

    async def work(queue: PollQueue) -> int:
        expedited = [_begin(queue, task_id, 60) for task_id in ids]
        overdue = _begin(queue, mps.backend.script([DONE]), 0.0, accepts_hints=False)
        await asyncio.sleep(0)
        for task_id in ids:
            queue.expedite(task_id)
        await overdue
        done = sum(poll.done() for poll in expedited)
        await asyncio.gather(*expedited)
        return done

    assert _with_queue(config, work, rate=20.0) <= 3


def test_a_task_that_is_being_polled_is_not_expedited(mps: LocalMps, config: ClientConfig) -> None:
    """The request may have been sent before the end; the next list names the task again."""
    task_id = mps.backend.script([RUNNING])

    async def work(queue: PollQueue) -> list[bool]:
        poll = _begin(queue, task_id, 0.1)
        await asyncio.sleep(0)
        answers = [queue.can_expedite(task_id)]
        await until(lambda: queue._requests)
        answers.append(queue.can_expedite(task_id))
        await poll
        answers.append(queue.can_expedite(task_id))
        return answers

    assert _with_queue(config, work) == [True, False, False]


@pytest.mark.parametrize(
    ("straggler", "oldest"), [(1100.0, 1100.0), (700_000.0, 1250.0)], ids=["a little older", "of last week"]
)
def test_how_far_back_a_list_has_to_go(config: ClientConfig, straggler: float, oldest: float) -> None:
    """To the oldest task; but one in two hundred may be much older than the others, and makes no list longer."""

    async def work(queue: PollQueue) -> float:
        now = time.time()
        polls = [
            _begin(queue, f"24-WorkflowTask-{number}", 1000.0, created=now - age)
            for number, age in enumerate([straggler] + [1000.0] * 250)
        ]
        await asyncio.sleep(0)
        start = queue.window_start(now)
        assert start is not None
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        return now - start

    assert _with_queue(config, work) == pytest.approx(oldest, abs=5)
