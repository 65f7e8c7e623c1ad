"""A result as an XCom value of limited size. The value says how much was left out of each list."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_mps.errors import MpsResultTooLarge
from airflow_provider_mps.results.result import MpsTaskResult

# Lists that are shortened after the segments were left out, the longest first.
_LISTS = ("outputs", "texts", "failures", "metadata", "subtitles")


def fits(result: MpsTaskResult, limit: int) -> bool:
    """Whether the JSON of the whole result has at most ``limit`` bytes. A large result is not built as one text."""
    size = 0
    for piece in result.json_pieces():
        size += len(piece)  # without blanks and escapes, so never more than Airflow stores
        if size > limit:
            return False
    return _size(result.as_json()) <= limit


def shorten(result: MpsTaskResult, limit: int) -> dict[str, Any]:
    """
    The result as a JSON value of at most ``limit`` bytes.

    The segments are left out first, then the longest list is halved until the value fits. ``left_out`` counts the
    missing items.

    :raises MpsResultTooLarge: the value is too large even without its lists.
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
                "lists; raise max_xcom_bytes."
            )
        keep = len(value[name]) // 2
        value["left_out"][name] = value["left_out"].get(name, 0) + len(value[name]) - keep
        value[name] = value[name][:keep]
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value))
