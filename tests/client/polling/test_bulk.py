"""Bulk looks: a list calls looks forward. It saves time and looks, decides nothing, and may be wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling import bulk
from airflow_provider_mps.client.polling import queue as lane_module
from airflow_provider_mps.client.polling.metrics import NULL_METRICS, Metrics
from airflow_provider_mps.client.polling.poller import Poller, shared_poller
from airflow_provider_mps.client.polling.queue import PollQueue, PollResult
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.results.task import TaskState


def _run(work: Callable[[], Coroutine[Any, Any, Any]], timeout: float = 60) -> Any:
    return asyncio.run(asyncio.wait_for(work(), timeout))


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_EVERY", 0.2)
    monkeypatch.setattr(lane_module, "_CROWD", 1.0)


@pytest.fixture
def slow(config: ClientConfig) -> ClientConfig:
    """Twenty looks and twenty lists a second; more than twenty waits are a crowd."""
    return replace(config, quota_share=0.2)


async def _wait(
    watch: Poller, task_id: str, since: float, *, every: float = 20.0, word_is_enough: bool = False
) -> tuple[float, PollResult]:
    """Look until it ends; when that was noticed, and the last look."""
    loop = asyncio.get_running_loop()
    due = loop.time() + every
    while True:
        sighting = await watch.look(describe(task_id), due=due, since=since, word_is_enough=word_is_enough)
        if isinstance(sighting.outcome, TaskState) and sighting.outcome.is_finished:
            return time.time(), sighting
        due = loop.time() + every


async def _crowd(config: ClientConfig, ids: list[str], *, every: float = 20.0) -> tuple[list[float], PollQueue]:
    """Wait for all; the times at which their ends were noticed, and the lane of their looks."""
    since = time.time()
    async with shared_poller(config) as watch:
        ended = await asyncio.gather(*(_wait(watch, task_id, since, every=every) for task_id in ids))
        return [at for at, _ in ended], watch._lanes["DescribeTaskDetail"]


def test_a_look_under_way_uses_up_no_hint(mps: LocalMps, config: ClientConfig) -> None:
    """It may have been sent before the end: the list that names the task then calls a look once that has come back."""

    async def work() -> tuple[bool, bool, bool]:
        async with shared_poller(config) as watch:
            task_id = mps.backend.script([{"TaskType": "WorkflowTask", "Status": "PROCESSING"}])
            mps.backend.faults.add(Fault("hang", seconds=0.5))
            now = asyncio.get_running_loop().time()
            look = asyncio.ensure_future(watch.look(describe(task_id), due=now, since=0.0))
            lane = watch._lanes.get("DescribeTaskDetail")
            while lane is None:
                await asyncio.sleep(0)
                lane = watch._lanes.get("DescribeTaskDetail")
            waits = lane.can_be_called(task_id)
            await _until(lambda: lane._under_way)
            flies = lane.can_be_called(task_id)
            await look
            again = asyncio.ensure_future(watch.look(describe(task_id), due=now + 60, since=0.0))
            await asyncio.sleep(0)
            lands = lane.can_be_called(task_id)
            lane.call_forward(task_id)
            await again
            return waits, flies, lands

    assert _run(work) == (True, False, True)


def test_connections_that_share_a_pace_are_a_crowd_together(mps: LocalMps, slow: ClientConfig) -> None:
    """Fifteen waits of each of two regions: alone neither is a crowd, but they wait for the same turns."""
    configs = [replace(slow, region=region) for region in ("ap-guangzhou", "ap-beijing")]

    async def work() -> list[bool]:
        crowded = []
        async with shared_poller(configs[0]) as one, shared_poller(configs[1]) as other:
            due = asyncio.get_running_loop().time() + 60
            looks = []
            for watch in (one, other):
                for _ in range(15):
                    look = watch.look(describe(mps.backend.script([])), due=due, since=0.0)
                    looks.append(asyncio.ensure_future(look))
                await asyncio.sleep(0)
                crowded.append(one._lanes["DescribeTaskDetail"].crowded)
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        return crowded

    assert _run(work) == [False, True]


async def _until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)


def _calls(mps: LocalMps, action: str) -> int:
    return sum(call.action == action for call in mps.backend.calls)


@contextlib.asynccontextmanager
async def _crowd_of(config: ClientConfig, ids: list[str]) -> AsyncIterator[PollQueue]:
    """The lane of a crowd that waits for these, until the end of the block."""
    async with shared_poller(config) as watch:
        waits = [asyncio.ensure_future(_wait(watch, task_id, time.time())) for task_id in ids]
        await asyncio.sleep(0)  # they begin
        yield watch._lanes["DescribeTaskDetail"]
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


@pytest.mark.parametrize("window", ["creation", "end"])
def test_ended_tasks_are_looked_at_first(mps: LocalMps, slow: ClientConfig, window: Literal["creation", "end"]) -> None:
    """Ten of eighty end: they are noticed in the time that ten looks take, whichever time the list filters."""
    mps.backend.settings.list_window = window
    ending = [mps.backend.run_for(1.0) for _ in range(10)]
    running = [mps.backend.run_for(1000.0) for _ in range(70)]

    async def work() -> list[float]:
        since = time.time()
        async with shared_poller(slow) as watch:
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

    async def work() -> PollQueue:
        crowd = asyncio.ensure_future(_crowd(slow, ids))
        while not crowd.done():
            await asyncio.sleep(0.05)
            for watches in list(_watches()):
                relaxed.update(lane.relaxed for lane in watches._lanes.values())
        return (await crowd)[1]

    def _watches() -> list[Poller]:
        from airflow_provider_mps.client.polling import poller as module

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


@pytest.mark.parametrize(("times", "given_up"), [(2, False), (None, True)])
def test_a_refusal_that_nobody_documents_has_to_be_repeated(
    mps: LocalMps, slow: ClientConfig, caplog: pytest.LogCaptureFixture, times: int | None, given_up: bool
) -> None:
    """Once or twice it may be a mishap, and lists go on; three in a row are believed."""
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="FailedOperation", times=times))
    ids = [mps.backend.run_for(1000.0) for _ in range(60)]

    async def work() -> None:
        async with _crowd_of(slow, ids):
            await _until(lambda: _calls(mps, "DescribeTasks") >= (3 if given_up else 8))
            await asyncio.sleep(1)

    _run(work)
    assert (_calls(mps, "DescribeTasks") == 3) == given_up
    assert ("does not help" in caplog.text) == given_up


def test_a_list_that_was_given_up_is_tried_again(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an hour, as if it were new; the log tells of changes only, and not of each time that it is tried."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(bulk, "_TRY_AGAIN_AFTER", 0.3)
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="UnauthorizedOperation", times=3))
    ids = [mps.backend.run_for(4.0) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=600.0))  # without the list, nobody would look for minutes
    assert len(noticed) == 60
    assert sum("does not help" in record.getMessage() for record in caplog.records) == 1
    assert sum("helps again" in record.getMessage() for record in caplog.records) == 1


def test_nobody_relies_on_a_list_that_hangs(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no page comes, looks at each task alone are as frequent as they were asked to be, and it is asked again."""
    monkeypatch.setattr(bulk, "_PAGE_TIMEOUT", 1.0)
    ids = [mps.backend.run_for(1.0 + 0.02 * number) for number in range(30)]
    ids += [mps.backend.run_for(1000.0) for _ in range(60)]

    async def work() -> float:
        async with _crowd_of(slow, ids) as lane:
            await _until(lambda: lane.relaxed == 4.0)
            mps.backend.faults.add(Fault("hang", action="DescribeTasks", seconds=30, times=None))
            hanging = time.monotonic()
            await _until(lambda: lane.relaxed == 1.0)
            took, asked = time.monotonic() - hanging, _calls(mps, "DescribeTasks")
            await _until(lambda: _calls(mps, "DescribeTasks") > asked)
            return took

    assert _run(work) < slow.timeout / 2


def test_a_list_of_many_rounds_is_relied_on_between_its_ends(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pauses do not jump to and fro while a long list is read; they are decided upon at its end."""
    ids = [mps.backend.run_for(1.0 + 0.05 * number) for number in range(60)]
    ids += [mps.backend.run_for(1000.0) for _ in range(60)]
    answers, genuine = [], bulk.BulkStatusPoller._round

    async def some_rounds(self: bulk.BulkStatusPoller) -> bool:
        await genuine(self)
        answers.append((lane_of[0].relaxed, len(answers) % 3 == 2))
        return answers[-1][1]

    monkeypatch.setattr(bulk.BulkStatusPoller, "_round", some_rounds)
    lane_of: list[PollQueue] = []

    async def work() -> None:
        async with _crowd_of(slow, ids) as lane:
            lane_of.append(lane)
            await _until(lambda: lane.relaxed == 4.0)
            begun = len(answers)
            await _until(lambda: len(answers) >= begun + 5)

    _run(work)
    first = next(number for number, (relaxed, _) in enumerate(answers) if relaxed == 4.0)
    assert {relaxed for relaxed, _ in answers[first : first + 4]} == {4.0}


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
    """Tasks that are listed as ended and run on: each is looked at early, found running and waited for on."""
    ids = [mps.backend.run_for(1000.0) for _ in range(60)]
    named = [{"TaskId": task_id, "TaskType": "WorkflowTask"} for task_id in ids[:10]]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": named, "ScrollToken": ""})

    async def work() -> tuple[list[PollResult], list[bool]]:
        async with shared_poller(slow) as watch:
            loop = asyncio.get_running_loop()
            looks = [
                asyncio.ensure_future(watch.look(describe(task_id), due=loop.time() + 600, since=time.time()))
                for task_id in ids
            ]
            early = await asyncio.gather(*looks[:10])
            others = [look.done() for look in looks[10:]]
            for look in looks[10:]:
                look.cancel()
            await asyncio.gather(*looks[10:], return_exceptions=True)
            return early, others

    early, others = _run(work)
    for sighting in early:
        assert isinstance(sighting.outcome, TaskState)
        assert not sighting.outcome.is_finished
    assert not any(others)


def test_a_long_list_is_read_in_rounds(mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account with many other jobs: no round asks for more than so many pages, and the next one goes on."""
    monkeypatch.setattr(bulk, "_PAGES_A_ROUND", 3)
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
        async with shared_poller(slow) as watch:
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
        async with shared_poller(slow) as watch:
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
    monkeypatch.setattr(bulk, "_EVERY", 0.05)
    monkeypatch.setattr(bulk, "_PAGES_A_ROUND", 2)
    monkeypatch.setattr(bulk, "_ROUNDS_A_LIST", 3)
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

    monkeypatch.setattr(bulk.BulkStatusPoller, "_round", fail)
    ids = [mps.backend.run_for(0.1) for _ in range(60)]
    noticed, _ = _run(lambda: _crowd(slow, ids, every=0.1))
    assert len(noticed) == 60
    assert sum("does not help" in record.getMessage() for record in caplog.records) == 1
    assert "ZeroDivisionError" in caplog.text


def test_what_ended_long_ago_is_not_missed_in_a_list(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restart: tasks that ended before any window began say nothing against the list."""
    monkeypatch.setattr(bulk, "_OVERLAP", 1.5)
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
    monkeypatch.setattr(bulk, "_OVERLAP", 1.0)
    mps.backend.settings.list_window = window
    asked = _answer_lists(mps, monkeypatch, lambda page: page)
    started = time.time()
    ids = [mps.backend.run_for(2.0 + 0.05 * number) for number in range(60)]
    ids += [mps.backend.run_for(1000.0) for _ in range(40)]

    async def work() -> None:
        async with shared_poller(slow) as watch:
            waits = [asyncio.ensure_future(_wait(watch, task_id, started, every=20.0)) for task_id in ids]
            await asyncio.wait_for(asyncio.gather(*waits[:60]), 30)
            seen = len(asked)
            await _until(lambda: len(asked) >= seen + 10)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    oldest = f"{datetime.fromtimestamp(started - 1, UTC):%Y-%m-%dT%H:%M:%SZ}"
    late = [parameters["StartTime"] for parameters in asked[-5:]]
    assert any(start <= oldest for start in late) == (window == "creation")


def test_a_list_that_fails_is_not_relied_on(mps: LocalMps, slow: ClientConfig) -> None:
    """While it cannot be read, looks at each task alone are as frequent as they were asked to be."""
    ids = [mps.backend.run_for(1.0 + 0.02 * number) for number in range(30)]
    ids += [mps.backend.run_for(1000.0) for _ in range(60)]

    async def work() -> set[float]:
        async with _crowd_of(slow, ids) as lane:
            await _until(lambda: lane.relaxed == 4.0)
            mps.backend.faults.add(Fault("error", action="DescribeTasks", code="InternalError", times=None))
            await _until(lambda: lane.relaxed == 1.0)
            failing = set()
            for _ in range(10):
                await asyncio.sleep(0.1)
                failing.add(lane.relaxed)
            return failing

    assert _run(work) == {1.0}


class _Counts(Counter[str]):
    """An observer that only counts."""

    def count(self, name: str, action: str) -> None:
        self[name] += 1

    def gauge(self, name: str, value: float, action: str) -> None: ...

    def timing(self, name: str, seconds: float, action: str) -> None: ...


async def _all_at_once(
    config: ClientConfig, ids: dict[str, bool], observer: Metrics = NULL_METRICS
) -> list[PollResult]:
    """What the waits for these end with; whether a list's word is enough for each."""
    since = time.time()
    async with shared_poller(config, observer) as watch:
        waits = (_wait(watch, task_id, since, every=60.0, word_is_enough=enough) for task_id, enough in ids.items())
        return [sighting for _, sighting in await asyncio.gather(*waits)]


def test_a_list_that_has_proved_itself_is_taken_at_its_word(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Two hundred end at once, and ten seconds of looks would be needed: twenty are looked at, then the list will do.

    Only for those who say so; the others are looked at, every one.
    """
    monkeypatch.setattr(lane_module, "_SOON", 0.5)
    ids = {mps.backend.run_for(2.0): number % 5 != 0 for number in range(200)}
    counts = _Counts()
    sightings = _run(lambda: _all_at_once(slow, ids, counts))
    listed = [sighting for sighting in sightings if sighting.listed]
    assert counts["looks_spared"] == len(listed) > 100
    assert not any(sighting.listed for sighting, enough in zip(sightings, ids.values(), strict=True) if not enough)
    assert _calls(mps, "DescribeTaskDetail") == len(sightings) - len(listed) >= 20
    for sighting in listed:
        assert isinstance(sighting.outcome, TaskState)
        assert sighting.outcome.finish_time
        assert sighting.outcome.create_time
        assert sighting.outcome.request_id


def test_looks_that_come_soon_are_made_all_the_same(mps: LocalMps, slow: ClientConfig) -> None:
    """What the pace confirms within a few seconds is not left to a list."""
    ids = {mps.backend.run_for(2.0): True for _ in range(50)}
    sightings = _run(lambda: _all_at_once(slow, ids))
    assert not any(sighting.listed for sighting in sightings)
    assert _calls(mps, "DescribeTaskDetail") == 50


def test_a_list_that_was_wrong_is_not_taken_at_its_word(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names three tasks that run on, and a hundred that have ended: until that is long ago, each is looked at."""
    monkeypatch.setattr(lane_module, "_SOON", 0.5)
    monkeypatch.setattr(bulk, "_EVERY", 1.0)
    lies = [mps.backend.run_for(1000.0) for _ in range(3)]
    named = [{"TaskId": task_id, "TaskType": "WorkflowTask"} for task_id in lies]
    _answer_lists(mps, monkeypatch, lambda page: {**page, "TaskSet": page["TaskSet"] and named + page["TaskSet"]})
    ids = {mps.backend.run_for(2.0): True for _ in range(100)}

    async def work() -> list[PollResult]:
        async with _crowd_of(slow, lies):
            return await _all_at_once(slow, ids)

    assert not any(sighting.listed for sighting in _run(work))
    assert _calls(mps, "DescribeTaskDetail") == 103


def test_the_word_of_a_list_serves_only_those_who_want_it(
    mps: LocalMps, slow: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wait for each task: one goes with the list, the other's look comes in its turn."""
    monkeypatch.setattr(lane_module, "_SOON", 0.5)
    ids = [mps.backend.run_for(2.0) for _ in range(100)]

    async def work() -> tuple[list[PollResult], list[PollResult]]:
        going, staying = await asyncio.gather(
            _all_at_once(slow, dict.fromkeys(ids, True)), _all_at_once(slow, dict.fromkeys(ids, False))
        )
        return going, staying

    going, staying = _run(work)
    assert sum(sighting.listed for sighting in going) > 50
    assert not any(sighting.listed for sighting in staying)
    assert _calls(mps, "DescribeTaskDetail") == 100
