"""
What MPS can be asked: one class per API action.

Source: https://www.tencentcloud.com/document/product/1041/33625 (API overview, version 2019-06-12)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.task import Acknowledgement, SubmittedTask, TaskDetail, TaskPage

ResultT = TypeVar("ResultT")
_TASK_ID = re.compile(r"[A-Za-z0-9*_.:-]{1,256}")
_NOT_AN_ID = {"none", "null", "nan", "undefined"}


def check_mps_task_id(value: Any) -> str:
    """
    Return a TaskId that can be asked for; its shape is Tencent's business.

    :raises MpsConfigError: None, "", "None", an unrendered template or anything else that is no id.
    """
    if isinstance(value, str) and _TASK_ID.fullmatch(value) and value.lower() not in _NOT_AN_ID:
        return value
    raise MpsConfigError(
        f"mps_task_id is {value!r:.80}, which is no MPS TaskId. It looks like 240000-WorkflowTask-0123456789abcdef; "
        "does the task that should have returned it really return it?"
    )


def _task_id(value: Any) -> str:
    try:
        return check_mps_task_id(value)
    except MpsConfigError as error:
        raise ValueError(str(error)) from None  # pydantic collects ValueErrors made by itself or here


TaskId = Annotated[str, BeforeValidator(_task_id)]
Object = dict[str, Any]


class Action(BaseModel, Generic[ResultT]):
    """
    A request as a value: the class is the action, its fields are the parameters, ``ResultT`` is what it answers.

    Fields are written in snake_case or as Tencent spells them; ``parameters`` holds Tencent's spelling.
    Unknown top-level parameters are refused; nested objects are passed through as Tencent documents them.

    To add an action: (1) a class here, its docstring with what it does and its page, its fields, ``idempotent``,
    ``requests_per_second`` and ``result``; (2) its handler in ``emulator/backend.py``; (3) a line in the table of
    ``tests/client/test_actions.py``, which compares it with the official SDK.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_pascal,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    service: ClassVar[str] = "mps"
    version: ClassVar[str] = "2019-06-12"
    requests_per_second: ClassVar[int]
    """What MPS documents, per account."""

    def __init__(self, **parameters: Any) -> None:
        try:
            super().__init__(**parameters)
        except ValidationError as error:
            raise MpsConfigError(self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        lines = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            name = ".".join(str(step) for step in problem["loc"])
            if problem["type"] == "extra_forbidden":
                guess = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {guess[0]}?" if guess else f"; it takes {', '.join(known)}"
                lines.append(f"{name} is not a parameter of {cls.__name__}{hint}")
            elif problem["type"] == "missing":
                lines.append(f"{name} is missing")
            else:
                lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        return f"{cls.__name__} cannot be sent: " + "; ".join(lines)

    @property
    def name(self) -> str:
        """The ``X-TC-Action``."""
        return type(self).__name__

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent again although it may have run already."""
        return True

    @property
    def parameters(self) -> dict[str, Any]:
        """The body, in Tencent's spelling."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def result(self, body: Mapping[str, Any]) -> ResultT:
        """Read the content of ``Response``."""
        raise TypeError(f"{type(self).__name__} cannot read {sorted(body)}: it has no result")


class SubmitAction(Action[SubmittedTask]):
    """An action that starts a job, and costs money each time it runs."""

    session_context: Annotated[str, Field(max_length=1000)] | None = None

    @property
    def deduplicated(self) -> bool:
        """Whether MPS refuses a SessionId that it has seen, so that a repeat does no harm."""
        return "session_id" in type(self).model_fields

    @property
    def own_session_id(self) -> str | None:
        """The SessionId in it, if any; MPS takes an empty one for none."""
        return getattr(self, "session_id", None) or None

    def tagged(self, session_id: str | None, session_context: str) -> Self:
        """A copy that carries this SessionId, where there is one, and this SessionContext unless it has its own."""
        update = {"session_id": session_id} if session_id else {}
        return self.model_copy(update={**update, "session_context": self.session_context or session_context})

    @property
    def idempotent(self) -> bool:
        return False

    def result(self, body: Mapping[str, Any]) -> SubmittedTask:
        return SubmittedTask.of(body)


class DescribeTaskDetail(Action[TaskDetail]):
    """
    State and results of any task but a batch or image task, for 7 days (international accounts: 3 days).

    Source: https://www.tencentcloud.com/document/product/1041/33644
    """

    requests_per_second = 100
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> TaskDetail:
        return TaskDetail.of(body)


class DescribeBatchTaskDetail(Action[TaskDetail]):
    """
    State and results of a task of BatchProcessMedia, for 7 days.

    Source: https://www.tencentcloud.com/document/product/1041/70402
    """

    requests_per_second = 20
    task_id: TaskId

    def result(self, body: Mapping[str, Any]) -> TaskDetail:
        return TaskDetail.of(body)


class DescribeTasks(Action[TaskPage]):
    """
    One page of the tasks in one status. An item tells neither outcome nor SessionId.

    :param limit: items per page, 1 to 100.
    :param scroll_token: from the page before; "" there means the end.
    :param start_time: UTC, ``YYYY-MM-DDThh:mm:ssZ``; which time of a task it filters is not documented.

    Source: https://www.tencentcloud.com/document/product/1041/33643
    """

    requests_per_second = 100
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
    Abort a task that still waits (a live task also while it runs). Anything else MPS refuses and bills.

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
    session_id: Annotated[str, Field(max_length=50)] | None = None
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
    session_id: Annotated[str, Field(max_length=50)] | None = None
    resource_id: str | None = None


def _action_name(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", value):
        raise ValueError("an action is written as in Tencent's API, for example DescribeTaskDetail")
    return value


class RawAction(Action[dict[str, Any]]):
    """
    Any action that has no class here, by its name; it answers the content of ``Response`` as a plain dict.

    :param action: the ``X-TC-Action``.
    :param body: the parameters, in Tencent's spelling.
    :param may_be_repeated: whether it is safe to send it again when it is not known if it ran.
    """

    requests_per_second = 20
    action: Annotated[str, AfterValidator(_action_name)]
    body: Object = {}
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


DescribeActionName = Literal["DescribeTaskDetail", "DescribeBatchTaskDetail"]
_DESCRIBE: Mapping[str, type[DescribeTaskDetail] | type[DescribeBatchTaskDetail]] = {
    "DescribeTaskDetail": DescribeTaskDetail,
    "DescribeBatchTaskDetail": DescribeBatchTaskDetail,
}


def describe(mps_task_id: Any, action: str | None = None) -> DescribeTaskDetail | DescribeBatchTaskDetail:
    """
    The action that tells the state of a task.

    :param action: its name, where the TaskId does not tell. Without it, ``-BatchTask-`` in the id decides.
    :raises MpsConfigError: the id is none, or the action is not one that describes a task.
    """
    task_id = check_mps_task_id(mps_task_id)
    name = action or ("DescribeBatchTaskDetail" if "-BatchTask-" in task_id else "DescribeTaskDetail")
    if name not in _DESCRIBE:
        raise MpsConfigError(f"describe_action is {action!r:.60}; it can be {' or '.join(_DESCRIBE)}")
    return _DESCRIBE[name](task_id=task_id)
