"""
The actions of the local MPS on its tasks. It knows nothing of HTTP.

MPS does not document everything. A comment marks each assumption.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.client.credentials import sts
from airflow_provider_mps.emulator.exceptions import ApiError
from airflow_provider_mps.emulator.faults import FaultScript
from airflow_provider_mps.emulator.media import metadata
from airflow_provider_mps.emulator.models import Account, Call, Settings, Task
from airflow_provider_mps.emulator.responses import list_item, task_detail
from airflow_provider_mps.emulator.scenarios import Scenario, inputs_of, scenario_of
from airflow_provider_mps.emulator.sts import StsBackend
from airflow_provider_mps.emulator.validation import validated

APP_ID = "1250000000"


class LocalMpsBackend:
    """Tasks, accounts, rates. Tests count ``tasks``, ``calls`` and ``aborts``."""

    def __init__(self, accounts: Mapping[str, Account], settings: Settings | None = None) -> None:
        self.accounts = dict(accounts)
        self.settings = settings or Settings()
        self.faults = FaultScript()
        self.clock_offset = 0.0
        self.sts = StsBackend(self.accounts, self.settings, self.now)
        self.caller = ""
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
            "ProcessImage": (api.ProcessImage, self._process_image),
            "ProcessLiveStream": (api.ProcessLiveStream, self._process_live),
            "DescribeImageTaskDetail": (api.DescribeImageTaskDetail, self._describe_image),
            "DescribeMediaMetaData": (api.DescribeMediaMetaData, self._probe),
            "AssumeRole": (sts.AssumeRole, lambda given: self.sts.assume_role(given, self.caller)),
            "AssumeRoleWithWebIdentity": (
                sts.AssumeRoleWithWebIdentity,
                self.sts.assume_role_with_web_identity,
            ),
        }

    def now(self) -> float:
        """Return the server's time in Unix seconds."""
        return time.time() + self.clock_offset

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of the actions."""
        return tuple(self._handlers)

    def reset(self) -> None:
        """Remove all tasks, calls and faults and set the clock right; keep accounts and settings."""
        self.faults.clear()
        self.clock_offset = 0.0
        self.tasks.clear()
        self.calls.clear()
        self.aborts.clear()
        self._sessions.clear()
        self._recent.clear()

    def script(self, answers: list[dict[str, Any]], task_id: str | None = None) -> str:
        """Add a task that answers these bodies (contents of ``Response``) in turn; the last one is repeated."""
        describe = "DescribeBatchTaskDetail" if task_id and "-BatchTask-" in task_id else "DescribeTaskDetail"
        task_id = task_id or f"{APP_ID}-WorkflowTask-{uuid.uuid4().hex}tt7"
        self.tasks[task_id] = Task(task_id, describe, self.now(), answers=answers)
        return task_id

    def run_for(self, seconds: float, *, batch: bool = False) -> str:
        """Start a task that succeeds after this many seconds, however often it is polled."""
        info = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}
        answer = (
            self._process_batch({"InputInfo": [info], "SmartSubtitlesTask": {"RawParameter": {}}})
            if batch
            else self._process({"InputInfo": info, "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100010}]}})
        )
        task_id = str(answer["TaskId"])
        self.tasks[task_id].state_seconds = seconds / 2
        return task_id

    def service_of(self, action: str) -> tuple[str, str]:
        """Return the service that answers an action, and the version of its API."""
        model = self._handlers[action][0] if action in self._handlers else api.DescribeTaskDetail
        return model.service, model.version

    def answer(self, action: str, parameters: dict[str, Any], caller: str = "") -> dict[str, Any]:
        """
        Answer one authenticated call with the content of ``Response``.

        :param caller: the SecretId that signed it.
        :raises ApiError: with one of the documented codes.
        """
        if action not in self._handlers:
            raise ApiError("InvalidAction", f"The action {action} does not exist.")
        model, handler = self._handlers[action]
        self._count_against_rate(action, model)
        self.caller = caller
        return handler(validated(model, parameters))

    def counts(self) -> dict[str, Any]:
        """Return the number of tasks, of aborts, and of calls by action and error code."""
        codes: dict[str, Counter[str]] = {}
        for call in self.calls:
            codes.setdefault(call.action, Counter())[call.code or "accepted"] += 1
        return {"jobs": len(self.tasks), "aborts": len(self.aborts), "calls": {k: dict(v) for k, v in codes.items()}}

    def status(self, task: Task) -> str:
        """Return the state of a task now."""
        return task.status(self.settings, self.now())

    def _count_against_rate(self, action: str, model: type[api.Action[Any]]) -> None:
        limit = self.settings.rates.get(action, model.requests_per_second)
        if not limit:
            return
        recent = self._recent.setdefault(action, deque())
        now = time.monotonic()
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        if len(recent) >= limit:
            raise ApiError("RequestLimitExceeded", f"More than the {limit:g} requests per second that are allowed.")
        recent.append(now)

    def _describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeTaskDetail")

    def _describe_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeBatchTaskDetail")

    def _describe_image(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeImageTaskDetail")

    def _probe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if scenario_of(parameters["InputInfo"]) in {Scenario.SOURCE_ERROR, Scenario.ALL_FAIL}:
            raise ApiError("InvalidParameterValue.SrcFile", "The source file can not be read.")
        return {"MetaData": metadata()}

    def _detail(self, task_id: str, describe: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        expired = task is not None and self.now() - task.created > self.settings.window_seconds
        # Assumptions: the error for an unknown and for an expired id is the same; each API knows only its own tasks.
        if task is None or expired or (task.describe != describe and not task.answers):
            raise ApiError("ResourceNotFound", "The task does not exist.")
        task.polls += 1
        if task.answers:
            answer = task.answers[min(task.polls, len(task.answers)) - 1]
            if error := answer.get("Error"):
                raise ApiError(error.get("Code", ""), error.get("Message", ""))
            return answer
        status = self.status(task)
        if status == "FINISH":
            task.end(self.settings, self.now())
            task.polls_of_end += 1
        return task_detail(task, status, self.settings.segment_count)

    def _process(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        # An assumption: an orchestration always makes a ScheduleTask.
        kind = "ScheduleTask" if parameters.get("ScheduleId") or parameters.get("Activities") else "WorkflowTask"
        return self._accept(kind, "tt7", "DescribeTaskDetail", parameters)

    def _edit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        return self._accept("EditMediaTask", "tt6", "DescribeTaskDetail", parameters)

    def _process_image(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # Ids of two forms are published. This form is harder to tell from the id of a workflow task.
        return self._accept("WorkflowTask", "tt6", "DescribeImageTaskDetail", parameters)

    def _process_live(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        if parameters.get("ScheduleId"):
            return self._accept("LiveScheduleTask", "tt7", "DescribeTaskDetail", parameters)
        return self._accept("LiveStreamProcessTask", "tt7", "DescribeTaskDetail", parameters, form="procedure-live")

    def _take_session(self, parameters: dict[str, Any]) -> None:
        if session := parameters.get("SessionId"):
            if self.now() - self._sessions.get(session, float("-inf")) < self.settings.session_seconds:
                raise ApiError("InvalidParameterValue.SessionId", "Duplicate recognition code. Request deduplicated.")
            self._sessions[session] = self.now()

    def _process_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._accept("BatchTask", "t20", "DescribeBatchTaskDetail", parameters)

    def _accept(
        self, kind: str, suffix: str, describe: str, request: dict[str, Any], *, form: str | None = None
    ) -> dict[str, Any]:
        infos = inputs_of(request)
        if not infos or not all(info.get("Type") for info in infos):
            raise ApiError("InvalidParameter", "InputInfo.Type is missing.")
        given = self.settings.next_task_ids
        task_id = given.pop(0) if given else f"{APP_ID}-{form or kind}-{uuid.uuid4().hex}{suffix}"
        self.tasks[task_id] = Task(task_id, describe, self.now(), kind, request)
        return {"TaskId": task_id}

    def _manage(self, parameters: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks.get(parameters["TaskId"])
        # An assumption: the documented "ID of a video processing task" excludes ids of image tasks.
        if task is None or task.describe == "DescribeImageTaskDetail":
            raise ApiError("InvalidParameterValue.TaskId", "The task does not exist.")
        if self.status(task) not in ({"WAITING", "PROCESSING"} if task.is_live else {"WAITING"}):
            raise ApiError("InvalidParameterValue.NotProcessingTask", "The task can not be aborted in its status.")
        task.aborted = True
        self.aborts.append(task.task_id)
        return {}

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # Assumptions: batch and image tasks are not listed, the oldest come first, the window filters by creation.
        limit = int(parameters.get("Limit") or 10)
        start, end = _seconds(parameters.get("StartTime"), 0.0), _seconds(parameters.get("EndTime"), float("inf"))
        listed = [
            task
            for task in sorted(self.tasks.values(), key=lambda task: task.created)
            if task.describe == "DescribeTaskDetail"
            and self.status(task) == parameters["Status"]
            and start <= int(self._filtered_time(task, parameters["Status"])) <= end
        ]
        token = str(parameters.get("ScrollToken") or "0")
        first = int(token) if token.isdecimal() else 0
        page = listed[first : first + limit]
        more = first + limit < len(listed)
        items = [list_item(task, parameters["Status"], self.settings, self.now()) for task in page]
        return {"TaskSet": items, "ScrollToken": str(first + limit) if more else "", "TotalCount": len(listed)}

    def _filtered_time(self, task: Task, status: str) -> float:
        by_end = self.settings.list_window == "end" and status == "FINISH"
        return task.end(self.settings, self.now()) if by_end else task.created


def _seconds(time: str | None, default: float) -> float:
    try:
        return datetime.fromisoformat(time).timestamp() if time else default
    except ValueError:
        raise ApiError("InvalidParameterValue", "A time is written as 2026-01-31T12:00:00Z.") from None
