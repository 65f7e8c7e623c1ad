"""One table of MPS answers and what each means, for every way of waiting and for the result operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_mps.errors import (
    MpsApiError,
    MpsError,
    MpsStateUnknown,
    MpsTaskFailed,
    MpsTaskNotFinished,
    MpsTaskNotFound,
    MpsTaskTimeout,
    MpsTaskUnsettled,
    MpsTransportError,
)
from tests.support.harness import DONE, RUNNING, answer, part, refusal

Ending = type[BaseException] | None


@dataclass(frozen=True)
class Case:
    """
    One row.

    :param last: the answer that stays; ``before`` are the answers on the way to it, as a sensor sees them.
    :param sensor: how a sensor ends, None for success; ``operator`` the same for the result operator.
    :param failed: paths of the failed parts.
    :param fault: a transport fault that strikes every call.
    """

    name: str
    last: dict[str, Any]
    sensor: Ending
    operator: Ending
    failed: tuple[str, ...] = ()
    before: tuple[dict[str, Any], ...] = (RUNNING,)
    task_id: str | None = None
    fault: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def submitter(self) -> Ending:
        """How a submit operator ends: like the sensor, whose deadline alone is Airflow's."""
        return MpsTaskTimeout if self.sensor is AirflowSensorTimeout else self.sensor


def _success(name: str, last: dict[str, Any], **more: Any) -> Case:
    return Case(name, last, None, None, **more)


def _failure(name: str, last: dict[str, Any], *failed: str, **more: Any) -> Case:
    return Case(name, last, MpsTaskFailed, MpsTaskFailed, failed, **more)


def _unsettled(name: str, last: dict[str, Any], **more: Any) -> Case:
    return Case(name, last, MpsTaskUnsettled, MpsTaskUnsettled, **more)


def _running(name: str, last: dict[str, Any]) -> Case:
    return Case(name, last, AirflowSensorTimeout, MpsTaskNotFinished, arguments={"timeout": 0.15})


def _trouble(name: str, last: dict[str, Any] | None = None, *, fault: str | None = None) -> Case:
    operator: type[MpsError] = MpsTransportError if fault else MpsApiError
    return Case(name, last or DONE, MpsStateUnknown, operator, before=(), fault=fault)


def _permanent(code: str) -> Case:
    return Case(f"{code} is permanent", refusal(code), MpsApiError, MpsApiError)


def _unknown(code: str, *before: dict[str, Any]) -> Case:
    name = f"{code} {'after the task was known' if before else 'from the start'}"
    return Case(name, refusal(code), MpsTaskNotFound, MpsTaskNotFound, before=before)


def _set(key: str, *items: dict[str, Any]) -> dict[str, Any]:
    return answer(MediaProcessResultSet=[], **{key: list(items)})


def _batch(*outputs: dict[str, Any], status: str = "FINISH") -> dict[str, Any]:
    result = {"SmartSubtitlesTaskResult": {"Outputs": list(outputs)}}
    return {"TaskType": "BatchTask", "Status": status, "BatchTaskResult": result}


def _output(**fields: Any) -> dict[str, Any]:
    return {"Status": "SUCCESS", "ErrCodeExt": "", "TransTextTask": {"SegmentSet": []}, "Progress": 100, **fields}


def _subtitles(*results: dict[str, Any]) -> dict[str, Any]:
    task = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"SubtitleResults": list(results)}}
    return _set("SmartSubtitlesTaskResult", {"Type": "TransTextRecognition", "TransTextTask": task})


def _other(key: str, **task: Any) -> dict[str, Any]:
    return {"TaskType": key, "Status": "FINISH", key: {"Status": "FINISH", "ErrCode": 0, "Message": "", **task}}


def _schedule(**activity: Any) -> dict[str, Any]:
    return _other("ScheduleTask", ActivityResultSet=[{"ActivityType": "x", "ActivityResItem": activity}])


_BATCH = "1250000000-BatchTask-0123456789abcdef0123456789abcdeft20"
_MEDIA = "WorkflowTask.MediaProcessResultSet"
_NESTED = {"Status": "SUCCESS", "ErrCode": 0, "Output": [{"Type": "x", "AsrFullTextTask": {}}]}
_FAIL = {"Status": "FAIL", "ErrCode": 70000, "Output": None}
_NULLS = dict.fromkeys(("EditMediaTask", "ScheduleTask", "LiveStreamProcessTask"))

CASES: tuple[Case, ...] = (
    _success("one part succeeded", DONE),
    _success("finished at the first look", DONE, before=()),
    _success("ErrCodeExt says SUCCESS", answer(part(ErrCodeExt="SUCCESS"))),
    _success(
        "ErrCodeExt and Progress are absent", answer({"TranscodeTask": {"Status": "SUCCESS", "Output": {"Path": "/a"}}})
    ),
    _success("the other task objects are null", DONE | _NULLS),
    _success("unknown fields", DONE | {"Surprise": [1, 2]} | {"ExtInfo": "{}"}),
    _success("ErrCode is null", answer(part(ErrCode=None))),
    _success("a language succeeded", _subtitles({"Status": "Success", "TransDst": "en", "Path": "/en.vtt"})),
    _success("a batch with two outputs", _batch(_output(), _output(Status="SUCCESS")), task_id=_BATCH, before=()),
    _success("an edit", _other("EditMediaTask", Output={"Path": "/edit.mp4"})),
    _success("a live stream", _other("LiveStreamProcessTask", Url="rtmp://live.invalid/a")),
    _success("a watermark", _other("ExtractBlindWatermarkTask", Type="blind-ab", IsDetected=False)),
    _success("a schedule", _schedule(TranscodeTask={"Status": "SUCCESS", "ErrCode": 0, "Output": {"Path": "/a.mp4"}})),
    _success("FINISH without results, then with them", DONE, before=(RUNNING, answer(), answer(part(Output=None)))),
    _success("unknown at first", DONE, before=(refusal("ResourceNotFound"), RUNNING)),
    _success("an undocumented status in between", DONE, before=(RUNNING | {"Status": "PAUSED"}, RUNNING)),
    _success("throttled in between", DONE, before=(refusal("RequestLimitExceeded.UinLimitExceeded"), RUNNING)),
    _success("InternalError in between", DONE, before=(RUNNING, refusal("InternalError"))),
    _failure("the source cannot be read", answer(ErrCode=60000, Message="source"), "WorkflowTask"),
    _failure("one part of two says FAIL", answer(part(), part(**_FAIL)), f"{_MEDIA}[1].TranscodeTask"),
    _failure("FAIL without any code", answer(part(Status="FAIL", Output=None)), f"{_MEDIA}[0].TranscodeTask"),
    _failure("SUCCESS with an ErrCode", answer(part(ErrCode=30010)), f"{_MEDIA}[0].TranscodeTask"),
    _failure("SUCCESS with an ErrCodeExt", answer(part(ErrCodeExt="SourceFileError")), f"{_MEDIA}[0].TranscodeTask"),
    _failure(
        "every part says FAIL",
        answer(part(**_FAIL), part(**_FAIL)),
        f"{_MEDIA}[0].TranscodeTask",
        f"{_MEDIA}[1].TranscodeTask",
    ),
    _failure(
        "a language failed inside a part that says SUCCESS",
        _subtitles({"Status": "Success", "Path": "/en.vtt"}, {"Status": "Error", "TransDst": "ja"}),
        "WorkflowTask.SmartSubtitlesTaskResult[0].TransTextTask.Output.SubtitleResults[1]",
    ),
    _failure(
        "a batch output failed",
        _batch(_output(), {"Status": "FAIL", "ErrCodeExt": "InvalidInput"}),
        "BatchTaskResult.SmartSubtitlesTaskResult.Outputs[1]",
        task_id=_BATCH,
        before=(_batch(_output(Status="PROCESSING"), status="PROCESSING"),),
    ),
    _failure("an edit failed", _other("EditMediaTask", ErrCode=40000, Output=None), "EditMediaTask"),
    _failure(
        "a nested result of a schedule failed",
        _schedule(SmartSubtitlesTask={**_NESTED, "Output": [{"AsrFullTextTask": _FAIL}]}),
        "ScheduleTask.ActivityResultSet[0].ActivityResItem.SmartSubtitlesTask.Output[0].AsrFullTextTask",
    ),
    _failure(
        "erasing failed, which has no ErrCode",
        answer(SmartEraseTaskResult={"Status": "FAIL", "ErrCodeExt": "InternalError"}),
        "WorkflowTask.SmartEraseTaskResult",
    ),
    _unsettled("FINISH without any result", answer()),
    _unsettled("FINISH with a part that runs", answer(part(), part(Status="PROCESSING", Output=None))),
    _unsettled("FINISH with a part of unknown status", answer(part(Status="ABORTED", Output=None))),
    _unsettled("SUCCESS without an output", answer(part(Output=None))),
    _unsettled("FINISH without a task object", {"TaskType": "EvaluationTask", "Status": "FINISH"}),
    _unsettled(
        "FINISH with a null task object", {"TaskType": "WorkflowTask", "Status": "FINISH", "WorkflowTask": None}
    ),
    _unsettled("a batch without outputs", _batch(), task_id=_BATCH, before=()),
    _unsettled("an edit without an output", _other("EditMediaTask", Output=None)),
    _running("it runs on", RUNNING),
    _running("it waits on", RUNNING | {"Status": "WAITING"}),
    _running("all parts are done but the task runs", DONE | {"Status": "PROCESSING"}),
    Case("an undocumented status for good", DONE | {"Status": "PAUSED"}, MpsTaskUnsettled, MpsTaskNotFinished),
    Case("no status at all", {"TaskType": "WorkflowTask"}, MpsTaskUnsettled, MpsTaskNotFinished),
    _unknown("ResourceNotFound"),
    _unknown("ResourceNotFound.TaskNotFound", RUNNING),
    _unknown("InvalidParameterValue"),
    _unknown("FailedOperation.TaskNotFound", RUNNING),
    *map(
        _permanent,
        (
            "AuthFailure.SignatureFailure",
            "AuthFailure.SecretIdNotFound",
            "AuthFailure.TokenFailure",
            "AuthFailure.UnauthorizedOperation",
            "UnauthorizedOperation",
            "InvalidParameter",
            "FailedOperation.InvalidMpsUser",
            "FailedOperation.UserArrears",
        ),
    ),
    _trouble("InternalError for good", refusal("InternalError.SystemError")),
    _trouble("throttled for good", refusal("RequestLimitExceeded")),
    _trouble("an undocumented code for good", refusal("SomethingNew")),
    *(_trouble(f"{kind} for good", fault=kind) for kind in ("reset", "status", "html", "cut", "broken")),
)

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
