"""
Triggers that start together share one read of their connection.

A triggerer gets the answers of Airflow one after the other. If each of hundreds of triggers sent its own request, timed
out and sent it again, the answers would belong to expired requests, and no trigger would ever start.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_mps.client.config import ClientConfig

# Seconds. Airflow 3.3.0 and 3.3.1 can stall here, so each read has a time limit.
TIMEOUT = 30.0

_Reads = dict[tuple[str, str | None], "asyncio.Task[ClientConfig]"]
_reads: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Reads] = weakref.WeakKeyDictionary()


async def load_config(mps_conn_id: str, region: str | None) -> ClientConfig:
    """
    Return the configuration of a connection. Callers share a read that is under way; the result is not cached.

    :raises TimeoutError: no answer within 30 seconds.
    :raises MpsConfigError: a field of the connection is missing or makes no sense.
    :raises AirflowNotFoundException: there is no such connection, or Airflow could not read it.
    """
    reads, key = _reads.setdefault(asyncio.get_running_loop(), {}), (mps_conn_id, region)
    read = reads.get(key)
    if read is None:
        read = reads[key] = asyncio.create_task(_read(mps_conn_id, region))
        read.add_done_callback(lambda done: _forget(reads, key, done))
    return await asyncio.shield(read)  # a cancelled trigger must not cancel the read of the others


async def _read(mps_conn_id: str, region: str | None) -> ClientConfig:
    from airflow_provider_mps.hooks.mps import MpsHook

    async with asyncio.timeout(TIMEOUT):
        return await MpsHook(mps_conn_id, region=region).aget_config()


def _forget(reads: _Reads, key: tuple[str, str | None], done: asyncio.Task[ClientConfig]) -> None:
    del reads[key]
    if not done.cancelled():
        done.exception()  # marks it as retrieved, also if no trigger waits any more
