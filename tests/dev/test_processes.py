"""What a command of ``dev`` starts ends with it, and a failure leaves its logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from dev.processes import Process, loopback_environment, members

ROOT = Path(__file__).resolve().parent.parent.parent
# Whoever started the tests may ignore signals, as a shell does for what it puts into the background.
_COMMAND = """
import os, signal, sys, time
from pathlib import Path
from dev.processes import Process, workplace

for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)

with workplace("mps-test-") as home:
    child = Process([sys.executable, "-c", "import time; print('it said this', flush=True); time.sleep(600)"],
                    os.environ, home / "child.log")
    try:
        print(home, child.pid, flush=True)
        {body}
    finally:
        child.stop()
        print("stopped", flush=True)
"""


def command(body: str) -> subprocess.Popen[str]:
    """A process that starts a child and then does this."""
    code = _COMMAND.format(body=textwrap.indent(textwrap.dedent(body), " " * 8).strip())
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def first_line(process: subprocess.Popen[str]) -> tuple[Path, int]:
    """The folder and the child of the command."""
    assert process.stdout is not None
    folder, pid = process.stdout.readline().split()
    return Path(folder), int(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_what_was_started(number: signal.Signals) -> None:
    """Whoever ends a command ends its processes, although the signal comes again; nothing is left in the folder."""
    process = command("time.sleep(600)")
    folder, child = first_line(process)
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    said, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped" in said
    assert error == "Stopped.\n"
    assert not psutil.pid_exists(child)
    assert not folder.exists()


def test_a_failure_keeps_the_logs_and_shows_their_ends() -> None:
    """What the error points at is there to be read, also where only the output of the command is kept."""
    process = command(
        """
        while not (home / "child.log").read_text(): time.sleep(0.05)
        raise RuntimeError("the reason")
        """
    )
    folder, child = first_line(process)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert not psutil.pid_exists(child)
    assert (folder / "child.log").read_text() == "it said this\n"
    shown = error.index("--- child.log\nit said this"), error.index(f"kept in {folder}"), error.index("the reason")
    assert list(shown) == sorted(shown)
    (folder / "child.log").unlink()
    folder.rmdir()


def test_a_success_leaves_nothing() -> None:
    """The folder goes when the command is done."""
    process = command("pass")
    folder, _ = first_line(process)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not folder.exists()


# As Airflow 3.3 starts a task: in a process group of its own, and in the session of its parent.
_PARENT = """
import signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); "
process = subprocess.Popen([sys.executable, "-c", child + "time.sleep(600)"], process_group=0)
print(process.pid, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(600)", "sys.exit()"], ids=["parent lives", "parent has ended"])
def test_a_grandchild_with_a_group_of_its_own_ends_too(tmp_path: Path, then: str) -> None:
    """Although it ignores SIGTERM, and although its parent may have left it behind."""
    process = Process([sys.executable, "-c", _PARENT.format(then=then)], os.environ, tmp_path / "parent.log")
    end = time.monotonic() + 30
    while len(lines := process.log.read_text().split()) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    (grandchild,) = (int(line) for line in lines if line.isdigit())
    assert os.getpgid(grandchild) != process.pid
    assert grandchild in members(process.pid)
    process.stop()
    assert members(process.pid) == []
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_one_that_cannot_be_stopped_leaves_no_other(tmp_path: Path) -> None:
    """The error is told after the rest of an Airflow has been stopped."""
    stopped: list[str] = []

    class Component:
        def __init__(self, name: str) -> None:
            self.name = name

        def signal(self, number: int) -> None:
            stopped.append(f"SIGTERM {self.name}")

        def stop(self) -> None:
            stopped.append(self.name)
            if self.name == "scheduler":
                raise subprocess.TimeoutExpired("airflow", 10)

    airflow = LocalAirflow(tmp_path, tmp_path)
    names = ("api-server", "scheduler", "triggerer")
    components: Any = {name: Component(name) for name in names}
    airflow.processes = components
    with pytest.raises(subprocess.TimeoutExpired):
        airflow.stop()
    assert stopped[:3] == [f"SIGTERM {name}" for name in names]
    assert set(stopped[3:]) == set(names)


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (None, None, "127.0.0.1,localhost"),
        (".example", None, ".example,127.0.0.1,localhost"),
        ("a, b", "b,c", "a,b,c,127.0.0.1,localhost"),
        ("127.0.0.1", "localhost", "127.0.0.1,localhost"),
        ("a", "*", "*"),
    ],
)
def test_children_ask_no_proxy_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lower: str | None, upper: str | None, expected: str
) -> None:
    """What else needs no proxy is kept, in both spellings, since programs differ in which they read."""
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for env in (loopback_environment(), LocalAirflow(tmp_path, tmp_path).env):
        assert (env["no_proxy"], env["NO_PROXY"]) == (expected, expected)
        assert env["HTTPS_PROXY"] == "http://127.0.0.1:9"


def test_the_local_mps_starts_behind_a_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy of the environment is not asked for what is on loopback."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = dict(os.environ)
    with LocalMpsProcess(tmp_path / "mps.log") as mps:
        mps.control("settings", state_seconds=1)
        assert mps.state()["jobs"] == 0
    assert dict(os.environ) == before
