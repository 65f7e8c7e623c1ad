"""Subtitles from every place that MPS writes them to, in one form."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.results.segments import Segment, Word
from airflow_provider_mps.results.subtitles import Subtitle, find_subtitles
from tests.support.answers import sample, successes

ANSWERS = successes()
_FLOW = "WorkflowTask.SmartSubtitlesTaskResult"
_RECOGNITION = "WorkflowTask.AiRecognitionResultSet"
_ACTIVITY = "ScheduleTask.ActivityResultSet"
_BATCH = "BatchTaskResult.SmartSubtitlesTaskResult.Outputs[0]"
# Place in the answer, kind, whether it has segments, whether these have translations, and the keys of its files.
PLACES: list[tuple[str, str, bool, bool, list[str]]] = [
    (f"{_FLOW}[0].AsrFullTextTask", "asr", True, False, ["SubtitlePath", "Path", "SubtitleInfo.Path"]),
    (f"{_FLOW}[1].TransTextTask", "translation", True, True, ["SubtitlePath", "Path", "SubtitleResults[0].Path"]),
    (f"{_FLOW}[2].PureSubtitleTransTask", "pure_translation", False, False, ["SubtitleResults[0].Path"]),
    (
        f"{_FLOW}[3].OcrFullTextTask",
        "ocr",
        True,
        True,
        ["RecognizeSubtitleResult[0].Path", "TransSubtitleResult[0].Path"],
    ),
    (f"{_RECOGNITION}[2].AsrFullTextTask", "asr", True, False, ["SubtitlePath"]),
    (f"{_RECOGNITION}[4].OcrFullTextTask", "ocr", True, False, []),
    (f"{_RECOGNITION}[5].TransTextTask", "translation", True, True, ["SubtitlePath"]),
    ("WorkflowTask.SmartEraseTaskResult", "erase", False, False, ["OriginSubtitlePath", "TranslateSubtitlePath"]),
    ("WorkflowTask.AiDubbingTaskResult", "dubbing", False, False, ["OriginSubtitlePath", "TranslateSubtitlePath"]),
    (
        "WorkflowTask.AiAnalysisResultSet[5].DeLogoTask",
        "erase",
        False,
        False,
        ["OriginSubtitlePath", "TranslateSubtitlePath"],
    ),
    (
        "WorkflowTask.AiAnalysisResultSet[8].DescriptionTask.Output.DescriptionSet[0]",
        "description",
        False,
        False,
        ["SubtitlePath"],
    ),
    (
        f"{_ACTIVITY}[11].ActivityResItem.SmartSubtitlesTask.Output[0].AsrFullTextTask",
        "asr",
        True,
        False,
        ["SubtitlePath", "Path", "SubtitleInfo.Path"],
    ),
    (
        f"{_ACTIVITY}[11].ActivityResItem.SmartSubtitlesTask.Output[1].TransTextTask",
        "translation",
        True,
        True,
        ["SubtitlePath", "Path", "SubtitleResults[0].Path"],
    ),
    (
        f"{_ACTIVITY}[13].ActivityResItem.AIDubbingTask",
        "dubbing",
        False,
        False,
        ["OriginSubtitlePath", "TranslateSubtitlePath"],
    ),
    (f"{_BATCH}.AsrFullTextTask", "asr", True, False, ["SubtitlePath", "Path", "SubtitleInfo.Path"]),
    (f"{_BATCH}.TransTextTask", "translation", True, True, ["SubtitlePath", "Path", "SubtitleResults[0].Path"]),
]


def _found(source: str) -> Subtitle:
    [subtitle] = [one for one in find_subtitles(ANSWERS[source.partition(".")[0]]) if one.source == source]
    return subtitle


@pytest.mark.parametrize(("source", "kind", "segments", "translated", "files"), PLACES, ids=[row[0] for row in PLACES])
def test_each_documented_place(source: str, kind: str, segments: bool, translated: bool, files: list[str]) -> None:
    """Kind, segments, translations and files are found, wherever in the answer the subtitles stand."""
    subtitle = _found(source)
    assert subtitle.kind == kind
    assert subtitle.segment_count == len(subtitle.segments) == segments
    assert [one.translation is not None for one in subtitle.segments] == [translated] * segments
    assert all(one.text and one.start == one.end == one.confidence == 1.5 for one in subtitle.segments)
    holder = source if kind == "description" or source.startswith("Batch") else f"{source}.Output"
    assert [file.path for file in subtitle.files] == [f"/{holder}.{file}" for file in files]


def test_no_place_is_left_out() -> None:
    """A schedule and a workflow hold the same results, and give the same kinds of subtitles."""
    kinds = {
        name: sorted(one.kind for one in find_subtitles(ANSWERS[name])) for name in ("WorkflowTask", "ScheduleTask")
    }
    assert kinds["WorkflowTask"] == kinds["ScheduleTask"]
    assert len(kinds["WorkflowTask"]) == 11
    for name in ("EditMediaTask", "LiveStreamProcessTask", "ExtractBlindWatermarkTask", "LiveScheduleTask"):
        assert find_subtitles(ANSWERS[name]) == ()


def _subtitle(output: dict[str, Any], *, key: str = "TransTextTask", asked: dict[str, Any] | None = None) -> Subtitle:
    part = {"Status": "SUCCESS", "Output": output, "Input": {"RawParameter": asked} if asked else None}
    [subtitle] = find_subtitles({"WorkflowTask": {"SmartSubtitlesTaskResult": [{key: part}]}})
    return subtitle


ASKED = {"VideoSrcLanguage": "zh", "TranslateDstLanguage": "en"}
LINE = {"StartTimeOffset": 0, "EndTimeOffset": 1, "Text": "你好"}


@pytest.mark.parametrize(
    ("key", "output", "asked", "languages"),
    [
        ("AsrFullTextTask", {"SubtitleInfo": {"Language": "ja"}}, ASKED, ("ja", None)),
        ("AsrFullTextTask", {}, ASKED, ("zh", None)),
        ("AsrFullTextTask", {}, None, (None, None)),
        ("TransTextTask", {"SubtitleResults": [{"TransSrc": "ko", "TransDst": "fr"}]}, ASKED, ("ko", "fr")),
        ("TransTextTask", {}, ASKED, ("zh", "en")),
        (
            "TransTextTask",
            {"SubtitleResults": [{"TransSrc": "zh", "TransDst": "en"}, {"TransSrc": "zh", "TransDst": "ja"}]},
            ASKED,
            ("zh", None),
        ),
        ("PureSubtitleTransTask", {"SubtitleResults": [{"TransSrc": "zh", "TransDst": "en"}]}, None, ("zh", "en")),
        ("OcrFullTextTask", {"SegmentSet": [LINE]}, ASKED, ("zh", None)),
        ("OcrFullTextTask", {"SegmentSet": [LINE | {"Trans": "hello"}]}, ASKED, ("zh", "en")),
    ],
    ids=[
        "told",
        "asked for",
        "unknown",
        "told in pairs",
        "translation asked for",
        "several targets",
        "pure",
        "text in the picture",
        "translated text",
    ],
)
def test_the_languages(
    key: str, output: dict[str, Any], asked: dict[str, Any] | None, languages: tuple[str | None, str | None]
) -> None:
    """What MPS names, else what was asked for; with several targets the segments' one cannot be told."""
    subtitle = _subtitle(output, key=key, asked=asked)
    assert (subtitle.language, subtitle.translation_language) == languages


def test_segments_and_words() -> None:
    """Times in seconds, speaker and confidence; the list of words has the odd key Wordlist, and is often empty."""
    line = {
        "Confidence": 99,
        "StartTimeOffset": 1.774,
        "EndTimeOffset": 2.424,
        "Text": "走了",
        "Trans": "Walking.",
        "SpeakerId": 2,
        "Wordlist": [{"Word": "走", "Start": 1.774, "End": 2, "Trans": "walk"}, {"Word": "了"}],
    }
    [segment] = _subtitle({"SegmentSet": [line]}).segments
    words = (Word(text="走", start=1.774, end=2.0, translation="walk"), Word(text="了"))
    assert segment == Segment(
        start=1.774, end=2.424, text="走了", translation="Walking.", confidence=99.0, speaker="2", words=words
    )


def test_the_published_batch() -> None:
    """Text may be empty beside a filled Trans, the file may be a whole address, and the output is an object."""
    [subtitle] = find_subtitles(sample("describe_batch_task_detail.finish"))
    assert (subtitle.kind, subtitle.language, subtitle.translation_language) == ("translation", "zh", "en")
    assert [(one.start, one.text, one.translation) for one in subtitle.segments] == [
        (1.774, "", "Walking."),
        (53.721, "", "Just before you tell me."),
    ]
    [file] = subtitle.files
    assert file.uri == file.path == "http://tetst-xxxx-12234xxx.cos.ap-xxxx.myqcloud.com/output/3529.vtt"


def test_the_inputs_of_a_batch_keep_their_order() -> None:
    """The position in the answer is the only link to an input; failed outputs in between count."""
    done: dict[str, Any] = {"Status": "SUCCESS", "AsrFullTextTask": {"SegmentSet": [LINE], "SubtitlePath": "/a.vtt"}}
    outputs = [done, {"Status": "FAIL", "AsrFullTextTask": None}, done]
    body = {"BatchTaskResult": {"SmartSubtitlesTaskResult": {"Input": {"RawParameter": ASKED}, "Outputs": outputs}}}
    found = find_subtitles(body)
    assert [(one.input_index, one.language) for one in found] == [(0, "zh"), (2, "zh")]


def test_text_in_the_picture_is_joined_by_moment() -> None:
    """AI recognition lists several texts with boxes for one moment; one is as sure as its least sure text."""
    texts = [{"Text": "SALE", "Confidence": 90}, {"Text": None}, {"Text": "-50 %", "Confidence": "80.5"}]
    [segment] = _subtitle({"SegmentSet": [LINE | {"TextSet": texts}]}, key="OcrFullTextTask").segments
    assert (segment.text, segment.confidence) == ("SALE\n\n-50 %", 80.5)


def test_the_files_of_each_language() -> None:
    """One file a language with its status, its VOD id and the video it was written into; a failed one has no path."""
    good = {
        "Status": "Success",
        "TransDst": "en",
        "Path": "/en.vtt",
        "SubtitleEmbedPath": "/v.mp4",
        "SubtitleFileId": "7",
    }
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-1", "Region": "r"}}
    output = {"SubtitleResults": [good, {"Status": "Error", "TransDst": "ja"}], "OutputStorage": storage}
    files = [file.model_dump(exclude_none=True) for file in _subtitle(output).files]
    assert files == [
        {
            "language": "en",
            "path": "/en.vtt",
            "uri": "cos://b-1/en.vtt",
            "embedded_path": "/v.mp4",
            "file_id": "7",
            "status": "Success",
        },
        {"language": "ja", "status": "Error"},
    ]


def test_a_part_without_a_status_is_read() -> None:
    """Older answers and future ones may wrap an output without saying how it went."""
    body = {"WorkflowTask": {"AsrFullTextTask": {"Output": {"SegmentSet": [LINE], "SubtitlePath": "/a.vtt"}}}}
    [subtitle] = find_subtitles(body)
    assert (subtitle.segment_count, subtitle.files[0].path) == (1, "/a.vtt")


def test_a_file_that_only_vod_knows() -> None:
    """A subtitle may have a FileId and no path."""
    body = {"WorkflowTask": {"SmartEraseTaskResult": {"Status": "SUCCESS", "Output": {"TranslateSubtitleFileId": "7"}}}}
    [subtitle] = find_subtitles(body)
    assert [(file.path, file.file_id) for file in subtitle.files] == [(None, "7")]


@pytest.mark.parametrize("status", ["FAIL", "PROCESSING"])
def test_parts_without_output_have_no_subtitles(status: str) -> None:
    """A part that failed or still runs writes null."""
    part = {"Status": status, "ErrCode": 0, "Message": "SUCCESS", "Output": None}
    assert find_subtitles({"WorkflowTask": {"SmartSubtitlesTaskResult": [{"AsrFullTextTask": part}]}}) == ()


def test_an_erase_job_without_subtitles_has_none() -> None:
    """Erasing and dubbing write subtitles only when they were asked to."""
    body = {"WorkflowTask": {"SmartEraseTaskResult": {"Status": "SUCCESS", "Output": {"Path": "/a.mp4"}}}}
    assert find_subtitles(body) == ()
