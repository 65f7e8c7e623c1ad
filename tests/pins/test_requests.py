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
from airflow_provider_mps.emulator.models import Account
from airflow_provider_mps.emulator.server import LocalMps
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
from tests.support.submitting import ALL_KINDS, KINDS, WAYS, media, process, submit

__all__ = ["airflow_mps"]

FILE = "requests.json"
TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"
BATCH_ID = "1250000000-BatchTask-0123456789abcdeft20"
WAITING = RUNNING | {"Status": "WAITING"}
NOTIFY = {"NotifyType": "URL", "NotifyUrl": "https://me.invalid/live"}
COS = {"Type": "COS", "CosOutputStorage": {"Bucket": "out-1250000000", "Region": "ap-nanjing"}}


class Environment(NamedTuple):
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

    def pin(self, name: str, *, polls: bool = True) -> None:
        pinned(FILE, name, Transcript(self.exchanges, polls=polls).read())


def _environment(
    mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, folder: Path, **extra: Any
) -> Environment:
    mps.backend.settings.rates["DescribeTaskDetail"] = 0  # no request is throttled by chance
    monkeypatch.setenv("HOME", str(folder))
    exchanges = recorder.relay_to(mps.host.removeprefix("http://"))
    env = Environment(mps, monkeypatch, folder, f"http://{recorder.netloc}", exchanges)
    env.connect(**extra)
    return env


@pytest.fixture
def env(airflow_mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """A local MPS whose clients make no pauses."""
    return _environment(airflow_mps, recorder, monkeypatch, tmp_path)


# The client.


def _sync(*actions: api.Action[Any], after: Callable[[], object]) -> None:
    with MpsHook().get_conn() as client:
        for action in actions:
            with contextlib.suppress(MpsError):
                client.call(action)
            after()


def _async(*actions: api.Action[Any], after: Callable[[], object]) -> None:
    async def work() -> None:
        async with await MpsHook().aget_conn() as client:
            for action in actions:
                with contextlib.suppress(MpsError):
                    await client.call(action)
                after()

    asyncio.run(work())


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


def _nothing(_: Environment) -> None:
    """No fault."""


def _fault(kind: Any, action: str = "*", **more: Any) -> Callable[[Environment], None]:
    return lambda env: env.mps.backend.faults.add(Fault(kind, action, **more))


def _connection(**fields: Any) -> Callable[[Environment], None]:
    return lambda env: env.connect(**fields)


def _machine(machine: Any) -> Callable[[Environment], None]:
    return lambda env: env.connect(**machine(env.mps, env.monkeypatch, env.folder))


def _keys_change(env: Environment) -> Callable[[], None]:
    def change() -> None:
        env.mps.backend.accounts[env.mps.secret_id] = Account("the-new-key")
        env.connect(password="the-new-key")

    return change


def _temporary(env: Environment) -> None:
    env.mps.backend.accounts["AKIDtemporary"] = Account("key", token="a-token")
    env.connect(login="AKIDtemporary", password="key", token="a-token")


def _no_proxy(env: Environment) -> None:
    env.monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    env.monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _clock_is_off(env: Environment) -> None:
    env.mps.backend.clock_offset = 600


POLL, SUBMIT = ACTIONS[0], ACTIONS[6]
# How the env is before the calls of one client; where it returns a function, that is called after each.
CLIENTS: dict[str, tuple[Callable[[Environment], Any], list[api.Action[Any]]]] = {
    **{action.name: (_nothing, [action]) for action in ACTIONS},
    "throttled": (_fault("throttle"), [POLL]),
    "throttled submission": (_fault("throttle"), [SUBMIT]),
    "InternalError": (_fault("error"), [POLL]),
    "InternalError for a submission": (_fault("error"), [SUBMIT]),
    "lost answer": (_fault("reset", when="after"), [POLL]),
    "lost answer to a submission": (_fault("reset", when="after"), [SUBMIT]),
    "permanent error": (_fault("error", code="UnauthorizedOperation"), [POLL]),
    "clock is off": (_clock_is_off, [POLL, POLL]),
    "signature too old by a clock that is right": (_fault("error", code="AuthFailure.SignatureExpire"), [POLL]),
    "rejected keys, new ones in the connection": (_keys_change, [POLL, POLL]),
    "rejected keys, no others": (_connection(password="not-the-key"), [POLL]),
    "temporary token": (_temporary, [POLL]),
    "region and language": (_connection(region="ap-nanjing", language="zh-CN"), [POLL]),
    "NO_PROXY": (_no_proxy, [POLL]),
    "AssumeRole": (_machine(with_a_role), [POLL, POLL]),
    "unsigned AssumeRoleWithWebIdentity": (_machine(in_a_pod), [POLL, POLL]),
    "role of an instance": (_machine(on_an_instance), [POLL, POLL]),
}


def test_every_action_is_sent() -> None:
    """An action that is added to the package is added here."""
    known = {name for name in api.__all__ if isinstance(getattr(api, name), type)} - {"Action", "SubmitAction"}
    assert {type(action).__name__ for action in ACTIONS} == known


@pytest.mark.parametrize("call", [_sync, _async], ids=["requests", "aiohttp"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_sends_what_it_sent(env: Environment, call: Callable[..., None], name: str) -> None:
    """Headers, body, what is repeated, signed again or asked for first: the same over both transports."""
    prepare, actions = CLIENTS[name]
    env.mps.backend.script([RUNNING], TASK_ID)
    call(*actions, after=prepare(env) or (lambda: None))
    env.pin(f"client, {name}", polls=False)


# Operators and sensor, over both transports: a worker asks over requests, a trigger over aiohttp.


@WAYS
@ALL_KINDS
def test_a_job_from_submission_to_success(env: Environment, kind: Any, deferrable: bool) -> None:
    """One submission, then one describing action."""
    submit(kind, deferrable=deferrable)
    env.pin(f"operator {kind.action_name}")


def _lost_among_many(env: Environment) -> None:
    for _ in range(101):
        env.mps.backend.script([WAITING])
    _fault("reset", "ProcessMedia", when="after")(env)


OWN = process(SessionId="my-session", SessionContext="my-context")
# How the env is before a job, arguments of its operator, and how often its task is tried.
JOBS: dict[str, tuple[Callable[[Environment], object], dict[str, Any], int]] = {
    "lost answer": (_lost_among_many, {}, 1),
    "throttled": (_fault("throttle", "ProcessMedia"), {}, 1),
    "failed and retried": (_nothing, {"name": "talk.all-fail.mp4"}, 2),
    "timeout": (_nothing, {"name": "talk.queued.mp4", "timeout": 0.3}, 1),
    "own session": (_nothing, {"request": OWN, "region": "ap-nanjing"}, 1),
}


@WAYS
@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_sent_and_found_as_before(env: Environment, name: str, deferrable: bool) -> None:
    """Which SessionId is sent again, what is searched for, page by page, and what is aborted."""
    prepare, arguments, tries = JOBS[name]
    prepare(env)
    context = new_context(store=True)
    for _ in range(tries):
        with contextlib.suppress(MpsError):
            submit(MpsProcessMediaOperator, context=context, deferrable=deferrable, **arguments)
        retry(context)
    env.pin(f"operator ProcessMedia, {name}")


@ALL_MODES
def test_a_sensor_asks_what_it_asked(env: Environment, mode: Mode) -> None:
    """The same in all modes."""
    run_sensor(mode, mps_task_id=env.mps.backend.script([RUNNING, RUNNING, DONE]))
    env.pin("sensor")


ABORT = {"OperationType": "Abort", "TaskId": TASK_ID}
OPERATORS: dict[str, Callable[[], Any]] = {
    "result": lambda: MpsTaskResultOperator(task_id="t", mps_task_id=TASK_ID, region="ap-nanjing"),
    "abort": lambda: MpsAbortTaskOperator(task_id="t", mps_task_id=TASK_ID),
    "metadata": lambda: MpsMediaMetadataOperator(task_id="t", input_info=media()),
    "any action": lambda: MpsActionOperator(task_id="t", action="ManageTask", parameters=ABORT),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_asks_what_it_asked(env: Environment, name: str) -> None:
    """Operators that do not wait."""
    env.mps.backend.script([WAITING if name == "abort" else DONE], TASK_ID)
    with contextlib.suppress(MpsError):
        run_operator(OPERATORS[name], new_context())
    env.pin(f"operator {name}")


def test_many_waits_list_what_has_ended(
    mps: LocalMps, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page that is asked for, where the quota is small; when, and how often, is not pinned."""
    env = _environment(mps, recorder, monkeypatch, tmp_path, quota_share=0.001)
    waits = [MpsTaskTrigger(mps_task_id=mps.backend.run_for(600)) for _ in range(40)]

    def lists() -> list[tuple[Sent, bytes]]:
        return [each for each in env.exchanges if each[0].headers.get("x-tc-action") == "DescribeTasks"]

    async def work() -> None:
        tasks = [asyncio.ensure_future(anext(wait.run())) for wait in waits]
        async with asyncio.timeout(60):
            while not lists():  # noqa: ASYNC110 - the server runs in another thread
                await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(work())
    pinned(FILE, "many waits", Transcript(lists()[:1], polls=True).read())


def test_every_scenario_has_a_record() -> None:
    """Each has one of its own, and none is left of a scenario that is gone."""
    assert len(recorded(FILE)) == len(CLIENTS) + len(KINDS) + len(JOBS) + len(OPERATORS) + 2  # sensor, waits
