"""MpsTaskResultOperator: the parsed result of an ended task, for the next task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.links.mps import MpsTaskLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.lifecycle.export import Exports
    from airflow_provider_mps.results.task import TaskDetail

DEFAULT_MAX_XCOM_BYTES = 48_000
_SETTLE_INTERVAL = 5.0  # seconds


class MpsTaskResultOperator(BaseOperator):
    """
    Hand the parsed result of an ended MPS task to the next task.

    It returns a plain JSON dict (:class:`airflow_provider_mps.results.result.MpsTaskResult`) and pushes its parts
    also under the XCom keys ``metadata``, ``subtitles`` and ``outputs``. No key, request echo or signed address is
    in it.

    :param mps_task_id: the TaskId, usually the output of :class:`MpsTaskSensor`. (templated)
    :param mps_conn_id: connection of type ``tencentcloud_mps``. (templated)
    :param region: overrides the region of the connection. (templated)
    :param describe_action: ``DescribeImageTaskDetail`` for a task of ProcessImage, whose TaskId may look like others;
        else ``DescribeTaskDetail`` or ``DescribeBatchTaskDetail``, if the TaskId does not show its kind. (templated)
    :param allow_partial: return the result although parts failed, as long as at least one part succeeded; ``failures``
        lists the failed parts.
    :param output_path: a folder on this machine or in object storage (``s3://aws_conn@bucket/subtitles``) for the
        files of the next parameters. Each MPS task gets its own folder in it, and each file appears in one step when it
        is complete; a retry writes the same files again. (templated)
    :param output_conn_id: connection for ``output_path``, if the path names none. (templated)
    :param subtitle_formats: write each subtitle that has text in these formats: ``srt``, ``vtt``, ``ass``,
        ``ttml``, ``txt``, ``json``; its ``exports`` names the files. (templated)
    :param subtitle_text: ``original``, ``translation``, or ``bilingual``, the original above its translation.
        (templated)
    :param speakers: name the speakers in the files.
    :param word_timing: write the start time of each word in ``vtt`` and ``ass``, if MPS answers it.
    :param merge_languages: write the subtitles of one input as one track, the languages below each other.
    :param save_result: write the whole result as ``result.json``; ``full_result`` names it.
    :param fetch_subtitles: the place of subtitle files whose segments are not in the answer. ``https``: the address in
        the answer, public or signed, or that of a public COS bucket. A folder such as
        ``s3://cos_conn@media-1250000000``: the root of the paths in the answer. None: they are not fetched.
        (templated)
    :param max_xcom_bytes: the largest JSON that is pushed as one XCom value. A larger result is written as
        ``result.json`` below ``output_path``, with ``save_result``, and pushed without some parts, the segments first;
        ``left_out`` counts them. Without ``output_path`` and ``save_result`` the task fails.
    :param settle_grace: seconds to wait for results that a task which says FINISH still lacks.

    :raises MpsTaskNotFinished: the task is WAITING or PROCESSING.
    :raises MpsTaskFailed: a part failed; the error lists every failed part.
    :raises MpsTaskUnsettled: the task says FINISH, but results are missing or unfinished.
    :raises MpsTaskNotFound: MPS does not know the task (any more).
    :raises MpsDownloadError: a subtitle file could not be fetched or read.
    :raises MpsResultTooLarge: a value is larger than ``max_xcom_bytes``.
    :raises MpsApiError: MPS answered with an error.
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
        "subtitle_formats",
        "subtitle_text",
        "fetch_subtitles",
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
        subtitle_formats: Sequence[str] = (),
        subtitle_text: str = "bilingual",
        speakers: bool = False,
        word_timing: bool = False,
        merge_languages: bool = False,
        save_result: bool = False,
        fetch_subtitles: str | None = None,
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
        self.subtitle_formats = subtitle_formats
        self.subtitle_text = subtitle_text
        self.speakers = speakers
        self.word_timing = word_timing
        self.merge_languages = merge_languages
        self.save_result = save_result
        self.fetch_subtitles = fetch_subtitles
        self.max_xcom_bytes = max_xcom_bytes
        self.settle_grace = settle_grace
        self._seen: TaskDetail | None = None
        self._written: list[str] = []

    @cached_property
    def hook(self) -> MpsHook:
        from airflow_provider_mps.hooks.mps import MpsHook

        return MpsHook(self.mps_conn_id, region=self.region)

    @fail_fast_on_permanent(MpsTaskFailed)
    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_mps.lifecycle.subtitle_source import SubtitleSource
        from airflow_provider_mps.results.result import MpsTaskResult

        exports, source = self._exports(), SubtitleSource.of(self.fetch_subtitles)
        detail = self._seen = self._detail(context)
        detail.raise_for_failure(self.mps_task_id, allow_partial=self.allow_partial)
        result = MpsTaskResult.of(detail, self.mps_task_id)
        if source is not None:
            result = source.complete(result, detail, lambda: self.hook.get_conn().config)
        result = exports.write_subtitles(result)
        value = exports.fit(result)
        if value["left_out"]:
            self.log.warning(
                "The result is too large for XCom: %s left out; the whole result is in %s.",
                value["left_out"],
                value["full_result"],
            )
        written = [uri for subtitle in result.subtitles for uri in subtitle.exports.values()]
        self._written = [uri for uri in dict.fromkeys([*written, value["full_result"]]) if uri]
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

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002 - OpenLineage
        """The files that the job has read, and the files written here."""
        from airflow_provider_mps.lifecycle.lineage import lineage_of_exports

        return lineage_of_exports(self._seen, self._written)

    def _exports(self) -> Exports:
        """Check all arguments before a request is sent."""
        from airflow_provider_mps.client.actions import check_mps_task_id
        from airflow_provider_mps.lifecycle.export import Exports

        return Exports.of(
            mps_task_id=check_mps_task_id(self.mps_task_id),
            output_path=self.output_path,
            output_conn_id=self.output_conn_id,
            subtitle_formats=self.subtitle_formats,
            text=self.subtitle_text,
            speakers=self.speakers,
            word_timing=self.word_timing,
            merge_languages=self.merge_languages,
            save_result=self.save_result,
            max_xcom_bytes=self.max_xcom_bytes,
        )

    def _detail(self, context: Context) -> TaskDetail:
        """Poll the task, and poll again for ``settle_grace`` if it says FINISH but lacks results."""
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState, evaluate
        from airflow_provider_mps.client.retry import is_not_found
        from airflow_provider_mps.errors import MpsApiError

        action = describe(self.mps_task_id, self.describe_action)
        MpsTaskLink.persist(context, self.hook, action=action.name, mps_task_id=self.mps_task_id)
        policy, state = WaitPolicy(not_found_grace=0.0, settle_grace=self.settle_grace), WaitState(self.mps_task_id)
        while True:
            try:
                detail = self.hook.call(action)
            except MpsApiError as error:
                if is_not_found(error):
                    evaluate(policy, state, error, time.monotonic())  # raises MpsTaskNotFound
                raise
            if not detail.is_finished or evaluate(policy, state, detail, time.monotonic()) is not None:
                return detail
            self.log.info("MPS task %s says FINISH but lacks results; polling again.", self.mps_task_id)
            time.sleep(min(_SETTLE_INTERVAL, self.settle_grace / 10))
