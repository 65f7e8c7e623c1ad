"""The main job in real Airflow processes: deferral, resume, XCom, log, failure, restart, secrets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.harness import DONE, FAILED, RUNNING

DATA = Path(__file__).parent.parent / "data"
pytestmark = pytest.mark.e2e


def _run(
    airflow: LocalAirflow, dag_id: str, run_id: str, conf: dict[str, Any], watched: str = "wait"
) -> tuple[dict[str, Any], set[str]]:
    """Run a DAG to its end; the final states, and every state that the task ``watched`` was seen in."""
    airflow.trigger(dag_id, run_id, conf)
    seen: set[str] = set()
    last: dict[str, Any] = {}
    for states in airflow.wait_for_run(dag_id, run_id, timeout=150):
        seen.add(str(states.get(watched)))
        last = states
    return last, seen


def test_subtitles_from_submission_to_file(airflow: LocalAirflow, mps: LocalMpsProcess, tmp_path: Path) -> None:
    """Submit, wait deferred, parse, save: one job, the right XComs, the SRT, and a log that tells the story."""
    jobs = mps.state()["jobs"]
    dag_id = "example_mps_subtitles"
    states, seen = _run(airflow, dag_id, "e2e", {"output_path": f"file://{tmp_path}"}, "subtitles")
    assert set(states.values()) == {"success"}
    assert "deferred" in seen
    assert mps.state()["jobs"] == jobs + 1
    task_id = airflow.xcom(dag_id, "e2e", "subtitles")
    assert airflow.xcom(dag_id, "e2e", "subtitles", "mps_task_id") == task_id
    result = airflow.xcom(dag_id, "e2e", "result")
    assert result["mps_task_id"] == task_id
    for key in ("metadata", "subtitles", "outputs"):
        assert airflow.xcom(dag_id, "e2e", "result", key) == result[key]
    assert (tmp_path / f"{task_id}.srt").read_text(encoding="utf-8").count("-->") == 120
    log = airflow.log(dag_id, "e2e", "subtitles")
    assert "WAITING" in log
    assert "FINISH (1/1 parts done)" in log


def test_transcode_with_a_gate(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Transcode and snapshots in one job, and a check of what came out."""
    states, _ = _run(airflow, "example_mps_transcode", "e2e", {}, "transcode")
    assert set(states.values()) == {"success"}
    [uri] = airflow.xcom("example_mps_transcode", "e2e", "check")
    assert uri.startswith("cos://media-1250000000/web/talk")


def test_a_look_before_a_transcode(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """A probe chooses the request of the job; a picture beside it is waited for and read as one."""
    states, seen = _run(airflow, "example_mps_inspect", "e2e", {}, "cover")
    assert set(states.values()) == {"success"}
    assert "deferred" in seen
    metadata = airflow.xcom("example_mps_inspect", "e2e", "inspect")
    assert (metadata["height"], metadata["video_streams"][0]["codec"]) == (1080, "h264")
    [file] = airflow.xcom("example_mps_inspect", "e2e", "files")["outputs"]
    assert (file["kind"], file["uri"]) == ("image", "cos://media-1250000000/output/cover_0.webp")


def test_bilingual_subtitles_in_files(airflow: LocalAirflow, mps: LocalMpsProcess, tmp_path: Path) -> None:
    """Bilingual subtitles go to files of two formats, and the next task opens one by the address in the result."""
    dag_id = "example_mps_bilingual_subtitles"
    states, _ = _run(airflow, dag_id, "e2e", {"output_path": f"file://{tmp_path}"}, "subtitles")
    assert set(states.values()) == {"success"}
    task_id = airflow.xcom(dag_id, "e2e", "subtitles")
    assert {path.name for path in (tmp_path / task_id).iterdir()} == {
        f"00-translation-zh-en.{format_}" for format_ in ("srt", "vtt")
    }
    assert "Welcome to today's programme." in airflow.xcom(dag_id, "e2e", "first_cue")


def test_fan_out(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Mapped over three videos: three jobs, and each index has its own result."""
    jobs = mps.state()["jobs"]
    videos = ["x.mp4", "y.mp4", "z.mp4"]
    states, _ = _run(airflow, "example_mps_fan_out", "e2e", {"videos": videos}, "transcode")
    assert set(states.values()) == {"success"}
    assert mps.state()["jobs"] == jobs + 3
    uris = airflow.xcom("example_mps_fan_out", "e2e", "collect")
    assert [uri.rpartition("/")[2][0] for uri in uris] == ["x", "y", "z"]


def test_documented_answers(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """Answers that Tencent publishes, through the whole chain: what they visibly say arrives in XCom."""

    def sample(name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["Response"]
        return body

    processing, finish = sample("describe_task_detail.processing"), sample("describe_task_detail.finish")
    batch = sample("describe_batch_task_detail.finish")
    dag_id = "example_mps_wait_for_task"
    mps.control("tasks", TaskId=finish["WorkflowTask"]["TaskId"], answers=[processing, finish])
    mps.control("tasks", TaskId=batch["TaskId"], answers=[batch])
    airflow.trigger(dag_id, "documented_batch", {"mps_task_id": batch["TaskId"]})
    states, seen = _run(airflow, dag_id, "documented", {"mps_task_id": finish["WorkflowTask"]["TaskId"]})
    assert set(states.values()) == {"success"}
    assert "deferred" in seen
    uri = "cos://vodtestgz-235303****/output/videoplayback_transcode_210.m3u8"
    assert airflow.xcom(dag_id, "documented", "use") == [uri]
    *_, states = airflow.wait_for_run(dag_id, "documented_batch")
    assert set(states.values()) == {"success"}
    (subtitle,) = airflow.xcom(dag_id, "documented_batch", "result", "subtitles")
    assert [segment["translation"] for segment in subtitle["segments"]] == ["Walking.", "Just before you tell me."]
    assert "73YcsZyP" not in json.dumps(airflow.xcom(dag_id, "documented_batch", "result"))  # token of its NotifyUrl


@pytest.mark.fault("F35")
def test_a_failed_job_fails_the_wait(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """FINISH with a failed part fails the sensor after its deferral, and the log names the part."""
    task_id = mps.control("tasks", answers=[RUNNING, FAILED])["TaskId"]
    states, seen = _run(airflow, "example_mps_wait_for_task", "failed", {"mps_task_id": task_id})
    assert states == {"wait": "failed", "result": "upstream_failed", "use": "upstream_failed"}
    assert "deferred" in seen
    log = airflow.log("example_mps_wait_for_task", "failed", "wait")
    assert "MediaProcessResultSet[1].TranscodeTask: FAIL 30010 broken" in log
    assert task_id in log


@pytest.mark.fault("F33")
def test_what_has_ended_is_not_deferred(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """A task that ended before the wait began costs no deferral."""
    task_id = mps.control("tasks", answers=[DONE])["TaskId"]
    states, seen = _run(airflow, "example_mps_wait_for_task", "ended", {"mps_task_id": task_id})
    assert set(states.values()) == {"success"}
    assert "deferred" not in seen


@pytest.mark.fault("F71")
def test_a_bad_id_fails_in_words(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """An id that is none fails at once and says so."""
    states, _ = _run(airflow, "example_mps_wait_for_task", "bad", {"mps_task_id": "None"})
    assert states["wait"] == "failed"
    assert "which is no MPS TaskId" in airflow.log("example_mps_wait_for_task", "bad", "wait")


@pytest.mark.fault("F14")
def test_a_triggerer_restart_changes_nothing(airflow: LocalAirflow, mps: LocalMpsProcess) -> None:
    """A deployment restarts the triggerer in the middle of a wait: the wait goes on, and nothing is aborted."""
    dag_id, run_id = "example_mps_wait_for_task", "restart"
    aborts = mps.state()["aborts"]
    task_id = mps.control("tasks", answers=[RUNNING, RUNNING, DONE])["TaskId"]
    airflow.trigger(dag_id, run_id, {"mps_task_id": task_id})
    end = time.monotonic() + 60
    while airflow.states(dag_id, run_id).get("wait") != "deferred" and time.monotonic() < end:
        time.sleep(0.5)
    airflow.processes["triggerer"].stop()
    airflow.start("triggerer")
    *_, states = airflow.wait_for_run(dag_id, run_id, timeout=150)
    assert set(states.values()) == {"success"}
    assert mps.state()["aborts"] == aborts
