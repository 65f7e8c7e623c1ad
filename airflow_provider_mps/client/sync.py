"""MpsClient: the flow of :mod:`~airflow_provider_mps.client.protocol`, performed with ``requests``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow_provider_mps.client.action import Action
from airflow_provider_mps.client.bounded_session import BoundedSession
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import ExpiringCredentials
from airflow_provider_mps.client.credentials.network import KeyNetwork
from airflow_provider_mps.client.protocol import (
    AcquireTurn,
    BaseClient,
    Exclusively,
    FetchKeys,
    ReloadConnection,
    Send,
    Sleep,
    Step,
)
from airflow_provider_mps.client.retry import Limits, Purpose

if TYPE_CHECKING:
    from airflow_provider_mps.client.protocol import Flow

ResultT = TypeVar("ResultT")


class MpsClient(BaseClient):
    """
    Ask MPS, and wait for the answer. Close it, or use it in a ``with``. One thread at a time may use it.

    :param limits: how often and for how long one call is repeated; else its purpose decides.
    :ivar clock: MPS's time.
    """

    def __init__(self, config: ClientConfig, *, limits: Limits | None = None) -> None:
        super().__init__(config, limits=limits)
        self._session: BoundedSession | None = None

    def call(
        self, action: Action[ResultT], *, purpose: Purpose = Purpose.CALL, limits: Limits | None = None
    ) -> ResultT:
        """
        Send an action within the rate limit, and return its result.

        :param limits: overrides the client's, for this call.
        :raises MpsCredentialsError: there are no keys to sign it with.
        :raises MpsApiError: MPS answered with an error.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: its parameters cannot be sent.
        """
        return self._run(self._call(action, purpose, limits))

    def _run(self, flow: Flow[ResultT]) -> ResultT:
        resume: Callable[[], Step] = partial(flow.send, None)
        while True:
            try:
                step = resume()
            except StopIteration as end:
                result: ResultT = end.value
                return result
            try:
                resume = partial(flow.send, self._perform(step))
            except Exception as error:  # noqa: BLE001 - the flow decides what follows from it
                resume = partial(flow.throw, error)

    def _perform(self, step: Step) -> Any:
        match step:
            case Send(action_name, request):
                if self._session is None:
                    self._session = BoundedSession(self.config)
                return self._session.post(action_name, request)
            case AcquireTurn(limiter):
                return time.sleep(limiter.reserve())
            case FetchKeys(cache, timeout, rejected):
                return cache.get(timeout, rejected)
            case Sleep(seconds):
                return time.sleep(seconds)
            case ReloadConnection(reload):
                return reload()
            case Exclusively(flow):
                return self._run(flow)

    @staticmethod
    def _fetch(config: ClientConfig) -> ExpiringCredentials:
        return fetch_keys(config)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fetch_keys(config: ClientConfig) -> ExpiringCredentials:
    """
    Ask the credential provider of a configuration.

    :raises MpsCredentialsError: it gives no keys.
    """
    if config.credentials is None:
        raise TypeError("the configuration has no credential provider to ask")
    return config.credentials.fetch(KeyNetwork(config, MpsClient))
