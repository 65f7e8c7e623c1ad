"""
Result bodies in the shape that MPS documents, invented in content.

Sources: https://www.tencentcloud.com/document/product/1041/33644 (DescribeTaskDetail),
https://www.tencentcloud.com/document/product/1041/70402 (DescribeBatchTaskDetail).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_mps.results.redaction import mask_urls


class Outcome(StrEnum):
    """How a job ends. An input whose file name contains the value gets it: ``talk.partial-failure.mp4``."""

    SUCCESS = "success"
    PARTIAL_FAILURE = "partial-failure"  # the last part fails, the others succeed
    ALL_FAIL = "all-fail"
    SOURCE_ERROR = "source-error"  # the task itself has an error code
    EMPTY_RESULT = "empty-result"  # FINISH without any result, for ever
    LATE_RESULT = "late-result"  # FINISH without any result for the first looks
    UNSETTLED = "unsettled"  # FINISH while a part says PROCESSING, for ever
    LANGUAGE_ERROR = "language-error"  # one language fails inside a part that says SUCCESS
    STUCK = "stuck"  # never leaves PROCESSING
    QUEUED = "queued"  # never leaves WAITING


LINES = (
    ("欢迎收看今天的节目。", "Welcome to today's programme."),
    ("我们先来看看这座城市的早晨。", "Let us first look at the city in the morning."),
    ("街上的人还不多。", "There are not many people in the streets yet."),
    ("面包店已经开门了。", "The bakery is already open."),
    ("空气里有咖啡的香味。", "The air smells of coffee."),
    ("列车准时进站。", "The train arrives on time."),
    ("请注意脚下的台阶。", "Please mind the step."),
    ("孩子们在公园里放风筝。", "Children are flying kites in the park."),
    ("下午可能会下雨。", "It may rain in the afternoon."),
    ("大家都带了伞。", "Everybody has brought an umbrella."),
    ("晚上的灯光特别好看。", "The lights at night are especially beautiful."),
    ("谢谢观看，我们明天再见。", "Thank you for watching. See you tomorrow."),
)
_DURATION = 372.5
_FAILED = {"Status": "FAIL", "ErrCodeExt": "InternalError", "ErrCode": 70000, "Message": "internal error"}
_MEDIA_TASKS = (  # request key, Type, key of the result, and the key under which its Output names its storage
    ("TranscodeTaskSet", "Transcode", "TranscodeTask", "OutputStorage"),
    ("AnimatedGraphicTaskSet", "AnimatedGraphics", "AnimatedGraphicTask", "Storage"),
    ("SnapshotByTimeOffsetTaskSet", "SnapshotByTimeOffset", "SnapshotByTimeOffsetTask", "Storage"),
    ("SampleSnapshotTaskSet", "SampleSnapshot", "SampleSnapshotTask", "Storage"),
    ("ImageSpriteTaskSet", "ImageSprites", "ImageSpriteTask", "Storage"),
    ("AdaptiveDynamicStreamingTaskSet", "AdaptiveDynamicStreaming", "AdaptiveDynamicStreamingTask", "Storage"),
)


def inputs_of(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The inputs of a submission; ProcessMedia has one, BatchProcessMedia a list, EditMedia one for each cut."""
    info = request.get("InputInfo")
    cuts = [cut.get("InputInfo") for cut in request.get("FileInfos") or []]
    items = cuts or (info if isinstance(info, list) else [info])
    return [item for item in items if isinstance(item, Mapping)]


def location(info: Mapping[str, Any]) -> str:
    """Where an input lies, for people: without the query of an address, which may hold a signature."""
    cos, url, s3 = (info.get(key) or {} for key in ("CosInputInfo", "UrlInputInfo", "S3InputInfo"))
    if url.get("Url"):
        return mask_urls(str(url["Url"])).partition("?")[0]
    bucket, key = cos.get("Bucket") or s3.get("S3Bucket"), cos.get("Object") or s3.get("S3Object")
    return f"{bucket}{key}" if key else str(info.get("Type") or "unknown")


def outcome_of(info: Mapping[str, Any]) -> Outcome:
    """The outcome that the file name of an input asks for."""
    name = PurePosixPath(location(info)).name
    return next((outcome for outcome in Outcome if outcome in name), Outcome.SUCCESS)


def metadata() -> dict[str, Any]:
    """A MediaMetaData object."""
    return {
        "Size": 86_213_004,
        "Container": "mov,mp4,m4a,3gp,3g2,mj2",
        "Bitrate": 1_851_558,
        "Height": 1080,
        "Width": 1920,
        "Duration": _DURATION,
        "Rotate": 0,
        "VideoDuration": _DURATION,
        "AudioDuration": _DURATION - 0.04,
        "VideoStreamSet": [
            {
                "Bitrate": 1_723_561,
                "Height": 1080,
                "Width": 1920,
                "Codec": "h264",
                "Fps": 25,
                "ColorPrimaries": "bt709",
                "ColorSpace": "bt709",
                "ColorTransfer": "bt709",
                "HdrType": "sdr",
                "Codecs": "avc1.640028",
                "FpsNumerator": 0,
                "FpsDenominator": 0,
            }
        ],
        "AudioStreamSet": [
            {
                "Bitrate": 127_997,
                "SamplingRate": 48000,
                "Codec": "aac",
                "Channel": 2,
                "Codecs": "mp4a.40.2",
                "Loudness": -16.2,
            }
        ],
    }


def segments(count: int, *, translated: bool, words: bool) -> list[dict[str, Any]]:
    """``count`` sentences of 2.4 seconds, one every 3 seconds."""
    return [_segment(index, translated=translated, words=words) for index in range(count)]


def _segment(index: int, *, translated: bool, words: bool) -> dict[str, Any]:
    text, translation = LINES[index % len(LINES)]
    start = index * 3.0
    step = 2.4 / len(text)
    segment: dict[str, Any] = {
        "Confidence": 99,
        "StartTimeOffset": start,
        "EndTimeOffset": start + 2.4,
        "Text": text,
        "Wordlist": [
            {"Word": word, "Start": round(start + i * step, 3), "End": round(start + (i + 1) * step, 3)}
            for i, word in enumerate(text)
        ]
        if words
        else [],
        "SpeakerId": str(index % 2 + 1),
    }
    return segment | ({"Trans": translation} if translated else {})


class ResultWriter:
    """Writes the results of one job, following its request."""

    def __init__(self, request: Mapping[str, Any], segment_count: int) -> None:
        self.request = request
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
            task[group] = [*(task[group] or []), {"Type": type_, key: result}]
        return task

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
        if status == "WAITING" or (status == "FINISH" and {Outcome.EMPTY_RESULT, Outcome.LATE_RESULT} & set(outcomes)):
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
                "Duration": _DURATION,
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
            output = {
                "SegmentSet": segments(self.segment_count, translated=False, words=False),
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
