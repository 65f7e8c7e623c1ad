"""What OpenLineage hears of a job: the files it read and wrote, by bucket and key, with what MPS told of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from openlineage.client.serde import Serde

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsTaskFailed
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator, MpsTaskResultOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import DONE, airflow_mps, answer, new_context, part
from tests.support.submitting import ALL_KINDS, jobs, media, new_operator, process

__all__ = ["airflow_mps"]

COS = "cos://media-1250000000"
CANARY = "canary-9d0c"


def _run(operator: Any) -> Any:
    operator.execute(new_context())
    return operator


def _event(lineage: Any) -> dict[str, Any]:
    """The lineage as it travels."""
    event: dict[str, Any] = json.loads(Serde.to_json(lineage))
    return event


def _names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_a_transcode_names_its_files(airflow_mps: LocalMps) -> None:
    """Input and output with size, length and picture; the run names the MPS task."""
    operator = _run(new_operator(MpsProcessMediaOperator)())
    event = _event(operator.get_openlineage_facets_on_complete(None))
    assert _names(event["inputs"]) == [(COS, "talk.mp4")]
    assert _names(event["outputs"]) == [(COS, "output/talk_Transcode_100030.mp4")]
    (source,), (video,) = event["inputs"], event["outputs"]
    assert source["inputFacets"]["inputStatistics"]["size"] == 86213004
    assert video["outputFacets"]["outputStatistics"]["size"] == 43303172
    assert video["facets"]["storage"]["storageLayer"] == "cos"
    assert video["facets"]["storage"]["fileFormat"] == "mp4"
    told = {key: value for key, value in video["facets"]["mps_media"].items() if not key.startswith("_")}
    assert told == {
        "kind": "transcode",
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "duration": 372.5,
        "bitrate": 930001,
        "width": 1280,
        "height": 720,
        "videoCodec": "h264",
        "audioCodec": "aac",
    }
    assert event["run_facets"]["mps_task"]["taskId"] == jobs(airflow_mps)[0]


@ALL_KINDS
def test_inputs_are_known_at_the_start(airflow_mps: LocalMps, kind: Any) -> None:
    """The request names them, so that also a job that never ends has its inputs; streams are no datasets."""
    operator = new_operator(kind)()
    event = _event(operator.get_openlineage_facets_on_start())
    expected = [] if kind.action_name == "ProcessLiveStream" else [(COS, "talk.mp4")]
    assert _names(event["inputs"]) == expected
    assert event["outputs"] == []


def test_the_sensor_names_them_too(airflow_mps: LocalMps) -> None:
    """What something else started has the same lineage."""
    output = {"Path": "/cut.mp4", "OutputStorage": {"Type": "AWS-S3", "S3OutputStorage": {"S3Bucket": "web"}}}
    secret = {"S3SecretId": CANARY, "S3SecretKey": CANARY}
    source = {"Type": "AWS-S3", "S3InputInfo": {"S3Bucket": "raw", "S3Object": "视频 1.mp4", **secret}}
    task_id = airflow_mps.backend.script([answer(part(Output=output), InputInfo=source)])
    operator = _run(MpsTaskSensor(task_id="wait", mps_task_id=task_id, poke_interval=0.02, timeout=9))
    event = _event(operator.get_openlineage_facets_on_complete(None))
    assert _names(event["inputs"]) == [("s3://raw", "视频 1.mp4")]
    assert _names(event["outputs"]) == [("s3://web", "cut.mp4")]
    assert CANARY not in json.dumps(event)


def test_who_does_not_wait_names_inputs_only(airflow_mps: LocalMps) -> None:
    """Nothing is claimed of outputs that nobody has seen."""
    operator = _run(new_operator(MpsProcessMediaOperator, wait_for_completion=False)())
    event = _event(operator.get_openlineage_facets_on_complete(None))
    assert (_names(event["inputs"]), event["outputs"]) == ([(COS, "talk.mp4")], [])


def test_a_failed_job_names_what_it_still_wrote(airflow_mps: LocalMps) -> None:
    """OpenLineage asks also after a failure: the files of the parts that succeeded exist."""
    name = "talk.partial-failure.mp4"
    request = process(name, MediaProcessTask={"TranscodeTaskSet": [{"Definition": 1}, {"Definition": 2}]})
    operator = new_operator(MpsProcessMediaOperator, request=request)()
    with pytest.raises(MpsTaskFailed):
        operator.execute(new_context())  # type: ignore[arg-type]  # a stand-in for a Context
    event = _event(operator.get_openlineage_facets_on_complete(None))
    assert _names(event["outputs"]) == [(COS, "output/talk.partial-failure_Transcode_1.mp4")]


def test_many_pictures_are_one_dataset(airflow_mps: LocalMps) -> None:
    """An event is sent in one piece: five hundred snapshots are their folder, with their number."""
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "shots-1250000000", "Region": "ap-nanjing"}}
    shots = {"ImagePathSet": [f"/a/{n}.jpg" for n in range(500)], "OutputStorage": storage}
    pictures = {"Type": "SampleSnapshot", "SampleSnapshotTask": part(Output=shots)["TranscodeTask"]}
    task_id = airflow_mps.backend.script([answer(pictures, InputInfo=media())])
    operator = _run(MpsTaskSensor(task_id="wait", mps_task_id=task_id, poke_interval=0.02, timeout=9))
    (folder,) = _event(operator.get_openlineage_facets_on_complete(None))["outputs"]
    assert (folder["namespace"], folder["name"]) == ("cos://shots-1250000000", "a/")
    assert folder["outputFacets"]["outputStatistics"]["fileCount"] == 500


def test_parsed_files_are_outputs_of_who_parsed(airflow_mps: LocalMps, tmp_path: Any) -> None:
    """The result operator has read what the job read, and wrote its own files; not those of the job."""
    submitted = new_operator(
        MpsProcessMediaOperator,
        request={"InputInfo": media(), "SmartSubtitlesTask": {"Definition": 1}},
    )()
    task_id = submitted.execute(new_context())  # type: ignore[arg-type]
    result = MpsTaskResultOperator(
        task_id="result",
        mps_task_id=task_id,
        output_path=f"file://{tmp_path}",
        subtitle_formats=["srt", "vtt"],
        save_result=True,
    )
    event = _event(_run(result).get_openlineage_facets_on_complete(None))
    assert _names(event["inputs"]) == [(COS, "talk.mp4")]
    assert {namespace for namespace, _ in _names(event["outputs"])} == {"file"}
    assert sorted(name.rpartition(".")[2] for _, name in _names(event["outputs"])) == ["json", "srt", "vtt"]
    without = _run(MpsTaskResultOperator(task_id="result", mps_task_id=task_id))
    assert _event(without.get_openlineage_facets_on_complete(None))["outputs"] == []


def test_nothing_needs_openlineage(airflow_mps: LocalMps) -> None:
    """Where it is not installed, a whole wait and its events work, and nothing tries to import it."""
    code = (
        "import sys\n"
        "sys.modules['openlineage'] = sys.modules['airflow.providers.openlineage.extractors'] = None\n"
        "from airflow.sdk import Asset\n"
        "from airflow_provider_mps.sensors.mps import MpsTaskSensor\n"
        "from airflow_provider_mps.operators import mps\n"
        "from airflow.sdk.execution_time.context import OutletEventAccessors\n"
        "from tests.support.harness import new_context\n"
        "sensor = MpsTaskSensor(task_id='wait', mps_task_id=sys.argv[1], poke_interval=0.02, timeout=9,\n"
        "                       outlets=[Asset(uri='cos://b/k')])\n"
        "print(sensor.execute(new_context() | {'outlet_events': OutletEventAccessors()}))\n"
    )
    task_id = airflow_mps.backend.script([DONE])
    done = subprocess.run([sys.executable, "-c", code, task_id], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1] == task_id
