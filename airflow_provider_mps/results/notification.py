"""
Event notifications, which MPS sends to a URL or a queue. A notification is a hint, not a proof.

Its signature does not cover its content, and MPS does not repeat a notification that was missed. So poll the task
after a notification.

Sources: https://www.tencentcloud.com/document/product/1041/33679 (ParseNotification),
https://www.tencentcloud.com/document/product/1041/33680 (ParseLiveStreamProcessNotification)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from airflow_provider_mps.errors import MpsNotificationError
from airflow_provider_mps.results.model import ResultModel, as_items
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.verdict import TaskStatus

_END_OF_STREAM = "ProcessEof"
_LIVE = "LiveStreamProcessTask"


class Notification(ResultModel):
    """
    An event notification.

    :param event_type: ``WorkflowTask``, ``EditMediaTask``, ``ScheduleTask``, ...; for a live stream the subject:
        ``AiRecognitionResult``, ``LiveRecordResult``, ..., ``ProcessEof`` at its end.
    :param mps_task_id: "" for a batch job, which is identified by its ``session_context`` only.
    :param timestamp: Unix seconds at which the signature expires; None if there is none.
    :param task: the task, judged as in an answer. The status of a batch job is "".
    :param findings: of a live stream: results that MPS sends by notification only, in Tencent's own form
        (``AiRecognitionResultInfo``, ...). They may hold signed addresses of pictures.
    """

    event_type: str = ""
    mps_task_id: str = ""
    session_id: str = Field("", alias="SessionId")
    session_context: str = Field("", alias="SessionContext")
    timestamp: int | None = Field(None, alias="Timestamp")
    sign: str = Field("", alias="Sign", repr=False, exclude=True)
    task: TaskDetail = Field(default_factory=TaskDetail, repr=False, exclude=True)
    findings: Mapping[str, Any] = Field(default_factory=dict, repr=False, exclude=True)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Notification:
        """
        Read the JSON object that MPS posts, or the answer of ParseNotification and ParseLiveStreamProcessNotification.

        :raises MpsNotificationError: it is not an event notification.
        """
        wrapped = body.get("Response") if isinstance(body, Mapping) else None
        body = wrapped if isinstance(wrapped, Mapping) else body
        if not isinstance(body, Mapping):
            raise MpsNotificationError(f"A {type(body).__name__} is no event notification of MPS: it is a JSON object.")
        if body.get("NotificationType"):
            event_type, answer, findings = _live(body)
        elif body.get("EventType"):
            event_type, answer, findings = _offline(body)
        else:
            found = ", ".join(sorted(map(str, body))) or "nothing"
            raise MpsNotificationError(
                f"This is no event notification of MPS: it has no EventType and no NotificationType, but {found:.200}."
            )
        sessions = {name: body.get(name) for name in ("SessionId", "SessionContext")}
        task = TaskDetail.of({**answer, **sessions})
        head = cls.read({**body, "event_type": event_type, "mps_task_id": task.mps_task_id})
        return head.model_copy(update={"task": task, "findings": findings})

    def verify(self, notify_key: str, *, now: float) -> None:
        """
        Return if it is signed with the ``NotifyKey`` of the request and has not expired.

        The signature covers only the time. A reader of the signature can send any content until it expires.

        :param now: Unix seconds. MPS signs for 10 minutes.
        :raises MpsNotificationError: it is not signed, signed with another key, or expired.
        """
        if not (self.sign and self.timestamp is not None):
            raise MpsNotificationError("The notification is not signed: did the request name a NotifyKey?")
        expected = hashlib.md5(f"{self.timestamp}{notify_key}".encode(), usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(expected.encode(), self.sign.lower().encode()):
            raise MpsNotificationError("The notification is signed with another key than the NotifyKey given.")
        if self.timestamp < now:
            raise MpsNotificationError(f"The notification expired {now - self.timestamp:.0f} seconds ago.")


def _offline(body: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The answer of a Describe action, whose objects have other names in a notification."""
    answer: dict[str, Any] = {"TaskType": body["EventType"]}
    for name, task in _events(body):
        answer |= {"Status": task.get("Status"), name: task}
    return str(body["EventType"]), answer, {}


def _events(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in body.items():
        if isinstance(value, Mapping) and key.endswith(("TaskEvent", "Task")):
            name = key.removesuffix("Event")
            yield ("BatchTaskResult" if name == "BatchTask" else name), value


def _live(body: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A live stream runs until ProcessEof. Its recordings move to the place where an answer has them."""
    event_type = str(body["NotificationType"])
    status = TaskStatus.FINISH if event_type == _END_OF_STREAM else TaskStatus.PROCESSING
    end = body.get("ProcessEofInfo")
    task = {"TaskId": body.get("TaskId"), "Status": status.value, **(end if isinstance(end, Mapping) else {})}
    findings = {key: value for key, value in body.items() if key.endswith("ResultInfo") and value}
    records = findings.get("LiveRecordResultInfo")
    if isinstance(records, Mapping):
        task["FileList"] = as_items(records.get("FileResults"))
    return event_type, {"TaskType": _LIVE, "Status": status.value, _LIVE: task}, findings
