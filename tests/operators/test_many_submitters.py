"""Many workers submit while triggerers look: each a process of its own, as far as paces go. Over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_mps.client import rate_limiter
from airflow_provider_mps.client import retry as retry_policy
from airflow_provider_mps.emulator.faults import Fault, FaultScript
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.support.harness import RUNNING, new_context
from tests.support.submitting import new_operator

_SUBMITTERS = 50
_LIMITS = dict(retry_policy.LIMITS)
_QUOTA = 20


class LimitersOfThreads(threading.local):
    """Stands for the limiters of a process, so that each thread has its own."""

    def __init__(self) -> None:
        self._mine: OrderedDict[tuple[str, str], rate_limiter.RateLimiter] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mine, name)

    def __setitem__(self, key: tuple[str, str], limiter: rate_limiter.RateLimiter) -> None:
        self._mine[key] = limiter

    def __len__(self) -> int:
        return len(self._mine)


class OneQuota(FaultScript):
    """A quota of the whole account, whatever is asked: harder than what MPS documents, which is one for each action."""

    def __init__(self) -> None:
        super().__init__()
        self._taken: deque[float] = deque(maxlen=_QUOTA)

    def take(self, action: str, when: str) -> Fault | None:
        if when == "after":
            return None
        now = time.monotonic()
        if len(self._taken) == _QUOTA and now - self._taken[0] < 1:
            return Fault("throttle")
        self._taken.append(now)
        return None


@pytest.fixture
def own_limiters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limiters and pauses as they are, not those of a test in a hurry; but one limiter for each thread."""
    for name, value in (("_limiters", LimitersOfThreads()), ("THROTTLE_COOLDOWN", 1.0), ("MIN_RATE", 0.2)):
        monkeypatch.setattr(rate_limiter, name, value)
    for purpose, limits in _LIMITS.items():
        monkeypatch.setitem(retry_policy.LIMITS, purpose, limits)


@contextlib.contextmanager
def _triggerer(ids: list[str]) -> Iterator[None]:
    """Looks at all these tasks as often as its pace lets it, on a thread of its own, until the block ends."""
    loop = asyncio.new_event_loop()

    async def wait() -> None:
        triggers = [MpsTaskTrigger(mps_task_id=task_id, poll_interval=0.5) for task_id in ids]
        await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    waiting = loop.create_task(wait())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(waiting)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    loop.call_soon_threadsafe(waiting.cancel)
    thread.join(10)
    assert not thread.is_alive()
    loop.close()


@pytest.mark.fault("F53")
@pytest.mark.parametrize("quota", ["of each action", "of the account"])
def test_f53_fifty_submitters_beside_looks(airflow_mps: LocalMps, own_limiters: None, quota: str) -> None:
    """F53: fifty workers submit at once while two triggerers look at 400 tasks: all get through, looks go on."""
    backend = airflow_mps.backend
    if quota == "of the account":
        backend.faults = OneQuota()
    else:
        backend.settings.rates = dict.fromkeys(backend.actions, _QUOTA)
    ids = [backend.script([RUNNING]) for _ in range(400)]

    def send(number: int) -> float:
        started = time.monotonic()
        new_operator(MpsProcessMediaOperator, wait_for_completion=False)().execute(new_context(run_id=f"run-{number}"))
        return time.monotonic() - started

    with _triggerer(ids[:200]), _triggerer(ids[200:]), ThreadPoolExecutor(_SUBMITTERS) as workers:
        time.sleep(3)  # by now they take what they can get
        before = len(backend.calls)
        took = sorted(workers.map(send, range(_SUBMITTERS)))
        calls = list(backend.calls)[before:]
    counts = Counter((call.action, call.code) for call in calls)
    assert len(backend.tasks) == len(ids) + _SUBMITTERS
    assert took[-1] < 30  # 2.5 s if they had the quota to themselves and knew of each other
    assert counts["DescribeTaskDetail", ""] > took[-1]
