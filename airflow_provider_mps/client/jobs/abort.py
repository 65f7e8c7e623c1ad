"""
Abort a job: one policy, with a synchronous and an asynchronous driver.

MPS aborts only what still waits, and live jobs also while they run. Anything else runs on and is billed. An Abort is
sent only after a user's action or at a deadline; who asks for it makes sure of that.

Source: https://www.tencentcloud.com/document/product/1041/37462
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_mps.client.actions import ManageTask, describe
from airflow_provider_mps.client.retry import is_not_found
from airflow_provider_mps.errors import MpsApiError, MpsError

if TYPE_CHECKING:
    from airflow_provider_mps.client.aio import AsyncMpsClient
    from airflow_provider_mps.client.sync import MpsClient

_TOO_LATE = "InvalidParameterValue.NotProcessingTask"


@dataclass(frozen=True, slots=True)
class AbortResult:
    """
    Whether MPS aborted the job, and what to tell a person.

    :param denied: MPS answered that it does not abort this job.
    """

    aborted: bool
    denied: bool
    text: str


def abort_result(mps_task_id: str, error: MpsError | None) -> AbortResult:
    """Read the end of a ManageTask call: ``error`` is what it raised, None if it went through."""
    task = f"MPS task {mps_task_id}"
    if error is None:
        return AbortResult(True, False, f"{task} was aborted.")
    if isinstance(error, MpsApiError):
        if error.code == _TOO_LATE:
            why = "it no longer waits, and MPS aborts only tasks that wait. If it still runs, it runs on and is billed"
            return AbortResult(False, True, f"{task} was not aborted: {why}. {error}")
        if is_not_found(error):
            return AbortResult(False, True, f"{task} was not aborted: MPS does not know it (any more). {error}")
    return AbortResult(False, False, f"{task} was probably not aborted; it may run on and be billed. {error}")


def abort_job(client: MpsClient, mps_task_id: str) -> AbortResult:
    """Ask MPS to abort a job, as often as the limits of the client say. Raises no error of MPS."""
    try:
        client.call(ManageTask(task_id=mps_task_id))
    except MpsError as error:
        return abort_result(mps_task_id, error)
    return abort_result(mps_task_id, None)


async def aabort_job(client: AsyncMpsClient, mps_task_id: str) -> AbortResult:
    """As :func:`abort_job`, for an event loop."""
    try:
        await client.call(ManageTask(task_id=mps_task_id))
    except MpsError as error:
        return abort_result(mps_task_id, error)
    return abort_result(mps_task_id, None)


def abort_unless_ended(client: MpsClient, mps_task_id: str, describe_action: str | None) -> AbortResult | None:
    """
    Abort a job of an earlier time; None if it has ended, also while it was asked for.

    Whether an Abort is still possible, MPS knows best: a live job may be running. Another process may have asked for
    it a moment before, for example the trigger that a Clear has ended.

    :raises MpsError: the state of the job cannot be told; nothing was aborted.
    """
    poll = describe(mps_task_id, describe_action)
    if client.call(poll).is_finished:
        return None
    result = abort_job(client, mps_task_id)
    return None if result.denied and client.call(poll).is_finished else result
