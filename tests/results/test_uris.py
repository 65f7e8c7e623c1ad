"""One object has one name, whatever way it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.uris import dataset_of, object_uri, store_uri

COS = "cos://media-1250000000"


@pytest.mark.parametrize(
    ("uri", "dataset"),
    [
        (f"{COS}/web/talk.mp4", (COS, "web/talk.mp4")),
        (f"{COS}/%E8%A7%86%E9%A2%91%201.mp4", (COS, "视频 1.mp4")),
        (COS, (COS, "/")),
        ("https://media-1250000000.cos.ap-nanjing.myqcloud.com/web/a%20b.mp4", (COS, "web/a b.mp4")),
        ("http://media-1250000000.cos.accelerate.myqcloud.com/a.mp4", (COS, "a.mp4")),
        ("https://media-1250000000.cos-internal.ap-x.tencentcos.cn/a.mp4", (COS, "a.mp4")),
        ("https://my.raw-media.s3.us-east-1.amazonaws.com/in/a.mp4", ("s3://my.raw-media", "in/a.mp4")),
        ("https://raw.s3-eu-west-1.amazonaws.com/a.mp4", ("s3://raw", "a.mp4")),
        ("https://raw.s3.amazonaws.com/a.mp4", ("s3://raw", "a.mp4")),
        ("https://raw.s3.cn-north-1.amazonaws.com.cn/a.mp4", ("s3://raw", "a.mp4")),
        ("https://media.example.com:8443/a/b.mp4", ("https://media.example.com:8443", "a/b.mp4")),
        (
            "https://media-1.cos.ap-x.myqcloud.com.evil.example/a",
            ("https://media-1.cos.ap-x.myqcloud.com.evil.example", "a"),
        ),
        ("s3://my_aws@subtitles/a/b.srt", ("s3://subtitles", "a/b.srt")),
        ("file:///data/subtitles/a.srt", ("file", "/data/subtitles/a.srt")),
        ("vod://v-1250000000/a.mp4", ("vod://v-1250000000", "a.mp4")),
    ],
)
def test_what_openlineage_calls_it(uri: str, dataset: tuple[str, str]) -> None:
    """Store and bucket, and the key as it is; also where MPS gives a web address of the store."""
    assert dataset_of(uri) == dataset


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda key: key.lstrip("/")).filter(bool))
def test_every_key_survives(key: str) -> None:
    """Whatever characters a key has, its URI and its web address lead back to it."""
    uri = object_uri("cos", "media-1250000000", key)
    assert uri.isascii()
    assert dataset_of(uri) == (COS, key)
    path = uri.removeprefix(COS)
    assert store_uri(f"https://media-1250000000.cos.ap-nanjing.myqcloud.com{path}") == uri
