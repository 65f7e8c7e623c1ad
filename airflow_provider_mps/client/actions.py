"""
What MPS can be asked: one class per API action.

Source: https://www.tencentcloud.com/document/product/1041/33625 (API overview, version 2019-06-12)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from airflow_provider_mps.client.action import Action, SubmitAction, TaskId, check_mps_task_id
from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.media import MediaMetadata
from airflow_provider_mps.results.task import Acknowledgement, TaskDetail, TaskPage

__all__ = [
    "Action",
    "BatchProcessMedia",
    "DescribeBatchTaskDetail",
    "DescribeImageTaskDetail",
    "DescribeMediaMetaData",
    "DescribeTaskDetail",
    "DescribeTasks",
    "EditMedia",
    "ManageTask",
    "ProcessImage",
    "ProcessLiveStream",
    "ProcessMedia",
    "RawAction",
    "SubmitAction",
    "check_mps_task_id",
    "describe",
]

Object = dict[str, Any]
SessionId = Annotated[str, Field(max_length=50)]
SessionContext = Annotated[str, Field(max_length=1000)]


class DescribeTaskDetail(Action[TaskDetail]):
    """
    State and results of any task but a batch or image task, for 7 days (international accounts: 3 days).

    Source: https://www.tencentcloud.com/document/product/1041/33644
    """

    requests_per_second = 100
    polled = True
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> TaskDetail:
        return TaskDetail.of(body)


class DescribeBatchTaskDetail(Action[TaskDetail]):
    """
    State and results of a task of BatchProcessMedia, for 7 days.

    Source: https://www.tencentcloud.com/document/product/1041/70402
    """

    requests_per_second = 20
    polled = True
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> TaskDetail:
        return TaskDetail.of(body)


class DescribeImageTaskDetail(Action[TaskDetail]):
    """
    State and results of a task of ProcessImage, for 7 days.

    Source: https://www.tencentcloud.com/document/product/1041/70401
    """

    requests_per_second = 100
    polled = True
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> TaskDetail:
        return TaskDetail.of(body, is_image=True)


class DescribeMediaMetaData(Action[MediaMetadata]):
    """
    Metadata of one file, read while the caller waits: no job is started.

    :param mode: ``slow`` gives MPS more time, for a file that is slow to read.

    Source: https://www.tencentcloud.com/document/product/1041/37461
    """

    requests_per_second = 20
    input_info: Object
    mode: Literal["slow"] | None = None

    def result(self, body: Mapping[str, Any]) -> MediaMetadata:
        return MediaMetadata.of_probe(body)


class DescribeTasks(Action[TaskPage]):
    """
    One page of the tasks in one status. An item holds neither the result nor the SessionId.

    :param limit: items per page, 1 to 100.
    :param scroll_token: from the previous page; "" there means the end.
    :param start_time: UTC, ``YYYY-MM-DDThh:mm:ssZ``. MPS does not document which time of a task it filters.

    Source: https://www.tencentcloud.com/document/product/1041/33643
    """

    requests_per_second = 100
    polled = True
    status: Literal["WAITING", "PROCESSING", "FINISH"]
    sub_task_has_failed: bool | None = None
    limit: Annotated[int, Field(ge=1, le=100)] | None = None
    scroll_token: str | None = None
    start_time: str | None = None
    end_time: str | None = None

    def result(self, body: Mapping[str, Any]) -> TaskPage:
        return TaskPage.of(body)


class ManageTask(Action[Acknowledgement]):
    """
    Abort a WAITING task, or a live task also while it runs. MPS denies any other abort, and bills the task.

    Source: https://www.tencentcloud.com/document/product/1041/37462
    """

    requests_per_second = 20
    operation_type: Literal["Abort"] = "Abort"
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> Acknowledgement:
        return Acknowledgement.read(body)


class ProcessMedia(SubmitAction):
    """
    Start a job on one file: transcode, snapshots, review, analysis, recognition, subtitles, dubbing.

    Source: https://www.tencentcloud.com/document/product/1041/33640
    """

    requests_per_second = 100
    input_info: Object
    output_storage: Object | None = None
    output_dir: str | None = None
    schedule_id: int | None = None
    media_process_task: Object | None = None
    ai_content_review_task: Object | None = None
    ai_analysis_task: Object | None = None
    ai_recognition_task: Object | None = None
    ai_quality_control_task: Object | None = None
    smart_subtitles_task: Object | None = None
    smart_erase_task: Object | None = None
    ai_dubbing_task: Object | None = Field(None, alias="AIDubbingTask")
    task_notify_config: Object | None = None
    tasks_priority: Annotated[int, Field(ge=-10, le=10)] | None = None
    session_id: SessionId | None = None
    session_context: SessionContext | None = None
    task_type: Literal["Online", "Offline"] | None = None
    resource_id: str | None = None
    activities: list[Object] | None = None
    skip_mate_data: Literal[0, 1] | None = None


class BatchProcessMedia(SubmitAction):
    """
    Start a subtitle job on several files. It has no SessionId: a job sent twice runs twice.

    Source: https://www.tencentcloud.com/document/product/1041/70403
    """

    requests_per_second = 20
    input_info: Annotated[list[Object], Field(min_length=1)]
    output_storage: Object | None = None
    output_dir: str | None = None
    smart_subtitles_task: Object | None = None
    task_notify_config: Object | None = None
    tasks_priority: Annotated[int, Field(ge=-10, le=10)] | None = None
    session_context: SessionContext | None = None
    resource_id: str | None = None
    skip_mate_data: Literal[0, 1] | None = None
    task_mode: Literal["Parallel", "Serial"] | None = None


class EditMedia(SubmitAction):
    """
    Start a job that cuts, joins or composes files.

    Source: https://www.tencentcloud.com/document/product/1041/33493
    """

    requests_per_second = 20
    file_infos: Annotated[list[Object], Field(min_length=1)]
    output_storage: Object
    output_object_path: str
    output_config: Object | None = None
    compose_config: Object | None = None
    task_notify_config: Object | None = None
    tasks_priority: Annotated[int, Field(ge=-10, le=10)] | None = None
    session_id: SessionId | None = None
    session_context: SessionContext | None = None
    resource_id: str | None = None


class ProcessImage(SubmitAction):
    """
    Start a job on one picture. It has neither SessionId nor SessionContext: a job that is sent twice runs twice, and no
    answer of MPS shows to which task a job belongs.

    ``schedule_id`` and ``add_on_parameter`` are offered to mainland accounts only.

    Source: https://www.tencentcloud.com/document/product/1041/66929
    """

    requests_per_second = 20
    describe_action = "DescribeImageTaskDetail"
    input_info: Object | None = None
    output_storage: Object | None = None
    output_dir: str | None = None
    output_path: str | None = None
    definition: int | None = None
    resource_id: str | None = None
    image_task: Object | None = None
    schedule_id: int | None = None
    add_on_parameter: Object | None = None
    std_ext_info: str | None = None


class ProcessLiveStream(SubmitAction):
    """
    Start a job on a live stream, which runs until the stream ends or the job is aborted.

    MPS sends its results as notifications only, so ``task_notify_config`` is required. With ``schedule_id`` it runs an
    orchestration, which also writes files.

    Source: https://www.tencentcloud.com/document/product/1041/33641
    """

    requests_per_second = 100
    url: str
    task_notify_config: Object
    output_storage: Object | None = None
    output_dir: str | None = None
    ai_content_review_task: Object | None = None
    ai_recognition_task: Object | None = None
    ai_analysis_task: Object | None = None
    ai_quality_control_task: Object | None = None
    smart_subtitles_task: Object | None = None
    session_id: SessionId | None = None
    session_context: SessionContext | None = None
    schedule_id: int | None = None
    resource_id: str | None = None


def _action_name(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", value):
        raise ValueError("an action is written as in Tencent's API, for example DescribeTaskDetail")
    return value


class RawAction(Action[dict[str, Any]]):
    """
    Any action without its own class, by its name. Its result is the content of ``Response`` as a plain dict.

    :param action: the ``X-TC-Action``.
    :param body: the parameters, in Tencent's spelling.
    :param may_be_repeated: whether it is safe to send it again if it is not known whether it ran.
    """

    requests_per_second = 20
    action: Annotated[str, AfterValidator(_action_name)]
    body: Object = Field(default_factory=dict)
    may_be_repeated: bool = False

    @property
    def name(self) -> str:
        return self.action

    @property
    def idempotent(self) -> bool:
        return self.may_be_repeated

    @property
    def parameters(self) -> dict[str, Any]:
        return self.body

    def result(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return dict(body)


Describe = DescribeTaskDetail | DescribeBatchTaskDetail | DescribeImageTaskDetail
_DESCRIBE: Mapping[str, type[Describe]] = {
    action.__name__: action for action in (DescribeTaskDetail, DescribeBatchTaskDetail, DescribeImageTaskDetail)
}
# ProcessImage also returns ids with "-WorkflowTask-" in them, which have the same form as those of ProcessMedia.
_IMAGE_ID = re.compile(r"[A-Za-z0-9]{64}")


def describe(mps_task_id: Any, action: str | None = None) -> Describe:
    """
    Return the action that polls a task.

    :param action: its name, if the TaskId does not show its kind: the id of an image task may look like any other.
        Without it, ``-BatchTask-`` in the id or an id of 64 letters and digits (an image) decides.
    :raises MpsConfigError: the id is invalid, or the action does not describe a task.
    """
    task_id = check_mps_task_id(mps_task_id)
    if action and action not in _DESCRIBE:
        raise MpsConfigError(f"describe_action is {action!r:.60}; it can be {' or '.join(_DESCRIBE)}")
    return _DESCRIBE[action or _describing(task_id)](task_id=task_id)


def _describing(task_id: str) -> str:
    if "-BatchTask-" in task_id:
        return "DescribeBatchTaskDetail"
    return "DescribeImageTaskDetail" if _IMAGE_ID.fullmatch(task_id) else "DescribeTaskDetail"
