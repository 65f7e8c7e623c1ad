"""
Answers in the shape that MPS documents; their content is invented.

Sources: https://www.tencentcloud.com/document/product/1041/33644 (DescribeTaskDetail),
https://www.tencentcloud.com/document/product/1041/70402 (DescribeBatchTaskDetail),
https://www.tencentcloud.com/document/product/1041/70401 (DescribeImageTaskDetail).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_mps.emulator.media import DURATION, metadata, segments
from airflow_provider_mps.emulator.models import Settings, Task
from airflow_provider_mps.emulator.scenarios import Scenario, inputs_of, location, scenario_of

_NOT_YET = "0000-00-00T00:00:00Z"
_LATE_POLLS = 3  # polls of a late result that return FINISH without it
_NO_RESULT = {Scenario.EMPTY_RESULT, Scenario.LATE_RESULT}
_FAILS_WHOLE = {Scenario.ALL_FAIL, Scenario.PARTIAL_FAILURE, Scenario.SOURCE_ERROR}  # a task without parts
_FAILED = {"Status": "FAIL", "ErrCodeExt": "InternalError", "ErrCode": 70000, "Message": "internal error"}
_MEDIA_TASKS = (  # key in the request, Type, key of the result, key of the storage in its Output
    ("TranscodeTaskSet", "Transcode", "TranscodeTask", "OutputStorage"),
    ("AnimatedGraphicTaskSet", "AnimatedGraphics", "AnimatedGraphicTask", "Storage"),
    ("SnapshotByTimeOffsetTaskSet", "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask", "Storage"),
    ("SampleSnapshotTaskSet", "SampleSnapshot", "SampleSnapshotTask", "Storage"),
    ("ImageSpriteTaskSet", "ImageSprites", "ImageSpriteTask", "Storage"),
    ("AdaptiveDynamicStreamingTaskSet", "AdaptiveDynamicStreaming", "AdaptiveDynamicStreamingTask", "Storage"),
)


def task_detail(task: Task, status: str, segment_count: int) -> dict[str, Any]:
    """Return the answer of the action that describes a task."""
    request = task.request
    writer = ResultWriter(_shown_request(task, status), segment_count)
    body: dict[str, Any] = {"TaskType": task.kind, "Status": status, "CreateTime": _time(task.created)}
    if task.describe == "DescribeImageTaskDetail":
        return body | ({"FinishTime": _time(task.finished)} if task.finished else {}) | writer.image(status=status)
    body |= {
        "BeginProcessTime": _begin(task, status),
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
    return body | dict.fromkeys(write) | {task.kind: write[task.kind](task.task_id, status=status)}


def list_item(task: Task, status: str, settings: Settings, now: float) -> dict[str, Any]:
    """Return a task as DescribeTasks lists it."""
    return {
        "TaskId": task.task_id,
        "TaskType": "LiveProcessTask" if task.is_live else task.kind,  # a list uses its own name, as documented
        "CreateTime": _time(task.created),
        "BeginProcessTime": _begin(task, status),
        "FinishTime": _time(task.end(settings, now)) if status == "FINISH" else _NOT_YET,
        "SubTaskTypes": [],
    }


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _begin(task: Task, status: str) -> str:
    return _NOT_YET if status == "WAITING" else _time(task.created + 1)


def _shown_request(task: Task, status: str) -> Mapping[str, Any]:
    """Return the request that the results follow. An aborted task has no results; a late one has them after a while."""
    if task.aborted:
        return {key: task.request[key] for key in ("InputInfo", "FileInfos", "Url") if key in task.request}
    if task.scenario is Scenario.LATE_RESULT and status == "FINISH" and task.polls_of_end > _LATE_POLLS:
        plain = [{"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}]
        found = {"InputInfo": plain, "FileInfos": [{"InputInfo": plain[0]}]}
        return {**task.request, **found} | ({"Url": "rtmp://live.invalid/talk"} if task.is_live else {})
    return task.request


def _orchestrated(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a request with the tasks of its ``Activities`` in the place where a plain request has them."""
    tasks = [activity.get("ActivityPara") or {} for activity in request.get("Activities") or []]
    if request.get("ScheduleId") and request.get("InputInfo") and not tasks:
        tasks = [{"TranscodeTask": {"Definition": 100010}}]  # an assumption: MPS holds the tasks of a ScheduleId
    if not tasks:
        return request
    media = {asked: [task[key] for task in tasks if task.get(key)] for asked, _, key, _ in _MEDIA_TASKS}
    others = ("SmartSubtitlesTask", "AiRecognitionTask")
    return {
        **request,
        "MediaProcessTask": media,
        **{name: task[name] for task in tasks for name in others if task.get(name)},
    }


class ResultWriter:
    """Writes the result object of one task from its request."""

    def __init__(self, request: Mapping[str, Any], segment_count: int) -> None:
        self.request = _orchestrated(request)
        self.inputs = inputs_of(self.request)
        self.scenario = scenario_of(self.inputs[0])
        self.segment_count = segment_count
        self.directory = str(request.get("OutputDir") or "/output/")

    def workflow(self, task_id: str, *, status: str) -> dict[str, Any]:
        """Return the WorkflowTask object."""
        task: dict[str, Any] = {
            "TaskId": task_id,
            "Status": "FINISH" if status == "FINISH" else "PROCESSING",
            "ErrCode": 0,
            "Message": "",
            "InputInfo": self.inputs[0],
            "MetaData": None if status == "WAITING" else metadata(),
            "MediaProcessResultSet": [],
            "AiContentReviewResultSet": [],
            "AiAnalysisResultSet": [],
            "AiRecognitionResultSet": [],
            "AiQualityControlTaskResult": None,
            "SmartSubtitlesTaskResult": None,
            "SmartEraseTaskResult": None,
            "AiDubbingTaskResult": None,
        }
        if status == "FINISH" and self.scenario is Scenario.SOURCE_ERROR:
            return task | {"ErrCode": 60000, "Message": "Source file error: Server returned 404 Not Found"}
        if status == "FINISH" and self.scenario in _NO_RESULT:
            return task
        parts = [] if status == "WAITING" else self._media_parts() + self._subtitle_parts()
        for index, (group, type_, key, output) in enumerate(parts):
            result = self._part(output, status, self.scenario, is_last=index == len(parts) - 1)
            if group == "MediaProcessResultSet" and key != "TranscodeTask":
                del result["Progress"]  # documented for a transcode alone
            task[group] = [*(task[group] or []), {"Type": type_, key: result}]
        return task

    def schedule(self, task_id: str, *, status: str) -> dict[str, Any]:
        """Return the ScheduleTask object: parts are activities; subtitles and recognition are groups of parts."""
        flat = self.workflow(task_id, status=status)
        activities = [
            {"ActivityType": part["Type"], "ActivityResItem": {key: part[key] for key in part if key != "Type"}}
            for part in flat["MediaProcessResultSet"]
        ]
        for source, type_, key in (
            ("SmartSubtitlesTaskResult", "SmartSubtitles", "SmartSubtitlesTask"),
            ("AiRecognitionResultSet", "AIRecognition", "RecognitionTask"),
        ):
            if parts := flat[source]:
                # An assumption: a group succeeds even if its parts fail.
                state = {"Status": "SUCCESS" if status == "FINISH" else "PROCESSING", "ErrCodeExt": "", "ErrCode": 0}
                group = {**state, "Message": "SUCCESS", "Output": parts}
                activities.append({"ActivityType": type_, "ActivityResItem": {key: group}})
        head = {name: flat[name] for name in ("TaskId", "Status", "ErrCode", "Message", "InputInfo", "MetaData")}
        return head | {"ActivityResultSet": activities or None}

    def edit(self, task_id: str, *, status: str) -> dict[str, Any]:
        """Return the EditMediaTask object. It has no parts."""
        task: dict[str, Any] = {
            "TaskId": task_id,
            "Status": "FINISH" if status == "FINISH" else "PROCESSING",
            "ErrCode": 0,
            "Message": "",
            "Input": {"FileInfoSet": self.request.get("FileInfos")},
            "Output": None,
        }
        if status != "FINISH" or self.scenario in _NO_RESULT | {Scenario.UNSETTLED}:
            return task
        if self.scenario in _FAILS_WHOLE:
            return task | {"ErrCode": 60000, "Message": "Source file error: Server returned 404 Not Found"}
        if not (path := self.request.get("OutputObjectPath")):
            return task  # aborted while it waited
        return task | {"Output": {"OutputStorage": self._storage(), "Path": path, "MetaData": metadata()}}

    def batch(self, *, status: str) -> dict[str, Any]:
        """Return the BatchTaskResult object. Each input has its own scenario."""
        result: dict[str, Any] = {"InputInfos": self.inputs, "Metadatas": None, "SmartSubtitlesTaskResult": None}
        scenarios = [scenario_of(info) for info in self.inputs]
        is_without = "SmartSubtitlesTask" not in self.request  # as an aborted job is
        if status == "WAITING" or is_without or (status == "FINISH" and _NO_RESULT & set(scenarios)):
            return result
        key, output = self._subtitle_output()
        outputs = []
        for index, scenario in enumerate(scenarios):
            part = self._part(output, status, scenario, is_last=index == len(scenarios) - 1)
            direct = {
                "Progress": part["Progress"],
                **{name: part[name] for name in ("Status", "ErrCodeExt", "Message")},
            }
            outputs.append(direct | ({key: part["Output"]} if part["Output"] else {}))
        return result | {
            "Metadatas": [metadata() for _ in self.inputs],
            "SmartSubtitlesTaskResult": {"Input": self.request.get("SmartSubtitlesTask"), "Outputs": outputs},
        }

    def image(self, *, status: str) -> dict[str, Any]:
        """Return the body of DescribeImageTaskDetail. A running task only repeats the request, as published."""
        echo = {"InputInfo": self.inputs[0], "ImageTask": self.request.get("ImageTask")}
        if status != "FINISH":
            return echo
        definition = self.request.get("Definition") or 0
        task = echo | {"ErrCode": 0, "ErrMsg": "", "Message": "", "Definition": definition}
        if self.scenario is Scenario.SOURCE_ERROR:
            return task | {"ErrCode": 60000, "ErrMsg": "SourceFileError", "Message": "Server returned 404 Not Found"}
        if self.scenario in _NO_RESULT:
            return task
        encode = (self.request.get("ImageTask") or {}).get("EncodeConfig") or {}
        name = PurePosixPath(location(self.inputs[0]))
        path = f"{self.directory}{name.stem}_{definition}.{str(encode.get('Format') or name.suffix[1:]).lower()}"
        output = {"Path": self.request.get("OutputPath") or path, "OutputStorage": self._storage()}
        part = self._part(output, status, self.scenario, is_last=True)
        part["ErrMsg"] = part.pop("ErrCodeExt")
        del part["ErrCode"]
        return task | {"ImageProcessTaskResultSet": [part]}

    def live(self, task_id: str, *, status: str) -> dict[str, Any]:
        """Return the LiveStreamProcessTask object. It holds no results: MPS sends them as notifications."""
        task = {"TaskId": task_id, "Status": "FINISH" if status == "FINISH" else "PROCESSING", "ErrCode": 0}
        task |= {"Message": "", "Url": self.request["Url"]}
        if status == "FINISH" and self.scenario in _FAILS_WHOLE:
            return task | {"ErrCode": 60000, "Message": "Source file error: the stream can not be pulled"}
        return task

    def live_schedule(self, task_id: str, *, status: str) -> dict[str, Any]:
        """Return the LiveScheduleTask object, with a recording of the stream."""
        task = self.live(task_id, status=status) | {"LiveActivityResultSet": None}
        ended_early = status == "FINISH" and not self.request.get("ScheduleId")  # aborted
        if self.scenario is Scenario.SOURCE_ERROR or status == "WAITING" or ended_early:
            return task
        if self.scenario in _NO_RESULT:
            return task
        url = f"https://emulator-1250000000.cos.ap-guangzhou.myqcloud.com{self.directory}record.mp4"
        file = {"Url": url, "Size": 43_303_172, "Duration": int(DURATION), "StartTime": "", "EndTime": ""}
        output = {"OutputStorage": self._storage(), "FileList": [file]}
        part = self._part(output, status, self.scenario, is_last=True)
        del part["Progress"]
        activity = {"ActivityType": "LiveRecord", "LiveActivityResItem": {"LiveRecordTask": part}}
        return task | {"ErrCode": 0, "Message": "", "LiveActivityResultSet": [activity]}

    def _part(self, output: Mapping[str, Any], status: str, scenario: Scenario, *, is_last: bool) -> dict[str, Any]:
        running = {"Status": "PROCESSING", "ErrCodeExt": "", "ErrCode": 0, "Message": "SUCCESS"}
        if status != "FINISH" or (scenario is Scenario.UNSETTLED and is_last):
            return running | {"Output": None, "Progress": 50}
        if scenario in {Scenario.ALL_FAIL, Scenario.SOURCE_ERROR} or (scenario is Scenario.PARTIAL_FAILURE and is_last):
            return _FAILED | {"Output": None, "Progress": 0}
        if scenario is Scenario.LANGUAGE_ERROR and "SubtitleResults" in output:
            good, *_ = output["SubtitleResults"]
            output = {**output, "SubtitleResults": [good, {"Status": "Error", "TransSrc": "zh", "TransDst": "ja"}]}
        return {
            "Status": "SUCCESS",
            "ErrCodeExt": "",
            "ErrCode": 0,
            "Message": "SUCCESS",
            "Output": output,
            "Progress": 100,
        }

    def _storage(self) -> Any:
        cos = self.inputs[0].get("CosInputInfo") or {}
        default = {"Bucket": cos.get("Bucket") or "emulator-1250000000", "Region": cos.get("Region") or "ap-guangzhou"}
        return self.request.get("OutputStorage") or {"Type": "COS", "CosOutputStorage": default}

    def _media_parts(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        asked = self.request.get("MediaProcessTask") or {}
        stem = PurePosixPath(location(self.inputs[0])).stem
        parts = []
        for request_key, type_, key, storage_key in _MEDIA_TASKS:
            for number, item in enumerate(asked.get(request_key) or []):
                definition = int(item.get("Definition") or 0)
                base = f"{self.directory}{stem}_{type_}_{definition or number}"
                output = {"Definition": definition, storage_key: self._storage()} | self._files(key, base)
                parts.append(("MediaProcessResultSet", type_, key, output))
        return parts

    def _files(self, key: str, base: str) -> dict[str, Any]:
        md5 = hashlib.md5(base.encode(), usedforsecurity=False).hexdigest()
        source = metadata()
        video = {"Bitrate": 802_004, "Height": 720, "Width": 1280, "Codec": "h264", "Fps": 25}
        if key == "TranscodeTask":
            return {
                "Path": f"{base}.mp4",
                "Bitrate": 930_001,
                "Height": 720,
                "Width": 1280,
                "Size": 43_303_172,
                "Duration": DURATION,
                "Container": "mov,mp4,m4a,3gp,3g2,mj2",
                "Md5": md5,
                "AudioStreamSet": source["AudioStreamSet"],
                "VideoStreamSet": [video],
            }
        if key == "SnapshotByTimeOffsetTask":
            offsets = (0, 60, 120)
            pictures = [{"TimeOffset": at, "Path": f"{base}_{at}.jpg", "WaterMarkDefinition": []} for at in offsets]
            return {"PicInfoSet": pictures}
        if key == "SampleSnapshotTask":
            paths = [f"{base}_{number}.jpg" for number in range(10)]
            return {"SampleType": "Percent", "Interval": 10, "ImagePathSet": paths, "WaterMarkDefinition": []}
        if key == "ImageSpriteTask":
            sprites = {"ImagePathSet": [f"{base}_0.jpg"], "WebVttPath": f"{base}.vtt"}
            return {"Height": 80, "Width": 142, "TotalCount": 1, **sprites}
        if key == "AdaptiveDynamicStreamingTask":
            return {"Package": "hls", "Path": f"{base}.m3u8"}
        return {
            "Path": f"{base}.gif",
            "Container": "gif",
            "Height": 360,
            "Width": 640,
            "Bitrate": 2_000_000,
            "Size": 1_250_000,
            "Md5": md5,
            "StartTimeOffset": 0,
            "EndTimeOffset": 5,
        }

    def _subtitle_parts(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        parts = []
        if self.request.get("SmartSubtitlesTask"):
            key, output = self._subtitle_output()
            parts.append(("SmartSubtitlesTaskResult", key.replace("Task", "Recognition"), key, output))
        if self.request.get("AiRecognitionTask"):
            text = segments(self.segment_count, translated=False, words=False)
            output = {
                "SegmentSet": [{name: line[name] for name in line if name != "SpeakerId"} for line in text],
                "SubtitlePath": f"{self.directory}recognition.srt",
                "OutputStorage": self._storage(),
            }
            parts.append(("AiRecognitionResultSet", "AsrFullTextRecognition", "AsrFullTextTask", output))
        return parts

    def _subtitle_output(self) -> tuple[str, dict[str, Any]]:
        asked = self.request.get("SmartSubtitlesTask") or {}
        raw = asked.get("RawParameter") or {}
        source, target = raw.get("VideoSrcLanguage") or "zh", raw.get("TranslateDstLanguage") or "en"
        format_ = raw.get("SubtitleFormat") or "vtt"
        words = "need_wordlist" in str(asked.get("UserExtPara") or "")
        path = f"{self.directory}subtitle.{format_}"
        storage = {"OutputStorage": self._storage(), "SubtitlePath": path, "Path": path}
        if raw.get("TranslateSwitch") != "ON":
            info = {"Language": source, "Status": "Success", "Path": path}
            text = segments(self.segment_count, translated=False, words=words)
            return "AsrFullTextTask", {"SegmentSet": text, "SubtitleInfo": info, **storage}
        results = [{"Status": "Success", "TransSrc": source, "TransDst": target, "Path": path}]
        text = segments(self.segment_count, translated=True, words=words)
        return "TransTextTask", {"SegmentSet": text, "SubtitleResults": results, **storage}
