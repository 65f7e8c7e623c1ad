"""
One look at a running task (DescribeTaskDetail) over loopback HTTP: CPU of the client's process per look.

AsyncMpsClient signs, sends, reads and judges. Bare aiohttp sends the same bytes, signed once beforehand, and reads
the answer with ``json.loads``. The official SDK's asynchronous client (over httpx) keeps its connections here, which it
does not do unless told. The server is the emulator in a process of its own: its CPU is not counted.
"""

# ruff: noqa: TID251 - the official SDK is what is compared with

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
from _measure import show, take_turns
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.mps.v20190612 import models, mps_client_async

from airflow_provider_mps.client.actions import ProcessMedia, describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials import Credentials
from airflow_provider_mps.client.wire import encode

ROUNDS = 11
LOOKS = 200
CONCURRENT = 20
KEYS = ("AKIDbenchmark", "benchmark-secret-key")
JOB = ProcessMedia(
    input_info={"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.stuck.mp4"}},  # runs for ever
    media_process_task={"TranscodeTaskSet": [{"Definition": 100030}]},
    smart_subtitles_task={"RawParameter": {"VideoSrcLanguage": "zh"}},
)
Look = Callable[[], Awaitable[str | None]]


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    """A local MPS without request limits in a process of its own; its host and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--rate", "0", "--secret-id", KEYS[0], "--secret-key", KEYS[1]]
    server = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_mps.emulator", *options], stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("broken: the emulator does not start")


async def looks(look: Look, concurrent: int) -> None:
    """``LOOKS`` looks, so many at a time."""

    async def some() -> None:
        for _ in range(LOOKS // concurrent):
            if (status := await look()) != "PROCESSING":
                raise RuntimeError(f"a look answered {status}")

    await asyncio.gather(*(some() for _ in range(concurrent)))


def ours(client: AsyncMpsClient, task_id: str) -> Look:
    async def look() -> str:
        return (await client.call(describe(task_id))).status

    return look


def bare(session: aiohttp.ClientSession, config: ClientConfig, task_id: str) -> Look:
    request = encode(describe(task_id), config, int(time.time()), Credentials(*KEYS))

    async def look() -> str:
        async with session.post(request.url, data=request.body, headers=request.headers) as answer:
            return json.loads(await answer.read())["Response"].get("Status")

    return look


def sdk(client: mps_client_async.MpsClient, task_id: str) -> Look:
    async def look() -> str:
        request = models.DescribeTaskDetailRequest()
        request.TaskId = task_id
        return (await client.DescribeTaskDetail(request)).Status

    return look


async def open_all(host: str, stack: contextlib.AsyncExitStack) -> dict[str, Look]:
    """Submit the job, and make a look of each kind."""
    config = ClientConfig(Credentials(*KEYS), endpoint=f"http://{host}")
    client = await stack.enter_async_context(AsyncMpsClient(config, attempts=1))  # as the trigger uses it
    session = await stack.enter_async_context(aiohttp.ClientSession())
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host, keepAlive=True))
    official = await stack.enter_async_context(mps_client_async.MpsClient(Credential(*KEYS), "", profile))
    task_id = (await client.call(JOB)).mps_task_id
    await client.call(describe(task_id))  # WAITING; from here on PROCESSING
    return {
        "ours": ours(client, task_id),
        "bare aiohttp and json.loads": bare(session, config, task_id),
        "SDK, asynchronous": sdk(official, task_id),
    }


def main() -> None:
    """Measure one after the other, and many at a time."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # loopback needs none
    with emulator() as host, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            candidates = runner.run(open_all(host, stack))
            for concurrent in (1, CONCURRENT):
                samples = take_turns(
                    {
                        name: lambda look=look, concurrent=concurrent: runner.run(looks(look, concurrent))
                        for name, look in candidates.items()
                    },
                    rounds=ROUNDS,
                    per_sample=LOOKS,
                )
                show(f"{concurrent} at a time: client CPU per look", samples, ours="ours", unit="us")
        finally:
            runner.run(stack.aclose())


if __name__ == "__main__":
    main()
