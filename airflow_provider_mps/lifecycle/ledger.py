"""The ledger of a task's job in Airflow's task state store, which survives retries and crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mps.client.jobs.submission import Job

_KEY = "mps_job"


class TaskStateJobStore:
    """Implements :class:`airflow_provider_mps.client.jobs.submission.JobStore`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @classmethod
    def of(cls, context: Context) -> Self:
        """The ledger of the running task."""
        return cls(context["task_state_store"])

    def load(self) -> Job | None:
        """The last job saved, or None."""
        from airflow_provider_mps.client.jobs.submission import Job

        return Job.restored(self._store.get(_KEY))

    def save(self, job: Job) -> None:
        """Replace it."""
        self._store.set(_KEY, job.as_dict())
