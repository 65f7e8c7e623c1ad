"""MpsTaskResultOperator: what an ended task found out and wrote, for the next task."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_mps.links.mps import MpsTaskLink

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.results.result import MpsTaskResult
    from airflow_provider_mps.results.subtitles import Subtitle
    from airflow_provider_mps.results.task import TaskDetail

DEFAULT_MAX_XCOM_BYTES = 48_000
_SETTLE_INTERVAL = 5.0


class MpsTaskResultOperator(BaseOperator):
    """
    Hand the parsed result of an ended MPS task to the next task.

    It returns a plain JSON dict (:class:`airflow_provider_mps.results.result.MpsTaskResult`) and pushes its parts
    also under the XCom keys ``metadata``, ``subtitles`` and ``outputs``. No key, request echo or signed address is
    in it.

    :param mps_task_id: the TaskId, usually the output of :class:`MpsTaskSensor`. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)
    :param describe_action: ``DescribeImageTaskDetail`` for a task of ProcessImage, whose TaskId may look like any
        other's; else only where the TaskId does not tell, ``DescribeTaskDetail`` or ``DescribeBatchTaskDetail``.
        (templated)
    :param allow_partial: take the result although parts failed, as long as at least one part succeeded; the failed
        ones are listed under ``failures``.
    :param output_path: a folder on this machine or in object storage (``s3://bucket/subtitles``). Each subtitle's
        segments are written there as JSON, SRT and WebVTT, and its ``exports`` names the files. (templated)
    :param output_conn_id: connection for ``output_path``. (templated)
    :param max_xcom_bytes: the largest JSON that is pushed as one XCom value. Past it, segments are left out if
        they were written to ``output_path``; otherwise the task fails and says so.
    :param settle_grace: seconds to wait for results that a task which says FINISH still lacks.

    :raises MpsTaskNotFinished: the task still waits or runs.
    :raises MpsTaskFailed: a part failed; the error lists every failed part.
    :raises MpsTaskUnsettled: the task says FINISH, but results are missing or unfinished.
    :raises MpsTaskNotFound: MPS does not know the task (any more).
    :raises MpsResultTooLarge: a value is larger than ``max_xcom_bytes``.
    :raises MpsApiError: MPS refused the question.
    :raises MpsTransportError: no usable answer.
    :raises MpsConfigError: an argument or the connection is wrong; nothing was sent.

    Sources: https://www.tencentcloud.com/document/product/1041/33644,
    https://www.tencentcloud.com/document/product/1041/70402
    """

    template_fields: Sequence[str] = (
        "mps_task_id",
        "mps_conn_id",
        "region",
        "describe_action",
        "output_path",
        "output_conn_id",
    )
    operator_extra_links = (MpsTaskLink(),)
    ui_color = "#cfe8ff"

    def __init__(
        self,
        *,
        mps_task_id: str,
        mps_conn_id: str = "mps_default",
        region: str | None = None,
        describe_action: str | None = None,
        allow_partial: bool = False,
        output_path: str | None = None,
        output_conn_id: str | None = None,
        max_xcom_bytes: int = DEFAULT_MAX_XCOM_BYTES,
        settle_grace: float = 120.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mps_task_id = mps_task_id
        self.mps_conn_id = mps_conn_id
        self.region = region
        self.describe_action = describe_action
        self.allow_partial = allow_partial
        self.output_path = output_path
        self.output_conn_id = output_conn_id
        self.max_xcom_bytes = max_xcom_bytes
        self.settle_grace = settle_grace

    @cached_property
    def hook(self) -> MpsHook:
        from airflow_provider_mps.hooks.mps import MpsHook

        return MpsHook(self.mps_conn_id, region=self.region)

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mps.results.result import MpsTaskResult

        detail = self._detail(context)
        detail.raise_for_failure(self.mps_task_id, allow_partial=self.allow_partial)
        result = MpsTaskResult.of(detail, self.mps_task_id)
        if self.output_path:
            result = self._export(result, self.output_path)
        value = self._fit(result)
        for key in ("metadata", "subtitles", "outputs"):
            context["ti"].xcom_push(key=key, value=value[key])
        self.log.info(
            "MPS task %s: metadata of %d files, %d subtitles with %d segments, %d output files, %d failed parts "
            "(RequestId %s)",
            self.mps_task_id,
            len(result.metadata),
            len(result.subtitles),
            sum(subtitle.segment_count for subtitle in result.subtitles),
            len(result.outputs),
            len(result.failures),
            result.request_id,
        )
        return value

    def _detail(self, context: Context) -> TaskDetail:
        """Look the task up, and again for a while if it says FINISH but lacks results."""
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.patience import Patience
        from airflow_provider_mps.errors import MpsApiError

        action = describe(self.mps_task_id, self.describe_action)
        MpsTaskLink.persist(context, self.hook, action=action.name, mps_task_id=self.mps_task_id)
        patience = Patience(self.mps_task_id, started=time.time(), not_found_grace=0.0, settle_grace=self.settle_grace)
        while True:
            try:
                detail = self.hook.call(action)
            except MpsApiError as error:
                if error.task_unknown:
                    patience.judge(error, time.time())  # says what an unknown id means
                raise
            if not detail.is_finished or patience.judge(detail, time.time()) is not None:
                return detail
            self.log.info("MPS task %s says FINISH but lacks results; looking again.", self.mps_task_id)
            time.sleep(min(_SETTLE_INTERVAL, self.settle_grace / 10))

    def _export(self, result: MpsTaskResult, output_path: str) -> MpsTaskResult:
        """Write the segments of each subtitle to files."""
        from airflow.sdk import ObjectStoragePath

        folder = ObjectStoragePath(output_path, conn_id=self.output_conn_id) / _file_name(self.mps_task_id)
        folder.mkdir(parents=True, exist_ok=True)
        subtitles = tuple(
            _write(subtitle, folder, f"{number:02d}-{subtitle.kind}") if subtitle.segments else subtitle
            for number, subtitle in enumerate(result.subtitles)
        )
        return result.model_copy(update={"subtitles": subtitles})

    def _fit(self, result: MpsTaskResult) -> dict[str, Any]:
        """The JSON value, without the segments that are in files if it were too large with them."""
        from airflow_provider_mps.errors import MpsResultTooLarge

        value = result.as_json()
        if (size := _size(value)) <= self.max_xcom_bytes:
            return value
        light = result.model_copy(
            update={
                "subtitles": tuple(
                    subtitle.model_copy(update={"segments": ()}) if subtitle.exports else subtitle
                    for subtitle in result.subtitles
                )
            }
        ).as_json()
        if _size(light) <= self.max_xcom_bytes:
            self.log.info("The segments are too large for XCom (%d bytes in all); they are in the files.", size)
            return light
        segments = sum(subtitle.segment_count for subtitle in result.subtitles)
        ways_out = [
            "" if self.output_path or not segments else "set output_path, so that the segments go to files",
            "raise max_xcom_bytes if your XCom backend takes values of that size",
        ]
        raise MpsResultTooLarge(
            f"The result of MPS task {self.mps_task_id} is {size} bytes of JSON ({segments} subtitle segments, "
            f"{len(result.outputs)} files), more than max_xcom_bytes={self.max_xcom_bytes}: "
            + ", or ".join(way for way in ways_out if way)
            + "."
        )


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _write(subtitle: Subtitle, folder: ObjectStoragePath, name: str) -> Subtitle:
    languages = [subtitle.language, subtitle.translation_language]
    stem = _file_name("-".join([name, *(language for language in languages if language)]))
    texts = {
        "json": json.dumps(subtitle.model_dump(mode="json", exclude={"exports"}), ensure_ascii=False),
        "srt": subtitle.to_srt(),
        "vtt": subtitle.to_vtt(),
    }
    exports = {}
    for format_, text in texts.items():
        path = folder / f"{stem}.{format_}"
        path.write_text(text, encoding="utf-8")
        exports[format_] = str(path)
    return subtitle.model_copy(update={"exports": exports})
