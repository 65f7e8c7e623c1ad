"""What happens to one wait does not reach the others."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.polling.poller import shared_poller
from airflow_provider_mps.client.polling.queue import PollResult
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.rate_limiter import RateLimiter, rate_limiter_for
from airflow_provider_mps.client.retry import is_not_found, may_pass
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTransportError
from airflow_provider_mps.results.task import TaskState
from tests.support.waits import DONE, poll, run, status, until


@pytest.mark.fault("F68")
@pytest.mark.parametrize("where", ["not due", "pace", "in a request", "one of two"])
def test_f68_who_is_cancelled_leaves_at_once(mps: LocalMps, config: ClientConfig, where: str) -> None:
    """Within a few turns of the event loop, whatever it waits for, and the others get their looks."""
    task_id, other = mps.backend.script([DONE]), mps.backend.script([DONE])
    if where in {"in a request", "one of two"}:
        mps.backend.faults.add(Fault("hang", seconds=20 if where == "in a request" else 0.8, times=1))

    async def work() -> tuple[bool, PollResult]:
        async with shared_poller(config) as poller:
            if where == "pace":
                await asyncio.gather(*(poll(poller, mps.backend.script([DONE])) for _ in range(5)))
                rate_limiter_for(describe(task_id), config).on_throttled(time.monotonic())
            first = asyncio.ensure_future(poll(poller, task_id, after=60 if where == "not due" else 0))
            await asyncio.sleep(0.2)
            first_look = next((look for queue in poller._queues.values() for look in queue._requests), None)
            second = asyncio.ensure_future(poll(poller, task_id if where == "one of two" else other))
            await asyncio.sleep(0.05)
            first.cancel()
            for _ in range(3):
                await asyncio.sleep(0)
            left = first.cancelled()
            if where == "in a request":  # nobody wants the answer any more
                (queue,) = poller._queues.values()
                await until(lambda: first_look not in queue._requests)
            return left, await second

    left, result = run(work)
    assert left
    if where == "one of two":  # the look that hung was theirs together, and went on
        assert isinstance(result.outcome, MpsTransportError)
    else:
        assert status(result) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_bad_ids_wrong_keys_and_broken_answers_stay_with_their_waits(mps: LocalMps, config: ClientConfig) -> None:
    """Each gets its own error, in the middle of waits that get their answers."""
    good = [mps.backend.script([DONE]) for _ in range(10)]
    unknown = "1250000000-WorkflowTask-0123456789abcdef"
    broken = mps.backend.script([{"TaskType": "WorkflowTask", "Status": {"an": "object"}, "WorkflowTask": 7}])
    wrong = replace(config, credentials=Credentials(mps.secret_id, "not-the-key"))

    async def work() -> list[PollResult]:
        async with shared_poller(config) as poller, shared_poller(wrong) as other:
            return await asyncio.gather(
                poll(poller, unknown),
                poll(poller, broken),
                poll(other, good[0]),
                *(poll(poller, task_id) for task_id in good),
            )

    bad_id, bad_answer, bad_key, *rest = run(work)
    assert isinstance(bad_id.outcome, MpsApiError)
    assert is_not_found(bad_id.outcome)
    assert isinstance(bad_answer.outcome, TaskState)
    assert not bad_answer.outcome.is_known
    assert isinstance(bad_key.outcome, MpsApiError)
    assert bad_key.outcome.code == "AuthFailure.SignatureFailure"
    assert {status(result) for result in rest} == {"FINISH"}


@pytest.mark.fault("F70")
def test_f70_a_fault_of_ours_reaches_only_its_wait(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even an exception that nobody thought of takes the others along."""
    poisoned, good = mps.backend.script([DONE]), mps.backend.script([DONE])
    genuine = AsyncMpsClient.poll

    async def answer(self: AsyncMpsClient, action: Any) -> TaskState:
        if action.task_id == poisoned:
            raise ZeroDivisionError
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "poll", answer)

    async def work() -> list[Any]:
        async with shared_poller(config) as poller:
            return await asyncio.gather(poll(poller, poisoned), poll(poller, good), return_exceptions=True)

    first, second = run(work)
    assert isinstance(first, ZeroDivisionError)
    assert status(second) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_a_poller_that_stops_is_told_and_started_again(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody who waits gets an error that allows to ask again, and whoever does is served."""
    ids = [mps.backend.script([DONE]) for _ in range(3)]
    genuine, faults = RateLimiter.reserve, [RuntimeError("a fault of ours")]

    def reserve(self: RateLimiter) -> float:
        if faults:
            raise faults.pop()
        return genuine(self)

    monkeypatch.setattr(RateLimiter, "reserve", reserve)

    async def work() -> tuple[list[PollResult], PollResult]:
        async with shared_poller(config) as poller:
            first = await asyncio.gather(*(poll(poller, task_id) for task_id in ids))
            return first, await poll(poller, ids[0])

    first, second = run(work)
    for result in first:
        assert isinstance(result.outcome, MpsTransportError)
        assert may_pass(result.outcome)
    assert status(second) == "FINISH"
    assert "a fault of ours" in caplog.text


@pytest.mark.fault("F70")
def test_f70_a_poller_logs_in_nobodys_name(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its work runs outside the context of the wait that started it, where Airflow keeps whose log it is."""
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []
    genuine = AsyncMpsClient.poll

    async def answer(self: AsyncMpsClient, action: Any) -> TaskState:
        seen.append(whose.get())
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "poll", answer)

    async def work() -> str:
        whose.set("the first task's")
        async with shared_poller(config) as poller:
            await poll(poller, mps.backend.script([DONE]))
        return whose.get()

    assert run(work) == "the first task's"
    assert seen == ["nobody's"]


@pytest.mark.fault("F70")
def test_f70_also_the_end_of_a_poller_is_logged_in_nobodys_name(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one error line does not go to the log of the task that happened to come first."""
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(whose.get())

    def reserve(self: RateLimiter) -> float:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(RateLimiter, "reserve", reserve)
    handler = Keep()
    logging.getLogger("airflow_provider_mps.client.polling.poller").addHandler(handler)

    async def work() -> None:
        whose.set("the first task's")
        async with shared_poller(config) as poller:
            await poll(poller, mps.backend.script([DONE]))

    try:
        run(work)
    finally:
        logging.getLogger("airflow_provider_mps.client.polling.poller").removeHandler(handler)
    assert seen == ["nobody's"]


@pytest.mark.fault("F70")
def test_f70_a_cancellation_from_within_a_poll_is_an_error_of_its_waits(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a look waits for is cancelled by somebody else: its waits may ask again, and none waits for ever."""
    genuine, broken = AsyncMpsClient.poll, [True]

    async def answer(self: AsyncMpsClient, action: Any) -> TaskState:
        if broken:
            broken.clear()
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "poll", answer)
    task_id = mps.backend.script([DONE])

    async def work() -> tuple[list[PollResult], PollResult]:
        async with shared_poller(config) as poller:
            first = await asyncio.gather(*(poll(poller, task_id) for _ in range(2)))
            return first, await poll(poller, task_id)

    first, second = run(work)
    for result in first:
        assert isinstance(result.outcome, MpsTransportError)
        assert may_pass(result.outcome)
    assert status(second) == "FINISH"


@pytest.mark.fault("F70")
def test_f70_a_poll_that_never_ends_gives_its_place_back(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it hangs in, its waits get an error after a while, and the others get their polls."""
    settings = PollerSettings(max_concurrent_polls=1, poll_timeouts=0, poll_timeout_margin=1.0)
    hanging, good = mps.backend.script([DONE]), mps.backend.script([DONE])
    genuine = AsyncMpsClient.poll

    async def answer(self: AsyncMpsClient, action: Any) -> TaskState:
        if action.task_id == hanging:
            await asyncio.Event().wait()
        return await genuine(self, action)

    monkeypatch.setattr(AsyncMpsClient, "poll", answer)

    async def work() -> list[PollResult]:
        async with shared_poller(config, settings=settings) as poller:
            first = asyncio.ensure_future(poll(poller, hanging))
            await asyncio.sleep(0.05)
            return await asyncio.gather(first, poll(poller, good))

    first, second = run(work)
    assert isinstance(first.outcome, MpsTransportError)
    assert "within 1 seconds" in str(first.outcome)
    assert status(second) == "FINISH"


@pytest.mark.fault("F64")
def test_a_second_cancellation_leaves_no_session_open(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow cancels a trigger again and again: the poller that its last user closes is closed all the same."""
    closed: list[str] = []
    genuine = AsyncMpsClient.close

    async def close(self: AsyncMpsClient) -> None:
        await asyncio.sleep(0.2)
        await genuine(self)
        closed.append("session")

    monkeypatch.setattr(AsyncMpsClient, "close", close)

    async def work() -> None:
        async def wait() -> None:
            async with shared_poller(config) as poller:
                await poll(poller, mps.backend.script([DONE]), after=60)

        user = asyncio.create_task(wait())
        await asyncio.sleep(0.05)
        for _ in range(2):
            user.cancel()
            await asyncio.sleep(0.05)
        assert user.done()
        await asyncio.sleep(0.5)

    run(work)
    assert closed == ["session"]
