"""
What an answer says, read by the classes of Tencent's API model: a second opinion that shares no code with ours.

Our code walks whatever it finds and goes by the names of keys. This one knows the class of every object, and a table
of the files that each class has, copied from the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.support.answers import ECHOES, LANGUAGES, TASK_OBJECTS, VERDICT_FIELDS
from tests.support.official import api_model

# Class -> its files: member and kind; "" is the kind of the result that it is the output of. A member that lists
# paths is one of these too. Where a FileId belongs to a file, its member stands third.
FILES: dict[str, list[tuple[str, ...]]] = {
    "MediaTranscodeItem": [("Path", "transcode")],
    "MediaAnimatedGraphicsItem": [("Path", "animated_graphic")],
    "MediaSnapshotByTimePicInfoItem": [("Path", "snapshot")],
    "MediaSampleSnapshotItem": [("ImagePathSet", "sample_snapshot")],
    "MediaImageSpriteItem": [("ImagePathSet", "image_sprite"), ("WebVttPath", "web_vtt")],
    "AdaptiveDynamicStreamingInfoItem": [("Path", "adaptive_stream")],
    "EditMediaTaskOutput": [("Path", "edit")],
    "MediaAiAnalysisCoverItem": [("CoverPath", "cover")],
    "MediaAiAnalysisHighlightItem": [
        ("HighlightPath", "highlight"),
        ("CovImgPath", "cover"),
        ("HighlightUrl", "highlight"),
        ("CovImgUrl", "cover"),
    ],
    "AiAnalysisTaskDelLogoOutput": [
        ("Path", "", "FileId"),
        ("OriginSubtitlePath", "subtitle", "OriginSubtitleFileId"),
        ("TranslateSubtitlePath", "subtitle", "TranslateSubtitleFileId"),
        ("VoiceClonedVideo", "video"),
        ("VoiceClonedMarkFile", "voice_mark"),
        ("ErasedVideoPath", "video"),
        ("DubbingEditInfoUrl", "dubbing_edit_info"),
    ],
    "SegmentRecognitionItem": [
        ("SegmentUrl", "segment"),
        ("CovImgUrl", "cover"),
        ("AudioUrl", "audio"),
        ("PersonPositionUrl", "person_position"),
    ],
    "MediaAiAnalysisDescriptionItem": [
        ("MindMapUrl", "mind_map"),
        ("MindMapPath", "mind_map"),
        ("SubtitlePath", "subtitle"),
    ],
    "AiAnalysisTaskHorizontalToVerticalOutput": [("Path", "")],
    "AiAnalysisTaskDubbingOutput": [
        ("VideoPath", "video", "VideoFileId"),
        ("SpeakerPath", "speaker", "SpeakerFileId"),
    ],
    "AiAnalysisTaskVideoRemakeOutput": [("Path", "")],
    "AiAnalysisTaskCutoutOutput": [("Path", "")],
    "AiAnalysisTaskReelOutput": [("VideoPath", "video"), ("VideoPaths", "video"), ("ScriptPath", "script")],
    "AIDubbingTaskOutput": [
        ("OriginSubtitlePath", "subtitle", "OriginSubtitleFileId"),
        ("TranslateSubtitlePath", "subtitle", "TranslateSubtitleFileId"),
        ("VoiceClonedVideo", "video"),
        ("VoiceClonedMarkFile", "voice_mark"),
        ("VideoPath", "video"),
        ("SpeakerPath", "speaker", "SpeakerFileId"),
        ("EraseVideoPath", "video", "EraseVideoFileId"),
        ("DstAudioPath", "audio", "DstAudioFileId"),
        ("DubbingEditInfoUrl", "dubbing_edit_info"),
    ],
    "AiRecognitionTaskAsrFullTextResultOutput": [("SubtitlePath", "subtitle")],
    "AiRecognitionTaskTransTextResultOutput": [("SubtitlePath", "subtitle")],
    "SmartSubtitleTaskAsrFullTextResultOutput": [("SubtitlePath", "subtitle"), ("Path", "subtitle")],
    "SmartSubtitleTaskTransTextResultOutput": [("SubtitlePath", "subtitle"), ("Path", "subtitle")],
    "SubtitleResult": [("Path", "subtitle", "SubtitleFileId"), ("SubtitleEmbedPath", "video_with_subtitle")],
    "SubtitleTransResultItem": [("Path", "subtitle", "SubtitleFileId"), ("SubtitleEmbedPath", "video_with_subtitle")],
    "LiveRecordFile": [("Url", "record")],
    "ImageProcessTaskOutput": [("Path", "image", "FileId"), ("SignedUrl", "image")],
}
TEXTS = {
    "ImageProcessTaskOutput": ("Content", "image"),
    "ExtractBlindWatermarkTask": ("Result", "blind_watermark"),
    "AiAnalysisTaskVideoComprehensionOutput": ("VideoComprehensionAnalysisResult", "video_comprehension"),
    "MediaAiAnalysisDescriptionItem": ("Description", "description"),
    "AiAnalysisTaskSegmentOutput": ("Abstract", "abstract"),
    "AiAnalysisTaskGenericOutput": ("Result", "generic"),
}
KIND_OF_RESULT = {
    "AiAnalysisTaskDelLogoResult": "de_logo",
    "SmartEraseTaskResult": "smart_erase",
    "AiAnalysisTaskHorizontalToVerticalResult": "horizontal_to_vertical",
    "AiAnalysisTaskVideoRemakeResult": "video_remake",
    "AiAnalysisTaskCutoutResult": "cutout",
}
# Classes that hold results of other classes and are none themselves; each is there for at least one.
HOLDERS = {
    "MediaProcessTaskResult",
    "AiContentReviewResult",
    "AiAnalysisResult",
    "AiRecognitionResult",
    "SmartSubtitlesResult",
    "ActivityResult",
    "LiveActivityResult",
}
ROOTS = {"image": "DescribeImageTaskDetailResponse", "BatchTaskResult": "BatchSubTaskResult"}
OWN_RESULT = {"EditMediaTask", "LiveStreamProcessTask", "LiveScheduleTask", "ExtractBlindWatermarkTask"}
NEEDS_NO_OUTPUT = OWN_RESULT - {"EditMediaTask"} | {"ScheduleExecRuleTaskResult"}
NO_ERROR = {"", "0", "SUCCESS"}
_SCHEMES = {"COS": ("cos", "CosOutputStorage"), "AWS-S3": ("s3", "S3OutputStorage"), "VOD": ("vod", "VODOutputStorage")}


class Details(NamedTuple):
    """What is known of one file, by its path."""

    storage: tuple[str, str | None, str | None]
    size: int | None
    md5: str | None
    duration: float | None
    width: int | None
    height: int | None
    streams: int


@dataclass
class Opinion:
    """The same things that our reading says: of failures path and code, of what is missing the path."""

    failures: set[tuple[str, str]] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)
    parts: int = 0
    succeeded: int = 0
    files: set[tuple[str, str, str | None]] = field(default_factory=set)
    details: dict[str, Details] = field(default_factory=dict)
    texts: set[tuple[str, str]] = field(default_factory=set)
    file_ids: set[str] = field(default_factory=set)
    looked_at: set[tuple[str, str]] = field(default_factory=set, compare=False)


@dataclass(frozen=True)
class _Object:
    path: str
    class_name: str
    node: dict[str, Any]
    storage: dict[str, Any]
    result: str  # the nearest class around it that has a status and files named after it


def opinion(name: str, body: dict[str, Any]) -> Opinion:
    """Of an answer with one task object ``name``, or of an image task ("image")."""
    said = Opinion()
    root, path = (body, "Response") if name == "image" else (body[name], name)
    everything = list(_objects(ROOTS.get(name, name), root, path, {}, ""))
    _judge(everything, said, is_image=name == "image")
    for one in everything:
        _collect_files(one, said)
    if name == "BatchTaskResult":
        inputs = len(root.get("InputInfos") or [])
        outputs = len((root.get("SmartSubtitlesTaskResult") or {}).get("Outputs") or [])
        if 0 < outputs < inputs:
            said.unsettled.add("BatchTaskResult.SmartSubtitlesTaskResult.Outputs")
    return said


def _members(class_name: str) -> dict[str, dict[str, Any]]:
    return {member["name"]: member for member in api_model()["objects"][class_name]["members"]}


def _objects(class_name: str, node: Any, path: str, storage: Any, result: str) -> Iterator[_Object]:
    node = node if isinstance(node, dict) else {}
    storage = node.get("OutputStorage") or node.get("Storage") or storage
    result = class_name if class_name in KIND_OF_RESULT else result
    yield _Object(path, class_name, node, storage, result)
    for name, member in _members(class_name).items():
        if name in ECHOES or member["member"] not in api_model()["objects"]:
            continue
        if member["type"] == "list":
            for index, item in enumerate(node.get(name) or []):
                yield from _objects(member["member"], item, f"{path}.{name}[{index}]", storage, result)
        elif node.get(name) is not None:
            yield from _objects(member["member"], node[name], f"{path}.{name}", storage, result)


def _judge(everything: list[_Object], said: Opinion, *, is_image: bool) -> None:
    results = [one for one in everything if _is_result(one)]
    due = [one for one in everything if _is_due(one)]
    for one in results:
        inside = [other for other in results if other.path.startswith((f"{one.path}.", f"{one.path}["))]
        empty = [other for other in due if _is_below(other, one) and not _has_result(other, results)]
        is_root = one.class_name in TASK_OBJECTS | set(ROOTS.values())
        is_part = not inside and not empty and (one.class_name in OWN_RESULT if is_root else True)
        _judge_one(one, inside, said, is_root=is_root, is_part=is_part)
    for one in due:
        if not _has_result(one, results):
            said.parts += 1
            said.unsettled.add(one.path)
    if not is_image and not said.parts and not said.failures:
        said.unsettled.add(everything[0].path)


def _is_below(one: _Object, other: _Object) -> bool:
    return one.path.startswith(f"{other.path}.")


def _has_result(due: _Object, results: list[_Object]) -> bool:
    return any(due == result or _is_below(result, due) for result in results)


def _is_result(one: _Object) -> bool:
    fields = VERDICT_FIELDS & _members(one.class_name).keys() & one.node.keys()
    return bool(fields) and not (one.class_name in LANGUAGES and not one.node.get("Status"))


def _is_due(one: _Object) -> bool:
    """An object that is there to say how something went, and must."""
    if one.class_name in HOLDERS:
        return True
    batch_or_image = one.class_name in {"SmartSubtitleTaskBatchOutput", "ImageProcessTaskResult"}
    single = one.path.count(".") == 1 and one.path.endswith("TaskResult") and "Status" in _members(one.class_name)
    return batch_or_image or single


def _judge_one(one: _Object, inside: list[_Object], said: Opinion, *, is_root: bool, is_part: bool) -> None:
    done = {"", "FINISH"} if is_root else {"SUCCESS"}
    lacks_output = is_part and one.class_name not in NEEDS_NO_OUTPUT and not _holds_output(one)
    said.parts += is_part
    if _fails(one):
        if _code(one) or not any(_fails(other) for other in inside):
            said.failures.add((one.path, _code(one)))
    elif str(one.node.get("Status") or "").upper() not in done or lacks_output:
        said.unsettled.add(one.path)
    else:
        said.succeeded += is_part


def _code(one: _Object) -> str:
    codes = [str(one.node.get(name) or "") for name in ("ErrCodeExt", "ErrMsg", "ErrCode")]
    return next((code for code in codes if code.upper() not in NO_ERROR), "")


def _fails(one: _Object) -> bool:
    return bool(_code(one)) or str(one.node.get("Status") or "").upper() in {"FAIL", "FAILED", "ERROR"}


def _holds_output(one: _Object) -> bool:
    if one.class_name == "SmartSubtitleTaskBatchOutput":
        return bool(one.node.get("AsrFullTextTask") or one.node.get("TransTextTask"))
    if one.class_name in LANGUAGES:
        return any(one.node.get(name) for name in ("Path", "SubtitleEmbedPath", "SubtitleFileId"))
    return bool(one.node.get("Output"))


def _collect_files(one: _Object, said: Opinion) -> None:
    member, kind = TEXTS.get(one.class_name, ("", ""))
    if text := one.node.get(member):
        said.looked_at.add((one.class_name, member))
        said.texts.add((kind, text))
    for member, kind, *file_id in FILES.get(one.class_name, []):
        kind = kind or KIND_OF_RESULT[one.result]
        told = one.node.get(member)
        for path in told if isinstance(told, list) else [told]:
            if path:
                said.looked_at.add((one.class_name, member))
                plain = path.partition("?")[0]
                said.files.add((kind, plain, _uri(path, one.storage)))
                said.details[plain] = _details(one, member, path)
        identity = one.node.get(file_id[0]) if file_id else None
        if identity:
            said.file_ids.add(identity)
            if not told:
                said.files.add((kind, "", None))


def _details(one: _Object, member: str, path: str) -> Details:
    told = one.node if member in {"Path", "Url"} else {}
    if one.class_name == "EditMediaTaskOutput":
        told = one.node.get("MetaData") or {}
    if one.class_name == "MediaAiAnalysisHighlightItem" and member.startswith("Highlight"):
        told = {"Duration": one.node.get("Duration")}
    streams = [stream for key in ("VideoStreamSet", "AudioStreamSet") for stream in told.get(key) or []]
    described = (told.get(name) for name in ("Size", "Md5", "Duration", "Width", "Height"))
    return Details(_place(path, one.storage), *described, streams=len(streams))


def _place(path: str, storage: dict[str, Any]) -> tuple[str, str | None, str | None]:
    if path.startswith(("http://", "https://")):
        return "URL", None, None
    _, key = _SCHEMES.get(storage.get("Type") or "", ("", ""))
    place = storage.get(key) or {}
    bucket, region = ("S3Bucket", "S3Region") if key.startswith("S3") else ("Bucket", "Region")
    return storage.get("Type") or "", place.get(bucket), place.get(region)


def _uri(path: str, storage: dict[str, Any]) -> str | None:
    if path.startswith(("http://", "https://")):
        return path.partition("?")[0]
    scheme, key = _SCHEMES.get(storage.get("Type") or "", ("", ""))
    place = storage.get(key) or {}
    bucket = place.get("S3Bucket" if scheme == "s3" else "Bucket")
    return f"{scheme}://{bucket}/{quote(path[1:], safe='/!$&()*+,;=:@~')}" if bucket else None
