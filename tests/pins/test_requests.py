"""What goes over the wire stays what it was: whole requests, in their order, for each thing that the package does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_mps.client import actions as api
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.emulator.state import Account
from airflow_provider_mps.errors import MpsError
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsActionOperator,
    MpsMediaMetadataOperator,
    MpsProcessMediaOperator,
    MpsTaskResultOperator,
)
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from tests.pins.record import pinned, recorded
from tests.pins.transcript import Transcript
from tests.support.harness import (
    ALL_MODES,
    DONE,
    RUNNING,
    Mode,
    airflow_mps,
    new_context,
    retry,
    run_operator,
    run_sensor,
)
from tests.support.machine import in_a_pod, on_an_instance, with_a_role
from tests.support.recorder import Recorder, Sent
from tests.support.submitting import ALL_KINDS, WAYS, media, process, submit

__all__ = ["airflow_mps"]

FILE = "requests.json"
TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"
BATCH_ID = "1250000000-BatchTask-0123456789abcdeft20"
WAITING = RUNNING | {"Status": "WAITING"}
NOTIFY = {"NotifyType": "URL", "NotifyUrl": "https://me.invalid/live"}
COS = {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1250000000", "Region": "ap-nanjing"}}


class World(NamedTuple):
    """A local MPS, the connection ``mps_default`` to it, and all that goes that way."""

    mps: LocalMps
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    host: str
    exchanges: list[tuple[Sent, bytes]]

    def connect(self, **fields: Any) -> None:
        """Change the connection: login, password, or anything of its extra."""
        own = {"conn_type": "tencentcloud_mps", "host": self.host}
        if "credential_source" not in fields:
            own |= {"login": self.mps.secret_id, "password": self.mps.secret_key}
        own |= {name: fields.pop(name) for name in ("login", "password") if name in fields}
        self.monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps({**own, "extra": {"timeout": 5, **fields}}))

    def fault(self, kind: Any, action: str, **more: Any) -> None:
        self.mps.backend.faults.add(Fault(kind, action, **more))

    def pin(self, name: str, *, polls: bool = True) -> None:
        pinned(FILE, name, Transcript(self.exchanges, polls=polls).read())


def _world(mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, folder: Path) -> World:
    mps.backend.settings.rates["DescribeTaskDetail"] = 0  # no request is throttled by chance
    exchanges = recorder.relay_to(mps.host.removeprefix("http://"))
    world = World(mps, monkeypatch, folder, f"http://{recorder.netloc}", exchanges)
    world.connect()
    return world


@pytest.fixture
def world(airflow_mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Without pauses."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return _world(airflow_mps, recorder, monkeypatch, tmp_path)


Call = Callable[..., None]


def _sync(*actions: api.Action[Any], between: Callable[[], object] = lambda: None) -> None:
    """Call with one client, whatever comes of it."""
    with MpsHook().get_conn() as client:
        for action in actions:
            with contextlib.suppress(MpsError):
                client.call(action)
            between()


def _async(*actions: api.Action[Any], between: Callable[[], object] = lambda: None) -> None:
    async def work() -> None:
        client = await MpsHook().aget_conn()
        try:
            for action in actions:
                with contextlib.suppress(MpsError):
                    await client.call(action)
                between()
        finally:
            await client.close()

    asyncio.run(work())


EACH_TRANSPORT = pytest.mark.parametrize("call", [_sync, _async], ids=["requests", "aiohttp"])

# The client.

ACTIONS: list[api.Action[Any]] = [
    api.DescribeTaskDetail(task_id=TASK_ID),
    api.DescribeBatchTaskDetail(task_id=BATCH_ID),
    api.DescribeImageTaskDetail(task_id=TASK_ID),
    api.DescribeMediaMetaData(input_info=media(), mode="slow"),
    api.DescribeTasks(status="FINISH", limit=100, scroll_token="100", start_time="2026-01-31T12:00:00Z"),
    api.ManageTask(task_id=TASK_ID),
    api.ProcessMedia(
        input_info=media("演讲.mp4"),
        output_storage=COS,
        output_dir="/out/",
        media_process_task={"TranscodeTaskSet": [{"Definition": 100040, "StartTimeOffset": 1.5}]},
        ai_dubbing_task={"Definition": 30},
        tasks_priority=-10,
        session_id="my-session",
        session_context="my-context",
        skip_mate_data=0,
    ),
    api.BatchProcessMedia(input_info=[media()], smart_subtitles_task={"Definition": 1}, task_mode="Serial"),
    api.EditMedia(file_infos=[{"InputInfo": media()}], output_storage=COS, output_object_path="/cut.mp4"),
    api.ProcessImage(input_info=media("a.png"), image_task={"EncodeConfig": {"Format": "WEBP", "Quality": 75}}),
    api.ProcessLiveStream(url="rtmp://live.invalid/a?k=b", task_notify_config=NOTIFY, session_id="my-session"),
    api.RawAction(action="DescribeTranscodeTemplates", body={"Definitions": [10], "Limit": 1}),
]
LOOK, SUBMIT = ACTIONS[0], ACTIONS[6]


def test_every_action_is_sent() -> None:
    """An action that is added to the package is added here."""
    known = {name for name in api.__all__ if isinstance(getattr(api, name), type)} - {"Action", "SubmitAction"}
    assert {type(action).__name__ for action in ACTIONS} == known


@EACH_TRANSPORT
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_travels_as_before(world: World, call: Call, action: api.Action[Any]) -> None:
    """Its headers and its body, over both transports alike."""
    call(action)
    world.pin(f"action {action.name}", polls=False)


def _keys_change(world: World) -> Callable[[], object]:
    def change() -> None:
        world.mps.backend.accounts[world.mps.secret_id] = Account("the-new-key")
        world.connect(password="the-new-key")

    return change


def _temporary(world: World) -> None:
    world.mps.backend.accounts["AKIDtemporary"] = Account("key", token="a-token")
    world.connect(login="AKIDtemporary", password="key", token="a-token")


def _through_no_proxy(world: World) -> None:
    world.monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    world.monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _machine(machine: Any) -> Callable[[World], None]:
    return lambda world: world.connect(**machine(world.mps, world.monkeypatch, world.folder))


def _clock_is_off(world: World) -> None:
    world.mps.backend.clock_offset = 600


ONCE, TWICE, ONE_SUBMISSION = (LOOK,), (LOOK, LOOK), (SUBMIT,)
# How the world is before the calls of one client; where it returns a function, that is called after each.
SETTINGS: dict[str, tuple[Callable[[World], Any], tuple[api.Action[Any], ...]]] = {
    "throttled": (lambda world: world.fault("throttle", "*"), ONCE),
    "throttled submission": (lambda world: world.fault("throttle", "*"), ONE_SUBMISSION),
    "InternalError": (lambda world: world.fault("error", "*", code="InternalError.SystemError"), ONCE),
    "InternalError for a submission": (lambda world: world.fault("error", "*"), ONE_SUBMISSION),
    "lost answer": (lambda world: world.fault("reset", "*", when="after"), ONCE),
    "lost answer to a submission": (lambda world: world.fault("reset", "*", when="after"), ONE_SUBMISSION),
    "permanent error": (lambda world: world.fault("error", "*", code="UnauthorizedOperation"), ONCE),
    "clock is off": (_clock_is_off, TWICE),
    "too old, by a clock that is right": (
        lambda world: world.fault("error", "*", code="AuthFailure.SignatureExpire"),
        ONCE,
    ),
    "rejected keys, new ones in the connection": (_keys_change, TWICE),
    "rejected keys, no others": (lambda world: world.connect(password="not-the-key"), ONCE),
    "temporary token": (_temporary, ONCE),
    "region and language": (lambda world: world.connect(region="ap-nanjing", language="zh-CN"), ONCE),
    "NO_PROXY": (_through_no_proxy, ONCE),
    "AssumeRole": (_machine(with_a_role), TWICE),
    "unsigned AssumeRoleWithWebIdentity": (_machine(in_a_pod), TWICE),
    "role of an instance": (_machine(on_an_instance), TWICE),
}


@EACH_TRANSPORT
@pytest.mark.parametrize("name", SETTINGS)
def test_a_client_sends_what_it_sent(world: World, call: Call, name: str) -> None:
    """What is repeated, signed again or asked for first is the same over both transports."""
    prepare, actions = SETTINGS[name]
    world.mps.backend.script([RUNNING], TASK_ID)
    call(*actions, between=prepare(world) or (lambda: None))
    world.pin(f"client, {name}", polls=False)


# Operators and sensor, over both transports: a worker asks over requests, a trigger over aiohttp.


@WAYS
@ALL_KINDS
def test_a_job_from_submission_to_success(world: World, kind: Any, deferrable: bool) -> None:
    """One submission, then one describing action."""
    submit(kind, deferrable=deferrable)
    world.pin(f"operator {kind.action_name}")


@WAYS
def test_a_submission_whose_answer_is_lost(world: World, deferrable: bool) -> None:
    """It is sent again with the same SessionId; then the job is searched for, page by page."""
    for _ in range(101):
        world.mps.backend.script([WAITING])
    world.fault("reset", "ProcessMedia", when="after")
    submit(MpsProcessMediaOperator, deferrable=deferrable)
    world.pin("operator ProcessMedia, lost answer")


@WAYS
def test_a_submission_that_is_throttled(world: World, deferrable: bool) -> None:
    """It is sent again with the same SessionId."""
    world.fault("throttle", "ProcessMedia")
    submit(MpsProcessMediaOperator, deferrable=deferrable)
    world.pin("operator ProcessMedia, throttled")


@WAYS
def test_a_retry_after_a_job_that_failed(world: World, deferrable: bool) -> None:
    """The next try looks at it once more, and submits another one."""
    context = new_context(store=True)
    for _ in range(2):
        with contextlib.suppress(MpsError):
            submit(MpsProcessMediaOperator, "talk.all-fail.mp4", context, deferrable=deferrable)
        retry(context)
    world.pin("operator ProcessMedia, failed, retried")


@WAYS
def test_a_job_that_waits_beyond_its_deadline(world: World, deferrable: bool) -> None:
    """It is aborted."""
    with pytest.raises(MpsError):
        submit(MpsProcessMediaOperator, "talk.queued.mp4", deferrable=deferrable, timeout=0.3)
    world.pin("operator ProcessMedia, timeout")


@WAYS
def test_a_session_of_the_users_own(world: World, deferrable: bool) -> None:
    """It is sent as it was given, and so is the region."""
    own = process(SessionId="my-session", SessionContext="my-context")
    submit(MpsProcessMediaOperator, request=own, deferrable=deferrable, region="ap-nanjing")
    world.pin("operator ProcessMedia, own session")


@ALL_MODES
def test_a_sensor_asks_what_it_asked(world: World, mode: Mode) -> None:
    """The same in all modes."""
    run_sensor(mode, mps_task_id=world.mps.backend.script([RUNNING, RUNNING, DONE]))
    world.pin("sensor")


ABORT = {"OperationType": "Abort", "TaskId": TASK_ID}
OPERATORS: dict[str, Callable[[], Any]] = {
    "result": lambda: MpsTaskResultOperator(task_id="t", mps_task_id=TASK_ID, region="ap-nanjing"),
    "abort": lambda: MpsAbortTaskOperator(task_id="t", mps_task_id=TASK_ID),
    "metadata": lambda: MpsMediaMetadataOperator(task_id="t", input_info=media()),
    "any action": lambda: MpsActionOperator(task_id="t", action="ManageTask", parameters=ABORT),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_asks_what_it_asked(world: World, name: str) -> None:
    """Those that wait for nothing."""
    world.mps.backend.script([WAITING if name == "abort" else DONE], TASK_ID)
    with contextlib.suppress(MpsError):
        run_operator(OPERATORS[name], new_context())
    world.pin(f"operator {name}")


# Many waits.


@pytest.fixture
def paced(mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """With the pauses that people have, and the smallest part of the quota."""
    world = _world(mps, recorder, monkeypatch, tmp_path)
    world.connect(quota_share=0.001)
    return world


def test_many_waits_list_what_has_ended(paced: World) -> None:
    """The page that is asked for; when, and how often, is not pinned."""
    waits = [MpsTaskTrigger(mps_task_id=paced.mps.backend.run_for(600)) for _ in range(40)]

    async def consume(wait: MpsTaskTrigger) -> None:
        async for _ in wait.run():
            pass

    async def work() -> None:
        tasks = [asyncio.create_task(consume(wait)) for wait in waits]
        async with asyncio.timeout(60):
            while not _lists(paced):  # noqa: ASYNC110 - the server runs in another thread
                await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(work())
    pinned(FILE, "many waits", Transcript(_lists(paced)[:1], polls=True).read())


def _lists(world: World) -> list[tuple[Sent, bytes]]:
    return [(sent, answer) for sent, answer in world.exchanges if sent.headers.get("x-tc-action") == "DescribeTasks"]


def test_every_scenario_has_a_record() -> None:
    """Each has one of its own, and none is left of a scenario that is gone."""
    many = len(ACTIONS) + len(SETTINGS) + len(OPERATORS)
    assert len(recorded(FILE)) == many + 5 + 5 + 1 + 1  # kinds of jobs, fates of one, the sensor, many waits
