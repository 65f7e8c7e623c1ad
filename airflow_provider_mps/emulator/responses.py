"""
Result bodies in the shape that MPS documents, invented in content.

Sources: https://www.tencentcloud.com/document/product/1041/33644 (DescribeTaskDetail),
https://www.tencentcloud.com/document/product/1041/70402 (DescribeBatchTaskDetail),
https://www.tencentcloud.com/document/product/1041/70401 (DescribeImageTaskDetail).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_mps.emulator.media import DURATION, metadata, segments
from airflow_provider_mps.emulator.scenarios import Outcome, inputs_of, location, outcome_of

_FAILED = {"Status": "FAIL", "ErrCodeExt": "InternalError", "ErrCode": 70000, "Message": "internal error"}
_MEDIA_TASKS = (  # request key, Type, key of the result, and the key under which its Output names its storage
    ("TranscodeTaskSet", "Transcode", "TranscodeTask", "OutputStorage"),
    ("AnimatedGraphicTaskSet", "AnimatedGraphics", "AnimatedGraphicTask", "Storage"),
    ("SnapshotByTimeOffsetTaskSet", "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask", "Storage"),
    ("SampleSnapshotTaskSet", "SampleSnapshot", "SampleSnapshotTask", "Storage"),
    ("ImageSpriteTaskSet", "ImageSprites", "ImageSpriteTask", "Storage"),
    ("AdaptiveDynamicStreamingTaskSet", "AdaptiveDynamicStreaming", "AdaptiveDynamicStreamingTask", "Storage"),
)


def _orchestrated(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request with the tasks of its ``Activities`` where one without an orchestration has them."""
    tasks = [activity.get("ActivityPara") or {} for activity in request.get("Activities") or []]
    if request.get("ScheduleId") and request.get("InputInfo") and not tasks:
        tasks = [{"TranscodeTask": {"Definition": 100010}}]  # what is behind a ScheduleId, only MPS knows
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
    """Writes the results of one job, following its request."""

    def __init__(self, request: Mapping[str, Any], segment_count: int) -> None:
        self.request = _orchestrated(request)
        self.segment_count = segment_count
        self.directory = str(request.get("OutputDir") or "/output/")

    def workflow(self, task_id: str, *, status: str) -> dict[str, Any]:
        """The WorkflowTask object: of a task that runs or, by the outcome of its input, one that ended."""
        info = inputs_of(self.request)[0]
        outcome = outcome_of(info)
        task: dict[str, Any] = {
            "TaskId": task_id,
            "Status": "FINISH" if status == "FINISH" else "PROCESSING",
            "ErrCode": 0,
            "Message": "",
            "InputInfo": info,
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
        if status == "FINISH" and outcome is Outcome.SOURCE_ERROR:
            return task | {"ErrCode": 60000, "Message": "Source file error: Server returned 404 Not Found"}
        if status == "FINISH" and outcome in {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT}:
            return task
        parts = [] if status == "WAITING" else self._media_parts() + self._subtitle_parts()
        for index, (group, type_, key, output) in enumerate(parts):
            result = self._part(output, status, outcome, is_last=index == len(parts) - 1)
            if group == "MediaProcessResultSet" and key != "TranscodeTask":
                del result["Progress"]  # documented for a transcode alone
            task[group] = [*(task[group] or []), {"Type": type_, key: result}]
        return task

    def schedule(self, task_id: str, *, status: str) -> dict[str, Any]:
        """The ScheduleTask object: parts are activities; subtitles and recognition are groups that hold parts."""
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
                # It succeeds whatever its parts did: what MPS makes of such a group is not documented.
                state = {"Status": "SUCCESS" if status == "FINISH" else "PROCESSING", "ErrCodeExt": "", "ErrCode": 0}
                group = {**state, "Message": "SUCCESS", "Output": parts}
                activities.append({"ActivityType": type_, "ActivityResItem": {key: group}})
        head = {name: flat[name] for name in ("TaskId", "Status", "ErrCode", "Message", "InputInfo", "MetaData")}
        return head | {"ActivityResultSet": activities or None}

    def edit(self, task_id: str, *, status: str) -> dict[str, Any]:
        """The EditMediaTask object. It has no parts: it is its own result."""
        outcome = outcome_of(inputs_of(self.request)[0])
        task: dict[str, Any] = {
            "TaskId": task_id,
            "Status": "FINISH" if status == "FINISH" else "PROCESSING",
            "ErrCode": 0,
            "Message": "",
            "Input": {"FileInfoSet": self.request.get("FileInfos")},
            "Output": None,
        }
        if status != "FINISH" or outcome in {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT, Outcome.UNSETTLED}:
            return task
        if outcome in {Outcome.ALL_FAIL, Outcome.PARTIAL_FAILURE, Outcome.SOURCE_ERROR}:
            return task | {"ErrCode": 60000, "Message": "Source file error: Server returned 404 Not Found"}
        if not (path := self.request.get("OutputObjectPath")):
            return task  # aborted before it began
        return task | {"Output": {"OutputStorage": self._storage(), "Path": path, "MetaData": metadata()}}

    def batch(self, *, status: str) -> dict[str, Any]:
        """The BatchTaskResult object; each input has an outcome of its own."""
        infos = inputs_of(self.request)
        result: dict[str, Any] = {"InputInfos": infos, "Metadatas": None, "SmartSubtitlesTaskResult": None}
        outcomes = [outcome_of(info) for info in infos]
        is_without = "SmartSubtitlesTask" not in self.request  # as an aborted job is
        is_empty = status == "FINISH" and {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT} & set(outcomes)
        if status == "WAITING" or is_without or is_empty:
            return result
        key, output = self._subtitle_output()
        outputs = []
        for index, outcome in enumerate(outcomes):
            part = self._part(output, status, outcome, is_last=index == len(outcomes) - 1)
            direct = {
                "Progress": part["Progress"],
                **{name: part[name] for name in ("Status", "ErrCodeExt", "Message")},
            }
            outputs.append(direct | ({key: part["Output"]} if part["Output"] else {}))
        return result | {
            "Metadatas": [metadata() for _ in infos],
            "SmartSubtitlesTaskResult": {"Input": self.request.get("SmartSubtitlesTask"), "Outputs": outputs},
        }

    def image(self, *, status: str) -> dict[str, Any]:
        """What DescribeImageTaskDetail says of it; while it runs, as published, next to nothing."""
        info = inputs_of(self.request)[0]
        outcome = outcome_of(info)
        echo = {"InputInfo": info, "ImageTask": self.request.get("ImageTask")}
        if status != "FINISH":
            return echo
        definition = self.request.get("Definition") or 0
        task = echo | {"ErrCode": 0, "ErrMsg": "", "Message": "", "Definition": definition}
        if outcome is Outcome.SOURCE_ERROR:
            return task | {"ErrCode": 60000, "ErrMsg": "SourceFileError", "Message": "Server returned 404 Not Found"}
        if outcome in {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT}:
            return task
        encode = (self.request.get("ImageTask") or {}).get("EncodeConfig") or {}
        name = PurePosixPath(location(info))
        path = f"{self.directory}{name.stem}_{definition}.{str(encode.get('Format') or name.suffix[1:]).lower()}"
        output = {"Path": self.request.get("OutputPath") or path, "OutputStorage": self._storage()}
        part = self._part(output, status, outcome, is_last=True)
        part["ErrMsg"] = part.pop("ErrCodeExt")
        del part["ErrCode"]
        return task | {"ImageProcessTaskResultSet": [part]}

    def live(self, task_id: str, *, status: str) -> dict[str, Any]:
        """The LiveStreamProcessTask object: a state. What it finds out goes to who is notified."""
        task = {"TaskId": task_id, "Status": "FINISH" if status == "FINISH" else "PROCESSING", "ErrCode": 0}
        task |= {"Message": "", "Url": self.request["Url"]}
        failed = {Outcome.ALL_FAIL, Outcome.PARTIAL_FAILURE, Outcome.SOURCE_ERROR}
        if status == "FINISH" and outcome_of(inputs_of(self.request)[0]) in failed:
            return task | {"ErrCode": 60000, "Message": "Source file error: the stream can not be pulled"}
        return task

    def live_schedule(self, task_id: str, *, status: str) -> dict[str, Any]:
        """The LiveScheduleTask object, with a record of the stream."""
        outcome = outcome_of(inputs_of(self.request)[0])
        task = self.live(task_id, status=status) | {"LiveActivityResultSet": None}
        ended_early = status == "FINISH" and not self.request.get("ScheduleId")  # aborted
        if outcome is Outcome.SOURCE_ERROR or status == "WAITING" or ended_early:
            return task
        if outcome in {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT}:
            return task
        url = f"https://emulator-1250000000.cos.ap-guangzhou.myqcloud.com{self.directory}record.mp4"
        file = {"Url": url, "Size": 43_303_172, "Duration": int(DURATION), "StartTime": "", "EndTime": ""}
        output = {"OutputStorage": self._storage(), "FileList": [file]}
        part = self._part(output, status, outcome, is_last=True)
        del part["Progress"]
        activity = {"ActivityType": "LiveRecord", "LiveActivityResItem": {"LiveRecordTask": part}}
        return task | {"ErrCode": 0, "Message": "", "LiveActivityResultSet": [activity]}

    def _part(self, output: Mapping[str, Any], status: str, outcome: Outcome, *, is_last: bool) -> dict[str, Any]:
        running = {"Status": "PROCESSING", "ErrCodeExt": "", "ErrCode": 0, "Message": "SUCCESS"}
        if status != "FINISH" or (outcome is Outcome.UNSETTLED and is_last):
            return running | {"Output": None, "Progress": 50}
        if outcome in {Outcome.ALL_FAIL, Outcome.SOURCE_ERROR} or (outcome is Outcome.PARTIAL_FAILURE and is_last):
            return _FAILED | {"Output": None, "Progress": 0}
        if outcome is Outcome.LANGUAGE_ERROR and "SubtitleResults" in output:
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
        info = inputs_of(self.request)[0]
        cos = info.get("CosInputInfo") or {}
        default = {"Bucket": cos.get("Bucket") or "emulator-1250000000", "Region": cos.get("Region") or "ap-guangzhou"}
        return self.request.get("OutputStorage") or {"Type": "COS", "CosOutputStorage": default}

    def _media_parts(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        asked = self.request.get("MediaProcessTask") or {}
        stem = PurePosixPath(location(inputs_of(self.request)[0])).stem
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
