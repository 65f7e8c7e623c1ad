"""What a person reads in the log while a task is waited for: changes, not looks."""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.results.task import TaskDetail, TaskState

_REPEAT_TROUBLE = 600.0  # seconds
_STEP = 25  # percent; a job of three hours would otherwise write a line with each look
_WORTH_MENTIONING = 30.0  # seconds


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
        self._slow = False

    def report(self, outcome: TaskState | MpsError, *, late: float = 0.0) -> None:
        """
        Log the outcome of a look if it differs from the one before.

        :param late: seconds by which the account's quota had delayed the look.
        """
        if late > _WORTH_MENTIONING and not self._slow:
            self._log.info(
                "MPS task %s: looks come %.0f s late; so many tasks share the account's requests per second.",
                self._mps_task_id,
                late,
            )
        self._slow = late > (_WORTH_MENTIONING / 3 if self._slow else _WORTH_MENTIONING)
        if isinstance(outcome, TaskState):
            state: object = _stage(outcome)
            if state != self._last:
                self._log.info("MPS task %s: %s (RequestId %s)", self._mps_task_id, outcome.summary, outcome.request_id)
        else:
            state = outcome.code if isinstance(outcome, MpsApiError) else type(outcome).__name__
            if state != self._last or time.monotonic() - self._last_time > _REPEAT_TROUBLE:
                self._log.warning("MPS task %s: no state. %s", self._mps_task_id, outcome)
                self._last_time = time.monotonic()
        self._last = state

    def listed(self, state: TaskState) -> str:
        """Log what a list says, where nobody has looked; returns it in a few words."""
        says = f"{state.summary}, says the list of DescribeTasks"
        self._log.info(
            "MPS task %s: %s (RequestId %s). So many have ended at once that a worker will look sooner.",
            self._mps_task_id,
            says,
            state.request_id,
        )
        return says


def _stage(state: TaskState) -> object:
    """What has to change for a line in the log to be worth it."""
    if not isinstance(state, TaskDetail):
        return state.status
    verdict = state.verdict
    quarter = None if verdict.percent is None else int(verdict.percent // _STEP)
    return state.status, verdict.parts, verdict.succeeded, len(verdict.failures), quarter
