"""A look: of a large answer it reads the head only, and says the same as if it had read all of it."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from typing import Any

import pytest

from airflow_provider_mps.client import protocol
from airflow_provider_mps.client.actions import describe
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.clock import MpsClock
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState, evaluate
from airflow_provider_mps.client.protocol import LARGE_ANSWER, Response, decode_status
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail, TaskState

_ID = "1250000000-WorkflowTask-0123456789abcdef"
_SEGMENT = {"Text": "all work and no play", "StartTimeOffset": 1.0, "EndTimeOffset": 2.0, "Wordlist": [{"Word": "all"}]}
_HEAD = {
    "TaskType": "WorkflowTask",
    "Status": "FINISH",
    "CreateTime": "2026-11-20T10:00:00Z",
    "FinishTime": "2026-11-20T10:01:00Z",
    "SessionId": "s",
}


def _answer(segments: int, **head: Any) -> bytes:
    part = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"SegmentSet": [_SEGMENT] * segments, "Path": "/a.srt"}}
    task = {"Status": "FINISH", "ErrCode": 0, "SmartSubtitlesTaskResult": [{"AsrFullTextTask": part}]}
    return json.dumps({"Response": {"WorkflowTask": task, **_HEAD, "RequestId": "r", **head}}).encode()


def _read(body: bytes, status: int = 200) -> TaskState:
    return decode_status(describe(_ID), Response(status, {"content-type": "application/json"}, body), MpsClock())


def test_a_small_answer_is_read_whole() -> None:
    """The triggerer can tell a missing result, a failed part and the progress of most tasks."""
    state = _read(_answer(3))
    assert isinstance(state, TaskDetail)
    assert state.summary == "FINISH (1/1 parts done)"


def test_a_large_answer_says_the_same_by_its_head() -> None:
    """Every field of the head has the value that reading all of it gives."""
    body = _answer(4000)
    assert len(body) > LARGE_ANSWER
    state = _read(body)
    whole = protocol.decode(describe(_ID), Response(200, {}, body), MpsClock())
    assert not isinstance(state, TaskDetail)
    assert state == TaskState(**{name: getattr(whole, name) for name in TaskState.model_fields})
    assert state.is_finished
    assert state.summary == "FINISH"


@pytest.mark.parametrize("status", ["PROCESSING", "PAUSED", None, 7, {"a": 1}, ["FINISH"]])
def test_a_strange_head_reads_alike(status: Any) -> None:
    """Whatever stands in the place of the status, a large answer is as lenient as a small one."""
    assert _read(_answer(4000, Status=status)).status == _read(_answer(1, Status=status)).status


def test_an_error_in_a_large_answer_is_an_error() -> None:
    """With its code and its RequestId."""
    with pytest.raises(MpsApiError, match="InternalError") as caught:
        _read(_answer(4000, Error={"Code": "InternalError", "Message": "m"}))
    assert caught.value.request_id == "r"


@pytest.mark.parametrize(
    "body",
    [_answer(4000)[:-20], b'{"Response": 7, "pad": "' + b"x" * LARGE_ANSWER + b'"}', b"<html>" * LARGE_ANSWER],
    ids=["cut", "no Response", "HTML"],
)
def test_a_large_answer_that_is_none(body: bytes) -> None:
    """Cut off, or not MPS's at all: a transport error, as for a small one."""
    with pytest.raises(MpsTransportError):
        _read(body)


def test_reading_a_large_answer_needs_no_memory_of_its_own() -> None:
    """What is not asked for is not built."""
    body = _answer(100_000)
    tracemalloc.start()
    try:
        _read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(body) / 100


def _judge(*outcomes: TaskState | MpsError, unsettled_since: float | None) -> list[bool]:
    policy, state = WaitPolicy(settle_grace=120.0), WaitState(_ID, unsettled_since=unsettled_since)
    return [
        evaluate(policy, state, outcome, 100.0 + 60 * number) is not None for number, outcome in enumerate(outcomes)
    ]


def test_a_head_that_says_finish_wakes_the_worker_once() -> None:
    """
    The head cannot tell whether results are missing. The worker is woken to see; if they were missing when it looked,
    it is woken again when the time to come for them is over, not at each look.
    """
    head = _read(_answer(4000))
    assert _judge(head, unsettled_since=None) == [True]
    assert _judge(head, head, head, unsettled_since=90.0) == [False, False, True]


def test_a_look_over_http(mps: LocalMps, config: ClientConfig) -> None:
    """One request, at once and once, whatever comes back."""
    running = mps.backend.run_for(1000.0)

    async def look() -> tuple[TaskState, float]:
        async with AsyncMpsClient(config) as client:
            started = time.monotonic()
            state = await client.poll(describe(running))
            with pytest.raises(MpsApiError):
                await client.poll(describe(_ID))
            return state, time.monotonic() - started

    state, took = asyncio.run(look())
    assert state.status == "WAITING"
    assert took < 1
    assert len(mps.backend.calls) == 2
