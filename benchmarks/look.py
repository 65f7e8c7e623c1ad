"""
One poll of a running task (DescribeTaskDetail) over loopback HTTP: CPU of the client's process per poll.

Ours is what a trigger pays: the poller queues the poll, takes a turn of the rate limiter for it and counts it for the
metrics, and its client signs, sends, reads and judges. The rate limiter has no limit here, so that polls are sent back
to back. The client alone is measured beside it. Bare aiohttp sends the same bytes, signed once beforehand, and reads
the answer with ``json.loads``. The official SDK's asynchronous client (over httpx) keeps its
connections here, which it does not do unless told. The server is the emulator in a process of its own: its CPU is not
counted.
"""

# ruff: noqa: TID251 - the official SDK is what is compared with

from __future__ import annotations

import asyncio
import contextlib
import json
import math
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
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.polling.poller import Poller, shared_poller
from airflow_provider_mps.client.protocol import encode
from airflow_provider_mps.client.rate_limiter import rate_limiter_for
from airflow_provider_mps.client.retry import Limits
from airflow_provider_mps.results.task import TaskState
from airflow_provider_mps.triggers.metrics import AirflowMetrics

ROUNDS = 11
LOOKS = 200
CONCURRENT = 20
KEYS = ("AKIDbenchmark", "benchmark-secret-key")
JOB = ProcessMedia(
    input_info={"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.stuck.mp4"}},  # runs for ever
    media_process_task={"TranscodeTaskSet": [{"Definition": 100030}]},
    smart_subtitles_task={"RawParameter": {"VideoSrcLanguage": "zh"}},
)
OURS = "ours: the poller"
Look = Callable[[str], Awaitable[str | None]]


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
    for _ in range(300):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("broken: the emulator does not start")


async def looks(look: Look, task_ids: list[str]) -> None:
    """``LOOKS`` looks, at all these tasks at a time."""

    async def some(task_id: str) -> None:
        for _ in range(LOOKS // len(task_ids)):
            if (status := await look(task_id)) != "PROCESSING":
                raise RuntimeError(f"a look answered {status}")

    await asyncio.gather(*(some(task_id) for task_id in task_ids))


def ours(poller: Poller, task_ids: list[str]) -> Look:
    now = asyncio.get_running_loop().time
    actions = {each: describe(each) for each in task_ids}  # a trigger makes its own once

    async def look(task_id: str) -> str:
        outcome = (await poller.poll(actions[task_id], due=now())).outcome
        if not isinstance(outcome, TaskState):
            raise RuntimeError(f"no state: {outcome}")
        return outcome.status

    return look


def client_alone(client: AsyncMpsClient, task_ids: list[str]) -> Look:
    actions = {each: describe(each) for each in task_ids}

    async def look(task_id: str) -> str:
        return (await client.poll(actions[task_id])).status

    return look


def bare(session: aiohttp.ClientSession, config: ClientConfig, task_ids: list[str]) -> Look:
    now = int(time.time())
    requests = {each: encode(describe(each), config, now, Credentials(*KEYS)) for each in task_ids}

    async def look(task_id: str) -> str:
        request = requests[task_id]
        async with session.post(request.url, data=request.body, headers=request.headers) as answer:
            return json.loads(await answer.read())["Response"].get("Status")

    return look


def sdk(client: mps_client_async.MpsClient) -> Look:
    async def look(task_id: str) -> str:
        request = models.DescribeTaskDetailRequest()
        request.TaskId = task_id
        return (await client.DescribeTaskDetail(request)).Status

    return look


async def open_all(host: str, stack: contextlib.AsyncExitStack) -> tuple[list[str], dict[str, Look]]:
    """Submit the jobs, and make a look of each kind."""
    config = ClientConfig(Credentials(*KEYS), endpoint=f"http://{host}", quota_share=10.0)
    client = await stack.enter_async_context(AsyncMpsClient(config, limits=Limits(attempts=1)))
    poller = await stack.enter_async_context(
        shared_poller(config, AirflowMetrics(config.account_key))
    )  # as the trigger uses it
    session = await stack.enter_async_context(aiohttp.ClientSession())
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host, keepAlive=True))
    official = await stack.enter_async_context(mps_client_async.MpsClient(Credential(*KEYS), "", profile))
    task_ids = [(await client.call(JOB)).mps_task_id for _ in range(CONCURRENT)]
    for task_id in task_ids:
        await client.call(describe(task_id))  # WAITING; from here on PROCESSING
    await ours(poller, task_ids)(task_ids[0])  # from here on there is a rate limiter
    rate_limiter_for(describe(task_ids[0]), config).max_rate = math.inf
    return task_ids, {
        OURS: ours(poller, task_ids),
        "our client alone": client_alone(client, task_ids),
        "bare aiohttp and json.loads": bare(session, config, task_ids),
        "SDK, asynchronous": sdk(official),
    }


def main() -> None:
    """Measure one after the other, and many at a time."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # loopback needs none
    with emulator() as host, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            task_ids, candidates = runner.run(open_all(host, stack))
            for concurrent in (1, CONCURRENT):
                samples = take_turns(
                    {
                        name: lambda look=look, concurrent=concurrent: runner.run(looks(look, task_ids[:concurrent]))
                        for name, look in candidates.items()
                    },
                    rounds=ROUNDS,
                    per_sample=LOOKS,
                )
                show(f"{concurrent} at a time: client CPU per look", samples, ours=OURS, unit="us")
        finally:
            runner.run(stack.aclose())


if __name__ == "__main__":
    main()
