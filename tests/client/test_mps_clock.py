"""MPS's time: told by its answers, followed by a clock that nobody sets."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate

import pytest

from airflow_provider_mps.client.actions import DescribeTasks, ManageTask
from airflow_provider_mps.client.aio import AsyncMpsClient
from airflow_provider_mps.client.clock import MpsClock, clock_for
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTransportError
from tests.conftest import Connect
from tests.support.recorder import Recorder, answer
from tests.support.transports import Caller

LIST = DescribeTasks(status="FINISH")
_HOUR = 3600.0


def _date(ahead: float = 0.0) -> str:
    return formatdate(time.time() + ahead, usegmt=True)


def test_it_is_this_machines_until_mps_has_told_its_own() -> None:
    """Nothing is corrected on a guess."""
    clock = MpsClock()
    assert (clock.is_known, clock.machine_ahead(), clock.is_machine_off) == (False, 0.0, False)
    assert clock.now() == pytest.approx(time.time(), abs=1)


@pytest.mark.parametrize("ahead", [-_HOUR, -300.0, 0.0, 300.0, _HOUR])
def test_an_answer_sets_it(ahead: float) -> None:
    """To the second that the answer tells."""
    clock = MpsClock()
    clock.observe(_date(ahead))
    assert clock.now() == pytest.approx(time.time() + ahead, abs=2)
    assert clock.machine_ahead() == pytest.approx(-ahead, abs=2)
    assert clock.is_machine_off is (ahead != 0)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2026 10:00:00 GMT"])
def test_what_is_no_date_is_passed_over(date: str | None) -> None:
    """A gateway may write anything."""
    clock = MpsClock()
    clock.observe(date)
    assert not clock.is_known


def test_whole_seconds_do_not_move_it() -> None:
    """Answers that are cut to the second, or come a little late, leave it where it is."""
    clock = MpsClock()
    clock.observe(_date())
    offset = clock.offset
    clock.observe(_date(-1))
    assert clock.offset == offset
    clock.observe(_date(10))
    assert clock.offset == pytest.approx(offset + 10, abs=2)


@pytest.mark.fault("F93")
@pytest.mark.parametrize("step", [-_HOUR, -180.0, 180.0, _HOUR])
@pytest.mark.parametrize("known", [False, True])
def test_f93_a_clock_that_is_set_moves_nothing(monkeypatch: pytest.MonkeyPatch, step: float, known: bool) -> None:
    """F93: whoever sets the clock of this machine changes neither MPS's time nor a deadline in it."""
    clock, wall = MpsClock(), time.time
    if known:
        clock.observe(_date())
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    assert clock.now() == pytest.approx(before, abs=1)
    assert clock.machine_ahead() == pytest.approx(step if known else 0.0, abs=2)


@pytest.mark.fault("F93")
@pytest.mark.parametrize("step", [-_HOUR, _HOUR])
def test_f93_requests_are_signed_as_before_after_a_step(
    mps: LocalMps, client: Caller, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """F93: no request is rejected for its time, whatever becomes of this machine's clock."""
    client.call(LIST)
    real = mps.backend.now
    monkeypatch.setattr(mps.backend, "now", lambda: real() - step)  # the local MPS stays where it was
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    client.call(LIST)
    assert [call.code for call in mps.backend.calls] == ["", ""]


@pytest.mark.fault("F57", "F89")
@pytest.mark.parametrize("seconds", [-3600.0, -900.0, 900.0, 3600.0])
def test_f89_one_error_tells_all_clients_of_an_endpoint(
    mps: LocalMps, connect: Connect, config: ClientConfig, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """F89: the first request is signed once more; every later one, of any client of the process, is right at once."""
    mps.backend.clock_offset = seconds
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            connect(config).call(LIST)
    assert [call.code for call in mps.backend.calls] == ["AuthFailure.SignatureExpire", "", "", ""]
    [warning] = caplog.messages
    assert f"{abs(seconds) / 60:.1f} minutes {'behind' if seconds > 0 else 'ahead of'} Tencent Cloud's" in warning


def test_a_clock_that_is_tolerated_is_named_too(
    mps: LocalMps, client: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """MPS accepts four minutes; deadlines of other programs on this machine do not."""
    mps.backend.clock_offset = 240.0
    with caplog.at_level(logging.WARNING):
        client.call(LIST)
    assert [call.code for call in mps.backend.calls] == [""]
    assert "4.0 minutes behind Tencent Cloud's" in caplog.text
    assert client.client.clock.is_machine_off


@pytest.mark.fault("F57")
def test_many_errors_at_once_correct_it_once(mps: LocalMps, config: ClientConfig) -> None:
    """Each of them tells the same difference; it must not add up."""
    mps.backend.clock_offset = 600.0

    async def run() -> float:
        async with AsyncMpsClient(config) as client:
            await asyncio.gather(*(client.call(LIST) for _ in range(30)))
            return client.clock.machine_ahead()

    assert asyncio.run(run()) == pytest.approx(-600, abs=5)
    assert len(mps.backend.calls) <= 60


def test_an_error_of_mps_tells_its_time_too(mps: LocalMps, client: Caller) -> None:
    """Any answer of the service does, whatever it says."""
    mps.backend.clock_offset = 200.0
    with pytest.raises(MpsApiError):
        client.call(ManageTask(task_id="1250000000-WorkflowTask-unknown"))
    assert client.client.clock.machine_ahead() == pytest.approx(-200, abs=3)


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b'{"detail": "no"}'], ids=["HTML", "JSON"])
def test_a_gateway_tells_no_time(recorder: Recorder, connect: Connect, body: bytes) -> None:
    """What is no answer of the service may come from a machine with a clock of its own."""
    recorder.reply(answer(body, headers=(f"Date: {_date(_HOUR)}",)))
    config = ClientConfig(Credentials("AKID", "key"), endpoint=f"http://{recorder.netloc}", timeout=10)
    with pytest.raises(MpsTransportError):
        connect(config).call(LIST)
    assert not clock_for(config.endpoint).is_known


def test_an_expired_signature_without_a_wrong_clock_is_an_error(mps: LocalMps, client: Caller) -> None:
    """Where MPS's time agrees with what was signed, another signature changes nothing."""
    mps.backend.faults.add(Fault("error", code="AuthFailure.SignatureExpire", times=None))
    with pytest.raises(MpsApiError, match=r"AuthFailure\.SignatureExpire"):
        client.call(LIST)
    assert len(mps.backend.calls) == 1
