"""Arguments of operators, sensors and triggers are checked here, once, before anything is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

MAX_SECONDS = 366 * 86_400.0
"""A year: what is longer is a mistake, and Airflow could not store the time at which it ends."""


def check_seconds(name: str, value: Any, *, zero_is_allowed: bool = False) -> None:
    """
    Check a duration.

    :raises MpsConfigError: it is not a number of seconds, or out of range.
    """
    from airflow_provider_mps.errors import MpsConfigError

    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (0 < value <= MAX_SECONDS or (zero_is_allowed and value == 0)):
        return
    lowest = "from 0" if zero_is_allowed else "above 0"
    raise MpsConfigError(
        f"{name} is {value!r:.40}; it must be a number of seconds {lowest} and at most {MAX_SECONDS:.0f} "
        f"({timedelta(seconds=MAX_SECONDS).days} days)"
    )
