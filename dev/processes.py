"""The processes that a command starts: each ends when the command ends, in whatever way, and says why it failed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import psutil

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAIL = 15
HOST = "MPS_LOCAL_HOST"


def free_port() -> int:
    """A port on loopback that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def host_name() -> str:
    """What a component of a local Airflow says it runs on; Airflow calls it."""
    return os.environ.get(HOST) or socket.getfqdn()


def loopback_environment() -> dict[str, str]:
    """The environment of this process, in which no proxy is asked for what is on this machine."""
    listed = ",".join(os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    names = dict.fromkeys([*filter(None, map(str.strip, listed.split(","))), "127.0.0.1", "localhost"])
    direct = "*" if "*" in names else ",".join(names)  # the star counts alone only
    return {**os.environ, "no_proxy": direct, "NO_PROXY": direct}


@contextlib.contextmanager
def workplace(prefix: str) -> Iterator[Path]:
    """
    A folder for the logs and files of a command, which SIGTERM and SIGHUP end as Ctrl-C does: what it started stops.

    The folder is removed, unless the command fails: then it stays, and the ends of the logs are printed.
    """
    end_in_order()
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    with contextlib.ExitStack() as removal:
        removal.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            yield folder
        except KeyboardInterrupt:
            sys.exit("Stopped.")
        except Exception:
            removal.pop_all()  # nothing is removed
            print(f"\n{tails(folder)}\n\nIt failed. The logs are kept in {folder}\n", file=sys.stderr)
            raise


def end_in_order() -> None:
    """Have signals that end this process raise KeyboardInterrupt, once: what then stops is not interrupted."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _end)


def _end(*_: object) -> NoReturn:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def tails(folder: Path) -> str:
    """The last lines of the log of each process; those of Airflow's tasks are deeper."""
    logs = sorted([*folder.glob("*.log"), *folder.glob("*/*.log")])
    ends = {log: log.read_text(errors="replace").splitlines()[-_TAIL:] for log in logs}
    return "\n".join("\n".join([f"--- {log.relative_to(folder)}", *lines]) for log, lines in ends.items())


class Process:
    """A child in a session of its own, stopped by its id with whatever it has started there."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path, user: str | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs."""
        return self._popen.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        # macOS answers "not permitted" for a group in which only ended processes are left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stop(self, patience: float = 8.0) -> None:
        """SIGTERM, and SIGKILL for what is still there after ``patience`` seconds."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(patience)
        self.signal(signal.SIGKILL)
        self._kill_session()
        self._popen.wait(10)

    def _kill_session(self) -> None:
        """Airflow 3.3 gives each task a process group of its own, in the same session: the group does not reach it."""
        end = time.monotonic() + 5
        while (left := members(self.pid)) and time.monotonic() < end:  # one may have been born meanwhile
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def members(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):  # it has ended since, or nobody may look at it
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
