"""Triggers that start together ask Airflow for their connection once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.triggers import connection as connecting
from airflow_provider_mps.triggers.connection import load_config
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE

_ANSWER_TIME = 0.1


class SlowAirflow:
    """Answers one question for a connection after the other, also those that nobody waits for any more."""

    def __init__(self) -> None:
        self.answered = 0
        self.fails = 0
        self._queue: asyncio.Task[None] | None = None

    async def ask(self, real: Callable[[str], Any], conn_id: str) -> Any:
        self._queue = asyncio.create_task(self._answer(self._queue))
        await asyncio.shield(self._queue)
        if self.fails:
            self.fails -= 1
            raise AirflowNotFoundException("The conn_id isn't defined")
        return await real(conn_id)

    async def _answer(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(_ANSWER_TIME)
        self.answered += 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowAirflow:
    """Airflow, asked through a slow and serial triggerer, which is waited for no longer than for ten answers."""
    airflow, real = SlowAirflow(), BaseHook.aget_connection
    monkeypatch.setattr(BaseHook, "aget_connection", staticmethod(lambda conn_id: airflow.ask(real, conn_id)))
    monkeypatch.setattr(connecting, "TIMEOUT", 10 * _ANSWER_TIME)
    return airflow


@pytest.mark.fault("F52", "F63")
def test_many_triggers_at_once_all_begin(airflow_mps: LocalMps, slow: SlowAirflow) -> None:
    """F52, F63: a hundred triggers of a restarted triggerer, and an Airflow that would need ten times its timeout."""
    task_id = airflow_mps.backend.script([DONE])

    async def life() -> str:
        async for event in MpsTaskTrigger(mps_task_id=task_id, poll_interval=0.02).run():
            return str(event.payload["status"])
        return "none"

    async def all_of_them() -> list[str]:
        return list(await asyncio.wait_for(asyncio.gather(*(life() for _ in range(100))), 20))

    assert asyncio.run(all_of_them()) == ["resume"] * 100
    assert slow.answered <= 3


def test_one_that_is_cancelled_leaves_the_others_their_answer(airflow_mps: LocalMps, slow: SlowAirflow) -> None:
    """The first who asked may end before the answer comes."""

    async def run() -> Any:
        first = asyncio.create_task(load_config("mps_default", None))
        await asyncio.sleep(0)
        second = asyncio.create_task(load_config("mps_default", None))
        await asyncio.sleep(_ANSWER_TIME / 2)
        first.cancel()
        return (await second).endpoint

    assert asyncio.run(run()) == airflow_mps.host
    assert slow.answered == 1


def test_an_error_is_everybodys_and_is_not_kept(airflow_mps: LocalMps, slow: SlowAirflow) -> None:
    """Who waited hears of it; who comes later asks anew."""
    slow.fails = 1

    async def run() -> list[Any]:
        ended = await asyncio.gather(*(load_config("mps_default", None) for _ in range(3)), return_exceptions=True)
        return [*(type(error) for error in ended), (await load_config("mps_default", "ap-tokyo")).region]

    assert asyncio.run(run()) == [AirflowNotFoundException] * 3 + ["ap-tokyo"]
