"""The pace: even, never above its ceiling, halved by a refusal, back slowly."""

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
from airflow_provider_mps.client.rate_limiter import SLOWEST, RateLimiter, rate_limiter_for
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


def _sends(pace: RateLimiter, clock: Clock, seconds: float) -> list[float]:
    """The times at which somebody sends who always wants to."""
    end, times = clock.now + seconds, []
    while clock.now < end:
        clock.now += pace.take()
        times.append(clock.now)
        pace.passed()
    return times


def _ask_a_server(pace: RateLimiter, clock: Clock, allowed: float, seconds: float) -> tuple[list[float], list[float]]:
    """Send for so long to a server that takes ``allowed`` a second; the times of what was taken and refused."""
    end, taken, refused = clock.now + seconds, [], []
    while clock.now < end:
        clock.now += pace.take()
        if sum(at > clock.now - 1 for at in taken[-200:]) < allowed:
            taken.append(clock.now)
            pace.passed()
        else:
            refused.append(clock.now)
            pace.refused(clock.now)
    return taken, refused


@given(st.floats(0.5, 200), st.lists(st.floats(0, 5), max_size=30))
def test_no_second_holds_more_than_the_ceiling(ceiling: float, pauses: list[float]) -> None:
    """Whatever the gaps between those who want to send, no window of a second holds a burst."""
    clock = Clock()
    pace = RateLimiter(ceiling, clock=clock)
    times = []
    for pause in pauses:
        clock.now += pause
        for _ in range(3):
            clock.now += pace.take()
            times.append(clock.now)
    for start in times:
        assert sum(start <= at < start + 1 - 1e-6 for at in times) <= ceiling + 1


@given(st.sampled_from([4.0, 20.0, 50.0, 100.0]), st.lists(st.floats(0, 0.05), min_size=1, max_size=20))
def test_who_wakes_late_sends_no_burst(ceiling: float, latenesses: list[float]) -> None:
    """A loop that is late now and then makes up for it, but never with more in a second than the ceiling."""
    clock = Clock()
    pace = RateLimiter(ceiling, clock=clock)
    times = []
    for lateness in latenesses * 20:
        clock.now += pace.wait() + lateness
        clock.now += pace.take()
        times.append(clock.now)
    for start in times:
        assert sum(start <= at < start + 1 - 1e-6 for at in times) <= ceiling + 1


@pytest.mark.parametrize("ceiling", [20, 100])
def test_a_busy_loop_keeps_the_pace(ceiling: float) -> None:
    """Who wakes some milliseconds late each time still sends 97 % of what is allowed."""
    clock = Clock()
    pace = RateLimiter(ceiling, clock=clock)
    end, sent = clock.now + 60, 0
    while clock.now < end:
        clock.now += pace.wait() + 0.005
        pace.take()
        sent += 1
    assert sent / 60 == pytest.approx(0.97 * ceiling, rel=0.01)


def _used(clock: Clock, ceiling: float = 20) -> RateLimiter:
    """A pace at which requests have been sent for a while."""
    pace = RateLimiter(ceiling, clock=clock)
    _sends(pace, clock, 3)
    return pace


@pytest.mark.fault("F53")
def test_a_refusal_halves_it_and_time_brings_it_back() -> None:
    """Half at once, just below the old rate after 5 seconds, no more than 5 % above that in a minute, all in ten."""
    clock = Clock()
    pace = _used(clock)
    pace.refused(clock.now)
    assert pace.rate == pytest.approx(10)
    clock.now += 5
    assert pace.rate == pytest.approx(19, rel=0.01)
    clock.now += 60
    assert pace.rate == pytest.approx(19.95, rel=0.01)
    clock.now += 540
    assert pace.rate == 20


@pytest.mark.parametrize("storm", [5.0, 20.0, 600.0])
def test_a_storm_is_over_when_it_is_over(storm: float) -> None:
    """Somebody else used up the account for a while: the rate from before is back within a minute."""
    clock = Clock()
    pace = _used(clock, 50)
    end = clock.now + storm
    while clock.now < end:
        clock.now += pace.take()
        pace.refused(clock.now)
    assert pace.rate < 10
    _sends(pace, clock, 60)
    assert pace.rate > 45


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("ceiling", [10, 100])
def test_refusals_that_come_slowly_tell_no_more(seconds: float, ceiling: float) -> None:
    """While everything is refused, what was sent before its refusal came proves no rate: a minute later it is back."""
    clock = Clock()
    pace = _used(clock, ceiling)
    under_way: list[float] = []
    end = clock.now + 60
    while clock.now < end:
        clock.now += pace.take()
        under_way.append(clock.now)
        while under_way and under_way[0] + seconds <= clock.now:
            pace.refused(under_way.pop(0))
    _sends(pace, clock, 60)
    assert pace.rate > 0.9 * ceiling


def test_turns_come_in_order_and_none_is_kept_by_who_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a turn and is cancelled takes none with him; the others go in the order in which they asked."""
    monkeypatch.setattr(rate_limiter, "_CATCH_UP", 0.0)
    pace, went = RateLimiter(50), []

    async def go(number: int) -> None:
        await pace.turn()
        went.append(number)

    async def all_go() -> float:
        tasks = [asyncio.create_task(go(number)) for number in range(1000)]
        await asyncio.sleep(0)
        for task in tasks[2:-2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return pace.wait()

    assert asyncio.run(all_go()) < 0.5
    assert went == [0, 1, 998, 999]


def test_what_was_under_way_counts_once() -> None:
    """Requests sent before the slowing down do not slow down further when their refusals come in."""
    clock = Clock()
    pace = _used(clock)
    sent = clock.now
    clock.now += 0.5
    pace.refused(sent)
    rate = pace.rate
    for _ in range(10):
        pace.refused(sent)
    assert pace.rate == rate
    clock.now += 0.1
    pace.refused(clock.now)
    assert pace.rate < rate


def test_it_never_stops() -> None:
    """However often it is refused, it asks every few seconds, and comes back when the limit is gone."""
    clock = Clock()
    pace = RateLimiter(20, clock=clock)
    for _ in range(100):
        clock.now += pace.take()
        pace.refused(clock.now)
    assert pace.rate == SLOWEST
    clock.now += 60
    assert pace.rate > 10


def test_a_refusal_hands_out_no_turn_twice() -> None:
    """Turns that others wait for already stay theirs, and the next one comes after them."""
    clock = Clock()
    pace = RateLimiter(20, clock=clock)
    waits = [pace.take() for _ in range(100)]
    pace.refused(clock.now)
    assert pace.take() > max(waits)


@pytest.mark.fault("F51")
@pytest.mark.parametrize("allowed", [2, 4, 10, 20, 60])
def test_it_finds_the_limit_of_the_server(allowed: float) -> None:
    """Without being told: under 1 % refused after the first 30 seconds, and nine tenths of what is allowed used."""
    clock = Clock()
    pace = RateLimiter(100, clock=clock)
    _ask_a_server(pace, clock, allowed, 30)
    taken, refused = _ask_a_server(pace, clock, allowed, 600)
    assert len(refused) < 0.01 * (len(taken) + len(refused))
    assert len(taken) / 600 > 0.9 * allowed


@pytest.mark.fault("F53")
def test_two_processes_share_without_knowing_of_each_other() -> None:
    """Both get on, neither starves, and few requests are refused."""
    clock = Clock()
    paces = [RateLimiter(20, clock=clock), RateLimiter(20, clock=clock)]
    due = [clock.now, clock.now]
    taken: list[tuple[float, int]] = []
    refused = 0
    end = clock.now + 600
    while clock.now < end:
        who = due.index(min(due))
        clock.now = due[who]
        if sum(at > clock.now - 1 for at, _ in taken[-50:]) < 20:
            taken.append((clock.now, who))
            paces[who].passed()
        else:
            refused += 1
            paces[who].refused(clock.now)
        due[who] = clock.now + max(paces[who].take(), 1e-3)
    share = sum(who == 0 for _, who in taken) / len(taken)
    assert refused < 0.03 * len(taken)
    assert 0.2 < share < 0.8
    assert len(taken) / 600 > 0.85 * 20


def test_threads_share_one_pace() -> None:
    """Turns taken at the same time by several threads are different turns, however slow the threads are."""
    pace = RateLimiter(1000, clock=Clock())
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: pace.take(), range(2000)))
    assert waits[-1] == pytest.approx(1999 / 970, abs=0.025)
    turns = [wait for wait in waits if wait]  # the first twenty or so catch up, and are all now
    assert min(later - earlier for earlier, later in pairwise(turns)) == pytest.approx(1 / 970)


_CONFIG = ClientConfig(Credentials("AKIDpacing", "key"), quota_share=0.25)


@pytest.mark.fault("F53")
def test_a_request_takes_one_turn(client: Caller, mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over either transport as many turns as requests, the one that follows a refusal included."""
    turns: list[RateLimiter] = []

    def take(pace: RateLimiter) -> float:
        turns.append(pace)
        return 0.0

    monkeypatch.setattr(RateLimiter, "take", take)
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
def test_looks_keep_to_a_share(action: Action[Any], ceiling: float) -> None:
    """A part of what MPS documents is left to others by what polls; what somebody waits for may use all of it."""
    assert rate_limiter_for(action, _CONFIG).ceiling == ceiling


def test_who_shares_a_pace() -> None:
    """The same account and endpoint, whatever else differs; not another account, endpoint or action."""
    action = DescribeTaskDetail(task_id=_ID)
    pace = rate_limiter_for(action, _CONFIG)
    assert rate_limiter_for(DescribeTaskDetail(task_id=f"{_ID}x"), _CONFIG) is pace
    assert rate_limiter_for(action, replace(_CONFIG, region="ap-nanjing", proxy="http://127.0.0.1:1")) is pace
    assert rate_limiter_for(action, replace(_CONFIG, credentials=Credentials("AKIDother", "key"))) is not pace
    assert rate_limiter_for(action, replace(_CONFIG, endpoint="https://mps.intl.tencentcloudapi.com")) is not pace
    assert rate_limiter_for(DescribeTasks(status="FINISH"), _CONFIG) is not pace


def test_connections_that_disagree_share_all_the_same() -> None:
    """Two shares of one account are one pace, and a refusal of one slows both."""
    action = DescribeTaskDetail(task_id=f"{_ID}share")
    pace = rate_limiter_for(action, replace(_CONFIG, quota_share=0.5))
    pace.refused(time.monotonic())
    other = rate_limiter_for(action, replace(_CONFIG, quota_share=0.6))
    assert other is pace
    assert other.ceiling == 60
    assert other.rate < 60


def test_a_fork_keeps_no_lock() -> None:
    """A process that is forked while another thread asks for a pace can still ask for one."""
    with rate_limiter._paces_lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            rate_limiter_for(DescribeTaskDetail(task_id=_ID), _CONFIG)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_pacing_costs_nothing_when_nobody_hurries() -> None:
    """Who asks more slowly than is allowed never waits."""
    pace = RateLimiter(50)
    assert pace.take() == 0
    time.sleep(0.05)
    assert pace.wait() == 0
    assert pace.take() == 0
