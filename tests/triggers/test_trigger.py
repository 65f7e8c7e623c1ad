"""The trigger: plain arguments, one event, a free loop, a quick end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.observability import stats
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.poller import Poller
from airflow_provider_mps.client.polling.settings import PollerSettings
from airflow_provider_mps.client.retry import is_final
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.media import segments
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY, LocalMps
from airflow_provider_mps.errors import MpsStateUnknown
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.lifecycle import cancel
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from dev.local_airflow import LocalMpsProcess
from tests.support.harness import DONE, RUNNING, Mode, answer, first_event, part, refusal, revive, run_sensor

_UNKNOWN = "1250000000-WorkflowTask-0123456789abcdef0123456789abcdef"
_SUBTITLES = {"SegmentSet": segments(9000, translated=True, words=False), "SubtitlePath": "/a.srt"}
_RECOGNISED = {"Status": "SUCCESS", "ErrCode": 0, "Output": _SUBTITLES}
_TWO_MEGABYTES = answer(SmartSubtitlesTaskResult=[{"Type": "TransTextRecognition", "TransTextTask": _RECOGNISED}])
# Gives up on a connection that cannot be read at once.
_IMPATIENT = {"outage_tolerance": 0.0}
_OVERDUE = {"policy": {"timeout": 1.0}, "started": 1.0}


def _trigger(task_id: str, **arguments: Any) -> MpsTaskTrigger:
    """``started`` is when its wait began."""
    state = {"mps_task_id": task_id, "started": arguments.pop("started", 0.0), **(arguments.pop("state", {}))}
    return MpsTaskTrigger(**{"mps_task_id": task_id, "poll_interval": 0.02, "state": state, **arguments})


@pytest.mark.fault("F09")
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {
            "region": "ap-nanjing",
            "started": 1e9,
            "policy": {"timeout": 9},
            "poll_interval": 5,
            "describe_action": "DescribeTaskDetail",
        },
    ],
    ids=["defaults", "all"],
)
def test_arguments_round_trip_as_plain_json(arguments: dict[str, Any]) -> None:
    """What is stored is plain JSON, also for Airflow's own serialiser, and builds the same trigger again."""
    trigger = _trigger(_UNKNOWN, **arguments)
    path, stored = trigger.serialize()
    assert json.loads(json.dumps(stored)) == stored
    assert deserialize(serialize(stored)) == stored
    assert revive(trigger).serialize() == (path, stored)


@pytest.mark.fault("F42", "F43", "F66")
@pytest.mark.parametrize(
    ("answers", "arguments", "status"),
    [
        ([RUNNING, DONE], {}, "resume"),
        ([RUNNING], _OVERDUE, "timeout"),
        ([refusal("AuthFailure.SignatureFailure")], {}, "permanent_error"),
        ([RUNNING, refusal("ResourceNotFound")], {}, "failure"),
        ([RUNNING], {"mps_conn_id": "not_there", "policy": _IMPATIENT}, "error"),
        ([RUNNING], {"mps_conn_id": "empty_key"}, "error"),
    ],
    ids=["ended", "deadline", "wrong key", "gone", "no connection", "empty key"],
)
def test_one_small_event(
    airflow_mps: LocalMps, answers: list[dict[str, Any]], arguments: dict[str, Any], status: str
) -> None:
    """It sends one event and ends; the event is small plain JSON and no verdict."""
    event = first_event(_trigger(airflow_mps.backend.script(answers), **arguments))
    assert event["status"] == status
    assert set(event) == {"status", "mps_task_id", "message", "state"}
    assert len(json.dumps(event)) < 4096
    assert airflow_mps.secret_key not in json.dumps(event)


_WORDS = "\N{GRINNING FACE} 字\n" * 200_000


@pytest.mark.fault("F42")
@pytest.mark.parametrize(
    ("answers", "arguments"),
    [
        ([_TWO_MEGABYTES], {}),
        ([answer(*[part(Status="FAIL", ErrCode=1, Message=_WORDS[:20_000], Output=None)] * 20)], {}),
        ([{"Error": {"Code": "UnauthorizedOperation", "Message": _WORDS}}], {}),
        ([{"Error": {"Code": "Un" + "known" * 5000, "Message": "x"}}], {"policy": _IMPATIENT}),
        ([RUNNING], {"mps_conn_id": _WORDS, "policy": _IMPATIENT}),
        ([RUNNING], {"mps_task_id": _WORDS}),
    ],
    ids=["large detail", "long failures", "long error", "long code", "long connection", "long id"],
)
def test_f42_an_event_is_small_whatever_it_tells(
    airflow_mps: LocalMps, answers: list[dict[str, Any]], arguments: dict[str, Any]
) -> None:
    """F42: Airflow stores events in its database: below 4 kB of JSON, also for a detail of 2 MB and endless errors."""
    event = first_event(_trigger(airflow_mps.backend.script(answers), **arguments))
    assert event["status"] in {"resume", "permanent_error", "failure", "error"}
    assert len(json.dumps(event)) < 4096


@pytest.mark.fault("F33")
def test_the_first_event_waits(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow fails a task whose trigger fires before its worker is gone: five seconds, whatever there is to say."""
    monkeypatch.setattr(MpsTaskTrigger, "settings", PollerSettings())
    task_id = airflow_mps.backend.script([DONE])

    async def seconds(**arguments: Any) -> float:
        started = time.monotonic()
        await anext(_trigger(task_id, **arguments).run())
        return time.monotonic() - started

    async def all_of_them() -> list[float]:
        ways: list[dict[str, Any]] = [{}, _OVERDUE, {"mps_conn_id": "empty_key"}]
        return list(await asyncio.gather(*(seconds(**arguments) for arguments in ways)))

    assert min(asyncio.run(all_of_them())) >= 5


@pytest.mark.fault("F22")
def test_the_deadline_ends_a_long_interval(airflow_mps: LocalMps) -> None:
    """A wait ends at its deadline, not at the next poll after it."""
    task_id = airflow_mps.backend.script([RUNNING])
    started = time.monotonic()
    event = first_event(_trigger(task_id, poll_interval=1000, policy={"timeout": 10}, started=time.time() - 9))
    assert event["status"] == "timeout"
    assert time.monotonic() - started < 4


@pytest.mark.fault("F46")
@pytest.mark.parametrize("kind", ["reset", "status", "html", "cut", "broken", "throttle"])
def test_trouble_is_waited_through(airflow_mps: LocalMps, kind: Any) -> None:
    """Trouble on the way is no event: the trigger asks on until it has an answer."""
    airflow_mps.backend.faults.add(Fault(kind, times=5))
    event = first_event(_trigger(airflow_mps.backend.script([DONE])))
    assert event["status"] == "resume"
    assert len(airflow_mps.backend.calls) == 6


def test_the_log_holds_changes_not_polls(airflow_mps: LocalMps, capsys: pytest.CaptureFixture[str]) -> None:
    """One INFO line for a state, however often it is seen, with TaskId and RequestId."""
    task_id = airflow_mps.backend.script([RUNNING] * 8 + [DONE])
    first_event(_trigger(task_id))
    lines = [line for line in capsys.readouterr().out.splitlines() if task_id in line]
    assert len(lines) == 2
    assert "PROCESSING (0/1 parts done)" in lines[0]
    assert "FINISH (1/1 parts done)" in lines[1]
    assert all("info" in line and "RequestId" in line for line in lines)


@pytest.mark.fault("F14", "F68")
@pytest.mark.parametrize("where", ["first pause", "poll", "slow answer", "pause"])
def test_cancelling_ends_it_at_once(airflow_mps: LocalMps, where: str) -> None:
    """Wherever it waits, a cancelled trigger ends within 100 ms and closes its session; the best of three counts."""
    faults = {"poll": Fault("hang", times=None, seconds=30), "slow answer": Fault("slow", times=None)}
    if where in faults:
        airflow_mps.backend.faults.add(faults[where])
    task_id = airflow_mps.backend.script([RUNNING])

    async def cancel() -> float:
        trigger = _trigger(task_id, poll_interval=0.02 if where in faults else 30)
        if where == "first pause":
            trigger.settings = PollerSettings(earliest_event=30)  # type: ignore[misc]

        async def drain() -> None:
            async for _ in trigger.run():
                pass

        run = asyncio.create_task(drain())
        await asyncio.sleep(0.4)
        started = time.monotonic()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return time.monotonic() - started

    assert min(asyncio.run(cancel()) for _ in range(3)) < 0.1


def test_a_cancellation_is_not_lost(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that comes at the very moment at which the connection has been read."""
    trigger = _trigger(airflow_mps.backend.run_for(3600))
    read = MpsHook.aget_config

    async def cancel() -> bool:
        run = asyncio.create_task(anext(trigger.run()))

        async def aget_config(hook: MpsHook) -> ClientConfig:
            config = await read(hook)
            asyncio.get_running_loop().call_soon(run.cancel)
            return config

        monkeypatch.setattr(MpsHook, "aget_config", aget_config)
        await asyncio.wait([run], timeout=5)
        return run.cancelled()

    assert asyncio.run(cancel())


@pytest.mark.fault("F61")
@pytest.mark.parametrize("portal", [True, False], ids=["with greenback", "without greenback"])
def test_the_loop_stays_free(tmp_path: Path, portal: bool) -> None:
    """
    F61: two hundred triggers in a new process, a server that hangs, is slow and answers 2 MB: nothing takes 50 ms.

    A machine that pauses us does so now and then; what blocks, once per process or always, does so in each process.
    """

    def held(mps: LocalMpsProcess) -> list[str]:
        large = [mps.control("tasks", answers=[RUNNING, _TWO_MEGABYTES])["TaskId"] for _ in range(10)]
        small = [mps.control("tasks", answers=[RUNNING, RUNNING, DONE])["TaskId"] for _ in range(190)]
        for kind in ("hang", "slow"):
            mps.control("faults", kind=kind, times=10, seconds=0.5, bytes_per_second=200)
        connection = {"conn_type": "tencentcloud_mps", "login": SECRET_ID, "password": SECRET_KEY, "host": mps.url}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.triggers.loop_probe",
                json.dumps({"task_ids": small + large, "portal": portal}),
            ],
            env={**os.environ, "AIRFLOW_CONN_MPS_DEFAULT": json.dumps({**connection, "extra": {"quota_share": 1}})},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["statuses"] == ["resume"]
        return list(told["held"])

    # In processes of their own, or the work of the server and of the tests would be counted as ours.
    with LocalMpsProcess(tmp_path / "mps.log", "--rate", "0") as mps:
        tries: list[list[str]] = []
        while len(tries) < 3 and (not tries or tries[-1]):
            tries.append(held(mps))
    assert tries[-1] == [], tries


@pytest.mark.fault("F65")
def test_two_at_once_see_the_same(airflow_mps: LocalMps) -> None:
    """A trigger only reads, so that the same one may run in two triggerers."""
    task_id = airflow_mps.backend.script([RUNNING, DONE])

    async def both() -> list[str]:
        async def status() -> str:
            async for event in _trigger(task_id).run():
                return str(event.payload["status"])
            return "none"

        return list(await asyncio.gather(status(), status()))

    assert asyncio.run(both()) == ["resume", "resume"]
    assert {call.action for call in airflow_mps.backend.calls} == {"DescribeTaskDetail"}


@pytest.mark.fault("F63")
def test_a_connection_that_comes_back_is_waited_for(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow says that a connection isn't defined also when its backend is away: the trigger asks on."""
    task_id = airflow_mps.backend.script([DONE])
    connection = os.environ["AIRFLOW_CONN_MPS_DEFAULT"]

    async def run() -> str:
        monkeypatch.delenv("AIRFLOW_CONN_MPS_DEFAULT")
        asyncio.get_running_loop().call_later(0.3, monkeypatch.setenv, "AIRFLOW_CONN_MPS_DEFAULT", connection)
        async for event in _trigger(task_id, poll_interval=0.1).run():
            return str(event.payload["status"])
        return "none"

    assert asyncio.run(run()) == "resume"


@pytest.mark.fault("F57")
@pytest.mark.parametrize("seconds", [900, -900])
def test_a_wrong_clock_does_not_wake_the_worker(airflow_mps: LocalMps, seconds: float) -> None:
    """A triggerer whose clock is off corrects it and waits on, instead of sending the task to and fro."""
    airflow_mps.backend.clock_offset = seconds
    event = first_event(_trigger(airflow_mps.backend.script([RUNNING, RUNNING, DONE])))
    assert event["message"].startswith("FINISH")


@pytest.mark.fault("F54")
def test_f54_nothing_is_asked_in_a_rush(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interval an author asks for, one task is not polled more than once a second."""
    monkeypatch.setattr(MpsTaskTrigger, "settings", PollerSettings(earliest_event=0.0))
    task_id = airflow_mps.backend.script([RUNNING])
    first_event(_trigger(task_id, poll_interval=0.01, policy={"timeout": 2.5}, started=time.time()))
    assert 1 <= len(airflow_mps.backend.calls) <= 4


def test_the_deadline_also_ends_the_wait_for_a_connection(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow that does not answer does not move the deadline."""

    async def never(*_: object) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(BaseHook, "aget_connection", staticmethod(never))
    monkeypatch.setattr("airflow_provider_mps.triggers.connection.TIMEOUT", 0.1)
    started = time.monotonic()
    event = first_event(_trigger(_UNKNOWN, policy={"timeout": 10}, started=time.time() - 9.5))
    assert event["status"] == "timeout"
    assert time.monotonic() - started < 5


def test_first_polls_are_spread(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers that start together poll at different times, none in the first seconds."""
    monkeypatch.setattr(MpsTaskTrigger, "settings", PollerSettings(earliest_event=0.2))
    dues: list[float] = []

    async def poll(self: Poller, action: Any, *, due: float, **_: Any) -> Any:
        dues.append(due - asyncio.get_running_loop().time())
        raise asyncio.CancelledError

    monkeypatch.setattr(Poller, "poll", poll)

    async def many() -> None:
        async def drain() -> None:
            async for _ in _trigger(_UNKNOWN, poll_interval=2.0).run():
                pass

        await asyncio.gather(*(drain() for _ in range(60)), return_exceptions=True)

    asyncio.run(many())
    assert len(dues) == 60
    assert min(dues) > 0.1
    assert max(dues) - min(dues) > 1.0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"state": {"an_unknown_field": 1}}, "resume"),
        ({"state": {"started": "yesterday"}}, "resume"),
        ({"policy": {"settle_grace": "120"}}, "error"),
        ({"policy": {"outage_tolerance": -1}}, "error"),
        ({"policy": "none"}, "resume"),
    ],
)
def test_strange_arguments_are_no_crash(airflow_mps: LocalMps, arguments: dict[str, Any], status: str) -> None:
    """What makes no sense is left out, or the worker is told: it polls."""
    task_id = airflow_mps.backend.script([DONE])
    event = first_event(_trigger(task_id, **arguments))
    assert event["status"] == status
    assert event["state"]["mps_task_id"] == task_id


def test_a_triggerer_that_breaks_down_does_not_lose_the_wait(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker polls and goes on; when it happens again and again it says so, and Airflow may retry."""
    task_id = airflow_mps.backend.script([RUNNING] * 3 + [DONE])
    genuine, left = Poller.poll, [2]

    async def poll(self: Poller, *args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise ZeroDivisionError("a fault of ours")
        return await genuine(self, *args, **kwargs)

    monkeypatch.setattr(Poller, "poll", poll)
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id) == task_id
    left[0] = 10**9
    running = airflow_mps.backend.script([RUNNING])
    with pytest.raises(MpsStateUnknown, match="failed 3 times in a row") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=running)
    assert not is_final(caught.value)


@pytest.mark.fault("F94")
@pytest.mark.parametrize("breaks", [False, True], ids=["while it polls", "while it fails"])
def test_f94_a_log_handler_that_raises_loses_no_event(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    """F94: the event is sent, and says what it would have said."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise OSError("no space left on device")

    async def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    if breaks:
        monkeypatch.setattr(Poller, "poll", fail)
    monkeypatch.setattr(MpsTaskTrigger, "log", Broken())
    event = first_event(_trigger(airflow_mps.backend.script([RUNNING, refusal("InternalError"), DONE])))
    assert event["status"] == ("failure" if breaks else "resume")


def test_a_metric_that_fails_fails_nothing(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait depends on a metrics server."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no metrics today")

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(stats, name, fail)
    assert first_event(_trigger(airflow_mps.backend.script([RUNNING, DONE])))["status"] == "resume"


def test_a_question_without_an_answer_is_said(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is aborted in doubt, and the log says that there was doubt."""

    async def never(task_instance: object) -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return False

    monkeypatch.setattr(cancel, "_ended_by_user", never)
    monkeypatch.setattr(cancel, "_TRIGGER_BUDGET", 0.1)
    asyncio.run(_trigger(_UNKNOWN, cancel_on_kill=True).on_kill())
    assert "was not aborted: Airflow does not say who ended the task" in capsys.readouterr().out
    assert not airflow_mps.backend.calls
