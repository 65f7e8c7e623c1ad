"""
Many at a glance: DescribeTasks names what has ended, a hundred tasks a call, and each is then looked at at once.

What the list holds, in which order and how soon, is not documented. So it decides nothing and is never relied on: every
task is looked at alone as well, only less often, and a list that does not help is not asked for any more.

Source: https://www.tencentcloud.com/document/product/1041/33643
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from airflow_provider_mps.client.actions import DescribeTasks
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.lane import Lane
from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.results.task import TaskPage
from airflow_provider_mps.results.verdict import TaskStatus

log = logging.getLogger(__name__)

_EVERY = 5.0
_PAGES_A_ROUND = 20
# Seconds by which clocks may differ and a list may lag behind.
_OVERLAP = 60.0
_RELAXED = 4.0
# A task that was found ended is missing when so many whole lists have not shown it.
_LISTS_TO_SHOW_IT = 3
_MISSING_TO_GIVE_UP = 10
_FADING = 0.9


class Listing:
    """
    Calls forward the looks of one lane.

    The window of the list filters either the creation or the end of a task. A task listed that was created before the
    window shows that it is the end; then the last minute is enough. Until that is seen, the list is read from the
    creation of the oldest tasks that are waited for, which holds everything either way, but for a few stragglers.
    """

    def __init__(self, client: AsyncMpsClient, lane: Lane) -> None:
        self._client = client
        self._lane = lane
        self._filters_the_end = False
        self._last_round = time.time()
        self._rest: tuple[str, str] | None = None  # start and token of a list that was too long for one round
        self._helped = 0.0
        self._missing = 0.0

    async def run(self) -> None:
        """List while there is a crowd; ends when the list is of no use."""
        while True:
            await asyncio.sleep(_EVERY)
            if not self._lane.crowded:
                self._lane.relaxed = 1.0
                self._lane.unlisted.clear()
                continue
            try:
                whole = await self._round()
            except MpsError as error:
                if isinstance(error, MpsApiError) and not error.retryable:
                    return self._give_up(str(error))
                continue  # the lane's own looks tell of an outage
            self._weigh(whole=whole)
            if self._missing > _MISSING_TO_GIVE_UP and self._missing > self._helped:
                return self._give_up("tasks that have ended are not in it")
            self._lane.relaxed = _RELAXED if self._helped > self._missing else 1.0

    async def _round(self) -> bool:
        """Read lists for at most ``_PAGES_A_ROUND`` calls; returns whether they were read to the end."""
        started = time.time()
        recent = self._last_round - _OVERLAP
        pages = _PAGES_A_ROUND
        if self._rest is None:
            page = await self._page(_mps_time(recent), None)
            self._filters_the_end |= any(
                item.create_time is not None and item.create_time.timestamp() < recent - 1 for item in page.tasks
            )
            start = recent if self._filters_the_end else min(self._lane.oldest or recent, recent) - _OVERLAP
            token = page.scroll_token if self._filters_the_end else None
            self._rest = (_mps_time(start), token or "") if token != "" else None
            self._last_round = started
            pages -= 1
        while self._rest is not None and pages:
            start_time, token = self._rest
            page = await self._page(start_time, token or None)
            self._rest = (start_time, page.scroll_token) if page.scroll_token else None
            pages -= 1
        return self._rest is None

    async def _page(self, start_time: str, token: str | None) -> TaskPage:
        page = await self._client.call(
            DescribeTasks(status=TaskStatus.FINISH.value, limit=100, start_time=start_time, scroll_token=token)
        )
        for item in page.tasks:
            self._lane.call_forward(item.mps_task_id)
        return page

    def _weigh(self, *, whole: bool) -> None:
        """What has been seen lately counts most."""
        self._helped = self._helped * _FADING + self._lane.confirmed
        self._lane.confirmed = 0
        self._missing *= _FADING
        if not whole:
            return
        for task_id, lists in list(self._lane.unlisted.items()):
            if lists + 1 < _LISTS_TO_SHOW_IT:
                self._lane.unlisted[task_id] = lists + 1
            else:
                del self._lane.unlisted[task_id]
                self._missing += 1

    def _give_up(self, why: str) -> None:
        self._lane.relaxed = 1.0
        self._lane.unlisted.clear()
        log.warning("DescribeTasks does not help to see which tasks have ended; each is looked at alone. %s", why)


def _mps_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
