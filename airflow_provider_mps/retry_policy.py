"""A retry policy for Airflow, which decides by the errors of this package."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_provider_mps.client.retry import is_final, lacks_capacity, may_pass
from airflow_provider_mps.errors import MpsConfigError, MpsError, MpsTaskNotFinished

if TYPE_CHECKING:
    from airflow.sdk import Context

_CAPACITY_FACTOR = 5


class MpsRetryPolicy(RetryPolicy):
    """
    Retry temporary errors later, and fail at once on permanent errors::

        MpsProcessMediaOperator(task_id="transcode", retries=5, retry_policy=MpsRetryPolicy(), request={...})

    Throttling, faults and outages of MPS, the network or a credential source are retried after ``delay``, doubled
    with each try and spread by half. A full job queue of the account is retried after five times as long. Wrong keys,
    missing permissions, invalid requests and arrears fail the task at once. ``retry_delay`` applies to a job that ran
    and failed and to errors of other packages. The task's ``retries`` always sets the number of retries.

    Without this policy permanent errors are not retried either; all others are retried after ``retry_delay``.

    :param delay: before the first retry.
    :param longest: the longest delay before a retry.
    :raises MpsConfigError: ``delay`` is not above 0, or is above ``longest``.
    """

    def __init__(self, *, delay: timedelta = timedelta(minutes=1), longest: timedelta = timedelta(minutes=30)) -> None:
        if not timedelta(0) < delay <= longest:
            raise MpsConfigError("delay must be above 0 and not above longest.")
        self.delay = delay
        self.longest = longest

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,  # noqa: ARG002 - Airflow passes it, and counts the retries itself
        context: Context | None = None,  # noqa: ARG002 - Airflow passes it
    ) -> RetryDecision:
        if not isinstance(exception, MpsError):
            return RetryDecision.default()
        reason = f"{type(exception).__name__}: {exception}"[:500]
        if is_final(exception):
            return RetryDecision.fail(reason)
        if may_pass(exception) or isinstance(exception, MpsTaskNotFinished):
            return RetryDecision.retry(self._pause(exception, try_number), reason)
        return RetryDecision.default()

    def _pause(self, error: MpsError, try_number: int) -> timedelta:
        doubled = 2.0 ** min(max(try_number, 1) - 1, 20)
        seconds = (
            self.delay.total_seconds()
            * doubled
            * (_CAPACITY_FACTOR if lacks_capacity(error) else 1)
            * random.uniform(0.5, 1.5)
        )
        return min(timedelta(seconds=seconds), self.longest)

    def serialize(self) -> dict[str, Any]:
        return {"delay": self.delay.total_seconds(), "longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> MpsRetryPolicy:
        return cls(delay=timedelta(seconds=data["delay"]), longest=timedelta(seconds=data["longest"]))
