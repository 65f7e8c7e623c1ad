"""
Triggers that start together ask Airflow for their connection once.

A triggerer gets its answers one after the other. Hundreds of triggers that each asked for themselves, gave up after a
while and asked again would keep it busy with answers that nobody waits for any more, and none would ever begin.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_mps.client.config import ClientConfig

# Seconds. Airflow 3.3.0 and 3.3.1 can stall here, so each question is bounded.
TIMEOUT = 30.0

_Asked = dict[tuple[str, str | None], "asyncio.Task[ClientConfig]"]
_asked: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Asked] = weakref.WeakKeyDictionary()


async def load_config(mps_conn_id: str, region: str | None) -> ClientConfig:
    """
    What the connection says. Who asks while the question is open waits for its answer; nothing is kept after it.

    :raises TimeoutError: no answer within 30 seconds.
    :raises MpsConfigError: a field of the connection is missing or makes no sense.
    :raises AirflowNotFoundException: there is no such connection, or Airflow could not look.
    """
    asked, key = _asked.setdefault(asyncio.get_running_loop(), {}), (mps_conn_id, region)
    question = asked.get(key)
    if question is None:
        question = asked[key] = asyncio.create_task(_ask(mps_conn_id, region))
        question.add_done_callback(lambda done: _forget(asked, key, done))
    return await asyncio.shield(question)  # one trigger's end is not the others'


async def _ask(mps_conn_id: str, region: str | None) -> ClientConfig:
    from airflow_provider_mps.hooks.mps import MpsHook

    async with asyncio.timeout(TIMEOUT):
        return await MpsHook(mps_conn_id, region=region).aget_config()


def _forget(asked: _Asked, key: tuple[str, str | None], done: asyncio.Task[ClientConfig]) -> None:
    del asked[key]
    if not done.cancelled():
        done.exception()  # seen, also when all who waited for it are gone
