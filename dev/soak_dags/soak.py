"""Steady work for ``make soak``: a run of twenty jobs that wait in the triggerer for some minutes."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator


@dag(schedule=None, params={"count": Param(20)})
def soak() -> None:
    @task
    def requests(params: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "InputInfo": cos_input("media-1250000000", "ap-guangzhou", f"{number}.mp4"),
                "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
            }
            for number in range(params["count"])
        ]

    # One retry, for what is Airflow's own: the stale message of an executor fails a task now and then.
    MpsProcessMediaOperator.partial(task_id="job", deferrable=True, retries=1, retry_delay=1).expand(request=requests())


soak()
