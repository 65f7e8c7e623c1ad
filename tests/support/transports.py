"""One face for both transports: a test is written once and runs over requests and over aiohttp."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.retry import LIMITS, Limits, Purpose
from airflow_provider_mps.client.sync import MpsClient

ResultT = TypeVar("ResultT")


def _at_most(attempts: int) -> Limits:
    """Those of a call, with another number of attempts."""
    return LIMITS[Purpose.CALL]._replace(attempts=attempts)


class Caller(Protocol):
    """A client that answers at once, whatever is behind it; ``close`` is the end, ``disconnect`` is not."""

    client: MpsClient | AsyncMpsClient

    def call(self, action: Action[ResultT]) -> ResultT: ...

    def disconnect(self) -> None: ...

    def close(self) -> None: ...


class OverRequests:
    """MpsClient."""

    def __init__(self, config: ClientConfig, *, attempts: int) -> None:
        self.client = MpsClient(config, limits=_at_most(attempts))

    def call(self, action: Action[ResultT]) -> ResultT:
        return self.client.call(action)

    def disconnect(self) -> None:
        self.client.close()

    def close(self) -> None:
        self.client.close()


class OverAiohttp:
    """AsyncMpsClient, on an event loop of its own."""

    def __init__(self, config: ClientConfig, *, attempts: int) -> None:
        self.client = AsyncMpsClient(config, limits=_at_most(attempts))
        self._loop = asyncio.Runner()

    def call(self, action: Action[ResultT]) -> ResultT:
        return self._loop.run(self.client.call(action))

    def disconnect(self) -> None:
        self._loop.run(self.client.close())

    def close(self) -> None:
        self.disconnect()
        self._loop.close()
