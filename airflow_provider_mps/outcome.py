"""What an operator makes of a job that has ended, in whatever way it waited: log first, verdict second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_mps.results.task import TaskDetail
    from airflow_provider_mps.waiting import TaskWait


class JobOutcome:
    """A mixin for operators that wait for a job, whatever way they do it."""

    def _conclude(self, wait: TaskWait, detail: TaskDetail) -> str:
        """
        Judge a task that has ended; see :meth:`TaskWait.conclude`.

        The summary comes first: also a failed job may have written files, and costs what it cost.
        """
        from airflow_provider_mps.results.summary import summarize

        for line in summarize(detail, wait.mps_task_id):
            wait.log.info("%s", line)
        return wait.conclude(detail)
