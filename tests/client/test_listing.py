"""Bulk looks: a list calls looks forward. It saves time and looks, decides nothing, and may be wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
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


def test_a_list_costs_few_looks_of_its_own(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it remembers of the tasks that it has not shown is bounded."""
    monkeypatch.setattr(lane_module, "_MOST_UNLISTED", 5)
    monkeypatch.setattr(listing, "_EVERY", 30.0)
    ids = [mps.backend.run_for(0.01) for _ in range(20)]
    _, lane = _run(lambda: _crowd(replace(slow, quota_share=1.0), ids, every=0.1))
    assert len(lane.unlisted) == 5
