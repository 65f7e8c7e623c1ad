"""The examples and the main job in real Airflow processes: deferral, resume, XCom, log, failure. All run at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow, LocalMpsProcess
from tests.e2e.conftest import ROOT
from tests.e2e.scenario import Metrics, Run
from tests.support.harness import DONE, FAILED, RUNNING

DATA = Path(__file__).parent.parent / "data"
WAIT = "example_mps_wait_for_task"
pytestmark = pytest.mark.e2e


def _sample(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["Response"]
    return body


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples write."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow, mps: LocalMpsProcess, observer: Metrics, files: Path) -> Callable[[str], Run]:
    """Every run of this module, started; they are looked at one after the other."""

    def scripted(*answers: dict[str, Any], task_id: str | None = None) -> dict[str, str]:
        named = {"TaskId": task_id} if task_id else {}
        return {"mps_task_id": mps.control("tasks", answers=answers, **named)["TaskId"]}

    processing, finish = _sample("describe_task_detail.processing"), _sample("describe_task_detail.finish")
    batch, output = _sample("describe_batch_task_detail.finish"), {"output_path": f"file://{files}"}
    confs: dict[str, tuple[str, dict[str, Any]]] = {
        "subtitles": ("example_mps_subtitles", output),
        "bilingual": ("example_mps_bilingual_subtitles", output),
        "transcode": ("example_mps_transcode", {}),
        "inspect": ("example_mps_inspect", {}),
        "fan_out": ("example_mps_fan_out", {"videos": ["x.mp4", "y.mp4", "z.mp4"]}),
        "documented": (WAIT, scripted(processing, finish, task_id=finish["WorkflowTask"]["TaskId"])),
        "documented_batch": (WAIT, scripted(batch, task_id=batch["TaskId"])),
        "failed": (WAIT, scripted(RUNNING, FAILED)),
        "ended": (WAIT, scripted(DONE)),
        "bad": (WAIT, {"mps_task_id": "None"}),
    }
    started = {}
    for name, (dag_id, conf) in confs.items():
        airflow.wait_for_dags(dag_id)
        airflow.trigger(dag_id, name, conf)
        started[name] = Run(airflow, mps, dag_id, name)
    return started.__getitem__


def _succeeded(run: Run) -> None:
    assert set(run.end().values()) == {"success"}


def _was_deferred(observer: Metrics, run: Run, task_id: str) -> bool:
    return "deferred" in observer.seen[run.dag_id, run.run_id, task_id]


def test_subtitles_from_submission_to_file(runs: Callable[[str], Run], observer: Metrics, files: Path) -> None:
    """Submit, wait deferred, parse, save: the right XComs, the SRT, and a log that tells the story."""
    run = runs("subtitles")
    _succeeded(run)
    assert _was_deferred(observer, run, "subtitles")
    task_id = run.xcom("subtitles")
    assert run.xcom("subtitles", "mps_task_id") == task_id
    result = run.xcom("result")
    assert result["mps_task_id"] == task_id
    for key in ("metadata", "subtitles", "outputs"):
        assert run.xcom("result", key) == result[key]
    assert (files / f"{task_id}.srt").read_text(encoding="utf-8").count("-->") == 120
    log = run.log("subtitles")
    assert "WAITING" in log or "PROCESSING" in log
    assert "FINISH (1/1 parts done)" in log


def test_transcode_with_a_gate(runs: Callable[[str], Run]) -> None:
    """Transcode and snapshots in one job, and a check of what came out."""
    _succeeded(runs("transcode"))
    [uri] = runs("transcode").xcom("check")
    assert uri.startswith("cos://media-1250000000/web/talk")


def test_a_look_before_a_transcode(runs: Callable[[str], Run], observer: Metrics) -> None:
    """A probe chooses the request of the job; a picture beside it is waited for and read as one."""
    run = runs("inspect")
    _succeeded(run)
    assert _was_deferred(observer, run, "cover")
    metadata = run.xcom("inspect")
    assert (metadata["height"], metadata["video_streams"][0]["codec"]) == (1080, "h264")
    [file] = run.xcom("files")["outputs"]
    assert (file["kind"], file["uri"]) == ("image", "cos://media-1250000000/output/cover_0.webp")


def test_bilingual_subtitles_in_files(runs: Callable[[str], Run], files: Path) -> None:
    """Bilingual subtitles go to files of two formats, and the next task opens one by the address in the result."""
    run = runs("bilingual")
    _succeeded(run)
    assert {path.name for path in (files / run.xcom("subtitles")).iterdir()} == {
        f"00-translation-zh-en.{format_}" for format_ in ("srt", "vtt")
    }
    assert "Welcome to today's programme." in run.xcom("first_cue")


@pytest.mark.fault("F73")
def test_fan_out(runs: Callable[[str], Run], mps: LocalMpsProcess) -> None:
    """Mapped over three videos: three jobs, and each index has its own result."""
    _succeeded(runs("fan_out"))
    jobs = [job["title"].rpartition("/")[2] for job in mps.state()["tasks"]]
    assert [jobs.count(name) for name in ("x.mp4", "y.mp4", "z.mp4")] == [1, 1, 1]
    uris = runs("fan_out").xcom("collect")
    assert [uri.rpartition("/")[2][0] for uri in uris] == ["x", "y", "z"]


def test_documented_answers(runs: Callable[[str], Run], observer: Metrics) -> None:
    """Answers that Tencent publishes, through the whole chain: what they visibly say arrives in XCom."""
    run = runs("documented")
    _succeeded(run)
    assert _was_deferred(observer, run, "wait")
    assert run.xcom("use") == ["cos://vodtestgz-235303****/output/videoplayback_transcode_210.m3u8"]
    batch = runs("documented_batch")
    _succeeded(batch)
    (subtitle,) = batch.xcom("result", "subtitles")
    assert [segment["translation"] for segment in subtitle["segments"]] == ["Walking.", "Just before you tell me."]
    assert "73YcsZyP" not in json.dumps(batch.xcom("result"))  # token of its NotifyUrl


@pytest.mark.fault("F35")
def test_a_failed_job_fails_the_wait(runs: Callable[[str], Run], observer: Metrics) -> None:
    """FINISH with a failed part fails the sensor after its deferral, and the log names the part."""
    run = runs("failed")
    assert run.end() == {"wait": "failed", "result": "upstream_failed", "use": "upstream_failed"}
    assert _was_deferred(observer, run, "wait")
    assert "MediaProcessResultSet[1].TranscodeTask: FAIL 30010 broken" in run.log("wait")


@pytest.mark.fault("F33")
def test_what_has_ended_is_not_deferred(runs: Callable[[str], Run], observer: Metrics) -> None:
    """A task that ended before the wait began costs no deferral."""
    _succeeded(runs("ended"))
    assert not _was_deferred(observer, runs("ended"), "wait")


@pytest.mark.fault("F71")
def test_a_bad_id_fails_in_words(runs: Callable[[str], Run]) -> None:
    """An id that is none fails at once and says so."""
    assert runs("bad").end()["wait"] == "failed"
    assert "which is no MPS TaskId" in runs("bad").log("wait")


def test_every_example_has_run(airflow: LocalAirflow) -> None:
    """Each file in example_dags has ended in success; an example without a run above fails this test."""
    for path in (ROOT / "example_dags").glob("*.py"):
        done = airflow.rows(f"select count(*) from dag_run where dag_id = '{path.stem}' and state = 'success'")
        assert done[0][0] > 0, path.stem
