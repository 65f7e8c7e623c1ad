"""A trigger was cancelled: only when a user ended its task, and not Airflow by itself, its MPS task is aborted."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.client.config import ClientConfig

# Seconds for the question to Airflow and the Abort together. A user, or a triggerer that ends, waits for them.
_BUDGET = 8.0
# MPS takes twenty Aborts a second, and a user may end a thousand tasks at once: the rest goes on without its trigger.
_ABORT_WITHIN = 300.0
_aborting: set[asyncio.Task[None]] = set()
_Connection = Callable[[], Awaitable["ClientConfig"]]


async def abort_if_user_ended(task_instance: Any, mps_task_id: str, *, config: _Connection, log: Any) -> None:
    """
    Ask Airflow what became of the task, and abort the MPS task only if a user ended it; says in the log what it did.

    It returns within eight seconds. An Abort that has to wait longer, for its turn or for MPS, goes on in this event
    loop for five minutes; Airflow writes what comes of it to the log of the triggerer.

    :param task_instance: of the trigger.
    :param config: what the connection says, read when it is needed.
    :param log: of the trigger.
    """
    now = asyncio.get_running_loop().time
    until = now() + _BUDGET
    try:
        async with asyncio.timeout_at(until) as budget:
            ended = await _ended_by_user(task_instance)
        late = budget.expired()  # a question that is given up is answered with no
    except TimeoutError:
        late = True
    if late:
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

    from airflow_provider_mps.common.task_instance_state import ended_while_deferred

    try:
        # Not one after the other, or two hundred tasks that a user ends at once would run out of time.
        return await sync_to_async(ended_while_deferred, thread_sensitive=False)(task_instance)
    except asyncio.CancelledError:  # the triggerer gave the question up, as when it ends: doubt
        return False


async def _abort_in_time(mps_task_id: str, config: _Connection, log: Any) -> None:
    try:
        async with asyncio.timeout(_ABORT_WITHIN):
            await _abort(mps_task_id, await config(), log)
    except TimeoutError:
        log.warning("MPS task %s was not aborted: no answer of MPS in time.", mps_task_id)
    except asyncio.CancelledError:
        log.warning("MPS task %s was not aborted: the triggerer ends.", mps_task_id)
        raise
    except Exception as error:  # noqa: BLE001 - nobody may be left to be told by an exception
        log.warning("MPS task %s was not aborted: %s: %s", mps_task_id, type(error).__name__, error)


async def _abort(mps_task_id: str, config: ClientConfig, log: Any) -> None:
    from airflow_provider_mps.client.actions import ManageTask
    from airflow_provider_mps.client.aio import AsyncMpsClient
    from airflow_provider_mps.client.jobs.abort import abort_outcome
    from airflow_provider_mps.client.retry import Limits, Purpose, decide
    from airflow_provider_mps.errors import MpsError

    action = ManageTask(task_id=mps_task_id)
    failure: MpsError | None = None
    async with AsyncMpsClient(config, limits=Limits(attempts=1)) as client:
        while True:
            try:
                await client.call(action)
            except MpsError as error:
                # MPS takes twenty a second, and a user may end hundreds at once. The caller bounds this in time.
                if decide(error, Purpose.ABORT, action=action).retries:
                    await asyncio.sleep(random.uniform(0.3, 1.5))
                    continue
                failure = error
            break
    outcome = abort_outcome(mps_task_id, failure)
    log.log(logging.INFO if outcome.aborted else logging.WARNING, outcome.text)
