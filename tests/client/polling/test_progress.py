"""What a person reads during a wait."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mps.client.polling.progress import Progress
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError
from airflow_provider_mps.results.task import TaskDetail

WAITING = TaskDetail.of({"Status": "WAITING", "RequestId": "r-1"})


def _running(percent: int) -> TaskDetail:
    """Two parts, of which one is done and the other so far."""
    done = {"TranscodeTask": {"Status": "SUCCESS", "Output": {"Path": "/a"}, "Progress": 100}}
    other = {"TranscodeTask": {"Status": "PROCESSING", "Progress": percent}}
    task = {"MediaProcessResultSet": [done, other]}
    return TaskDetail.of({"Status": "PROCESSING", "RequestId": "r-2", "WorkflowTask": task})


RUNNING = _running(40)
BROKEN = MpsTransportError("reset", action="DescribeTaskDetail", category=Category.NO_ANSWER)


def _refused(code: str) -> MpsApiError:
    return MpsApiError(action="DescribeTaskDetail", code=code, message="m", request_id="r-3")


@pytest.mark.parametrize(
    ("outcomes", "lines"),
    [
        ([WAITING] * 50, [("INFO", "WAITING (RequestId r-1)")]),
        ([WAITING, RUNNING, RUNNING], [("INFO", "WAITING"), ("INFO", "PROCESSING (1/2 parts done, 70 %)")]),
        ([_running(at) for at in range(0, 100, 2)], [("INFO", "(1/2 parts done, 50 %)"), ("INFO", "done, 75 %)")]),
        ([BROKEN] * 50, [("WARNING", "no usable answer. DescribeTaskDetail: reset")]),
        (
            [WAITING, BROKEN, BROKEN, WAITING],
            [("INFO", "WAITING"), ("WARNING", "no usable answer"), ("INFO", "WAITING")],
        ),
        (
            [_refused("InternalError"), _refused("InternalError"), _refused("RequestLimitExceeded"), BROKEN],
            [("WARNING", "InternalError"), ("WARNING", "RequestLimitExceeded"), ("WARNING", "reset")],
        ),
    ],
    ids=["one state", "two states", "slow progress", "one trouble", "trouble between", "three troubles"],
)
def test_the_log_has_changes_not_polls(
    caplog: pytest.LogCaptureFixture, outcomes: list[TaskDetail | MpsError], lines: list[tuple[str, str]]
) -> None:
    """One line for each new state or trouble, naming the task, however often it is polled."""
    progress = Progress(logging.getLogger("test"), "1250000000-WorkflowTask-1")
    with caplog.at_level(logging.INFO, logger="test"):
        for outcome in outcomes:
            progress.report(outcome)
    assert [record.levelname for record in caplog.records] == [level for level, _ in lines]
    for message, (_, text) in zip(caplog.messages, lines, strict=True):
        assert message.startswith("MPS task 1250000000-WorkflowTask-1: ")
        assert text in message


def test_a_slow_account_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when polls begin to be late, and another only after they were in time again."""
    progress = Progress(logging.getLogger("test"), "1250000000-WorkflowTask-1")
    with caplog.at_level(logging.INFO, logger="test"):
        for delay in (0.0, 42.0, 50.0, 20.0, 50.0, 0.0, 50.0):
            progress.report(WAITING, delay=delay)
    slow = [message for message in caplog.messages if "behind schedule" in message]
    assert len(slow) == 2
    assert "Polling is 42 s behind schedule: many tasks share the account's request quota." in slow[0]
