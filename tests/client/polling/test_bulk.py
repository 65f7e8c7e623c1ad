"""Lists of ended tasks expedite waits. They save time and requests, decide nothing, and may be wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.bulk import BulkStatusPoller
from airflow_provider_mps.client.polling.poller import Poller, shared_poller
from airflow_provider_mps.client.polling.queue import PollQueue
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.results.task import TaskState
from tests.support.waits import run, until

SETTINGS = PollerSettings(min_list_interval=0.2, max_list_interval=0.2)
UNRELIABLE = "DescribeTasks is unreliable for this account; polling each task individually."


async def _wait(poller: Poller, task_id: str, *, every: float = 20.0) -> tuple[float, bool]:
    """Wait as a trigger and its worker do; when the end was noticed, and whether by a hint that was right."""
    loop = asyncio.get_running_loop()
    created, accepts_hints = time.time(), True
    while True:
        due = loop.time() + every
        result = await poller.poll(describe(task_id), due=due, created=created, accepts_hints=accepts_hints)
        noticed, hinted = time.time(), result.outcome is None
        if hinted:  # the worker polls, and defers again if the task runs on
            accepts_hints = False
            result = await poller.poll(describe(task_id), due=loop.time(), created=created)
        if isinstance(result.outcome, TaskState) and result.outcome.is_finished:
            return noticed, hinted


@contextlib.asynccontextmanager
async def _waits(
    config: ClientConfig, ids: Sequence[str], *, every: float = 20.0, settings: PollerSettings = SETTINGS
) -> AsyncIterator[tuple[list[asyncio.Task[tuple[float, bool]]], PollQueue]]:
    """The waits for these and their queue, until the end of the block."""
    async with shared_poller(config, settings=settings) as poller:
        waits = [asyncio.create_task(_wait(poller, task_id, every=every)) for task_id in ids]
        await asyncio.sleep(0)  # they begin
        yield waits, poller._queues["DescribeTaskDetail"]
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def _all(
    config: ClientConfig, ids: Sequence[str], *, every: float = 20.0, settings: PollerSettings = SETTINGS
) -> list[tuple[float, bool]]:
    """How each of these was noticed, and when."""

    async def work() -> list[tuple[float, bool]]:
        async with _waits(config, ids, every=every, settings=settings) as (waits, _):
            return list(await asyncio.gather(*waits))

    noticed: list[tuple[float, bool]] = run(work, timeout=60)
    return noticed


def _calls(mps: LocalMps, action: str) -> int:
    return sum(call.action == action for call in mps.backend.calls)


def _answer_lists(mps: LocalMps, monkeypatch: pytest.MonkeyPatch, change: Any) -> list[dict[str, Any]]:
    """Let ``change`` make what DescribeTasks answers; the parameters that it was asked with."""
    model, genuine = mps.backend._handlers["DescribeTasks"]
    asked: list[dict[str, Any]] = []

    def answer(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters)
        return change(genuine(parameters))  # type: ignore[no-any-return]

    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, answer))
    return asked


def _named(ids: Sequence[str]) -> list[dict[str, str]]:
    return [{"TaskId": each, "TaskType": "WorkflowTask", "FinishTime": "2026-01-01T00:00:00Z"} for each in ids]


@pytest.mark.parametrize("window", ["creation", "end"])
def test_an_end_costs_one_request(mps: LocalMps, config: ClientConfig, window: Literal["creation", "end"]) -> None:
    """All are noticed with the next list, whichever time it filters, and only the worker polls."""
    mps.backend.settings.list_window = window
    started = time.time()
    noticed = _all(config, [mps.backend.run_for(1.0) for _ in range(20)])
    assert all(hinted for _, hinted in noticed)
    assert max(at for at, _ in noticed) - started < 4
    assert _calls(mps, "DescribeTaskDetail") == 20


@pytest.mark.parametrize(("waits", "lists"), [(4, False), (5, True)])
def test_lists_are_read_from_a_handful_of_waits_on(
    mps: LocalMps, config: ClientConfig, waits: int, lists: bool
) -> None:
    """For fewer, a list saves nothing."""
    _all(config, [mps.backend.run_for(1.0) for _ in range(waits)], every=0.5)
    assert (_calls(mps, "DescribeTasks") > 0) == lists


def test_lists_save_polls_until_the_waits_have_gone(mps: LocalMps, config: ClientConfig) -> None:
    """Pauses between polls grow with the first list, and are as requested again when few waits are left."""
    ids = [mps.backend.run_for(1.0 + 0.02 * number) for number in range(20)]
    stays = [mps.backend.run_for(1000.0) for _ in range(3)]

    async def work() -> None:
        async with _waits(config, [*ids, *stays], every=3.0) as (waits, queue):
            await until(lambda: queue.interval_factor == SETTINGS.interval_factor)
            await asyncio.gather(*waits[:20])
            await until(lambda: queue.interval_factor == 1.0)

    run(work)
    assert _calls(mps, "DescribeTaskDetail") <= 23


def test_lists_that_show_nothing_are_switched_off(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks that are never listed: each is polled alone, all are noticed, and one line says why."""
    monkeypatch.setattr(mps.backend, "_filtered_time", lambda task, status: 0.0)
    ids = [mps.backend.run_for(0.1 + 0.1 * number) for number in range(40)]
    noticed = _all(config, ids, every=0.3)
    assert not any(hinted for _, hinted in noticed)
    [line] = [record for record in caplog.records if UNRELIABLE in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert "misses tasks that have ended" in line.getMessage()


def test_lists_that_lie_change_no_verdict(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks that are listed as ended and run on: one hint for each, the wait goes on, and lists are switched off."""
    ids = [mps.backend.run_for(2.0) for _ in range(20)]
    asked = _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": _named(ids), "ScrollToken": ""})
    noticed = _all(config, ids, every=0.5)
    assert not any(hinted for _, hinted in noticed)
    assert UNRELIABLE in caplog.text
    assert len(asked) <= 5


def test_lists_that_lag_are_not_relied_on(mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named only after polls have found it: pauses are as requested, and no wait is later than that."""
    ids = [mps.backend.run_for(0.5 + 0.1 * number) for number in range(30)]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": [], "ScrollToken": ""})
    started = time.time()
    noticed = _all(config, ids, every=0.5, settings=replace(SETTINGS, min_credit=-1000))
    late = sorted(at - started - (0.5 + 0.1 * number) for number, (at, _) in enumerate(noticed))
    assert late[len(late) // 2] < 1.5


def test_a_task_without_an_end_is_no_hint(mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS gives no time of end to what still runs: a list of such tasks has ignored the status that was asked for."""
    ids = [mps.backend.run_for(1.0) for _ in range(10)]
    named = [{**each, "FinishTime": "0000-00-00T00:00:00Z"} for each in _named(ids)]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": named, "ScrollToken": ""})
    assert not any(hinted for _, hinted in _all(config, ids, every=0.5))


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "InvalidParameterValue", "ActionOffline"])
def test_lists_that_mps_rejects_are_switched_off(
    mps: LocalMps, config: ClientConfig, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that may not list, or an account where it does not work: one request, one line, and the waits go on."""
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code=code, times=None))
    assert len(_all(config, [mps.backend.run_for(1.0) for _ in range(10)], every=0.5)) == 10
    assert caplog.text.count(UNRELIABLE) == 1
    assert _calls(mps, "DescribeTasks") == 1


@pytest.mark.parametrize(("times", "off"), [(2, False), (None, True)])
def test_an_error_that_may_be_a_mishap_has_to_be_repeated(
    mps: LocalMps, config: ClientConfig, caplog: pytest.LogCaptureFixture, times: int | None, off: bool
) -> None:
    """Once or twice it may pass, and lists go on; three in a row are believed."""
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="FailedOperation", times=times))

    async def work() -> None:
        async with _waits(config, [mps.backend.run_for(1000.0) for _ in range(10)]):
            await until(lambda: _calls(mps, "DescribeTasks") >= (3 if off else 8))
            await asyncio.sleep(1)

    run(work)
    assert (_calls(mps, "DescribeTasks") == 3) == off
    assert (UNRELIABLE in caplog.text) == off


def test_lists_are_tried_again(mps: LocalMps, config: ClientConfig, caplog: pytest.LogCaptureFixture) -> None:
    """After an hour; the log tells of changes only, and not of each time that they are tried."""
    caplog.set_level(logging.INFO)
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="UnauthorizedOperation", times=3))
    ids = [mps.backend.run_for(3.0) for _ in range(10)]
    noticed = _all(config, ids, every=600.0, settings=replace(SETTINGS, list_pause=0.3))
    assert all(hinted for _, hinted in noticed)
    assert caplog.text.count(UNRELIABLE) == 1
    assert caplog.text.count("is reliable again") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("hang", action="DescribeTasks", seconds=30, times=None),
        Fault("error", action="DescribeTasks", code="InternalError", times=None),
        Fault("status", action="DescribeTasks", status=502, times=None),
    ],
    ids=["hangs", "an error", "a gateway"],
)
def test_lists_that_cannot_be_read_are_not_relied_on(
    mps: LocalMps, config: ClientConfig, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile pauses are as requested; an outage passes, so lists are tried on and are relied on again."""
    ids = [mps.backend.run_for(1000.0) for _ in range(10)]

    async def work() -> None:
        async with _waits(config, ids, settings=replace(SETTINGS, list_timeout=1.0)) as (_, queue):
            await until(lambda: queue.interval_factor > 1.0)
            mps.backend.faults.add(fault)
            await until(lambda: queue.interval_factor == 1.0)
            asked = _calls(mps, "DescribeTasks")
            await until(lambda: _calls(mps, "DescribeTasks") > asked)
            mps.backend.faults.clear()
            await until(lambda: queue.interval_factor > 1.0)

    run(work)
    assert UNRELIABLE not in caplog.text


def test_a_long_list_is_read_in_rounds(mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with many other jobs: a round reads one page for ten waits, and the next one goes on."""
    _answer_lists(mps, monkeypatch, lambda page: page)
    model, small = mps.backend._handlers["DescribeTasks"]
    asked: list[dict[str, Any]] = []

    def record(parameters: dict[str, Any]) -> dict[str, Any]:
        asked.append(parameters)
        return small({**parameters, "Limit": 10})  # type: ignore[no-any-return]  # a hundred would take a thousand jobs

    monkeypatch.setitem(mps.backend._handlers, "DescribeTasks", (model, record))
    for _ in range(50):
        mps.backend.run_for(0.01)  # somebody else's
    noticed = _all(config, [mps.backend.run_for(1.0) for _ in range(30)])
    assert all(hinted for _, hinted in noticed)
    assert max(int(each.get("ScrollToken") or 0) for each in asked) >= 50


def test_a_list_without_an_end_is_unreliable(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that always leads to one more page."""
    other = _named(["1250000000-WorkflowTask-other"])
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": other, "ScrollToken": "for ever"})
    ids = [mps.backend.run_for(2.0) for _ in range(10)]
    assert len(_all(config, ids, every=0.5, settings=replace(SETTINGS, max_rounds=3))) == 10
    assert "does not end" in caplog.text


@pytest.mark.fault("F88")
def test_f88_an_empty_page_ends_a_list(mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """F88: whatever token comes with it."""
    asked = _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": [], "ScrollToken": "more"})
    _all(config, [mps.backend.run_for(2.0) for _ in range(10)], every=1.0)
    assert asked
    assert all("ScrollToken" not in parameters for parameters in asked)


def test_a_fault_of_ours_in_reading_lists_stops_no_poll(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing depends on lists: they are switched off, and polling goes on."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(BulkStatusPoller, "_round", fail)
    assert len(_all(config, [mps.backend.run_for(1.0) for _ in range(10)], every=0.5)) == 10
    assert caplog.text.count(UNRELIABLE) == 1
    assert "ZeroDivisionError" in caplog.text


def test_what_ended_long_ago_is_not_missed(
    mps: LocalMps, config: ClientConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restart: tasks that ended before any window began say nothing against lists."""
    mps.backend.settings.list_window = "end"
    mps.backend.clock_offset = -1000.0
    ended = [mps.backend.run_for(0.01) for _ in range(30)]
    for task_id in ended:
        mps.backend.tasks[task_id].end(mps.backend.settings, mps.backend.now())
    mps.backend.clock_offset = 0.0
    running = [mps.backend.run_for(4.0) for _ in range(10)]
    noticed = _all(config, [*ended, *running], every=0.1, settings=replace(SETTINGS, list_overlap=1.5))
    assert len(noticed) == 40
    assert UNRELIABLE not in caplog.text


@pytest.mark.parametrize("window", ["creation", "end"])
def test_the_window_is_as_long_as_it_has_to_be(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, window: Literal["creation", "end"]
) -> None:
    """A list that filters the end is asked for the last moments only; one that filters the creation for all of it."""
    mps.backend.settings.list_window = window
    mps.backend.clock_offset = -1000.0
    old = mps.backend.run_for(1002.0)  # ends in two seconds, and shows which time is filtered
    mps.backend.clock_offset = 0.0
    asked = _answer_lists(mps, monkeypatch, lambda page: page)
    started = time.time()
    ids = [old, *(mps.backend.run_for(3.0) for _ in range(10)), *(mps.backend.run_for(1000.0) for _ in range(9))]

    async def work() -> None:
        async with _waits(config, ids, settings=replace(SETTINGS, list_overlap=1.0)) as (waits, _):
            await asyncio.gather(*waits[1:11])
            seen = len(asked)
            await until(lambda: len(asked) >= seen + 10)

    run(work)
    oldest = f"{datetime.fromtimestamp(started, UTC):%Y-%m-%dT%H:%M:%SZ}"
    late = [parameters["StartTime"] for parameters in asked[-5:]]
    assert all((start <= oldest) == (window == "creation") for start in late)


def test_no_ended_task_is_forgotten_in_an_outage(mps: LocalMps, config: ClientConfig) -> None:
    """The first list after it reaches back to the last one before it."""
    mps.backend.settings.list_window = "end"
    ids = [mps.backend.run_for(2.0) for _ in range(10)]
    mps.backend.faults.add(Fault("status", action="DescribeTasks", status=502, times=15))
    noticed = _all(config, ids, every=60.0, settings=replace(SETTINGS, list_overlap=1.0))
    assert all(hinted for _, hinted in noticed)
