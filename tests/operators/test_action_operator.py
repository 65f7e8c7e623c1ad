"""Any action by its name: what is sent, how often, and what is handed on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsConfigError, MpsTransportError
from airflow_provider_mps.operators.mps import MpsActionOperator
from tests.support.harness import answer, new_context, part
from tests.support.submitting import asked, jobs, process

_SECRET = "canary-7d11f0"


def _send(action: str, parameters: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    operator = MpsActionOperator(task_id="ask", action=action, parameters=parameters, **arguments)
    result: dict[str, Any] = operator.execute(new_context())
    return json.loads(json.dumps(result))


def test_the_answer_is_a_plain_dict(airflow_mps: LocalMps) -> None:
    """The content of Response, RequestId included."""
    page = _send("DescribeTasks", {"Status": "FINISH", "Limit": 5})
    assert (page["TaskSet"], page["TotalCount"]) == ([], 0)
    assert page["RequestId"]


@pytest.mark.fault("F55")
def test_nothing_secret_is_handed_on(airflow_mps: LocalMps) -> None:
    """Request echoes, keys and signed query strings of the answer do not reach XCom."""
    body = answer(part(Output={"Path": f"https://x.invalid/a.mp4?sign={_SECRET}"}))
    echo = {"TaskNotifyConfig": {"NotifyKey": _SECRET}, "NotifyKey": _SECRET, "SessionContext": "kept"}
    task_id = airflow_mps.backend.script([body | echo])
    detail = _send("DescribeTaskDetail", {"TaskId": task_id})
    assert _SECRET not in json.dumps(detail)
    assert detail["SessionContext"] == "kept"
    assert detail["WorkflowTask"]["MediaProcessResultSet"][0]["TranscodeTask"]["Output"]["Path"].endswith("/a.mp4")


@pytest.mark.parametrize("idempotent", [False, True])
def test_it_is_sent_again_only_where_that_does_no_harm(airflow_mps: LocalMps, idempotent: bool) -> None:
    """After a lost answer an action is repeated only if it was declared idempotent; a refusal for the rate always."""
    airflow_mps.backend.faults.add(Fault("throttle", action="ProcessMedia"))
    airflow_mps.backend.faults.add(Fault("reset", action="ProcessMedia", when="after"))
    if idempotent:
        assert _send("ProcessMedia", process(), idempotent=True)["TaskId"] == jobs(airflow_mps)[1]
        assert asked(airflow_mps, "ProcessMedia") == 3
    else:
        with pytest.raises(MpsTransportError) as caught:
            _send("ProcessMedia", process())
        assert caught.value.may_have_run
        assert len(jobs(airflow_mps)) == 1


@pytest.mark.parametrize(
    ("action", "parameters", "error"),
    [
        ("describe tasks", {}, MpsConfigError),
        ("", {}, MpsConfigError),
        ("DescribeTasks", {"Status": object()}, MpsConfigError),
        ("NoSuchAction", {}, MpsApiError),
        ("DescribeTasks", {}, MpsApiError),
    ],
    ids=["no name", "empty", "no JSON", "unknown action", "missing parameter"],
)
def test_mistakes(airflow_mps: LocalMps, action: str, parameters: dict[str, Any], error: type[Exception]) -> None:
    """What cannot be sent is not; what MPS refuses is its error."""
    with pytest.raises(error):
        _send(action, parameters)
    assert bool(airflow_mps.backend.calls) is (error is MpsApiError)


def test_all_arguments_are_templates() -> None:
    """Action, parameters, connection and region may come from the run."""
    assert MpsActionOperator.template_fields == ("action", "parameters", "mps_conn_id", "region")
