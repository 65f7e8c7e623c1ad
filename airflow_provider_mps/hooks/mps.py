"""MpsHook makes a client of MPS from an Airflow connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_mps.client.actions import Action
    from airflow_provider_mps.client.aio import AsyncMpsClient
    from airflow_provider_mps.client.config import ClientConfig
    from airflow_provider_mps.client.sync import MpsClient
    from airflow_provider_mps.errors import MpsError

ResultT = TypeVar("ResultT")
_TEST_TIMEOUT = 10.0  # seconds
_OTHER_MACHINES = " Workers and triggerers need the same source: the API server ran this test."


class MpsHook(BaseHook):
    """
    Send requests to Tencent Cloud MPS with the keys of an Airflow connection.

    :param mps_conn_id: connection of type ``tencentcloud_mps``.
    :param region: overrides the region of the connection.
    """

    conn_name_attr = "mps_conn_id"
    default_conn_name = "mps_default"
    conn_type = "tencentcloud_mps"
    hook_name = "Tencent Cloud MPS"

    def __init__(self, mps_conn_id: str = default_conn_name, *, region: str | None = None) -> None:
        super().__init__()
        self.mps_conn_id = mps_conn_id
        self.region = region
        self._client: MpsClient | None = None

    def get_conn(self) -> MpsClient:
        """
        Return a client for the connection. Each call returns the same client.

        :raises MpsConfigError: a field of the connection is missing or makes no sense.
        :raises AirflowNotFoundException: there is no such connection.
        """
        if self._client is None:
            from airflow_provider_mps.client.sync import MpsClient

            self._client = MpsClient(self._read())
        return self._client

    async def aget_conn(self) -> AsyncMpsClient:
        """
        Return a new client for the event loop; close it after use.

        To wait for a task, use :mod:`airflow_provider_mps.client.polling.poller` instead: it shares the quota.

        :raises MpsConfigError: a field of the connection is missing or makes no sense.
        :raises AirflowNotFoundException: there is no such connection.
        """
        from airflow_provider_mps.client.aio import AsyncMpsClient

        return AsyncMpsClient(await self.aget_config())

    async def aget_config(self) -> ClientConfig:
        """Return the configuration of the connection, for the event loop; raises as :meth:`aget_conn` does."""
        from airflow.sdk.log import amask_secret

        connection = await self.aget_connection(self._checked_id())
        if connection.login:
            await amask_secret(connection.login)  # Airflow masks the password and the token by itself
        return self._config(connection, reload=self.aget_config)

    def call(self, action: Action[ResultT]) -> ResultT:
        """
        Send an action (see :mod:`airflow_provider_mps.client.actions`) and return its result.

        :raises MpsApiError: MPS answered with an error.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: the connection or a parameter is wrong; nothing was sent.
        """
        return self.get_conn().call(action)

    def test_connection(self) -> tuple[bool, str]:
        """
        List one task: a signed request that changes nothing and costs nothing.

        It runs in the API server, as the test button does, and uses the keys of that machine.
        """
        from airflow_provider_mps.client.actions import DescribeTasks
        from airflow_provider_mps.client.retry import Limits
        from airflow_provider_mps.client.sync import MpsClient
        from airflow_provider_mps.errors import MpsError, clock_in_words

        try:
            config = self._read()
        except MpsError as error:
            return False, str(error)
        config = replace(config, timeout=min(config.timeout, _TEST_TIMEOUT))
        # The user waits at the test button: one retry at most.
        with MpsClient(config, limits=Limits(attempts=2)) as client:
            try:
                page = client.call(DescribeTasks(status="FINISH", limit=1))
            except MpsError as error:
                return False, _explained(error, client)
            text = f"Signed in with keys from {client.key_origin}; MPS answers at {config.host}"
            if client.clock.is_machine_off:
                text += f", but {clock_in_words(client.clock.machine_ahead())}. Set it right"
            return True, f"{text} (RequestId {page.request_id}).{_elsewhere(config)}"

    def _checked_id(self) -> str:
        """Return the name of the connection; a template may have rendered to anything."""
        from airflow_provider_mps.errors import MpsConfigError

        if not isinstance(self.mps_conn_id, str) or not self.mps_conn_id:
            raise MpsConfigError(f"mps_conn_id is {self.mps_conn_id!r:.60}, which names no connection.")
        return self.mps_conn_id

    def _read(self) -> ClientConfig:
        from airflow.sdk.log import mask_secret

        connection = self.get_connection(self._checked_id())
        if connection.login:
            mask_secret(connection.login)  # Airflow masks the password and the token by itself
        return self._config(connection, reload=self._read)

    def _config(self, connection: Connection, reload: Callable[[], Any]) -> ClientConfig:
        from airflow_provider_mps.client.config import ClientConfig
        from airflow_provider_mps.errors import MpsConfigError

        extra: dict[str, Any] = connection.extra_dejson
        try:
            config = ClientConfig.from_connection(
                login=connection.login,
                password=connection.password,
                host=connection.host,
                port=connection.port,
                extra=extra,
                region=self.region,
            )
        except MpsConfigError as error:
            raise MpsConfigError(f"Connection {self.mps_conn_id}: {error}") from None
        return replace(config, reload=reload)


def _elsewhere(config: ClientConfig) -> str:
    """Return a hint if the keys are those of this machine: another machine may have others."""
    return _OTHER_MACHINES if config.credentials is not None and config.credentials.of_machine else ""


def _explained(error: MpsError, client: MpsClient) -> str:
    """Return the text for the test button. A known next step comes first."""
    from airflow_provider_mps.error_codes import Category
    from airflow_provider_mps.errors import MpsApiError, MpsCredentialsError, MpsTransportError

    if isinstance(error, MpsApiError):
        advice = f"{error.next_step[:1].upper()}{error.next_step[1:]}. " if error.next_step else ""
        clock = "Set it right. " if error.category is Category.CLOCK else ""
        keys = f" The keys are from {client.key_origin}." if error.category is Category.KEYS else ""
        return f"{advice}{clock}MPS says {error.code}: {error.message} (RequestId {error.request_id}).{keys}"
    if isinstance(error, MpsTransportError):
        where = client.config.endpoint
        return f"MPS cannot be reached at {where}: check the API endpoint, the proxy, the network. {error}."
    if isinstance(error, MpsCredentialsError):
        return f"{str(error).rstrip('.')}.{_elsewhere(client.config)}"
    return str(error)
