"""
The way from a task in Airflow's UI to the job in Tencent's console. Only pages that are known to exist are linked.

Airflow 3 stores a link as an XCom when a process of the task ends, at a deferral too; the UI reads nothing but that
XCom. Written as soon as the job is known, it works while a worker waits as well.
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
# Actions whose tasks a list of the console shows. Which other kinds (images, generated media) have a page is not
# documented: they get no link.
_LISTED = {"ProcessMedia", "EditMedia", "DescribeTaskDetail", "ManageTask"}
_BATCH = {"BatchProcessMedia", "DescribeBatchTaskDetail"}
_LIVE = {"ProcessLiveStream"}
_LIVE_ID = re.compile(r"-\w*live", re.IGNORECASE)


class MpsTaskLink(BaseOperatorLink):
    """The list of the MPS console that holds the task; of a local MPS its page."""

    name = "MPS console"

    @classmethod
    def persist(cls, context: Context, hook: MpsHook, *, action: str, mps_task_id: str) -> None:
        """
        Store the link for a task, before the wait for it begins.

        :param action: that started the task, or tells its state: it says of which kind the task is.
        """
        try:
            if url := console_url(hook.get_conn().config.endpoint, action=action, mps_task_id=mps_task_id):
                context["ti"].xcom_push(key=cls().xcom_key, value=url)
        except Exception:  # whatever is wrong will be said by what the task is there for; a link decides nothing
            hook.log.debug("No link to MPS task %s", mps_task_id, exc_info=True)

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow passes it
        from airflow.sdk.execution_time.xcom import XCom

        stored: Any = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return stored if isinstance(stored, str) else ""


def console_url(endpoint: str, *, action: str, mps_task_id: str) -> str:
    """
    The page that shows a task, "" if none is known to.

    :param endpoint: of the API. It tells whose console it is: international accounts have endpoints of their own.
    :param action: that started the task, or tells its state.

    Sources: https://www.tencentcloud.com/document/product/1041/48778 and .../1041/33482 link the international pages.
    """
    address = urlsplit(endpoint)
    host = address.hostname or ""
    if address.scheme == "http":  # only ever a local MPS, whose page lists every task
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
