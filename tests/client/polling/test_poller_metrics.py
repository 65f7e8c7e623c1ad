"""What an observer of the watch is told, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_mps.client import rate_limiter
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.polling.poller import Poller, shared_poller
from airflow_provider_mps.client.polling.queue import PollResult
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.waits import DONE, poll, run, status, until


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
    monkeypatch.setattr(rate_limiter, "THROTTLE_COOLDOWN", 0.05)
    numbers = _Numbers()
    mps.backend.faults.add(Fault("throttle", times=1))

    async def work() -> None:
        async with shared_poller(config, numbers) as poller:
            await poll(poller, mps.backend.script([DONE]))

    run(work)
    assert numbers.counted == ["polls_throttled DescribeTaskDetail", "polls DescribeTaskDetail"]
    assert numbers.gauged["waits"] == [1, 0]  # nobody waits when the watch has ended
    assert numbers.gauged["poll_lag"] == [pytest.approx(0, abs=1), 0]


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        (Fault("error", code="InternalError"), "polls"),
        (Fault("reset"), "polls_failed"),
        (Fault("html"), "polls_failed"),
    ],
    ids=["an error is an answer", "reset", "not of MPS"],
)
def test_a_poll_without_an_answer_is_counted_apart(
    mps: LocalMps, config: ClientConfig, fault: Fault, counted: str
) -> None:
    """Who pollers the metrics sees an outage of MPS, or of the way there."""
    numbers = _Numbers()
    mps.backend.faults.add(replace(fault, times=1))

    async def work() -> None:
        async with shared_poller(config, numbers) as poller:
            await poll(poller, mps.backend.script([DONE]))

    run(work)
    assert numbers.counted == [f"{counted} DescribeTaskDetail"]


def test_gauges_are_of_all_connections_of_an_account(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics tell accounts apart: two connections of one say the same, and who ends takes only its own waits away."""
    settings = PollerSettings(report_interval=0.02)
    here, there, elsewhere = _Numbers(), _Numbers(), _Numbers()
    task_id = mps.backend.script([DONE])

    async def wait(poller: Poller, number: int) -> list[asyncio.Future[PollResult]]:
        return [asyncio.ensure_future(poll(poller, f"{task_id}{n}", after=60)) for n in range(number)]

    async def end(waits: list[asyncio.Future[PollResult]]) -> None:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def work() -> None:
        async with shared_poller(replace(config, region="ap-tokyo"), there, settings) as second:
            others = await wait(second, 3)
            async with (
                shared_poller(config, here, settings) as first,
                shared_poller(
                    replace(config, credentials=Credentials("AKIDother", "key")), elsewhere, settings
                ) as third,
            ):
                waits = [*await wait(first, 2), *await wait(third, 7)]
                await until(lambda: here.now("waits") == there.now("waits") == 5)
                await end(waits)
            assert here.now("waits") == 3
            await until(lambda: there.now("waits") == 3)
            await end(others)

    run(work)
    assert there.now("waits") == 0
    assert set(elsewhere.gauged["waits"]) == {7, 0}


def test_an_observer_whose_gauge_fails_stops_nothing(mps: LocalMps, config: ClientConfig) -> None:
    """Nobody reports any more how many wait; the looks go on."""

    class Broken(_Numbers):
        def gauge(self, name: str, value: float, action: str) -> None:
            raise OSError("no metrics today")

    async def work() -> list[PollResult]:
        async with shared_poller(config, Broken()) as poller:
            return [await poll(poller, mps.backend.script([DONE]), after=0.05) for _ in range(3)]

    assert {status(result) for result in run(work)} == {"FINISH"}
    assert len(mps.backend.calls) == 3


def test_an_observer_that_fails_fails_one_wait(mps: LocalMps, config: ClientConfig) -> None:
    """It must not, and yet nobody waits for ever because it does."""

    class Broken(_Numbers):
        def count(self, name: str, action: str) -> None:
            raise OSError("no metrics today")

    async def work() -> Any:
        async with shared_poller(config, Broken()) as poller:
            return await asyncio.gather(poll(poller, mps.backend.script([DONE])), return_exceptions=True)

    assert isinstance(run(work)[0], OSError)
