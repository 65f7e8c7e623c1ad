"""``make demo``: the main job, end to end, in a real Airflow against the local MPS."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.local_airflow import LocalAirflow, LocalMpsProcess, connection_to
from dev.processes import workplace

ROOT = Path(__file__).resolve().parent.parent
DAG, RUN = "example_mps_subtitles", "demo"
_MEANING = {
    "running": "running",
    "deferred": "deferred: it waits in the triggerer, no worker is held",
    "success": "success",
    "failed": "failed",
}


def main() -> int:
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)

    with workplace("mps-demo-") as home:
        say("Starting a local MPS and a whole Airflow (api-server, scheduler, dag-processor, triggerer).")
        with (
            LocalMpsProcess(home / "mps.log", "--state-seconds", "8") as mps,
            LocalAirflow(home / "airflow", ROOT / "example_dags") as airflow,
        ):
            airflow.add_connection("mps_default", **connection_to(mps))
            airflow.wait_for_dags(DAG)
            say(f"Running {DAG}: submit once, wait deferred, take the result, save it as SRT.")
            airflow.trigger(DAG, RUN, {"output_path": f"file://{home}/subtitles"})
            last: dict[str, str | None] = {}
            for states in airflow.wait_for_run(DAG, RUN, timeout=150):
                for task, state in states.items():
                    if state in _MEANING and state != last.get(task):
                        say(f"  {task:<9} {_MEANING[state]}")
                last = states
            if set(last.values()) != {"success"}:
                raise RuntimeError(_why(airflow, last))
            _show(airflow, mps, home)
            say("Done. `make airflow` starts the same for clicking around.")
    return 0


def _why(airflow: LocalAirflow, states: Mapping[str, str | None]) -> str:
    """The logs and errors of the tasks that failed, and what became of the others."""
    failed = [task for task, state in states.items() if state == "failed"]
    logs = [f"Log of {task}:\n{airflow.log(DAG, RUN, task)}" for task in failed]
    errors = [f"{task}: {error}" for task in failed for error in airflow.errors(DAG, RUN, task)]
    return "\n\n".join([*logs, *errors, f"The run did not succeed: {dict(states)}"])


def _show(airflow: LocalAirflow, mps: LocalMpsProcess, home: Path) -> None:
    result: dict[str, Any] = airflow.xcom(DAG, RUN, "result")
    heading("What the log of the job says")
    lines = [line.partition(" (RequestId")[0] for line in airflow.log(DAG, RUN, "subtitles").splitlines()]
    for line in dict.fromkeys(lines):  # triggerer and worker both say what they saw
        if line.startswith(("Sending", "MPS")):
            print(f"  {line}")
    heading("Metadata of the video")
    for media in result["metadata"]:
        video, audio = media["video_streams"][0], media["audio_streams"][0]
        rows = {
            "container": media["container"],
            "duration": f"{media['duration']} s",
            "size": f"{media['size'] / 1e6:.1f} MB",
            "video": f"{video['codec']}, {video['width']}x{video['height']}, {video['fps']:g} fps, {_rate(video)}",
            "audio": f"{audio['codec']}, {audio['channels']} channels, {audio['sampling_rate']} Hz, {_rate(audio)}",
        }
        for name, value in rows.items():
            print(f"  {name:<10} {value}")
    heading(f"First subtitles, of {result['subtitles'][0]['segment_count']}")
    srt = next((home / "subtitles").glob("*.srt")).read_text(encoding="utf-8")
    print("\n".join(f"  {line}" for line in "\n\n".join(srt.split("\n\n")[:3]).splitlines()))
    heading("Files that MPS wrote")
    for output in result["outputs"]:
        print(f"  {output['kind']:<10} {output['uri']}")
    heading("Where the values are")
    print(f"  XCom of task `result` in run `{RUN}`: return_value, metadata, subtitles, outputs")
    looks = mps.state()["calls"]["DescribeBatchTaskDetail"]["accepted"]
    print(f"  MPS was asked for the state {looks} times, and ran {mps.state()['jobs']} job.\n")


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _rate(stream: dict[str, Any]) -> str:
    return f"{stream['bitrate'] / 1000:.0f} kbit/s"


if __name__ == "__main__":
    sys.exit(main())
