"""The link to the console: the right page for account and kind of task, there before the wait, never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.links.mps import MpsTaskLink, console_url
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsActionOperator,
    MpsProcessMediaOperator,
    MpsTaskResultOperator,
)
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import DONE, RUNNING, new_context
from tests.support.submitting import ALL_KINDS, KINDS, jobs, new_operator, process

MAINLAND, INTERNATIONAL = "https://mps.tencentcloudapi.com", "https://mps.intl.tencentcloudapi.com"
KEY = "_link_MpsTaskLink"
WORKFLOW, BATCH, LIVE = "125-WorkflowTask-1a2b", "125-BatchTask-1a2b", "2459149217-procedure-live"


@pytest.mark.parametrize(
    ("endpoint", "action", "mps_task_id", "url"),
    [
        (INTERNATIONAL, "ProcessMedia", WORKFLOW, "https://console.tencentcloud.com/mps/tasks/vod-list"),
        (INTERNATIONAL, "DescribeTaskDetail", WORKFLOW, "https://console.tencentcloud.com/mps/tasks/vod-list"),
        (INTERNATIONAL, "EditMedia", "125-EditMedia-1a2b", "https://console.tencentcloud.com/mps/tasks/vod-list"),
        (INTERNATIONAL, "BatchProcessMedia", BATCH, "https://console.tencentcloud.com/mps/tasks"),
        (INTERNATIONAL, "ManageTask", BATCH, "https://console.tencentcloud.com/mps/tasks"),
        (INTERNATIONAL, "ProcessLiveStream", LIVE, "https://console.tencentcloud.com/mps/tasks/live-list"),
        (INTERNATIONAL, "DescribeTaskDetail", LIVE, "https://console.tencentcloud.com/mps/tasks/live-list"),
        (MAINLAND, "ProcessMedia", WORKFLOW, "https://console.cloud.tencent.com/mps/tasks"),
        (MAINLAND, "ProcessLiveStream", LIVE, "https://console.cloud.tencent.com/mps/tasks"),
        ("https://mps.ap-nanjing.tencentcloudapi.com", "EditMedia", "1", "https://console.cloud.tencent.com/mps/tasks"),
        # Kinds without a page that is known: an image task's id looks like any other's.
        (INTERNATIONAL, "ProcessImage", WORKFLOW, ""),
        (MAINLAND, "DescribeImageTaskDetail", WORKFLOW, ""),
        (MAINLAND, "DescribeAigcVideoTask", "4-AigcVideo-1a2b", ""),
        # Whose console a gateway belongs to cannot be told.
        ("https://mps.example.com", "ProcessMedia", WORKFLOW, ""),
        ("https://nottencentcloudapi.com", "ProcessMedia", WORKFLOW, ""),
        ("http://127.0.0.1:8089", "ProcessMedia", WORKFLOW, "http://127.0.0.1:8089"),
    ],
)
def test_the_page_is_right_for_account_and_kind(endpoint: str, action: str, mps_task_id: str, url: str) -> None:
    """The endpoint tells the account, the action the kind; where no page is known, there is no link."""
    assert console_url(endpoint, action=action, mps_task_id=mps_task_id) == url


# They start no job and ask for none, so there is no page to link.
_WITHOUT_A_TASK = {"MpsMediaCheckOperator", "MpsMediaMetadataOperator"}


@pytest.mark.parametrize("name", sorted({*operators.__all__, "MpsTaskSensor"} - _WITHOUT_A_TASK))
def test_every_operator_has_the_link(name: str) -> None:
    """On the class, not on the instance: mapped tasks know nothing else."""
    cls = MpsTaskSensor if name == "MpsTaskSensor" else getattr(operators, name)
    assert issubclass(cls, (BaseOperator, BaseSensorOperator))
    assert [type(link) for link in cls.operator_extra_links] == [MpsTaskLink]


@ALL_KINDS
def test_it_is_there_before_the_wait(airflow_mps: LocalMps, kind: Any) -> None:
    """Who looks while the task is deferred finds the link."""
    context = new_context()
    with pytest.raises(TaskDeferred):
        new_operator(kind, "talk.queued.mp4", deferrable=True)().execute(context)
    assert context["ti"].xcoms[KEY] == airflow_mps.host
    assert context["ti"].xcoms["mps_task_id"] == jobs(airflow_mps)[0]


@pytest.mark.parametrize(
    "new",
    [
        lambda task_id: MpsTaskSensor(task_id="a_task", mps_task_id=task_id, poke_interval=0.02, timeout=9),
        lambda task_id: MpsTaskResultOperator(task_id="a_task", mps_task_id=task_id),
        lambda task_id: MpsAbortTaskOperator(task_id="a_task", mps_task_id=task_id),
        lambda task_id: MpsActionOperator(
            task_id="a_task", action="DescribeTaskDetail", parameters={"TaskId": task_id}
        ),
        lambda _: MpsActionOperator(task_id="a_task", action="ProcessMedia", parameters=process()),
    ],
    ids=["sensor", "result", "abort", "an action on a task", "an action that starts one"],
)
def test_who_names_a_task_links_to_it(airflow_mps: LocalMps, new: Callable[[str], BaseOperator]) -> None:
    """All operators that know a TaskId store the link."""
    context = new_context()
    new(airflow_mps.backend.script([DONE])).execute(context)  # type: ignore[arg-type]  # a stand-in for a Context
    assert context["ti"].xcoms[KEY] == airflow_mps.host


def test_no_link_without_a_task(airflow_mps: LocalMps) -> None:
    """An action that concerns no task stores none."""
    context = new_context()
    MpsActionOperator(task_id="ask", action="DescribeTasks", parameters={"Status": "FINISH"}).execute(context)  # type: ignore[arg-type]
    assert KEY not in context["ti"].xcoms


def test_a_link_that_cannot_be_stored_changes_nothing(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow that takes no XCom for a moment costs the link, not the wait."""
    context = new_context()

    def refuse(key: str, value: Any) -> None:
        raise ConnectionError("Airflow's API is away")

    monkeypatch.setattr(context["ti"], "xcom_push", refuse)
    task_id = airflow_mps.backend.script([RUNNING, DONE])
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=task_id, poke_interval=0.02, timeout=9)
    assert sensor.execute(context) == task_id  # type: ignore[arg-type]


def test_a_wrong_connection_is_reported_as_ever(airflow_mps: LocalMps) -> None:
    """The link asks for the connection first; its error is left to what the task is there for."""
    sensor = MpsTaskSensor(task_id="wait", mps_task_id=WORKFLOW, mps_conn_id="plain_http", timeout=9)
    with pytest.raises(MpsConfigError, match="plain_http"):
        sensor.execute(new_context())  # type: ignore[arg-type]


def test_airflow_reads_the_link_of_mapped_tasks_too() -> None:
    """The serialized DAG, which is all that the UI has, names the XCom of the link."""
    with DAG("linked", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        MpsTaskSensor(task_id="wait", mps_task_id=WORKFLOW)
        MpsProcessMediaOperator.partial(task_id="jobs").expand(request=[KINDS[MpsProcessMediaOperator]()])
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    read = DagSerialization.from_dict(stored)
    for task_id in ("wait", "jobs"):
        links = read.get_task(task_id).operator_extra_link_dict
        assert {name: link.xcom_key for name, link in links.items()} == {"MPS console": KEY}


def test_what_was_stored_is_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of each process Airflow asks for the link again and stores it; a lost one is an empty one."""
    from airflow.sdk.execution_time.xcom import XCom

    xcoms = {("jobs", 3): "https://console.tencentcloud.com/mps/tasks"}
    monkeypatch.setattr(
        XCom, "get_value", lambda *, ti_key, key: xcoms.get((ti_key.task_id, ti_key.map_index)) if key == KEY else None
    )
    for map_index, url in ((3, xcoms["jobs", 3]), (4, "")):
        ti = new_context(task_id="jobs", map_index=map_index)["ti"]
        assert MpsTaskLink().get_link(None, ti_key=ti) == url  # type: ignore[arg-type]  # it needs no operator
