"""What a try that dies or is cleared leaves behind, and what the next one makes of it. Counted at the local MPS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout, TaskDeferred
from airflow.sdk.execution_time.timeout import timeout

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.lifecycle.wait import TaskWait
from airflow_provider_mps.links.mps import MpsTaskLink
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import Crash, StateStore, as_json, clear, first_event, new_context, retry, revive
from tests.support.killing import Says
from tests.support.submitting import (
    ALL_KINDS,
    WAYS,
    asked,
    deadline_of,
    jobs,
    new_operator,
    submit,
)

Kind = type[MpsSubmitOperator]
DiesAfter = Callable[[int], None]


@pytest.fixture
def dies_after(monkeypatch: pytest.MonkeyPatch) -> DiesAfter:
    """Once: the worker process is gone as soon as it has looked so often at its job."""
    sound = TaskWait.poll

    def after(looks: int) -> None:
        left = looks

        def poll(self: TaskWait) -> Any:
            nonlocal left
            seen, left = sound(self), left - 1
            if left == 0:
                raise Crash
            return seen

        monkeypatch.setattr(TaskWait, "poll", poll)

    return after


@pytest.mark.fault("F04")
@pytest.mark.parametrize(("deferrable", "polls"), [(False, 1), (False, 2), (True, 1)])
@ALL_KINDS
def test_f04_killed_after_some_polls(
    airflow_mps: LocalMps, dies_after: DiesAfter, kind: Kind, deferrable: bool, polls: int
) -> None:
    """F04: dead in mid-wait, or in the resumed half of a deferral: the retry takes the job up where it can know."""
    context = new_context()
    dies_after(polls)
    with pytest.raises(Crash):
        submit(kind, context=context, deferrable=deferrable)
    first = jobs(airflow_mps)
    assert len(first) == 1
    assert submit(kind, context=retry(context), deferrable=deferrable) == first[0]
    assert jobs(airflow_mps) == first
    assert asked(airflow_mps, kind.action_name) == 1


@pytest.mark.fault("F10")
@WAYS
@ALL_KINDS
def test_f10_the_retry_after_a_push_that_failed(airflow_mps: LocalMps, kind: Kind, deferrable: bool) -> None:
    """F10: an ordinary exception of Airflow's right after the acceptance: the retry goes on with that very job."""
    context = new_context()

    def fails(key: str, value: Any) -> None:
        raise RuntimeError(f"{key} could not be pushed")

    context["ti"].xcom_push = fails
    with pytest.raises(RuntimeError, match="could not be pushed"):
        submit(kind, context=context, deferrable=deferrable)
    first = jobs(airflow_mps)
    assert len(first) == 1
    del context["ti"].xcom_push
    assert submit(kind, context=retry(context), deferrable=deferrable) == first[0]
    assert jobs(airflow_mps) == first


@pytest.mark.fault("F10")
@pytest.mark.parametrize("error", [RuntimeError, Crash], ids=["refused", "the process dies"])
@WAYS
@ALL_KINDS
def test_f10_a_link_that_cannot_be_stored(
    airflow_mps: LocalMps, kind: Kind, deferrable: bool, error: type[BaseException]
) -> None:
    """F10: the id is stored and pushed before the link: without a link the task goes on, and so does a retry."""
    context = new_context()
    pushed, sound = [], context["ti"].xcom_push

    def push(key: str, value: Any) -> None:
        if key == MpsTaskLink().xcom_key:
            pushed.append(context["ti"].xcoms["mps_task_id"])
            raise error("no link today")
        sound(key, value)

    context["ti"].xcom_push = push
    if error is Crash:
        with pytest.raises(Crash):
            submit(kind, context=context, deferrable=deferrable)
        assert [context["task_state_store"].get("mps_job")["mps_task_id"]] == jobs(airflow_mps)
        del retry(context)["ti"].xcom_push
    ended = submit(kind, context=context, deferrable=deferrable)
    assert jobs(airflow_mps) == pushed == [ended]
    assert asked(airflow_mps, kind.action_name) == 1


@pytest.mark.fault("F07")
@pytest.mark.parametrize("emptied", [False, True], ids=["store kept", "clear_on_success"])
@WAYS
def test_f07_clear_of_a_success_says_what_it_does(
    airflow_mps: LocalMps, dies_after: DiesAfter, capsys: pytest.CaptureFixture[str], deferrable: bool, emptied: bool
) -> None:
    """F07: also where the store is emptied at the success, Clear sends anew and a retry does not; the log tells."""
    context = new_context()
    first = submit(MpsProcessMediaOperator, context=context, deferrable=deferrable)
    assert f"MPS task {first}: submitted" in capsys.readouterr().out
    if emptied:
        context["task_state_store"] = StateStore()
    dies_after(1)
    with pytest.raises(Crash):
        submit(MpsProcessMediaOperator, context=clear(context), deferrable=deferrable)
    _, second = jobs(airflow_mps)
    assert f"MPS task {second}: submitted" in capsys.readouterr().out
    assert submit(MpsProcessMediaOperator, context=retry(context), deferrable=deferrable) == second
    assert f"MPS task {second}: reattached" in capsys.readouterr().out
    assert jobs(airflow_mps) == [first, second]
    assert asked(airflow_mps, "ManageTask") == 0


@pytest.mark.fault("F07", "F15", "F19")
@WAYS
def test_f07_clear_while_it_waits(
    airflow_mps: LocalMps, airflow_says: Says, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """F07: Clear of a running or deferred task: one Abort of the job that still waits, then a new one."""
    airflow_says("none" if deferrable else "restarting")
    context = new_context()
    operator = new_operator(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=deferrable)()
    if deferrable:
        _clear_while_deferred(operator, context)
    else:
        _clear_while_running(operator, context)
    (first,) = jobs(airflow_mps)
    assert airflow_mps.backend.aborts == [first]
    second = submit(MpsProcessMediaOperator, context=clear(context), deferrable=deferrable)
    assert jobs(airflow_mps) == [first, second]
    assert f"MPS task {second}: submitted" in capsys.readouterr().out
    assert asked(airflow_mps, "ManageTask") == 1


def _clear_while_deferred(operator: MpsSubmitOperator, context: dict[str, Any]) -> None:
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(context)
    trigger = revive(caught.value.trigger)
    trigger.task_instance = context["ti"]
    asyncio.run(trigger.on_kill())


def _clear_while_running(operator: MpsSubmitOperator, context: dict[str, Any]) -> None:
    new_wait = operator._new_wait

    def watched(*arguments: Any) -> TaskWait:
        wait = new_wait(*arguments)
        poll = wait.poll

        def killed() -> Any:
            seen = poll()
            operator.on_kill()  # as Airflow's signal handler does: between two steps of the wait
            return seen

        wait.poll = killed  # type: ignore[method-assign]
        return wait

    operator._new_wait = watched  # type: ignore[method-assign]
    with pytest.raises(Exception, match="was killed while it waited"):
        operator.execute(context)


@pytest.mark.fault("F22")
def test_f22_execution_timeout_on_a_worker(airflow_mps: LocalMps, airflow_says: Says) -> None:
    """F22: Airflow's execution_timeout ends a wait between two looks, no user did: no Abort, the retry takes it up."""
    airflow_says("running")
    context = new_context()
    operator = new_operator(MpsProcessMediaOperator, poll_interval=60, timeout=600)()
    started = time.monotonic()
    with pytest.raises(AirflowTaskTimeout), timeout(2):
        operator.execute(context)
    operator.on_kill()  # as Airflow's task runner does
    assert time.monotonic() - started < 20  # far from the next look, and from the deadline
    (first,) = jobs(airflow_mps)
    assert submit(MpsProcessMediaOperator, context=retry(context)) == first
    assert jobs(airflow_mps) == [first]
    assert asked(airflow_mps, "ManageTask") == 0


@pytest.mark.fault("F22")
@pytest.mark.parametrize("name", ["talk.queued.mp4", "talk.mp4"], ids=["still waits", "has ended"])
def test_f22_a_slow_resume_gets_no_more_time(airflow_mps: LocalMps, name: str) -> None:
    """F22: a worker that resumes after the deadline looks once: what has ended counts, the rest is not waited for."""
    operator = new_operator(
        MpsProcessMediaOperator, name, deferrable=True, timeout=2, execution_timeout=timedelta(seconds=2)
    )
    with pytest.raises(TaskDeferred) as caught:
        operator().execute(context := new_context())
    (first,) = jobs(airflow_mps)
    event = first_event(caught.value.trigger)
    deadline = deadline_of(caught.value.trigger)
    time.sleep(max(deadline - time.time(), 0) + 0.5)
    looks = asked(airflow_mps, "DescribeTaskDetail")
    resume = caught.value.method_name, as_json({**caught.value.kwargs, "event": {**event, "status": "resume"}}), context
    if name == "talk.mp4":
        assert operator().resume_execution(*resume) == first
    else:
        with pytest.raises(AirflowFailException, match="has not ended within 2 seconds"):
            operator().resume_execution(*resume)
    assert asked(airflow_mps, "DescribeTaskDetail") == looks + 1
    assert airflow_mps.backend.aborts == ([first] if name == "talk.queued.mp4" else [])
