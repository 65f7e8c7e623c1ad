"""
The one place that decides whether a task ended, succeeded or failed.

MPS reports FINISH for a task with failed parts, so the verdict reads the whole answer. A part counts as done only if
it says SUCCESS and holds a result. Anything unknown is not a success.

Sources: https://www.tencentcloud.com/document/product/1041/33644 (DescribeTaskDetail),
https://www.tencentcloud.com/document/product/1041/70402 (DescribeBatchTaskDetail).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_mps.results.redaction import mask_urls
from airflow_provider_mps.results.walk import VERDICT, Node, walk_bottom_up


class TaskStatus(StrEnum):
    """The status of a whole task. FINISH means ended, not succeeded."""

    WAITING = "WAITING"
    PROCESSING = "PROCESSING"
    FINISH = "FINISH"


_FAILED = {"FAIL", "FAILED", "ERROR"}
_NO_ERROR = {"", "0", "SUCCESS"}
_STATUS_FIELDS = ("Status", "ErrCode", "ErrCodeExt", "ErrMsg")
# Each item of these lists must hold a result. If it holds none, it is not done, whatever the other items say.
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
# Each of these objects must hold a result.
_RESULTS = {"AiQualityControlTaskResult", "SmartEraseTaskResult", "AiDubbingTaskResult"}
# One subtitle file for each language. Each has a status of its own, inside a part that may say SUCCESS.
_LANGUAGES = {"SubtitleInfo", "SubtitleResults", "RecognizeSubtitleResult", "TransSubtitleResult"}
# Task objects that may have no parts and are a result themselves.
_WITHOUT_PARTS = {"EditMediaTask", "LiveStreamProcessTask", "LiveScheduleTask", "ExtractBlindWatermarkTask"}
# Results that may succeed without an output. MPS sends the results of a live stream as notifications.
_NO_OUTPUT_NEEDED = {"LiveStreamProcessTask", "LiveScheduleTask", "ExtractBlindWatermarkTask", "ExecRuleTask"}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One part of a task that did not succeed.

    :param path: its place in the answer, for example ``WorkflowTask.MediaProcessResultSet[1].TranscodeTask``.
    :param status: the status of the part, verbatim.
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
    The state of a task, judged from its answer.

    :param failures: every failed part.
    :param unsettled: why a FINISHed task is not done: parts still running, results missing.
    :param succeeded: number of parts that succeeded.
    :param parts: number of parts seen so far.
    :param percent: mean progress of the parts, 0 to 100, or None where MPS gives none.
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

    def add(self, node: Node, *, has_parts: bool, is_explained: bool) -> None:
        """
        Count one result.

        :param has_parts: it encloses other parts, so it is none itself.
        :param is_explained: it encloses a failure.
        """
        part, is_task = node.value, node.parent is None
        is_part = not has_parts and (not is_task or node.key in _WITHOUT_PARTS)
        message = mask_urls(str(part.get("Message") or ""))
        finding = Finding(node.path, str(part.get("Status") or ""), _error_code(part), message)
        status, progress = finding.status.upper(), 100.0
        self.parts += is_part
        if status in _FAILED or finding.code:
            # The failure of a group adds nothing to those of its members, unless it has an error code of its own.
            if finding.code or not is_explained:
                self.failures.append(finding)
        elif status not in ({"FINISH", ""} if is_task else {"SUCCESS"}):
            self.unsettled.append(finding)
            progress = _progress(part)
        elif is_part and not _has_output(node):
            self.missing(finding.path, "holds no output", finding.status)
        else:
            self.succeeded += is_part
        if is_part:
            self.progress.append(progress)

    def verdict(self) -> Verdict:
        known = [value for value in self.progress if value >= 0]
        percent = sum(known) / len(known) if known else None
        return Verdict(tuple(self.failures), tuple(self.unsettled), self.succeeded, self.parts, percent)


def task_objects(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The objects of an answer that hold a task (``WorkflowTask``, ``BatchTaskResult``, ...), also of unknown types."""
    return {key: value for key, value in body.items() if isinstance(value, Mapping) and key not in VERDICT.skip}


def judge(body: Mapping[str, Any], *, image: bool = False) -> Verdict:
    """
    Judge the answer of DescribeTaskDetail, DescribeBatchTaskDetail or DescribeImageTaskDetail.

    :param body: the content of ``Response``.
    :param image: the answer is from DescribeImageTaskDetail. Its documented success may hold no result at all.
    """
    tally = _Tally()
    if image:
        _judge_task(body, "Response", tally)
        return tally.verdict()
    objects = task_objects(body)
    for name, task in objects.items():
        parts, failures = tally.parts, len(tally.failures)
        _judge_task(task, name, tally)
        if tally.parts == parts and len(tally.failures) == failures:
            tally.missing(name, status=str(task.get("Status") or ""))
        _compare_with_inputs(task, name, tally)
    if not objects:
        tally.missing("Response", f"holds no task object (TaskType {body.get('TaskType') or 'none'})")
    return tally.verdict()


def _judge_task(task: Mapping[str, Any], name: str, tally: _Tally) -> None:
    """Count every result of a task. A result comes after those that it encloses, the task itself comes last."""
    with_parts: set[Node | None] = set()  # objects that enclose a part
    with_failures: set[Node | None] = set()
    for node in walk_bottom_up(task, VERDICT, name=name):
        parts, failures = tally.parts, len(tally.failures)
        if _is_result(node):
            tally.add(node, has_parts=node in with_parts, is_explained=node in with_failures)
        if _is_due(node) and tally.parts == parts and node not in with_parts:
            tally.parts += 1
            tally.missing(node.path)
        if tally.parts > parts or node in with_parts:
            with_parts.add(node.parent)
        if len(tally.failures) > failures or node in with_failures:
            with_failures.add(node.parent)


def _is_result(node: Node) -> bool:
    part = node.value
    if not isinstance(part, Mapping) or not any(name in part for name in _STATUS_FIELDS):
        return False
    return node.key not in _LANGUAGES or bool(part.get("Status"))


def _is_due(node: Node) -> bool:
    """Whether the node must be or hold a result."""
    if node.index is not None:
        return node.key in _RESULT_LISTS
    return node.key in _RESULTS and isinstance(node.value, Mapping)


def _has_output(node: Node) -> bool:
    """Whether a part holds its result. Those of a batch hold their task directly, a language holds its file."""
    if node.key in _NO_OUTPUT_NEEDED:
        return True
    names: tuple[str, ...] = ("Output",)
    if node.key == "Outputs":
        names = ("AsrFullTextTask", "TransTextTask")
    elif node.key in _LANGUAGES:
        names = ("Path", "SubtitleFileId", "SubtitleEmbedPath")
    return any(node.value.get(name) for name in names)


def _compare_with_inputs(task: Mapping[str, Any], name: str, tally: _Tally) -> None:
    """A batch has one output for each input. If it has fewer, the result of an input is missing."""
    result = task.get("SmartSubtitlesTaskResult")
    inputs, outputs = (
        len(value) if isinstance(value, list) else 0
        for value in (task.get("InputInfos"), result.get("Outputs") if isinstance(result, Mapping) else None)
    )
    if 0 < outputs < inputs:
        tally.missing(f"{name}.SmartSubtitlesTaskResult.Outputs", f"holds {outputs} outputs for {inputs} inputs")


def _error_code(part: Mapping[str, Any]) -> str:
    """The error code of a result, "" if it has none. ErrCodeExt is documented as "" and seen as "SUCCESS"."""
    candidates = [str(part.get(name) or "") for name in ("ErrCodeExt", "ErrMsg", "ErrCode")]
    return next((code for code in candidates if code.upper() not in _NO_ERROR), "")


def _progress(part: Mapping[str, Any]) -> float:
    """Percent of a running part, or -1 where MPS gives none."""
    value = part.get("Progress")
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 100 else -1.0
