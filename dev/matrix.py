"""
``make matrix``: the package imports and its unit tests pass on each Airflow and each Python, each in its environment.

Every Airflow gets constraints.txt with the pins of its own that follow; a Python that the machine lacks is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-matrix"
# Newest first. What is not named here is pinned as in constraints.txt, or as the Airflow wants it.
AIRFLOWS: dict[str, dict[str, str]] = {
    "3.4.0b2": {"apache-airflow-task-sdk": "1.4.0b2"},
    "3.3.2": {"apache-airflow-task-sdk": "1.3.2"},
    "3.2.2": {"apache-airflow-task-sdk": "1.2.2", "aiosqlite": "0.21.0"},
}
PYTHONS = ("3.11", "3.12", "3.13")
# Every Airflow on the oldest Python, and the one that is developed with on all.
PAIRS = [(airflow, PYTHONS[0]) for airflow in AIRFLOWS] + [("3.3.2", python) for python in PYTHONS[1:]]
_IMPORT = (
    "import airflow, airflow_provider_mps.operators.mps, airflow_provider_mps.sensors.mps, sys;"
    "from airflow.version import version; print(f'Airflow {version}, Python {sys.version.split()[0]}')"
)


def python_of(version: str) -> str | None:
    """An interpreter of this version: this one, of pyenv, or on the path."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    # Not from the path first: pyenv has commands there for versions that it then refuses to run.
    managed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    return str(managed[-1]) if managed else shutil.which(f"python{version}")


def constraints(airflow: str) -> Iterator[str]:
    """The lines of constraints.txt for another Airflow."""
    own = {**AIRFLOWS[airflow], "apache-airflow": airflow, "apache-airflow-core": airflow}
    is_pre_release = not airflow.replace(".", "").isdigit()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = line.partition("==")[0]
        if name in own:
            yield f"{name}=={own[name]}"
        elif not is_pre_release:  # which brings needs of its own
            yield line


def environment(airflow: str, python: str) -> Path:
    """The interpreter of an environment with this Airflow; made if it is not there."""
    folder = HOME / f"airflow-{airflow}-python-{python}"
    interpreter = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([str(python_of(python)), "-m", "venv", "--clear", str(folder)], check=True)
        pins = folder / "constraints.txt"
        pins.write_text("\n".join(constraints(airflow)) + "\n", encoding="utf-8")
        install = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(pins)]
        subprocess.run([*install, f"apache-airflow=={airflow}", "-e", f"{ROOT}[test]"], check=True)
        (folder / "ready").touch()
    return interpreter


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=__doc__)
    parser.add_argument("--only", default="", help="environments with this text in their name")
    parser.add_argument("tests", nargs="*", default=["tests"], help="what pytest is given (default: all unit tests)")
    arguments = parser.parse_args()
    failed = 0
    for airflow, python in PAIRS:
        name = f"Airflow {airflow}, Python {python}"
        if arguments.only not in name:
            continue
        if python_of(python) is None:
            print(f"{name}: left out, this machine has no Python {python}", flush=True)
            continue
        started = time.monotonic()
        interpreter = str(environment(airflow, python))
        subprocess.run([interpreter, "-c", _IMPORT], check=True)
        parallel = ["--numprocesses", "auto", "--dist", "loadfile"]
        command = [interpreter, "-m", "pytest", "-q", *parallel, "--ignore", "tests/e2e", *arguments.tests]
        done = subprocess.run(command, cwd=ROOT, check=False)
        failed += bool(done.returncode)
        print(f"{name}: {'FAILED' if done.returncode else 'passed'}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
