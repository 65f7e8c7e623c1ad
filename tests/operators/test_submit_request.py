"""What a request has to be, and which job it stands for. Counted at the local MPS."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsSessionClash, MpsSubmitUnknown
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import Crash, clear, new_context, retry
from tests.support.submitting import (
    ALL_KINDS,
    KINDS,
    WAYS,
    WITH_SESSION,
    jobs,
    new_operator,
    process,
    submit,
)

Kind = type[MpsSubmitOperator]


@pytest.mark.fault("F09")
@pytest.mark.parametrize(
    "foreign",
    [timedelta(1), object(), len, b"x", float("nan"), datetime(2026, 1, 1, tzinfo=UTC)],
    ids=lambda foreign: type(foreign).__name__,
)
@WAYS
@ALL_KINDS
def test_f09_what_is_no_json_is_never_sent(airflow_mps: LocalMps, kind: Kind, deferrable: bool, foreign: Any) -> None:
    """F09: a request that is not plain JSON fails before the first call."""
    request = KINDS[kind](TaskNotifyConfig={"NotifyUrl": foreign})
    with pytest.raises(MpsConfigError):
        submit(kind, request=request, deferrable=deferrable)
    assert not airflow_mps.backend.calls


_NO_SECONDS = {
    "timedelta": timedelta(seconds=5),
    "lambda": lambda: 5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "text": "5",
    "None": None,
    "negative": -1,
}


@pytest.mark.fault("F09", "F54")
@pytest.mark.parametrize("value", _NO_SECONDS.values(), ids=_NO_SECONDS)
@pytest.mark.parametrize(
    "name", ["poll_interval", "timeout", "outage_tolerance", "not_found_grace", "settle_grace"], ids=str
)
@WAYS
def test_f09_what_is_no_number_of_seconds_is_never_sent(
    airflow_mps: LocalMps, deferrable: bool, name: str, value: Any
) -> None:
    """F09, F54: a wait that could not be counted or stored is refused by the name of its argument, before any call."""
    with pytest.raises(MpsConfigError, match=name):
        submit(MpsProcessMediaOperator, deferrable=deferrable, **{name: value})
    assert not airflow_mps.backend.calls


@pytest.mark.fault("F54")
@pytest.mark.parametrize("arguments", [{"poll_interval": 0}, {"timeout": 0}, {"region": 5}], ids=repr)
def test_bad_arguments_are_never_sent(airflow_mps: LocalMps, arguments: dict[str, Any]) -> None:
    """Arguments that would fail after the job was sent fail before it."""
    with pytest.raises(MpsConfigError):
        submit(MpsProcessMediaOperator, **arguments)
    assert not airflow_mps.backend.calls


@pytest.mark.parametrize(
    "request_", [{}, {"InputInfo": None}, {"InputInf": {}}, {"InputInfo": {}, "TasksPriority": 11}, "x"], ids=repr
)
def test_bad_requests_are_never_sent(airflow_mps: LocalMps, request_: Any) -> None:
    """A missing, misspelt or impossible parameter fails before the first call."""
    with pytest.raises(MpsConfigError):
        submit(MpsProcessMediaOperator, request=request_)
    assert not airflow_mps.backend.calls


_SECOND = pytest.mark.parametrize("second", [{"run_id": "tuesday"}, {"map_index": 1}], ids=["next run", "next index"])


def _contexts(second: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of a mapped task in one run, and of another index or run."""
    first, other = (new_context(**{"map_index": 0, **names}) for names in ({}, second))
    return first, (other if "run_id" in second else {**other, "dag_run": first["dag_run"]})


@pytest.mark.fault("F12")
@pytest.mark.parametrize(
    "fault",
    [None, Fault("reset"), Fault("status", when="after")],
    ids=["answered", "request lost", "answer lost"],
)
@_SECOND
@WAYS
@WITH_SESSION
def test_f12_a_session_id_of_another_task(
    airflow_mps: LocalMps, kind: Kind, deferrable: bool, second: dict[str, Any], fault: Fault | None
) -> None:
    """F12: one SessionId in two runs or indexes is an error that names the first TaskId; that job is not adopted."""
    request = KINDS[kind](SessionId="nightly")
    monday, other = _contexts(second)
    first = submit(kind, request=request, context=monday, deferrable=deferrable)
    if fault:
        airflow_mps.backend.faults.add(replace(fault, action=kind.action_name))
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=f"(?s)nightly.*{first}") as caught:
            submit(kind, request=request, context=other, deferrable=deferrable)
        assert isinstance(caught.value, MpsSessionClash)
        retry(other)
        assert "mps_task_id" not in other["ti"].xcoms
    assert jobs(airflow_mps) == [first]


@pytest.mark.fault("F12")
@pytest.mark.parametrize("resubmit", [False, True], ids=["as ever", "resubmit_if_unknown"])
@pytest.mark.parametrize("forgotten", [False, True], ids=["a day old", "forgotten"])
@WAYS
def test_f12_a_session_id_whose_job_is_not_found(
    airflow_mps: LocalMps, deferrable: bool, forgotten: bool, resubmit: bool
) -> None:
    """F12: it is a clash also where the other run's job is too old to be found; no job is sent, none adopted."""
    request = process(SessionId="nightly")
    monday, tuesday = _contexts({"run_id": "tuesday"})
    first = submit(MpsProcessMediaOperator, request=request, context=monday, deferrable=deferrable)
    if forgotten:
        airflow_mps.backend.tasks.clear()
    else:
        airflow_mps.backend.tasks[first].created -= 86_400
    arguments = {"deferrable": deferrable, "resubmit_if_unknown": resubmit}
    with pytest.raises(AirflowFailException, match="SessionId nightly already belongs to an earlier job") as caught:
        submit(MpsProcessMediaOperator, request=request, context=tuesday, **arguments)
    assert isinstance(caught.value, MpsSessionClash)
    assert "mps_task_id" not in tuesday["ti"].xcoms
    assert jobs(airflow_mps) == ([] if forgotten else [first])


@pytest.mark.fault("F01", "F12")
@WITH_SESSION
def test_a_job_that_only_the_users_own_marks_name_is_left_to_a_person(airflow_mps: LocalMps, kind: Kind) -> None:
    """SessionId and SessionContext both the user's own, and a lost answer: this run's job, or another's? One job."""
    request = KINDS[kind](SessionId="nightly", SessionContext="my own words")
    airflow_mps.backend.faults.add(Fault("reset", when="after", action=kind.action_name))
    with pytest.raises(AirflowFailException, match="your own, so that another run may have sent it") as caught:
        submit(kind, request=request, context=new_context(), resubmit_if_unknown=True)
    assert isinstance(caught.value, MpsSubmitUnknown)
    [job] = jobs(airflow_mps)
    assert job in str(caught.value)


@WITH_SESSION
def test_a_session_id_of_ones_own_survives_a_crash(airflow_mps: LocalMps, kind: Kind) -> None:
    """The user's own SessionId is sent as it is, and the same task's job is taken up after a crash."""
    request = KINDS[kind](SessionId="nightly")
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, request=request, context=context)
    (task,) = airflow_mps.backend.tasks.values()
    assert task.request["SessionId"] == "nightly"
    assert [submit(kind, request=request, context=retry(context))] == jobs(airflow_mps)


@pytest.mark.fault("F73")
def test_mapped_tasks_have_a_job_each(airflow_mps: LocalMps) -> None:
    """F73: a hundred mapped tasks over one input are a hundred jobs, each index with its own."""
    run = new_context()["dag_run"]
    contexts = [{**new_context(map_index=index), "dag_run": run} for index in range(100)]
    returned = [submit(MpsProcessMediaOperator, context=context, wait_for_completion=False) for context in contexts]
    assert jobs(airflow_mps) == returned
    assert len({task.request["SessionId"] for task in airflow_mps.backend.tasks.values()}) == 100


@pytest.mark.fault("F73")
@WAYS
def test_f73_each_index_has_the_job_of_its_input(airflow_mps: LocalMps, deferrable: bool) -> None:
    """F73: forty mapped tasks over as many inputs, in any order, half of them taken up by a retry: none is mixed up."""
    run = new_context()["dag_run"]
    contexts = {index: {**new_context(map_index=index), "dag_run": run} for index in range(40)}
    order = random.Random(73).sample(sorted(contexts), 40)
    for index in order[::2]:
        contexts[index]["ti"].crash_on_push = True
        with pytest.raises(Crash):
            submit(MpsProcessMediaOperator, f"talk-{index}.mp4", context=contexts[index], deferrable=deferrable)
        retry(contexts[index])
    for index in reversed(order):
        context = contexts[index]
        returned = submit(MpsProcessMediaOperator, f"talk-{index}.mp4", context=context, deferrable=deferrable)
        assert context["ti"].xcoms["mps_task_id"] == returned
    assert len(jobs(airflow_mps)) == 40
    for index, context in contexts.items():
        job = airflow_mps.backend.tasks[context["ti"].xcoms["mps_task_id"]]
        assert job.request["InputInfo"]["CosInputInfo"]["Object"] == f"/talk-{index}.mp4"


@WAYS
@WITH_SESSION
def test_a_request_that_renders_anew_is_the_same_job(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """A retry whose templates render to something else (a signed address) takes the job up; Clear sends anew."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(kind, "a.mp4", context=context, deferrable=deferrable)
    assert [submit(kind, "b.mp4", context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)
    assert airflow_mps.backend.aborts == []
    submit(kind, "b.mp4", context=clear(context), deferrable=deferrable)
    assert len(jobs(airflow_mps)) == 2


@WITH_SESSION
def test_runs_of_one_name_have_jobs_of_their_own(airflow_mps: LocalMps, kind: Kind) -> None:
    """Another deployment, or a run deleted and made again, has the same names but began at another moment."""
    first = submit(kind, context=new_context())
    time.sleep(0.01)
    second = submit(kind, context=new_context())
    assert jobs(airflow_mps) == [first, second]


@pytest.mark.fault("F74")
def test_request_templates_keep_native_types(airflow_mps: LocalMps) -> None:
    """F74: numbers stay numbers and dicts stay dicts on their way to MPS."""
    submit(MpsProcessMediaOperator, request=process(TasksPriority=5))
    (task,) = airflow_mps.backend.tasks.values()
    assert task.request["TasksPriority"] == 5
    assert task.request["MediaProcessTask"]["TranscodeTaskSet"] == [{"Definition": 100030}]


@pytest.mark.fault("F74")
@pytest.mark.parametrize("native", [True, False], ids=["native", "text"])
def test_f74_templates_and_types(airflow_mps: LocalMps, native: bool) -> None:
    """F74: a number in a request stays one; a template gives a number where Airflow renders natively."""
    with DAG("templates", schedule=None, render_template_as_native_obj=native):
        request = process("{{ name }}.mp4", TasksPriority="{{ priority }}")
        operator = new_operator(MpsProcessMediaOperator, request=request, wait_for_completion=False)()
    operator.render_template_fields({"name": "talk", "priority": 5})  # type: ignore[typeddict-item]
    assert operator.request["TasksPriority"] == (5 if native else "5")
    operator.execute(new_context())
    (task,) = airflow_mps.backend.tasks.values()
    assert task.request["TasksPriority"] == 5  # a top-level number is one to MPS either way
    assert task.request["InputInfo"] == process("talk.mp4")["InputInfo"]
    assert task.request["MediaProcessTask"]["TranscodeTaskSet"] == [{"Definition": 100030}]
