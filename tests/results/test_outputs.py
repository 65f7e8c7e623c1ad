"""Every file that a task wrote is listed, with the storage and the address that belong to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_mps.results.outputs import Storage, find_outputs
from tests.support.answers import ECHOES, image_success, successes

ANSWERS = successes() | {"image": image_success()}
_LOCATION = re.compile(r"\w*(Path|Paths|PathSet|Url)|VoiceClonedVideo|VoiceClonedMarkFile")
# Pictures that only prove a finding and expire, and the address of a live stream: none is a file the task was to write.
_NO_OUTPUT = re.compile(r"(ReviewResultSet|ReviewTask|FaceTask)\b.*\.Url|^/Live(StreamProcess|Schedule)Task\.Url")


def _locations(value: Any, key: str = "") -> Iterator[str]:
    """Every path and address of an answer by the look of its key; in these answers each is its own place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in ECHOES:
                yield from _locations(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _locations(inner, key)
    elif isinstance(value, str) and _LOCATION.fullmatch(key) and not _NO_OUTPUT.search(value):
        yield value


@pytest.mark.parametrize("name", ANSWERS)
def test_every_documented_file_is_listed_once(name: str) -> None:
    """Whatever the class of a result, no path or address of the API model is lost, and none is invented."""
    outputs = find_outputs(ANSWERS[name])
    assert sorted(output.path for output in outputs) == sorted(_locations(ANSWERS[name]))
    assert all(output.path.startswith(f"/{output.source}") for output in outputs)


def test_the_answers_hold_many_files() -> None:
    """The test above looks at something: as many places as the documentation has."""
    assert {name: len(list(_locations(answer))) for name, answer in ANSWERS.items()} == {
        "WorkflowTask": 66,
        "ScheduleTask": 66,
        "BatchTaskResult": 8,
        "EditMediaTask": 1,
        "LiveScheduleTask": 1,
        "LiveStreamProcessTask": 0,
        "ExtractBlindWatermarkTask": 0,
        "image": 2,
    }


KINDS = {
    "TranscodeTask.Output.Path": "transcode",
    "AnimatedGraphicTask.Output.Path": "animated_graphic",
    "SnapshotByTimeOffsetTask.Output.PicInfoSet[0].Path": "snapshot",
    "SampleSnapshotTask.Output.ImagePathSet": "sample_snapshot",
    "ImageSpriteTask.Output.ImagePathSet": "image_sprite",
    "ImageSpriteTask.Output.WebVttPath": "web_vtt",
    "AdaptiveDynamicStreamingTask.Output.Path": "adaptive_stream",
    "CoverTask.Output.CoverSet[0].CoverPath": "cover",
    "HighlightTask.Output.HighlightSet[0].HighlightPath": "highlight",
    "HighlightTask.Output.HighlightSet[0].CovImgUrl": "cover",
    "SegmentTask.Output.SegmentSet[0].SegmentUrl": "segment",
    "DescriptionTask.Output.DescriptionSet[0].MindMapPath": "mind_map",
    "DescriptionTask.Output.DescriptionSet[0].SubtitlePath": "subtitle",
    "DubbingTask.Output.SpeakerPath": "speaker",
    "ReelTask.Output.ScriptPath": "script",
    "ReelTask.Output.VideoPaths": "video",
    "AsrFullTextTask.Output.SubtitlePath": "subtitle",
    "AsrFullTextTask.Output.SubtitleInfo.SubtitleEmbedPath": "video_with_subtitle",
    "TransTextTask.Output.SubtitleResults[0].Path": "subtitle",
    "OcrFullTextTask.Output.RecognizeSubtitleResult[0].Path": "subtitle",
    "SmartEraseTaskResult.Output.OriginSubtitlePath": "subtitle",
    "SmartEraseTaskResult.Output.ErasedVideoPath": "video",
    "AiDubbingTaskResult.Output.DstAudioPath": "audio",
    "AiDubbingTaskResult.Output.VoiceClonedMarkFile": "voice_mark",
}


@pytest.mark.parametrize("source", KINDS)
def test_the_kind_says_what_a_file_is(source: str) -> None:
    """A person who looks for the subtitle or the cover finds it by its kind."""
    found = [output for output in find_outputs(ANSWERS["WorkflowTask"]) if output.source.endswith(f".{source}")]
    assert found
    assert {output.kind for output in found} == {KINDS[source]}


@pytest.mark.parametrize(
    ("name", "source", "kind"),
    [
        ("EditMediaTask", "EditMediaTask.Output.Path", "edit"),
        (
            "LiveScheduleTask",
            "LiveScheduleTask.LiveActivityResultSet[0].LiveActivityResItem.LiveRecordTask.Output.FileList[0].Url",
            "record",
        ),
        ("image", "ImageProcessTaskResultSet[0].Output.Path", "image"),
    ],
)
def test_the_kind_of_other_tasks(name: str, source: str, kind: str) -> None:
    """Edited videos, live records and processed images have their kinds as well."""
    assert [output.kind for output in find_outputs(ANSWERS[name]) if output.source == source] == [kind]


def test_a_file_in_vod_has_its_file_id() -> None:
    """The FileId that stands beside a path belongs to it, whatever it is called."""
    ids = {
        output.source.rpartition(".")[2]: output.file_id
        for output in find_outputs(ANSWERS["WorkflowTask"])
        if output.file_id and ".AiDubbingTaskResult." in f".{output.source}"
    }
    assert ids == {
        f"{name}Path": f"/WorkflowTask.AiDubbingTaskResult.Output.{name}FileId"
        for name in ("OriginSubtitle", "TranslateSubtitle", "Speaker", "EraseVideo", "DstAudio")
    }
    [subtitle] = [o for o in find_outputs(ANSWERS["WorkflowTask"]) if o.source.endswith("SubtitleInfo.Path")]
    assert subtitle.file_id == f"/{subtitle.source.removesuffix('Path')}SubtitleFileId"


COS = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-1", "Region": "ap-guangzhou"}}
S3 = {"Type": "AWS-S3", "S3OutputStorage": {"S3Bucket": "b", "S3Region": "r", "S3SecretId": "i", "S3SecretKey": "k"}}
VOD = {"Type": "VOD", "VODOutputStorage": {"Bucket": "b", "Region": "r", "SubAppId": 15}}


@pytest.mark.parametrize(
    ("storage", "path", "uri"),
    [
        (COS, "/out/a.mp4", "cos://b-1/out/a.mp4"),
        (COS, "out/a.mp4", "cos://b-1/out/a.mp4"),
        (COS, "/目录/a b#1?.mp4", "cos://b-1/%E7%9B%AE%E5%BD%95/a%20b%231%3F.mp4"),
        (COS, "/100%/a.mp4", "cos://b-1/100%25/a.mp4"),
        (COS, "/a\ud83d.mp4", "cos://b-1/a%3F.mp4"),
        (S3, "/out/a.mp4", "s3://b/out/a.mp4"),
        (VOD, "/out/a.mp4", "vod://b/out/a.mp4"),
        (COS, "https://u:p@host/a.mp4?sign=1#x", "https://host/a.mp4"),
        ({}, "https://host/a.mp4", "https://host/a.mp4"),
        ({}, "/out/a.mp4", None),
        (None, "/out/a.mp4", None),
        ("COS", "/out/a.mp4", None),
        ({"Type": "COS"}, "/out/a.mp4", None),
        ({"Type": "COS", "CosOutputStorage": None}, "/out/a.mp4", None),
        ({"Type": "FTP", "CosOutputStorage": {"Bucket": "b"}}, "/out/a.mp4", None),
    ],
)
def test_the_address_of_a_file(storage: Any, path: str, uri: str | None) -> None:
    """Object keys have no leading slash and are quoted; an address stays one, without what may be secret in it."""
    assert Storage.of(storage).uri(path) == uri


def test_a_storage_leaves_its_keys_behind() -> None:
    """S3 output names the keys it was written with; they go no further."""
    assert Storage.of(S3).model_dump() == {"type": "AWS-S3", "bucket": "b", "region": "r", "sub_app_id": None}
    assert Storage.of(VOD).sub_app_id == 15


def test_the_nearest_storage_is_the_one() -> None:
    """OutputStorage or Storage of the result itself, else of what it is part of; a bare address lies on its own."""
    body = {
        "WorkflowTask": {
            "OutputStorage": VOD,
            "Results": [
                {"TranscodeTask": {"Output": {"Path": "/a.mp4", "OutputStorage": COS}}},
                {"ImageSpriteTask": {"Output": {"ImagePathSet": ["/b.jpg"], "Storage": S3}}},
                {"TranscodeTask": {"Output": {"Path": "/c.mp4"}}},
                {"TranscodeTask": {"Output": {"Path": "https://host/d.mp4"}}},
            ],
        }
    }
    assert [(output.uri, output.storage.type) for output in find_outputs(body)] == [
        ("cos://b-1/a.mp4", "COS"),
        ("s3://b/b.jpg", "AWS-S3"),
        ("vod://b/c.mp4", "VOD"),
        ("https://host/d.mp4", "URL"),
    ]


def test_what_is_no_place_is_no_file() -> None:
    """Empty placeholders, wrong types, request echoes and recognised text name no files."""
    body = {
        "A": {"Output": {"Path": "", "ImagePathSet": [None, "", 5, {}], "VideoPath": 7}},
        "B": {"Input": {"Path": "/in.mp4"}, "InputInfo": {"UrlInputInfo": {"Url": "https://host/in.mp4"}}},
        "C": {"SegmentSet": [{"Text": "a", "Path": "/no.mp4"}], "MetaData": {"Path": "/no.mp4"}},
    }
    assert find_outputs(body) == ()


@pytest.mark.parametrize(
    ("body", "kind", "language"),
    [
        ({"W": {"TransTextTask": {"SubtitleResults": [{"Path": "/a.vtt", "TransDst": "en"}]}}}, "subtitle", "en"),
        ({"W": {"AsrFullTextTask": {"SubtitleInfo": {"Path": "/a.vtt", "Language": "ja"}}}}, "subtitle", "ja"),
        ({"W": {"VideoRemakeTask": {"Output": {"Path": "/a.mp4"}}}}, "video_remake", None),
        ({"FutureTask": {"Output": {"Path": "/a.mp4"}}}, "future", None),
        ({"Path": "/a.mp4"}, "file", None),
    ],
)
def test_kind_and_language_of_any_file(body: dict[str, Any], kind: str, language: str | None) -> None:
    """A task that nobody named here gives its files its own name; the language stands beside a subtitle."""
    [output] = find_outputs(body)
    assert (output.kind, output.language) == (kind, language)


def test_a_file_named_twice_is_listed_once() -> None:
    """SubtitlePath, Path and the language's own Path are often the same file; what only one of them tells is kept."""
    language = {"Path": "/s.vtt", "TransDst": "en", "SubtitleFileId": "5285"}
    output = {"SubtitlePath": "/s.vtt", "Path": "/s.vtt", "SubtitleResults": [language], "OutputStorage": COS}
    [file] = find_outputs({"W": {"TransTextTask": {"Output": output}}})
    assert (file.uri, file.language, file.file_id) == ("cos://b-1/s.vtt", "en", "5285")
    assert file.source == "W.TransTextTask.Output.SubtitlePath"


def _without_paths(value: Any) -> Any:
    """The same answer as MPS may give it for files in VOD: every path that has a FileId is empty."""
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    ids = {key for key in value if key.endswith("FileId")}
    paths = {"Path" if key == "SubtitleFileId" else key.replace("FileId", "Path") for key in ids}
    return {name: "" if name in paths else _without_paths(inner) for name, inner in value.items()}


@pytest.mark.parametrize("name", ["WorkflowTask", "ScheduleTask", "BatchTaskResult", "image"])
def test_a_file_known_by_its_file_id_alone_is_listed(name: str) -> None:
    """It has the kind that its path would have had, its storage, and no address that could be taken for one."""
    with_paths = {output.file_id: output for output in find_outputs(ANSWERS[name]) if output.file_id}
    alone = {output.file_id: output for output in find_outputs(_without_paths(ANSWERS[name])) if output.file_id}
    assert with_paths.keys() == alone.keys() != set()
    for file_id, output in alone.items():
        assert f"/{output.source}" == file_id
        assert (output.path, output.uri, output.kind) == ("", None, with_paths[file_id].kind)
        assert (output.storage, output.language) == (with_paths[file_id].storage, with_paths[file_id].language)


def test_what_is_said_of_a_file_is_told() -> None:
    """Beside the path, in the metadata of an edit, beside a record's address; never the size of small pictures."""
    told = {"Size": 5, "Duration": 1.5, "Width": 16, "Height": 9, "Container": "mp4"}
    [edit] = find_outputs(
        {"EditMediaTask": {"Output": {"Path": "/a.mp4", "MetaData": told | {"VideoStreamSet": [{}]}}}}
    )
    assert (edit.size, edit.duration, edit.width, edit.height, edit.container) == (5, 1.5, 16, 9, "mp4")
    assert len(edit.video_streams) == 1
    record = {"FileList": [{"Url": "https://host/a.mp4?sign=1", "Size": 5, "Duration": 7, "StartTime": "x"}]}
    [live] = find_outputs({"LiveScheduleTask": {"LiveRecordTask": {"Output": record}}})
    assert (live.uri, live.size, live.duration) == ("https://host/a.mp4", 5, 7)
    sprite = {"ImagePathSet": ["/a.jpg"], "Width": 142, "Height": 80, "Definition": 10}
    [picture] = find_outputs({"W": {"ImageSpriteTask": {"Output": sprite}}})
    assert (picture.width, picture.height, picture.definition) == (None, None, 10)


@pytest.mark.parametrize(
    "location",
    [
        'https://host/a.mp4?x="CANARY"',
        "https://host/a.mp4?x='CANARY'&y=a b CANARY",
        'https://host/a"b.mp4?sign=CANARY',
        "/a.mp4?q-sign-algorithm=sha1&q-ak=CANARY",
        "a.mp4?X-Amz-Signature=CANARY",
        "/a.mp4?x=1&token=CANARY y",
    ],
)
@pytest.mark.parametrize("storage", [COS, S3, VOD, {}], ids=["COS", "S3", "VOD", "none"])
def test_no_address_of_a_file_is_signed(storage: dict[str, Any], location: str) -> None:
    """Neither an address nor a path that carries a signature hands it on, whatever stands in the query."""
    [file] = find_outputs({"W": {"TranscodeTask": {"Output": {"Path": location, "OutputStorage": storage}}}})
    assert "CANARY" not in file.model_dump_json()
    assert file.path == location.partition("?")[0]
