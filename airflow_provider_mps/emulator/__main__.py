"""``python -m airflow_provider_mps.emulator``: run a local MPS until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import socket

from aiohttp import web

from airflow_provider_mps.client.config import is_loopback
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.models import Account, Settings
from airflow_provider_mps.emulator.scenarios import Scenario
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY, application


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_mps.emulator",
        description="A local Tencent Cloud MPS: verifies signatures, runs jobs that cost nothing, fails on request.",
        epilog="The file name of an input chooses how its job ends: "
        + ", ".join(Scenario)
        + " (talk.partial-failure.mp4).",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default %(default)s)")
    parser.add_argument("--port", type=int, default=8089, help="default %(default)s; 0 takes a free one")
    parser.add_argument("--secret-id", default=SECRET_ID, help="SecretId to accept (default %(default)s)")
    parser.add_argument(
        "--secret-key",
        default=os.environ.get("MPS_EMULATOR_SECRET_KEY", SECRET_KEY),
        help=f"its SecretKey (default: $MPS_EMULATOR_SECRET_KEY, else {SECRET_KEY})",
    )
    parser.add_argument("--token", help="session token that requests must carry")
    parser.add_argument(
        "--state-polls", type=int, default=1, help="polls until a job leaves a state (default %(default)s)"
    )
    parser.add_argument("--state-seconds", type=float, help="seconds until a job leaves a state, instead of polls")
    parser.add_argument("--segments", type=int, default=120, help="sentences in a subtitle (default %(default)s)")
    parser.add_argument(
        "--rate", type=float, help="requests per second for every action, instead of the documented rates"
    )
    arguments = parser.parse_args()
    if not is_loopback(arguments.host):
        parser.error("--host must be a loopback address: the control endpoint is not protected")
    if arguments.state_polls < 1 or arguments.segments < 0:
        parser.error("--state-polls must be at least 1, --segments at least 0")
    return arguments


def main() -> None:
    """Run until a signal."""
    arguments = _arguments()
    backend = LocalMpsBackend(
        {arguments.secret_id: Account(arguments.secret_key, arguments.token)},
        Settings(
            state_polls=arguments.state_polls,
            state_seconds=arguments.state_seconds,
            segment_count=arguments.segments,
        ),
    )
    if arguments.rate is not None:
        backend.settings.rates = dict.fromkeys(backend.actions, arguments.rate)
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    with socket.create_server((arguments.host, arguments.port), family=family) as listener:
        host = f"[{arguments.host}]" if family == socket.AF_INET6 else arguments.host
        print(
            f"Local MPS on http://{host}:{listener.getsockname()[1]} (open it in a browser), "
            f"SecretId {arguments.secret_id}. Stop with Ctrl-C.",
            flush=True,
        )
        web.run_app(application(backend), sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
