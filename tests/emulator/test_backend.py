"""What the local MPS remembers and how it answers, as documented. Its clock is moved, never waited for."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_mps.emulator.backend import ApiError, LocalMpsBackend
from airflow_provider_mps.emulator.models import Settings
from airflow_provider_mps.emulator.scenarios import Scenario
from airflow_provider_mps.emulator.server import default_accounts
from airflow_provider_mps.emulator.ui import render
from airflow_provider_mps.results.task import TaskDetail
from tests.support.answers import ECHOES
from tests.support.official import api_model

DAY = 86_400
TRANSCODE = {"TranscodeTaskSet": [{"Definition": 10}, {"Definition": 20}]}
TRANSLATE = {"RawParameter": {"TranslateSwitch": "ON", "VideoSrcLanguage": "zh", "TranslateDstLanguage": "en"}}


EVERY_MEDIA_TASK = {
    f"{name}TaskSet": [{"Definition": 10}]
    for name in ("Transcode", "AnimatedGraphic", "SnapshotByTimeOffset", "SampleSnapshot", "ImageSprite")
} | {"AdaptiveDynamicStreamingTaskSet": [{"Definition": 10}]}
ACTIVITIES = [
    {"ActivityType": "input", "ReardriveIndex": [1, 2]},
    {"ActivityType": "action-trans", "ActivityPara": {"TranscodeTask": {"Definition": 10}}},
    {"ActivityType": "action-SmartSubtitles", "ActivityPara": {"SmartSubtitlesTask": TRANSLATE}},
    {"ActivityType": "output"},
]
KINDS = [
    "WorkflowTask",
    "ScheduleTask",
    "EditMediaTask",
    "BatchTaskResult",
    "image",
    "LiveStreamProcessTask",
    "LiveScheduleTask",
]


def _url(name: str = "talk.mp4") -> dict[str, Any]:
    return {"Type": "URL", "UrlInputInfo": {"Url": f"https://media.invalid/{name}"}}


@pytest.fixture
def backend() -> LocalMpsBackend:
    """A local MPS without HTTP and without rate limits."""
    backend = LocalMpsBackend(default_accounts(), Settings(segment_count=2))
    backend.settings.rates = dict.fromkeys(backend.actions, 0)
    return backend


def _submit(backend: LocalMpsBackend, name: str = "talk.mp4", **more: Any) -> str:
    task_id: str = backend.answer("ProcessMedia", {"InputInfo": _url(name)} | more)["TaskId"]
    return task_id


def _code(backend: LocalMpsBackend, action: str, **parameters: Any) -> str:
    with pytest.raises(ApiError) as caught:
        backend.answer(action, parameters)
    return caught.value.code


def _look(backend: LocalMpsBackend, task_id: str) -> TaskDetail:
    action = "DescribeBatchTaskDetail" if "-BatchTask-" in task_id else "DescribeTaskDetail"
    return TaskDetail.of(backend.answer(action, {"TaskId": task_id}))


def test_a_session_id_is_taken_once_in_three_days(backend: LocalMpsBackend) -> None:
    """A repeat is an error, without the first TaskId, until the window is over; an empty id is no id."""
    _submit(backend, SessionId="once")
    assert _code(backend, "ProcessMedia", InputInfo=_url(), SessionId="once") == "InvalidParameterValue.SessionId"
    backend.clock_offset = 3 * DAY - 10
    assert _code(backend, "ProcessMedia", InputInfo=_url(), SessionId="once") == "InvalidParameterValue.SessionId"
    backend.clock_offset = 3 * DAY + 10
    _submit(backend, SessionId="once")
    _submit(backend, SessionId="")
    _submit(backend, SessionId="")
    assert len(backend.tasks) == 4


def test_the_answer_repeats_session_id_and_context(backend: LocalMpsBackend) -> None:
    """That is how a job is found again."""
    detail = _look(backend, _submit(backend, SessionId="mine", SessionContext="context"))
    assert (detail.session_id, detail.session_context) == ("mine", "context")


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("ProcessMedia", {}, "MissingParameter"),
        ("ProcessMedia", {"InputInfo": None}, "MissingParameter"),
        ("ProcessMedia", {"InputInfo": {}}, "InvalidParameter"),
        ("ProcessMedia", {"InputInfo": [_url()]}, "InvalidParameterValue"),
        ("ProcessMedia", {"InputInfo": _url(), "Colour": "red"}, "UnknownParameter"),
        ("ProcessMedia", {"InputInfo": _url(), "SessionId": "s" * 51}, "InvalidParameterValue.SessionIdTooLong"),
        (
            "ProcessMedia",
            {"InputInfo": _url(), "SessionContext": "s" * 1001},
            "InvalidParameterValue.SessionContextTooLong",
        ),
        ("BatchProcessMedia", {"InputInfo": _url()}, "InvalidParameterValue"),
        ("BatchProcessMedia", {"InputInfo": []}, "InvalidParameterValue"),
        ("BatchProcessMedia", {"InputInfo": [_url()], "SessionId": "s"}, "UnknownParameter"),
        ("EditMedia", {"FileInfos": [{"InputInfo": _url()}], "OutputStorage": {}}, "MissingParameter"),
        ("DescribeTasks", {"Status": "FINISH", "Limit": 0}, "InvalidParameterValue.Limit"),
        ("DescribeTasks", {"Status": "FINISH", "Limit": "101"}, "InvalidParameterValue.Limit"),
        ("DescribeTasks", {"Status": "FINISH", "Limit": "many"}, "InvalidParameterValue.Limit"),
        ("DescribeTasks", {"Status": "FAIL"}, "InvalidParameterValue"),
        ("ManageTask", {"OperationType": "Pause", "TaskId": "t"}, "InvalidParameterValue"),
        ("ManageTask", {"OperationType": "Abort", "TaskId": "t"}, "InvalidParameterValue.TaskId"),
        ("DescribeTaskDetail", {"TaskId": "t"}, "ResourceNotFound"),
        ("CreateTranscodeTemplate", {}, "InvalidAction"),
    ],
)
def test_a_bad_request_is_an_error(backend: LocalMpsBackend, action: str, parameters: Any, code: str) -> None:
    """With the documented code, and without any job."""
    assert _code(backend, action, **parameters) == code
    assert backend.tasks == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
inputs = st.fixed_dictionaries(
    {"Type": st.sampled_from(["URL", "COS"]) | json_values},
    optional={
        "UrlInputInfo": json_values | st.just({"Url": "x"}),
        "CosInputInfo": json_values,
        "S3InputInfo": json_values,
    },
)
jobs = st.fixed_dictionaries(
    {"InputInfo": inputs},
    optional={
        "OutputStorage": json_values,
        "OutputDir": json_values,
        "MediaProcessTask": st.dictionaries(st.sampled_from(["TranscodeTaskSet"]), json_values) | json_values,
        "SmartSubtitlesTask": st.dictionaries(st.sampled_from(["RawParameter", "UserExtPara"]), json_values),
        "SessionId": json_values,
        "TasksPriority": json_values,
    },
)
lists = st.fixed_dictionaries(
    {"Status": st.just("FINISH") | json_values}, optional={"Limit": json_values, "ScrollToken": json_values}
)


@settings(max_examples=300)
@given(
    request=st.tuples(st.just("ProcessMedia"), jobs)
    | st.tuples(st.just("BatchProcessMedia"), st.fixed_dictionaries({"InputInfo": st.lists(inputs, max_size=2)}))
    | st.tuples(st.just("DescribeTasks"), lists)
    | st.tuples(st.sampled_from(["EditMedia", "ManageTask"]), st.dictionaries(st.just("TaskId"), json_values))
)
def test_no_request_breaks_the_backend(request: tuple[str, dict[str, Any]]) -> None:
    """Every request gets an answer or an error, and an accepted task can be polled until it ends."""
    backend = LocalMpsBackend(default_accounts(), Settings(segment_count=1))
    taken: dict[str, Any] = {}
    with contextlib.suppress(ApiError):
        taken = backend.answer(*request)
    if task_id := taken.get("TaskId"):
        assert [_look(backend, task_id).status for _ in range(3)][-1] == "FINISH"
        assert task_id in render(backend)


def test_the_documented_rates_hold(backend: LocalMpsBackend) -> None:
    """20 requests a second for a batch, 100 for the others, each action for itself; more are throttled, not queued."""
    backend.settings.rates = {}
    codes = []
    for _ in range(25):
        try:
            backend.answer("BatchProcessMedia", {"InputInfo": [_url()]})
        except ApiError as error:
            codes.append(error.code)
    assert codes == ["RequestLimitExceeded"] * 5
    assert len(backend.tasks) == 20
    _submit(backend)


def test_a_rate_can_be_set(backend: LocalMpsBackend) -> None:
    """For a test of throttling, or of none."""
    backend.settings.rates = {"ProcessMedia": 1}
    _submit(backend)
    assert _code(backend, "ProcessMedia", InputInfo=_url()) == "RequestLimitExceeded"


@pytest.mark.parametrize(("polls", "code"), [(0, ""), (1, ""), (2, "X"), (3, "X")])
def test_only_a_job_that_waits_can_be_aborted(backend: LocalMpsBackend, polls: int, code: str) -> None:
    """MPS denies the abort of a running or ended task; an aborted one ends without any result."""
    task_id = _submit(backend, MediaProcessTask=TRANSCODE)
    for _ in range(polls):
        _look(backend, task_id)
    if code:
        denied = _code(backend, "ManageTask", OperationType="Abort", TaskId=task_id)
        assert denied == "InvalidParameterValue.NotProcessingTask"
        return
    assert backend.answer("ManageTask", {"OperationType": "Abort", "TaskId": task_id}) == {}
    assert _code(backend, "ManageTask", OperationType="Abort", TaskId=task_id).endswith("NotProcessingTask")
    aborted = _look(backend, task_id)
    assert (aborted.status, aborted.failures, len(aborted.unsettled)) == ("FINISH", (), 1)


def test_a_task_changes_its_state_by_polls(backend: LocalMpsBackend) -> None:
    """It leaves a state after the set number of polls; times that have not come are in the year 0."""
    backend.settings.state_polls = 2
    task_id = _submit(backend, MediaProcessTask=TRANSCODE)
    seen = [_look(backend, task_id) for _ in range(6)]
    assert [detail.status for detail in seen] == ["WAITING"] * 2 + ["PROCESSING"] * 2 + ["FINISH"] * 2
    assert [detail.body["FinishTime"].startswith("0000") for detail in seen] == [True] * 4 + [False] * 2
    assert [detail.body["BeginProcessTime"].startswith("0000") for detail in seen] == [True] * 2 + [False] * 4
    assert [part.status for part in seen[3].verdict.unsettled] == ["PROCESSING"] * 3  # two parts and the task


def test_a_job_lives_by_the_clock(backend: LocalMpsBackend) -> None:
    """Or after the set number of seconds, however often it is polled."""
    backend.settings.state_seconds = 60
    task_id = _submit(backend)
    for offset, status in ((0, "WAITING"), (61, "PROCESSING"), (61, "PROCESSING"), (121, "FINISH"), (9999, "FINISH")):
        backend.clock_offset = offset
        assert _look(backend, task_id).status == status


def test_a_job_can_be_asked_for_during_its_window_only(backend: LocalMpsBackend) -> None:
    """7 days, or the 3 days of international accounts; after that it is unknown."""
    task_id = _submit(backend)
    backend.clock_offset = 7 * DAY - 10
    assert _look(backend, task_id).status == "WAITING"
    backend.clock_offset = 7 * DAY + 10
    assert _code(backend, "DescribeTaskDetail", TaskId=task_id) == "ResourceNotFound"


def test_each_api_knows_its_own_jobs(backend: LocalMpsBackend) -> None:
    """A batch is not found by DescribeTaskDetail, nor a job by the batch API."""
    batch = backend.answer("BatchProcessMedia", {"InputInfo": [_url()]})["TaskId"]
    assert _code(backend, "DescribeTaskDetail", TaskId=batch) == "ResourceNotFound"
    assert _code(backend, "DescribeBatchTaskDetail", TaskId=_submit(backend)) == "ResourceNotFound"


def test_lists_are_paged(backend: LocalMpsBackend) -> None:
    """Each job in one status is listed once, whatever the size of a page; "" is the end."""
    ids = [_submit(backend, SessionId=f"s-{number}") for number in range(25)]
    backend.answer("BatchProcessMedia", {"InputInfo": [_url()]})
    for limit, pages in ((10, 3), ("5", 5), (100, 1), (None, 3)):
        token, found, count = "", [], 0
        while count == 0 or token:
            page = backend.answer("DescribeTasks", {"Status": "WAITING", "Limit": limit, "ScrollToken": token})
            token, count = page["ScrollToken"], count + 1
            found += page["TaskSet"]
            assert page["TotalCount"] == 25
        assert (count, [item["TaskId"] for item in found]) == (pages, ids)
    assert "s-1" not in str(found)
    assert backend.answer("DescribeTasks", {"Status": "FINISH"})["TaskSet"] == []


def test_a_list_has_a_window(backend: LocalMpsBackend) -> None:
    """StartTime and EndTime filter the time of creation, as far as this emulator assumes."""
    early = _submit(backend)
    backend.clock_offset = 2 * DAY
    late = _submit(backend)
    middle = _look(backend, early).create_time
    assert middle is not None
    split = middle.add(days=1).format("YYYY-MM-DD[T]HH:mm:ss[Z]")
    for window, expected in (({"StartTime": split}, [late]), ({"EndTime": split}, [early])):
        page = backend.answer("DescribeTasks", {"Status": "WAITING"} | window)
        assert [item["TaskId"] for item in page["TaskSet"]] == expected


VERDICTS = {
    Scenario.SUCCESS: ("FINISH", 0, 0, 3),
    Scenario.PARTIAL_FAILURE: ("FINISH", 1, 0, 2),
    Scenario.ALL_FAIL: ("FINISH", 3, 0, 0),
    Scenario.SOURCE_ERROR: ("FINISH", 1, 0, 0),
    Scenario.EMPTY_RESULT: ("FINISH", 0, 1, 0),
    Scenario.LATE_RESULT: ("FINISH", 0, 1, 0),
    Scenario.UNSETTLED: ("FINISH", 0, 1, 2),
    Scenario.LANGUAGE_ERROR: ("FINISH", 1, 0, 3),
    Scenario.STUCK: ("PROCESSING", 0, 0, 0),
    Scenario.QUEUED: ("WAITING", 0, 0, 0),
}


@pytest.mark.parametrize("scenario", Scenario)
def test_the_name_of_an_input_chooses_the_scenario(backend: LocalMpsBackend, scenario: Scenario) -> None:
    """Status, failed parts, unsettled parts and succeeded parts of each scripted ending, for ever the same."""
    task_id = _submit(backend, f"a.{scenario}.mp4", MediaProcessTask=TRANSCODE, SmartSubtitlesTask=TRANSLATE)
    for _ in range(2):
        _look(backend, task_id)
    for _ in range(2):
        detail = _look(backend, task_id)
        ended = (detail.status, len(detail.failures), len(detail.unsettled), detail.verdict.succeeded)
        assert ended[:3] == VERDICTS[scenario][:3]
        if detail.is_finished and scenario is not Scenario.LANGUAGE_ERROR:
            assert ended == VERDICTS[scenario]


def _start(backend: LocalMpsBackend, kind: str, name: str) -> str:
    """A job of any kind on an input of this name."""
    storage = {"Type": "COS", "CosOutputStorage": {"Bucket": "b-1", "Region": "ap-guangzhou"}}
    stream = {"Url": f"rtmp://live.invalid/app/{name}", "TaskNotifyConfig": {"NotifyType": "URL"}}
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "WorkflowTask": (
            "ProcessMedia",
            {
                "InputInfo": _url(name),
                "MediaProcessTask": EVERY_MEDIA_TASK,
                "SmartSubtitlesTask": TRANSLATE,
                "AiRecognitionTask": {"Definition": 1},
            },
        ),
        "ScheduleTask": ("ProcessMedia", {"InputInfo": _url(name), "Activities": ACTIVITIES}),
        "EditMediaTask": (
            "EditMedia",
            {"FileInfos": [{"InputInfo": _url(name)}], "OutputStorage": storage, "OutputObjectPath": "/a.mp4"},
        ),
        "BatchTaskResult": ("BatchProcessMedia", {"InputInfo": [_url(name)], "SmartSubtitlesTask": TRANSLATE}),
        "image": ("ProcessImage", {"InputInfo": _url(name)}),
        "LiveStreamProcessTask": ("ProcessLiveStream", stream),
        "LiveScheduleTask": ("ProcessLiveStream", stream | {"ScheduleId": 10}),
    }
    action, parameters = requests[kind]
    task_id: str = backend.answer(action, parameters)["TaskId"]
    return task_id


def _bodies(backend: LocalMpsBackend, kind: str, name: str, count: int = 4) -> list[dict[str, Any]]:
    describe = {"BatchTaskResult": "DescribeBatchTaskDetail", "image": "DescribeImageTaskDetail"}
    task_id = _start(backend, kind, name)
    return [backend.answer(describe.get(kind, "DescribeTaskDetail"), {"TaskId": task_id}) for _ in range(count)]


def _foreign(class_name: str, node: Any, path: str) -> list[str]:
    """Keys of an answer that the API model does not know, and values of a type that it does not have there."""
    if not isinstance(node, dict):
        return [f"{path} is no object"]
    members = {member["name"]: member for member in api_model()["objects"][class_name]["members"]}
    found = [f"{path}.{name}" for name in set(node) - set(members)]
    for name, value in node.items():
        member = members.get(name)
        if value is None or member is None or name in ECHOES:
            continue
        if isinstance(value, list) != (member["type"] == "list"):
            found.append(f"{path}.{name} is no {member['type']}")
        elif member["member"] in api_model()["objects"]:
            for item in value if isinstance(value, list) else [value]:
                found += _foreign(member["member"], item, f"{path}.{name}")
    return found


@pytest.mark.parametrize("scenario", Scenario)
@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_has_the_documented_shape(backend: LocalMpsBackend, kind: str, scenario: Scenario) -> None:
    """No key that MPS does not document, no object where it has a list, in any state of a job of any kind."""
    classes = {
        "BatchTaskResult": "DescribeBatchTaskDetailResponse",
        "image": "DescribeImageTaskDetailResponse",
    }
    for body in _bodies(backend, kind, f"a.{scenario}.mp4"):
        assert _foreign(classes.get(kind, "DescribeTaskDetailResponse"), body, kind) == []


ENDINGS = {  # kind: failed parts, unsettled parts, succeeded parts
    "ScheduleTask": {
        Scenario.SUCCESS: (0, 0, 2),
        Scenario.PARTIAL_FAILURE: (1, 0, 1),  # inside a group that says SUCCESS
        Scenario.ALL_FAIL: (2, 0, 0),
        Scenario.SOURCE_ERROR: (1, 0, 0),
        Scenario.EMPTY_RESULT: (0, 1, 0),
        Scenario.UNSETTLED: (0, 1, 1),
        Scenario.LANGUAGE_ERROR: (1, 0, 2),
    },
    "image": {
        Scenario.SUCCESS: (0, 0, 1),
        Scenario.ALL_FAIL: (1, 0, 0),
        Scenario.SOURCE_ERROR: (1, 0, 0),
        Scenario.EMPTY_RESULT: (0, 0, 0),
        Scenario.UNSETTLED: (0, 1, 0),
    },
    "LiveStreamProcessTask": {
        Scenario.SUCCESS: (0, 0, 1),
        Scenario.ALL_FAIL: (1, 0, 0),
        Scenario.SOURCE_ERROR: (1, 0, 0),
    },
    "LiveScheduleTask": {
        Scenario.SUCCESS: (0, 0, 1),
        Scenario.ALL_FAIL: (1, 0, 0),
        Scenario.SOURCE_ERROR: (1, 0, 0),
        Scenario.EMPTY_RESULT: (0, 0, 1),
        Scenario.UNSETTLED: (0, 1, 0),
    },
}


@pytest.mark.parametrize(
    ("kind", "scenario"), [(kind, scenario) for kind, endings in ENDINGS.items() for scenario in endings]
)
def test_other_kinds_end_as_their_name_says(backend: LocalMpsBackend, kind: str, scenario: Scenario) -> None:
    """As jobs on files do, as far as they have parts that can fail."""
    seen = [TaskDetail.of(body, is_image=kind == "image") for body in _bodies(backend, kind, f"a.{scenario}.mp4")]
    assert [detail.status for detail in seen] == ["WAITING", "PROCESSING", "FINISH", "FINISH"]
    last = seen[-1]
    assert (len(last.failures), len(last.unsettled), last.verdict.succeeded) == ENDINGS[kind][scenario]


@pytest.mark.parametrize("kind", ["image", "LiveStreamProcessTask", "LiveScheduleTask"])
@pytest.mark.parametrize(("scenario", "status"), [(Scenario.STUCK, "PROCESSING"), (Scenario.QUEUED, "WAITING")])
def test_pictures_and_streams_that_never_end(
    backend: LocalMpsBackend, kind: str, scenario: Scenario, status: str
) -> None:
    """They stay where their name puts them."""
    assert {body["Status"] for body in _bodies(backend, kind, f"a.{scenario}.mp4")[2:]} == {status}


@pytest.mark.parametrize(
    ("kind", "polls", "code"),
    [
        ("LiveStreamProcessTask", 1, ""),
        ("LiveStreamProcessTask", 2, ""),
        ("LiveScheduleTask", 2, ""),
        ("LiveStreamProcessTask", 3, "InvalidParameterValue.NotProcessingTask"),
        ("image", 0, "InvalidParameterValue.TaskId"),
    ],
)
def test_what_can_be_aborted(backend: LocalMpsBackend, kind: str, polls: int, code: str) -> None:
    """A live task as long as it runs; a picture never: that ManageTask takes its id is nowhere documented."""
    task_id = _start(backend, kind, "a.mp4")
    backend.tasks[task_id].polls = polls
    if code:
        assert _code(backend, "ManageTask", OperationType="Abort", TaskId=task_id) == code
        return
    backend.answer("ManageTask", {"OperationType": "Abort", "TaskId": task_id})
    detail = _look(backend, task_id)
    assert (detail.is_finished, detail.failures, detail.unsettled, detail.outputs) == (True, (), (), ())


def test_an_orchestration_by_its_number_alone(backend: LocalMpsBackend) -> None:
    """What is behind a ScheduleId only MPS knows: here it is a transcode, under the task object of orchestrations."""
    task_id = backend.answer("ProcessMedia", {"InputInfo": _url(), "ScheduleId": 24})["TaskId"]
    assert "-ScheduleTask-" in task_id
    *_, last = [_look(backend, task_id) for _ in range(3)]
    assert (last.task_type, last.failures, last.unsettled) == ("ScheduleTask", (), ())
    assert [output.kind for output in last.outputs] == ["transcode"]


def test_a_late_result_comes(backend: LocalMpsBackend) -> None:
    """FINISH without a result for some polls, then with it."""
    task_id = _submit(backend, "a.late-result.mp4", MediaProcessTask=TRANSCODE)
    unsettled = [len(_look(backend, task_id).unsettled) for _ in range(8)]
    assert unsettled == [0, 0, 1, 1, 1, 0, 0, 0]


def test_scripted_answers_come_in_turn(backend: LocalMpsBackend) -> None:
    """Any body or error that a test thinks of; the last one for ever."""
    error = {"Error": {"Code": "InternalError", "Message": "m"}}
    task_id = backend.script([{"Status": "WAITING"}, error, {"Status": "FINISH", "New": 1}])
    assert _look(backend, task_id).status == "WAITING"
    assert _code(backend, "DescribeTaskDetail", TaskId=task_id) == "InternalError"
    assert [_look(backend, task_id).body["New"] for _ in range(3)] == [1, 1, 1]
    batch = backend.script([{"Status": "FINISH"}], "1250000000-BatchTask-1t20")
    assert _look(backend, batch).status == "FINISH"


def test_reset_forgets_all_but_the_accounts(backend: LocalMpsBackend) -> None:
    """A test starts from nothing."""
    _submit(backend, SessionId="once")
    backend.clock_offset = 600
    backend.reset()
    assert (backend.tasks, list(backend.calls), backend.clock_offset, backend.aborts) == ({}, [], 0.0, [])
    _submit(backend, SessionId="once")
    assert backend.accounts == default_accounts()
