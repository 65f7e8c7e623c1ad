"""``make soak``: steady work in a real Airflow. The triggerer's memory and descriptors are flat, nothing is lost."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.local_postgres import database
from dev.processes import workplace

DAGS = Path(__file__).resolve().parent / "soak_dags"
_JOBS_IN_A_RUN = 20
_RUN_EVERY = 60.0
_SAMPLE_EVERY = 10.0
_GROWTH = 1.05
_SHORTEST = 2.0


class Sample(NamedTuple):
    """The triggerer with its children at one moment."""

    seconds: float
    memory: int
    descriptors: int
    triggers: int


def sample(airflow: LocalAirflow, started: float) -> Sample:
    """Measure now."""
    started_here = airflow.processes["triggerer"]
    if started_here.returncode is not None:
        raise RuntimeError(f"The triggerer has ended with {started_here.returncode}.")
    triggerer = psutil.Process(started_here.pid)
    family = [triggerer, *triggerer.children(recursive=True)]
    triggers = airflow.rows("select count(*) from trigger")[0][0]
    memory = descriptors = 0
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that has ended since
            memory, descriptors = memory + process.memory_info().rss, descriptors + process.num_fds()
    return Sample(time.monotonic() - started, memory, descriptors, triggers)


def work(airflow: LocalAirflow, minutes: float) -> tuple[list[Sample], int]:
    """Start a run each minute, and measure; the samples, and how many runs there were."""
    started, samples, runs = time.monotonic(), [], 0
    while (now := time.monotonic() - started) < minutes * 60:
        if now >= runs * _RUN_EVERY:
            airflow.trigger("soak", f"run_{runs}", {"count": _JOBS_IN_A_RUN})
            runs += 1
        samples.append(sample(airflow, started))
        last = samples[-1]
        print(
            f"[{last.seconds:6.0f} s] {last.memory / 2**20:6.1f} MiB, {last.descriptors} descriptors, "
            f"{last.triggers} triggers",
            flush=True,
        )
        time.sleep(_SAMPLE_EVERY)
    return samples, runs


def flat(samples: list[Sample], settled: float) -> bool:
    """Compare the first third after the start with the last third, in which equally many tasks wait."""
    steady = [entry for entry in samples if entry.seconds >= settled]
    if (third := len(steady) // 3) == 0:
        raise RuntimeError(f"{len(steady)} samples after {settled:.0f} s are too few to compare; run it for longer.")
    first, last = steady[:third], steady[-third:]
    memory = [statistics.median(entry.memory for entry in part) for part in (first, last)]
    descriptors = [statistics.median(entry.descriptors for entry in part) for part in (first, last)]
    print(
        f"Memory {memory[0] / 2**20:.1f} -> {memory[1] / 2**20:.1f} MiB ({memory[1] / memory[0] - 1:+.1%}), "
        f"descriptors {descriptors[0]:g} -> {descriptors[1]:g} (first and last third after {settled:.0f} s)"
    )
    return memory[1] <= memory[0] * _GROWTH and descriptors[1] <= descriptors[0] * _GROWTH


def nothing_lost(airflow: LocalAirflow, mps: LocalMpsProcess, runs: int) -> bool:
    """Wait for all runs, and count: as many jobs as tasks, every task in success, no abort."""
    for number in range(runs):
        for _ in airflow.wait_for_run("soak", f"run_{number}", timeout=900):
            pass
    states = dict(airflow.rows("select state, count(*) from task_instance where task_id = 'job' group by state"))
    counted, tasks = mps.state(), runs * _JOBS_IN_A_RUN
    refused = sum(codes.get("RequestLimitExceeded", 0) for codes in counted["calls"].values())
    looks = sum(sum(codes.values()) for action, codes in counted["calls"].items() if action.startswith("Describe"))
    print(
        f"{tasks} tasks: {states}; {counted['jobs']} jobs, {counted['aborts']} aborts, {looks} looks, {refused} refused"
    )
    return states == {"success": tasks} and counted["jobs"] == tasks and not counted["aborts"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="of steady work (default %(default)s)")
    parser.add_argument("--job-seconds", type=float, default=120, help="in each of two states (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.minutes < _SHORTEST:
        parser.error(f"--minutes must be at least {_SHORTEST:g}; what is shorter has too few samples to compare")
    # A run waits for both states; until then the number of triggers grows.
    settled = min(2 * arguments.job_seconds + 90, arguments.minutes * 20)
    with workplace("mps-soak-") as home, database() as url:
        print(f"{os.cpu_count()} processors, {'PostgreSQL' if url else 'SQLite'}; starting.", flush=True)
        with (
            LocalMpsProcess(home / "mps.log", "--state-seconds", str(arguments.job_seconds)) as mps,
            LocalAirflow(home / "airflow", DAGS, database=url) as airflow,
        ):
            airflow.add_connection("mps_default", **connection_to(mps))
            airflow.wait_for_dags("soak")
            samples, runs = work(airflow, arguments.minutes)
            complete = nothing_lost(airflow, mps, runs)
            if not flat(samples, settled) or not complete:
                raise RuntimeError("The triggerer grew, or something was lost; see above.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
