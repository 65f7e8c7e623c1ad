"""
One look at a finished task whose answer is 50 MB, the most that MPS answers: only its head is of use while one waits.

Reading the state, beside a scanner that passes over the same bytes and keeps nothing, and beside what a whole answer
costs. Memory is the peak that Python allocated, as a share of the answer's bytes, which count. Then a whole look over
loopback HTTP, receiving included.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Callable

import msgspec
from _measure import show, take_turns
from _waits import Server
from parse import answer

from airflow_provider_mps.client.actions import DescribeBatchTaskDetail
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.protocol import Response, decode, decode_status
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.models import Settings
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY

ROUNDS = 7
SEGMENTS = 72_000
CLOCK = MpsClock()
ACTION = DescribeBatchTaskDetail(task_id="1250000000-BatchTask-0123456789abcdef")


class _Nothing(msgspec.Struct):
    """No field at all: everything is passed over."""


def peak(run: Callable[[], object], size: int) -> float:
    """Of what Python allocated, the answer's ``size`` included, as a multiple of that."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = run()
        return (tracemalloc.get_traced_memory()[1] + size) / size
    finally:
        tracemalloc.stop()
        del kept


def serve(backend: LocalMpsBackend) -> None:
    backend.script([json.loads(answer(words=True, segments=SEGMENTS))["Response"]], ACTION.task_id)


def over_http(size: int) -> float:
    """Peak of a whole look, as a multiple of the answer's ``size``, which is received in it."""

    async def look(host: str) -> bool:
        async with AsyncMpsClient(ClientConfig(Credentials(SECRET_ID, SECRET_KEY), endpoint=host)) as client:
            return (await client.poll(ACTION)).is_finished

    with Server(Settings()) as server:
        server.ask(serve)
        return peak(lambda: asyncio.run(look(server.host)), size) - 1


def main() -> None:
    """Measure reading, then memory."""
    raw = answer(words=True, segments=SEGMENTS)
    response = Response(200, {}, raw)
    scanner = msgspec.json.Decoder(_Nothing)
    candidates: dict[str, Callable[[], object]] = {
        "ours: state only": lambda: decode_status(ACTION, response, CLOCK),
        "scanner, keeps nothing": lambda: scanner.decode(raw),
        "ours: whole answer": lambda: decode(ACTION, response, CLOCK),
        "json.loads": lambda: json.loads(raw),
    }
    if not decode_status(ACTION, response, CLOCK).is_finished:
        raise SystemExit("broken: the state was not read")
    title = f"{len(raw) / 1e6:.0f} MB, {SEGMENTS:,} segments with words"
    show(f"{title}: CPU per answer", take_turns(candidates, rounds=ROUNDS), ours="ours: state only")
    print("  peak memory, as a multiple of the answer")
    for name, run in candidates.items():
        print(f"  {name:46} x {peak(run, len(raw)):.2f}")
    print(f"  {'ours: a look over HTTP':46} x {over_http(len(raw)):.2f}")


if __name__ == "__main__":
    main()
