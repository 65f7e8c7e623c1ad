"""
What came of an attempt to abort a task, in words. MPS aborts only what still waits, and live tasks also while they
run; the rest runs on and is billed.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError

_TOO_LATE = ("InvalidParameterValue.NotProcessingTask",)


@dataclass(frozen=True, slots=True)
class AbortResult:
    """
    Whether MPS aborted the task, and what to tell a person.

    :param refused: MPS answered, and said no.
    """

    aborted: bool
    refused: bool
    text: str


def abort_outcome(mps_task_id: str, error: MpsError | None) -> AbortResult:
    """Read the end of a ManageTask call: ``error`` is what it raised, None if it went through."""
    task = f"MPS task {mps_task_id}"
    if error is None:
        return AbortResult(True, False, f"{task} was aborted.")
    if isinstance(error, MpsApiError):
        if error.code in _TOO_LATE:
            why = "it no longer waits, and MPS aborts only tasks that wait. If it still runs, it runs on and is billed"
            return AbortResult(False, True, f"{task} was not aborted: {why}. {error}")
        if error.category is Category.NOT_FOUND:
            return AbortResult(False, True, f"{task} was not aborted: MPS does not know it (any more). {error}")
    return AbortResult(False, False, f"{task} was probably not aborted; it may run on and be billed. {error}")
