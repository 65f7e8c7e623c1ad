"""
Encode and sign one request: ``wire.encode`` beside the official SDK's own code, without any network.

The SDK is measured twice: from a plain dict (``call_json``, its fastest way) and from its request object (the
documented way), which it first turns into a dict. Ours starts from its request object, the action.
"""

# ruff: noqa: TID251 - the official SDK is what is compared with

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _measure import show, take_turns
from tencentcloud.common.credential import Credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.mps.v20190612 import models, mps_client

from airflow_provider_mps.client.actions import Action, BatchProcessMedia, DescribeTaskDetail
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.protocol import encode

ROUNDS = 25
KEYS = ("AKIDbenchmark", "benchmark-secret-key")
CREDENTIALS = Credentials(*KEYS)
CONFIG = ClientConfig(CREDENTIALS)
SDK = mps_client.MpsClient(Credential(*KEYS), "")
TASK_ID = "1250000000-WorkflowTask-0123456789abcdef0123456789abcdeftt7"


def inputs(count: int) -> list[dict[str, Any]]:
    """So many inputs of a batch, about 170 bytes each."""
    url = "https://media.invalid/season-01/episode-{0:04d}/master-file-of-the-episode-{0:04d}.mp4?signature={1}"
    return [{"Type": "URL", "UrlInputInfo": {"Url": url.format(number, "a" * 40)}} for number in range(count)]


def sdk_request(action: str, parameters: dict[str, Any]) -> RequestInternal:
    """What ``AbstractClient._call`` does before it sends."""
    request = RequestInternal("mps.tencentcloudapi.com", "POST", "/", header={})
    SDK._build_req_inter(action, parameters, request, {})
    return request


def check(action: Action[Any]) -> int:
    """Both must build the same request, or the comparison is void. Returns the size of its body."""
    theirs = sdk_request(action.name, action.parameters)
    ours = encode(action, CONFIG, int(theirs.header["X-TC-Timestamp"]), CREDENTIALS)
    if ours.body != theirs.data.encode() or ours.headers["Authorization"] != theirs.header["Authorization"]:
        raise SystemExit(f"broken: the two requests for {action.name} differ")
    return len(ours.body)


def compare(action: Action[Any], model: Any, times: int) -> None:
    parameters = action.parameters
    model._deserialize(parameters)

    def repeat(build: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                build()

        return run

    samples = take_turns(
        {
            "ours": repeat(lambda: encode(action, CONFIG, 1_700_000_000, CREDENTIALS)),
            "SDK, from a dict": repeat(lambda: sdk_request(action.name, parameters)),
            "SDK, from its request object": repeat(lambda: sdk_request(action.name, model._serialize())),
        },
        rounds=ROUNDS,
        per_sample=times,
    )
    show(f"{action.name}, body of {check(action):,} bytes: CPU per request", samples, ours="ours", unit="us")


def main() -> None:
    """Measure a small and a large body."""
    compare(DescribeTaskDetail(task_id=TASK_ID), models.DescribeTaskDetailRequest(), 500)
    compare(BatchProcessMedia(input_info=inputs(600)), models.BatchProcessMediaRequest(), 20)


if __name__ == "__main__":
    main()
