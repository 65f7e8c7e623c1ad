"""What the tests of submission share: requests, operators, modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import (
    MpsBatchProcessMediaOperator,
    MpsEditMediaOperator,
    MpsProcessImageOperator,
    MpsProcessLiveStreamOperator,
    MpsProcessMediaOperator,
)
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from tests.support.harness import new_context, run_operator

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
TRANSCODE = {"TranscodeTaskSet": [{"Definition": 100030}]}


def media(name: str = "talk.mp4") -> dict[str, Any]:
    return {"Type": "COS", "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-nanjing", "Object": f"/{name}"}}


def process(name: str = "talk.mp4", **parameters: Any) -> dict[str, Any]:
    return {"InputInfo": media(name), "MediaProcessTask": TRANSCODE, **parameters}


def batch(name: str = "talk.mp4", **parameters: Any) -> dict[str, Any]:
    return {"InputInfo": [media(name)], "SmartSubtitlesTask": {"Definition": 1}, **parameters}


def edit(name: str = "talk.mp4", **parameters: Any) -> dict[str, Any]:
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "media-1250000000", "Region": "ap-nanjing"}}
    cut = {"InputInfo": media(name), "StartTimeOffset": 1, "EndTimeOffset": 9}
    return {"FileInfos": [cut], "OutputStorage": storage, "OutputObjectPath": "/cut.mp4", **parameters}


def picture(name: str = "talk.png", **parameters: Any) -> dict[str, Any]:
    return {"InputInfo": media(name), "ImageTask": {"EncodeConfig": {"Format": "WEBP"}}, **parameters}


def stream(name: str = "talk", **parameters: Any) -> dict[str, Any]:
    notify = {"NotifyType": "URL", "NotifyUrl": "https://me.invalid/live"}
    return {"Url": f"rtmp://live.invalid/app/{name}", "TaskNotifyConfig": notify, **parameters}


def orchestrated_stream(name: str = "talk", **parameters: Any) -> dict[str, Any]:
    return stream(name, ScheduleId=10, **parameters)


KINDS: dict[type[MpsSubmitOperator], Callable[..., dict[str, Any]]] = {
    MpsProcessMediaOperator: process,
    MpsEditMediaOperator: edit,
    MpsBatchProcessMediaOperator: batch,
    MpsProcessImageOperator: picture,
    MpsProcessLiveStreamOperator: orchestrated_stream,
}
ALL_KINDS = pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.action_name)
WITH_SESSION = pytest.mark.parametrize(
    "kind",
    [MpsProcessMediaOperator, MpsEditMediaOperator, MpsProcessLiveStreamOperator],
    ids=lambda kind: kind.action_name,
)
NO_SESSION = (MpsBatchProcessMediaOperator, MpsProcessImageOperator)
WITHOUT_SESSION = pytest.mark.parametrize("kind", NO_SESSION, ids=lambda kind: kind.action_name)


def new_operator(
    kind: type[MpsSubmitOperator], name: str = "talk.mp4", request: dict[str, Any] | None = None, **arguments: Any
) -> Callable[[], MpsSubmitOperator]:
    """A factory, since every start of a task makes a new instance."""
    request = KINDS[kind](name) if request is None else request
    return lambda: kind(
        task_id="a_task",
        request=request,
        **{"retries": 2, "poll_interval": 0.02, "timeout": 30, "settle_grace": 0.1, **arguments},
    )


def submit(
    kind: type[MpsSubmitOperator], name: str = "talk.mp4", context: dict[str, Any] | None = None, **arguments: Any
) -> Any:
    """One try."""
    return run_operator(new_operator(kind, name, **arguments), context or new_context())


def jobs(mps: LocalMps) -> list[str]:
    """The jobs that exist, oldest first."""
    return list(mps.backend.tasks)


def asked(mps: LocalMps, action: str) -> int:
    """How often an action was called."""
    return sum(call.action == action for call in mps.backend.calls)


def deadline_of(trigger: Any) -> float:
    """Unix seconds of MPS's clock."""
    deadline: float = trigger.state["started"] + trigger.policy["timeout"]
    return deadline
