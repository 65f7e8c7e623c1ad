"""
A whole Airflow on loopback, each component a process: with LocalExecutor, or with Celery workers and two of each kind.

Used by ``make demo``, ``make airflow`` and the end-to-end tests. ``dag.test()`` shows none of what deferral does.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from dev.processes import HOST, Process, free_port, loopback_environment

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
# The deployment of a team that has outgrown one machine.
TEAM = (*COMPONENTS, "worker", "scheduler-2", "triggerer-2", "worker-2")
_ROOT = Path(__file__).resolve().parent.parent
_HEALTH_NAMES = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class LocalAirflow:
    """
    An Airflow with a home of its own; use it in a ``with``.

    :param home: where its database and logs go; it is created.
    :param dags: folder with DAG files.
    :param port: of the API and UI; 0 takes a free one.
    :param database: SQLAlchemy URL of an empty database; None for SQLite in ``home``.
    :param broker: URL of a Redis: Celery workers run the tasks, and :data:`TEAM` is started, each component with a
        host name of its own. None for :data:`COMPONENTS` with LocalExecutor.
    :param config: more settings, as ``AIRFLOW__SECTION__KEY``.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        port: int = 0,
        database: str | None = None,
        broker: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.database = database or f"sqlite:///{home}/airflow.db"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.components = TEAM if broker else COMPONENTS
        self.processes: dict[str, Process] = {}
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy leads to this machine
        # One that had been idle for two minutes was not answered any more, while others were.
        self._http.headers["Connection"] = "close"
        clean = {key: value for key, value in loopback_environment().items() if not key.startswith("AIRFLOW")}
        self.env = {
            **clean,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": _fernet_key(),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            **(_celery(broker, clean) if broker else {}),
            **(config or {}),
        }

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            self._run("db", "migrate")
            for name in self.components:
                self.start(name)
            self.wait_until_healthy(30 * len(self.components))
        except BaseException:  # also Ctrl-C: what was started is stopped
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str) -> Process:
        """Start one component; a number after its name sets a second one of a kind apart."""
        component = name.removesuffix("-2")
        arguments, env = [component], dict(self.env)
        if component == "worker":
            # The log server is left out: all write to one folder, and it would listen on every network.
            arguments = ["celery", "worker", "--celery-hostname", name, "--skip-serve-logs"]
        if self.components is TEAM:
            env[HOST] = self.host(name)
        if name != component:
            env["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] = str(free_port())
        process = Process(self._command(*arguments), env, self.home / f"{name}.log")
        self.processes[name] = process
        return process

    def host(self, name: str) -> str:
        """The host that a component of a team says it runs on: an address of loopback for each."""
        return f"127.0.0.{TEAM.index(name) + 2}"

    def end(self, name: str, patience: float = 8.0) -> None:
        """Stop one component, and expect it no longer."""
        self.processes.pop(name).stop(patience)

    def stop(self) -> None:
        """Stop every process that was started here, also when one of them cannot be stopped."""
        with contextlib.ExitStack() as rest:
            rest.callback(self._http.close)
            for process in self.processes.values():
                rest.callback(process.stop)
                process.signal(signal.SIGTERM)

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the public REST API below ``/api/v2`` and return its JSON."""
        if "Authorization" not in self._http.headers:
            token = self._http.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        answer = self._http.request(method, f"{self.url}/api/v2/{path}", timeout=90, **arguments)
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def add_connection(self, connection_id: str, **fields: Any) -> None:
        """Store a connection in the database, as the UI does."""
        self.api("POST", "connections", json={"connection_id": connection_id, **fields})

    def wait_for_dags(self, *dag_ids: str) -> None:
        """Return when the DAG processor has read these DAGs; import errors are raised."""
        for _ in _ticks(90):
            if errors := self.api("GET", "importErrors")["import_errors"]:
                raise RuntimeError(errors[0]["stack_trace"])
            known = {dag["dag_id"] for dag in self.api("GET", "dags?limit=200")["dags"]}
            if set(dag_ids) <= known:
                return
        raise TimeoutError(f"The DAGs {dag_ids} did not appear; {self.home}/dag-processor.log tells more.")

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Start a run."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self.api("POST", f"dags/{dag_id}/dagRuns", json=body)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        found: list[dict[str, Any]] = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return found

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Task id to state."""
        return {ti["task_id"]: ti["state"] for ti in self.task_instances(dag_id, run_id)}

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120) -> Iterator[dict[str, str | None]]:
        """Yield the states of the tasks at each change, until the run has ended."""
        last: dict[str, str | None] = {}
        for _ in _ticks(timeout):
            states = self.states(dag_id, run_id)
            if states != last:
                last = states
                yield states
            run = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")
            if run["state"] in {"success", "failed"} and all(state in _ENDED for state in states.values()):
                return
        raise TimeoutError(f"Run {run_id} of {dag_id} did not end within {timeout:g} s: {last}")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A value that a task pushed."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", f"{path}?deserialize=false&stringify=false")["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The log of one try, the triggerer's part included."""
        content = self._log(dag_id, run_id, task_id, try_number)
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)

    def errors(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """The exceptions in the log of the first try, with their types; of one with a cause the cause comes first."""
        lines = [line for line in self._log(dag_id, run_id, task_id, 1) if isinstance(line, dict)]
        found = [error for line in lines for error in reversed(line.get("error_detail") or [])]
        return [f"{error['exc_type']}: {error['exc_value']}" for error in found]

    def _log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[Any]:
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content: list[Any] = self.api("GET", path, headers={"Accept": "application/json"})["content"]
        return content

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a SELECT on the metadata database answers, for what the REST API does not tell."""
        from sqlalchemy import create_engine, text
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.database, poolclass=NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            self._command(*arguments), env=self.env, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *arguments]

    def wait_until_healthy(self, timeout: float) -> None:
        """Return when all components say so; one that has ended is an error."""
        for _ in _ticks(timeout):
            for name, process in self.processes.items():
                if process.returncode is not None:
                    tail = process.log.read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"airflow {name} ended with {process.returncode}:\n{tail}")
            with contextlib.suppress(requests.RequestException):
                health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
                healthy = all((health.get(name) or {}).get("status") == "healthy" for name in _HEALTH_NAMES)
                if healthy and all(map(self._is_ready, self.processes)):
                    return
        raise TimeoutError(f"Airflow is not healthy after {timeout:g} s; its logs are in {self.home}.")

    def _is_ready(self, name: str) -> bool:
        """What the health check of the API server leaves out: the second of a kind, and Celery workers."""
        if name.startswith("worker"):
            return f"celery@{name} ready" in self.processes[name].log.read_text(errors="replace")
        if not name.endswith("-2") or self.components is not TEAM:
            return True
        alive = f"select count(*) from job where state = 'running' and hostname = '{self.host(name)}'"
        return bool(self.rows(alive)[0][0])


class LocalMpsProcess:
    """``python -m airflow_provider_mps.emulator`` in a process of its own; use it in a ``with``."""

    def __init__(self, log: Path, *arguments: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._arguments = arguments

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "airflow_provider_mps.emulator", "--port", str(self.port), *self._arguments]
        self._process = Process(command, loopback_environment(), self._log)
        try:
            for _ in _ticks(30):
                if self._process.returncode is not None:
                    raise RuntimeError(f"The local MPS did not start:\n{self._log.read_text()[-2000:]}")
                with contextlib.suppress(requests.RequestException):
                    self.state()
                    return self
            raise TimeoutError("The local MPS did not start within 30 s.")
        except BaseException:  # also Ctrl-C: what was started is stopped
            self._process.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def state(self) -> dict[str, Any]:
        """Jobs, aborts and calls so far."""
        return self._ask("GET", "state")

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        """Script a fault, a task or the clock."""
        return self._ask("POST", path, json=body)

    def end_faults(self) -> None:
        """Play no scripted fault any more."""
        self._ask("DELETE", "faults")

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with requests.Session() as http:
            http.trust_env = False  # no proxy leads to this machine
            answer = http.request(method, f"{self.url}/control/{path}", timeout=5, **arguments)
        answer.raise_for_status()
        done: dict[str, Any] = answer.json()
        return done


def connection_to(mps: LocalMpsProcess) -> dict[str, Any]:
    """Fields of a connection to the local MPS."""
    from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY

    return {
        "conn_type": "tencentcloud_mps",
        "login": SECRET_ID,
        "password": SECRET_KEY,
        "host": "http://127.0.0.1",
        "port": mps.port,
        "extra": '{"region": "ap-guangzhou"}',
    }


def _celery(broker: str, env: Mapping[str, str]) -> dict[str, str]:
    """Settings of Airflow; the results go to the metadata database, as by default."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "dev.processes.host_name",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "4",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",  # seconds; the default, which warns
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), env.get("PYTHONPATH")))),  # where the callable is
    }


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _ticks(timeout: float) -> Iterator[None]:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        yield
        time.sleep(0.5)
