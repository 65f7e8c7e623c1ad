"""The requests of credential providers: with the connection's proxy and certificates, and short timeouts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_provider_mps.client.action import Action
from airflow_provider_mps.client.bounded_session import get_metadata
from airflow_provider_mps.client.clock import MpsClock, clock_for
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials, ExpiringCredentials
from airflow_provider_mps.client.retry import Purpose

ResultT = TypeVar("ResultT")
_STS_TIMEOUT = 10.0  # seconds


class Caller(Protocol):
    """The part of a client that is needed here."""

    clock: MpsClock

    def call(self, action: Action[ResultT], *, purpose: Purpose) -> ResultT: ...


if TYPE_CHECKING:
    OpenClient = Callable[[ClientConfig], AbstractContextManager[Caller]]


class KeyNetwork:
    """
    See :class:`~airflow_provider_mps.client.credentials.base.Network`.

    :param open_client: opens the blocking client. It is a parameter, because the client module imports this one.
    """

    def __init__(self, config: ClientConfig, open_client: OpenClient) -> None:
        self._config = config
        self._open_client = open_client
        self.clock = clock_for(config.endpoint)

    def assume(
        self, action: Action[ExpiringCredentials], *, endpoint: str, region: str, credentials: Credentials | None
    ) -> ExpiringCredentials:
        config = replace(
            self._config,
            credentials=credentials,
            endpoint=endpoint,
            region=region,
            timeout=min(self._config.timeout, _STS_TIMEOUT),
            reload=None,
        )
        with self._open_client(config) as client:
            return client.call(action, purpose=Purpose.KEYS).obtained_now(client.clock)

    def read_metadata(self, url: str) -> str:
        return get_metadata(url)
