"""A job is found by what it carries. Faults around a submission are in tests/operators."""

from __future__ import annotations

import time

import pytest

from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.jobs.find import by_marker, by_session_id, find_jobs
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.emulator.faults import FaultScript
from airflow_provider_mps.emulator.server import LocalMps


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
            mps.backend.tasks[task_id].polls = number % 4
            if number in {0, 61, 118}:
                wanted[f"s-{number}"] = task_id
        for session_id, task_id in wanted.items():
            [found] = find_jobs(client, by_session_id(session_id), since=since)
            assert (found.mps_task_id, found.session_id) == (task_id, session_id)


def test_a_job_of_nobody_is_not_found(mps: LocalMps, config: ClientConfig) -> None:
    """An unknown id finds nothing, and what was looked at is not looked at again."""
    with MpsClient(config) as client:
        ids = {_submit(client, f"s-{number}") for number in range(5)}
        seen: set[str] = set()
        assert list(find_jobs(client, by_session_id("s-none"), since=time.time() - 60, seen=seen)) == []
        assert seen == ids
        looks = [task.polls for task in mps.backend.tasks.values()]
        assert list(find_jobs(client, by_session_id("s-none"), since=time.time() - 60, seen=seen)) == []
        assert [task.polls for task in mps.backend.tasks.values()] == looks


def test_older_jobs_are_passed_over(mps: LocalMps, config: ClientConfig) -> None:
    """A job from before the submission cannot be it."""
    with MpsClient(config) as client:
        _submit(client, "s-1")
        assert list(find_jobs(client, by_session_id("s-1"), since=time.time() + 3600)) == []


def test_jobs_are_found_by_their_marker(mps: LocalMps, config: ClientConfig) -> None:
    """Every job that carries the SessionContext, and no other."""
    with MpsClient(config) as client:
        wanted = []
        for number in range(6):
            action = ProcessMedia(input_info={"Type": "URL"}, session_context="mine" if number % 2 else "another's")
            task_id = client.call(action).mps_task_id
            wanted += [task_id] * (number % 2)
        found = find_jobs(client, by_marker("mine"), since=time.time() - 60)
        assert sorted(job.mps_task_id for job in found) == sorted(wanted)


@pytest.mark.fault("F88")
def test_f88_an_empty_page_ends_the_list(mps: LocalMps, config: ClientConfig) -> None:
    """F88: also one that still carries a token, and would do so for ever."""
    action, _ = mps.backend._handlers["DescribeTasks"]
    mps.backend._handlers["DescribeTasks"] = (action, lambda _: {"TaskSet": [], "ScrollToken": "again"})
    with MpsClient(config) as client:
        assert list(find_jobs(client, by_session_id("s-1"), since=time.time() - 60)) == []
    assert len(mps.backend.calls) == 3


@pytest.mark.parametrize("age", [5, 15, 25])
def test_a_job_that_moves_on_meanwhile_is_found(mps: LocalMps, config: ClientConfig, age: float) -> None:
    """A job that waits when the first list is read, and has ended when the last one is, is in one of them."""
    backend = mps.backend
    backend.settings.state_seconds = 10

    class TimePasses(FaultScript):
        def take(self, action: str, when: str) -> None:
            if (action, when) == ("DescribeTasks", "after"):
                backend.clock_offset += 10

    with MpsClient(config) as client:
        task_id = _submit(client, "s-1")
        backend.tasks[task_id].created -= age
        backend.faults = TimePasses()
        [found] = find_jobs(client, by_session_id("s-1"), since=time.time() - 60)
        assert found.mps_task_id == task_id
