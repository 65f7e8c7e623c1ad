"""Keys that come late, change or cannot be read again: polling goes on, within its rate."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from airflow_provider_mps.client import aio, protocol
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials, ExpiringCredentials, Network
from airflow_provider_mps.client.polling.poller import shared_poller
from airflow_provider_mps.client.polling.queue import PollResult
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError
from tests.support.waits import DONE, RUNNING, poll, run, status


@pytest.mark.fault("F52")
def test_f52_keys_that_come_late_release_no_burst(mps: LocalMps, config: ClientConfig) -> None:
    """F52: a restart whose source of keys needs a while: no second holds more looks than the pace allows."""
    ids = [mps.backend.script([RUNNING]) for _ in range(100)]

    class Role:
        title, identity, of_machine = "a role", "role", False

        def fetch(self, network: Network) -> ExpiringCredentials:
            time.sleep(2)
            keys = Credentials(mps.secret_id, mps.secret_key)
            return ExpiringCredentials(keys, "a role", time.time() + 7200)

    async def work() -> None:
        async with shared_poller(replace(config, credentials=Role(), quota_share=0.2)) as poller:
            await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    run(work)
    assert _most_in_a_second(mps) <= 25  # 20, and what a busy machine makes arrive unevenly


@pytest.mark.fault("F52", "F58")
def test_f58_rotated_keys_release_no_burst(mps: LocalMps, config: ClientConfig) -> None:
    """F58: the connection needs a while to be read again: the looks that wait for it keep to the pace all the same."""
    ids = [mps.backend.script([RUNNING]) for _ in range(100)]

    async def read() -> ClientConfig:
        await asyncio.sleep(2)
        return config

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reload=read, quota_share=0.2)

    async def work() -> None:
        async with shared_poller(stale) as poller:
            await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    run(work)
    polls = [call for call in mps.backend.calls if call.action == "DescribeTaskDetail"]
    assert sum(not call.code for call in polls) == len(ids)
    assert _most_in_a_second(mps) <= 25  # 20, and what a busy machine makes arrive unevenly


def _most_in_a_second(mps: LocalMps) -> int:
    times = [call.time for call in mps.backend.calls]
    return max(sum(start <= at < start + 1 for at in times) for start in times)


def test_a_refusal_slows_a_poller_also_after_a_change_of_keys(mps: LocalMps, config: ClientConfig) -> None:
    """Keys that were rotated in mid-wait do not part the looks from the pace that refusals slow down."""
    mps.backend.settings.rates["DescribeTaskDetail"] = 10
    ids = [mps.backend.script([RUNNING]) for _ in range(400)]

    async def read() -> ClientConfig:
        return replace(config, quota_share=1.0)

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reload=read, quota_share=1.0)

    async def work() -> None:
        async with shared_poller(stale) as poller:
            waits = [asyncio.ensure_future(poll(poller, task_id)) for task_id in ids]
            await asyncio.sleep(4)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    run(work)
    assert sum(call.code == "RequestLimitExceeded" for call in mps.backend.calls) < 15
    assert len(mps.backend.calls) < 100


def test_keys_that_change_are_taken_up(mps: LocalMps, config: ClientConfig, caplog: pytest.LogCaptureFixture) -> None:
    """A watch outlives the keys it began with: refused keys are read again from the connection, once for all."""
    caplog.set_level(logging.DEBUG)
    ids = [mps.backend.script([DONE]) for _ in range(5)]
    reads: list[int] = []

    def reload() -> Awaitable[ClientConfig]:
        async def read() -> ClientConfig:
            reads.append(1)
            return config

        return read()

    stale = replace(config, credentials=Credentials(mps.secret_id, "rotated-away"), reload=reload)

    async def work() -> list[PollResult]:
        async with shared_poller(stale) as poller:
            return await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    assert {status(result) for result in run(work)} == {"FINISH"}
    assert len(reads) == 1


@pytest.mark.fault("F58")
def test_keys_that_did_not_change_are_read_again_once_in_a_while(mps: LocalMps, config: ClientConfig) -> None:
    """A hundred looks with keys that were revoked: each gets its refusal, and the connection is read once for all."""
    ids = [mps.backend.script([DONE]) for _ in range(100)]
    reads: list[int] = []

    async def read() -> ClientConfig:
        reads.append(1)
        await asyncio.sleep(0.05)
        return revoked

    revoked = replace(config, credentials=Credentials("AKIDrevoked", "key"), reload=read, quota_share=1.0)

    async def work() -> list[PollResult]:
        async with shared_poller(revoked) as poller:
            return await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    outcomes = [result.outcome for result in run(work)]
    assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"AuthFailure.SecretIdNotFound"}
    assert len(reads) == 1


@pytest.mark.fault("F58")
def test_keys_that_change_in_the_end_are_found(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who revokes a key first and enters the new one later: a read in vain is not the last one."""
    monkeypatch.setattr(protocol, "RELOAD_BACKOFF", 0.2)
    task_id = mps.backend.script([DONE])

    async def read() -> ClientConfig:
        return config if entered else revoked

    entered: list[int] = []
    revoked = replace(config, credentials=Credentials("AKIDrevoked", "key"), reload=read)

    async def work() -> list[PollResult]:
        async with shared_poller(revoked) as poller:
            first = await poll(poller, task_id)
            entered.append(1)
            return [first, await poll(poller, task_id, after=0.5)]

    first, second = run(work)
    assert isinstance(first.outcome, MpsApiError)
    assert status(second) == "FINISH"


@pytest.mark.fault("F58", "F63")
def test_a_connection_that_cannot_be_read_again_stops_no_look(
    mps: LocalMps, config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow never answers while keys are refused: more looks than there are places all get their refusal."""
    monkeypatch.setattr(aio, "RELOAD_TIMEOUT", 0.3)
    ids = [mps.backend.script([DONE]) for _ in range(50)]

    async def never() -> ClientConfig:
        await asyncio.Event().wait()
        raise AssertionError

    stale = replace(config, credentials=Credentials("AKIDrotated", "away"), reload=never, quota_share=1.0)

    async def work() -> list[PollResult]:
        async with shared_poller(stale, settings=PollerSettings(max_concurrent_polls=10)) as poller:
            return await asyncio.gather(*(poll(poller, task_id) for task_id in ids))

    outcomes = [result.outcome for result in run(work)]
    assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {"AuthFailure.SecretIdNotFound"}
