"""What the end-to-end tests share: many runs at once in one Airflow, each counted by the name of its own input."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

import psutil

from dev.local_airflow import LocalAirflow, LocalMpsProcess

QUEUED = "queued.mp4"  # the local MPS leaves a job of such a name in WAITING
FAILS = "all-fail.mp4"
PLAIN = "talk.mp4"


def until(true: Callable[[], Any], timeout: float = 120, what: str = "it") -> Any:
    """The first true value of a condition."""
    end = time.monotonic() + timeout
    while not (value := true()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(0.3)
    return value


class Run:
    """
    One run of a DAG whose task ``job`` sends jobs named after the run.

    :param mps: where its jobs are counted.
    """

    def __init__(self, airflow: LocalAirflow, mps: LocalMpsProcess, dag_id: str, run_id: str) -> None:
        self.airflow, self.mps, self.dag_id, self.run_id = airflow, mps, dag_id, run_id

    def start(self, ending: str = PLAIN, **conf: Any) -> Self:
        """Begin; the file name of the input says what becomes of the job."""
        self.airflow.trigger(self.dag_id, self.run_id, {"name": f"{self.run_id}.{ending}", **conf})
        return self

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs at MPS whose input carries the name of this run."""
        return [task for task in self.mps.state()["tasks"] if f"/{self.run_id}." in task["title"]]

    @property
    def counts(self) -> tuple[int, int]:
        """Jobs and aborts."""
        jobs = self.jobs
        return len(jobs), sum(job["aborted"] for job in jobs)

    @property
    def states(self) -> Counter[str | None]:
        """How many of the tasks ``job``, of which there may be many, are in each state."""
        tasks = self.airflow.rows(
            "select state, count(*) from task_instance where task_id = 'job' "
            f"and dag_id = '{self.dag_id}' and run_id = '{self.run_id}' group by state"
        )
        return Counter(dict(tasks))

    def tries(self, task_id: str = "job") -> int:
        """The number of the present or last try."""
        rows = self.airflow.rows(
            f"select try_number from task_instance where task_id = '{task_id}' "
            f"and dag_id = '{self.dag_id}' and run_id = '{self.run_id}'"
        )
        return int(rows[0][0])

    def pid(self) -> int | None:
        """The process in which the task runs, while it does; its parent supervises it."""
        rows = self.airflow.rows(
            "select pid from task_instance where task_id = 'job' and state = 'running' "
            f"and dag_id = '{self.dag_id}' and run_id = '{self.run_id}'"
        )
        return rows[0][0] if rows else None

    def wait_for(self, state: str, timeout: float = 120) -> None:
        """Until the task is in this state."""
        until(lambda: self.states[state], timeout, f"{self.dag_id} {self.run_id} {state}")

    def in_a_triggerer(self) -> int:
        """Wait until a triggerer has run its trigger for a moment (Airflow calls nobody before); returns which one."""
        owner: int = until(self.owner, what=f"a triggerer for {self.run_id}")
        time.sleep(3)
        return owner

    def owner(self) -> int | None:
        """The triggerer that has the trigger of this run."""
        rows = self.airflow.rows(
            "select trigger.triggerer_id from trigger join task_instance on task_instance.trigger_id = trigger.id "
            f"where task_instance.dag_id = '{self.dag_id}' and task_instance.run_id = '{self.run_id}'"
        )
        return rows[0][0] if rows else None

    def end(self, timeout: float = 240) -> dict[str, str | None]:
        """Wait for the end of the run; the last states."""
        last: dict[str, str | None] = {}
        for states in self.airflow.wait_for_run(self.dag_id, self.run_id, timeout):
            last = states
        return last

    def mark(self, state: str) -> None:
        """As a user does it."""
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/job"
        self.airflow.api("PATCH", path, json={"new_state": state})

    def clear(self) -> None:
        """As a user does it."""
        body = {"dag_run_id": self.run_id, "dry_run": False, "only_failed": False, "task_ids": ["job"]}
        self.airflow.api("POST", f"dags/{self.dag_id}/clearTaskInstances", json=body)

    def log(self, task_id: str = "job", try_number: int | None = None) -> str:
        """The log of one try, else of all."""
        texts = []
        for number in [try_number] if try_number else range(1, self.tries(task_id) + 1):
            with contextlib.suppress(RuntimeError):  # a try that Airflow did not get to start has none
                texts.append(self.airflow.log(self.dag_id, self.run_id, task_id, number))
        return "\n".join(texts)

    def xcom(self, task_id: str = "job", key: str = "return_value") -> Any:
        """A value that a task pushed."""
        return self.airflow.xcom(self.dag_id, self.run_id, task_id, key)


def strike(run: Run, whom: Literal["worker", "supervisor"], number: int) -> None:
    """
    Send a signal to the process in which the task of a run works, or to the one that supervises it.

    It returns when that process has ended, or when the work has ended to which the supervisor passes the signal on.
    """
    worker = psutil.Process(until(run.pid, what="a worker"))
    process = worker if whom == "worker" else worker.parent()
    process.send_signal(number)
    gone = process if number == signal.SIGKILL else worker
    with contextlib.suppress(TimeoutError):
        until(lambda: _has_ended(gone), timeout=15)
    if not _has_ended(gone):  # who shuts down a host tells all of them
        gone.send_signal(number)
        until(lambda: _has_ended(gone), what="its end")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def no_task_starts(airflow: LocalAirflow) -> Iterator[None]:
    """For as long as this lasts the executor starts no task: what is queued stays queued. What runs goes on."""
    pids = [process.pid for name, process in airflow.processes.items() if name.startswith("worker")]
    if not pids:  # LocalExecutor: its workers were forked at the start, and one of those that are idle is the next
        children = psutil.Process(airflow.processes["scheduler"].pid).children()
        pids = [child.pid for child in children if "LocalExecutor: <idle>" in " ".join(child.cmdline())]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


class Background(ABC):
    """Does something every second on a thread of its own, until it is stopped."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            self.note()

    @abstractmethod
    def note(self) -> None:
        """What is done every second."""


class Loops(Background):
    """
    For how long the event loops of triggerers were held, as Airflow's own watchdog tells it in their logs.

    What a process had to wait for a processor is no fault of the code that runs in it. Linux tells how long that was,
    for each thread; all count, since a loop also waits for a thread that was put to sleep with the interpreter's lock.
    """

    known = Path("/proc/self/schedstat").exists()

    def __init__(self, airflow: LocalAirflow) -> None:
        super().__init__()
        self._airflow = airflow
        self._waited: dict[str, list[tuple[float, float]]] = {}

    def note(self) -> None:
        for name, process in list(self._airflow.processes.items()):
            if name.startswith("triggerer"):
                with contextlib.suppress(OSError):  # it ends, or has ended
                    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                        threads = Path(f"/proc/{child}/task").glob("*/schedstat")
                        waited = sum(int(thread.read_text().split()[1]) for thread in threads) / 1e9
                        self._waited.setdefault(child, []).append((time.time(), waited))

    def held(self, tolerated: float) -> list[float]:
        """The seconds of each time in which a loop was held for longer than that, although it could run."""
        self.note()
        found = []
        for log in self._airflow.home.glob("triggerer*.log"):
            for end, seconds in re.findall(r"(\S+Z) .*thread was blocked for ([\d.]+) seconds", log.read_text("utf-8")):
                ended, lasted = datetime.fromisoformat(end).timestamp(), float(seconds)
                found.append(lasted - self._wait_for_a_processor(ended - lasted, ended))
        return [seconds for seconds in found if seconds > tolerated]

    def _wait_for_a_processor(self, since: float, until: float) -> float:
        """The longest of any process in this time."""
        most = 0.0
        for samples in self._waited.values():
            before = [waited for at, waited in samples if at <= since]
            after = [waited for at, waited in samples if at >= until]
            if before and after:
                most = max(most, after[0] - before[-1])
        return most


class Metrics(Background):
    """Notes every state of a task, by DAG, run and task, what is stored of triggers and of what comes after them."""

    def __init__(self, airflow: LocalAirflow) -> None:
        super().__init__()
        self.trigger_arguments: set[str] = set()
        self.next_arguments: set[str] = set()
        self.seen: dict[tuple[str, str, str], set[str]] = {}
        self._airflow = airflow

    def note(self) -> None:
        for *task, state in self._airflow.rows("select dag_id, run_id, task_id, state from task_instance"):
            self.seen.setdefault((task[0], task[1], task[2]), set()).add(str(state))
        self.trigger_arguments.update(str(row[0]) for row in self._airflow.rows("select kwargs from trigger"))
        resumed = self._airflow.rows("select next_kwargs from task_instance where next_method is not null")
        self.next_arguments.update(str(row[0]) for row in resumed)


class StatsD:
    """A StatsD server that keeps what it is sent."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.lines: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="statsd")

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                self.lines += self._socket.recv(65_535).decode().splitlines()
            except TimeoutError:
                continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()
