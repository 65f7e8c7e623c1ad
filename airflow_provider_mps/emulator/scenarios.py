"""How a task of the local MPS ends: the file name of its input chooses."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_mps.results.redaction import mask_urls


class Scenario(StrEnum):
    """How a task ends. A file name that contains the value chooses it: ``talk.partial-failure.mp4``."""

    SUCCESS = "success"
    PARTIAL_FAILURE = "partial-failure"  # the last part fails, the others succeed
    ALL_FAIL = "all-fail"
    SOURCE_ERROR = "source-error"  # the task itself has an error code
    EMPTY_RESULT = "empty-result"  # FINISH without any result, for ever
    LATE_RESULT = "late-result"  # FINISH without any result for the first polls
    UNSETTLED = "unsettled"  # FINISH while a part is still PROCESSING, for ever
    LANGUAGE_ERROR = "language-error"  # one language fails inside a part that says SUCCESS
    STUCK = "stuck"  # never leaves PROCESSING
    QUEUED = "queued"  # never leaves WAITING


def inputs_of(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the inputs of a submission: InputInfo, one of each cut (EditMedia), or the Url of a stream."""
    if url := request.get("Url"):
        return [{"Type": "URL", "UrlInputInfo": {"Url": url}}]
    info = request.get("InputInfo")
    cuts = [cut.get("InputInfo") for cut in request.get("FileInfos") or []]
    items = cuts or (info if isinstance(info, list) else [info])
    return [item for item in items if isinstance(item, Mapping)]


def location(info: Mapping[str, Any]) -> str:
    """Return the location of an input for display. The query of an address may hold a signature and is removed."""
    cos, url, s3 = (info.get(key) or {} for key in ("CosInputInfo", "UrlInputInfo", "S3InputInfo"))
    if url.get("Url"):
        return mask_urls(str(url["Url"])).partition("?")[0]
    bucket, key = cos.get("Bucket") or s3.get("S3Bucket"), cos.get("Object") or s3.get("S3Object")
    return f"{bucket}{key}" if key else str(info.get("Type") or "unknown")


def scenario_of(info: Mapping[str, Any]) -> Scenario:
    """Return the scenario that the file name of an input chooses."""
    name = PurePosixPath(location(info)).name
    return next((scenario for scenario in Scenario if scenario in name), Scenario.SUCCESS)
