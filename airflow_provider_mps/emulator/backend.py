"""
The state of the local MPS and its answers to actions. No HTTP here, and no clock but the one it is given.

What MPS does not document is an assumption; each is marked so where it is made.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.emulator.bodies import Outcome, ResultWriter, inputs_of
from airflow_provider_mps.emulator.faults import FaultScript
from airflow_provider_mps.emulator.state import Account, Call, Settings, Task
from airflow_provider_mps.errors import MpsConfigError

_NOT_YET = "0000-00-00T00:00:00Z"
_LATE_LOOKS = 3
_OBJECTS = {"CosInputInfo", "UrlInputInfo", "S3InputInfo", "RawParameter", "CosOutputStorage"}
APP_ID = "1250000000"


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class LocalMpsBackend:
    """Tasks, accounts, rates. ``calls`` and ``tasks`` are what a test counts."""

    def __init__(self, accounts: Mapping[str, Account], settings: Settings | None = None) -> None:
        self.accounts = dict(accounts)
        self.settings = settings or Settings()
        self.faults = FaultScript()
        self.clock_offset = 0.0
        self.tasks: dict[str, Task] = {}
        self.calls: deque[Call] = deque(maxlen=200_000)
        self.aborts: list[str] = []
        self._sessions: dict[str, float] = {}
        self._recent: dict[str, deque[float]] = {}
        self._handlers: dict[str, tuple[type[api.Action[Any]], Callable[[dict[str, Any]], dict[str, Any]]]] = {
            "DescribeTaskDetail": (api.DescribeTaskDetail, self._describe),
            "DescribeBatchTaskDetail": (api.DescribeBatchTaskDetail, self._describe_batch),
            "DescribeTasks": (api.DescribeTasks, self._list),
            "ManageTask": (api.ManageTask, self._manage),
            "ProcessMedia": (api.ProcessMedia, self._process),
            "BatchProcessMedia": (api.BatchProcessMedia, self._process_batch),
            "EditMedia": (api.EditMedia, self._edit),
        }

    def now(self) -> float:
        """The server's time in Unix seconds."""
        return time.time() + self.clock_offset

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that it answers."""
        return tuple(self._handlers)

    def reset(self) -> None:
        """Forget all jobs, calls, faults and clock shifts; the accounts stay."""
        self.faults.clear()
        self.clock_offset = 0.0
        self.tasks.clear()
        self.calls.clear()
        self.aborts.clear()
        self._sessions.clear()
        self._recent.clear()

    def script(self, answers: list[dict[str, Any]], task_id: str | None = None) -> str:
        """Add a task that answers these bodies (contents of ``Response``) in turn, the last one for ever."""
        describe = "DescribeBatchTaskDetail" if task_id and "-BatchTask-" in task_id else "DescribeTaskDetail"
        task_id = task_id or f"{APP_ID}-WorkflowTask-{uuid.uuid4().hex}tt7"
        self.tasks[task_id] = Task(task_id, describe, self.now(), answers=answers)
        return task_id

    def answer(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Answer one authenticated call with the content of ``Response``.

        :raises Refusal: with one of the documented codes.
        """
        if action not in self._handlers:
            raise Refusal("InvalidAction", f"The action {action} does not exist.")
        model, handler = self._handlers[action]
        self._count_against_rate(action, model)
        return handler(_checked(model, parameters))

    def counts(self) -> dict[str, Any]:
        """What happened so far, as numbers: jobs, aborts, and calls by action and error code."""
        codes: dict[str, Counter[str]] = {}
        for call in self.calls:
            codes.setdefault(call.action, Counter())[call.code or "accepted"] += 1
        return {"jobs": len(self.tasks), "aborts": len(self.aborts), "calls": {k: dict(v) for k, v in codes.items()}}

    def status(self, task: Task) -> str:
        """Where a job stands now."""
        if task.answers:
            index = min(task.looks, len(task.answers)) - 1
            return str(task.answers[max(index, 0)].get("Status", ""))
        if task.aborted:
            return "FINISH"  # an assumption: no status for aborted tasks is documented
        settings = self.settings
        stage = (
            (task.looks - 1) // settings.state_looks
            if settings.state_seconds is None
            else int((self.now() - task.created) / settings.state_seconds)
        )
        last = {Outcome.QUEUED: 0, Outcome.STUCK: 1}.get(task.outcome, 2)
        return ("WAITING", "PROCESSING", "FINISH")[max(0, min(stage, last))]

    def _count_against_rate(self, action: str, model: type[api.Action[Any]]) -> None:
        limit = self.settings.rates.get(action, model.requests_per_second)
        if not limit:
            return
        recent = self._recent.setdefault(action, deque())
        now = time.monotonic()
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        if len(recent) >= limit:
            raise Refusal("RequestLimitExceeded", f"More than the {limit:g} requests per second that are allowed.")
        recent.append(now)

    def _describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeTaskDetail")

    def _describe_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeBatchTaskDetail")

    def _detail(self, task_id: str, describe: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        expired = task is not None and self.now() - task.created > self.settings.window_seconds
        # Assumptions: an unknown and an expired id answer alike, and each API knows only its own tasks.
        if task is None or expired or (task.describe != describe and not task.answers):
            raise Refusal("ResourceNotFound", "The task does not exist.")
        task.looks += 1
        if task.answers:
            answer = task.answers[min(task.looks, len(task.answers)) - 1]
            if error := answer.get("Error"):
                raise Refusal(error["Code"], error.get("Message", ""))
            return answer
        return self._body(task)

    def _body(self, task: Task) -> dict[str, Any]:
        status = self.status(task)
        writer = ResultWriter(self._visible_request(task, status), self.settings.segment_count)
        request = task.request
        begun = status != "WAITING"
        if status == "FINISH" and task.finished is None:
            task.finished = self.now()
        body: dict[str, Any] = {
            "TaskType": task.kind,
            "Status": status,
            "CreateTime": _time(task.created),
            "BeginProcessTime": _time(task.created + 1) if begun else _NOT_YET,
            "FinishTime": _time(task.finished) if task.finished else _NOT_YET,
            "TaskNotifyConfig": request.get("TaskNotifyConfig"),
            "TasksPriority": request.get("TasksPriority") or 0,
            "SessionId": request.get("SessionId") or "",
            "SessionContext": request.get("SessionContext") or "",
            "ExtInfo": "",
        }
        if task.is_batch:
            return body | {"TaskId": task.task_id, "BatchTaskResult": writer.batch(status=status)}
        write = writer.edit if task.kind == "EditMediaTask" else writer.workflow
        kinds = ("WorkflowTask", "EditMediaTask", "LiveStreamProcessTask", "ScheduleTask", "LiveScheduleTask")
        return body | dict.fromkeys(kinds) | {task.kind: write(task.task_id, status=status)}

    def _visible_request(self, task: Task, status: str) -> Mapping[str, Any]:
        """The request that its results follow: a late result shows after some looks, an aborted job has none."""
        if task.aborted:
            return {key: task.request[key] for key in ("InputInfo", "FileInfos") if key in task.request}
        if task.outcome is Outcome.LATE_RESULT and status == "FINISH":
            task.late_looks += 1
            if task.late_looks > _LATE_LOOKS:
                plain = [{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}]
                return {**task.request, "InputInfo": plain, "FileInfos": [{"InputInfo": plain[0]}]}
        return task.request

    def _process(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        return self._accept("WorkflowTask", "tt7", "DescribeTaskDetail", parameters)

    def _edit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        return self._accept("EditMediaTask", "tt6", "DescribeTaskDetail", parameters)

    def _take_session(self, parameters: dict[str, Any]) -> None:
        if session := parameters.get("SessionId"):
            if self.now() - self._sessions.get(session, float("-inf")) < self.settings.session_seconds:
                raise Refusal("InvalidParameterValue.SessionId", "Duplicate recognition code. Request deduplicated.")
            self._sessions[session] = self.now()

    def _process_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._accept("BatchTask", "t20", "DescribeBatchTaskDetail", parameters)

    def _accept(self, kind: str, suffix: str, describe: str, request: dict[str, Any]) -> dict[str, Any]:
        infos = inputs_of(request)
        if not infos or not all(info.get("Type") for info in infos):
            raise Refusal("InvalidParameter", "InputInfo.Type is missing.")
        task_id = f"{APP_ID}-{kind}-{uuid.uuid4().hex}{suffix}"
        self.tasks[task_id] = Task(task_id, describe, self.now(), request)
        return {"TaskId": task_id}

    def _manage(self, parameters: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks.get(parameters["TaskId"])
        if task is None:
            raise Refusal("InvalidParameterValue.TaskId", "The task does not exist.")
        if self.status(task) != "WAITING":
            raise Refusal("InvalidParameterValue.NotProcessingTask", "The task can not be aborted in its status.")
        task.aborted = True
        self.aborts.append(task.task_id)
        return {}

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # Assumptions: batch jobs are not listed, oldest first, and the window filters the time of creation.
        limit = int(parameters.get("Limit") or 10)
        start, end = parameters.get("StartTime") or "", parameters.get("EndTime") or "9"
        listed = [
            task
            for task in sorted(self.tasks.values(), key=lambda task: task.created)
            if not task.is_batch and self.status(task) == parameters["Status"] and start <= _time(task.created) <= end
        ]
        token = str(parameters.get("ScrollToken") or "0")
        first = int(token) if token.isdecimal() else 0
        page = listed[first : first + limit]
        more = first + limit < len(listed)
        items = [
            {
                "TaskId": task.task_id,
                "TaskType": task.kind,
                "CreateTime": _time(task.created),
                "BeginProcessTime": _NOT_YET if self.status(task) == "WAITING" else _time(task.created + 1),
                "FinishTime": _time(task.finished or self.now()) if self.status(task) == "FINISH" else _NOT_YET,
                "SubTaskTypes": [],
            }
            for task in page
        ]
        return {"TaskSet": items, "ScrollToken": str(first + limit) if more else "", "TotalCount": len(listed)}


def _checked(model: type[api.Action[Any]], parameters: dict[str, Any]) -> dict[str, Any]:
    """Refuse what MPS would refuse, with its codes."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if unknown := sorted(set(parameters) - set(fields)):
        raise Refusal("UnknownParameter", f"The parameter `{unknown[0]}` is not recognized.")
    # MPS also requires what the action fills in by itself: another client may leave it out.
    required = [name for name, field in fields.items() if field.is_required() or field.default is not None]
    if missing := [name for name in required if parameters.get(name) is None]:
        raise Refusal("MissingParameter", f"The request is missing a required parameter `{missing[0]}`.")
    for name, longest in (("SessionId", 50), ("SessionContext", 1000)):
        if len(str(parameters.get(name) or "")) > longest:
            raise Refusal(f"InvalidParameterValue.{name}TooLong", f"{name} is longer than {longest} characters.")
    limit = "10" if parameters.get("Limit") is None else str(parameters["Limit"])
    if not (limit.isdecimal() and 0 < int(limit) <= 100):
        raise Refusal("InvalidParameterValue.Limit", "Limit must be between 1 and 100.")
    _check_shapes(parameters)
    try:
        return model(**{name: value for name, value in parameters.items() if value is not None}).parameters
    except MpsConfigError as error:
        raise Refusal("InvalidParameterValue", str(error)) from error


def _check_shapes(parameters: Mapping[str, Any]) -> None:
    """Refuse nested values of a wrong type, as far as anything here reads them."""
    for name, value in parameters.items():
        objects = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Mapping)]
        expected = ""
        if name in _OBJECTS and not isinstance(value, (Mapping, NoneType)):
            expected = "an object"
        elif name.endswith("TaskSet") and value is not None and value != objects:
            expected = "a list of objects"
        elif name == "Definition" and not (value is None or str(value).isdecimal()):
            expected = "a number"
        if expected:
            raise Refusal("InvalidParameter", f"The parameter `{name}` is not {expected}.")
        for item in objects:
            _check_shapes(item)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
