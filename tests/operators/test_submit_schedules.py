"""Random schedules of crashes, lost answers, denials, retries, Clears and meddling keep the promises about jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_mps.client import clock
from airflow_provider_mps.client.jobs.record import JobState
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import Task
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import (
    MpsConfigError,
    MpsError,
    MpsSubmitUnknown,
    MpsTaskFailed,
    MpsTaskTimeout,
    MpsTaskUnsettled,
)
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from tests.support.harness import Crash, StateStore, clear, new_context, retry
from tests.support.submitting import media, submit

_FAULTS = {
    "request lost": Fault("reset"),
    "answer lost": Fault("reset", when="after"),
    "gateway": Fault("status", when="after"),
    "throttled": Fault("throttle"),
    "internal error": Fault("error", when="after", code="InternalError"),
    "undocumented error": Fault("error", when="after", code="Odd.Code"),
    "denied": Fault("error", code="FailedOperation.UserArrears"),
}
_RETRIES = 2
_MAX_FAILURES = 4
_STEP = st.fixed_dictionaries(
    {
        "faults": st.lists(st.sampled_from(sorted(_FAULTS)), max_size=3),
        "crash": st.sampled_from([None, None, *JobState, "pushing"]),  # before this is stored, or before it pushes
        "nested": st.booleans(),
        "clock": st.sampled_from([0, 0, 4, -4, 60, -60]),  # minutes by which the worker is ahead
        "then": st.sampled_from(["retry", "retry", "clear", "clear, worker dead", "clear, retries lowered"]),
        "meanwhile": st.sampled_from([None, None, None, "store cleaned", "run queued again", "aborted elsewhere"]),
    }
)
_PEACE: dict[str, Any] = {
    "faults": [],
    "crash": None,
    "nested": False,
    "clock": 0,
    "then": "clear",
    "meanwhile": None,
}


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


class Life:
    """One task over its tries, and what must hold after each of them."""

    def __init__(self, mps: LocalMps) -> None:
        self.mps = mps
        self.context = new_context()
        self.retries = _RETRIES
        self.intended: list[str] = []  # the jobs since the last Clear
        self.before_clear: set[str] = set()
        self.texts: list[str] = []
        self.unknown = False

    def run(self, step: dict[str, Any]) -> bool:
        """One try; whether it succeeded."""
        backend, store = self.mps.backend, self.context["task_state_store"]
        backend.faults.clear()
        for name in step["faults"]:
            fault = _FAULTS[name]
            backend.faults.add(Fault(fault.kind, action="ProcessMedia", when=fault.when, code=fault.code))
        store.crash_before = step["crash"]
        self.context["ti"].crash_on_push = step["crash"] == "pushing"
        before, aborts = set(backend.tasks), list(backend.aborts)
        with _clock_ahead(step["clock"] * 60):
            succeeded = self._try(nested=step["nested"])
        new = [name for name in backend.tasks if name not in before]
        assert len(new) <= 1, "one try submits at most one job"
        if new:
            assert all(self._is_over(name) for name in self.intended), "a job was paid for twice"
        self.intended += new
        assert set(backend.aborts[len(aborts) :]) <= self.before_clear, "aborted without a user's action"
        return succeeded

    def _try(self, *, nested: bool) -> bool:
        arguments = {"context": self.context, "retries": self.retries, "timeout": 60}
        try:
            task_id = submit(MpsProcessMediaOperator, **arguments)
            if nested:
                with pytest.raises(MpsConfigError, match="One task instance submits one job"):
                    submit(MpsProcessMediaOperator, "another.mp4", **arguments)
        except Crash:
            return False
        except MpsSubmitUnknown as error:
            self.unknown = True
            self.texts.append(str(error))
            return False
        except MpsTaskTimeout:
            raise
        except (MpsTaskFailed, MpsTaskUnsettled) as error:
            if not self._is_over(error.mps_task_id):
                pytest.fail(f"a verdict without a reason: {error}")
            return False
        except (MpsError, AirflowFailException) as error:
            self.texts.append(str(error))
            return False
        owned = [*self.intended, *(name for name in self.mps.backend.tasks if name not in self.before_clear)]
        assert task_id in owned, "success from a job of before the Clear"
        assert not self._is_over(task_id), "success from a job that failed or was aborted"
        self.texts.append(task_id)
        return True

    def _is_over(self, name: str) -> bool:
        """Whether a job has ended in anything but success."""
        task = self.mps.backend.tasks[name]
        return "all-fail" in task.title or task.aborted

    def go_on(self, step: dict[str, Any]) -> None:
        """What happens between two tries."""
        backend = self.mps.backend
        if step["meanwhile"] == "store cleaned":
            self.context["task_state_store"] = StateStore()
        elif step["meanwhile"] == "run queued again":
            self.context["dag_run"].start_date += timedelta(minutes=7)
        elif step["meanwhile"] == "aborted elsewhere" and self.intended:
            backend.tasks[self.intended[-1]].aborted = True
        if step["then"] == "retry" and not self.unknown:  # an unknown submission is not retried
            retry(self.context)
            return
        self.before_clear |= set(backend.tasks)
        self.intended, self.unknown = [], False
        if step["then"] == "clear, worker dead" and step["meanwhile"] != "store cleaned":
            retry(self.context)
            self.context["dag_run"].clear_number += 1
            return
        if step["then"] == "clear, retries lowered":
            self.retries = max(self.retries - 1, 0)
        clear(self.context, retries=self.retries)


@contextmanager
def _clock_ahead(seconds: float) -> Iterator[None]:
    """The wall clock of a new worker process is off; the local MPS has the right time."""
    worker, right = threading.get_ident(), time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: right() + (seconds if threading.get_ident() == worker else 0.0))
        clock.forget_all()
        yield
        clock.forget_all()


@pytest.mark.fault("F01", "F03", "F05", "F79", "F80", "F82", "F83", "F84", "F85", "F89", "F95")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, max_size=6), fails=st.lists(st.booleans(), max_size=_MAX_FAILURES))
def test_any_schedule(airflow_mps: LocalMps, steps: list[dict[str, Any]], fails: list[bool]) -> None:
    """One job per intended job, no verdict from another's, no Abort without a user; success in the end; none lost."""
    backend = airflow_mps.backend
    backend.reset()
    backend.tasks = ScriptedTasks(fails)
    log, logger = Log(), logging.getLogger("airflow_provider_mps")
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    life = Life(airflow_mps)
    try:
        for step in [*steps, *[_PEACE] * (_MAX_FAILURES + 2)]:
            succeeded = life.run(step)
            if succeeded and step is _PEACE:
                break
            life.go_on(step)
        else:
            pytest.fail(f"No success in the end: {life.texts}")
    finally:
        logger.removeHandler(log)
    session_ids = [task.request["SessionId"] for task in backend.tasks.values()]
    assert len(set(session_ids)) == len(session_ids)
    readable = log.text + "".join(life.texts)
    for task_id, task in backend.tasks.items():
        assert task_id in readable or task.request["SessionId"] in readable
