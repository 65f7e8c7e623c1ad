"""The way to MPS fails while a trigger waits: name server, port, TLS, silence. The wait goes on, to its good end."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTransportError
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import DONE, RUNNING, first_event, new_context
from tests.support.outages import NameServer
from tests.support.tls import pass_on, private_authority

_STRIKES = 6


class Door:
    """
    The way to the local MPS: https on a port of this machine.

    :ivar trouble: what happens to a new connection: ``refused``, ``reset`` in the handshake, an answer that is no TLS
        (``plain``), or silence after the handshake (``silent``); None passes it on.
    """

    def __init__(self, target: str, tls: ssl.SSLContext, trouble: str) -> None:
        self.trouble: str | None = trouble
        self._target, self._tls = target.removeprefix("http://").split(":"), tls
        self._socket = socket.create_server(("127.0.0.1", 0)) if trouble != "refused" else socket.socket()
        if trouble == "refused":  # the port is taken, and nobody listens
            self._socket.bind(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._ended = threading.Event()
        if trouble != "refused":
            self._start()

    def heal(self) -> None:
        if self.trouble == "refused":
            self._socket.listen()
            self._start()
        self.trouble = None
        self._ended.set()

    def close(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._socket.accept()[0],), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with raw, suppress(OSError):
            if self.trouble == "reset":
                return
            if self.trouble == "plain":
                raw.recv(4096)
                raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            silent = self.trouble == "silent"
            with self._tls.wrap_socket(raw, server_side=True) as client:
                if silent:
                    self._ended.wait(30)
                    return
                with socket.create_connection((self._target[0], int(self._target[1])), timeout=5) as server:
                    threading.Thread(target=pass_on, args=(client, server), daemon=True).start()
                    pass_on(server, client)


@pytest.fixture
def way(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], None]]:
    """A connection whose way to MPS is broken; call it, and the way is open again."""
    fields = {"conn_type": "tencentcloud_mps", "login": airflow_mps.secret_id, "password": airflow_mps.secret_key}
    extra: dict[str, Any] = {"timeout": 1 if request.param == "silent" else 10}
    if request.param == "name server":
        names = NameServer(monkeypatch)
        names.fail()
        heal, close = names.heal, None
        fields["host"] = airflow_mps.host.replace("127.0.0.1", "localhost")
    else:
        authority = private_authority(tmp_path / "tls")
        door = Door(airflow_mps.host, authority.server, request.param)
        heal, close = door.heal, door.close
        fields["host"], extra["verify"] = door.url, authority.ca_file
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps({**fields, "extra": extra}))
    yield heal
    if close:
        close()


@pytest.mark.fault("F46")
@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("name server", "name resolution"),
        ("refused", "Connect call failed"),
        ("reset", "no answer"),
        ("plain", "SSL"),
        ("silent", "timed out"),
    ],
    indirect=["way"],
    ids=["name server", "refused", "TLS cut short", "no TLS", "silence"],
)
def test_f46_a_trigger_waits_until_the_way_is_open_again(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, way: Callable[[], None], said: str
) -> None:
    """F46: six polls in a row that do not arrive are no event; with the seventh the wait goes on, and ends well."""
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, DONE])
    genuine, lost = AsyncMpsClient.poll, []

    async def poll(self: AsyncMpsClient, action: Action[Any]) -> Any:
        try:
            return await genuine(self, action)
        except MpsTransportError as error:
            lost.append(str(error))
            if len(lost) == _STRIKES:
                way()
            raise

    monkeypatch.setattr(AsyncMpsClient, "poll", poll)
    event = first_event(MpsTaskTrigger(mps_task_id=task_id, poll_interval=0.02))
    assert (event["status"], event["message"][:6]) == ("resume", "FINISH")
    assert len(lost) >= _STRIKES
    assert all(said in text for text in lost[:_STRIKES])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, deferrable=True)
    assert sensor.resume_execution("execute_complete", {"event": event}, new_context()) == task_id
    assert len(airflow_mps.backend.calls) == 4
