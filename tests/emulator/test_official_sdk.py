"""The official SDK, unchanged, against the local MPS, which answers as MPS documents it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import Account
from airflow_provider_mps.emulator.server import LocalMps
from tests.support.official import (
    Credential,
    OfficialAsyncClient,
    OfficialClient,
    TencentCloudSDKException,
    models,
    profile,
)

URL_INPUT = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/演讲 1&2=3.mp4?sign=a%2Bb"}}
TRANSCODE = {"TranscodeTaskSet": [{"Definition": 100040}, {"Definition": 100050}]}
SUBTITLES = {"RawParameter": {"SubtitleType": 2, "VideoSrcLanguage": "zh", "TranslateSwitch": "ON"}}
Ask = Callable[..., Any]


def _sync(mps: LocalMps, method: str, credential: Credential) -> Ask:
    client = OfficialClient(credential, "ap-guangzhou", profile(f"127.0.0.1:{mps.port}", method))

    def ask(action: str, **parameters: Any) -> Any:
        request = getattr(models, f"{action}Request")()
        request._deserialize(parameters)
        return getattr(client, action)(request)

    return ask


def _async(mps: LocalMps, method: str, credential: Credential) -> Ask:
    def ask(action: str, **parameters: Any) -> Any:
        request = getattr(models, f"{action}Request")()
        request._deserialize(parameters)

        async def send() -> Any:
            endpoint = profile(f"127.0.0.1:{mps.port}", method)
            async with OfficialAsyncClient(credential, "ap-guangzhou", endpoint) as client:
                return await getattr(client, action)(request)

        return asyncio.run(send())

    return ask


@pytest.fixture(params=[_sync, _async], ids=["sdk", "async-sdk"])
def sdk(request: pytest.FixtureRequest) -> Callable[[LocalMps, str, Credential], Ask]:
    """Both clients of the SDK in turn."""
    chosen: Callable[[LocalMps, str, Credential], Ask] = request.param
    return chosen


@pytest.fixture(params=["POST", "GET"])
def ask(request: pytest.FixtureRequest, sdk: Callable[[LocalMps, str, Credential], Ask], mps: LocalMps) -> Ask:
    """Ask with the right keys, by either method."""
    return sdk(mps, request.param, Credential(mps.secret_id, mps.secret_key))


def test_a_job_from_its_submission_to_its_result(mps: LocalMps, ask: Ask) -> None:
    """Submit, look three times, list: the SDK's own models read every answer, special characters included."""
    task_id = ask("ProcessMedia", InputInfo=URL_INPUT, MediaProcessTask=TRANSCODE, SessionContext="上下文 &=+%").TaskId
    seen = [ask("DescribeTaskDetail", TaskId=task_id) for _ in range(3)]
    assert [detail.Status for detail in seen] == ["WAITING", "PROCESSING", "FINISH"]
    assert seen[0].FinishTime == "0000-00-00T00:00:00Z"
    assert seen[2].SessionContext == "上下文 &=+%"
    task = seen[2].WorkflowTask
    assert [part.TranscodeTask.Status for part in task.MediaProcessResultSet] == ["SUCCESS", "SUCCESS"]
    assert [part.TranscodeTask.Output.Definition for part in task.MediaProcessResultSet] == [100040, 100050]
    assert task.InputInfo.UrlInputInfo.Url == URL_INPUT["UrlInputInfo"]["Url"]
    assert task.MetaData.VideoStreamSet[0].Codec == "h264"
    [listed] = ask("DescribeTasks", Status="FINISH", Limit=10).TaskSet
    assert (listed.TaskId, listed.TaskType) == (task_id, "WorkflowTask")


def test_a_batch_from_its_submission_to_its_result(mps: LocalMps, ask: Ask) -> None:
    """A list of inputs, one output each, in the shape that the SDK's batch models expect."""
    inputs = [URL_INPUT, {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/b.all-fail.mp4"}}]
    task_id = ask("BatchProcessMedia", InputInfo=inputs, SmartSubtitlesTask=SUBTITLES).TaskId
    seen = [ask("DescribeBatchTaskDetail", TaskId=task_id) for _ in range(3)]
    assert [detail.Status for detail in seen] == ["WAITING", "PROCESSING", "FINISH"]
    outputs = seen[2].BatchTaskResult.SmartSubtitlesTaskResult.Outputs
    assert [output.Status for output in outputs] == ["SUCCESS", "FAIL"]
    assert len(outputs[0].TransTextTask.SegmentSet) == 3
    assert len(seen[2].BatchTaskResult.Metadatas) == 2


def test_an_edit_from_its_submission_to_its_result(mps: LocalMps, ask: Ask) -> None:
    """A job of another type is read with the same action, under a task object of its own."""
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-1", "Region": "ap-guangzhou"}}
    cut = {"InputInfo": URL_INPUT, "StartTimeOffset": 1.5}
    submitted = ask("EditMedia", FileInfos=[cut, cut], OutputStorage=storage, OutputObjectPath="/out/a.mp4")
    *_, last = [ask("DescribeTaskDetail", TaskId=submitted.TaskId) for _ in range(3)]
    assert (last.TaskType, last.Status, last.WorkflowTask) == ("EditMediaTask", "FINISH", None)
    assert (last.EditMediaTask.Output.Path, last.EditMediaTask.Output.MetaData.Width) == ("/out/a.mp4", 1920)


def test_a_picture_from_its_submission_to_its_result(mps: LocalMps, ask: Ask) -> None:
    """An id like any other's, and an API of its own that says next to nothing until the end."""
    picture = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/cat.png?sign=a%2Bb"}}
    task_id = ask("ProcessImage", InputInfo=picture, ImageTask={"EncodeConfig": {"Format": "WEBP"}}).TaskId
    assert "-WorkflowTask-" in task_id
    seen = [ask("DescribeImageTaskDetail", TaskId=task_id) for _ in range(3)]
    assert [detail.Status for detail in seen] == ["WAITING", "PROCESSING", "FINISH"]
    assert [detail.ImageProcessTaskResultSet for detail in seen[:2]] == [None, None]
    [result] = seen[2].ImageProcessTaskResultSet
    assert (result.Status, result.Output.Path) == ("SUCCESS", "/output/cat_0.webp")
    assert seen[2].ImageTask.EncodeConfig.Format == "WEBP"


def test_a_live_stream_from_its_submission_to_its_abort(mps: LocalMps, ask: Ask) -> None:
    """It can be aborted while it runs, and is listed under a name of its own."""
    url = "rtmp://live.invalid/app/talk?txSecret=a%2Bb"
    submitted = ask("ProcessLiveStream", Url=url, TaskNotifyConfig={"NotifyType": "URL"}, SessionId="once")
    seen = [ask("DescribeTaskDetail", TaskId=submitted.TaskId) for _ in range(2)]
    assert [detail.Status for detail in seen] == ["WAITING", "PROCESSING"]
    assert (seen[1].TaskType, seen[1].LiveStreamProcessTask.Url) == ("LiveStreamProcessTask", url)
    [listed] = ask("DescribeTasks", Status="PROCESSING", Limit=10).TaskSet
    assert (listed.TaskId, listed.TaskType) == (submitted.TaskId, "LiveProcessTask")
    assert ask("ManageTask", OperationType="Abort", TaskId=submitted.TaskId).RequestId
    assert ask("DescribeTaskDetail", TaskId=submitted.TaskId).LiveStreamProcessTask.Status == "FINISH"
    with pytest.raises(TencentCloudSDKException) as caught:
        ask("ProcessLiveStream", Url=url, TaskNotifyConfig={"NotifyType": "URL"}, SessionId="once")
    assert caught.value.get_code() == "InvalidParameterValue.SessionId"


def test_an_orchestrated_live_stream_has_records(mps: LocalMps, ask: Ask) -> None:
    """The SDK reads them where its model has them."""
    asked = {"Url": "rtmp://live.invalid/app/talk", "TaskNotifyConfig": {"NotifyType": "URL"}, "ScheduleId": 10}
    task_id = ask("ProcessLiveStream", **asked).TaskId
    *_, last = [ask("DescribeTaskDetail", TaskId=task_id) for _ in range(3)]
    assert (last.TaskType, last.Status, last.LiveStreamProcessTask) == ("LiveScheduleTask", "FINISH", None)
    [activity] = last.LiveScheduleTask.LiveActivityResultSet
    [record] = activity.LiveActivityResItem.LiveRecordTask.Output.FileList
    assert (activity.ActivityType, record.Duration) == ("LiveRecord", 372)


def test_metadata_of_a_file(mps: LocalMps, ask: Ask) -> None:
    """A probe answers at once, or says that it cannot read the file; it starts nothing."""
    assert ask("DescribeMediaMetaData", InputInfo=URL_INPUT).MetaData.VideoStreamSet[0].Codec == "h264"
    broken = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/a.source-error.mp4"}}
    with pytest.raises(TencentCloudSDKException) as caught:
        ask("DescribeMediaMetaData", InputInfo=broken, Mode="slow")
    assert caught.value.get_code() == "InvalidParameterValue.SrcFile"
    assert len(mps.backend.tasks) == 0


def test_aborting_a_job_that_waits(mps: LocalMps, ask: Ask) -> None:
    """ManageTask answers with an empty success."""
    task_id = ask("ProcessMedia", InputInfo=URL_INPUT).TaskId
    assert ask("ManageTask", OperationType="Abort", TaskId=task_id).RequestId
    assert mps.backend.aborts == [task_id]


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("DescribeTaskDetail", {"TaskId": "1250000000-WorkflowTask-0"}, "ResourceNotFound"),
        ("DescribeBatchTaskDetail", {"TaskId": "1250000000-BatchTask-0"}, "ResourceNotFound"),
        (
            "ManageTask",
            {"OperationType": "Abort", "TaskId": "1250000000-WorkflowTask-0"},
            "InvalidParameterValue.TaskId",
        ),
        ("ManageTask", {"TaskId": "1250000000-WorkflowTask-0"}, "MissingParameter"),
        ("DescribeTaskDetail", {}, "MissingParameter"),
        ("DescribeTasks", {"Status": "FINISH", "Limit": 101}, "InvalidParameterValue.Limit"),
        ("DescribeTasks", {"Status": "DONE"}, "InvalidParameterValue"),
        ("ProcessMedia", {"InputInfo": URL_INPUT, "SessionId": "s" * 51}, "InvalidParameterValue.SessionIdTooLong"),
        ("ParseNotification", {"Content": "{}"}, "InvalidAction"),
    ],
)
def test_an_error_arrives_with_its_code(mps: LocalMps, ask: Ask, action: str, parameters: Any, code: str) -> None:
    """Errors are exceptions of the SDK with the documented code and a RequestId."""
    with pytest.raises(TencentCloudSDKException) as caught:
        ask(action, **parameters)
    assert caught.value.get_code() == code
    assert caught.value.get_request_id()
    assert len(mps.backend.tasks) == 0


@pytest.mark.parametrize(
    ("credential", "clock", "code"),
    [
        (("AKIDemulator", "wrong-key"), 0, "AuthFailure.SignatureFailure"),
        (("AKIDunknown", "emulator-secret-key"), 0, "AuthFailure.SecretIdNotFound"),
        (("AKIDemulator", "emulator-secret-key", "not-asked-for"), 0, "AuthFailure.TokenFailure"),
        (("AKIDtemporary", "temporary-key"), 0, "AuthFailure.TokenFailure"),
        (("AKIDtemporary", "temporary-key", "wrong-token"), 0, "AuthFailure.TokenFailure"),
        (("AKIDemulator", "emulator-secret-key"), 301, "AuthFailure.SignatureExpire"),
        (("AKIDemulator", "emulator-secret-key"), -310, "AuthFailure.SignatureExpire"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_bad_credentials_are_rejected(
    sdk: Callable[[LocalMps, str, Credential], Ask],
    mps: LocalMps,
    method: str,
    credential: tuple[str, ...],
    clock: float,
    code: str,
) -> None:
    """Keys, tokens and clocks are checked as the real service documents it."""
    mps.backend.accounts["AKIDtemporary"] = Account("temporary-key", "token")
    mps.backend.clock_offset = clock
    with pytest.raises(TencentCloudSDKException) as caught:
        sdk(mps, method, Credential(*credential))("DescribeTasks", Status="FINISH")
    assert caught.value.get_code() == code


@pytest.mark.parametrize("clock", [-290, 0, 290])
def test_good_credentials_are_accepted(
    sdk: Callable[[LocalMps, str, Credential], Ask], mps: LocalMps, clock: float
) -> None:
    """Temporary keys with their token, and a clock that is off by less than 5 minutes."""
    mps.backend.accounts["AKIDtemporary"] = Account("temporary-key", "token")
    mps.backend.clock_offset = clock
    ask = sdk(mps, "POST", Credential("AKIDtemporary", "temporary-key", "token"))
    assert ask("DescribeTasks", Status="FINISH").TotalCount == 0


def test_an_unknown_parameter_is_an_error(mps: LocalMps) -> None:
    """The SDK's untyped call sends what its models would drop."""
    client = OfficialClient(Credential(mps.secret_id, mps.secret_key), "", profile(f"127.0.0.1:{mps.port}"))
    with pytest.raises(TencentCloudSDKException) as caught:
        client.call_json("ProcessMedia", {"InputInfo": URL_INPUT, "Colour": "red"})
    assert caught.value.get_code() == "UnknownParameter"
    assert "Colour" in caught.value.get_message()


def test_an_unsigned_body_is_accepted_where_it_is_announced(mps: LocalMps) -> None:
    """UNSIGNED-PAYLOAD takes the place of the body in the signature."""
    unsigned = profile(f"127.0.0.1:{mps.port}")
    unsigned.unsignedPayload = True
    client = OfficialClient(Credential(mps.secret_id, mps.secret_key), "", unsigned)
    assert client.call_json("DescribeTasks", {"Status": "FINISH"})["Response"]["TotalCount"] == 0


def test_throttling_and_gateways_look_real_to_the_sdk(mps: LocalMps, ask: Ask) -> None:
    """Scripted faults arrive as the SDK's own words for them."""
    for kind, code in (("throttle", "RequestLimitExceeded"), ("status", "ServerNetworkError")):
        mps.backend.faults.add(Fault(kind))
        with pytest.raises(TencentCloudSDKException) as caught:
            ask("DescribeTasks", Status="FINISH")
        assert caught.value.get_code() == code
