"""Wait for an MPS task that something else started, then use its result."""

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor


@dag(schedule=None, tags=["mps"], params={"mps_task_id": Param(type="string", title="MPS TaskId")})
def example_mps_wait_for_task() -> None:
    wait = MpsTaskSensor(
        task_id="wait",
        mps_task_id="{{ params.mps_task_id }}",
        deferrable=True,  # no worker is held
        poke_interval=30,
        timeout=6 * 60 * 60,
    )
    result = MpsTaskResultOperator(task_id="result", mps_task_id=wait.output)

    @task
    def use(result: dict[str, Any]) -> list[str]:
        for media in result["metadata"]:
            print(f"{media['duration']} s, {media['width']}x{media['height']}, {media['container']}")
        return [output["uri"] for output in result["outputs"] if output["kind"] == "transcode"]

    use(result.output)


example_mps_wait_for_task()
