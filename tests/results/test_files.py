"""The files of a task: each input once with what MPS found out about it, each output with what describes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.files import facts_of, find_sources, media_of
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import sample
from tests.support.submitting import batch, edit, media, process

CANARY = "canary-77e2"
S3 = {
    "Type": "AWS-S3",
    "S3InputInfo": {
        "S3Bucket": "raw-media",
        "S3Region": "us-east-1",
        "S3Object": "in/talk.mp4",
        "S3SecretId": CANARY,
        "S3SecretKey": CANARY,
    },
}
URL = {"Type": "URL", "UrlInputInfo": {"Url": f"https://u:{CANARY}@media.example.com/talk.mp4?sign={CANARY}"}}
VOD = {"Type": "VOD", "VODInputInfo": {"Bucket": "v-1250000000", "Region": "ap-x", "Object": "a/b.mp4", "SubAppId": 1}}
PICTURE = {"WatermarkSet": [{"RawParameter": {"ImageTemplate": {"ImageContent": media("logo.png")}}}]}
TALK = "cos://media-1250000000/talk.mp4"


@pytest.mark.parametrize(
    ("value", "uris"),
    [
        (process(), [TALK]),
        (batch(), [TALK]),
        (edit(), [TALK]),
        ({"InputInfo": [media("a.mp4"), media("b 视.mp4")]}, ["a.mp4", "b%20%E8%A7%86.mp4"]),
        ({"InputInfo": S3}, ["s3://raw-media/in/talk.mp4"]),
        ({"InputInfo": URL}, ["https://media.example.com/talk.mp4"]),
        ({"InputInfo": VOD}, ["vod://v-1250000000/a/b.mp4"]),
        (process(MediaProcessTask={"TranscodeTaskSet": [PICTURE]}), [TALK, "cos://media-1250000000/logo.png"]),
        ({"FileInfos": [{"InputInfo": media()}, {"InputInfo": media()}]}, [TALK]),
        ({"InputInfo": {"Type": "COS", "CosInputInfo": None}, "X": [], "Y": [None], "Z": {"Type": "COS"}}, []),
        ({"InputInfo": {"Type": "COS", "CosInputInfo": {"Bucket": "b", "Object": ""}}}, []),
        ({"SegmentSet": [{"Text": "x", "InputInfo": media()}]}, []),
        (None, []),
    ],
)
def test_every_input_is_found(value: Any, uris: list[str]) -> None:
    """In requests and answers, whatever its kind, once, and without keys and signatures."""
    sources = find_sources(value)
    assert [source.uri for source in sources] == [
        uri if "://" in uri else f"cos://media-1250000000/{uri}" for uri in uris
    ]
    assert CANARY not in json.dumps([source.model_dump(mode="json") for source in sources])


@given(
    st.recursive(
        st.none() | st.text() | st.sampled_from(["COS", "URL", "AWS-S3"]) | st.just(media()),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["Type", "CosInputInfo", "UrlInputInfo", "Bucket", "Url"]), inner)
        ),
    )
)
def test_anything_can_be_searched(value: Any) -> None:
    """Whatever an answer holds, looking for inputs ends with inputs that have a path."""
    assert all(source.path for source in find_sources(value))


def test_metadata_stands_with_its_input() -> None:
    """Those of a batch are in the order of its inputs, a repeated one included; pictures laid over have none."""
    body = {
        "BatchTaskResult": {
            "InputInfos": [media("a.mp4"), media("a.mp4"), media("b.mp4")],
            "Metadatas": [{"Duration": 1.0}, {"Duration": 1.0}, {"Duration": 2.0}],
            "SmartSubtitlesTaskResult": {"Input": PICTURE},
        }
    }
    detail = TaskDetail.of(body)
    durations = [source.metadata and source.metadata.duration for source in find_sources(body, detail.metadata)]
    assert durations == [1.0, 2.0, None]


def test_an_edit_tells_about_its_output() -> None:
    """Its metadata is of the file that it wrote, and of none that it read."""
    output = {"Path": "/cut.mp4", "MetaData": {"Duration": 8.0, "VideoStreamSet": [{"Codec": "h264"}]}}
    body = {"EditMediaTask": {"Input": {"FileInfoSet": [{"InputInfo": media()}]}, "Output": output}}
    detail = TaskDetail.of(body)
    (source,) = find_sources(body, detail.metadata)
    assert source.metadata is None
    assert facts_of(source.metadata) == {}
    (file,) = detail.outputs
    assert facts_of(media_of(file, detail.metadata)) == {"duration": 8.0, "video_codec": "h264"}


def test_the_published_answer() -> None:
    """What Tencent publishes of a finished task is read as it stands there."""
    detail = TaskDetail.of(sample("describe_task_detail.finish"))
    (source,) = find_sources(detail.body, detail.metadata)
    assert source.uri == "cos://vodtestbj-235303****/input/videoplayback.mp4"
    assert facts_of(source.metadata)["duration"] == 380.9465637207031
    (file,) = detail.outputs
    facts = facts_of(media_of(file, detail.metadata))
    assert (facts["width"], facts["height"], facts["video_codec"], facts["audio_codec"]) == (320, 240, "h264", "aac")
