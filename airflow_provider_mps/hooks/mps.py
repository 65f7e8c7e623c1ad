"""MpsHook: an Airflow connection becomes a client."""

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

ResultT = TypeVar("ResultT")


class MpsHook(BaseHook):
    """
    Ask Tencent Cloud MPS with the keys of an Airflow connection.

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
        A client for the connection, the same one for the life of the hook.

        :raises MpsConfigError: a field of the connection is missing or makes no sense.
        :raises AirflowNotFoundException: there is no such connection.
        """
        if self._client is None:
            from airflow_provider_mps.client.sync import MpsClient

            self._client = MpsClient(self._read())
        return self._client

    async def aget_conn(self) -> AsyncMpsClient:
        """
        A new client for the event loop; close it after use.

        To wait for a task use :mod:`airflow_provider_mps.client.watch` instead, which shares the quota with others.

        :raises MpsConfigError: a field of the connection is missing or makes no sense.
        :raises AirflowNotFoundException: there is no such connection.
        """
        from airflow_provider_mps.client.aio import AsyncMpsClient

        return AsyncMpsClient(await self.aget_config())

    async def aget_config(self) -> ClientConfig:
        """What the connection says, for the event loop; raises as :meth:`aget_conn` does."""
        return self._config(await self.aget_connection(self.mps_conn_id), reread=self.aget_config)

    def call(self, action: Action[ResultT]) -> ResultT:
        """
        Send an action (see :mod:`airflow_provider_mps.client.actions`) and return its result.

        :raises MpsApiError: MPS refused it.
        :raises MpsTransportError: no usable answer came.
        :raises MpsConfigError: the connection or a parameter is wrong; nothing was sent.
        """
        return self.get_conn().call(action)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one line of the task list: signed, read-only, free of charge."""
        from airflow_provider_mps.client.actions import DescribeTasks
        from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError

        try:
            client = self.get_conn()
            client.attempts = 2  # a person waits; the second one is for a clock that can be corrected
            client.throttle_patience = 0
            page = client.call(DescribeTasks(status="FINISH", limit=1))
        except MpsApiError as error:
            advice = f"{error.next_step[:1].upper()}{error.next_step[1:]}. " if error.next_step else ""
            return False, f"{advice}MPS says {error.code}: {error.message} (RequestId {error.request_id})"
        except MpsTransportError as error:
            where = client.config.endpoint
            return False, f"MPS cannot be reached at {where}: check the API endpoint, the proxy, the network. {error}"
        except MpsError as error:
            return False, str(error)
        if client.clock_skew:
            direction = "ahead of" if client.clock_skew > 0 else "behind"
            minutes = abs(client.clock_skew) / 60
            return True, f"Signed in, but this machine's clock is {minutes:.1f} minutes {direction} Tencent Cloud's."
        return True, f"Signed in; MPS answers at {client.config.host} (RequestId {page.request_id})."

    def _read(self) -> ClientConfig:
        from airflow.sdk.log import mask_secret

        connection = self.get_connection(self.mps_conn_id)
        if connection.login:
            mask_secret(connection.login)  # Airflow masks the password and the token by itself
        return self._config(connection, reread=self._read)

    def _config(self, connection: Connection, reread: Callable[[], Any]) -> ClientConfig:
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
        return replace(config, reread=reread)
