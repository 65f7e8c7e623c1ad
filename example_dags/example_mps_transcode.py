"""Transcode a video and take snapshots, wait without holding a worker, and check what came out."""

from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator, MpsTaskResultOperator


@dag(schedule=None, tags=["mps"])
def example_mps_transcode() -> None:
    transcode = MpsProcessMediaOperator(
        task_id="transcode",
        request={
            "InputInfo": cos_input("media-1250000000", "ap-guangzhou", "talk.mp4"),
            "OutputDir": "/web/",
            "MediaProcessTask": {
                "TranscodeTaskSet": [{"Definition": 100030}],
                "SampleSnapshotTaskSet": [{"Definition": 10}],
            },
        },
        deferrable=True,
    )
    result = MpsTaskResultOperator(task_id="result", mps_task_id=transcode.output)

    @task
    def check(result: dict[str, Any]) -> str:
        source = result["metadata"][0]
        video = next(output for output in result["outputs"] if output["kind"] == "transcode")
        if abs(video["duration"] - source["duration"]) > 1 or not video["audio_streams"]:
            raise AirflowFailException(f"{video['uri']} is shorter than its source, or silent")
        return str(video["uri"])

    check(result.output)


example_mps_transcode()
