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
from typing import Any

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.client.credentials import sts
from airflow_provider_mps.emulator.faults import FaultScript
from airflow_provider_mps.emulator.media import metadata
from airflow_provider_mps.emulator.responses import ResultWriter
from airflow_provider_mps.emulator.scenarios import Outcome, inputs_of, outcome_of
from airflow_provider_mps.emulator.state import Account, Call, Settings, Task
from airflow_provider_mps.emulator.sts import Identities
from airflow_provider_mps.emulator.validation import Refusal, checked

__all__ = ["APP_ID", "LocalMpsBackend", "Refusal"]

_NOT_YET = "0000-00-00T00:00:00Z"
_LATE_LOOKS = 3
APP_ID = "1250000000"


class LocalMpsBackend:
    """Tasks, accounts, rates. ``calls`` and ``tasks`` are what a test counts; ``caller`` signed the current call."""

    def __init__(self, accounts: Mapping[str, Account], settings: Settings | None = None) -> None:
        self.accounts = dict(accounts)
        self.settings = settings or Settings()
        self.faults = FaultScript()
        self.clock_offset = 0.0
        self.identities = Identities(self.accounts, self.settings, self.now)
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
            "AssumeRole": (sts.AssumeRole, lambda given: self.identities.assume_role(given, self.caller)),
            "AssumeRoleWithWebIdentity": (
                sts.AssumeRoleWithWebIdentity,
                self.identities.assume_role_with_web_identity,
            ),
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

    def run_for(self, seconds: float, *, batch: bool = False) -> str:
        """Start a job that ends well after so many seconds, whoever looks."""
        infos = [{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}]
        answer = (
            self._process_batch({"InputInfo": infos, "SmartSubtitlesTask": {"RawParameter": {}}})
            if batch
            else self._process(
                {"InputInfo": infos[0], "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100010}]}}
            )
        )
        task_id = str(answer["TaskId"])
        self.tasks[task_id].state_seconds = seconds / 2
        return task_id

    def service_of(self, action: str) -> tuple[str, str]:
        """Which service answers an action, and in which version of its API."""
        model = self._handlers[action][0] if action in self._handlers else api.DescribeTaskDetail
        return model.service, model.version

    def answer(self, action: str, parameters: dict[str, Any], caller: str = "") -> dict[str, Any]:
        """
        Answer one authenticated call with the content of ``Response``.

        :param caller: the SecretId that signed it.
        :raises Refusal: with one of the documented codes.
        """
        if action not in self._handlers:
            raise Refusal("InvalidAction", f"The action {action} does not exist.")
        model, handler = self._handlers[action]
        self._count_against_rate(action, model)
        self.caller = caller
        return handler(checked(model, parameters))

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
        looks, seconds = self.settings.state_looks, self._state_seconds(task)
        if seconds is not None:
            stage = int((self.now() - task.created) / seconds) if seconds else 2
        else:
            stage = (task.looks - 1) // looks if looks else 2
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

    def _describe_image(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._detail(parameters["TaskId"], "DescribeImageTaskDetail")

    def _probe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if outcome_of(parameters["InputInfo"]) in {Outcome.SOURCE_ERROR, Outcome.ALL_FAIL}:
            raise Refusal("InvalidParameterValue.SrcFile", "The source file can not be read.")
        return {"MetaData": metadata()}

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
                raise Refusal(error.get("Code", ""), error.get("Message", ""))
            return answer
        return self._body(task)

    def _body(self, task: Task) -> dict[str, Any]:
        status = self.status(task)
        writer = ResultWriter(self._visible_request(task, status), self.settings.segment_count)
        request = task.request
        begun = status != "WAITING"
        if status == "FINISH":
            self._end_of(task)
        body: dict[str, Any] = {"TaskType": task.kind, "Status": status, "CreateTime": _time(task.created)}
        if task.describe == "DescribeImageTaskDetail":
            finished = {"FinishTime": _time(task.finished)} if task.finished else {}
            return body | finished | writer.image(status=status)
        body |= {
            "BeginProcessTime": _time(task.created + 1) if begun else _NOT_YET,
            "FinishTime": _time(task.finished) if task.finished else _NOT_YET,
            "TaskNotifyConfig": request.get("TaskNotifyConfig"),
            "TasksPriority": request.get("TasksPriority") or 0,
            "SessionId": request.get("SessionId") or "",
            "SessionContext": request.get("SessionContext") or "",
            "ExtInfo": "",
        }
        if task.kind == "BatchTask":
            return body | {"TaskId": task.task_id, "BatchTaskResult": writer.batch(status=status)}
        write = {
            "WorkflowTask": writer.workflow,
            "ScheduleTask": writer.schedule,
            "EditMediaTask": writer.edit,
            "LiveStreamProcessTask": writer.live,
            "LiveScheduleTask": writer.live_schedule,
        }
        written = write[task.kind](task.task_id, status=status)
        return body | dict.fromkeys(write) | {task.kind: written}

    def _visible_request(self, task: Task, status: str) -> Mapping[str, Any]:
        """The request that its results follow: a late result shows after some looks, an aborted job has none."""
        if task.aborted:
            return {key: task.request[key] for key in ("InputInfo", "FileInfos", "Url") if key in task.request}
        if task.outcome is Outcome.LATE_RESULT and status == "FINISH":
            task.late_looks += 1
            if task.late_looks > _LATE_LOOKS:
                plain = [{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}]
                found = {"InputInfo": plain, "FileInfos": [{"InputInfo": plain[0]}]}
                return {**task.request, **found} | ({"Url": "rtmp://live.invalid/talk"} if task.is_live else {})
        return task.request

    def _process(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        # An assumption: an orchestration always makes a ScheduleTask.
        kind = "ScheduleTask" if parameters.get("ScheduleId") or parameters.get("Activities") else "WorkflowTask"
        return self._accept(kind, "tt7", "DescribeTaskDetail", parameters)

    def _edit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        return self._accept("EditMediaTask", "tt6", "DescribeTaskDetail", parameters)

    def _process_image(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # Ids of this form, and others of 64 letters and digits, are published; this one is harder to tell.
        return self._accept("WorkflowTask", "tt6", "DescribeImageTaskDetail", parameters)

    def _process_live(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._take_session(parameters)
        if parameters.get("ScheduleId"):
            return self._accept("LiveScheduleTask", "tt7", "DescribeTaskDetail", parameters)
        return self._accept("LiveStreamProcessTask", "tt7", "DescribeTaskDetail", parameters, form="procedure-live")

    def _take_session(self, parameters: dict[str, Any]) -> None:
        if session := parameters.get("SessionId"):
            if self.now() - self._sessions.get(session, float("-inf")) < self.settings.session_seconds:
                raise Refusal("InvalidParameterValue.SessionId", "Duplicate recognition code. Request deduplicated.")
            self._sessions[session] = self.now()

    def _process_batch(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._accept("BatchTask", "t20", "DescribeBatchTaskDetail", parameters)

    def _accept(
        self, kind: str, suffix: str, describe: str, request: dict[str, Any], *, form: str | None = None
    ) -> dict[str, Any]:
        infos = inputs_of(request)
        if not infos or not all(info.get("Type") for info in infos):
            raise Refusal("InvalidParameter", "InputInfo.Type is missing.")
        given = self.settings.next_task_ids
        task_id = given.pop(0) if given else f"{APP_ID}-{form or kind}-{uuid.uuid4().hex}{suffix}"
        self.tasks[task_id] = Task(task_id, describe, self.now(), kind, request)
        return {"TaskId": task_id}

    def _manage(self, parameters: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks.get(parameters["TaskId"])
        # An assumption: what is documented as "ID of a video processing task" does not take that of a picture.
        if task is None or task.describe == "DescribeImageTaskDetail":
            raise Refusal("InvalidParameterValue.TaskId", "The task does not exist.")
        if self.status(task) not in ({"WAITING", "PROCESSING"} if task.is_live else {"WAITING"}):
            raise Refusal("InvalidParameterValue.NotProcessingTask", "The task can not be aborted in its status.")
        task.aborted = True
        self.aborts.append(task.task_id)
        return {}

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        # Assumptions: batch and image jobs are not listed, the oldest come first, and what the window filters.
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
        items = [
            {
                "TaskId": task.task_id,
                "TaskType": "LiveProcessTask" if task.is_live else task.kind,  # a name of its own, as documented
                "CreateTime": _time(task.created),
                "BeginProcessTime": _NOT_YET if self.status(task) == "WAITING" else _time(task.created + 1),
                "FinishTime": _time(self._end_of(task)) if self.status(task) == "FINISH" else _NOT_YET,
                "SubTaskTypes": [],
            }
            for task in page
        ]
        return {"TaskSet": items, "ScrollToken": str(first + limit) if more else "", "TotalCount": len(listed)}

    def _filtered_time(self, task: Task, status: str) -> float:
        return self._end_of(task) if self.settings.list_window == "end" and status == "FINISH" else task.created

    def _state_seconds(self, task: Task) -> float | None:
        return self.settings.state_seconds if task.state_seconds is None else task.state_seconds

    def _end_of(self, task: Task) -> float:
        """When a job that has ended did so: by the clock, or with the look that saw it first."""
        if task.finished is None:
            seconds = self._state_seconds(task)
            task.finished = self.now() if seconds is None else min(task.created + 2 * seconds, self.now())
        return task.finished


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _seconds(time: str | None, default: float) -> float:
    try:
        return datetime.fromisoformat(time).timestamp() if time else default
    except ValueError:
        raise Refusal("InvalidParameterValue", "A time is written as 2026-01-31T12:00:00Z.") from None
