"""What a person reads in the log while a task is waited for: changes, not looks."""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.results.task import TaskDetail

_REPEAT_TROUBLE = 600.0  # seconds
_STEP = 25  # percent; a job of three hours would otherwise write a line with each look


class Progress:
    """
    One INFO line for each new state: another status, a part more, a quarter further. Trouble is a WARNING when it
    begins and every ten minutes after.
    """

    def __init__(self, log: logging.Logger | Any, mps_task_id: str) -> None:
        self._log = log
        self._mps_task_id = mps_task_id
        self._last: object = None
        self._last_time = 0.0

    def report(self, outcome: TaskDetail | MpsError) -> None:
        """Log the outcome of a look if it differs from the one before."""
        if isinstance(outcome, TaskDetail):
            verdict = outcome.verdict
            quarter = None if verdict.percent is None else int(verdict.percent // _STEP)
            state: object = (outcome.status, verdict.parts, verdict.succeeded, len(verdict.failures), quarter)
            if state != self._last:
                self._log.info("MPS task %s: %s (RequestId %s)", self._mps_task_id, outcome.summary, outcome.request_id)
        else:
            state = outcome.code if isinstance(outcome, MpsApiError) else type(outcome).__name__
            if state != self._last or time.monotonic() - self._last_time > _REPEAT_TROUBLE:
                self._log.warning("MPS task %s: no state. %s", self._mps_task_id, outcome)
                self._last_time = time.monotonic()
        self._last = state
