"""``make airflow``: a local Airflow with UI, the example DAGs, a connection and a local MPS, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.processes import workplace

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="of the Airflow UI (default %(default)s)")
    parser.add_argument("--mps-port", type=int, default=8089, help="of the local MPS (default %(default)s)")
    parser.add_argument("--dags", type=Path, default=ROOT / "example_dags", help="folder with DAGs (the examples)")
    arguments = parser.parse_args()
    with workplace("mps-airflow-") as home:
        print("Starting; this takes about 15 seconds.", flush=True)
        with (
            LocalMpsProcess(home / "mps.log", "--state-seconds", "20", port=arguments.mps_port) as mps,
            LocalAirflow(home / "airflow", arguments.dags.resolve(), port=arguments.port) as airflow,
        ):
            airflow.add_connection("mps_default", **connection_to(mps))
            print(
                f"\n  Airflow    {airflow.url}   (no login; connection mps_default is there)\n"
                f"  Local MPS  {mps.url}   (its tasks)\n"
                f"  Logs       {airflow.home}\n\nStop with Ctrl-C.",
                flush=True,
            )
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            print("Stopping.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
