"""A job as OpenLineage sees it: which datasets it read and wrote. Imported only when OpenLineage asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    RunFacet,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    storage_dataset,
)

from airflow_provider_mps.results.files import (
    FileGroup,
    SourceFile,
    facts_of,
    find_sources,
    written_files,
)
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.uris import dataset_of


@attrs.define
class MpsMediaDatasetFacet(DatasetFacet):
    """What MPS told of a media file. ``duration`` in seconds, ``bitrate`` in bit/s, the picture in pixels."""

    kind: str | None = None
    container: str | None = None
    duration: float | None = None
    bitrate: int | None = None
    width: int | None = None
    height: int | None = None
    videoCodec: str | None = None  # noqa: N815 - OpenLineage writes its fields so
    audioCodec: str | None = None  # noqa: N815


@attrs.define
class MpsTaskRunFacet(RunFacet):
    """The MPS task of a run."""

    taskId: str | None = None  # noqa: N815
    taskType: str | None = None  # noqa: N815
    requestId: str | None = None  # noqa: N815


def lineage_of(request: Any, detail: TaskDetail | None) -> OperatorLineage[Any, Any]:
    """
    Datasets of a job.

    :param request: what was asked for; it names the inputs while MPS has not answered.
    :param detail: the answer of a task that has ended.
    """
    if detail is None:
        return OperatorLineage(inputs=_inputs(find_sources(request)))
    files = written_files(detail.outputs, detail.metadata)
    return OperatorLineage(
        inputs=_inputs(find_sources(detail.body, detail.metadata)),
        outputs=[_output(file.uri, file) for file in files if file.uri],
        run_facets=_run_facets(detail),
    )


def lineage_of_exports(detail: TaskDetail | None, exports: Sequence[str]) -> OperatorLineage[Any, Any]:
    """
    Datasets of who parses the result of a job: it reads what the job has read, and writes files of its own.

    :param exports: URIs of these files.
    """
    if detail is None:
        return OperatorLineage()
    return OperatorLineage(
        inputs=_inputs(find_sources(detail.body, detail.metadata)),
        outputs=[_output(uri, FileGroup(uri, uri, "", 1, {}, 0.0)) for uri in exports],
        run_facets=_run_facets(detail),
    )


def _run_facets(detail: TaskDetail) -> dict[str, RunFacet]:
    return {
        "mps_task": MpsTaskRunFacet(taskId=detail.mps_task_id, taskType=detail.task_type, requestId=detail.request_id)
    }


def _inputs(sources: Sequence[SourceFile]) -> list[InputDataset]:
    return [_input(source.uri, facts_of(source.metadata)) for source in sources if source.uri]


def _input(uri: str, facts: dict[str, Any]) -> InputDataset:
    statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(size=facts.get("size"), fileCount=1)
    return InputDataset(*dataset_of(uri), inputFacets={"inputStatistics": statistics}, facets=_facets(uri, None, facts))


def _output(uri: str, file: FileGroup) -> OutputDataset:
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        size=file.facts.get("size"), fileCount=file.number
    )
    facets = _facets(uri, file.kind, file.facts)
    return OutputDataset(*dataset_of(uri), outputFacets={"outputStatistics": statistics}, facets=facets)


def _facets(uri: str, kind: str | None, facts: dict[str, Any]) -> dict[str, DatasetFacet]:
    namespace, name = dataset_of(uri)
    scheme = namespace.partition(":")[0]
    file_format = PurePosixPath(name).suffix.removeprefix(".").lower() or None
    names = {"video_codec": "videoCodec", "audio_codec": "audioCodec"}
    media = {names.get(key, key): value for key, value in facts.items() if key != "size"}
    facets: dict[str, DatasetFacet] = {
        "storage": storage_dataset.StorageDatasetFacet(storageLayer=scheme, fileFormat=file_format)
    }
    if kind or media:
        facets["mps_media"] = MpsMediaDatasetFacet(kind=kind, **media)
    return facets
