"""Find the task that carries a SessionId. MPS has no question for that, so the task list is gone through."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from airflow_provider_mps.client.actions import DescribeTasks, describe
from airflow_provider_mps.client.sync import MpsClient
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import MpsApiError, MpsConfigError
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.verdict import TaskStatus

log = logging.getLogger(__name__)
_MOST_LOOKS = 1000


def find_by_session(
    client: MpsClient, session_id: str, *, since: float, seen: set[str] | None = None
) -> Iterator[TaskDetail]:
    """
    Yield the task that carries ``session_id``, if there is one.

    DescribeTasks tells no SessionId, so each task of the time is looked at. A task may move on while the lists are
    read, hence their order.

    :param since: Unix seconds; tasks created earlier are passed over.
    :param seen: ids that are known not to be it; grows.
    """
    seen = set() if seen is None else seen
    start = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    looks = 0
    for status in (TaskStatus.WAITING, TaskStatus.PROCESSING, TaskStatus.FINISH):
        token: str | None = None
        while token != "" and looks < _MOST_LOOKS:
            page = client.call(DescribeTasks(status=status.value, limit=100, start_time=start, scroll_token=token))
            for item in page.tasks:
                early = item.create_time is not None and item.create_time.timestamp() < since
                if early or item.mps_task_id in seen:
                    continue
                seen.add(item.mps_task_id)
                looks += 1
                detail = _detail_of(client, item.mps_task_id)
                if detail is not None and detail.session_id == session_id:
                    yield detail
            token = page.scroll_token
    if looks >= _MOST_LOOKS:
        log.warning("Looked at %d tasks for SessionId %s and found it in none of them.", looks, session_id)


def _detail_of(client: MpsClient, mps_task_id: str) -> TaskDetail | None:
    """What a listed task says; None for one that the list knows and DescribeTaskDetail does not."""
    try:
        return client.call(describe(mps_task_id))
    except MpsConfigError:
        return None
    except MpsApiError as error:
        if error.category is Category.NOT_FOUND:
            return None
        raise
