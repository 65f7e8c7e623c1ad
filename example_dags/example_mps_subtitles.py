"""Have MPS write subtitles for a video, wait without holding a worker, and save them as SRT."""

from typing import Any

from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_mps.operators.mps import MpsTaskResultOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor

VIDEO = {"Type": "COS", "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-guangzhou", "Object": "/talk.mp4"}}
SUBTITLES = {"SubtitleType": 2, "VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"}


@dag(schedule=None, tags=["mps"], params={"output_path": "file:///tmp/mps-subtitles"})
def example_mps_subtitles() -> None:
    @task(retries=0)  # MPS cannot tell a repeated batch job from a new one: run it twice and pay twice
    def submit() -> str:
        from airflow_provider_mps.client.actions import BatchProcessMedia
        from airflow_provider_mps.hooks.mps import MpsHook

        request = BatchProcessMedia(InputInfo=[VIDEO], SmartSubtitlesTask={"RawParameter": SUBTITLES})
        return MpsHook().call(request).mps_task_id

    wait = MpsTaskSensor(task_id="wait", mps_task_id=submit(), deferrable=True, poke_interval=10, timeout=3600)
    result = MpsTaskResultOperator(task_id="result", mps_task_id=wait.output)

    @task
    def save(result: dict[str, Any], params: dict[str, Any]) -> str:
        from airflow_provider_mps.results.result import MpsTaskResult

        file = ObjectStoragePath(params["output_path"]) / f"{result['mps_task_id']}.srt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MpsTaskResult.model_validate(result).subtitles[0].to_srt(), encoding="utf-8")
        return str(file)

    save(result.output)


example_mps_subtitles()
