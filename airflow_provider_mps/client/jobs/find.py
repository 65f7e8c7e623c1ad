"""
Find a job by what it carries: its SessionId, or the marker in its SessionContext.

MPS has no API for this search, and its list shows neither. So each listed task of the time is polled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from airflow_provider_mps.client.actions import DescribeTasks, describe
from airflow_provider_mps.client.jobs.record import JobRecord
from airflow_provider_mps.client.retry import is_not_found
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.errors import MpsApiError, MpsConfigError
from airflow_provider_mps.results.task import TaskDetail, TaskListItem
from airflow_provider_mps.results.verdict import TaskStatus

log = logging.getLogger(__name__)

SEARCH_MARGIN = 600.0
"""Seconds by which a search begins early: MPS accepts a request whose time is up to 5 minutes off."""
MAX_TASKS = 1000
"""Tasks that one search asks for."""
Matches = Callable[[TaskDetail], bool]


def by_session_id(session_id: str) -> Matches:
    """Matches the job that carries this SessionId."""
    return lambda detail: detail.session_id == session_id


def by_marker(marker: str) -> Matches:
    """Matches the jobs that carry this SessionContext."""
    return lambda detail: detail.session_context == marker


def find_task_id(client: MpsClient, record: JobRecord) -> str | None:
    """The TaskId of a job that may have been sent, by its SessionId; None if it is not found, or has none."""
    if record.mps_task_id or record.session_id is None or record.sent_at is None:
        return record.mps_task_id
    found = find_jobs(client, by_session_id(record.session_id), since=record.sent_at - SEARCH_MARGIN)
    return next((detail.mps_task_id for detail in found), None)


def find_jobs(
    client: MpsClient, matches: Matches, *, since: float, seen: set[str] | None = None
) -> Iterator[TaskDetail]:
    """
    Yield the jobs that match.

    :param since: Unix seconds of MPS's clock; jobs created earlier are passed over.
    :param seen: TaskIds that are known not to match; grows.
    """
    seen = set() if seen is None else seen
    asked = 0
    for item in _listed(client, since):
        if item.mps_task_id in seen or (item.create_time is not None and item.create_time.timestamp() < since):
            continue
        if asked == MAX_TASKS:
            log.warning("%d tasks were asked for, and more are listed: the search for the job ends.", asked)
            return
        asked += 1
        detail = _detail_of(client, item.mps_task_id)
        if detail is None:
            continue  # MPS may not know it yet: the next search asks again
        seen.add(item.mps_task_id)
        if matches(detail):
            yield detail


def _listed(client: MpsClient, since: float) -> Iterator[TaskListItem]:
    """Every listed task. A task may move on while the lists are read, hence their order."""
    start = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    for status in (TaskStatus.WAITING, TaskStatus.PROCESSING, TaskStatus.FINISH):
        token: str | None = None
        while True:
            page = client.call(DescribeTasks(status=status.value, limit=100, start_time=start, scroll_token=token))
            yield from page.tasks
            if (token := page.next_token) is None:
                break


def _detail_of(client: MpsClient, mps_task_id: str) -> TaskDetail | None:
    """What a listed task says; None for one that the list knows and DescribeTaskDetail does not."""
    try:
        return client.call(describe(mps_task_id))
    except MpsConfigError:
        return None
    except MpsApiError as error:
        if is_not_found(error):
            return None
        raise
