"""Hundreds of triggers in one triggerer, and an account that MPS allows little: all come to their end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from airflow_provider_mps.client.polling import queue
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.testing import airflow_connection
from airflow_provider_mps.triggers.mps import MpsTaskTrigger

_TRIGGERS = 500
_QUOTA = 20
_FOUND_BY = 30.0  # seconds in which the pace may look for the limit


@pytest.mark.fault("F51")
@pytest.mark.timeout(180)
def test_f51_five_hundred_triggers_on_twenty_requests_a_second(mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    F51: jobs that end all the while, a fifth of the documented rate: every trigger says "look" for a job that ended.

    No second takes more than the quota, and once the limit is found, less than one request in a hundred is refused.
    """
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
    mps.backend.settings.rates |= {"DescribeTaskDetail": _QUOTA, "DescribeTasks": _QUOTA}
    ids = [mps.backend.run_for(5 + 45 * number / _TRIGGERS) for number in range(_TRIGGERS)]
    started = time.time()
    payloads = _payloads([MpsTaskTrigger(mps_task_id=task_id, poll_interval=10) for task_id in ids])
    assert Counter(map(_ending, payloads)) == {"look FINISH": _TRIGGERS}
    calls = mps.backend.calls
    for action in {call.action for call in calls}:
        accepted = [call.time for call in calls if call.action == action and not call.code]
        # The server writes a call down a little after it has counted it, hence the tenth.
        assert all(after - first > 0.9 for first, after in zip(accepted, accepted[_QUOTA:], strict=False))
    settled = [call.code for call in calls if call.time > started + _FOUND_BY]
    assert len(settled) > 100  # a third of the jobs are still to end
    assert sum(code != "" for code in settled) < 0.01 * len(settled)


def test_a_worker_is_sent_once_for_what_only_a_list_says(mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All end at once, and a list is taken at its word: the trigger says "look" without a look of its own.

    A wait that a worker has resumed since, because it saw something else, is not given back for a list's word again.
    """
    monkeypatch.setattr(queue, "_CROWD", 1.0)
    monkeypatch.setattr(queue, "_SOON", 0.5)
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
    mps.backend.settings.rates |= {"DescribeTaskDetail": _QUOTA, "DescribeTasks": _QUOTA}
    triggers = []
    for number in range(200):
        task_id = mps.backend.run_for(12.0)
        memory = {"mps_task_id": task_id, "started": time.time(), "listed": number % 2 == 0}
        triggers.append(MpsTaskTrigger(mps_task_id=task_id, poll_interval=3600, patience=memory))
    payloads = _payloads(triggers)
    assert Counter(map(_ending, payloads)) == {"look FINISH": 200}
    listed = ["list" in payload["message"] for payload in payloads]
    assert sum(listed[1::2]) > 50
    assert not any(listed[::2])
    assert all(payload["patience"]["listed"] for payload, said in zip(payloads, listed, strict=True) if said)


def _payloads(triggers: list[MpsTaskTrigger]) -> list[dict[str, Any]]:
    """What all of them say, side by side in one event loop."""

    async def payload(trigger: MpsTaskTrigger) -> dict[str, Any]:
        (said,) = [event.payload async for event in trigger.run()]
        return said  # type: ignore[no-any-return]

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(payload, triggers)))

    return asyncio.run(all_of_them())


def _ending(payload: dict[str, Any]) -> str:
    return f"{payload['status']} {payload['message'].split()[0].strip(',')}"
