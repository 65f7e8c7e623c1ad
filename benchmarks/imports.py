"""
What a DAG file pays for importing every operator, sensor and trigger of this package, beyond ``airflow.sdk``.

Each sample is a fresh interpreter that first imports ``airflow.sdk`` and touches what it loads lazily, then imports
one set of modules: CPU milliseconds and resident megabytes of that second step. Byte code exists beforehand. The
official SDK and, where they are installed, some other providers are measured in the same way, for scale; those
providers take turns, one a round. Memory that importing Airflow left free is used again and so not seen.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import airflow_provider_mps

ROUNDS = 9
BUDGET_MS, BUDGET_MB = 15.0, 5.0
SECONDS_WITH_PEERS = 30.0
HEAVY = ("requests", "aiohttp", "pysubs2", "airflow_provider_mps.results")
PACKAGE = Path(airflow_provider_mps.__file__).parent
OURS, SDK = "ours", "official SDK"
PEERS = {
    "dbt-cloud": [f"airflow.providers.dbt.cloud.{kind}.dbt" for kind in ("operators", "sensors", "triggers")],
    "databricks": [f"airflow.providers.databricks.{kind}.databricks" for kind in ("operators", "sensors", "triggers")],
    "amazon": [f"airflow.providers.amazon.aws.{kind}.batch" for kind in ("operators", "sensors", "triggers")],
}


class Sample(NamedTuple):
    """What one fresh interpreter paid."""

    ms: float
    mb: float
    loaded: list[str]


# Runs in the fresh interpreter.
PROBE = """
import gc, importlib, json, os, resource, sys, time
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf

def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:  # not Linux: the highest so far
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage / 1e6 if sys.platform == "darwin" else usage / 1e3

gc.collect()
before, memory, started = set(sys.modules), resident(), time.process_time()
for module in sys.argv[1:]:
    importlib.import_module(module)
milliseconds = (time.process_time() - started) * 1e3
gc.collect()
print(json.dumps([milliseconds, resident() - memory, sorted(set(sys.modules) - before)]))
"""


def own_modules() -> list[str]:
    """Every module with an operator, a sensor or a trigger in it."""
    folders = ("operators", "sensors", "triggers")
    return [
        f"{PACKAGE.name}.{folder}.{module.name}"
        for folder in folders
        for module in pkgutil.iter_modules([str(PACKAGE / folder)])
    ]


def installed_peers() -> dict[str, list[str]]:
    found = {}
    for name, modules in PEERS.items():
        try:
            importlib.metadata.version(f"apache-airflow-providers-{name}")
        except importlib.metadata.PackageNotFoundError:
            print(f"skipped: the provider {name} is not installed")
        else:
            found[name] = modules
    return found


def sample(modules: list[str], airflow_home: str) -> Sample | None:
    """None, and a printed line, if the modules cannot be imported."""
    environment = os.environ | {"AIRFLOW_HOME": airflow_home}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROBE, *modules]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        print(f"cannot be imported: {', '.join(modules)}: {done.stderr.strip().splitlines()[-1]}")
        return None
    return Sample(*json.loads(done.stdout.splitlines()[-1]))


def take_turns(targets: dict[str, list[str]]) -> dict[str, list[Sample]]:
    """Without those that cannot be imported."""
    started = time.monotonic()
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory() as home:
        for name, modules in targets.items():
            if sample(modules, home) is not None:  # this one is not counted: it may have to write byte code
                samples[name] = []
        peers = [name for name in samples if name not in {OURS, SDK}]
        for number in range(ROUNDS):
            turn = [name for name in (OURS, SDK) if name in samples]
            if peers and time.monotonic() - started < SECONDS_WITH_PEERS:
                turn.append(peers[number % len(peers)])
            for name in turn:
                if (result := sample(targets[name], home)) is not None:
                    samples[name].append(result)
    return {name: results for name, results in samples.items() if results}


def main() -> None:
    """Measure, print, and fail if a module is loaded that must not be."""
    compileall.compile_dir(PACKAGE, quiet=2)
    targets = {OURS: own_modules(), SDK: ["tencentcloud.mps.v20190612.mps_client"], **installed_peers()}
    samples = take_turns(targets)
    if OURS not in samples:
        raise SystemExit("broken: the package cannot be imported")
    own_ms, own_mb = (median(getattr(result, key) for result in samples[OURS]) for key in ("ms", "mb"))
    print(f"\nBeyond airflow.sdk, {len(targets[OURS])} modules of ours: {', '.join(targets[OURS])}")
    print(f"  {'':20} {'CPU':>11}  beside ours      memory  samples")
    for name, results in samples.items():
        ms, mb = (median(getattr(result, key) for result in results) for key in ("ms", "mb"))
        print(f"  {name:20} {ms:8.1f} ms     x {ms / own_ms:6.2f} {mb:8.2f} MB {len(results):8}")
    kept = "kept" if own_ms <= BUDGET_MS and own_mb <= BUDGET_MB else "EXCEEDED"
    print(f"  Budget of {BUDGET_MS:g} ms and {BUDGET_MB:g} MB: {kept}")
    loaded = samples[OURS][0].loaded
    heavy = [name for name in loaded if any(f"{name}.".startswith(f"{root}.") for root in HEAVY)]
    print(f"  Loaded by ours of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    if heavy:
        raise SystemExit("broken: these must not be loaded before a task runs")


if __name__ == "__main__":
    main()
