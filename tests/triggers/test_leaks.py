"""A triggerer runs for months: what a trigger has used is given back, however the trigger ended."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import psutil
import pytest

from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from dev.local_airflow import LocalMpsProcess
from tests.harness import DONE, RUNNING

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
    monkeypatch.setattr(MpsTaskTrigger, "earliest_event", 0.0)
    me = psutil.Process()

    async def measured() -> list[tuple[int, int, int]]:
        sizes = []
        for _ in range(_ROUNDS):
            await _lives(done, running)
            await asyncio.sleep(0.05)  # closing a connection takes a turn of the loop
            gc.collect()
            sizes.append((me.memory_info().rss, me.num_fds(), len(asyncio.all_tasks())))
        return sizes

    with LocalMpsProcess(tmp_path / "mps.log", "--rate", "0") as mps:
        connection = {"conn_type": "tencentcloud_mps", "login": SECRET_ID, "password": SECRET_KEY, "host": mps.url}
        monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps(connection))
        done = mps.control("tasks", answers=[DONE])["TaskId"]
        running = mps.control("tasks", answers=[RUNNING])["TaskId"]
        sizes = asyncio.run(measured())
    settled, last = sizes[_ROUNDS // 4], sizes[-1]
    assert last[0] < settled[0] * 1.05
    assert last[1:] == settled[1:]
