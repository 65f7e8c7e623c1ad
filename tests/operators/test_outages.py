"""MPS or the way to it is away for ten minutes of a wait. The wait goes on, and one job is paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.operators.mps import MpsProcessMediaOperator
from airflow_provider_mps.testing import airflow_connection
from tests.support.harness import ALL_MODES, DONE, RUNNING, FastClock, Mode, new_context, run_sensor
from tests.support.outages import Gate, NameServer
from tests.support.submitting import WAYS, asked, jobs, submit

_MINUTE = 60.0


class Outage(NamedTuple):
    """How it begins and ends."""

    fail: Callable[[], object]
    heal: Callable[[], object]


@pytest.fixture
def outage(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Outage]:
    """Of the kind that the test is called with; the connection ``mps_default`` is open to it."""
    fields = json.loads(airflow_connection(airflow_mps, timeout=1))
    faults, gate = airflow_mps.backend.faults, Gate(airflow_mps.port)
    outage = Outage(lambda: faults.add(Fault(request.param, times=None)), faults.clear)
    if request.param == "refused":
        fields["host"] = f"http://127.0.0.1:{gate.port}"
        outage = Outage(gate.fail, gate.heal)
    elif request.param == "name server":
        fields["host"] = f"http://localhost:{gate.port}"
        names = NameServer(monkeypatch)

        def fail() -> None:
            names.fail()
            gate.drop()  # who has a connection needs no name

        outage = Outage(fail, names.heal)
    monkeypatch.setenv("AIRFLOW_CONN_MPS_DEFAULT", json.dumps(fields))
    yield outage
    gate.close()


_OUTAGES = pytest.mark.parametrize(
    ("outage", "said"),
    [
        ("refused", "refused|Connect call failed"),
        ("name server", "name resolution"),
        ("status", "HTTP 502"),
        ("html", "text/html"),
        ("cut", "not complete JSON"),
    ],
    indirect=["outage"],
    ids=["refused", "name server", "502", "HTML with 200", "cut JSON"],
)


@pytest.mark.fault("F46")
@WAYS
@_OUTAGES
def test_f46_an_operator_waits_through_ten_minutes(
    airflow_mps: LocalMps,
    fast_clock: FastClock,
    outage: Outage,
    said: str,
    deferrable: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F46: once the job is accepted, no look for ten minutes, then its success; one job, and few lines about it."""
    fast_clock.plan((1, outage.fail), (1 + 10 * _MINUTE, outage.heal))
    arguments = {"timeout": 3600, "poll_interval": 30, "deferrable": deferrable}
    task_id = submit(MpsProcessMediaOperator, context=new_context(), **arguments)
    assert jobs(airflow_mps) == [task_id]
    assert 10 * _MINUTE < fast_clock.slept < 20 * _MINUTE
    log = capsys.readouterr().out
    assert re.search(said, log)
    assert 1 <= log.count("no usable answer") <= 2  # when it begins, and every ten minutes
    assert asked(airflow_mps, "ProcessMedia") == 1
    assert airflow_mps.backend.aborts == []


@pytest.mark.fault("F46")
@ALL_MODES
@_OUTAGES
def test_f46_a_sensor_waits_through_ten_minutes(
    airflow_mps: LocalMps,
    fast_clock: FastClock,
    outage: Outage,
    said: str,
    mode: Mode,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """F46: on a worker, on one after the other, in the triggerer: no look for ten minutes, then the success."""
    task_id = airflow_mps.backend.script([RUNNING, RUNNING, DONE])
    fast_clock.plan((1, outage.fail), (1 + 10 * _MINUTE, outage.heal))
    assert run_sensor(mode, mps_task_id=task_id, timeout=3600, poke_interval=30) == task_id
    assert 10 * _MINUTE < fast_clock.slept < 20 * _MINUTE
    assert re.search(said, capsys.readouterr().out)
