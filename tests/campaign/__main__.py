"""``make campaign``: fault campaigns of many seeds, and a table of what they did and found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.campaign.campaign import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=20, help="how many seeds (default %(default)s)")
    parser.add_argument("--tasks", type=int, default=25, help="tasks for each seed (default %(default)s)")
    parser.add_argument("--only", type=int, help="the number of one task, to run alone; its log is printed")
    arguments = parser.parse_args()
    total = Result()
    started = time.monotonic()
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="mps-campaign-") as folder:
            log = Path(folder) / "log"
            result = run(seed, arguments.tasks, log, arguments.only)
            if arguments.only is not None:
                print(log.read_text())
        total.add(result)
        print(
            f"seed {seed:>5}  tasks {result.tasks:>4}  jobs {result.jobs:>4}  aborts {result.aborts:>3}  "
            f"calls {result.calls:>6}  faults {result.faults.total():>5}  blows {result.blows.total():>4}  "
            f"findings {len(result.findings)}  {time.monotonic() - begun:5.1f} s",
            flush=True,
        )
        for finding in result.findings:
            print(f"  {finding}")
    print(table(total))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if total.findings else 0


def table(result: Result) -> str:
    """A result as text: what was injected, how the tasks ended, what was found."""
    count = {word: sum(word in finding for finding in result.findings) for word in _PROMISES}
    rows = [f"\n{result.tasks} tasks, {result.jobs} jobs, {result.calls} calls, {result.refused} refused for the rate"]
    counters = {
        "Network": result.faults,
        "Blows": result.blows,
        "Places": result.places,
        "Jobs": result.outcomes,
        "Ends": result.endings,
    }
    for title, counter in counters.items():
        rows += [f"\n{title}", *(f"  {count:>6}  {name}" for name, count in sorted(counter.items()))]
    rows += ["\nPromises", *(f"  {count[word]:>6}  {text}" for word, text in _PROMISES.items())]
    rows += [f"  {result.late:>6.2f}  seconds from a deadline to the end of its wait, at most"]
    return "\n".join(rows)


_PROMISES = {
    "duplicate job": "duplicate jobs",
    "wrong verdict": "wrong verdicts",
    "lost task": "lost tasks",
    "foreign error": "errors of a try, a trigger or a thread that are neither the provider's nor Airflow's",
    "without a user": "aborts without a user's action or a deadline",
    "before its time": "waits that were given up before their deadline",
    "after its deadline": "waits that went on past their deadline, a poll, a last poll and 5 s for a busy machine",
    "still wait": "jobs left waiting after a user's action or a deadline",
    "the secret": "secrets where they do not belong",
}


if __name__ == "__main__":
    sys.exit(main())
