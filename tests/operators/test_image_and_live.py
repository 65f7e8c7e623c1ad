"""Pictures and live streams, as far as MPS lets them be waited for and stopped."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError, MpsTaskFailed, MpsTaskNotFound
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsProcessImageOperator,
    MpsProcessLiveStreamOperator,
    MpsProcessMediaOperator,
    MpsTaskResultOperator,
)
from tests.support.harness import ALL_MODES, Crash, Mode, clear, new_context, retry, run_sensor
from tests.support.submitting import WAYS, jobs, media, picture, stream, submit

IMAGE_TASK = {"describe_action": "DescribeImageTaskDetail"}


def _result(mps_task_id: str, **arguments: Any) -> dict[str, Any]:
    operator = MpsTaskResultOperator(task_id="result", mps_task_id=mps_task_id, settle_grace=0.1, **arguments)
    value: dict[str, Any] = operator.execute(new_context())
    return value


@WAYS
def test_an_orchestrated_job(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Its parts are activities, and groups of parts; a part that fails inside a group that succeeds is found."""
    activities = [
        {"ActivityType": "action-trans", "ActivityPara": {"TranscodeTask": {"Definition": 10}}},
        {"ActivityType": "action-SmartSubtitles", "ActivityPara": {"SmartSubtitlesTask": {"Definition": 1}}},
    ]
    request = {"InputInfo": media(), "Activities": activities}
    result = _result(submit(MpsProcessMediaOperator, request=request, deferrable=deferrable), max_xcom_bytes=900_000)
    assert (result["task_type"], result["progress"]) == (
        "ScheduleTask",
        {"parts": 2, "succeeded": 2, "percent": 100},
    )
    assert [file["kind"] for file in result["outputs"]] == ["transcode", "subtitle"]
    request["InputInfo"] = media("talk.partial-failure.mp4")
    with pytest.raises(MpsTaskFailed, match=r"SmartSubtitlesTask\.Output\[0\]\.AsrFullTextTask: FAIL InternalError"):
        submit(MpsProcessMediaOperator, request=request, deferrable=deferrable)


@ALL_MODES
def test_a_picture_from_submission_to_result(airflow_mps: LocalMps, mode: Mode) -> None:
    """Submit without waiting, wait in a sensor of any mode, take the file: the explicit action says what kind it is."""
    task_id = submit(MpsProcessImageOperator, wait_for_completion=False)
    assert run_sensor(mode, mps_task_id=task_id, **IMAGE_TASK) == task_id
    [file] = _result(task_id, **IMAGE_TASK)["outputs"]
    assert (file["kind"], file["uri"]) == ("image", "cos://media-1250000000/output/talk_0.webp")
    assert set(airflow_mps.backend.counts()["calls"]) == {"ProcessImage", "DescribeImageTaskDetail"}


@WAYS
def test_the_operator_knows_that_its_job_is_a_picture(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Waiting, taking up an earlier job and clearing never ask the API that does not know it."""
    context = new_context()
    context["ti"].crash_on_push = True
    with pytest.raises(Crash):
        submit(MpsProcessImageOperator, context=context, deferrable=deferrable)
    assert [submit(MpsProcessImageOperator, context=retry(context), deferrable=deferrable)] == jobs(airflow_mps)
    submit(MpsProcessImageOperator, context=clear(context), deferrable=deferrable)
    assert "DescribeTaskDetail" not in airflow_mps.backend.counts()["calls"]


@WAYS
@pytest.mark.parametrize("name", ["all-fail", "source-error"])
def test_a_picture_that_fails(airflow_mps: LocalMps, deferrable: bool, name: str) -> None:
    """The code that MPS writes into ErrMsg is in the error."""
    with pytest.raises(MpsTaskFailed) as caught:
        submit(MpsProcessImageOperator, f"talk.{name}.png", deferrable=deferrable)
    [failure] = caught.value.failures
    assert failure.code == {"all-fail": "InternalError", "source-error": "SourceFileError"}[name]


def test_an_id_of_a_picture_without_the_action_says_what_to_set(airflow_mps: LocalMps) -> None:
    """The id looks like any other's, so MPS does not know it there; the error names the way out."""
    task_id = submit(MpsProcessImageOperator, wait_for_completion=False)
    with pytest.raises(MpsTaskNotFound, match="describe_action='DescribeImageTaskDetail'"):
        run_sensor(Mode.POKE, mps_task_id=task_id, not_found_grace=0)
    with pytest.raises(MpsTaskNotFound, match="describe_action='DescribeImageTaskDetail'"):
        _result(task_id)


@pytest.mark.parametrize("parameter", ["SessionId", "SessionContext", "TaskNotifyConfig"])
def test_what_mps_does_not_take_with_a_picture_is_not_sent(airflow_mps: LocalMps, parameter: str) -> None:
    """ProcessImage has no mark of any kind, and ours is not smuggled in."""
    with pytest.raises(MpsConfigError, match=parameter):
        submit(MpsProcessImageOperator, request=picture(**{parameter: "mine"}))
    assert not airflow_mps.backend.calls
    submit(MpsProcessImageOperator)
    assert set(next(iter(airflow_mps.backend.tasks.values())).request) == {"InputInfo", "ImageTask"}


@WAYS
def test_a_stream_that_ends(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Its end is its success; what it found out went to who was notified."""
    task_id = submit(MpsProcessLiveStreamOperator, request=stream(), deferrable=deferrable)
    assert "-procedure-live-" in task_id
    result = _result(task_id)
    assert (result["task_type"], result["outputs"], result["failures"]) == ("LiveStreamProcessTask", [], [])


@WAYS
def test_a_stream_that_cannot_be_pulled(airflow_mps: LocalMps, deferrable: bool) -> None:
    """An error code of the task is a failure, whatever else it says."""
    with pytest.raises(MpsTaskFailed, match="60000"):
        submit(MpsProcessLiveStreamOperator, request=stream("talk.source-error"), deferrable=deferrable)


def test_an_orchestrated_stream_has_records(airflow_mps: LocalMps) -> None:
    """Size, duration and place of each record; without any, the end of the stream is still its success."""
    task_id = submit(MpsProcessLiveStreamOperator)
    [record] = _result(task_id)["outputs"]
    assert (record["kind"], record["size"], record["duration"]) == ("record", 43_303_172, 372)
    assert record["uri"] == "https://emulator-1250000000.cos.ap-guangzhou.myqcloud.com/output/record.mp4"
    assert _result(submit(MpsProcessLiveStreamOperator, "talk.empty-result"))["outputs"] == []


@WAYS
def test_an_endless_stream_is_ended_by_its_timeout(airflow_mps: LocalMps, deferrable: bool) -> None:
    """Unlike any other job it is aborted while it runs; the task fails without a retry and says so."""
    with pytest.raises(AirflowFailException, match=r"has not ended within .* was aborted\."):
        submit(MpsProcessLiveStreamOperator, request=stream("talk.stuck"), deferrable=deferrable, timeout=0.3)
    assert airflow_mps.backend.aborts == jobs(airflow_mps)
    [task] = airflow_mps.backend.tasks.values()
    assert airflow_mps.backend.status(task) == "FINISH"


def test_a_running_stream_is_ended_by_a_clear(airflow_mps: LocalMps) -> None:
    """A cleared task leaves no old job behind that records on for ever."""
    context = new_context()
    first = submit(MpsProcessLiveStreamOperator, "talk.stuck", context=context, wait_for_completion=False)
    airflow_mps.backend.tasks[first].polls = 5
    submit(MpsProcessLiveStreamOperator, "talk.stuck", context=clear(context), wait_for_completion=False)
    assert airflow_mps.backend.aborts == [first]


def test_a_running_stream_is_ended_by_the_operator_for_it(airflow_mps: LocalMps) -> None:
    """MpsAbortTaskOperator is how a DAG ends a stream that it started."""
    task_id = submit(MpsProcessLiveStreamOperator, "talk.stuck", wait_for_completion=False)
    airflow_mps.backend.tasks[task_id].polls = 5
    assert MpsAbortTaskOperator(task_id="stop", mps_task_id=task_id).execute(new_context()) is True
