"""What is said after an attempt to abort: who believes that a job was stopped must not be wrong."""

from __future__ import annotations

import pytest

from airflow_provider_mps.client.actions import ManageTask, ProcessMedia
from airflow_provider_mps.client.jobs.abort import abort_result
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsError, MpsTransportError
from tests.support.transports import Caller

TASK_ID = "1250000000-WorkflowTask-1"


def _refused(code: str) -> MpsApiError:
    return MpsApiError(action="ManageTask", code=code, message="m", request_id="r")


@pytest.mark.parametrize(
    ("error", "aborted", "refused", "text"),
    [
        (None, True, False, "was aborted."),
        (_refused("InvalidParameterValue.NotProcessingTask"), False, True, "it runs on and is billed"),
        (_refused("InvalidParameterValue.TaskId"), False, True, "MPS does not know it"),
        (_refused("ResourceNotFound"), False, True, "MPS does not know it"),
        (_refused("UnauthorizedOperation"), False, False, "was probably not aborted"),
        (_refused("InternalError"), False, False, "was probably not aborted"),
        (
            MpsTransportError("reset", action="ManageTask", category=Category.NO_ANSWER),
            False,
            False,
            "it may run on and be billed",
        ),
        (MpsError("any"), False, False, "was probably not aborted"),
    ],
)
def test_the_outcome_in_words(error: MpsError | None, aborted: bool, refused: bool, text: str) -> None:
    """Aborted, refused or unknown; the text names the task, and the error keeps its RequestId."""
    outcome = abort_result(TASK_ID, error)
    assert (outcome.aborted, outcome.denied) == (aborted, refused)
    assert outcome.text.startswith(f"MPS task {TASK_ID} ")
    assert text in outcome.text
    assert error is None or str(error) in outcome.text


@pytest.mark.parametrize(("looks", "aborted"), [(0, True), (1, True), (2, False), (3, False)])
def test_only_a_job_that_waits_is_aborted(mps: LocalMps, client: Caller, looks: int, aborted: bool) -> None:
    """The words agree with what happens at MPS, at every stage of a job."""
    task_id = client.call(ProcessMedia(input_info={"Type": "URL"})).mps_task_id
    mps.backend.tasks[task_id].polls = looks
    try:
        client.call(ManageTask(task_id=task_id))
        outcome = abort_result(task_id, None)
    except MpsApiError as error:
        outcome = abort_result(task_id, error)
    assert outcome.aborted == aborted == (mps.backend.aborts == [task_id])


def test_an_abort_whose_answer_is_lost_is_asked_again(mps: LocalMps, client: Caller) -> None:
    """Repeating an Abort costs nothing; the second answer tells that the task waits no longer."""
    task_id = client.call(ProcessMedia(input_info={"Type": "URL"})).mps_task_id
    mps.backend.faults.add(Fault("reset", action="ManageTask", when="after"))
    with pytest.raises(MpsApiError) as caught:
        client.call(ManageTask(task_id=task_id))
    assert mps.backend.aborts == [task_id]
    assert abort_result(task_id, caught.value).denied
