"""``python -m airflow_provider_mps.emulator``, as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from airflow_provider_mps.client.actions import DescribeTasks, ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.retry import Limits
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.errors import MpsApiError

COMMAND = [sys.executable, "-m", "airflow_provider_mps.emulator"]


@contextmanager
def _running(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that the program says it listens on, and its process."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, process.stderr and process.stderr.read()
            yield found.group(), process
        finally:
            process.terminate()
            process.wait(20)


def test_it_serves_where_it_says_and_ends_when_it_is_told() -> None:
    """Port 0 takes a free one and names it; keys, token and rate are those of the command line; a signal ends it."""
    keys = ["--secret-id", "AKIDmine", "--secret-key", "mine", "--token", "token"]
    with _running("--port", "0", *keys, "--state-polls", "1", "--rate", "1") as (address, process):
        config = ClientConfig(Credentials("AKIDmine", "mine", "token"), endpoint=address)
        with MpsClient(config, limits=Limits(attempts=1)) as client:
            assert client.call(ProcessMedia(input_info={"Type": "URL"})).mps_task_id
            assert client.call(DescribeTasks(status="WAITING")).total_count == 1
            with pytest.raises(MpsApiError, match="RequestLimitExceeded"):
                client.call(DescribeTasks(status="WAITING"))
        assert "Local MPS" in requests.get(address, timeout=10).text
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=10)


def test_it_takes_the_port_it_is_given() -> None:
    """A fixed port is used as it is; the key may come from the environment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _running("--port", str(port), MPS_EMULATOR_SECRET_KEY="from-environment") as (address, _):
        assert address == f"http://127.0.0.1:{port}"
        config = ClientConfig(Credentials("AKIDemulator", "from-environment"), endpoint=address)
        with MpsClient(config) as client:
            assert client.call(DescribeTasks(status="FINISH")).total_count == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--host", "0.0.0.0"], "--host must be a loopback address"),
        (["--host", "10.0.0.1"], "--host must be a loopback address"),
        (["--host", "example.com"], "--host must be a loopback address"),
        (["--state-polls", "0"], "--state-polls must be at least 1"),
        (["--port", "many"], "invalid int value"),
    ],
)
def test_unsafe_or_senseless_arguments_are_errors(arguments: list[str], text: str) -> None:
    """The control endpoint is not protected, so nobody but this machine may reach it."""
    finished = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 2
    assert text in finished.stderr
    assert "Traceback" not in finished.stderr
