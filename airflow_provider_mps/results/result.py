"""The parsed result of an MPS task, as one value that is plain JSON. The next task gets it through XCom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from airflow_provider_mps.results.media import MediaMetadata
from airflow_provider_mps.results.model import Number, ResultModel, Time
from airflow_provider_mps.results.outputs import OutputFile
from airflow_provider_mps.results.subtitles import Subtitle
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.texts import TextResult
from airflow_provider_mps.results.verdict import Finding, Verdict

SCHEMA_VERSION = 1


class TaskProgress(ResultModel):
    """Number of parts of a task, and how many succeeded. ``percent`` is their mean progress, None where unknown."""

    parts: int = 0
    succeeded: int = 0
    percent: Number | None = None

    @classmethod
    def of(cls, verdict: Verdict) -> TaskProgress:
        return cls(parts=verdict.parts, succeeded=verdict.succeeded, percent=verdict.percent)


class MpsTaskResult(ResultModel):
    """
    The parsed result of a task that ended. ``MpsTaskResult.model_validate(ti.xcom_pull(...))`` reads it back.

    It holds no echo of the request, no key, and no query string of an address.

    :param schema_version: 1 while fields are only added: each release then reads the values of the others. It grows
        when a field is removed or changes its meaning; the new release still reads the old values.
    :param progress: of the parts that MPS lists.
    :param metadata: of the input files, in the order of the inputs of a batch; for EditMedia of the file that it wrote
        (``is_of_output``).
    :param texts: results that are texts, not files: the description of a picture or video, the content of a watermark.
    :param failures: parts that failed; empty unless partial results are allowed.
    :param full_result: the file that holds the whole value as JSON, None where none was written.
    :param left_out: the number of items that were left out so that the value fits into XCom, by name (``segments``,
        ``outputs``, ...). The file that ``full_result`` names holds them. Empty for a whole value.
    """

    schema_version: int = SCHEMA_VERSION
    mps_task_id: str = ""
    task_type: str = ""
    status: str = ""
    request_id: str | None = None
    create_time: Time = None
    begin_process_time: Time = None
    finish_time: Time = None
    progress: TaskProgress = TaskProgress()
    metadata: tuple[MediaMetadata, ...] = ()
    subtitles: tuple[Subtitle, ...] = ()
    outputs: tuple[OutputFile, ...] = ()
    texts: tuple[TextResult, ...] = ()
    failures: tuple[Finding, ...] = ()
    full_result: str | None = None
    left_out: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, detail: TaskDetail, mps_task_id: str) -> MpsTaskResult:
        """Take the values of an answer that may be passed on."""
        return cls(
            mps_task_id=mps_task_id,
            task_type=detail.task_type,
            status=detail.status,
            request_id=detail.request_id,
            create_time=detail.create_time,
            begin_process_time=detail.begin_process_time,
            finish_time=detail.finish_time,
            progress=TaskProgress.of(detail.verdict),
            metadata=detail.metadata,
            subtitles=detail.subtitles,
            outputs=detail.outputs,
            texts=detail.texts,
            failures=detail.failures,
        )

    def as_json(self) -> dict[str, Any]:
        """A plain JSON dict in snake_case."""
        return self.model_dump(mode="json")

    def json_pieces(self) -> Iterator[str]:
        """The value as JSON text, in pieces of some hundred segments."""
        head = self.model_dump_json(exclude={"subtitles"})
        yield f'{head[:-1]},"subtitles":['
        for number, subtitle in enumerate(self.subtitles):
            yield "," if number else ""
            yield from subtitle.json_pieces()
        yield "]}"
