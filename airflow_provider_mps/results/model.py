"""The base of all result models. Reading is lenient: a value of a wrong type is dropped, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import pendulum
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

# MPS writes a time in the future as the year 0 (documented for DescribeTasks, seen in DescribeTaskDetail).
_NOT_YET = "0000-00-00"
# A date without a time of day is not an MPS time.
_DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def parse_time(value: Any) -> pendulum.DateTime | None:
    """Read an MPS time (``2019-07-16T06:21:27Z``, always UTC); None for the year 0, an empty or a broken value."""
    if isinstance(value, pendulum.DateTime):
        return value
    if not isinstance(value, str) or not _DAY_AND_TIME.match(value) or value.startswith(_NOT_YET):
        return None
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time
        # pendulum.instance takes five times as long, and each poll reads two or three times.
        day, clock = (time.year, time.month, time.day), (time.hour, time.minute, time.second, time.microsecond)
        return pendulum.DateTime(*day, *clock, tzinfo=pendulum.UTC)
    except (ValueError, OverflowError):
        return None


def as_items(value: Any) -> list[Any]:
    """Read a list that MPS may also write as null, or as a single object (SmartSubtitlesTaskResult of a batch)."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value] if isinstance(value, Mapping) else []


def as_object(value: Any) -> Mapping[str, Any]:
    """Read an object; anything else counts as an empty one."""
    return value if isinstance(value, Mapping) else {}


Time = Annotated[
    pendulum.DateTime | None,
    BeforeValidator(parse_time),
    PlainSerializer(lambda time: time and time.to_iso8601_string(), return_type=str | None),
]
# JSON has no NaN and no infinity, so a result has none.
Number = Annotated[float, AllowInfNan(False)]


class ResultModel(BaseModel):
    """
    A value read from an MPS answer. It is immutable, and every field has a default.

    Fields that MPS adds later are ignored; :attr:`TaskDetail.body` still holds them.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        arbitrary_types_allowed=True,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Build from an MPS object. A value of a wrong type counts as absent; all others are kept."""
        try:
            return cls.model_validate(data)
        except ValidationError:
            # MPS writes null for an absent value, also where its documentation says "never null".
            pruned = _without_nulls(data)
        try:
            return cls.model_validate(pruned)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_context=False, include_input=False):
                _drop(pruned, problem["loc"])
        try:
            return cls.model_validate(pruned)
        except ValidationError:
            return cls()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _drop(data: Any, location: tuple[int | str, ...]) -> None:
    """Remove the value at ``location``. If it does not exist, remove the deepest part of the location that exists."""
    parent, key, node = None, None, data
    for step in location:
        known = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and step < len(node)
        )
        if not known:
            break
        parent, key, node = node, step, node[step]
    if isinstance(parent, dict):
        del parent[key]
    elif isinstance(parent, list) and isinstance(key, int):
        # An empty object reads as all defaults. Removing the item would shift the items that later problems point at.
        parent[key] = {}


def finite(value: Any) -> float | None:
    """Read a number, which MPS may also write as text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
