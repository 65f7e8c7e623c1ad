"""Transcode a video and take snapshots, wait without holding a worker, and check what came out."""

from airflow.sdk import dag

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsMediaCheckOperator, MpsProcessMediaOperator, MpsTaskResultOperator


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

    # Fails, without a retry, with everything that is not as expected; otherwise returns the addresses of the files.
    MpsMediaCheckOperator(
        task_id="check",
        result=result.output,
        expect={
            "input": {"has_audio": True},
            "transcode": {"width": [1280, 1920], "video_codec": "h264", "has_audio": True, "duration_tolerance": 1},
        },
    )


example_mps_transcode()
