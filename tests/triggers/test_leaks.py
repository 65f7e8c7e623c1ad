"""A triggerer runs for months: what a trigger has used is given back, however the trigger ended."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from pathlib import Path

import psutil
import pytest

from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from dev.local_airflow import LocalMpsProcess
from tests.support.harness import DONE, RUNNING

_AT_ONCE = 50
_ROUNDS = 20


async def _lives(done: str, running: str) -> None:
    """Fifty triggers at once: half of them end, half are cancelled, some of these in the middle of a request."""

    async def drain(task_id: str) -> None:
        async for _ in MpsTaskTrigger(mps_task_id=task_id, poll_interval=0.05).run():
            pass

    lives = [asyncio.create_task(drain(done if number % 2 else running)) for number in range(_AT_ONCE)]
    await asyncio.gather(*lives[1::2])
    for number, life in enumerate(lives[::2]):
        if number % 5 == 0:
            await asyncio.sleep(0.005)
        life.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*lives[::2], return_exceptions=True)
    )


@pytest.mark.fault("F64")
def test_a_thousand_lives_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F64: memory grows by less than 5 %, and not one file descriptor or task is left, in one loop over all of them."""
    monkeypatch.setattr(MpsTaskTrigger, "settings", PollerSettings(earliest_event=0.0))
    me = psutil.Process()

    def held() -> tuple[int, int]:
        return me.num_fds(), len(asyncio.all_tasks())

    async def measured() -> tuple[list[int], tuple[int, int], tuple[int, int]]:
        await _lives(done, running)  # what is loaded once stays
        await asyncio.sleep(1)
        memory, before = [], held()
        for _ in range(_ROUNDS):
            await _lives(done, running)
            gc.collect()
            memory.append(me.memory_info().rss)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):  # connections are closed a little later
                while any(now > then for now, then in zip(held(), before, strict=True)):  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.05)
        return memory, before, held()

    with LocalMpsProcess(tmp_path / "mps.log", "--rate", "0") as mps:
        connection = {"conn_type": "tencentcloud_mps", "login": SECRET_ID, "password": SECRET_KEY, "host": mps.url}
        monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps(connection))
        done = mps.control("tasks", answers=[DONE])["TaskId"]
        running = mps.control("tasks", answers=[RUNNING])["TaskId"]
        memory, before, after = asyncio.run(measured())
    assert memory[-1] < memory[_ROUNDS // 4] * 1.05
    assert after[0] <= before[0]
    assert after[1] <= before[1]
