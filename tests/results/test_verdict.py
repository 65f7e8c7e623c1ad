"""What an answer as a whole says of its task: groups, missing results, unknown shapes, and real payloads."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_mps.errors import MpsTaskFailed, MpsTaskNotFinished, MpsTaskUnsettled
from airflow_provider_mps.results.task import TaskDetail
from airflow_provider_mps.results.verdict import Finding, judge
from tests.support.answers import sample, successes
from tests.support.official import examples

DONE: dict[str, Any] = {"Status": "SUCCESS", "ErrCode": 0, "Output": {"Path": "/a.mp4"}}
FAILED: dict[str, Any] = {"Status": "FAIL", "ErrCode": 30010, "Message": "why"}
RUNNING: dict[str, Any] = {"Status": "PROCESSING", "ErrCode": 0, "Message": "SUCCESS", "Output": None}


def _workflow(*parts: dict[str, Any], status: str = "FINISH", **task: Any) -> dict[str, Any]:
    results = [{"Type": "Transcode", "TranscodeTask": part} for part in parts]
    head = {"Status": "FINISH", "ErrCode": 0, "MediaProcessResultSet": results}
    return {"TaskType": "WorkflowTask", "Status": status, "WorkflowTask": head | task}


def _schedule(outer: dict[str, Any], *inner: dict[str, Any]) -> dict[str, Any]:
    output = [{"Type": "Cover", "CoverTask": item} for item in inner]
    activity = {"ActivityType": "AIAnalysis", "ActivityResItem": {"AnalysisTask": outer | {"Output": output}}}
    return {"TaskType": "ScheduleTask", "Status": "FINISH", "ScheduleTask": {"ActivityResultSet": [activity]}}


GROUP = "ScheduleTask.ActivityResultSet[0].ActivityResItem.AnalysisTask"


@pytest.mark.parametrize(
    ("outer", "inner", "failures"),
    [
        ({"Status": "SUCCESS"}, [DONE, FAILED], [f"{GROUP}.Output[1].CoverTask"]),
        ({"Status": "FAIL"}, [DONE, FAILED], [f"{GROUP}.Output[1].CoverTask"]),
        ({"Status": "FAIL"}, [DONE, DONE], [GROUP]),
        ({"Status": "FAIL"}, [], [GROUP]),
        ({"Status": "FAIL", "ErrCodeExt": "InvalidInput"}, [FAILED], [f"{GROUP}.Output[0].CoverTask", GROUP]),
        ({"Status": "SUCCESS", "ErrCode": 70000}, [DONE], [GROUP]),
    ],
    ids=["inside only", "both", "outside only", "outside, empty", "both with codes", "code only"],
)
def test_a_group_and_its_members(outer: dict[str, Any], inner: list[dict[str, Any]], failures: list[str]) -> None:
    """A failed group whose members explain it adds nothing, unless it has an error code of its own."""
    assert [found.path for found in judge(_schedule(outer, *inner)).failures] == failures


@pytest.mark.fault("F37")
def test_a_group_that_still_runs_is_not_done() -> None:
    """Done members do not make a group done."""
    verdict = judge(_schedule({"Status": "PROCESSING"}, DONE))
    assert [found.path for found in verdict.unsettled] == [GROUP]


@pytest.mark.fault("F36")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (_workflow(), "WorkflowTask"),
        (_workflow(MediaProcessResultSet=None), "WorkflowTask"),
        ({"WorkflowTask": {"Status": "FINISH"}}, "WorkflowTask"),
        ({"BatchTaskResult": {"SmartSubtitlesTaskResult": None}}, "BatchTaskResult"),
        ({"BatchTaskResult": {"SmartSubtitlesTaskResult": {"Outputs": []}}}, "BatchTaskResult"),
        ({"ScheduleTask": {"Status": "FINISH", "ActivityResultSet": []}}, "ScheduleTask"),
        ({"EditMediaTask": {"Status": "FINISH", "ErrCode": 0, "Output": None}}, "EditMediaTask"),
        ({"EvaluationTask": {"Status": "FINISH", "Score": 99}}, "EvaluationTask"),
        ({"WorkflowTask": {}}, "WorkflowTask"),
    ],
)
def test_a_task_without_any_result_is_not_done(body: dict[str, Any], path: str) -> None:
    """FINISH without a result has no documented meaning, so it is no success; an aborted task looks like that."""
    verdict = judge({"Status": "FINISH"} | body)
    assert verdict.failures == ()
    [found] = verdict.unsettled
    assert (found.path, found.status) == (path, body[path].get("Status", ""))
    assert found.message in {"holds no result", "holds no output"}
    assert verdict.succeeded == 0


@pytest.mark.parametrize(
    "item",
    [
        None,
        {},
        {"Type": "Transcode", "TranscodeTask": None},
        {"TranscodeTask": {}},
        {"TranscodeTask": {"Output": {"Path": "/a.mp4"}}},
    ],
    ids=["null", "empty", "null result", "empty result", "result that says nothing"],
)
def test_a_result_that_is_missing_beside_a_success_is_missing(item: Any) -> None:
    """What MPS lists as a part has to say that it is done; a neighbour that did says nothing about it."""
    verdict = judge(_workflow(DONE, AiAnalysisResultSet=[item]))
    assert [(found.path, found.message) for found in verdict.unsettled] == [
        ("WorkflowTask.AiAnalysisResultSet[0]", "holds no result")
    ]
    assert (verdict.parts, verdict.succeeded, verdict.failures) == (2, 1, ())


@pytest.mark.parametrize("key", ["AiQualityControlTaskResult", "SmartEraseTaskResult", "AiDubbingTaskResult"])
def test_a_single_result_that_says_nothing_is_missing(key: str) -> None:
    """The three that stand alone in a task count as parts as soon as they are objects; null means "not asked for"."""
    assert judge(_workflow(DONE, **{key: None})).unsettled == ()
    for empty in ({}, {"Progress": 100, "Output": {"Path": "/a"}}):
        assert [found.path for found in judge(_workflow(DONE, **{key: empty})).unsettled] == [f"WorkflowTask.{key}"]


@pytest.mark.parametrize(("inputs", "outputs", "missing"), [(2, 2, 0), (2, 1, 1), (2, 3, 0), (0, 1, 0), (1, 1, 0)])
def test_a_batch_has_an_output_for_each_input(inputs: int, outputs: int, missing: int) -> None:
    """Fewer outputs than inputs leave open what became of a file, however well the others went."""
    done = {"Status": "SUCCESS", "TransTextTask": {"SubtitlePath": "/a.vtt"}}
    task = {"InputInfos": [{"Type": "URL"}] * inputs, "SmartSubtitlesTaskResult": {"Outputs": [done] * outputs}}
    verdict = judge({"Status": "FINISH", "BatchTaskResult": task})
    assert len(verdict.unsettled) == missing
    assert (verdict.succeeded, verdict.parts) == (outputs, outputs)


@pytest.mark.parametrize(
    "body",
    [{}, {"WorkflowTask": None, "EditMediaTask": None}, {"TaskNotifyConfig": {"NotifyUrl": "u"}}, {"WorkflowTask": []}],
)
def test_an_answer_without_a_task_object_is_not_done(body: dict[str, Any]) -> None:
    """The raw TaskType is named, for it is all that is known."""
    [found] = judge({"TaskType": "EvaluationTask", "Status": "FINISH"} | body).unsettled
    assert found.message == "holds no task object (TaskType EvaluationTask)"


@pytest.mark.fault("F38")
def test_an_unknown_task_type_is_judged_by_its_parts() -> None:
    """A task object that MPS adds later is walked like the known ones."""

    def body(part: dict[str, Any]) -> dict[str, Any]:
        return {"TaskType": "FutureTask", "Status": "FINISH", "FutureTask": {"Results": [{"NewTask": part}]}}

    assert judge(body(DONE)).succeeded == 1
    assert judge(body(DONE)).unsettled == ()
    assert judge(body(FAILED)).failures == (Finding("FutureTask.Results[0].NewTask", "FAIL", "30010", "why"),)


def test_a_source_error_is_a_failure_of_the_task() -> None:
    """The code stands at the task object; parts that did not fail by themselves are not blamed."""
    body = _workflow(ErrCode=60000, Message="Source file error: 404")
    assert judge(body).failures == (Finding("WorkflowTask", "FINISH", "60000", "Source file error: 404"),)
    assert judge(body).unsettled == ()


def test_the_text_of_a_failure_shows_no_signed_address() -> None:
    """A download error may repeat the input address with its signature."""
    message = "GET https://user:CANARY@host/in.mp4?sign=CANARY#CANARY: 403"
    [found] = judge(_workflow(FAILED | {"Message": message})).failures
    assert found.message == "GET https://host/in.mp4 403"


def test_progress_is_the_mean_of_the_parts() -> None:
    """Ended parts count as 100; a part that does not tell its progress counts for nothing."""
    assert judge(_workflow(DONE, RUNNING | {"Progress": 50})).percent == 75
    assert judge(_workflow(FAILED, RUNNING | {"Progress": 0})).percent == 50
    assert judge(_workflow(RUNNING | {"Progress": 40}, RUNNING)).percent == 40
    assert judge(_workflow(RUNNING | {"Progress": 101})).percent is None
    assert judge(_workflow()).percent is None


@pytest.mark.parametrize(
    ("body", "allow_partial", "error"),
    [
        (_workflow(DONE, DONE), False, None),
        (_workflow(DONE, FAILED), False, MpsTaskFailed),
        (_workflow(DONE, FAILED), True, None),
        (_workflow(FAILED, FAILED), True, MpsTaskFailed),
        (_workflow(DONE, RUNNING), False, MpsTaskUnsettled),
        (_workflow(DONE, FAILED, RUNNING), False, MpsTaskFailed),
        (_workflow(DONE, FAILED, RUNNING), True, MpsTaskUnsettled),
        (_workflow(DONE, ErrCode=60000), True, None),
        (_workflow(ErrCode=60000), True, MpsTaskFailed),
        (_workflow(), True, MpsTaskUnsettled),
        (_workflow(DONE, status="PROCESSING"), False, MpsTaskNotFinished),
        (_workflow(FAILED, status="PROCESSING"), False, MpsTaskNotFinished),
        (_workflow(status="WAITING"), False, MpsTaskNotFinished),
        (_workflow(DONE, status="SUCCESS"), False, MpsTaskNotFinished),
        (_workflow(DONE, status=""), False, MpsTaskNotFinished),
        ({}, False, MpsTaskNotFinished),
    ],
)
def test_raise_for_failure(body: dict[str, Any], allow_partial: bool, error: type[Exception] | None) -> None:
    """It returns for an ended success only; partial results are accepted on request, missing ones never."""
    detail = TaskDetail.of(body)
    if error is None:
        detail.raise_for_failure("t", allow_partial=allow_partial)
        return
    with pytest.raises(error, match=r"^MPS task t "):
        detail.raise_for_failure("t", allow_partial=allow_partial)


def test_an_unsettled_task_names_what_is_missing_and_what_failed() -> None:
    """Under allow_partial the text still shows the failed parts."""
    with pytest.raises(MpsTaskUnsettled) as caught:
        TaskDetail.of(_workflow(DONE, FAILED, RUNNING)).raise_for_failure("t", allow_partial=True)
    assert [found.status for found in caught.value.findings] == ["PROCESSING", "FAIL"]


def test_unsettled_means_something_after_the_end_only() -> None:
    """A running task is not "unsettled", it runs."""
    body = _workflow(RUNNING)
    assert TaskDetail.of(body | {"Status": "PROCESSING"}).unsettled == ()
    assert len(TaskDetail.of(body).unsettled) == 1


def test_a_published_image_success_has_no_result_set() -> None:
    """Only for images is FINISH without parts a documented success."""
    assert judge(sample("describe_image_task_detail.finish"), image=True).unsettled == ()
    assert judge(sample("describe_image_task_detail.finish")).unsettled != ()
    [running] = judge(sample("describe_image_task_detail.processing"), image=True).unsettled
    assert running.status == "PROCESSING"


@pytest.mark.parametrize("action", ["DescribeTaskDetail", "DescribeBatchTaskDetail", "ParseNotification"])
def test_no_published_success_is_called_a_failure(action: str) -> None:
    """The example answers of Tencent's documentation all show success, and are read as that."""
    answers = examples()[action]
    assert answers
    for answer in answers:
        verdict = judge(answer)
        assert (verdict.failures, verdict.unsettled) == ((), ())
        assert verdict.succeeded == verdict.parts > 0


@pytest.mark.parametrize("key", ["Input", "InputInfo", "MetaData", "OutputStorage", "TaskNotifyConfig", "SegmentSet"])
def test_echoes_and_texts_hold_no_verdict(key: str) -> None:
    """A word like FAIL in the request, in metadata or in what somebody said is not about the task."""
    for told in ({"Status": "FAIL", "ErrCode": 1}, [{"Status": "FAIL", "ErrCode": 1}]):
        output = {"Path": "/a.mp4", key: told}
        verdict = judge(_workflow(DONE | {"Output": output, key: told}) | {key: told})
        assert (verdict.failures, verdict.unsettled, verdict.parts) == ((), (), 1)


@pytest.mark.parametrize("name", ["LiveStreamProcessTask", "LiveScheduleTask"])
@pytest.mark.parametrize("more", [{}, {"LiveActivityResultSet": None}, {"LiveActivityResultSet": []}], ids=repr)
def test_a_live_task_needs_no_output(name: str, more: dict[str, Any]) -> None:
    """The results of a live stream arrive by callback only; its end is its success, if it says no error."""
    answer = successes()[name]
    assert judge(answer).succeeded == judge(answer).parts > 0
    ended = answer | {name: {"Status": "FINISH", "ErrCode": 0} | more}
    assert (judge(ended).succeeded, judge(ended).unsettled, judge(ended).failures) == (1, (), ())
    assert judge(answer | {name: more}).unsettled != ()
    assert judge(answer | {name: {"Status": "PROCESSING", "ErrCode": 0} | more}).unsettled != ()
    assert judge(answer | {name: {"Status": "FINISH", "ErrCode": 60000} | more}).failures != ()
