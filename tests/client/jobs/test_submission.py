"""What makes a job recognisable: its identity, its memory, and how it is found. Faults are in tests/operators."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.jobs.submission import Identity, Job, find_by_session
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.emulator.server import LocalMps

LONG = "a_dag_with_a_very_long_name_that_shares_its_first_fifty_characters_with_another"
names = st.text(min_size=1, max_size=250)
identities = st.builds(Identity, names, names, names, st.integers(-1, 10_000), st.integers(0, 100))


@pytest.mark.fault("F06")
@given(one=identities, other=identities, generations=st.tuples(st.integers(0, 50), st.integers(0, 50)))
def test_each_intended_job_has_an_id_of_its_own(one: Identity, other: Identity, generations: tuple[int, int]) -> None:
    """MPS takes 50 characters; whatever the names are, two jobs share an id only when they are the same."""
    here, there = one.session_id(generations[0]), other.session_id(generations[1])
    for text in (here, there, one.marker):
        assert len(text) <= 50
        assert text.isascii()
        assert text.isprintable()
    assert (here == there) == ((one, generations[0]) == (other, generations[1]))
    assert (one.marker == other.marker) == (one == other)


@pytest.mark.fault("F06")
@pytest.mark.parametrize(
    "other",
    [
        Identity(f"{LONG}_2", "run", "task", -1, 0),
        Identity(f"{LONG}_1", "run-2", "task", -1, 0),
        Identity(f"{LONG}_1", "run", "task-2", -1, 0),
        Identity(f"{LONG}_1", "run", "task", 0, 0),
        Identity(f"{LONG}_1", "run", "task", -1, 1),
        Identity(f"{LONG}_1run", "", "task", -1, 0),
        Identity(f"{LONG}_1", "runtask", "", -1, 0),
    ],
)
def test_a_difference_anywhere_makes_another_job(other: Identity) -> None:
    """Names are hashed with their borders, never cut or glued together."""
    one = Identity(f"{LONG}_1", "run", "task", -1, 0)
    assert one.session_id(0) != other.session_id(0)
    assert one.marker != other.marker
    assert one.session_id(0) != one.session_id(1)


@pytest.mark.fault("F67")
def test_an_id_stays_the_same_for_ever() -> None:
    """A retry after an upgrade must recognise the job of the release before: this value may not change."""
    assert Identity("dag", "run", "task", -1, 0).session_id(0) == "airflow-a11a3763969a0d983d325da3ee9439b5f2d24b3d"


def test_a_job_is_remembered_as_plain_json() -> None:
    """What is saved reads back the same, also with a field that only a later release knows."""
    job = Job(1, "f", 2, 3.5, mps_task_id="t", request_id="r", how="recovered")
    stored = json.loads(json.dumps(job.as_dict(), allow_nan=False))
    assert Job.restored(stored) == job
    assert Job.restored(stored | {"later": 1}) == job


@pytest.mark.parametrize("stored", [None, {}, "text", 5, [], {"epoch": 1}, {"epoch": 1, "generation": 0}])
def test_a_foreign_memory_is_no_job(stored: Any) -> None:
    """Nothing saved, or something that no release of this package saved."""
    assert Job.restored(stored) is None


def _submit(client: MpsClient, session_id: str) -> str:
    return client.call(ProcessMedia(input_info={"Type": "URL"}, session_id=session_id)).mps_task_id


def test_a_job_is_found_by_its_session_id(mps: LocalMps, config: ClientConfig) -> None:
    """On whatever page and in whatever status it is listed; others are looked at once."""
    mps.backend.settings.rates = dict.fromkeys(mps.backend.actions, 0)
    since = time.time() - 60
    with MpsClient(config) as client:
        wanted = {}
        for number in range(120):
            task_id = _submit(client, f"s-{number}")
            mps.backend.tasks[task_id].looks = number % 4
            if number in {0, 61, 118}:
                wanted[f"s-{number}"] = task_id
        for session_id, task_id in wanted.items():
            [found] = find_by_session(client, session_id, since=since)
            assert (found.mps_task_id, found.session_id) == (task_id, session_id)


def test_a_job_of_nobody_is_not_found(mps: LocalMps, config: ClientConfig) -> None:
    """An unknown id finds nothing, and what was looked at is not looked at again."""
    with MpsClient(config) as client:
        ids = {_submit(client, f"s-{number}") for number in range(5)}
        seen: set[str] = set()
        assert list(find_by_session(client, "s-none", since=time.time() - 60, seen=seen)) == []
        assert seen == ids
        looks = [task.looks for task in mps.backend.tasks.values()]
        assert list(find_by_session(client, "s-none", since=time.time() - 60, seen=seen)) == []
        assert [task.looks for task in mps.backend.tasks.values()] == looks


def test_older_jobs_are_passed_over(mps: LocalMps, config: ClientConfig) -> None:
    """A job from before the submission cannot be it."""
    with MpsClient(config) as client:
        _submit(client, "s-1")
        assert list(find_by_session(client, "s-1", since=time.time() + 3600)) == []
