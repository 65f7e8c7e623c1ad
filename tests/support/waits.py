"""What the tests of the poller share: one event loop, one poll, what it brought."""

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


async def poll(poller: Poller, task_id: str, *, after: float = 0.0) -> PollResult:
    due = asyncio.get_running_loop().time() + after
    return await poller.poll(describe(task_id), due=due, created=time.time())


def status(result: PollResult) -> str:
    assert isinstance(result.outcome, TaskState), result.outcome
    return result.outcome.status


def open_files() -> int:
    """Of this process; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)
