"""
Two triggerers on one account, 500 waits each, and one triggerer that starts again with 1,000 waits.

Batch tasks, 20 looks a second for the account. The two know nothing of each other: with a ``quota_share`` of 1.0 each
believes that all of it is its own, and backs off when MPS refuses; with 0.5 (the default) they just fit. Naive polling
from two processes beside them. Then what a restart sends in the busiest second, while no job ends.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future

from _waits import (
    WAITS_HEADER,
    Plan,
    Seen,
    Server,
    busiest_second,
    calls,
    carry_out,
    ends,
    processes,
    show_waits,
)

from airflow_provider_mps.emulator.models import Call, Settings

RATE = 20.0
PROCESSES = 2
LASTS = 45.0
RESTART_LASTS = 3600.0
RESTARTED = 30.0  # seconds that are watched


def first_second(log: Sequence[Call]) -> int:
    return sum(call.time < log[0].time + 1.0 for call in log)


def main() -> None:
    """Two at a time, then the restart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=500, help="of each of the two processes")
    parser.add_argument("--quick", action="store_true", help="100 waits each")
    arguments = parser.parse_args()
    waits = 100 if arguments.quick else arguments.waits
    plan = Plan("", waits, LASTS, 1.5 * PROCESSES * waits / RATE + 30.0, batch=True)
    plans = {
        "ours, quota_share 1.0": plan,
        "ours, quota_share 0.5": plan._replace(quota_share=0.5),
        "naive": plan._replace(naive=True),
    }
    again = plan._replace(waits=PROCESSES * waits, seconds=RESTART_LASTS, patience=RESTARTED - RESTART_LASTS)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(processes(PROCESSES * len(plans)))
        started: list[tuple[str, Server, Plan, list[Future[list[Seen]]]]] = []
        for name, each in plans.items():
            server = stack.enter_context(Server(Settings()))
            here = each._replace(host=server.host)
            started.append((name, server, here, [pool.submit(carry_out, here) for _ in range(PROCESSES)]))
        print(f"\n{PROCESSES} processes with {waits} waits each on one account, {RATE:g} requests/s for both")
        print(WAITS_HEADER)
        for name, server, each, futures in started:
            seen = [one for future in futures for one in future.result()]
            show_waits(name, seen, server.ask(ends), server.ask(calls), each.patience)
            if not each.naive and len(seen) < PROCESSES * waits:
                raise SystemExit(f"broken: of {PROCESSES * waits} waits {len(seen)} ended")
        restarted = []
        for name, each in (("ours", again), ("naive", again._replace(naive=True))):
            server = stack.enter_context(Server(Settings()))
            restarted.append((name, server, pool.submit(carry_out, each._replace(host=server.host))))
        print(f"\nA restart with {PROCESSES * waits} waits: the pace is {RATE:g} requests/s")
        for name, server, future in restarted:
            future.result()
            log = server.ask(calls)
            print(f"  {name:8} first second {first_second(log):5} requests, busiest second {busiest_second(log):5}")


if __name__ == "__main__":
    main()
