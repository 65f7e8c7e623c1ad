"""DAGs for a triggerer that takes few tasks at once."""

from __future__ import annotations

from airflow.sdk import dag

from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor

_REQUEST = {
    "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/r.talk.mp4"}},
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
}


@dag(schedule=None)
def from_trigger() -> None:
    submit = MpsProcessMediaOperator(task_id="submit", request=_REQUEST, wait_for_completion=False)
    MpsTaskSensor(
        task_id="done",
        mps_task_id=submit.output,
        deferrable=True,
        start_from_trigger=True,
        poke_interval=5,
        timeout=600,
    )


@dag(schedule=None, params={"ids": [], "timeout": 600})
def queue() -> None:
    for number in range(10):
        MpsTaskSensor(
            task_id=f"wait_{number}",
            mps_task_id=f"{{{{ params.ids[{number}] }}}}",
            deferrable=True,
            poke_interval=5,
            timeout=30 if number == 9 else 600,
        )


from_trigger()
queue()
