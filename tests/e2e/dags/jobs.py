"""DAGs of the end-to-end tests: one job each, which waits in MPS's queue until somebody ends it."""

from __future__ import annotations

import os
import signal
from typing import Any

from airflow.sdk import dag

from airflow_provider_mps.operators.mps import MpsProcessMediaOperator

_PARAMS = {"name": "talk.mp4"}
_REQUEST = {
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


class DiesOnceAfterSubmitting(MpsProcessMediaOperator):
    """Its process is killed after MPS took the job and before anything was stored, in its first try."""

    def _submit(self, context: Any, action: Any) -> Any:
        if context["ti"].try_number == 1:
            store = context["task_state_store"]
            real = store.set

            def set_or_die(key: str, value: Any, **more: Any) -> None:
                if value.get("mps_task_id"):
                    os.kill(os.getpid(), signal.SIGKILL)
                real(key, value, **more)

            store.set = set_or_die
        return super()._submit(context, action)


@dag(schedule=None, params=_PARAMS)
def e2e_deferred() -> None:
    MpsProcessMediaOperator(task_id="job", request=_REQUEST, deferrable=True, poll_interval=5, timeout=600)


@dag(schedule=None, params=_PARAMS)
def e2e_sync() -> None:
    MpsProcessMediaOperator(task_id="job", request=_REQUEST, poll_interval=2, timeout=600)


@dag(schedule=None, params=_PARAMS)
def e2e_deadline() -> None:
    MpsProcessMediaOperator(task_id="job", request=_REQUEST, deferrable=True, poll_interval=5, timeout=12)


@dag(schedule=None, params=_PARAMS)
def e2e_dies() -> None:
    DiesOnceAfterSubmitting(task_id="job", request=_REQUEST, poll_interval=2, retries=2, retry_delay=1)


@dag(schedule=None, params=_PARAMS)
def e2e_mapped() -> None:
    MpsProcessMediaOperator.partial(task_id="job", wait_for_completion=False).expand(request=[_REQUEST, _REQUEST])


e2e_mapped()
e2e_deferred()
e2e_sync()
e2e_deadline()
e2e_dies()
