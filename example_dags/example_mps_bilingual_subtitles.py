"""Bilingual subtitles for a video, as WebVTT and SRT in object storage, and the next task opens one of the files."""

from typing import Any

from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import MpsBatchProcessMediaOperator, MpsTaskResultOperator

SUBTITLES = {"SubtitleType": 2, "VideoSrcLanguage": "zh", "TranslateSwitch": "ON", "TranslateDstLanguage": "en"}


# The tasks may run on different workers, and each has to see the folder: a local one will do with one worker only.
# output_path may be s3://aws_conn@bucket/subtitles, gs://google_conn@bucket/subtitles, ...
@dag(schedule=None, tags=["mps"], params={"output_path": "file:///tmp/mps-subtitles"})
def example_mps_bilingual_subtitles() -> None:
    subtitles = MpsBatchProcessMediaOperator(
        task_id="subtitles",
        request={
            "InputInfo": [cos_input("media-1250000000", "ap-guangzhou", "talk.mp4")],
            "SmartSubtitlesTask": {"RawParameter": SUBTITLES},
        },
        deferrable=True,
    )
    result = MpsTaskResultOperator(
        task_id="result",
        mps_task_id=subtitles.output,
        output_path="{{ params.output_path }}",
        subtitle_formats=["vtt", "srt"],
        subtitle_text="bilingual",
    )

    @task
    def first_cue(result: dict[str, Any]) -> str:
        return ObjectStoragePath(result["subtitles"][0]["exports"]["srt"]).read_text(encoding="utf-8").split("\n\n")[0]

    first_cue(result.output)


example_mps_bilingual_subtitles()
