"""Random schedules of crashes, lost answers, refusals, retries and clears keep the promises about jobs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.client.jobs.submission import Identity
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.emulator.state import Task
from airflow_provider_mps.errors import MpsError, MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from tests.support.harness import Crash, clear, new_context, retry
from tests.support.submitting import media, submit

_FAULTS = {
    "request lost": Fault("reset"),
    "answer lost": Fault("reset", when="after"),
    "gateway": Fault("status", when="after"),
    "throttled": Fault("throttle"),
    "internal error": Fault("error", when="after", code="InternalError"),
    "duplicate, but no job": Fault("error", code="InvalidParameterValue.SessionId"),
    "refused": Fault("error", code="FailedOperation.UserArrears"),
}
_TRIES = st.fixed_dictionaries(
    {
        "faults": st.lists(st.sampled_from(sorted(_FAULTS)), max_size=3),
        "crash": st.sampled_from(["no", "no", "before sending", "before storing", "before pushing"]),
        "then": st.sampled_from(["retry", "retry", "clear"]),
    }
)
_IN_PEACE: dict[str, Any] = {"faults": [], "crash": "no", "then": "retry"}
_MOST_FAILURES = 4


class ScriptedTasks(dict[str, Task]):
    """The jobs of a local MPS; each new one ends as the script says, success after its end."""

    def __init__(self, fails: list[bool]) -> None:
        super().__init__()
        self._fails = fails

    def __setitem__(self, task_id: str, task: Task) -> None:
        fails = len(self) < len(self._fails) and self._fails[len(self)]
        task.request = {**task.request, "InputInfo": media("talk.all-fail.mp4" if fails else "talk.mp4")}
        super().__setitem__(task_id, task)


class Log(logging.Handler):
    """What a person could read."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


@pytest.mark.fault("F01", "F03", "F05")
@pytest.mark.parametrize("store", [True, False], ids=["state store", "no state store"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=st.lists(_TRIES, max_size=5), fails=st.lists(st.booleans(), max_size=_MOST_FAILURES))
def test_any_schedule(airflow_mps: LocalMps, store: bool, tries: list[dict[str, Any]], fails: list[bool]) -> None:
    """One job a generation, a new one only after a failure; success only from success, and in the end; none lost."""
    backend = airflow_mps.backend
    backend.reset()
    backend.tasks = ScriptedTasks(fails)
    log, logger = Log(), logging.getLogger("airflow_provider_mps")
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    context = new_context(store=store)
    texts: list[str] = []
    try:
        for step in [*tries, *[_IN_PEACE] * (_MOST_FAILURES + 1)]:
            succeeded = _one_try(airflow_mps, context, step, texts)
            if succeeded and step["then"] != "clear":
                break
            (clear if step["then"] == "clear" else retry)(context)
        else:
            pytest.fail(f"No success in the end: {texts}")
    finally:
        logger.removeHandler(log)

    epochs = Counter(task.request["SessionId"] for task in backend.tasks.values())
    assert all(count == 1 for count in epochs.values())
    readable = log.text + "".join(texts)
    for task_id, task in backend.tasks.items():
        assert task_id in readable or task.request["SessionId"] in readable


def _one_try(mps: LocalMps, context: dict[str, Any], step: dict[str, Any], texts: list[str]) -> bool:
    backend, ti = mps.backend, context["ti"]
    backend.faults.clear()
    for name in step["faults"]:
        fault = _FAULTS[name]
        backend.faults.add(Fault(fault.kind, action="ProcessMedia", when=fault.when, code=fault.code))
    store = context.get("task_state_store")
    if store and step["crash"] in {"before sending", "before storing"}:
        store.sets, store.crash_at = 0, 1 if step["crash"] == "before sending" else 2
    ti.crash_on_push = step["crash"] == "before pushing" or (not store and step["crash"] != "no")
    before = list(backend.tasks)
    try:
        task_id = submit(MpsProcessMediaOperator, context=context)
    except Crash:
        return False
    except MpsTaskFailed as error:
        if "all-fail" not in backend.tasks[error.mps_task_id].title:
            raise
        return False
    except (MpsError, AirflowFailException) as error:
        texts.append(str(error))
        return False
    finally:
        # One try starts at most one job, and only where every job of this epoch before it has failed.
        new = [task for name, task in backend.tasks.items() if name not in before]
        assert len(new) <= 1
        of_epoch = _of_epoch(backend.tasks.values(), context)
        assert all(task in of_epoch for task in new)
        assert all("all-fail" in task.title for task in of_epoch[:-1])
    assert of_epoch[-1] is backend.tasks[task_id]
    assert "all-fail" not in of_epoch[-1].title
    texts.append(task_id)
    return True


def _of_epoch(tasks: Iterable[Task], context: dict[str, Any]) -> list[Task]:
    """The jobs since the last Clear, oldest first: those with a SessionId that this epoch's generations have."""
    ti, started = context["ti"], context["dag_run"].start_date.timestamp()
    identity = Identity(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.max_tries, run_start=started)
    generations = {identity.session_id(generation) for generation in range(20)}
    return [task for task in tasks if task.request["SessionId"] in generations]


def _identities() -> list[Identity]:
    long = "x" * 60
    names = ["a", "a_b", "b", long + "1", long + "2", "视频转码", "视频", ""]
    return [
        Identity(dag, run, task, index, epoch)
        for dag in names
        for run in ("manual__2026-01-01", "manual__2026-01-02")
        for task in ("t", "a_t")
        for index in (-1, 0, 1)
        for epoch in (0, 2)
    ]


@pytest.mark.fault("F06")
def test_f06_session_ids_are_distinct_and_safe() -> None:
    """F06: long names with a common start, unicode, indexes, epochs, generations: distinct, short, safe characters."""
    sessions = [identity.session_id(generation) for identity in _identities() for generation in range(3)]
    assert len(set(sessions)) == len(sessions)
    assert all(len(session) <= 50 and session.isascii() and session.replace("-", "").isalnum() for session in sessions)


@pytest.mark.fault("F06")
@given(
    st.tuples(st.text(), st.text(), st.text(), st.integers(-1, 9), st.integers(0, 9)),
    st.tuples(st.text(), st.text(), st.text(), st.integers(-1, 9), st.integers(0, 9)),
)
def test_f06_any_two_identities_differ(one: Any, other: Any) -> None:
    """F06: whatever the names, two tasks have one SessionId only if they are one task."""
    same = Identity(*one).session_id(0) == Identity(*other).session_id(0)
    assert same == (one == other)
