"""
The one place that decides whether a task ended, succeeded or failed.

MPS says FINISH for a task whose parts failed, so the verdict walks the whole answer. Success is what is
allowed, never what is not denied: a part counts as done only when it says SUCCESS and holds a result.

Sources: https://www.tencentcloud.com/document/product/1041/33644 (DescribeTaskDetail),
https://www.tencentcloud.com/document/product/1041/70402 (DescribeBatchTaskDetail).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_mps.results.redaction import ECHOES, mask_urls


class TaskStatus(StrEnum):
    """What MPS says of a task as a whole. FINISH means ended, not succeeded."""

    WAITING = "WAITING"
    PROCESSING = "PROCESSING"
    FINISH = "FINISH"


_FAILED = {"FAIL", "FAILED", "ERROR"}
_NO_ERROR = {"", "0", "SUCCESS"}

# Parts of an answer that never hold a verdict; segment lists may be tens of megabytes.
_OPAQUE = ECHOES | {"MetaData", "Metadatas", "SegmentSet", "Wordlist", "OutputStorage", "Storage"}
_STATUS_FIELDS = ("Status", "ErrCode", "ErrCodeExt", "ErrMsg")
# Where results stand: each item of these lists, and each of these objects, is a part of the task or holds one. One that
# holds none has not been done, whatever its neighbours say.
_RESULT_LISTS = {
    "MediaProcessResultSet",
    "AiContentReviewResultSet",
    "AiAnalysisResultSet",
    "AiRecognitionResultSet",
    "SmartSubtitlesTaskResult",
    "ActivityResultSet",
    "LiveActivityResultSet",
    "ImageProcessTaskResultSet",
    "Outputs",
    "Output",
}
_RESULTS = {"AiQualityControlTaskResult", "SmartEraseTaskResult", "AiDubbingTaskResult"}
# One subtitle file a language, with a status of its own inside a part that may say SUCCESS.
_LANGUAGES = {"SubtitleInfo", "SubtitleResults", "RecognizeSubtitleResult", "TransSubtitleResult"}
# Task objects that may be their own result: EditMediaTask in its Output, the others in nothing that must be there. The
# results of a live stream go to who is notified; one that is orchestrated lists records where it made some.
_WITHOUT_PARTS = {"EditMediaTask", "LiveStreamProcessTask", "LiveScheduleTask", "ExtractBlindWatermarkTask"}
_NO_OUTPUT_NEEDED = {"LiveStreamProcessTask", "LiveScheduleTask", "ExtractBlindWatermarkTask", "ExecRuleTask"}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One part of a task that did not succeed.

    :param path: where it stands in the answer, for example ``WorkflowTask.MediaProcessResultSet[1].TranscodeTask``.
    :param status: what MPS says of the part, verbatim.
    :param code: ``ErrCodeExt``, else ``ErrMsg`` of an image task, else ``ErrCode`` as text; may be empty.
    :param message: for people only; addresses in it are cut before their query.
    """

    path: str
    status: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: " + " ".join(part for part in (self.status, self.code, self.message) if part)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What an answer says about its task.

    :param failures: every failed part.
    :param unsettled: what keeps a FINISHed task from being called done: running parts, missing results.
    :param succeeded: number of parts that succeeded.
    :param parts: number of parts seen so far.
    :param percent: mean progress of the parts, 0 to 100, or None where MPS does not tell.
    """

    failures: tuple[Finding, ...] = ()
    unsettled: tuple[Finding, ...] = ()
    succeeded: int = 0
    parts: int = 0
    percent: float | None = None


@dataclass
class _Tally:
    failures: list[Finding] = field(default_factory=list)
    unsettled: list[Finding] = field(default_factory=list)
    succeeded: int = 0
    parts: int = 0
    progress: list[float] = field(default_factory=list)

    def missing(self, path: str, what: str = "holds no result", status: str = "") -> None:
        self.unsettled.append(Finding(path, status, "", what))

    def verdict(self) -> Verdict:
        known = [value for value in self.progress if value >= 0]
        percent = sum(known) / len(known) if known else None
        return Verdict(tuple(self.failures), tuple(self.unsettled), self.succeeded, self.parts, percent)


def task_objects(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The objects of an answer that hold a task (``WorkflowTask``, ``BatchTaskResult``, ...), also of unknown types."""
    return {key: value for key, value in body.items() if isinstance(value, Mapping) and key not in _OPAQUE}


def judge(body: Mapping[str, Any], *, image: bool = False) -> Verdict:
    """
    Judge the answer of DescribeTaskDetail, DescribeBatchTaskDetail or DescribeImageTaskDetail.

    :param body: the content of ``Response``.
    :param image: it comes from DescribeImageTaskDetail, whose documented success may hold no result at all.
    """
    tally = _Tally()
    if image:
        _visit(body, "Response", "Response", tally, is_task=True)
        return tally.verdict()
    objects = task_objects(body)
    for name, task in objects.items():
        parts, failures = tally.parts, len(tally.failures)
        _visit(task, name, name, tally, is_task=True)
        if tally.parts == parts and len(tally.failures) == failures:
            tally.missing(name, status=str(task.get("Status") or ""))
        _compare_with_inputs(task, name, tally)
    if not objects:
        tally.missing("Response", f"holds no task object (TaskType {body.get('TaskType') or 'none'})")
    return tally.verdict()


def _visit(node: Mapping[str, Any], path: str, key: str, tally: _Tally, *, is_task: bool = False) -> None:
    """Judge everything below ``node``, then ``node`` itself if it is a result."""
    parts, failures = tally.parts, len(tally.failures)
    for child_path, child_key, child, is_due in _children(node, path):
        before = tally.parts
        _visit(child, child_path, child_key, tally)
        if is_due and tally.parts == before:
            tally.parts += 1
            tally.missing(child_path)
    is_result = any(name in node for name in _STATUS_FIELDS)
    if not is_result or (key in _LANGUAGES and not node.get("Status")):
        return
    has_parts = tally.parts > parts
    is_part = not has_parts and (not is_task or key in _WITHOUT_PARTS)
    finding = Finding(path, str(node.get("Status") or ""), _error_code(node), mask_urls(str(node.get("Message") or "")))
    word = finding.status.upper()
    tally.parts += is_part

    if word in _FAILED or finding.code:
        # A group whose members explain its failure adds nothing, unless it has an error code of its own.
        if finding.code or len(tally.failures) == failures:
            tally.failures.append(finding)
    elif word not in ({"FINISH", ""} if is_task else {"SUCCESS"}):
        tally.unsettled.append(finding)
        if is_part:
            tally.progress.append(_progress(node))
        return
    elif is_part and key not in _NO_OUTPUT_NEEDED and not any(node.get(name) for name in _output_names(key)):
        tally.missing(path, "holds no output", finding.status)
    else:
        tally.succeeded += is_part
    if is_part:
        tally.progress.append(100.0)


def _children(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, Mapping[str, Any], bool]]:
    """Path, key and object of whatever may hold a verdict, and whether it is due to."""
    for key, value in node.items():
        if key in _OPAQUE:
            continue
        if isinstance(value, Mapping):
            yield f"{path}.{key}", key, value, key in _RESULTS
        elif isinstance(value, list):
            is_due = key in _RESULT_LISTS
            for index, item in enumerate(value):
                if isinstance(item, Mapping) or is_due:
                    yield f"{path}.{key}[{index}]", key, item if isinstance(item, Mapping) else {}, is_due


def _compare_with_inputs(task: Mapping[str, Any], name: str, tally: _Tally) -> None:
    """A batch has an output for each input; with fewer, what became of an input is not known."""
    result = task.get("SmartSubtitlesTaskResult")
    inputs, outputs = (
        len(value) if isinstance(value, list) else 0
        for value in (task.get("InputInfos"), result.get("Outputs") if isinstance(result, Mapping) else None)
    )
    if 0 < outputs < inputs:
        tally.missing(f"{name}.SmartSubtitlesTaskResult.Outputs", f"holds {outputs} outputs for {inputs} inputs")


def _output_names(key: str) -> tuple[str, ...]:
    """Where a part keeps its result. Those of a batch name their task directly, a language its file."""
    if key == "Outputs":
        return ("AsrFullTextTask", "TransTextTask")
    return ("Path", "SubtitleFileId", "SubtitleEmbedPath") if key in _LANGUAGES else ("Output",)


def _error_code(node: Mapping[str, Any]) -> str:
    """The error code of a result, "" when it has none. ErrCodeExt is documented as "" and seen as "SUCCESS"."""
    candidates = [str(node.get(name) or "") for name in ("ErrCodeExt", "ErrMsg", "ErrCode")]
    return next((code for code in candidates if code.upper() not in _NO_ERROR), "")


def _progress(node: Mapping[str, Any]) -> float:
    """Percent of a running part, or -1 where MPS does not tell."""
    value = node.get("Progress")
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else -1.0
