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
from airflow.sdk.observability import stats
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.polling.poller import Poller
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.media import segments
from airflow_provider_mps.emulator.server import SECRET_ID, SECRET_KEY, LocalMps
from airflow_provider_mps.errors import MpsStateUnknown
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.triggers import killing
from airflow_provider_mps.triggers.mps import MpsTaskTrigger
from dev.local_airflow import LocalMpsProcess
from tests.support.harness import DONE, RUNNING, Mode, answer, first_event, part, refusal, revive, run_sensor

_UNKNOWN = "1250000000-WorkflowTask-0123456789abcdef0123456789abcdef"
_SUBTITLES = {"SegmentSet": segments(9000, translated=True, words=False), "SubtitlePath": "/a.srt"}
_RECOGNISED = {"Status": "SUCCESS", "ErrCode": 0, "Output": _SUBTITLES}
_TWO_MEGABYTES = answer(SmartSubtitlesTaskResult=[{"Type": "TransTextRecognition", "TransTextTask": _RECOGNISED}])
_EARLIEST = MpsTaskTrigger.earliest_event  # fixtures make it 0
# Gives up on a connection that cannot be read at once.
_IMPATIENT = {"mps_task_id": _UNKNOWN, "started": 0.0, "outage_tolerance": 0.0}


def _trigger(task_id: str, **arguments: Any) -> MpsTaskTrigger:
    return MpsTaskTrigger(**{"mps_task_id": task_id, "poll_interval": 0.02, **arguments})


@pytest.mark.fault("F09")
@pytest.mark.parametrize(
    "arguments",
    [{}, {"region": "ap-nanjing", "deadline": 1e9, "poll_interval": 5, "describe_action": "DescribeTaskDetail"}],
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
        ([RUNNING, DONE], {}, "look"),
        ([RUNNING], {"deadline": 1.0}, "timeout"),
        ([refusal("AuthFailure.SignatureFailure")], {}, "refused"),
        ([RUNNING, refusal("ResourceNotFound")], {}, "fault"),
        ([RUNNING], {"mps_conn_id": "not_there", "patience": _IMPATIENT}, "error"),
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
    assert set(event) == {"status", "mps_task_id", "message", "deadline", "clock", "patience"}
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
        ([{"Error": {"Code": "Un" + "known" * 5000, "Message": "x"}}], {}),
        ([RUNNING], {"mps_conn_id": _WORDS, "patience": _IMPATIENT}),
        ([RUNNING], {"mps_task_id": _WORDS}),
    ],
    ids=["large detail", "long failures", "long error", "long code", "long connection", "long id"],
)
def test_f42_an_event_is_small_whatever_it_tells(
    airflow_mps: LocalMps, answers: list[dict[str, Any]], arguments: dict[str, Any]
) -> None:
    """F42: Airflow stores events in its database: below 4 kB of JSON, also for a detail of 2 MB and endless errors."""
    event = first_event(_trigger(airflow_mps.backend.script(answers), **arguments))
    assert event["status"] in {"look", "refused", "fault", "error"}
    assert len(json.dumps(event)) < 4096


@pytest.mark.fault("F33")
def test_the_first_look_waits(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow fails a task whose trigger fires before its worker is gone: five seconds, whatever there is to say."""
    monkeypatch.setattr(MpsTaskTrigger, "earliest_event", _EARLIEST)
    task_id = airflow_mps.backend.script([DONE])

    async def seconds(**arguments: Any) -> float:
        started = time.monotonic()
        await anext(_trigger(task_id, **arguments).run())
        return time.monotonic() - started

    async def all_of_them() -> list[float]:
        ways: list[dict[str, Any]] = [{}, {"deadline": 1.0}, {"mps_conn_id": "empty_key"}]
        return list(await asyncio.gather(*(seconds(**arguments) for arguments in ways)))

    assert min(asyncio.run(all_of_them())) >= 5


@pytest.mark.fault("F22")
def test_the_deadline_ends_a_long_interval(airflow_mps: LocalMps) -> None:
    """A wait ends at its deadline, not at the next look after it."""
    task_id = airflow_mps.backend.script([RUNNING])
    started = time.monotonic()
    event = first_event(_trigger(task_id, poll_interval=1000, deadline=time.time() + 0.3))
    assert event["status"] == "timeout"
    assert time.monotonic() - started < 10


@pytest.mark.fault("F46")
@pytest.mark.parametrize("kind", ["reset", "status", "html", "cut", "broken", "throttle"])
def test_trouble_is_waited_through(airflow_mps: LocalMps, kind: Any) -> None:
    """Trouble on the way is no event: the trigger asks on until it has an answer."""
    airflow_mps.backend.faults.add(Fault(kind, times=5))
    event = first_event(_trigger(airflow_mps.backend.script([DONE])))
    assert event["status"] == "look"
    assert len(airflow_mps.backend.calls) == 6


def test_the_log_holds_changes_not_looks(airflow_mps: LocalMps, capsys: pytest.CaptureFixture[str]) -> None:
    """One INFO line for a state, however often it is seen, with TaskId and RequestId."""
    task_id = airflow_mps.backend.script([RUNNING] * 8 + [DONE])
    first_event(_trigger(task_id))
    lines = [line for line in capsys.readouterr().out.splitlines() if task_id in line]
    assert len(lines) == 2
    assert "PROCESSING (0/1 parts done)" in lines[0]
    assert "FINISH (1/1 parts done)" in lines[1]
    assert all("info" in line and "RequestId" in line for line in lines)


@pytest.mark.fault("F14", "F68")
@pytest.mark.parametrize("where", ["first pause", "look", "slow answer", "pause"])
def test_cancelling_ends_it_at_once(airflow_mps: LocalMps, where: str) -> None:
    """Wherever it waits, a cancelled trigger ends within 100 ms and closes its session; the best of three counts."""
    faults = {"look": Fault("hang", times=None, seconds=30), "slow answer": Fault("slow", times=None)}
    if where in faults:
        airflow_mps.backend.faults.add(faults[where])
    task_id = airflow_mps.backend.script([RUNNING])

    async def cancel() -> float:
        trigger = _trigger(task_id, poll_interval=0.02 if where in faults else 30)
        trigger.earliest_event = 30 if where == "first pause" else 0.0  # type: ignore[misc]

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
        assert told["statuses"] == ["look"]
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

    assert asyncio.run(both()) == ["look", "look"]
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

    assert asyncio.run(run()) == "look"


@pytest.mark.fault("F57")
@pytest.mark.parametrize("seconds", [900, -900])
def test_a_wrong_clock_does_not_wake_the_worker(airflow_mps: LocalMps, seconds: float) -> None:
    """A triggerer whose clock is off corrects it and waits on, instead of sending the task to and fro."""
    airflow_mps.backend.clock_offset = seconds
    event = first_event(_trigger(airflow_mps.backend.script([RUNNING, RUNNING, DONE])))
    assert event["message"].startswith("FINISH")


@pytest.mark.fault("F54")
def test_f54_nothing_is_asked_in_a_rush(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interval is asked for, one task is not looked at more than once a second."""
    monkeypatch.setattr(MpsTaskTrigger, "shortest_interval", 1.0)
    first_event(_trigger(airflow_mps.backend.script([RUNNING]), poll_interval=0.01, deadline=time.time() + 2.5))
    assert 1 <= len(airflow_mps.backend.calls) <= 3


def test_the_deadline_also_ends_the_wait_for_a_connection(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow that does not answer does not move the deadline."""

    async def never(*_: object) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr("airflow_provider_mps.triggers.connection.load_config", never)
    started = time.monotonic()
    event = first_event(_trigger(_UNKNOWN, deadline=time.time() + 0.3))
    assert event["status"] == "timeout"
    assert time.monotonic() - started < 5


def test_first_looks_are_spread(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers that start together look at different times, none in the first seconds."""
    monkeypatch.setattr(MpsTaskTrigger, "earliest_event", 0.2)
    dues: list[float] = []

    async def look(self: Poller, action: Any, *, due: float, since: float, first: bool, word_is_enough: bool) -> Any:
        assert first
        assert word_is_enough
        dues.append(due - asyncio.get_running_loop().time())
        raise asyncio.CancelledError

    monkeypatch.setattr(Poller, "look", look)

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
    ("patience", "status"),
    [
        ({"a_field_of_a_newer_release": 1}, "look"),
        ({"settle_grace": "120"}, "error"),
        ({"outage_tolerance": -1}, "error"),
        ({"started": "yesterday"}, "look"),
    ],
)
def test_a_strange_memory_is_no_crash(airflow_mps: LocalMps, patience: dict[str, Any], status: str) -> None:
    """What another release stored, or an author wrote: the worker is told, and looks."""
    task_id = airflow_mps.backend.script([DONE])
    event = first_event(_trigger(task_id, patience=patience))
    assert event["status"] == status
    assert event["patience"]["mps_task_id"] == task_id


def test_a_triggerer_that_breaks_down_does_not_lose_the_wait(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looks and goes on; when it happens again and again it says so, and Airflow may retry."""
    task_id = airflow_mps.backend.script([RUNNING] * 3 + [DONE])
    genuine, left = Poller.look, [2]

    async def look(self: Poller, *args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise ZeroDivisionError("a fault of ours")
        return await genuine(self, *args, **kwargs)

    monkeypatch.setattr(Poller, "look", look)
    assert run_sensor(Mode.DEFERRABLE, mps_task_id=task_id) == task_id
    left[0] = 10**9
    running = airflow_mps.backend.script([RUNNING])
    with pytest.raises(MpsStateUnknown, match="gave it up 3 times") as caught:
        run_sensor(Mode.DEFERRABLE, mps_task_id=running)
    assert not caught.value.permanent


def test_a_metric_that_fails_fails_nothing(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait depends on a metrics server."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no metrics today")

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(stats, name, fail)
    assert first_event(_trigger(airflow_mps.backend.script([RUNNING, DONE])))["status"] == "look"


def test_a_question_without_an_answer_is_said(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is aborted in doubt, and the log says that there was doubt."""

    async def never(task_instance: object) -> bool:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return False

    monkeypatch.setattr(killing, "_ended_by_user", never)
    monkeypatch.setattr(killing, "_BUDGET", 0.1)
    asyncio.run(_trigger(_UNKNOWN, cancel_on_kill=True).on_kill())
    assert "was not aborted: Airflow does not say who ended the task" in capsys.readouterr().out
    assert not airflow_mps.backend.calls
