"""What an operator makes of a job that has ended, in whatever way it waited: log, verdict, events, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_mps.lifecycle.wait import TaskWait
    from airflow_provider_mps.results.task import TaskDetail


class CompletesJobMixin:
    """A mixin for operators that wait for a job. Only OpenLineage calls the two methods named after it."""

    outlets: Any  # of BaseOperator
    _ended: TaskDetail | None = None

    def _conclude(self, context: Context, wait: TaskWait, detail: TaskDetail) -> str:
        """
        Judge a task that has ended; see :meth:`TaskWait.conclude`.

        The summary comes first: also a failed job may have written files, and costs what it cost.
        """
        from airflow_provider_mps.results.files import written_files
        from airflow_provider_mps.results.summary import summarize

        self._ended = detail
        for line in summarize(detail, wait.mps_task_id):
            wait.log.info("%s", line)
        mps_task_id = wait.conclude(detail)
        if self.outlets:
            from airflow_provider_mps.assets.events import announce

            wrote = written_files(detail.outputs, detail.metadata)
            announce(context["outlet_events"], self.outlets, wrote, mps_task_id, wait.log)
        return mps_task_id

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """What is known before the job has run: the inputs that its request names."""
        from airflow_provider_mps.lifecycle.lineage import lineage_of

        return lineage_of(getattr(self, "request", None), None)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002 - OpenLineage
        """The files that the job read and wrote; also of one that failed, as far as it came."""
        from airflow_provider_mps.lifecycle.lineage import lineage_of

        return lineage_of(getattr(self, "request", None), self._ended)
