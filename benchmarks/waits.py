"""
A thousand waits in one triggerer, and all jobs end at once: refused requests, and seconds until each end is noticed.

The server counts as MPS documents it: 20 polls of batches a second, 100 of WorkflowTasks. The worker that an event
resumes polls as well, and counts. WorkflowTasks can be listed, so that an end costs the worker's poll only, and
``quota_share`` is 1.0. Batches cannot: an end costs two requests, and ``quota_share`` is 0.5, which leaves the other
half to the workers. No poller can notice all ends sooner than N / rate seconds,
where the rate is its share. ``--allowed 0.2`` lets the server take a fifth of that without telling anybody. Naive
polling waits beside it, each on a server and in a process of its own, at the same time.
"""

from __future__ import annotations

import argparse
import contextlib

from _waits import SETTLED, WAITS_HEADER, Plan, Server, calls, carry_out, ends, percentile, processes, show_waits

from airflow_provider_mps.emulator.models import Settings

RATES = {"DescribeTaskDetail": 100.0, "DescribeBatchTaskDetail": 20.0, "DescribeTasks": 100.0}
LASTS = 45.0  # seconds
KINDS = {"batch": "DescribeBatchTaskDetail", "workflow": "DescribeTaskDetail"}
SHARES = {"batch": 0.5, "workflow": 1.0}


def main() -> None:
    """Wait for batch tasks and for WorkflowTasks, ours and naive, all at the same time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--no-naive", action="store_true", help="ours only")
    parser.add_argument("--allowed", type=float, default=1.0, help="share of the documented rates (default 1.0)")
    parser.add_argument("--kind", choices=KINDS, help="only this kind of task")
    parser.add_argument("--quick", action="store_true", help="200 waits")
    arguments = parser.parse_args()
    waits = 200 if arguments.quick else arguments.waits
    rates = {action: rate * arguments.allowed for action, rate in RATES.items()}
    kinds = {kind: action for kind, action in KINDS.items() if arguments.kind in {None, kind}}
    runs = [(kind, naive) for kind in kinds for naive in ((False,) if arguments.no_naive else (False, True))]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(Settings(rates=rates))) for _ in runs]
        pool = stack.enter_context(processes(len(runs)))
        futures = []
        for server, (kind, naive) in zip(servers, runs, strict=True):
            patience = 1.2 * waits / (rates[KINDS[kind]] * SHARES[kind]) + 30.0
            plan = Plan(
                server.host, waits, LASTS, patience, batch=kind == "batch", quota_share=SHARES[kind], naive=naive
            )
            futures.append((server, plan, pool.submit(carry_out, plan)))
        results = [(server, plan, future.result()) for server, plan, future in futures]
        print(f"\n{waits} waits, poll_interval 10, all jobs end after {LASTS:.0f} s; later: after {SETTLED:.0f} s")
        print(WAITS_HEADER)
        for server, plan, seen in results:
            name = f"{'batch' if plan.batch else 'workflow'}, {'naive' if plan.naive else 'ours'}"
            delays = show_waits(name, seen, server.ask(ends), server.ask(calls), plan.patience)
            if plan.naive:
                continue
            bound = waits / (rates[KINDS["batch" if plan.batch else "workflow"]] * plan.quota_share)
            print(f"  {'':34} p99 is x {percentile(delays, 0.99) / bound:.2f} of N / rate = {bound:.0f} s")
            if len(seen) < waits or any(each.status != "resume" for each in seen):
                raise SystemExit(f"broken: of {waits} waits {len(seen)} ended")


if __name__ == "__main__":
    main()
