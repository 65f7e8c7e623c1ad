"""Look at a video before paying for a transcode: its height chooses the template. A cover picture is made beside it."""

from airflow.sdk import dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import (
    MpsMediaMetadataOperator,
    MpsProcessImageOperator,
    MpsProcessMediaOperator,
    MpsTaskResultOperator,
)

VIDEO = cos_input("media-1250000000", "ap-guangzhou", "talk.mp4")
COVER = cos_input("media-1250000000", "ap-guangzhou", "cover.png")


@dag(schedule=None, tags=["mps"])
def example_mps_inspect() -> None:
    metadata = MpsMediaMetadataOperator(task_id="inspect", input_info=VIDEO)

    @task
    def choose(metadata: dict) -> dict:
        definition = 100030 if metadata["height"] > 720 else 100020
        return {"InputInfo": VIDEO, "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": definition}]}}

    MpsProcessMediaOperator(task_id="transcode", request=choose(metadata.output), deferrable=True)

    cover = MpsProcessImageOperator(
        task_id="cover",
        request={"InputInfo": COVER, "ImageTask": {"EncodeConfig": {"Format": "WEBP"}}},
        deferrable=True,
    )
    # The id of an image task may look like any other's, so its kind is said here.
    MpsTaskResultOperator(task_id="files", mps_task_id=cover.output, describe_action="DescribeImageTaskDetail")


example_mps_inspect()
