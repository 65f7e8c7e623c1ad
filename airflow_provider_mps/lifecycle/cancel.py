"""Abort the job of a task that a user ends: on the worker and in the triggerer, best effort and in a short time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.client.config import ClientConfig
    from airflow_provider_mps.client.jobs.abort import AbortResult
    from airflow_provider_mps.client.jobs.record import JobRecord
    from airflow_provider_mps.hooks.mps import MpsHook

# Seconds on a worker: Airflow kills the process 5 seconds after SIGTERM.
_WORKER_BUDGET = 4.0
# Seconds in the triggerer: a user, or a triggerer that ends, waits for them.
_TRIGGER_BUDGET = 8.0
# Seconds after which an Abort that still waits for its turn is given up: a user may end a thousand tasks at once.
_ABORT_WITHIN = 300.0
_aborting: set[asyncio.Task[None]] = set()


def log_result(log: Any, result: AbortResult) -> str:
    """Log what came of an Abort; returns it in words."""
    log.log(logging.INFO if result.aborted else logging.WARNING, "%s", result.text)
    return result.text


def abort_if_killed_by_user(
    ti: Any, record: JobRecord, *, hook: MpsHook, log: Any, save: Callable[[JobRecord], object]
) -> None:
    """
    Abort the job of a task that is being killed on its worker, if a user is behind it. Returns within 4 seconds.

    It works on a thread: the signal may have come while this process talked to Airflow.

    :param record: of the job; one that is being sent is found by its SessionId.
    :param save: stores the record.
    """

    def work() -> None:
        from airflow_provider_mps.client.jobs.record import Ending, JobState
        from airflow_provider_mps.common.task_instance_state import ended_by_user

        if record.state is JobState.ENDED or not ended_by_user(ti):
            return
        _abort(record, hook, log)
        # Then the next try of a cleared task begins a new job, also where Airflow's numbers do not tell the Clear.
        save(record.ended(Ending.KILLED))

    thread = threading.Thread(target=work, name="mps-abort", daemon=True)
    thread.start()
    thread.join(_WORKER_BUDGET)


def _abort(record: JobRecord, hook: MpsHook, log: Any) -> None:
    from airflow_provider_mps.client.jobs.abort import abort_job
    from airflow_provider_mps.client.jobs.find import find_task_id
    from airflow_provider_mps.client.retry import Limits
    from airflow_provider_mps.client.sync import MpsClient
    from airflow_provider_mps.errors import MpsError

    config = replace(hook.get_conn().config, timeout=_WORKER_BUDGET / 2)
    with MpsClient(config, limits=Limits(attempts=3)) as client:
        try:
            mps_task_id = find_task_id(client, record)
        except MpsError as error:
            log.warning("A job with SessionId %s may run on and be billed: %s", record.session_id, error)
            return
        if mps_task_id:
            log_result(log, abort_job(client, mps_task_id))


async def abort_if_user_ended(
    task_instance: Any, mps_task_id: str, *, config: Callable[[], Awaitable[ClientConfig]], log: Any
) -> None:
    """
    Ask Airflow what became of a deferred task, and abort its job only if a user ended it; the log says what was done.

    It returns within eight seconds. An Abort that has to wait longer, for its turn or for MPS, goes on in this event
    loop for five minutes; Airflow writes what comes of it to the log of the triggerer.

    :param task_instance: of the trigger.
    :param config: what the connection says, read when it is needed.
    :param log: of the trigger.
    """
    now = asyncio.get_running_loop().time
    until = now() + _TRIGGER_BUDGET
    ended: bool | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until) as budget:
            ended = await _ended_by_user(task_instance)
        if budget.expired():  # a question that is given up is answered with no
            ended = None
    if ended is None:
        log.warning("MPS task %s was not aborted: Airflow does not say who ended the task.", mps_task_id)
    elif ended:
        abort = asyncio.create_task(_abort_in_time(mps_task_id, config, log))
        _aborting.add(abort)
        abort.add_done_callback(_aborting.discard)
        await asyncio.wait({abort}, timeout=until - now())
        if not abort.done():
            log.warning(
                "MPS task %s: its Abort has no answer of MPS yet, or waits for its turn. It goes on for %.0f minutes "
                "in the triggerer, whose log tells what comes of it.",
                mps_task_id,
                _ABORT_WITHIN / 60,
            )


async def _ended_by_user(task_instance: Any) -> bool:
    from asgiref.sync import sync_to_async

    from airflow_provider_mps.common.task_instance_state import ended_by_user

    try:
        # Not one after the other, or two hundred tasks that a user ends at once would run out of time.
        return await sync_to_async(ended_by_user, thread_sensitive=False)(task_instance)
    except asyncio.CancelledError:  # the triggerer gave the question up, as when it ends: doubt
        return False


async def _abort_in_time(mps_task_id: str, config: Callable[[], Awaitable[ClientConfig]], log: Any) -> None:
    from airflow_provider_mps.client.aio import AsyncMpsClient
    from airflow_provider_mps.client.jobs.abort import aabort_job
    from airflow_provider_mps.client.retry import LIMITS, Purpose

    try:
        async with (
            asyncio.timeout(_ABORT_WITHIN),
            AsyncMpsClient(await config(), limits=LIMITS[Purpose.ABORT]) as client,
        ):
            result = await aabort_job(client, mps_task_id)
        log_result(log, result)
    except TimeoutError:
        log.warning("MPS task %s was not aborted: no answer of MPS in time.", mps_task_id)
    except asyncio.CancelledError:
        log.warning("MPS task %s was not aborted: the triggerer ends.", mps_task_id)
        raise
    except Exception as error:  # noqa: BLE001 - no caller may be left to receive it
        log.warning("MPS task %s was not aborted: %s: %s", mps_task_id, type(error).__name__, error)
