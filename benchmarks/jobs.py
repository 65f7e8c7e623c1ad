"""
Forty short workflow jobs, submitted by operators that defer: MPS calls for each, and how soon its end is seen.

Every call counts: the submission, the polls and lists of the triggerer, and the poll of the worker that decides. The
jobs last 40 seconds; once all begin together, once one begins each second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time

from _waits import Seen, Server, by_action, calls, ends, ours, percentile, prepare, processes, worker

from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.emulator.models import Settings

JOBS = 40
LASTS = 40.0  # seconds


def carry_out(host: str, apart: float) -> list[Seen]:
    """Submit, wait and decide, in this process."""
    config = prepare(host)

    async def run() -> list[Seen]:
        async with AsyncMpsClient(config) as client, worker(config) as worker_polls:

            async def job(number: int) -> Seen:
                await asyncio.sleep(number * apart)
                sent_at = time.time()
                source = {"Type": "URL", "UrlInputInfo": {"Url": f"https://media.invalid/{number}.mp4"}}
                transcode = {"TranscodeTaskSet": [{"Definition": 100030}]}
                action = ProcessMedia(input_info=source, media_process_task=transcode, session_id=f"job-{number}")
                task_id = (await client.call(action)).mps_task_id
                return await ours(task_id, 30.0, sent_at, worker_polls)

            return list(await asyncio.gather(*(job(number) for number in range(JOBS))))

    return asyncio.run(run())


def main() -> None:
    """Both ways to begin, at the same time."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(processes(2))
        runs = []
        for name, apart in (("all together", 0.0), ("one each second", 1.0)):
            server = stack.enter_context(Server(Settings(state_seconds=LASTS / 2)))
            runs.append((name, server, pool.submit(carry_out, server.host, apart)))
        print(f"\n{JOBS} workflow jobs of {LASTS:g} s; DescribeTasks and the worker's poll included")
        for name, server, future in runs:
            seen, ended, log = future.result(), server.ask(ends), server.ask(calls)
            delays = [each.at - ended[each.task_id] for each in seen]
            actions = ", ".join(f"{action} {len(list(group))}" for action, group in by_action(log))
            print(
                f"  {name:16} {len(log) / JOBS:.2f} calls a job; "
                f"noticed after: median {percentile(delays, 0.5):.2f} s, "
                f"last {max(delays):.2f} s; {actions}"
            )
            if any(each.status != "resume" for each in seen):
                raise SystemExit("broken: a wait failed")


if __name__ == "__main__":
    main()
