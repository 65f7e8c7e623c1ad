"""The record of a job: its transitions, and what a try makes of it. Pure tables; the effects are in tests/operators."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client.jobs.record import (
    Attempt,
    Ending,
    JobRecord,
    JobState,
    Step,
    fingerprint_of,
    is_cleared,
    marker_of,
    new_session_id,
    step_for,
)

FIRST = Attempt(try_number=1, max_tries=2, retries=2)
RETRY = replace(FIRST, try_number=2)
CLEARED = Attempt(try_number=2, max_tries=3, retries=2, clear_number=1)
NEW = JobRecord("ProcessMedia", "f", "airflow-1", FIRST)
SENDING = NEW.sending(100.0)
ACCEPTED = SENDING.accepted("1250000000-WorkflowTask-1", "r-1")
names = st.text(min_size=1, max_size=250)
tasks = st.tuples(names, names, names, st.integers(-1, 9))


def ended(ending: Ending) -> JobRecord:
    return ACCEPTED.ended(ending)


STATES = {
    "none": None,
    "not sent": NEW,
    "sending": SENDING,
    "accepted": ACCEPTED,
    **{f"ended: {ending}": ended(ending) for ending in Ending},
}
_OVER = {f"ended: {ending}": Step.REPLACE for ending in (Ending.FAILED, Ending.ABORTED, Ending.GONE)}
STEPS = {
    "retry": {
        "none": Step.SEARCH,
        "not sent": Step.SUBMIT,
        "sending": Step.RESOLVE,
        "accepted": Step.TAKE_UP,
        "ended: success": Step.TAKE_UP,
        **_OVER,
        "ended: killed": Step.CLEAR,  # a user did it
    },
    "clear": {"none": Step.SUBMIT, **dict.fromkeys([name for name in STATES if name != "none"], Step.CLEAR)},
}


@pytest.mark.parametrize(
    ("attempt", "state", "step"),
    [
        (attempt, state, STEPS[name][state])
        for (name, attempt), state in itertools.product({"retry": RETRY, "clear": CLEARED}.items(), STATES)
    ],
)
def test_what_a_try_does_with_a_record(attempt: Attempt, state: str, step: Step) -> None:
    """The whole table: each state, at a retry and after a Clear."""
    assert step_for(STATES[state], attempt, action="ProcessMedia", fingerprint="f") is step


def test_the_first_try_submits() -> None:
    """Without a record, and at the first try, nothing can have been sent."""
    assert step_for(None, FIRST, action="ProcessMedia", fingerprint="f") is Step.SUBMIT


@pytest.mark.fault("F79")
@pytest.mark.parametrize("state", [name for name in STATES if name != "none"])
@pytest.mark.parametrize(("action", "fingerprint"), [("ProcessMedia", "g"), ("EditMedia", "f")])
def test_f79_the_same_try_submits_one_job(state: str, action: str, fingerprint: str) -> None:
    """F79: another action or request in the same try is refused, whatever became of the first."""
    assert step_for(STATES[state], FIRST, action=action, fingerprint=fingerprint) is Step.REJECT


def test_a_request_that_renders_anew_is_no_other_job() -> None:
    """A later try may render another request (a signed address, say): the job of the earlier try counts."""
    assert step_for(ACCEPTED, RETRY, action="ProcessMedia", fingerprint="g") is Step.TAKE_UP


@pytest.mark.parametrize(
    ("attempt", "ending", "cleared"),
    [
        (RETRY, None, False),
        (replace(RETRY, max_tries=3), None, True),
        (replace(RETRY, clear_number=1), None, True),
        (replace(RETRY, retries=1), Ending.SUCCESS, True),
        (replace(RETRY, retries=1), Ending.FAILED, False),
        (replace(RETRY, retries=1), None, False),
        (replace(RETRY, retries=5), Ending.SUCCESS, False),
        (replace(FIRST, try_number=3), Ending.SUCCESS, False),
    ],
)
def test_whether_a_user_cleared_the_task(attempt: Attempt, ending: Ending | None, cleared: bool) -> None:
    """F82, F83: either of Airflow's numbers tells; where an edited `retries` hides both, a success tells."""
    record = ACCEPTED if ending is None else ended(ending)
    assert is_cleared(record, attempt) is cleared


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before, after in itertools.product(JobState, JobState)
        if (before, after)
        not in {
            (JobState.NOT_SENT, JobState.SENDING),
            (JobState.NOT_SENT, JobState.ENDED),
            (JobState.SENDING, JobState.NOT_SENT),
            (JobState.SENDING, JobState.SENDING),
            (JobState.SENDING, JobState.ACCEPTED),
            (JobState.SENDING, JobState.ENDED),
            (JobState.ACCEPTED, JobState.ENDED),
        }
    ],
)
def test_no_other_transition(before: JobState, after: JobState) -> None:
    """What is not drawn cannot happen: an accepted job is never not sent again."""
    record = replace(NEW, state=before)
    become = {
        JobState.NOT_SENT: lambda: record.not_sent("s"),
        JobState.SENDING: lambda: record.sending(1.0),
        JobState.ACCEPTED: lambda: record.accepted("t", "r"),
        JobState.ENDED: lambda: record.ended(Ending.SUCCESS),
    }
    with pytest.raises(ValueError, match="cannot become"):
        become[after]()


def test_a_repeat_keeps_the_time_of_the_first_request() -> None:
    """The deadline counts from the first request that may have been executed; a new request has a new time."""
    assert SENDING.sending(200.0).sent_at == 100.0
    assert SENDING.not_sent("airflow-2").sending(200.0).sent_at == 200.0


@pytest.mark.parametrize("state", [name for name in STATES if name != "none"])
def test_a_record_is_plain_json(state: str) -> None:
    """What is stored reads back the same, also with a field that only a later release knows."""
    record = STATES[state]
    assert record is not None
    stored = json.loads(json.dumps(record.to_dict(), allow_nan=False))
    assert JobRecord.from_dict(stored) == record
    assert JobRecord.from_dict(stored | {"later": 1}) == record


@pytest.mark.parametrize("stored", [None, {}, "text", 5, [], {"state": "accepted"}, NEW.to_dict() | {"state": "odd"}])
def test_what_is_no_record(stored: Any) -> None:
    """What cannot be read is said to be so: it is not taken for "no record"."""
    with pytest.raises(ValueError, match=r"stored record|JobState"):
        JobRecord.from_dict(stored)


@pytest.mark.fault("F06")
def test_f06_session_ids_are_random_and_safe() -> None:
    """F06: short, safe characters, and never the same twice."""
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(text) <= 50 and text.isascii() and text.replace("-", "").isalnum() for text in ids)


@pytest.mark.fault("F06")
@given(one=tasks, other=tasks)
def test_f06_a_marker_names_one_task(one: Any, other: Any) -> None:
    """F06: names are hashed with their borders, never cut or glued: two tasks have one marker only if they are one."""

    def marker(task: Any) -> str:
        return marker_of(dag_id=task[0], run_id=task[1], task_id=task[2], map_index=task[3], attempt=FIRST)

    assert (marker(one) == marker(other)) == (one == other)
    assert len(marker(one)) <= 50


@pytest.mark.fault("F06")
def test_f06_mapped_tasks_have_a_marker_each() -> None:
    """Tasks that differ in nothing but their map index."""
    names = {"dag_id": "d", "run_id": "r", "task_id": "t", "attempt": FIRST}
    assert len({marker_of(map_index=index, **names) for index in range(-1, 9)}) == 10  # type: ignore[arg-type]


def test_a_fingerprint_does_not_depend_on_order() -> None:
    """Two dicts that are equal are one request."""
    assert fingerprint_of({"a": 1, "b": [2]}) == fingerprint_of({"b": [2], "a": 1}) != fingerprint_of({"a": 1})
