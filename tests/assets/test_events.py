"""Asset events for what a job wrote: as the DAG author's outlets ask for it, the same in every way of waiting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from tests.support.harness import ALL_MODES, RUNNING, Mode, answer, new_context, part, run_sensor
from tests.support.submitting import WAYS, process, submit

ALIAS = AssetAlias("web-videos")
VIDEO = "cos://media-1250000000/web/talk_Transcode_100030.mp4"
_STORAGE = {"Type": "COS", "CosOutputStorage": {"Bucket": "media-1250000000", "Region": "ap-nanjing"}}


def _context() -> dict[str, Any]:
    return new_context() | {"outlet_events": OutletEventAccessors()}


def _added(context: dict[str, Any], alias: AssetAlias = ALIAS) -> dict[str, dict[str, Any]]:
    """URI to extra, of all that an alias got."""
    events = context["outlet_events"][alias].asset_alias_events
    assert json.loads(json.dumps([event.extra for event in events])) == [event.extra for event in events]
    return {event.dest_asset_key.uri: event.extra for event in events}


def _wrote(*names: str) -> list[dict[str, Any]]:
    return [part(Output={"Path": name, "OutputStorage": _STORAGE}) for name in names]


def _request(**parts: Any) -> dict[str, Any]:
    return process(OutputDir="/web/", MediaProcessTask={"TranscodeTaskSet": [{"Definition": 100030}], **parts})


@WAYS
def test_an_alias_gets_every_file(airflow_mps: LocalMps, deferrable: bool) -> None:
    """One event for each file, with what MPS told of it and the task that wrote it."""
    context = _context()
    request = _request(AnimatedGraphicTaskSet=[{"Definition": 20000}])
    task_id = submit(MpsProcessMediaOperator, request=request, context=context, outlets=[ALIAS], deferrable=deferrable)
    added = _added(context)
    assert list(added) == [VIDEO, "cos://media-1250000000/web/talk_AnimatedGraphics_20000.gif"]
    assert added[VIDEO] == {
        "mps_task_id": task_id,
        "kind": "transcode",
        "files": 1,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "size": 43303172,
        "duration": 372.5,
        "bitrate": 930001,
        "width": 1280,
        "height": 720,
        "video_codec": "h264",
        "audio_codec": "aac",
    }


@ALL_MODES
def test_the_sensor_announces_too(airflow_mps: LocalMps, mode: Mode) -> None:
    """Also a job that something else started can wake DAGs, in every mode."""
    context = _context()
    task_id = airflow_mps.backend.script([RUNNING, answer(*_wrote("/web/a.mp4"))])
    run_sensor(mode, context=context, mps_task_id=task_id, outlets=[ALIAS])
    assert list(_added(context)) == ["cos://media-1250000000/web/a.mp4"]


def test_a_static_outlet_gets_the_facts_of_its_file(airflow_mps: LocalMps) -> None:
    """Airflow emits its event; the file's facts stand in it. An asset of another kind is left alone."""
    context = _context()
    outlets = [Asset(uri=VIDEO), Asset("a_table")]
    submit(MpsProcessMediaOperator, request=_request(), context=context, outlets=outlets)
    events = context["outlet_events"]
    assert events[outlets[0]].extra["width"] == 1280
    assert outlets[1] not in list(events)


def test_a_folder_counts_its_files(airflow_mps: LocalMps) -> None:
    """An outlet may be the folder that a job writes to."""
    context = _context()
    folder = Asset(uri="cos://media-1250000000/web/")
    submit(
        MpsProcessMediaOperator,
        request=_request(SampleSnapshotTaskSet=[{"Definition": 10}]),
        context=context,
        outlets=[folder],
    )
    assert context["outlet_events"][folder].extra["files"] == 11


def test_many_pictures_are_one_event(airflow_mps: LocalMps) -> None:
    """Hundreds of snapshots do not become hundreds of assets: their folder does, with their number."""
    context = _context()
    shots = {"ImagePathSet": [f"/shots/{n}.jpg" for n in range(500)], "OutputStorage": _STORAGE}
    pictures = {"Type": "SampleSnapshot", "SampleSnapshotTask": part(Output=shots)["TranscodeTask"]}
    task_id = airflow_mps.backend.script([answer(*_wrote("/a.mp4"), pictures)])
    run_sensor(Mode.POKE, context=context, mps_task_id=task_id, outlets=[ALIAS])
    added = _added(context)
    assert list(added) == ["cos://media-1250000000/a.mp4", "cos://media-1250000000/shots"]
    assert added["cos://media-1250000000/shots"]["files"] == 500


def test_an_outlet_that_was_not_written_is_named(airflow_mps: LocalMps, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow emits the event of a static outlet whatever the job did; the log says that the file is not there."""
    task_id = airflow_mps.backend.script([answer(*_wrote("/web/a.mp4"))])
    wrong = Asset(uri="cos://media-1250000000/web/b.mp4")
    run_sensor(Mode.POKE, context=_context(), mps_task_id=task_id, outlets=[wrong])
    assert f"did not write {wrong.uri}" in capsys.readouterr().out


def test_a_name_too_long_for_airflow_is_named(airflow_mps: LocalMps, capsys: pytest.CaptureFixture[str]) -> None:
    """Airflow takes 1500 characters; the other files are announced all the same."""
    context = _context()
    task_id = airflow_mps.backend.script([answer(*_wrote(f"/{'视' * 250}.mp4", "/a.mp4"))])
    run_sensor(Mode.POKE, context=context, mps_task_id=task_id, outlets=[ALIAS])
    assert list(_added(context)) == ["cos://media-1250000000/a.mp4"]
    assert "No asset event for cos://media-1250000000/%E8" in capsys.readouterr().out


def test_nothing_is_announced_of_a_failed_job(airflow_mps: LocalMps) -> None:
    """Unless partial results are allowed: then what was written is announced."""
    context = _context()
    name = "talk.partial-failure.mp4"
    request = process(name, MediaProcessTask={"TranscodeTaskSet": [{"Definition": 1}, {"Definition": 2}]})
    with pytest.raises(MpsTaskFailed):
        submit(MpsProcessMediaOperator, request=request, context=context, outlets=[ALIAS])
    assert _added(context) == {}
    submit(MpsProcessMediaOperator, request=request, context=context, outlets=[ALIAS], allow_partial=True)
    assert len(_added(context)) == 1
