"""Actions as values: their parameters are Tencent's, and a mistake is found before anything is sent."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.alias_generators import to_pascal

from airflow_provider_mps.client import actions
from airflow_provider_mps.client.actions import (
    Action,
    BatchProcessMedia,
    DescribeBatchTaskDetail,
    DescribeImageTaskDetail,
    DescribeMediaMetaData,
    DescribeTaskDetail,
    DescribeTasks,
    EditMedia,
    ManageTask,
    ProcessImage,
    ProcessLiveStream,
    ProcessMedia,
    RawAction,
    SubmitAction,
    check_mps_task_id,
    describe,
)
from airflow_provider_mps.emulator.backend import LocalMpsBackend
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsConfigError
from airflow_provider_mps.results.task import SubmittedTask, TaskDetail, TaskPage
from tests.support.official import api_model
from tests.support.submitting import KINDS
from tests.support.task_ids import NO_TASK_IDS, STRANGE_TASK_IDS, TASK_ID
from tests.support.transports import Caller

COS_INPUT = {"Type": "COS", "CosInputInfo": {"Bucket": "b-1", "Region": "ap-guangzhou", "Object": "/a.mp4"}}
# Every action that has a class: the least it takes, requests per second as documented, and whether it may be repeated.
ACTIONS: list[tuple[type[Action[Any]], dict[str, Any], int, bool]] = [
    (DescribeTaskDetail, {"task_id": TASK_ID}, 100, True),
    (DescribeBatchTaskDetail, {"task_id": TASK_ID}, 20, True),
    (DescribeImageTaskDetail, {"task_id": TASK_ID}, 100, True),
    (DescribeMediaMetaData, {"input_info": COS_INPUT}, 20, True),
    (DescribeTasks, {"status": "FINISH"}, 100, True),
    (ManageTask, {"task_id": TASK_ID}, 20, True),
    (ProcessMedia, {"input_info": COS_INPUT}, 100, False),
    (BatchProcessMedia, {"input_info": [COS_INPUT]}, 20, False),
    (
        EditMedia,
        {"file_infos": [{"InputInfo": COS_INPUT}], "output_storage": {}, "output_object_path": "/a"},
        20,
        False,
    ),
    (ProcessImage, {"input_info": COS_INPUT}, 20, False),
    (ProcessLiveStream, {"url": "rtmp://live.invalid/a/b", "task_notify_config": {"NotifyType": "URL"}}, 100, False),
]
_JSON_TYPES = {"string": "string", "int": "integer", "bool": "boolean", "object": "object", "list": "array"}


def _members(action: str) -> dict[str, dict[str, Any]]:
    model = api_model()
    return {item["name"]: item for item in model["objects"][model["actions"][action]["input"]]["members"]}


def _types(schema: dict[str, Any]) -> set[str]:
    branches = schema.get("anyOf", [schema])
    return {str(branch["type"]) for branch in branches} - {"null"}


each_action = pytest.mark.parametrize(
    ("action", "least", "rate", "idempotent"), ACTIONS, ids=[row[0].__name__ for row in ACTIONS]
)


def test_the_table_names_every_action() -> None:
    """An action that is added without a line in the table above fails here."""

    def leaves(parent: type[Action[Any]]) -> set[str]:
        children = [child for child in parent.__subclasses__() if "[" not in child.__name__]
        generic = [child for child in parent.__subclasses__() if "[" in child.__name__]
        below = set().union(*(leaves(child) for child in [*children, *generic])) if parent.__subclasses__() else set()
        ours = "[" not in parent.__name__ and parent.__module__.startswith("airflow_provider_mps.")
        return below or ({parent.__name__} if ours else set())  # pages of docs/ define actions as well

    of_sts = {"AssumeRole", "AssumeRoleWithWebIdentity"}  # see test_sts
    assert leaves(Action) - of_sts == {row[0].__name__ for row in ACTIONS} | {"RawAction"}


def test_every_action_is_answered_and_every_job_has_an_operator() -> None:
    """An action that the local MPS does not know, or that starts jobs and has no operator, fails here."""
    names = {row[0].__name__ for row in ACTIONS}
    assert names <= set(LocalMpsBackend({}).actions)
    assert names <= set(actions.__all__)
    assert {name for name in names if issubclass(getattr(actions, name), SubmitAction)} == {
        kind.action_name for kind in KINDS
    }


@each_action
def test_parameters_are_those_of_the_api_model(
    action: type[Action[Any]], least: dict[str, Any], rate: int, idempotent: bool
) -> None:
    """Names and types of the fields are Tencent's; what Tencent requires is required here, or sent without asking."""
    members = _members(action.__name__)
    schema = action.model_json_schema(by_alias=True)
    assert {name: _types(part) for name, part in schema["properties"].items()} == {
        name: {_JSON_TYPES[member["type"]]} for name, member in members.items()
    }
    required = set(schema.get("required", ()))
    sent_anyway = set(action(**least).parameters) - required - set(least) - {to_pascal(name) for name in least}
    assert required | sent_anyway == {name for name, member in members.items() if member["required"]}


@each_action
def test_name_rate_and_repetition_are_documented_ones(
    action: type[Action[Any]], least: dict[str, Any], rate: int, idempotent: bool
) -> None:
    """The class is the X-TC-Action; only actions that start a job may not be repeated."""
    value = action(**least)
    assert (value.name, value.version, value.service) == (action.__name__, "2019-06-12", "mps")
    assert value.name in api_model()["actions"]
    assert action.requests_per_second == rate
    assert value.idempotent is idempotent


@each_action
def test_an_action_is_a_value(action: type[Action[Any]], least: dict[str, Any], rate: int, idempotent: bool) -> None:
    """Equal when its parameters are, never changed, and the same after pickling and copying."""
    value = action(**least)
    assert value == action(**least)
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    field = next(iter(least))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, field, None)


@each_action
def test_a_typo_is_refused_with_a_suggestion(
    action: type[Action[Any]], least: dict[str, Any], rate: int, idempotent: bool
) -> None:
    """A parameter with one letter too many is no parameter, and the text names the one that was meant."""
    meant = list(_members(action.__name__))[-1]
    with pytest.raises(MpsConfigError, match=rf"{meant}x is not a parameter.*did you mean {meant}\?"):
        action(**least, **{f"{meant}x": "value"})


def test_a_stranger_is_refused_with_what_there_is() -> None:
    """A parameter that resembles none gets the list of all."""
    with pytest.raises(MpsConfigError, match=r"Colour is not a parameter.*it takes OperationType, TaskId"):
        ManageTask(task_id=TASK_ID, Colour="red")


def test_both_spellings_give_tencents() -> None:
    """snake_case and Tencent's spelling are one parameter, the irregular ones included."""
    snake = ProcessMedia(input_info=COS_INPUT, ai_dubbing_task={"Definition": 1}, skip_mate_data=1, session_id="s")
    pascal = ProcessMedia(InputInfo=COS_INPUT, AIDubbingTask={"Definition": 1}, SkipMateData=1, SessionId="s")
    assert snake == pascal
    assert snake.parameters == {
        "InputInfo": COS_INPUT,
        "AIDubbingTask": {"Definition": 1},
        "SessionId": "s",
        "SkipMateData": 1,
    }


def test_nested_objects_pass_through_unchanged() -> None:
    """What stands inside an object is Tencent's business: unknown keys, nulls and zeros arrive as they were given."""
    task = {"TranscodeTaskSet": [{"Definition": 0, "RawParameter": None, "FutureOption": {"X": [0, "", False]}}]}
    assert ProcessMedia(input_info=COS_INPUT, media_process_task=task).parameters["MediaProcessTask"] == task


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: DescribeTaskDetail(), "TaskId is missing"),
        (lambda: DescribeTasks(status="FINISHED"), "status: "),
        (lambda: DescribeTasks(status="FINISH", limit=0), "limit: "),
        (lambda: DescribeTasks(status="FINISH", limit=101), "limit: "),
        (lambda: ManageTask(task_id=TASK_ID, operation_type="Pause"), "operation_type: "),
        (lambda: ProcessMedia(input_info=[COS_INPUT]), "input_info: "),
        (lambda: ProcessMedia(input_info=COS_INPUT, tasks_priority=11), "tasks_priority: "),
        (lambda: ProcessMedia(input_info=COS_INPUT, session_id="s" * 51), "session_id: "),
        (lambda: ProcessMedia(input_info=COS_INPUT, session_context="s" * 1001), "session_context: "),
        (lambda: ProcessMedia(input_info=COS_INPUT, skip_mate_data=2), "skip_mate_data: "),
        (lambda: ProcessMedia(input_info=COS_INPUT, task_type="Later"), "task_type: "),
        (lambda: BatchProcessMedia(input_info=COS_INPUT), "input_info: "),
        (lambda: BatchProcessMedia(input_info=[]), "input_info: "),
        (lambda: BatchProcessMedia(input_info=[COS_INPUT], session_id="s"), "session_id is not a parameter"),
        (lambda: RawAction(action="describeTaskDetail"), "action: an action is written as in Tencent's API"),
        (lambda: RawAction(action="Describe\r\nX-Evil: 1"), "action: an action is written as in Tencent's API"),
    ],
)
def test_a_bad_value_is_refused_before_it_is_sent(build: Any, text: str) -> None:
    """Documented limits are checked here, and the text names the parameter as the caller wrote it."""
    with pytest.raises(MpsConfigError, match=r"^\w+ cannot be sent: ") as caught:
        build()
    assert text in str(caught.value)


def test_a_bad_request_never_shows_its_values() -> None:
    """The text of a refusal names parameters, never what they held: it may be a key or a signed address."""
    canary = "CANARY-9d1f"
    notify = {"NotifyKey": canary, "NotifyUrl": f"https://host/?token={canary}"}
    for build in (
        lambda: ProcessMedia(input_info=[notify], task_notify_config=notify),
        lambda: ProcessMedia(input_info=notify, task_notify_config=canary, SecretKey=canary),
        lambda: ProcessMedia(task_notify_config=notify, tasks_priority=canary, session_id=canary * 10),
        lambda: DescribeTaskDetail(TaskId=TASK_ID, Token=canary),
        lambda: RawAction(action="ProcessImage", body=[canary]),
    ):
        with pytest.raises(MpsConfigError) as caught:
            build()
        assert canary not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("action", "deduplicated", "own"),
    [
        (ProcessMedia(input_info=COS_INPUT), True, None),
        (ProcessMedia(input_info=COS_INPUT, session_id=""), True, None),
        (ProcessMedia(input_info=COS_INPUT, session_id="mine"), True, "mine"),
        (EditMedia(file_infos=[{}], output_storage={}, output_object_path="/a", session_id="mine"), True, "mine"),
        (BatchProcessMedia(input_info=[COS_INPUT]), False, None),
    ],
)
def test_which_jobs_mps_recognises(action: SubmitAction, deduplicated: bool, own: str | None) -> None:
    """Only where the API has a SessionId can a job be told from its repeat; an empty one is none."""
    assert "SessionId" in _members(action.name) or not deduplicated
    assert (action.deduplicated, action.own_session_id) == (deduplicated, own)


def test_a_tagged_job_keeps_what_is_the_users_own() -> None:
    """A copy gets SessionId and marker; a SessionContext of the user's own stays, and the original is not changed."""
    plain = ProcessMedia(input_info=COS_INPUT)
    assert plain.tagged("s-1", "marker").parameters == plain.parameters | {
        "SessionId": "s-1",
        "SessionContext": "marker",
    }
    own = ProcessMedia(input_info=COS_INPUT, session_context="mine")
    assert own.tagged("s-1", "marker").parameters["SessionContext"] == "mine"
    batch = BatchProcessMedia(input_info=[COS_INPUT]).tagged(None, "marker")
    assert batch.parameters == {"InputInfo": [COS_INPUT], "SessionContext": "marker"}
    assert plain == ProcessMedia(input_info=COS_INPUT)


def test_a_raw_action_reaches_any_api() -> None:
    """It sends its body as it is, answers a plain dict, and is repeated only when its author says that it may be."""
    action = RawAction(action="DescribeMediaMetaData", body={"InputInfo": COS_INPUT, "Mode": None})
    assert (action.name, action.parameters) == ("DescribeMediaMetaData", {"InputInfo": COS_INPUT, "Mode": None})
    assert action.result({"MetaData": {"Size": 1}, "New": 2}) == {"MetaData": {"Size": 1}, "New": 2}
    assert not action.idempotent
    assert RawAction(action="DescribeMediaMetaData", may_be_repeated=True).idempotent


def test_each_action_reads_its_own_result() -> None:
    """The result type belongs to the action."""
    assert isinstance(DescribeTaskDetail(task_id=TASK_ID).result({"Status": "FINISH"}), TaskDetail)
    assert isinstance(DescribeTasks(status="FINISH").result({"TaskSet": []}), TaskPage)
    assert ManageTask(task_id=TASK_ID).result({"RequestId": "r"}).request_id == "r"
    assert ProcessMedia(input_info=COS_INPUT).result({"TaskId": "t"}) == SubmittedTask(mps_task_id="t")
    with pytest.raises(ValueError, match="names no TaskId"):
        ProcessMedia(input_info=COS_INPUT).result({"RequestId": "r"})


@pytest.mark.parametrize(
    ("task_id", "action", "expected"),
    [
        ("2600007696-WorkflowTask-67771a50tt7", None, DescribeTaskDetail),
        ("24000030-BatchTask-e6fefa34fc497449c1a043b9a594c7det20", None, DescribeBatchTaskDetail),
        ("125xxx88-EditMedia-0123", None, DescribeTaskDetail),
        ("125xxx65-procedurev2-0123", None, DescribeTaskDetail),
        ("x" * 63, None, DescribeTaskDetail),
        ("x" * 64, None, DescribeImageTaskDetail),
        ("x" * 64, "DescribeTaskDetail", DescribeTaskDetail),
        ("2600007696-WorkflowTask-67771a50tt6", "DescribeImageTaskDetail", DescribeImageTaskDetail),
        ("2600010949-procedure-live-0123456789abcdeftt7", None, DescribeTaskDetail),
        ("2600010949-LiveScheduleTask-0123456789abcdeftt7", None, DescribeTaskDetail),
        ("24000030-BatchTask-1t20", "DescribeTaskDetail", DescribeTaskDetail),
        (TASK_ID, "DescribeBatchTaskDetail", DescribeBatchTaskDetail),
        (TASK_ID, "", DescribeTaskDetail),
    ],
)
def test_describe_picks_the_api(task_id: str, action: str | None, expected: type[Action[Any]]) -> None:
    """A batch id goes to the batch API, an image id to the image API, unless the caller knows better."""
    assert describe(task_id, action) == expected(TaskId=task_id)


def test_describe_takes_no_other_action() -> None:
    """An action that does not describe a task is refused with the ones that do."""
    with pytest.raises(MpsConfigError, match=r"'ManageTask'; it can be DescribeTaskDetail or DescribeBatchTaskDetail"):
        describe(TASK_ID, "ManageTask")


@pytest.mark.fault("F71")
@pytest.mark.parametrize("value", NO_TASK_IDS, ids=lambda value: f"{value!r:.30}")
def test_what_is_no_task_id_is_refused(value: Any) -> None:
    """None, blanks, unrendered templates and whatever else an upstream task may return never reach MPS."""
    with pytest.raises(MpsConfigError, match="which is no MPS TaskId") as caught:
        check_mps_task_id(value)
    assert len(str(caught.value)) < 400
    with pytest.raises(MpsConfigError, match="no MPS TaskId"):
        describe(value)


@pytest.mark.parametrize(
    "value",
    [
        TASK_ID,
        "235303****-WorkflowTask-80108cc3380155d98b2e3573a48a******",
        "2600010949-procedure-live-48a2680775c4d73651ca894aaa91052ctt7",
        "0123456789abcdefABCDEF",
        *STRANGE_TASK_IDS,
    ],
    ids=lambda value: f"{value:.30}",
)
@pytest.mark.fault("F86")
def test_f86_any_id_of_tencent_passes_unchanged(value: str) -> None:
    """F86: the form of an id is up to Tencent: documented, masked, legacy and unknown ones are all taken."""
    assert check_mps_task_id(value) == value


@pytest.mark.fault("F86")
@pytest.mark.parametrize("value", STRANGE_TASK_IDS, ids=lambda value: f"{value:.30}")
def test_f86_mps_is_asked_about_it_as_it_is(mps: LocalMps, client: Caller, value: str) -> None:
    """F86: what a submission was answered can be polled, whatever stands in it."""
    mps.backend.tasks[value] = mps.backend.tasks.pop(mps.backend.run_for(1000.0))
    assert client.call(describe(value)).status == "WAITING"
