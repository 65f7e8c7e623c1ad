"""Whole requests: what we encode, what travels, and what the official SDK sends for the same parameters."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.client.actions import (
    Action,
    BatchProcessMedia,
    DescribeBatchTaskDetail,
    DescribeImageTaskDetail,
    DescribeMediaMetaData,
    DescribeTaskDetail,
    DescribeTasks,
    EditMedia,
    ManageTask,
    ProcessImage,
    ProcessLiveStream,
    ProcessMedia,
    RawAction,
)
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.protocol import MAX_REQUEST_BYTES, Request, encode
from airflow_provider_mps.client.signing import authorization
from airflow_provider_mps.errors import MpsConfigError
from tests.conftest import Connect
from tests.support.official import Credential, OfficialAsyncClient, OfficialClient, models, profile
from tests.support.recorder import Recorder, Sent

TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"
KEYS = ("AKIDexample", "example-secret-key", "example-token")
URL_INPUT = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/演讲 1.mp4?sign=a%2Bb&c=<d>"}}
COS = {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1250000000", "Region": "ap-guangzhou"}}
SUBTITLES = {
    "Definition": 0,
    "RawParameter": {
        "SubtitleType": 2,
        "VideoSrcLanguage": "zh",
        "SubtitleFormat": "vtt",
        "TranslateSwitch": "ON",
        "TranslateDstLanguage": "en",
    },
    "UserExtPara": '{"need_wordlist": 1, "note": "引号 \\" 与 \\\\"}',
}
REQUESTS: list[Action[Any]] = [
    DescribeTaskDetail(task_id=TASK_ID),
    DescribeBatchTaskDetail(task_id=TASK_ID),
    DescribeTasks(status="FINISH", limit=100, scroll_token="token", sub_task_has_failed=True),
    ManageTask(task_id=TASK_ID),
    ProcessMedia(
        input_info=URL_INPUT,
        output_storage=COS,
        output_dir="/out/目录/",
        media_process_task={"TranscodeTaskSet": [{"Definition": 100040, "StartTimeOffset": 1.5}]},
        smart_subtitles_task=SUBTITLES,
        ai_dubbing_task={"Definition": 30},
        tasks_priority=-10,
        session_id="s-1",
        session_context="context \U0001f600",
        skip_mate_data=0,
    ),
    BatchProcessMedia(input_info=[URL_INPUT, URL_INPUT], smart_subtitles_task=SUBTITLES, task_mode="Serial"),
    EditMedia(
        file_infos=[{"InputInfo": URL_INPUT, "StartTimeOffset": 1.5, "EndTimeOffset": 60}],
        output_storage=COS,
        output_object_path="/out/剪辑.mp4",
        session_id="s-2",
    ),
    ProcessImage(
        input_info=URL_INPUT,
        output_storage=COS,
        output_dir="/out/",
        image_task={"EncodeConfig": {"Format": "WEBP", "Quality": 75}},
    ),
    ProcessLiveStream(
        url="rtmp://live.invalid/app/talk?txSecret=a%2Bb",
        task_notify_config={"NotifyType": "URL", "NotifyUrl": "https://me.invalid/live?token=1"},
        ai_recognition_task={"Definition": 10101},
        session_id="s-3",
        session_context="context",
        schedule_id=24,
    ),
    DescribeImageTaskDetail(task_id=TASK_ID),
    DescribeMediaMetaData(input_info=URL_INPUT, mode="slow"),
]
each_request = pytest.mark.parametrize("action", REQUESTS, ids=[action.name for action in REQUESTS])


def _config(netloc: str, **more: Any) -> ClientConfig:
    fields: dict[str, Any] = {"region": "ap-guangzhou", "language": "zh-CN", "timeout": 10} | more
    return ClientConfig(Credentials(*KEYS), endpoint=f"http://{netloc}", **fields)


def _sent_by_sdk(recorder: Recorder, action: Action[Any]) -> Sent:
    official = profile(recorder.netloc)
    official.language = "zh-CN"
    client = OfficialClient(Credential(*KEYS), "ap-guangzhou", official)
    request = getattr(models, f"{action.name}Request")()
    request.from_json_string(json.dumps(action.parameters))
    getattr(client, action.name)(request)
    return recorder.sent[-1]


def _sent_by_async_sdk(recorder: Recorder, action: Action[Any]) -> Sent:
    official = profile(recorder.netloc)
    official.language = "zh-CN"
    request = getattr(models, f"{action.name}Request")()
    request.from_json_string(json.dumps(action.parameters))

    async def send() -> None:
        async with OfficialAsyncClient(Credential(*KEYS), "ap-guangzhou", official) as client:
            await getattr(client, action.name)(request)

    asyncio.run(send())
    return recorder.sent[-1]


def _encode(action: Action[Any], config: ClientConfig, timestamp: int) -> Request:
    """Signed with the keys of the configuration itself."""
    assert isinstance(config.credentials, Credentials)
    return encode(action, config, timestamp, config.credentials)


def _of_tencent(headers: dict[str, str]) -> dict[str, str]:
    """The headers that MPS reads, without those that only name the SDK."""
    named = {name.lower(): value for name, value in headers.items()}
    mine = {name for name in named if name.startswith("x-tc-")} | {"authorization", "content-type", "host"}
    return {name: named[name] for name in mine - {"x-tc-requestclient", "x-tc-traceid"}}


@each_request
@pytest.mark.parametrize("send", [_sent_by_sdk, _sent_by_async_sdk], ids=["sdk", "async-sdk"])
def test_our_request_is_the_official_one(
    recorder: Recorder, action: Action[Any], send: Callable[[Recorder, Action[Any]], Sent]
) -> None:
    """Same headers, same parameters; what the SDK signs its bytes with is what we compute for them."""
    theirs = send(recorder, action)
    timestamp = int(theirs.headers["x-tc-timestamp"])
    ours = _encode(action, _config(recorder.netloc), timestamp)
    assert json.loads(ours.body) == json.loads(theirs.body) == action.parameters
    assert (theirs.method, theirs.target.rstrip("?"), ours.url) == ("POST", "/", f"http://{recorder.netloc}/")
    expected = _of_tencent(theirs.headers)
    ours_signing_their_bytes = authorization(
        secret_id=KEYS[0],
        secret_key=KEYS[1],
        service="mps",
        timestamp=timestamp,
        headers=ours.headers,
        payload=theirs.body,
    )
    assert _of_tencent(ours.headers) | {"authorization": ours_signing_their_bytes} == expected


def test_a_flat_request_is_the_official_one_to_the_byte(recorder: Recorder) -> None:
    """Where no nesting lets the SDK choose another order of keys, body and Authorization are identical."""
    theirs = _sent_by_sdk(recorder, DescribeTaskDetail(task_id=TASK_ID))
    ours = _encode(DescribeTaskDetail(task_id=TASK_ID), _config(recorder.netloc), int(theirs.headers["x-tc-timestamp"]))
    assert ours.body == theirs.body
    assert ours.headers["Authorization"] == theirs.headers["authorization"]


@each_request
def test_what_travels_is_what_was_signed(recorder: Recorder, connect: Connect, action: Action[Any]) -> None:
    """Neither transport alters the signed headers or the body; no header of Tencent's is added or lost."""
    config = _config(recorder.netloc)
    connect(config).call(action)
    [sent] = recorder.sent
    encoded = _encode(action, config, int(sent.headers["x-tc-timestamp"]))
    assert (sent.method, sent.target, sent.body) == ("POST", "/", encoded.body)
    assert _of_tencent(sent.headers) == _of_tencent(encoded.headers)


def test_optional_headers_are_left_out(recorder: Recorder) -> None:
    """Without a region and without temporary credentials their headers do not exist, rather than being empty."""
    config = ClientConfig(Credentials("AKID", "key"), endpoint=f"http://{recorder.netloc}")
    headers = _encode(REQUESTS[0], config, 0).headers
    assert "X-TC-Region" not in headers
    assert "X-TC-Token" not in headers
    assert headers["X-TC-Language"] == "en-US"


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://mps.tencentcloudapi.com", "mps.tencentcloudapi.com"),
        ("https://mps.intl.tencentcloudapi.com:8443", "mps.intl.tencentcloudapi.com:8443"),
        ("http://[::1]:8089", "[::1]:8089"),
    ],
)
def test_the_host_header_carries_a_port_that_is_not_the_standard_one(endpoint: str, host: str) -> None:
    """The signature covers the Host header exactly as clients send it."""
    request = _encode(REQUESTS[0], ClientConfig(Credentials("AKID", "key"), endpoint=endpoint), 0)
    assert request.headers["Host"] == host
    assert request.url == f"{endpoint}/"


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, b"bytes", datetime(2026, 1, 1), {1, 2}, object()],
    ids=["nan", "infinity", "bytes", "datetime", "set", "object"],
)
def test_what_is_no_json_is_refused_before_it_is_sent(recorder: Recorder, connect: Connect, value: Any) -> None:
    """A parameter that JSON cannot hold is a clear error, and nothing travels."""
    with pytest.raises(MpsConfigError, match="The parameters of ProcessImage are not plain JSON"):
        connect(_config(recorder.netloc)).call(RawAction(action="ProcessImage", body={"X": [value]}))
    assert recorder.sent == []


def test_what_mps_would_not_take_is_refused_before_it_is_sent(recorder: Recorder, connect: Connect) -> None:
    """More than 10 MB never leaves this machine."""
    too_much = RawAction(action="ProcessImage", body={"X": "x" * MAX_REQUEST_BYTES})
    with pytest.raises(MpsConfigError, match="larger than the 10 MB"):
        connect(_config(recorder.netloc)).call(too_much)
    assert recorder.sent == []


def test_a_netrc_entry_does_not_touch_the_signature(
    recorder: Recorder, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """requests and aiohttp both know .netrc; here it must neither replace nor add an Authorization."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    connect(_config(recorder.netloc)).call(REQUESTS[0])
    assert recorder.sent[0].headers["authorization"].startswith("TC3-HMAC-SHA256 Credential=AKIDexample/")


@pytest.mark.fault("F55")
def test_keys_travel_in_the_signature_only(recorder: Recorder, connect: Connect) -> None:
    """The SecretKey is in no byte of the request; the token only in its header."""
    connect(_config(recorder.netloc)).call(REQUESTS[4])
    sent = recorder.sent[0]
    assert KEYS[1] not in repr(sent)
    assert [name for name, value in sent.headers.items() if KEYS[2] in value] == ["x-tc-token"]
    assert KEYS[2].encode() not in sent.body
