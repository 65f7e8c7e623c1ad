"""Hundreds of triggers in one triggerer, and an account that MPS allows little: all come to their end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

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
    ids = [mps.backend.run_for(5 + 30 * number / _TRIGGERS) for number in range(_TRIGGERS)]

    async def status(task_id: str) -> str:
        (payload,) = [event.payload async for event in MpsTaskTrigger(mps_task_id=task_id, poll_interval=10).run()]
        return f"{payload['status']} {payload['message'].split()[0]}"

    async def all_of_them() -> list[str]:
        return list(await asyncio.gather(*(status(task_id) for task_id in ids)))

    started = time.time()
    assert Counter(asyncio.run(all_of_them())) == {"look FINISH": _TRIGGERS}
    calls = mps.backend.calls
    for action in {call.action for call in calls}:
        accepted = [call.time for call in calls if call.action == action and not call.code]
        # The server writes a call down a little after it has counted it, hence the tenth.
        assert all(after - first > 0.9 for first, after in zip(accepted, accepted[_QUOTA:], strict=False))
    settled = [call.code for call in calls if call.time > started + _FOUND_BY]
    assert len(settled) > 100  # most of the jobs have ended by then, and have still to be looked at
    assert sum(code != "" for code in settled) < 0.01 * len(settled)
