"""The record of a task's job in Airflow's task state store, which survives retries, crashes and Clears."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mps.client.jobs.record import Attempt, JobRecord

_KEY = "mps_job"
# Airflow cleans the store by age: a record has to outlive the deadline of its job, and the days until somebody looks.
_RETENTION = timedelta(days=30)


class TaskStateJobStore:
    """Implements :class:`airflow_provider_mps.client.jobs.intent.JobStore`."""

    def __init__(self, store: Any, *, retention: timedelta) -> None:
        self._store = store
        self._retention = retention

    @classmethod
    def of(cls, context: Context, *, timeout: float) -> Self:
        """
        The store of the running task.

        :param timeout: seconds from the submission of a job to its deadline.
        """
        return cls(context["task_state_store"], retention=timedelta(seconds=timeout) + _RETENTION)

    def load(self) -> JobRecord | None:
        """
        The last record saved, or None.

        :raises ValueError: there is one, and it cannot be read.
        """
        from airflow_provider_mps.client.jobs.record import JobRecord

        stored = self._store.get(_KEY)
        return None if stored is None else JobRecord.from_dict(stored)

    def save(self, record: JobRecord) -> None:
        """Replace it."""
        self._store.set(_KEY, record.to_dict(), retention=self._retention)


def attempt_of(context: Context, *, retries: int) -> Attempt:
    """What Airflow says of the try that runs now."""
    from airflow_provider_mps.client.jobs.record import Attempt

    ti = context["ti"]
    return Attempt(ti.try_number, ti.max_tries, retries, context["dag_run"].clear_number or 0)


def marker_for(context: Context, attempt: Attempt) -> str:
    """The SessionContext by which the jobs of the running task are found."""
    from airflow_provider_mps.client.jobs.record import marker_of

    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    return marker_of(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=index, attempt=attempt)


def run_began(context: Context) -> float:
    """Unix seconds of Airflow's clock before which no try of the run can have sent a job."""
    run = context["dag_run"]
    return min((time.timestamp() for time in (run.run_after, run.start_date) if time is not None), default=0.0)
