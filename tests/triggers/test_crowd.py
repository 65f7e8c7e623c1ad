"""Hundreds of triggers in one triggerer, and an account that MPS allows little: all come to their end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.testing import airflow_connection
from airflow_provider_mps.triggers.mps import MpsTaskTrigger

_TRIGGERS = 500
_QUOTA = 20
_FOUND_BY = 30.0  # seconds in which the rate limiter may look for the limit


@pytest.mark.fault("F51")
@pytest.mark.timeout(180)
def test_f51_five_hundred_triggers_on_twenty_requests_a_second(mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    F51: jobs that end all the while, a fifth of the documented rate, and no lists: every trigger sees the end.

    No second takes more than the quota, and once the limit is found, less than one request in a hundred is throttled.
    """
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
    mps.backend.settings.rates["DescribeTaskDetail"] = _QUOTA
    mps.backend.faults.add(Fault("error", action="DescribeTasks", code="UnauthorizedOperation", times=None))
    ids = [mps.backend.run_for(5 + 45 * number / _TRIGGERS) for number in range(_TRIGGERS)]
    started = time.time()
    payloads = _payloads([MpsTaskTrigger(mps_task_id=task_id, poll_interval=10) for task_id in ids])
    assert Counter((payload["status"], payload["message"][:6]) for payload in payloads) == {
        ("resume", "FINISH"): _TRIGGERS
    }
    calls = [call for call in mps.backend.calls if call.action == "DescribeTaskDetail"]
    accepted = [call.time for call in calls if not call.code]
    # The server writes a call down a little after it has counted it, hence the tenth.
    assert all(after - first > 0.9 for first, after in zip(accepted, accepted[_QUOTA:], strict=False))
    settled = [call.code for call in calls if call.time > started + _FOUND_BY]
    assert len(settled) > 100  # a third of the jobs are still to end
    assert sum(code != "" for code in settled) < 0.01 * len(settled)


def test_lists_resume_workers_without_a_poll(mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    All end at once: the trigger resumes the worker, which polls, and notes that this wait has had its hint.

    A wait that has had one is polled.
    """
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", airflow_connection(mps))
    triggers = []
    for number in range(100):
        task_id, now = mps.backend.run_for(8.0), time.time()
        state = {"mps_task_id": task_id, "started": now, "created": now, "ignores_lists": number % 2 == 0}
        triggers.append(MpsTaskTrigger(mps_task_id=task_id, poll_interval=10, state=state))
    payloads = _payloads(triggers)
    assert {payload["status"] for payload in payloads} == {"resume"}
    hinted = ["DescribeTasks" in payload["message"] for payload in payloads]
    assert sum(hinted[1::2]) > 40
    assert not any(hinted[::2])
    assert all(payload["state"]["ignores_lists"] for payload, hint in zip(payloads, hinted, strict=True) if hint)


def _payloads(triggers: list[MpsTaskTrigger]) -> list[dict[str, Any]]:
    """What all of them say, side by side in one event loop."""

    async def payload(trigger: MpsTaskTrigger) -> dict[str, Any]:
        (said,) = [event.payload async for event in trigger.run()]
        return said  # type: ignore[no-any-return]

    async def all_of_them() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(payload, triggers)))

    return asyncio.run(all_of_them())
