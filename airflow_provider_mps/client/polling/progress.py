"""What a person reads in the log during a wait: changes, not polls."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.results.task import TaskDetail, TaskState

_REPEAT_TROUBLE = 600.0  # seconds
_STEP = 25  # percent; a job of three hours would otherwise write a line with each poll
_MAX_DELAY = 30.0  # seconds that a poll may be late without a line


class Progress:
    """
    One INFO line for each new state: another status, a part more, a quarter further. Trouble is a WARNING when it
    begins and every ten minutes after. A log handler that fails does not end the wait.
    """

    def __init__(self, log: logging.Logger | Any, mps_task_id: str) -> None:
        self._log = log
        self._mps_task_id = mps_task_id
        self._last: object = None
        self._last_time = 0.0
        self._is_slow = False

    def report(self, outcome: TaskState | MpsError, *, delay: float = 0.0) -> None:
        """
        Log the outcome of a poll if it differs from the one before.

        :param delay: seconds by which the rate limit had delayed the poll.
        """
        if delay > _MAX_DELAY and not self._is_slow:
            self._write(
                logging.INFO,
                "Polling is %.0f s behind schedule: many tasks share the account's request quota.",
                delay,
            )
        self._is_slow = delay > (_MAX_DELAY / 3 if self._is_slow else _MAX_DELAY)
        if isinstance(outcome, TaskState):
            state: object = _stage(outcome)
            if state != self._last:
                self._write(logging.INFO, "%s (RequestId %s)", outcome.summary, outcome.request_id)
        else:
            state = outcome.code if isinstance(outcome, MpsApiError) else type(outcome).__name__
            if state != self._last or time.monotonic() - self._last_time > _REPEAT_TROUBLE:
                self._write(logging.WARNING, "no usable answer. %s", outcome)
                self._last_time = time.monotonic()
        self._last = state

    def report_hint(self) -> None:
        """Log that a list names the task as ended."""
        self._write(logging.INFO, "DescribeTasks lists it as finished; a worker polls it and decides.")

    def _write(self, level: int, text: str, *values: object) -> None:
        with contextlib.suppress(Exception):
            self._log.log(level, f"MPS task %s: {text}", self._mps_task_id, *values)


def _stage(state: TaskState) -> object:
    """What has to change for a line in the log to be worth it."""
    if not isinstance(state, TaskDetail):
        return state.status
    verdict = state.verdict
    quarter = None if verdict.percent is None else int(verdict.percent // _STEP)
    return state.status, verdict.parts, verdict.succeeded, len(verdict.failures), quarter
