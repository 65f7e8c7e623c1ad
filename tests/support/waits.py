"""What the tests of the watch share: one event loop, one look, what it saw."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.polling.poller import Poller
from airflow_provider_mps.client.polling.queue import PollResult
from airflow_provider_mps.results.task import TaskState

DONE = {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": {"Status": "FINISH"}}
RUNNING = {"TaskType": "WorkflowTask", "Status": "PROCESSING", "WorkflowTask": {"Status": "PROCESSING"}}


def run(work: Callable[[], Coroutine[Any, Any, Any]], timeout: float = 30) -> Any:
    return asyncio.run(asyncio.wait_for(work(), timeout))


async def look(watch: Poller, task_id: str, *, after: float = 0.0) -> PollResult:
    due = asyncio.get_running_loop().time() + after
    return await watch.look(describe(task_id), due=due, since=time.time())


def status(sighting: PollResult) -> str:
    assert isinstance(sighting.outcome, TaskState), sighting.outcome
    return sighting.outcome.status


def open_files() -> int:
    """Of this process; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)
