"""The answers of MPS about tasks: the state of a task, its details, a list of tasks, a submission."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import Field

from airflow_provider_mps.errors import MpsTaskFailed, MpsTaskNotFinished, MpsTaskUnsettled
from airflow_provider_mps.results.media import MediaMetadata, find_metadata
from airflow_provider_mps.results.model import ResultModel, Time, as_items
from airflow_provider_mps.results.outputs import OutputFile, find_outputs
from airflow_provider_mps.results.subtitles import Subtitle, find_subtitles
from airflow_provider_mps.results.texts import TextResult, find_texts
from airflow_provider_mps.results.verdict import Finding, TaskStatus, Verdict, judge, task_objects


class TaskState(ResultModel):
    """The first fields of an answer, the same for every task type. Times are UTC, None for "not yet"."""

    task_type: str = Field("", alias="TaskType")
    status: str = Field("", alias="Status")
    create_time: Time = Field(None, alias="CreateTime")
    begin_process_time: Time = Field(None, alias="BeginProcessTime")
    finish_time: Time = Field(None, alias="FinishTime")
    session_id: str = Field("", alias="SessionId")
    session_context: str = Field("", alias="SessionContext")
    request_id: str | None = Field(None, alias="RequestId")

    @property
    def is_finished(self) -> bool:
        """Whether the task has ended. Whether it succeeded is in :attr:`TaskDetail.verdict`."""
        return self.status == TaskStatus.FINISH

    @property
    def is_known(self) -> bool:
        """Whether MPS documents the status."""
        return self.status in set(TaskStatus)

    @property
    def summary(self) -> str:
        """The state in a few words, for the log."""
        return self.status or "no status"


_HEAD = tuple(str(field.alias) for field in TaskState.model_fields.values())


class TaskDetail(TaskState):
    """
    A whole answer. ``body`` is the content of ``Response`` as MPS sent it, with secrets: it must not be logged, stored
    or passed on. All other fields may.

    Sources: https://www.tencentcloud.com/document/product/1041/33644,
    https://www.tencentcloud.com/document/product/1041/70402
    """

    body: Mapping[str, Any] = Field(default_factory=dict, repr=False, exclude=True)
    is_image: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any], *, is_image: bool = False) -> TaskDetail:
        """Read the content of ``Response``."""
        detail = cls.read({name: body[name] for name in _HEAD if name in body})
        detail.__dict__.update(body=body, is_image=is_image)  # past pydantic, which would copy the whole answer
        return detail

    @cached_property
    def mps_task_id(self) -> str:
        """The TaskId if the answer repeats it, else ""."""
        candidates = [self.body.get("TaskId"), *(task.get("TaskId") for task in task_objects(self.body).values())]
        return next((str(value) for value in candidates if value), "")

    @cached_property
    def verdict(self) -> Verdict:
        return judge(self.body, image=self.is_image)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Every failed part, also of a task that is still running."""
        return self.verdict.failures

    @property
    def unsettled(self) -> tuple[Finding, ...]:
        """
        Why a finished task is not done: parts still running, results missing.

        Empty for a task that has not finished.
        """
        return self.verdict.unsettled if self.is_finished else ()

    @property
    def summary(self) -> str:
        verdict = self.verdict
        done = f"{verdict.succeeded}/{verdict.parts} parts done" if verdict.parts else ""
        failed = f"{len(verdict.failures)} failed" if verdict.failures else ""
        percent = f"{verdict.percent:.0f} %" if verdict.percent is not None and not self.is_finished else ""
        notes = ", ".join(note for note in (done, failed, percent) if note)
        status = super().summary
        return f"{status} ({notes})" if notes else status

    def has_failed(self, *, allow_partial: bool = False) -> bool:
        """
        Whether the task ended and a part of it failed.

        :param allow_partial: accept failed parts as long as at least one part succeeded.
        """
        return bool(self.is_finished and self.failures and not (allow_partial and self.verdict.succeeded))

    def raise_for_failure(self, mps_task_id: str, *, allow_partial: bool = False) -> None:
        """
        Return only if the task ended in success.

        :param mps_task_id: for the error's text.
        :param allow_partial: accept failed parts as long as at least one part succeeded.
        :raises MpsTaskNotFinished: it is waiting or running, or its status is not documented.
        :raises MpsTaskFailed: at least one part failed.
        :raises MpsTaskUnsettled: its status is FINISH, but a result is missing or unfinished.
        """
        verdict = self.verdict
        if not self.is_finished:
            raise MpsTaskNotFinished(f"has not finished: {self.summary}", mps_task_id=mps_task_id)
        if self.has_failed(allow_partial=allow_partial):
            raise MpsTaskFailed(
                mps_task_id=mps_task_id,
                failures=verdict.failures,
                succeeded=verdict.succeeded,
                request_id=self.request_id,
            )
        if verdict.unsettled:
            raise MpsTaskUnsettled(
                "says FINISH, but not all of its results are there (was it aborted?):",
                mps_task_id=mps_task_id,
                findings=(*verdict.unsettled, *verdict.failures),
            )

    @cached_property
    def metadata(self) -> tuple[MediaMetadata, ...]:
        return find_metadata(self.body)

    @cached_property
    def subtitles(self) -> tuple[Subtitle, ...]:
        return find_subtitles(self.body)

    @cached_property
    def texts(self) -> tuple[TextResult, ...]:
        return find_texts(self.body)

    @cached_property
    def outputs(self) -> tuple[OutputFile, ...]:
        return find_outputs(self.body)


class TaskListItem(ResultModel):
    """One line of DescribeTasks. It has neither outcome nor SessionId."""

    mps_task_id: str = Field("", alias="TaskId")
    task_type: str = Field("", alias="TaskType")
    create_time: Time = Field(None, alias="CreateTime")
    begin_process_time: Time = Field(None, alias="BeginProcessTime")
    finish_time: Time = Field(None, alias="FinishTime")

    def as_state(self, status: str, request_id: str | None) -> TaskState:
        """
        What a list says of the task.

        :param status: that was asked for; the list does not repeat it.
        :param request_id: of the list.
        """
        return TaskState(
            task_type=self.task_type,
            status=status,
            create_time=self.create_time,
            begin_process_time=self.begin_process_time,
            finish_time=self.finish_time,
            request_id=request_id,
        )


class TaskPage(ResultModel):
    """One page of DescribeTasks. An empty ``scroll_token`` means the end."""

    tasks: tuple[TaskListItem, ...] = ()
    scroll_token: str = Field("", alias="ScrollToken")
    total_count: int | None = Field(None, alias="TotalCount")
    request_id: str | None = Field(None, alias="RequestId")

    @property
    def next_token(self) -> str | None:
        """The token of the next page; None at the end, which an empty page is, whatever token it carries."""
        return self.scroll_token or None if self.tasks else None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> TaskPage:
        """Read the content of ``Response``."""
        items = [item for item in as_items(body.get("TaskSet")) if isinstance(item, Mapping)]
        return cls.read({**body, "tasks": [TaskListItem.read(item) for item in items]})


class SubmittedTask(ResultModel):
    """MPS accepted a job."""

    mps_task_id: str = Field("", alias="TaskId")
    request_id: str | None = Field(None, alias="RequestId")

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> SubmittedTask:
        """
        Read the content of ``Response``.

        :raises ValueError: it names no task.
        """
        submitted = cls.read(body)
        if not submitted.mps_task_id:
            raise ValueError("it names no TaskId")
        return submitted


class Acknowledgement(ResultModel):
    """MPS did what was requested; the answer holds nothing else."""

    request_id: str | None = Field(None, alias="RequestId")
