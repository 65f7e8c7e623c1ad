"""The watch: many waits, one session, one pace; what happens to one of them is nobody else's business."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client import aio, pacing
from airflow_provider_mps.client import lane as lane_module
from airflow_provider_mps.client import watch as watch_module
from airflow_provider_mps.client.actions import ProcessMedia, describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials import Credentials, Lease
from airflow_provider_mps.client.lane import Lane, Sighting
from airflow_provider_mps.client.observing import NOBODY
from airflow_provider_mps.client.pacing import Pace, pace_of
from airflow_provider_mps.client.watch import Watch, interval, watching
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTransportError
from airflow_provider_mps.results.task import TaskState

_DONE = {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": {"Status": "FINISH"}}
_RUNNING = {"TaskType": "WorkflowTask", "Status": "PROCESSING", "WorkflowTask": {"Status": "PROCESSING"}}


def _run(work: Callable[[], Coroutine[Any, Any, Any]], timeout: float = 30) -> Any:
    return asyncio.run(asyncio.wait_for(work(), timeout))


async def _look(watch: Watch, task_id: str, *, after: float = 0.0) -> Sighting:
    due = asyncio.get_running_loop().time() + after
    return await watch.look(describe(task_id), due=due, since=time.time())


def _status(sighting: Sighting) -> str:
    assert isinstance(sighting.outcome, TaskState), sighting.outcome
    return sighting.outcome.status


def _open_files() -> int:
    """Of this process; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)


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
def test_the_interval_grows_with_the_age(age: float, poll_interval: float, seconds: float) -> None:
    """Short jobs are noticed soon, long ones are not asked for all the time; never longer than what was asked for."""
    assert interval(age, poll_interval) == pytest.approx(seconds)


@given(st.floats(0, 1e6), st.floats(0.1, 1e5))
def test_the_interval_is_within_what_was_asked_for(age: float, poll_interval: float) -> None:
    """No wait is looked at more often than every 5 seconds, unless asked for, nor less often than asked for."""
    assert min(5.0, poll_interval) <= interval(age, poll_interval) <= poll_interval


def test_one_look_serves_all_who_wait_for_a_task(mps: LocalMps, config: ClientConfig) -> None:
    """A hundred waits for one id cost one call, made when the first of them is due."""
    task_id = mps.backend.script([_DONE])

    async def hundred() -> list[Sighting]:
        async with watching(config) as watch:
            return await asyncio.gather(*(_look(watch, task_id, after=0.05 + 0.01 * n) for n in range(100)))

    started = time.monotonic()
    assert {_status(sighting) for sighting in _run(hundred)} == {"FINISH"}
    assert time.monotonic() - started < 1.0
    assert len(mps.backend.calls) == 1


def test_what_is_due_first_is_looked_at_first(mps: LocalMps, config: ClientConfig) -> None:
    """Also while the pace makes everybody wait: nobody who came later overtakes."""
    ids = [mps.backend.script([_DONE]) for _ in range(10)]
    ended: list[int] = []

    async def wait(watch: Watch, number: int) -> None:
        await _look(watch, ids[number], after=(number - 20) * 0.01)
        ended.append(number)

    async def all_of_them() -> None:
        async with watching(replace(config, quota_share=0.2)) as watch:  # 20 a second
            await asyncio.gather(*(wait(watch, number) for number in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)))

    _run(all_of_them)
    assert ended == sorted(ended)


def test_a_look_is_not_made_before_it_is_due(mps: LocalMps, config: ClientConfig) -> None:
    """And an earlier wish of somebody else brings it forward for both."""
    late, both = mps.backend.script([_DONE]), mps.backend.script([_DONE])

    async def work() -> float:
        async with watching(config) as watch:
            started = time.monotonic()
            await _look(watch, late, after=0.3)
            assert time.monotonic() - started >= 0.3
            started = time.monotonic()
            await asyncio.gather(_look(watch, both, after=60), _look(watch, both, after=0.1))
            return time.monotonic() - started

    assert 0.1 <= _run(work) < 2


@pytest.mark.fault("F52")
def test_f52_a_restart_sends_no_more_than_the_pace(mps: LocalMps, config: ClientConfig) -> None:
    """A thousand waits that begin at once do not make a burst: 50 looks a second by default."""
    ids = [mps.backend.script([_RUNNING]) for _ in range(1000)]

    async def work() -> None:
        async with watching(config) as watch:
            waits = [asyncio.ensure_future(_look(watch, task_id)) for task_id in ids]
            await _until(lambda: len(mps.backend.calls) >= 60)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    calls = mps.backend.calls
    assert len(calls) <= 50 * (calls[-1].time - calls[0].time) + 5
    assert {call.code for call in calls} == {""}


@pytest.mark.fault("F51")
def test_f51_a_storm_of_refusals_fails_nobody(mps: LocalMps, config: ClientConfig) -> None:
    """A server that allows a fifth of what is documented: every look is answered in the end, and few are refused."""
    mps.backend.settings.rates["DescribeTaskDetail"] = 20
    ids = [mps.backend.script([_DONE]) for _ in range(200)]

    async def work() -> list[Sighting]:
        async with watching(replace(config, quota_share=1.0)) as watch:
            return await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    sightings = _run(work, timeout=60)
    assert {_status(sighting) for sighting in sightings} == {"FINISH"}
    assert sum(call.code != "" for call in mps.backend.calls) <= 20
    assert max(sighting.late for sighting in sightings) > 5


@pytest.mark.fault("F51")
def test_f51_hundreds_of_waits_share_a_small_quota(mps: LocalMps, config: ClientConfig) -> None:
    """
    Three hundred jobs, each to be looked at three times, and a server that takes half of what the pace begins with:
    all end, and once the limit is found, less than one request in a hundred is refused.
    """
    mps.backend.settings.rates["DescribeTaskDetail"] = 50
    ids = [mps.backend.script([_RUNNING, _RUNNING, _DONE]) for _ in range(300)]

    async def wait(watch: Watch, task_id: str) -> int:
        looks = 1
        while _status(await _look(watch, task_id)) != "FINISH":
            looks += 1
        return looks

    async def work() -> list[int]:
        async with watching(replace(config, quota_share=1.0)) as watch:
            return await asyncio.gather(*(wait(watch, task_id) for task_id in ids))

    assert _run(work, timeout=120) == [3] * 300
    settled = list(mps.backend.calls)[450:]
    assert len(settled) >= 450
    assert sum(call.code != "" for call in settled) < 0.01 * len(settled)


@pytest.mark.fault("F51")
def test_a_refused_look_is_told_of_in_the_end(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that is refused for good is an outage for its waits, which they bound in time."""
    monkeypatch.setattr(lane_module, "_REFUSAL_PATIENCE", 0.2)
    monkeypatch.setattr(pacing, "REST", 0.1)
    mps.backend.faults.add(Fault("throttle", times=None))

    async def work() -> Sighting:
        async with watching(config) as watch:
            return await _look(watch, mps.backend.script([_DONE]))

    sighting = _run(work)
    assert isinstance(sighting.outcome, MpsApiError)
    assert sighting.outcome.throttled
    assert len(mps.backend.calls) > 1


@pytest.mark.fault("F53")
def test_f53_a_submission_does_not_wait_for_looks(mps: LocalMps, config: ClientConfig) -> None:
    """While five hundred looks wait for their turn, a job is sent before most of them."""
    ids = [mps.backend.script([_RUNNING]) for _ in range(500)]

    async def work() -> None:
        async with watching(config) as watch, AsyncMpsClient(config) as client:
            waits = [asyncio.ensure_future(_look(watch, task_id)) for task_id in ids]
            await _until(lambda: len(mps.backend.calls) > 5)
            await client.call(ProcessMedia(input_info={"Type": "URL", "UrlInputInfo": {"Url": "https://a.invalid/a"}}))
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    assert [call.action for call in mps.backend.calls].index("ProcessMedia") < 250


@pytest.mark.fault("F68")
@pytest.mark.parametrize("where", ["not due", "pace", "in a request", "one of two"])
def test_f68_who_is_cancelled_leaves_at_once(mps: LocalMps, config: ClientConfig, where: str) -> None:
    """Within a few turns of the event loop, whatever it waits for, and the others get their looks."""
    task_id, other = mps.backend.script([_DONE]), mps.backend.script([_DONE])
    if where in {"in a request", "one of two"}:
        mps.backend.faults.add(Fault("hang", seconds=20 if where == "in a request" else 0.8, times=1))

    async def work() -> tuple[bool, Sighting]:
        async with watching(config) as watch:
            if where == "pace":
                await asyncio.gather(*(_look(watch, mps.backend.script([_DONE])) for _ in range(5)))
                pace_of(describe(task_id), config).refused(time.monotonic())
            first = asyncio.ensure_future(_look(watch, task_id, after=60 if where == "not due" else 0))
            await asyncio.sleep(0.2)
            first_look = next((look for lane in watch._lanes.values() for look in lane._under_way), None)
            second = asyncio.ensure_future(_look(watch, task_id if where == "one of two" else other))
            await asyncio.sleep(0.05)
            first.cancel()
            for _ in range(3):
                await asyncio.sleep(0)
            left = first.cancelled()
            if where == "in a request":  # nobody wants the answer any more
                (lane,) = watch._lanes.values()
                await _until(lambda: first_look not in lane._under_way)
            return left, await second

    left, sighting = _run(work)
    assert left
    if where == "one of two":  # the look that hung was theirs together, and went on
        assert isinstance(sighting.outcome, MpsTransportError)
    else:
        assert _status(sighting) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_bad_ids_wrong_keys_and_broken_answers_stay_with_their_waits(mps: LocalMps, config: ClientConfig) -> None:
    """Each gets its own error, in the middle of waits that get their answers."""
    good = [mps.backend.script([_DONE]) for _ in range(10)]
    unknown = "1250000000-WorkflowTask-0123456789abcdef"
    broken = mps.backend.script([{"TaskType": "WorkflowTask", "Status": {"an": "object"}, "WorkflowTask": 7}])
    wrong = replace(config, credentials=Credentials(mps.secret_id, "not-the-key"))

    async def work() -> list[Sighting]:
        async with watching(config) as watch, watching(wrong) as other:
            return await asyncio.gather(
                _look(watch, unknown),
                _look(watch, broken),
                _look(other, good[0]),
                *(_look(watch, task_id) for task_id in good),
            )

    bad_id, bad_answer, bad_key, *rest = _run(work)
    assert isinstance(bad_id.outcome, MpsApiError)
    assert bad_id.outcome.task_unknown
    assert isinstance(bad_answer.outcome, TaskState)
    assert not bad_answer.outcome.is_known
    assert isinstance(bad_key.outcome, MpsApiError)
    assert bad_key.outcome.code == "AuthFailure.SignatureFailure"
    assert {_status(sighting) for sighting in rest} == {"FINISH"}


@pytest.mark.fault("F70")
def test_f70_a_fault_of_ours_reaches_only_its_wait(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even an exception that nobody thought of takes the others along."""
    poisoned, good = mps.backend.script([_DONE]), mps.backend.script([_DONE])
    genuine = AsyncMpsClient.look

    async def look(self: AsyncMpsClient, action: Any) -> TaskState:
        if action.task_id == poisoned:
            raise ZeroDivisionError
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "look", look)

    async def work() -> list[Any]:
        async with watching(config) as watch:
            return await asyncio.gather(_look(watch, poisoned), _look(watch, good), return_exceptions=True)

    first, second = _run(work)
    assert isinstance(first, ZeroDivisionError)
    assert _status(second) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_a_watch_that_stops_is_told_and_started_again(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody who waits gets an error that allows to ask again, and whoever does is served."""
    ids = [mps.backend.script([_DONE]) for _ in range(3)]
    genuine, faults = Pace.take, [RuntimeError("a fault of ours")]

    def take(self: Pace) -> float:
        if faults:
            raise faults.pop()
        return genuine(self)

    monkeypatch.setattr(Pace, "take", take)

    async def work() -> tuple[list[Sighting], Sighting]:
        async with watching(config) as watch:
            first = await asyncio.gather(*(_look(watch, task_id) for task_id in ids))
            return first, await _look(watch, ids[0])

    first, second = _run(work)
    for sighting in first:
        assert isinstance(sighting.outcome, MpsTransportError)
        assert sighting.outcome.retryable
    assert _status(second) == "FINISH"
    assert "a fault of ours" in caplog.text


@pytest.mark.fault("F70")
def test_f70_the_watch_logs_in_nobodys_name(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its work runs outside the context of the wait that started it, where Airflow keeps whose log it is."""
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []
    genuine = AsyncMpsClient.look

    async def look(self: AsyncMpsClient, action: Any) -> TaskState:
        seen.append(whose.get())
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "look", look)

    async def work() -> str:
        whose.set("the first task's")
        async with watching(config) as watch:
            await _look(watch, mps.backend.script([_DONE]))
        return whose.get()

    assert _run(work) == "the first task's"
    assert seen == ["nobody's"]


@pytest.mark.fault("F70")
def test_f70_also_the_end_of_a_watch_is_logged_in_nobodys_name(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one error line does not go to the log of the task that happened to come first."""
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(whose.get())

    def take(self: Pace) -> float:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Pace, "take", take)
    handler = Keep()
    logging.getLogger("airflow_provider_mps.client.watch").addHandler(handler)

    async def work() -> None:
        whose.set("the first task's")
        async with watching(config) as watch:
            await _look(watch, mps.backend.script([_DONE]))

    try:
        _run(work)
    finally:
        logging.getLogger("airflow_provider_mps.client.watch").removeHandler(handler)
    assert seen == ["nobody's"]


def test_the_watch_ends_with_its_last_wait(mps: LocalMps, config: ClientConfig) -> None:
    """Its session is closed and none of its tasks is left; the next wait starts another one."""
    task_id = mps.backend.script([_DONE])

    async def work() -> tuple[set[Watch], int]:
        watches, before = set(), len(asyncio.all_tasks())
        for _ in range(3):
            async with watching(config) as first, watching(config) as second:
                assert first is second
                watches.add(first)
                await _look(first, task_id)
        await asyncio.sleep(0)
        return watches, len(asyncio.all_tasks()) - before

    watches, left = _run(work)
    assert len(watches) == 3
    assert left == 0


def test_two_event_loops_have_a_watch_each(mps: LocalMps, config: ClientConfig) -> None:
    """Loops of two threads, at the same time, do not meet each other's session; the pace of the process is one."""
    task_id = mps.backend.script([_DONE])
    together = threading.Barrier(2, timeout=10)

    async def work() -> Watch:
        async with watching(config) as watch:
            await asyncio.to_thread(together.wait)
            await _look(watch, task_id)
            await asyncio.to_thread(together.wait)
            return watch

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: _run(work), range(2))
    assert first is not second
    assert len(mps.backend.calls) == 2


@pytest.mark.fault("F52")
def test_f52_keys_that_come_late_release_no_burst(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F52: a restart whose source of keys needs a while: no second holds more looks than the pace allows."""
    ids = [mps.backend.script([_RUNNING]) for _ in range(100)]

    class Role:
        title, identity, of_machine = "a role", "role", False

    def fetch(_: ClientConfig) -> Lease:
        time.sleep(2)
        return Lease(Credentials(mps.secret_id, mps.secret_key), "a role", time.time() + 7200)

    monkeypatch.setattr(aio, "_fetch_keys", fetch)

    async def work() -> None:
        async with watching(replace(config, credentials=Role(), quota_share=0.2)) as watch:  # type: ignore[arg-type]
            await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    _run(work)
    assert _most_in_a_second(mps) <= 25  # 20, and what a busy machine makes arrive unevenly


@pytest.mark.fault("F52", "F58")
def test_f58_rotated_keys_release_no_burst(mps: LocalMps, config: ClientConfig) -> None:
    """F58: the connection needs a while to be read again: the looks that wait for it keep to the pace all the same."""
    ids = [mps.backend.script([_RUNNING]) for _ in range(100)]

    async def read() -> ClientConfig:
        await asyncio.sleep(2)
        return config

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reread=read, quota_share=0.2)

    async def work() -> None:
        async with watching(stale) as watch:
            await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    _run(work)
    assert sum(not call.code for call in mps.backend.calls) == len(ids)
    assert _most_in_a_second(mps) <= 25  # 20, and what a busy machine makes arrive unevenly


def _most_in_a_second(mps: LocalMps) -> int:
    times = [call.time for call in mps.backend.calls]
    return max(sum(start <= at < start + 1 for at in times) for start in times)


def test_a_refusal_slows_the_watch_also_after_a_change_of_keys(mps: LocalMps, config: ClientConfig) -> None:
    """Keys that were rotated in mid-wait do not part the looks from the pace that refusals slow down."""
    mps.backend.settings.rates["DescribeTaskDetail"] = 10
    ids = [mps.backend.script([_RUNNING]) for _ in range(400)]

    async def read() -> ClientConfig:
        return replace(config, quota_share=1.0)

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reread=read, quota_share=1.0)

    async def work() -> None:
        async with watching(stale) as watch:
            waits = [asyncio.ensure_future(_look(watch, task_id)) for task_id in ids]
            await asyncio.sleep(4)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    _run(work)
    assert sum(call.code == "RequestLimitExceeded" for call in mps.backend.calls) < 15
    assert len(mps.backend.calls) < 100


def test_pauses_can_be_relaxed_and_are_what_they_were_again(mps: LocalMps, config: ClientConfig) -> None:
    """Longer from there on; back at once, also those that have begun, when that ends."""
    task_id = mps.backend.script([_DONE])

    async def work() -> tuple[float, float]:
        async with AsyncMpsClient(config) as client:
            lane = Lane(client, Pace(100), NOBODY)
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

    relaxed, restored = _run(work)
    assert 0.8 <= relaxed < 2
    assert 0.2 <= restored < 0.7


@pytest.mark.parametrize(("since", "first"), [(150.0, True), (50.0, False)], ids=["first look", "older than the list"])
def test_what_no_list_can_name_is_not_relaxed(mps: LocalMps, config: ClientConfig, since: float, first: bool) -> None:
    """A wait that was just taken over may have ended before any list begins, and some hold no older task."""
    ids = [mps.backend.script([_DONE]) for _ in range(2)]

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane = Lane(client, Pace(100), NOBODY)
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

    assert 0.2 <= _run(work) < 20


@pytest.mark.parametrize("first_comes", [True, False], ids=["it came first", "it came second"])
def test_a_first_look_is_not_relaxed_by_another_wait(mps: LocalMps, config: ClientConfig, first_comes: bool) -> None:
    """Two wait for one task, and one of them has just begun: its look comes when it is due, whoever came first."""
    task_id = mps.backend.script([_DONE])

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane = Lane(client, Pace(100), NOBODY)
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

    assert 0.3 <= _run(work) < 5


@pytest.mark.parametrize(
    ("straggler", "oldest"), [(1100.0, 1100.0), (700_000.0, 1250.0)], ids=["a little older", "of last week"]
)
def test_how_far_back_a_list_has_to_go(config: ClientConfig, straggler: float, oldest: float) -> None:
    """To the oldest task; but one in two hundred may be much older than the others, and makes no list longer."""

    async def work() -> float:
        async with AsyncMpsClient(config) as client:
            lane, now = Lane(client, Pace(100), NOBODY), time.time()
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

    assert _run(work) == pytest.approx(oldest, abs=5)


def test_a_pause_that_was_longer_than_asked_for_is_no_delay(mps: LocalMps, config: ClientConfig) -> None:
    """When pauses are what they were again, looks that were due long ago come at once, in their order, and not late."""
    ids = [mps.backend.script([_DONE]) for _ in range(3)]

    async def work() -> tuple[list[Sighting], list[int]]:
        async with AsyncMpsClient(config) as client:
            lane = Lane(client, Pace(20), NOBODY)
            running = asyncio.ensure_future(lane.run())
            lane.relax(1000.0)
            order: list[int] = []

            async def wait(number: int) -> Sighting:
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

    sightings, order = _run(work)
    assert max(sighting.late for sighting in sightings) < 1.5
    assert order == [0, 1, 2]


@pytest.mark.fault("F70")
def test_f70_a_cancellation_from_within_a_look_is_an_error_of_its_waits(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a look waits for is cancelled by somebody else: its waits may ask again, and none waits for ever."""
    genuine, broken = AsyncMpsClient.look, [True]

    async def look(self: AsyncMpsClient, action: Any) -> TaskState:
        if broken:
            broken.clear()
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "look", look)
    task_id = mps.backend.script([_DONE])

    async def work() -> tuple[list[Sighting], Sighting]:
        async with watching(config) as watch:
            first = await asyncio.gather(*(_look(watch, task_id) for _ in range(2)))
            return first, await _look(watch, task_id)

    first, second = _run(work)
    for sighting in first:
        assert isinstance(sighting.outcome, MpsTransportError)
        assert sighting.outcome.retryable
    assert _status(second) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_a_look_that_never_ends_gives_its_place_back(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it hangs in, its waits get an error after a while, and the others get their looks."""
    monkeypatch.setattr(lane_module, "_MOST_AT_ONCE", 1)
    monkeypatch.setattr(lane_module, "_BEYOND_THEM", 0.2)
    monkeypatch.setattr(lane_module, "_TIMEOUTS_IN_A_LOOK", 0)
    hanging, good = mps.backend.script([_DONE]), mps.backend.script([_DONE])
    genuine = AsyncMpsClient.look

    async def look(self: AsyncMpsClient, action: Any) -> TaskState:
        if action.task_id == hanging:
            await asyncio.Event().wait()
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "look", look)

    async def work() -> list[Sighting]:
        async with watching(config) as watch:
            first = asyncio.ensure_future(_look(watch, hanging))
            await asyncio.sleep(0.05)
            monkeypatch.setattr(lane_module, "_BEYOND_THEM", 60.0)
            return await asyncio.gather(first, _look(watch, good))

    first, second = _run(work)
    assert isinstance(first.outcome, MpsTransportError)
    assert "within 0.2 seconds" in str(first.outcome)
    assert _status(second) == "FINISH"


def test_many_waits_for_one_task_leave_as_quickly_as_others(mps: LocalMps, config: ClientConfig) -> None:
    """Ten thousand cost what ten thousand waits for as many tasks do, and not the square of it, in whatever order."""
    task_id = mps.backend.script([_DONE])

    async def work(ids: list[str]) -> float:
        async with watching(config) as watch:
            waits = [asyncio.ensure_future(_look(watch, each, after=60)) for each in ids]
            await asyncio.sleep(0.01)
            gc.collect()
            started = time.process_time()
            for wait in reversed(waits):
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return time.process_time() - started

    same = min(_run(lambda: work([task_id] * 10_000)) for _ in range(3))
    different = min(_run(lambda: work([f"{task_id}{number}" for number in range(10_000)])) for _ in range(3))
    assert same < 5 * different


def test_places_that_were_left_are_cleared_away(mps: LocalMps, config: ClientConfig) -> None:
    """Thousands of waits that came and went behind one that stays do not stay with it."""
    first = mps.backend.script([_DONE])

    async def work() -> int:
        async with watching(config) as watch:
            stays = asyncio.ensure_future(_look(watch, first, after=50))
            for number in range(3000):
                goes = asyncio.ensure_future(_look(watch, f"{first}{number}", after=60))
                await asyncio.sleep(0)
                goes.cancel()
            await asyncio.sleep(0.05)
            (lane,) = watch._lanes.values()
            stays.cancel()
            return len(lane._heap)

    assert _run(work) < 200


@pytest.mark.fault("F64")
def test_f64_ten_thousand_waits_leave_nothing(mps: LocalMps, config: ClientConfig) -> None:
    """Some end, some are cancelled before they are due, some in mid-request: no task, entry or socket stays."""
    ids = [mps.backend.script([_DONE]) for _ in range(50)]

    async def life(watch: Watch, number: int) -> None:
        after = 0.0 if number % 200 == 0 else 60.0
        wait = asyncio.ensure_future(_look(watch, f"{ids[number % 50]}{number if after else ''}", after=after))
        await asyncio.sleep(0)
        if number % 400 == 200:
            await asyncio.sleep(0.005)
        if after or number % 400 == 200:
            wait.cancel()
        await asyncio.wait([wait])

    async def work() -> tuple[int, int, Lane]:
        async with watching(config) as watch:
            await life(watch, 0)
            sockets = _open_files()
            for start in range(0, 10_000, 500):
                await asyncio.gather(*(life(watch, number) for number in range(start, start + 500)))
            (lane,) = watch._lanes.values()
            gc.collect()
            after = _open_files()
            return sockets, after, lane

    before, after, lane = _run(work, timeout=120)
    assert len(lane) == 0
    assert len(lane._heap) < 200
    assert after <= before + 10


def test_many_hanging_requests_are_bounded(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs collects so many requests and no more; when it is back, all are answered."""
    monkeypatch.setattr(lane_module, "_MOST_AT_ONCE", 5)
    mps.backend.faults.add(Fault("hang", seconds=0.5, times=5))
    ids = [mps.backend.script([_DONE]) for _ in range(12)]

    async def work() -> list[Sighting]:
        async with watching(replace(config, quota_share=1.0)) as watch:
            return await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    outcomes = [sighting.outcome for sighting in _run(work)]
    assert mps.backend.calls[5].time - mps.backend.calls[0].time >= 0.5
    assert sum(isinstance(outcome, MpsTransportError) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, TaskState) and outcome.is_finished for outcome in outcomes) == 7


class _Numbers:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.gauged: dict[str, list[float]] = {}
        self.timed: dict[str, float] = {}

    def count(self, name: str, action: str) -> None:
        self.counted.append(f"{name} {action}")

    def gauge(self, name: str, value: float, action: str) -> None:
        self.gauged.setdefault(name, []).append(value)

    def timing(self, name: str, seconds: float, action: str) -> None:
        self.timed[name] = seconds

    def now(self, name: str) -> float | None:
        return self.gauged[name][-1] if name in self.gauged else None


def test_what_an_observer_is_told(mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks, refusals, how many wait, and how late the look is that has waited longest."""
    monkeypatch.setattr(pacing, "REST", 0.05)
    numbers = _Numbers()
    mps.backend.faults.add(Fault("throttle", times=1))

    async def work() -> None:
        async with watching(config, numbers) as watch:
            await _look(watch, mps.backend.script([_DONE]))

    _run(work)
    assert numbers.counted == ["looks_refused DescribeTaskDetail", "looks DescribeTaskDetail"]
    assert numbers.gauged["waits"] == [1, 0]  # nobody waits when the watch has ended
    assert numbers.gauged["oldest_due_look"] == [pytest.approx(0, abs=1), 0]


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (Fault("error", code="InternalError"), "looks"),
        (Fault("reset"), "looks_unanswered"),
        (Fault("html"), "looks_unanswered"),
    ],
    ids=["an error is an answer", "reset", "not of MPS"],
)
def test_a_look_without_an_answer_is_counted_apart(
    mps: LocalMps, config: ClientConfig, fault: Fault, counted: str
) -> None:
    """Who watches the metrics sees an outage of MPS, or of the way there."""
    numbers = _Numbers()
    mps.backend.faults.add(replace(fault, times=1))

    async def work() -> None:
        async with watching(config, numbers) as watch:
            await _look(watch, mps.backend.script([_DONE]))

    _run(work)
    assert numbers.counted == [f"{counted} DescribeTaskDetail"]


def test_gauges_are_of_all_connections_of_an_account(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics tell accounts apart: two connections of one say the same, and who ends takes only its own waits away."""
    monkeypatch.setattr(watch_module, "_REPORT_EVERY", 0.02)
    here, there, elsewhere = _Numbers(), _Numbers(), _Numbers()
    task_id = mps.backend.script([_DONE])

    async def wait(watch: Watch, number: int) -> list[asyncio.Future[Sighting]]:
        return [asyncio.ensure_future(_look(watch, f"{task_id}{n}", after=60)) for n in range(number)]

    async def end(waits: list[asyncio.Future[Sighting]]) -> None:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def work() -> None:
        async with watching(replace(config, region="ap-tokyo"), there) as second:
            others = await wait(second, 3)
            async with (
                watching(config, here) as first,
                watching(replace(config, credentials=Credentials("AKIDother", "key")), elsewhere) as third,
            ):
                waits = [*await wait(first, 2), *await wait(third, 7)]
                await _until(lambda: here.now("waits") == there.now("waits") == 5)
                await end(waits)
            assert here.now("waits") == 3
            await _until(lambda: there.now("waits") == 3)
            await end(others)

    _run(work)
    assert there.now("waits") == 0
    assert set(elsewhere.gauged["waits"]) == {7, 0}


def test_an_observer_whose_gauge_fails_stops_nothing(mps: LocalMps, config: ClientConfig) -> None:
    """Nobody reports any more how many wait; the looks go on."""

    class Broken(_Numbers):
        def gauge(self, name: str, value: float, action: str) -> None:
            raise OSError("no metrics today")

    async def work() -> list[Sighting]:
        async with watching(config, Broken()) as watch:
            return [await _look(watch, mps.backend.script([_DONE]), after=0.05) for _ in range(3)]

    assert {_status(sighting) for sighting in _run(work)} == {"FINISH"}
    assert len(mps.backend.calls) == 3


def test_an_observer_that_fails_fails_one_wait(mps: LocalMps, config: ClientConfig) -> None:
    """It must not, and yet nobody waits for ever because it does."""

    class Broken(_Numbers):
        def count(self, name: str, action: str) -> None:
            raise OSError("no metrics today")

    async def work() -> Any:
        async with watching(config, Broken()) as watch:
            return await asyncio.gather(_look(watch, mps.backend.script([_DONE])), return_exceptions=True)

    assert isinstance(_run(work)[0], OSError)


def test_keys_that_change_are_taken_up(mps: LocalMps, config: ClientConfig, caplog: pytest.LogCaptureFixture) -> None:
    """A watch outlives the keys it began with: refused keys are read again from the connection, once for all."""
    caplog.set_level(logging.DEBUG)
    ids = [mps.backend.script([_DONE]) for _ in range(5)]
    reads: list[int] = []

    def reread() -> Awaitable[ClientConfig]:
        async def read() -> ClientConfig:
            reads.append(1)
            return config

        return read()

    stale = replace(config, credentials=Credentials(mps.secret_id, "rotated-away"), reread=reread)

    async def work() -> list[Sighting]:
        async with watching(stale) as watch:
            return await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    assert {_status(sighting) for sighting in _run(work)} == {"FINISH"}
    assert len(reads) == 1


@pytest.mark.fault("F58")
def test_keys_that_did_not_change_are_read_again_once_in_a_while(mps: LocalMps, config: ClientConfig) -> None:
    """A hundred looks with keys that were revoked: each gets its refusal, and the connection is read once for all."""
    ids = [mps.backend.script([_DONE]) for _ in range(100)]
    reads: list[int] = []

    async def read() -> ClientConfig:
        reads.append(1)
        await asyncio.sleep(0.05)
        return revoked

    revoked = replace(config, credentials=Credentials("AKIDrevoked", "key"), reread=read, quota_share=1.0)

    async def work() -> list[Sighting]:
        async with watching(revoked) as watch:
            return await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    outcomes = [sighting.outcome for sighting in _run(work)]
    assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"AuthFailure.SecretIdNotFound"}
    assert len(reads) == 1


@pytest.mark.fault("F58")
def test_keys_that_change_in_the_end_are_found(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who revokes a key first and enters the new one later: a read in vain is not the last one."""
    monkeypatch.setattr(aio, "_IN_VAIN", 0.2)
    task_id = mps.backend.script([_DONE])

    async def read() -> ClientConfig:
        return config if entered else revoked

    entered: list[int] = []
    revoked = replace(config, credentials=Credentials("AKIDrevoked", "key"), reread=read)

    async def work() -> list[Sighting]:
        async with watching(revoked) as watch:
            first = await _look(watch, task_id)
            entered.append(1)
            return [first, await _look(watch, task_id, after=0.5)]

    first, second = _run(work)
    assert isinstance(first.outcome, MpsApiError)
    assert _status(second) == "FINISH"


@pytest.mark.fault("F58", "F63")
def test_a_connection_that_cannot_be_read_again_stops_no_look(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow never answers while keys are refused: more looks than there are places all get their refusal."""
    monkeypatch.setattr(aio, "_REREAD_TIMEOUT", 0.3)
    monkeypatch.setattr(lane_module, "_MOST_AT_ONCE", 10)
    ids = [mps.backend.script([_DONE]) for _ in range(50)]

    async def never() -> ClientConfig:
        await asyncio.Event().wait()
        raise AssertionError

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reread=never, quota_share=1.0)

    async def work() -> list[Sighting]:
        async with watching(stale) as watch:
            return await asyncio.gather(*(_look(watch, task_id) for task_id in ids))

    outcomes = [sighting.outcome for sighting in _run(work)]
    assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"AuthFailure.SecretIdNotFound"}
