"""
``make matrix``: the package imports and its unit tests pass on each Airflow and each Python, each in its environment.

Every Airflow gets constraints.txt with the pins of its own that follow; a Python that the machine lacks is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-matrix"
# Newest first. What is not named here is pinned as in constraints.txt, or as the Airflow wants it.
AIRFLOWS: dict[str, dict[str, str]] = {
    "3.4.0b2": {"apache-airflow-task-sdk": "1.4.0b2"},
    "3.3.2": {"apache-airflow-task-sdk": "1.3.2"},
}
PYTHONS = ("3.11", "3.12", "3.13")
# Every Airflow on the oldest Python, and the one that is developed with on all.
PAIRS = [(airflow, PYTHONS[0]) for airflow in AIRFLOWS] + [("3.3.2", python) for python in PYTHONS[1:]]
_E2E = (("tests/e2e", "--ignore", "tests/e2e/small", "--ignore", "tests/e2e/celery"), ("tests/e2e/small",))
_IMPORT = (
    "import airflow, airflow_provider_mps.operators.mps, airflow_provider_mps.sensors.mps, sys;"
    "from airflow.version import version; print(f'Airflow {version}, Python {sys.version.split()[0]}')"
)


def python_of(version: str) -> str | None:
    """An interpreter of this version: this one, of pyenv, or on the path."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    # Not from the path first: pyenv has commands there for versions that it then refuses to run.
    managed = newest((Path.home() / ".pyenv" / "versions").glob(f"{version}.*"))
    return str(managed / "bin" / "python") if managed else shutil.which(f"python{version}")


def newest(folders: Iterable[Path]) -> Path | None:
    """Of folders that are called as the Python in them; 3.11.10 is later than 3.11.9."""
    found: dict[Version, Path] = {}
    for folder in folders:
        with contextlib.suppress(InvalidVersion):  # such as 3.13.0t, which is another kind of Python
            if (folder / "bin" / "python").exists():
                found[Version(folder.name)] = folder
    return found[max(found)] if found else None


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
    """
    The interpreter of an environment with this Airflow; made if it is not there or was made of other requirements.

    :raises subprocess.CalledProcessError: it cannot be made.
    """
    folder = HOME / f"airflow-{airflow}-python-{python}"
    interpreter, ready, pins = folder / "bin" / "python", folder / "ready", "\n".join(constraints(airflow)) + "\n"
    made_of = hashlib.sha256(pins.encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != made_of:
        print(f"Installing Airflow {airflow} for Python {python}; this takes minutes.", flush=True)
        subprocess.run([str(python_of(python)), "-m", "venv", "--clear", str(folder)], check=True)
        (folder / "constraints.txt").write_text(pins, encoding="utf-8")
        install = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        wanted = ["-c", str(folder / "constraints.txt"), f"apache-airflow=={airflow}", "-e", f"{ROOT}[test]"]
        subprocess.run([*install, *wanted], check=True)
        ready.write_text(made_of)
    return interpreter


def passes(airflow: str, python: str, tests: Sequence[str], *, e2e: bool = False) -> bool:
    """
    Whether it can be installed and imported, and the tests pass.

    :param e2e: those with real processes as well, with fewer tasks.
    """
    try:
        interpreter = str(environment(airflow, python))
        subprocess.run([interpreter, "-c", _IMPORT], check=True)
        parallel = ["--numprocesses", "auto", "--dist", "loadfile"]
        command = [interpreter, "-m", "pytest", "-q", *parallel, "--ignore", "tests/e2e", *tests]
        subprocess.run(command, cwd=ROOT, check=True)
        for part in _E2E if e2e else ():  # one after the other, as in the Makefile
            few = {"MPS_TEST_MANY": "20", **os.environ}
            subprocess.run([interpreter, "-m", "pytest", "-v", *part], cwd=ROOT, env=few, check=True)
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.matrix", description=__doc__)
    parser.add_argument("--only", default="", help="environments with this text in their name")
    parser.add_argument("tests", nargs="*", default=["tests"], help="what pytest is given (default: all unit tests)")
    parser.add_argument("--e2e", action="store_true", help="also the tests with real Airflow processes: minutes each")
    arguments = parser.parse_args()
    results = []
    for airflow, python in PAIRS:
        name = f"Airflow {airflow}, Python {python}"
        if arguments.only not in name:
            continue
        if python_of(python) is None:
            print(f"{name}: left out, this machine has no Python {python}", flush=True)
            continue
        started = time.monotonic()
        results.append(passes(airflow, python, arguments.tests, e2e=arguments.e2e))
        print(f"{name}: {'passed' if results[-1] else 'FAILED'}, {time.monotonic() - started:.0f} s", flush=True)
    if not results:
        print(f"Nothing was run of: {'; '.join(f'Airflow {airflow}, Python {python}' for airflow, python in PAIRS)}")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
