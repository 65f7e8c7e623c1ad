"""Have MPS write subtitles for a video, wait without holding a worker, and save them as SRT."""

from typing import Any

from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsBatchProcessMediaOperator, MpsTaskResultOperator

SUBTITLES = {"SubtitleType": 2, "VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"}


# The folder has to be one that all workers see: each task may run on another. With one worker a local folder will do.
@dag(schedule=None, tags=["mps"], params={"output_path": "file:///tmp/mps-subtitles"})
def example_mps_subtitles() -> None:
    subtitles = MpsBatchProcessMediaOperator(
        task_id="subtitles",
        request={
            "InputInfo": [cos_input("media-1250000000", "ap-guangzhou", "talk.mp4")],
            "SmartSubtitlesTask": {"RawParameter": SUBTITLES},
        },
        deferrable=True,
        poll_interval=10,
    )
    result = MpsTaskResultOperator(task_id="result", mps_task_id=subtitles.output)

    @task
    def save(result: dict[str, Any], params: dict[str, Any]) -> str:
        from airflow_provider_mps.results.result import MpsTaskResult

        file = ObjectStoragePath(params["output_path"]) / f"{result['mps_task_id']}.srt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MpsTaskResult.model_validate(result).subtitles[0].to_srt(), encoding="utf-8")
        return str(file)

    save(result.output)


example_mps_subtitles()
