"""The rate limiter: even, never above its maximum, halved by a throttled request, back slowly."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client import rate_limiter
from airflow_provider_mps.client.actions import (
    Action,
    BatchProcessMedia,
    DescribeBatchTaskDetail,
    DescribeTaskDetail,
    DescribeTasks,
    EditMedia,
    ManageTask,
    ProcessMedia,
    RawAction,
)
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.rate_limiter import MIN_RATE, RateLimiter, rate_limiter_for
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.transports import Caller

_ID = "1250000000-WorkflowTask-0123456789abcdef"


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _sends(limiter: RateLimiter, clock: Clock, seconds: float) -> list[float]:
    """The times at which somebody sends who always wants to."""
    end, times = clock.now + seconds, []
    while clock.now < end:
        clock.now += limiter.reserve()
        times.append(clock.now)
        limiter.on_success()
    return times


def _ask_a_server(
    limiter: RateLimiter, clock: Clock, allowed: float, seconds: float
) -> tuple[list[float], list[float]]:
    """Send for so long to a server that takes ``allowed`` a second; the times of what was taken and throttled."""
    end, taken, throttled = clock.now + seconds, [], []
    while clock.now < end:
        clock.now += limiter.reserve()
        if sum(at > clock.now - 1 for at in taken[-200:]) < allowed:
            taken.append(clock.now)
            limiter.on_success()
        else:
            throttled.append(clock.now)
            limiter.on_throttled(clock.now)
    return taken, throttled


@given(st.floats(0.5, 200), st.lists(st.floats(0, 5), max_size=30))
def test_no_second_holds_more_than_the_maximum(ceiling: float, pauses: list[float]) -> None:
    """Whatever the gaps between those who want to send, no window of a second holds a burst."""
    clock = Clock()
    limiter = RateLimiter(ceiling, clock=clock)
    times = []
    for pause in pauses:
        clock.now += pause
        for _ in range(3):
            clock.now += limiter.reserve()
            times.append(clock.now)
    for start in times:
        assert sum(start <= at < start + 1 - 1e-6 for at in times) <= ceiling + 1


@given(st.sampled_from([4.0, 20.0, 50.0, 100.0]), st.lists(st.floats(0, 0.05), min_size=1, max_size=20))
def test_who_wakes_late_sends_no_burst(ceiling: float, latenesses: list[float]) -> None:
    """A loop that is late now and then makes up for it, but never with more in a second than the ceiling."""
    clock = Clock()
    limiter = RateLimiter(ceiling, clock=clock)
    times = []
    for lateness in latenesses * 20:
        clock.now += limiter.delay() + lateness
        clock.now += limiter.reserve()
        times.append(clock.now)
    for start in times:
        assert sum(start <= at < start + 1 - 1e-6 for at in times) <= ceiling + 1


@pytest.mark.parametrize("ceiling", [20, 100])
def test_a_busy_loop_keeps_the_pace(ceiling: float) -> None:
    """Who wakes some milliseconds late each time still sends 97 % of what is allowed."""
    clock = Clock()
    limiter = RateLimiter(ceiling, clock=clock)
    end, sent = clock.now + 60, 0
    while clock.now < end:
        clock.now += limiter.delay() + 0.005
        limiter.reserve()
        sent += 1
    assert sent / 60 == pytest.approx(0.97 * ceiling, rel=0.01)


def _used(clock: Clock, ceiling: float = 20) -> RateLimiter:
    """A limiter at which requests have been sent for a while."""
    limiter = RateLimiter(ceiling, clock=clock)
    _sends(limiter, clock, 3)
    return limiter


@pytest.mark.fault("F53")
def test_a_throttled_request_halves_it_and_time_brings_it_back() -> None:
    """Half at once, just below the old rate after 5 seconds; beyond it with the cube of the time, all in 10 minutes."""
    clock = Clock()
    limiter = _used(clock)
    throttled_at = clock.now
    limiter.on_throttled(throttled_at)
    assert limiter.rate == pytest.approx(10)
    clock.now += 5
    assert limiter.rate == pytest.approx(19, rel=0.01)
    for seconds, above in ((20, 0.05 / 27), (30, 0.05 / 8), (60, 0.05)):
        clock.now = throttled_at + 5 + seconds
        assert limiter.rate == pytest.approx(19 * (1 + above), rel=0.001)
    clock.now += 540
    assert limiter.rate == 20


@pytest.mark.parametrize("storm", [5.0, 20.0, 600.0])
def test_a_storm_is_over_when_it_is_over(storm: float) -> None:
    """Somebody else used up the account for a while: the rate from before is back within a minute."""
    clock = Clock()
    limiter = _used(clock, 50)
    end = clock.now + storm
    while clock.now < end:
        clock.now += limiter.reserve()
        limiter.on_throttled(clock.now)
    assert limiter.rate < 10
    _sends(limiter, clock, 60)
    assert limiter.rate > 45


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("ceiling", [10, 100])
def test_answers_that_come_slowly_show_no_more(seconds: float, ceiling: float) -> None:
    """While everything is throttled, what was sent before the answer came proves no rate: a minute later it is back."""
    clock = Clock()
    limiter = _used(clock, ceiling)
    under_way: list[float] = []
    end = clock.now + 60
    while clock.now < end:
        clock.now += limiter.reserve()
        under_way.append(clock.now)
        while under_way and under_way[0] + seconds <= clock.now:
            limiter.on_throttled(under_way.pop(0))
    _sends(limiter, clock, 60)
    assert limiter.rate > 0.9 * ceiling


def test_turns_come_in_order_and_none_is_lost_by_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled while it waits takes no turn; the others go in the order in which they asked."""
    monkeypatch.setattr(rate_limiter, "CATCH_UP", 0.0)
    limiter, went = RateLimiter(50), []

    async def go(number: int) -> None:
        await limiter.acquire()
        went.append(number)

    async def all_go() -> float:
        tasks = [asyncio.create_task(go(number)) for number in range(1000)]
        await asyncio.sleep(0)
        for task in tasks[2:-2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return limiter.delay()

    assert asyncio.run(all_go()) < 0.5
    assert went == [0, 1, 998, 999]


def test_what_was_under_way_counts_once() -> None:
    """Requests sent before the rate was lowered do not lower it further when their answers come in."""
    clock = Clock()
    limiter = _used(clock)
    sent = clock.now
    clock.now += 0.5
    limiter.on_throttled(sent)
    rate = limiter.rate
    for _ in range(10):
        limiter.on_throttled(sent)
    assert limiter.rate == rate
    clock.now += 0.1
    limiter.on_throttled(clock.now)
    assert limiter.rate < rate


def test_it_never_stops() -> None:
    """However often it is throttled, it asks every few seconds, and comes back when the limit is gone."""
    clock = Clock()
    limiter = RateLimiter(20, clock=clock)
    for _ in range(100):
        clock.now += limiter.reserve()
        limiter.on_throttled(clock.now)
    assert limiter.rate == MIN_RATE
    clock.now += 60
    assert limiter.rate > 10


def test_a_throttled_request_gives_no_turn_twice() -> None:
    """Turns that others wait for already stay theirs, and the next one comes after them."""
    clock = Clock()
    limiter = RateLimiter(20, clock=clock)
    waits = [limiter.reserve() for _ in range(100)]
    limiter.on_throttled(clock.now)
    assert limiter.reserve() > max(waits)


@pytest.mark.fault("F51")
@pytest.mark.parametrize("allowed", [2, 4, 10, 20, 60])
def test_it_finds_the_limit_of_the_server(allowed: float) -> None:
    """Without being told: under 1 % throttled after the first 30 seconds, and nine tenths of what is allowed used."""
    clock = Clock()
    limiter = RateLimiter(100, clock=clock)
    _ask_a_server(limiter, clock, allowed, 30)
    taken, throttled = _ask_a_server(limiter, clock, allowed, 600)
    assert len(throttled) < 0.01 * (len(taken) + len(throttled))
    assert len(taken) / 600 > 0.9 * allowed


@pytest.mark.fault("F53")
def test_two_processes_share_without_knowing_of_each_other() -> None:
    """Both get on, neither starves, and few requests are throttled."""
    clock = Clock()
    limiters = [RateLimiter(20, clock=clock), RateLimiter(20, clock=clock)]
    due = [clock.now, clock.now]
    taken: list[tuple[float, int]] = []
    throttled = 0
    end = clock.now + 600
    while clock.now < end:
        who = due.index(min(due))
        clock.now = due[who]
        if sum(at > clock.now - 1 for at, _ in taken[-50:]) < 20:
            taken.append((clock.now, who))
            limiters[who].on_success()
        else:
            throttled += 1
            limiters[who].on_throttled(clock.now)
        due[who] = clock.now + max(limiters[who].reserve(), 1e-3)
    share = sum(who == 0 for _, who in taken) / len(taken)
    assert throttled < 0.03 * len(taken)
    assert 0.2 < share < 0.8
    assert len(taken) / 600 > 0.85 * 20


def test_threads_share_one_limiter() -> None:
    """Turns taken at the same time by several threads are different turns, however slow the threads are."""
    limiter = RateLimiter(1000, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: limiter.reserve(), range(2000)))
    assert waits[-1] == pytest.approx(1999 / 970, abs=0.025)
    turns = [wait for wait in waits if wait]  # the first twenty or so catch up, and are all now
    assert min(later - earlier for earlier, later in pairwise(turns)) == pytest.approx(1 / 970)


_CONFIG = ClientConfig(Credentials("AKIDpacing", "key"), quota_share=0.25)


@pytest.mark.fault("F53")
def test_a_request_takes_one_turn(client: Caller, mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over either transport as many turns as requests, the one that follows a throttled request included."""
    turns: list[RateLimiter] = []

    def reserve(limiter: RateLimiter) -> float:
        turns.append(limiter)
        return 0.0

    monkeypatch.setattr(RateLimiter, "reserve", reserve)
    mps.backend.faults.add(Fault("throttle"))
    for _ in range(2):
        client.call(DescribeTasks(status="FINISH"))
    assert len(turns) == len(mps.backend.calls) == 3


@pytest.mark.fault("F53")
@pytest.mark.parametrize(
    ("action", "ceiling"),
    [
        (DescribeTaskDetail(task_id=_ID), 25.0),
        (DescribeBatchTaskDetail(task_id=_ID), 5.0),
        (DescribeTasks(status="FINISH"), 25.0),
        (ProcessMedia(input_info={}), 100.0),
        (BatchProcessMedia(input_info=[{}]), 20.0),
        (EditMedia(file_infos=[{}], output_storage={}, output_object_path="/a.mp4"), 20.0),
        (ManageTask(task_id=_ID), 20.0),
        (RawAction(action="DescribeTranscodeTemplates"), 20.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_polls_keep_to_a_share(action: Action[Any], ceiling: float) -> None:
    """A part of what MPS documents is left to others by what polls; what somebody waits for may use all of it."""
    assert rate_limiter_for(action, _CONFIG).max_rate == ceiling


def test_what_shares_a_limiter() -> None:
    """The same account and endpoint, whatever else differs; not another account, endpoint or action."""
    action = DescribeTaskDetail(task_id=_ID)
    limiter = rate_limiter_for(action, _CONFIG)
    assert rate_limiter_for(DescribeTaskDetail(task_id=f"{_ID}x"), _CONFIG) is limiter
    assert rate_limiter_for(action, replace(_CONFIG, region="ap-nanjing", proxy="http://127.0.0.1:1")) is limiter
    assert rate_limiter_for(action, replace(_CONFIG, credentials=Credentials("AKIDother", "key"))) is not limiter
    assert rate_limiter_for(action, replace(_CONFIG, endpoint="https://mps.intl.tencentcloudapi.com")) is not limiter
    assert rate_limiter_for(DescribeTasks(status="FINISH"), _CONFIG) is not limiter


def test_each_raw_action_has_a_limiter_of_its_own() -> None:
    """MPS counts by the name of the action, also of those that have no class here."""
    names = ["DescribeTranscodeTemplates", "CreateTranscodeTemplate"]
    first, second = (rate_limiter_for(RawAction(action=name), _CONFIG) for name in names)
    assert first is not second
    first.on_throttled(time.monotonic())
    assert second.rate == second.max_rate > first.rate
    assert rate_limiter_for(RawAction(action=names[0], body={"Limit": 1}), _CONFIG) is first
    assert rate_limiter_for(RawAction(action="DescribeTaskDetail"), _CONFIG) is rate_limiter_for(
        DescribeTaskDetail(task_id=_ID), _CONFIG
    )


def test_connections_that_disagree_share_all_the_same() -> None:
    """Two shares of one account are one limiter, and a throttled request of one slows both."""
    action = DescribeTaskDetail(task_id=f"{_ID}share")
    limiter = rate_limiter_for(action, replace(_CONFIG, quota_share=0.5))
    limiter.on_throttled(time.monotonic())
    other = rate_limiter_for(action, replace(_CONFIG, quota_share=0.6))
    assert other is limiter
    assert other.max_rate == 60
    assert other.rate < 60


def test_a_fork_keeps_no_lock() -> None:
    """A process that is forked while another thread asks for a limiter can still ask for one."""
    with rate_limiter._limiters_lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            rate_limiter_for(DescribeTaskDetail(task_id=_ID), _CONFIG)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_pacing_costs_nothing_when_nobody_hurries() -> None:
    """Who asks more slowly than is allowed never waits."""
    limiter = RateLimiter(50)
    assert limiter.reserve() == 0
    time.sleep(0.05)
    assert limiter.delay() == 0
    assert limiter.reserve() == 0
