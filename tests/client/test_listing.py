"""Bulk looks: a list calls looks forward. It saves time and looks, decides nothing, and may be wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from airflow_provider_mps.client import lane as lane_module
from airflow_provider_mps.client import listing
from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.lane import Lane, Sighting
from airflow_provider_mps.client.watch import Watch, watching
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.results.task import TaskState


def _run(work: Callable[[], Coroutine[Any, Any, Any]], timeout: float = 60) -> Any:
    return asyncio.run(asyncio.wait_for(work(), timeout))


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_EVERY", 0.2)
    monkeypatch.setattr(lane_module, "_CROWD", 1.0)


@pytest.fixture
def slow(config: ClientConfig) -> ClientConfig:
    """Twenty looks and twenty lists a second; more than twenty waits are a crowd."""
    return replace(config, quota_share=0.2)


async def _wait(watch: Watch, task_id: str, since: float, *, every: float = 20.0) -> tuple[float, Sighting]:
    """Look until it ends; when that was noticed, and the last look."""
    loop = asyncio.get_running_loop()
    due = loop.time() + every
    while True:
        sighting = await watch.look(describe(task_id), due=due, since=since)
        if isinstance(sighting.outcome, TaskState) and sighting.outcome.is_finished:
            return time.time(), sighting
        due = loop.time() + every


async def _crowd(config: ClientConfig, ids: list[str], *, every: float = 20.0) -> tuple[list[float], Lane]:
    """Wait for all; the times at which their ends were noticed, and the lane of their looks."""
    since = time.time()
    async with watching(config) as watch:
        ended = await asyncio.gather(*(_wait(watch, task_id, since, every=every) for task_id in ids))
        return [at for at, _ in ended], watch._lanes["DescribeTaskDetail"]


def _calls(mps: LocalMps, action: str) -> int:
    return sum(call.action == action for call in mps.backend.calls)


@pytest.mark.parametrize("window", ["creation", "end"])
def test_ended_tasks_are_looked_at_first(mps: LocalMps, slow: ClientConfig, window: Literal["creation", "end"]) -> None:
    """Ten of eighty end: they are noticed in the time that ten looks take, whichever time the list filters."""
    mps.backend.settings.list_window = window
    ending = [mps.backend.run_for(1.0) for _ in range(10)]
    running = [mps.backend.run_for(1000.0) for _ in range(70)]

    async def work() -> list[float]:
        since = time.time()
        async with watching(slow) as watch:
            others = [asyncio.ensure_future(_wait(watch, task_id, since)) for task_id in running]
            ended = await asyncio.gather(*(_wait(watch, task_id, since) for task_id in ending))
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            return [at for at, _ in ended]

    started = time.time()
    noticed = _run(work)
    assert max(noticed) - started < 1.0 + 10 / 20 + 2
    assert 10 <= _calls(mps, "DescribeTaskDetail") < 20


def test_a_list_is_not_asked_for_without_a_crowd(mps: LocalMps, slow: ClientConfig) -> None:
    """Where looking at each alone is quick enough, nothing else is asked."""
    ids = [mps.backend.run_for(0.5) for _ in range(5)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.5))
    assert len(noticed) == 5
    assert _calls(mps, "DescribeTasks") == 0


def test_a_list_that_is_relied_on_saves_looks(mps: LocalMps, slow: ClientConfig) -> None:
    """Pauses between looks grow, up to four times, and back to what was asked for when the crowd has gone."""
    ids = [mps.backend.run_for(1.0 + number * 0.02) for number in range(60)]
    relaxed: set[float] = set()

    async def work() -> Lane:
        crowd = asyncio.ensure_future(_crowd(slow, ids))
        while not crowd.done():
            await asyncio.sleep(0.05)
            for watches in list(_watches()):
                relaxed.update(lane.relaxed for lane in watches._lanes.values())
        return (await crowd)[1]

    def _watches() -> list[Watch]:
        from airflow_provider_mps.client import watch as module

        return [watch for watches in module._watches.values() for watch in watches.values()]

    lane = _run(work)
    assert relaxed == {1.0, 4.0}
    assert lane.relaxed == 1.0
    assert _calls(mps, "DescribeTaskDetail") <= 70


def test_a_list_that_shows_nothing_is_given_up(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks that are never listed: each is looked at alone, all are noticed, and one line says why."""
    monkeypatch.setattr(mps.backend, "_filtered_time", lambda task, status: 0.0)
    ids = [mps.backend.run_for(0.1) for _ in range(100)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.1))
    assert len(noticed) == 100
    lines = [record for record in caplog.records if "does not help" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].levelno == logging.WARNING
    assert "are not in it" in lines[0].getMessage()


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameterValue", "ActionOffline"])
def test_a_list_that_is_refused_is_given_up(
    mps: LocalMps, slow: ClientConfig, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that may not list, or an account where it does not work: one line, and the waits go on."""
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code=code, times=None))
    ids = [mps.backend.run_for(0.1) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.1))
    assert len(noticed) == 60
    assert sum("does not help" in record.getMessage() for record in caplog.records) == 1
    assert _calls(mps, "DescribeTasks") == 1


def test_an_outage_of_the_list_passes(mps: LocalMps, slow: ClientConfig, caplog: pytest.LogCaptureFixture) -> None:
    """Trouble on the way is no reason to give it up."""
    mps.backend.faults.add(Fault("status", action="DescribeTasks", status=502, times=5))
    ids = [mps.backend.run_for(2.0) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids))
    assert len(noticed) == 60
    assert "does not help" not in caplog.text
    assert _calls(mps, "DescribeTaskDetail") <= 70


def test_a_list_that_lies_changes_no_verdict(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that are listed as ended and run on: each is looked at, found running and waited for to its end."""
    genuine = mps.backend._list

    def lie(parameters: dict[str, Any]) -> dict[str, Any]:
        items = [{"TaskId": task_id, "TaskType": "WorkflowTask"} for task_id in list(mps.backend.tasks)[:20]]
        return {**genuine(parameters), "TaskSet": items, "ScrollToken": ""}

    model, _ = mps.backend._handlers["DescribeTasks"]
    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, lie))
    ids = [mps.backend.run_for(4.0) for _ in range(60)]
    started = time.time()
    noticed, _ = _run(lambda: _crowd(slow, ids, every=2.0))
    assert min(noticed) - started >= 3.5


def test_a_long_list_is_read_in_rounds(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with many other jobs: no round asks for more than so many pages, and the next one goes on."""
    monkeypatch.setattr(listing, "_PAGES_A_ROUND", 3)
    asked: list[dict[str, Any]] = []
    genuine = mps.backend._list

    def record(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters)
        return genuine({**parameters, "Limit": 10})  # a hundred a page would take a thousand jobs

    model, _ = mps.backend._handlers["DescribeTasks"]
    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, record))
    for _ in range(50):
        mps.backend.run_for(0.01)  # somebody else's
    ids = [mps.backend.run_for(1.0) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(replace(slow, quota_share=0.2), ids))
    assert len(noticed) == 60
    assert max(int(each.get("ScrollToken") or 0) for each in asked) >= 50


def test_a_straggler_makes_no_list_long(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One job of last week among two hundred of now: the list is not read from last week on."""
    asked: list[str] = []
    enough = threading.Event()
    genuine = mps.backend._list

    def record(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters["StartTime"])
        if len(asked) == 3:
            enough.set()
        return genuine(parameters)

    model, _ = mps.backend._handlers["DescribeTasks"]
    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, record))
    now = time.time()
    begun = dict.fromkeys((mps.backend.run_for(1000.0) for _ in range(200)), now)
    begun[mps.backend.run_for(1000.0)] = now - 7 * 86_400

    async def work() -> None:
        async with watching(slow) as watch:
            waits = [asyncio.ensure_future(_wait(watch, task_id, since)) for task_id, since in begun.items()]
            assert await asyncio.to_thread(enough.wait, 30)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    assert all(datetime.fromisoformat(start).timestamp() > now - 3600 for start in asked)


def _answer_lists(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, change: Any) -> list[dict[str, Any]]:
    """Let ``change`` make what DescribeTasks answers; the parameters that it was asked with."""
    model, genuine = mps.backend._handlers["DescribeTasks"]
    asked: list[dict[str, Any]] = []

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters)
        return change(genuine(parameters))  # type: ignore[no-any-return]

    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, answer))
    return asked


def test_a_list_that_names_running_tasks_starves_nobody(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other turn belongs to what is overdue, and a list that is mostly wrong is given up."""
    ids = [mps.backend.run_for(1000.0) for _ in range(60)]
    named = [{"TaskId": task_id, "TaskType": "WorkflowTask"} for task_id in ids[:40]]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": named, "ScrollToken": ""})

    async def work() -> None:
        async with watching(slow) as watch:
            waits = [asyncio.ensure_future(_wait(watch, task_id, time.time(), every=0.5)) for task_id in ids]
            await asyncio.sleep(7)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    assert min(mps.backend.tasks[task_id].looks for task_id in ids[40:]) >= 1


def test_a_list_without_an_end_is_given_up(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that always leads to one more page, be it empty or full."""
    monkeypatch.setattr(listing, "_EVERY", 0.05)
    monkeypatch.setattr(listing, "_PAGES_A_ROUND", 2)
    monkeypatch.setattr(listing, "_ROUNDS_A_LIST", 3)
    other = [{"TaskId": "1250000000-WorkflowTask-other", "TaskType": "WorkflowTask"}]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": other, "ScrollToken": "for ever"})
    ids = [mps.backend.run_for(1.0) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.5))
    assert len(noticed) == 60
    assert "It has no end" in caplog.text


def test_an_empty_page_ends_a_list(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever token comes with it."""
    asked = _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": [], "ScrollToken": "more"})
    ids = [mps.backend.run_for(2.0) for _ in range(60)]
    _run(lambda: _crowd(slow, ids, every=1.0))
    assert all("ScrollToken" not in parameters for parameters in asked)


def test_a_fault_of_ours_in_the_listing_stops_no_look(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing depends on the list: it is given up, and the looks go on."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(listing.Listing, "_round", fail)
    ids = [mps.backend.run_for(0.1) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.1))
    assert len(noticed) == 60
    assert sum("does not help" in record.getMessage() for record in caplog.records) == 1
    assert "ZeroDivisionError" in caplog.text


def test_what_ended_long_ago_is_not_missed_in_a_list(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restart: tasks that ended before any window began say nothing against the list."""
    monkeypatch.setattr(listing, "_OVERLAP", 1.5)
    mps.backend.settings.list_window = "end"
    mps.backend.clock_offset = -1000.0
    ended = [mps.backend.run_for(0.01) for _ in range(60)]
    for task_id in ended:
        mps.backend._end_of(mps.backend.tasks[task_id])
    mps.backend.clock_offset = 0.0
    running = [mps.backend.run_for(4.0) for _ in range(40)]
    noticed, _ = _run(lambda: _crowd(slow, [*ended, *running], every=0.1))
    assert len(noticed) == 100
    assert "does not help" not in caplog.text


@pytest.mark.parametrize("window", ["creation", "end"])
def test_the_window_is_as_long_as_it_has_to_be(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, window: Literal["creation", "end"]
) -> None:
    """A list that filters the end is asked for the last moments only; one that filters the creation for all of it."""
    monkeypatch.setattr(listing, "_OVERLAP", 1.0)
    mps.backend.settings.list_window = window
    asked = _answer_lists(mps, monkeypatch, lambda page: page)
    started = time.time()
    ids = [mps.backend.run_for(2.0 + 0.05 * number) for number in range(60)]
    ids += [mps.backend.run_for(1000.0) for _ in range(40)]

    async def work() -> int:
        async with watching(slow) as watch:
            waits = [asyncio.ensure_future(_wait(watch, task_id, started, every=30.0)) for task_id in ids]
            await asyncio.sleep(9)
            noticed = sum(wait.done() for wait in waits)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return noticed

    assert _run(work) >= 55
    oldest = f"{datetime.fromtimestamp(started - 1, UTC):%Y-%m-%dT%H:%M:%SZ}"
    late = [parameters["StartTime"] for parameters in asked[len(asked) // 2 :]]
    assert any(start <= oldest for start in late) == (window == "creation")


def test_a_list_that_fails_is_not_relied_on(mps: LocalMps, slow: ClientConfig) -> None:
    """While it cannot be read, looks at each task alone are as frequent as they were asked to be."""
    ids = [mps.backend.run_for(1.0 + 0.02 * number) for number in range(30)]
    ids += [mps.backend.run_for(1000.0) for _ in range(60)]

    async def work() -> tuple[set[float], set[float]]:
        async with watching(slow) as watch:
            waits = [asyncio.ensure_future(_wait(watch, task_id, time.time())) for task_id in ids]
            await asyncio.sleep(0.1)
            lane = watch._lanes["DescribeTaskDetail"]
            helped, failing = set(), set()
            for _ in range(30):
                await asyncio.sleep(0.1)
                helped.add(lane.relaxed)
            mps.backend.faults.add(Fault("error", action="DescribeTasks", code="InternalError", times=None))
            await asyncio.sleep(8)
            for _ in range(5):
                await asyncio.sleep(0.1)
                failing.add(lane.relaxed)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return helped, failing

    helped, failing = _run(work)
    assert 4.0 in helped
    assert failing == {1.0}
