"""
A process that is new, as a triggerer is, runs triggers and tells what held its event loop, as one line of JSON.

Only what we can help is counted: not the time for which this machine gave the processor to somebody else, and not
Python's collections of all that Airflow has loaded. What blocks once per process is counted like all else.

``python -m tests.triggers.loop_probe '{"task_ids": [...], "portal": true}'``
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import airflow.jobs.triggerer_job_runner  # noqa: F401 - what a triggerer has loaded before its first trigger
import greenback
from airflow.sdk.module_loading import import_string

from airflow_provider_mps.client.polling.settings import PollerSettings

_WAITED = Path("/proc/thread-self/schedstat")
_LONGEST_CALLBACK = 0.05
_BEAT, _LATEST_BEAT = 0.01, 0.1  # Airflow's watchdog complains of 0.1 as well


def waited() -> float:
    """Seconds for which this thread was ready and had no processor; 0 where the system does not tell."""
    return int(_WAITED.read_text(encoding="ascii").split()[1]) / 1e9 if _WAITED.exists() else 0.0


class Held:
    """What held the loop: single callbacks for more than 50 ms, all that came between two beats for more than 100."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._start = time.monotonic()
        self._all_waited = 0.0

    def add(self, seconds: float, most: float, what: str) -> None:
        if seconds > most:
            self.found.append(f"at {time.monotonic() - self._start:.1f} s for {seconds * 1000:.0f} ms: {what:.300}")

    def watch_callbacks(self) -> None:
        """
        Measure each from here on.

        How long the thread waited is read at the beats and after what took long: to read it gives up Python's lock,
        and while another thread imports, 200 callbacks would each wait for that.
        """
        genuine = asyncio.Handle._run

        def measured(handle: Any) -> None:
            started = time.monotonic()
            genuine(handle)
            seconds = time.monotonic() - started
            if seconds > _LONGEST_CALLBACK:
                self.add(seconds - self._waited(), _LONGEST_CALLBACK, repr(handle))

        asyncio.Handle._run = measured  # type: ignore[method-assign]

    async def beat(self) -> None:
        """As the watchdog of Airflow's triggerer does it."""
        self._waited()
        while True:
            before, started = self._all_waited, time.monotonic()
            await asyncio.sleep(_BEAT)
            late = time.monotonic() - started - _BEAT
            self._waited()
            self.add(late - (self._all_waited - before), _LATEST_BEAT, "between two beats")

    def _waited(self) -> float:
        """Seconds for which the thread has waited since this was last asked."""
        before, self._all_waited = self._all_waited, waited()
        return self._all_waited - before


async def _run(task_ids: list[str], *, portal: bool) -> dict[str, Any]:
    trigger = import_string("airflow_provider_mps.triggers.mps.MpsTaskTrigger")
    trigger.settings = PollerSettings(earliest_event=0.0, min_poll_delay=0.0)
    held = Held()

    async def life(task_id: str) -> str:
        if portal:  # Airflow does so, unless it is told not to
            await greenback.ensure_portal()
        async for event in trigger(mps_task_id=task_id, poll_interval=1.5).run():
            return str(event.payload["status"])
        return "none"

    held.watch_callbacks()
    beat = asyncio.create_task(held.beat())
    statuses = await asyncio.gather(*(life(task_id) for task_id in task_ids))
    beat.cancel()
    return {"held": held.found, "statuses": sorted(set(statuses))}


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    gc.collect()
    gc.freeze()
    sys.stdout.write(json.dumps(asyncio.run(_run(**arguments))) + "\n")
