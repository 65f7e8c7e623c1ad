"""
Many at a glance: DescribeTasks names what has ended, a hundred tasks a call, and each is then looked at at once.

What the list holds, in which order and how soon, is not documented. So it decides nothing: every task is looked at
alone as well, only less often, and a list that does not help is left alone for an hour. When more end at once than the
pace lets anybody look at soon, a list that was right until then is taken at its word, if who waits will look again.

Source: https://www.tencentcloud.com/document/product/1041/33643
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_provider_mps.client.actions import DescribeTasks
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.polling.hints import HintAccuracy
from airflow_provider_mps.client.polling.queue import PollQueue
from airflow_provider_mps.client.retry import is_final, may_pass
from airflow_provider_mps.errors import MpsError
from airflow_provider_mps.results.task import TaskPage, TaskState
from airflow_provider_mps.results.verdict import TaskStatus

log = logging.getLogger(__name__)

_EVERY = 5.0
# At five seconds a round, a fifth of the requests that MPS documents for DescribeTasks.
_PAGES_A_ROUND = 100
_ROUNDS_A_LIST = 20
# Seconds by which clocks may differ and a list may lag behind.
_OVERLAP = 60.0
_RELAXED = 4.0
# A page that takes longer says too late what has ended, and until it has come, nobody relies on the list.
_PAGE_TIMEOUT = 10.0
# Refusals in a row, of a kind that nobody documents, until they are believed.
_REFUSALS_TO_GIVE_UP = 3
_TRY_AGAIN_AFTER = 3600.0


class _Rest(NamedTuple):
    """What is left of a list: the start of its window, the token of the next page, and for how long it is read."""

    start: float
    token: str | None
    rounds: int


class BulkStatusPoller:
    """
    Calls forward the looks of one lane.

    The window of the list filters either the creation or the end of a task. A task listed that was created before the
    window shows that it is the end; then the last minute is enough. Until that is seen, the list is read from the
    creation of the oldest tasks that are waited for, which holds everything either way, but for a few stragglers.
    """

    def __init__(self, client: AsyncMpsClient, lane: PollQueue) -> None:
        self._client = client
        self._lane = lane
        self._filters_the_end = False
        self._start = time.time()
        self._next_round = time.monotonic() + _EVERY
        self._given_up = False
        self._begin()

    def _begin(self) -> None:
        self._trust = HintAccuracy()
        self._rest: _Rest | None = None
        self._refusals = 0
        self._last_round = time.time()
        self._lane.relax(1.0)
        self._lane.on_state = self._found

    async def run(self) -> None:
        """List while there is a crowd, for ever. A list that is of no use is tried again after an hour."""
        while True:
            try:
                while not (why := await self._why_not_to_go_on()):
                    pass
            except Exception as error:  # nothing depends on the list: whatever it is, the looks go on
                log.exception("BulkStatusPoller failed.")
                why = repr(error)
            self._lane.on_state = None
            self._lane.relax(1.0)
            if not self._given_up:
                log.warning(
                    "DescribeTasks does not help to see which tasks have ended; each is looked at alone. %s", why
                )
            self._given_up = True
            await asyncio.sleep(_TRY_AGAIN_AFTER)
            self._begin()

    async def _why_not_to_go_on(self) -> str:
        """One round; "" while lists are of use."""
        await asyncio.sleep(self._next_round - time.monotonic())
        self._next_round = time.monotonic() + _EVERY
        if not self._lane.crowded:
            self._begin()
            return ""
        try:
            whole = await self._round()
        except (MpsError, TimeoutError) as error:
            return self._failed(error)
        self._refusals = 0
        self._trust.round_over(time.monotonic(), whole=whole)
        if whole:
            # The list cannot name what was created before its window, if that is what it filters.
            since = 0.0 if self._filters_the_end else self._start
            self._lane.relax(_RELAXED if self._trust.is_earned else 1.0, since=since)
            if self._given_up and self._trust.is_earned:
                self._given_up = False
                log.info("DescribeTasks helps again to see which tasks have ended.")
        if self._trust.is_lost:
            return "Tasks that have ended are not in it, or it names tasks that have not."
        if self._rest is not None and self._rest.rounds >= _ROUNDS_A_LIST:
            return "It has no end."
        return ""

    def _failed(self, error: MpsError | TimeoutError) -> str:
        """Why to give up after this; "" for what may pass, and the lane's own looks tell of an outage."""
        in_the_middle = self._rest is not None and self._rest.token is not None
        self._trust.round_over(time.monotonic(), whole=False)  # what it was right about fades
        self._lane.relax(1.0)
        self._rest = None
        if isinstance(error, TimeoutError) or may_pass(error):
            self._refusals = 0
            return ""
        self._refusals += 1
        # A token may have expired: only at the start of a list does a refusal tell of the list.
        final = (is_final(error) and not in_the_middle) or self._refusals >= _REFUSALS_TO_GIVE_UP
        return str(error) if final else ""

    async def _round(self) -> bool:
        """Read lists for at most ``_PAGES_A_ROUND`` calls; returns whether they were read to the end."""
        pages = _PAGES_A_ROUND
        if self._rest is None:
            started = time.time()
            recent = self._last_round - _OVERLAP
            page = await self._page(recent, None)
            self._filters_the_end |= any(
                item.create_time is not None and item.create_time.timestamp() < recent - 1 for item in page.tasks
            )
            self._start = recent if self._filters_the_end else min(self._lane.oldest or recent, recent) - _OVERLAP
            if not self._filters_the_end:
                self._rest = _Rest(self._start, None, 0)
            elif page.scroll_token and page.tasks:
                self._rest = _Rest(self._start, page.scroll_token, 0)
            self._last_round = started
            pages -= 1
        while self._rest is not None and pages:
            start, token, rounds = self._rest
            page = await self._page(start, token)
            self._rest = _Rest(start, page.scroll_token, rounds) if page.scroll_token and page.tasks else None
            pages -= 1
        if self._rest is not None:
            self._rest = self._rest._replace(rounds=self._rest.rounds + 1)
        return self._rest is None

    async def _page(self, start: float, token: str | None) -> TaskPage:
        status = TaskStatus.FINISH.value
        start_time = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ}"
        async with asyncio.timeout(_PAGE_TIMEOUT):
            page = await self._client.call(
                DescribeTasks(status=status, limit=100, start_time=start_time, scroll_token=token)
            )
        now = time.monotonic()
        for item in page.tasks:
            self._trust.named(item.mps_task_id)
            if self._lane.can_be_called(item.mps_task_id) and self._trust.may_call(item.mps_task_id, now):
                # MPS gives no time to the end of what still runs: a list without one may have forgotten its filter.
                word = item.as_state(status, page.request_id) if item.finish_time else None
                self._lane.call_forward(item.mps_task_id, word)
        return page

    def _found(self, task_id: str, state: TaskState, called: bool) -> None:
        """Only what has ended within the window of the next lists can be expected in them."""
        ended, created = state.finish_time, state.create_time
        recently = ended is not None and ended.timestamp() > time.time() - _OVERLAP + 2 * _EVERY
        covered = self._filters_the_end or (created is not None and created.timestamp() > self._start)
        self._trust.found(
            task_id, ended=state.is_finished, called=called, should_be_named=recently and covered and self._lane.crowded
        )
        if called and state.is_finished and self._trust.is_proven:
            self._lane.take_lists_at_their_word()
