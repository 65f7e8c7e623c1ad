"""DAGs of the end-to-end tests: one job each, whose file name says what becomes of it."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import Param, dag, task

from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.operators.mps import (
    MpsBatchProcessMediaOperator,
    MpsEditMediaOperator,
    MpsProcessMediaOperator,
)

_PARAMS = {"name": Param("talk.mp4"), "conn": Param("mps_default"), "url": Param("")}
_REQUEST: dict[str, Any] = {
    "InputInfo": {
        "Type": "COS",
        "CosInputInfo": {"Bucket": "media-1250000000", "Region": "ap-nanjing", "Object": "/{{ params.name }}"},
    },
    "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
    "TaskNotifyConfig": {
        "NotifyType": "URL",
        "NotifyUrl": "https://example.com/callback?token={{ var.value.callback_credential }}",
        "NotifyKey": "{{ var.value.callback_credential }}",
    },
}
_SIGNED = "https://example.com/{{ params.name }}?q-signature={{ var.value.signature }}"
_COMMON: dict[str, Any] = {"request": _REQUEST, "mps_conn_id": "{{ params.conn }}"}
_DEFERRED: dict[str, Any] = {**_COMMON, "deferrable": True, "poll_interval": 5, "timeout": 600}


class DiesOnceAfterSubmitting(MpsProcessMediaOperator):
    """Its process is killed, once, after MPS took the job and before its TaskId was stored."""

    def execute(self, context: Any) -> Any:
        store = context["task_state_store"]
        real = store.set

        def set_or_die(key: str, value: Any, **more: Any) -> None:
            if isinstance(value, dict) and value.get("mps_task_id"):
                real("died", {"at": "storing"})
                os.kill(os.getpid(), signal.SIGKILL)
            real(key, value, **more)

        if store.get("died") is None:
            store.set = set_or_die
        return super().execute(context)


class ResumesSlowly(MpsProcessMediaOperator):
    """After its deferral it runs until a file says that it may end."""

    def execute_complete(self, *arguments: Any, **named: Any) -> Any:
        for _ in range(300):
            if Path(os.environ["AIRFLOW_HOME"], "resume").exists():
                break
            time.sleep(1)
        return super().execute_complete(*arguments, **named)


class LosesItsTrigger(MpsProcessMediaOperator):
    """Airflow's own timeout of the deferral, else later than the deadline, comes first."""

    def defer(self, **arguments: Any) -> NoReturn:
        super().defer(**{**arguments, "timeout": timedelta(seconds=5)})


def _tell(context: Any) -> None:
    """A user's callback: what it sees of the failure is what a user can be told."""
    print("The callback saw:", type(context["exception"]).__name__, context["exception"])


@dag(schedule=None, params=_PARAMS)
def e2e_deferred() -> None:
    MpsProcessMediaOperator(task_id="job", retries=3, retry_delay=1, **_DEFERRED)


@dag(schedule=None, params=_PARAMS)
def e2e_sync() -> None:
    # As in production the next try comes later: one that starts while Airflow's API is away is lost at once.
    MpsProcessMediaOperator(task_id="job", poll_interval=2, timeout=600, retries=3, retry_delay=60, **_COMMON)


@dag(schedule=None, params=_PARAMS)
def e2e_killed() -> None:
    MpsProcessMediaOperator(task_id="job", poll_interval=2, timeout=600, retries=2, retry_delay=1, **_COMMON)


@dag(schedule=None, params=_PARAMS)
def e2e_net() -> None:
    LosesItsTrigger(task_id="job", retries=1, retry_delay=1, **{**_DEFERRED, "timeout": 20})


@dag(schedule=None, params=_PARAMS)
def e2e_deadline() -> None:
    MpsProcessMediaOperator(task_id="job", **{**_DEFERRED, "timeout": 12})


@dag(schedule=None, params=_PARAMS, dagrun_timeout=timedelta(seconds=90))
def e2e_run_timeout() -> None:
    MpsProcessMediaOperator(task_id="job", **_DEFERRED)


@dag(schedule=None, params=_PARAMS)
def e2e_two_tries() -> None:
    MpsProcessMediaOperator(task_id="job", retries=1, retry_delay=1, on_failure_callback=_tell, **_DEFERRED)


@dag(schedule=None, params=_PARAMS)
def e2e_dies() -> None:
    DiesOnceAfterSubmitting(task_id="job", poll_interval=2, retries=2, retry_delay=1, **_COMMON)


@dag(schedule=None, params=_PARAMS)
def e2e_dies_without_retry() -> None:
    DiesOnceAfterSubmitting(task_id="job", poll_interval=2, retries=0, **_COMMON)


@dag(schedule=None, params=_PARAMS)
def e2e_narrow() -> None:
    # Its pool has no slot for what a trigger has resumed, until a test opens one.
    MpsProcessMediaOperator(task_id="job", pool="narrow", retries=1, retry_delay=1, **_DEFERRED)


@dag(schedule=None, params=_PARAMS)
def e2e_resumes_slowly() -> None:
    ResumesSlowly(task_id="job", retries=1, retry_delay=1, **_DEFERRED)


@dag(schedule=None, params=_PARAMS)
def e2e_batch() -> None:
    request = {"InputInfo": [_REQUEST["InputInfo"]], "SmartSubtitlesTask": {"Definition": 122}}
    MpsBatchProcessMediaOperator(
        task_id="job", mps_conn_id="{{ params.conn }}", request=request, poll_interval=2, retries=2, retry_delay=1
    )


@dag(schedule=None, params=_PARAMS)
def e2e_mapped() -> None:
    signed = {**_REQUEST, "InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": _SIGNED}}}
    MpsProcessMediaOperator.partial(task_id="job", wait_for_completion=False).expand(request=[_REQUEST, signed])


@dag(schedule=None, params=_PARAMS)
def e2e_refused() -> None:
    request = {
        "FileInfos": [{"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": _SIGNED}}}],
        "OutputStorage": {"Type": "COS", "CosOutputStorage": {"Bucket": "media-1250000000", "Region": "ap-nanjing"}},
        "OutputObjectPath": "/edited/{{ params.name }}",
        "TaskNotifyConfig": _REQUEST["TaskNotifyConfig"],
    }
    MpsEditMediaOperator(task_id="job", mps_conn_id="{{ params.conn }}", request=request, on_failure_callback=_tell)


@dag(schedule=None, params={"name": Param(""), "numbers": Param([0])}, max_active_tasks=4)
def e2e_many() -> None:
    @task
    def requests(params: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "InputInfo": cos_input("media-1250000000", "ap-nanjing", f"many.{number}.mp4"),
                "MediaProcessTask": {"TranscodeTaskSet": [{"Definition": 100030}]},
            }
            for number in params["numbers"]
        ]

    MpsProcessMediaOperator.partial(
        task_id="job", mps_conn_id="mps_held", deferrable=True, poll_interval=20, timeout=3600, priority_weight=1
    ).expand(request=requests())


e2e_deferred()
e2e_sync()
e2e_killed()
e2e_net()
e2e_deadline()
e2e_run_timeout()
e2e_two_tries()
e2e_dies()
e2e_dies_without_retry()
e2e_narrow()
e2e_resumes_slowly()
e2e_batch()
e2e_mapped()
e2e_refused()
e2e_many()
