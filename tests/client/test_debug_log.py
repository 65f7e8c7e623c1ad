"""With DEBUG the log tells what was asked and answered, and still no secret."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_mps.client.actions import DescribeTaskDetail, ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsError
from tests.conftest import Connect

CANARY = "canary-31a9c4"
REQUEST = {
    "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": f"https://media.invalid/演讲.mp4?sign={CANARY}"}},
    "OutputStorage": {
        "Type": "AWS-S3",
        "S3OutputStorage": {"S3Bucket": "b", "S3Region": "r", "S3SecretId": CANARY, "S3SecretKey": CANARY},
    },
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
    "TaskNotifyConfig": {"NotifyType": "URL", "NotifyUrl": f"https://u:{CANARY}@host/x", "NotifyKey": CANARY},
}


@pytest.fixture(autouse=True)
def _not_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that load Airflow configure logging late, which disables the loggers that are there already."""
    monkeypatch.setattr(logging.getLogger("airflow_provider_mps.client.protocol"), "disabled", False)


def test_debug_tells_requests_and_answers(
    mps: LocalMps, config: ClientConfig, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Action, host, parameters and RequestId are there; keys, tokens and signatures are not, in either transport."""
    with caplog.at_level(logging.DEBUG):
        submitted = connect(config).call(ProcessMedia(**REQUEST))
        detail = connect(config).call(DescribeTaskDetail(task_id=submitted.mps_task_id))
    lines = [record.getMessage() for record in caplog.records if record.name == "airflow_provider_mps.client.protocol"]
    assert lines[0].startswith(f"ProcessMedia to {config.host}: ")
    assert "https://media.invalid/演讲.mp4" in lines[0]
    assert '"Definition": 100030' in lines[0]
    assert f"(RequestId {submitted.request_id})" in lines[1]
    assert submitted.mps_task_id in lines[2]
    assert f"(RequestId {detail.request_id})" in lines[3]
    assert CANARY not in caplog.text
    assert mps.secret_key not in caplog.text
    assert "TC3-HMAC-SHA256" not in caplog.text


def test_a_refused_request_can_be_found_too(
    config: ClientConfig, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """The RequestId of a refusal stands in the log: it is what Tencent's support asks for."""
    with caplog.at_level(logging.DEBUG), pytest.raises(MpsError) as caught:
        connect(config).call(DescribeTaskDetail(task_id="1250000000-WorkflowTask-unknown"))
    request_id = getattr(caught.value, "request_id", None)
    assert "DescribeTaskDetail answered with " in caplog.text
    assert f"(RequestId {request_id})" in caplog.text


def test_info_tells_nothing_of_single_requests(
    config: ClientConfig, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Without DEBUG a request leaves no line: the log of a wait has changes, not looks."""
    with caplog.at_level(logging.INFO):
        connect(config).call(ProcessMedia(**REQUEST))
    assert not [record for record in caplog.records if record.name.startswith("airflow_provider_mps")]
