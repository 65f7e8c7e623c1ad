"""DAGs of the end-to-end tests: one writes files, the other waits for them."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import AssetAlias, dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator

VIDEOS = AssetAlias("e2e-videos")


@dag(schedule=None)
def e2e_writes() -> None:
    MpsProcessMediaOperator(
        task_id="job",
        request={
            "InputInfo": cos_input("media-1250000000", "ap-nanjing", "talk.mp4"),
            "OutputDir": "/web/",
            "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
        },
        deferrable=True,
        poll_interval=5,
        outlets=[VIDEOS],
    )


@dag(schedule=[VIDEOS])
def e2e_reads() -> None:
    @task
    def read(triggering_asset_events: Any = None) -> list[Any]:
        return [[event.asset.uri, event.extra] for event in triggering_asset_events[VIDEOS]]

    read()


enable_lineage(e2e_writes())
e2e_reads()
