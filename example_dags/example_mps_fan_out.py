"""One transcode job for each of many videos: dynamic task mapping, each job sent once."""

from airflow.sdk import dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator, MpsTaskResultOperator


@dag(schedule=None, tags=["mps"], params={"videos": ["a.mp4", "b.mp4", "c.mp4"]})
def example_mps_fan_out() -> None:
    @task
    def requests(params: dict[str, list[str]]) -> list[dict[str, object]]:
        return [
            {
                "InputInfo": cos_input("media-1250000000", "ap-guangzhou", video),
                "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
            }
            for video in params["videos"]
        ]

    transcode = MpsProcessMediaOperator.partial(task_id="transcode", deferrable=True, max_active_tis_per_dag=50).expand(
        request=requests()
    )
    results = MpsTaskResultOperator.partial(task_id="result").expand(mps_task_id=transcode.output)

    @task
    def collect(results: list[dict[str, list[dict[str, str]]]]) -> list[str]:
        return [output["uri"] for result in results for output in result["outputs"]]

    collect(results.output)


example_mps_fan_out()
