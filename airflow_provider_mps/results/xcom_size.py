"""A result as one XCom value of bounded size, which says what was left out of it. Nothing is cut in silence."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_mps.errors import MpsResultTooLarge
from airflow_provider_mps.results.result import MpsTaskResult

# Lists that are shortened when the segments are out already, the longest first.
_LISTS = ("outputs", "texts", "failures", "metadata", "subtitles")


def fits(result: MpsTaskResult, limit: int) -> bool:
    """Whether the JSON of the whole result has at most ``limit`` bytes; a large one is not built to find out."""
    size = 0
    for piece in result.json_pieces():
        size += len(piece)  # without blanks and escapes: never more than Airflow stores
        if size > limit:
            return False
    return _size(result.as_json()) <= limit


def shorten(result: MpsTaskResult, limit: int) -> dict[str, Any]:
    """
    The JSON value of at most ``limit`` bytes, without segments, then with shorter lists; ``left_out`` counts what it
    lacks.

    :raises MpsResultTooLarge: even the shortest is larger.
    """
    light = tuple(subtitle.model_copy(update={"segments": ()}) for subtitle in result.subtitles)
    value = result.model_copy(update={"subtitles": light}).as_json()
    left_out = {"segments": sum(len(subtitle.segments) for subtitle in result.subtitles)}
    value["left_out"] = {name: count for name, count in left_out.items() if count}
    while _size(value) > limit:
        name = max(_LISTS, key=lambda name: _size(value[name]))
        if not value[name]:
            raise MpsResultTooLarge(
                f"The result of MPS task {result.mps_task_id} is larger than max_xcom_bytes={limit} even without its "
                "lists."
            )
        keep = len(value[name]) // 2
        value["left_out"][name] = value["left_out"].get(name, 0) + len(value[name]) - keep
        value[name] = value[name][:keep]
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value))
