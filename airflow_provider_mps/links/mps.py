"""
The link from a task in Airflow's UI to the job in Tencent's console. Only pages that are known to exist are linked.

Airflow 3 stores a link as an XCom when a process of the task ends, at a deferral too; the UI reads only that XCom. This
link is stored as soon as the TaskId is known, so that it also works while a worker waits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_mps.hooks.mps import MpsHook

MAINLAND = "https://console.cloud.tencent.com/mps/"
INTERNATIONAL = "https://console.tencentcloud.com/mps/"
_API = "tencentcloudapi.com"
# The console lists the tasks of these actions. For other kinds (images, generated media) no page is documented: they
# get no link.
_LISTED = {"ProcessMedia", "EditMedia", "DescribeTaskDetail", "ManageTask"}
_BATCH = {"BatchProcessMedia", "DescribeBatchTaskDetail"}
_LIVE = {"ProcessLiveStream"}
_LIVE_ID = re.compile(r"-\w*live", re.IGNORECASE)


class MpsTaskLink(BaseOperatorLink):
    """The page of the MPS console that lists the task; for a local MPS its own page."""

    name = "MPS console"

    @classmethod
    def persist(cls, context: Context, hook: MpsHook, *, action: str, mps_task_id: str) -> None:
        """
        Store the link for a task, before the wait for it begins.

        :param action: the action that started or describes the task. It gives the kind of the task.
        """
        try:
            if url := console_url(hook.get_conn().config.endpoint, action=action, mps_task_id=mps_task_id):
                context["ti"].xcom_push(key=cls().xcom_key, value=url)
        except Exception:  # the task itself reports the error; a missing link must not fail it
            hook.log.debug("No link to MPS task %s", mps_task_id, exc_info=True)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow passes it
        from airflow.sdk.execution_time.xcom import XCom

        stored: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return stored if isinstance(stored, str) else ""


def console_url(endpoint: str, *, action: str, mps_task_id: str) -> str:
    """
    Return the address of the page that shows a task, "" if no such page is known.

    :param endpoint: the API endpoint. International accounts have their own endpoints and their own console.
    :param action: the action that started or describes the task.

    Sources: https://www.tencentcloud.com/document/product/1041/48778 and .../1041/33482 link the international pages.
    """
    address = urlsplit(endpoint)
    host = address.hostname or ""
    if address.scheme == "http":  # a local MPS: its page lists every task
        return endpoint
    if not (host == _API or host.endswith(f".{_API}")):
        return ""
    live = action in _LIVE or (action in _LISTED and _LIVE_ID.search(mps_task_id))
    if not (live or action in _LISTED | _BATCH):
        return ""
    if ".intl." not in host:
        return f"{MAINLAND}tasks"
    if action in _BATCH or "-BatchTask-" in mps_task_id:
        return f"{INTERNATIONAL}tasks"
    return f"{INTERNATIONAL}tasks/{'live' if live else 'vod'}-list"
