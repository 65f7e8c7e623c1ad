"""Keys that end, change or cannot be had while a task is waited for: the wait goes on, in every mode."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_mps.client.credentials import cache
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.models import ROLE_ARN, Account
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsStateUnknown
from tests.support.harness import ALL_MODES, DONE, RUNNING, Mode, run_sensor


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FETCH_BACKOFF", 0.1)


def _connection(mps: LocalMps, password: str | None = None, **extra: Any) -> str:
    fields = {"conn_type": "tencentcloud_mps", "login": mps.secret_id, "password": password or mps.secret_key}
    return json.dumps({**fields, "host": mps.host, "extra": {"timeout": 2, **extra}})


def _codes(mps: LocalMps, action: str) -> list[str]:
    return [call.code for call in mps.backend.calls if call.action == action]


def _after(seconds: float, change: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, change)
    timer.start()
    return timer


@pytest.mark.fault("F58")
@ALL_MODES
def test_a_wait_outlives_many_lives_of_its_keys(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Keys of four seconds, renewed after two, in a wait of five: hardly a look comes too late, and none is lost."""
    airflow_mps.backend.settings.key_seconds = 4.0
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", _connection(airflow_mps, role_arn=ROLE_ARN))
    task_id = airflow_mps.backend.script([RUNNING])
    timer = _after(5, lambda: airflow_mps.backend.tasks[task_id].answers.append(DONE))
    assert run_sensor(mode, mps_task_id=task_id, mps_conn_id="role", poke_interval=0.1) == task_id
    timer.join()
    late = [code for code in _codes(airflow_mps, "DescribeTaskDetail") if code]
    assert len(late) <= 1  # a machine that is held up for two seconds
    assert len(_codes(airflow_mps, "AssumeRole")) >= 3


@pytest.mark.fault("F58")
@ALL_MODES
def test_a_key_that_is_rotated_in_mid_wait(airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    """The connection is read again when its key is refused: one refusal, and the wait goes on."""
    monkeypatch.setenv("AIRFLOW_CONN_ROTATED", _connection(airflow_mps))
    task_id = airflow_mps.backend.script([RUNNING])

    def rotate() -> None:
        monkeypatch.setenv("AIRFLOW_CONN_ROTATED", _connection(airflow_mps, password="the-new-key"))
        airflow_mps.backend.accounts[airflow_mps.secret_id] = Account("the-new-key")
        airflow_mps.backend.tasks[task_id].answers += [RUNNING, DONE]

    timer = _after(0.5, rotate)
    assert run_sensor(mode, mps_task_id=task_id, mps_conn_id="rotated", poke_interval=0.05) == task_id
    timer.join()
    assert _codes(airflow_mps, "DescribeTaskDetail").count("AuthFailure.SignatureFailure") <= 2


@pytest.mark.fault("F58")
@ALL_MODES
def test_a_key_that_stays_refused_ends_the_wait(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Revoked and not replaced: a failure, after as many requests as it has processes that find out."""
    monkeypatch.setenv("AIRFLOW_CONN_REVOKED", _connection(airflow_mps))
    task_id = airflow_mps.backend.script([RUNNING])
    timer = _after(0.5, lambda: airflow_mps.backend.accounts.clear())
    with pytest.raises(MpsApiError, match=r"AuthFailure\.SecretIdNotFound"):
        run_sensor(mode, mps_task_id=task_id, mps_conn_id="revoked", poke_interval=0.05)
    timer.join()
    assert _codes(airflow_mps, "DescribeTaskDetail").count("AuthFailure.SecretIdNotFound") <= 2


@pytest.mark.fault("F46")
@ALL_MODES
def test_a_wait_sits_out_a_source_that_is_away(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """STS fails for a second, from the first look on: that is an outage as any other."""
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", _connection(airflow_mps, role_arn=ROLE_ARN))
    airflow_mps.backend.faults.add(Fault("error", "AssumeRole", code="InternalError.SystemError", times=None))
    task_id = airflow_mps.backend.script([RUNNING, DONE])
    timer = _after(1, airflow_mps.backend.faults.clear)
    assert run_sensor(mode, mps_task_id=task_id, mps_conn_id="role", poke_interval=0.05) == task_id
    timer.join()
    assert _codes(airflow_mps, "AssumeRole")[-1] == ""


@pytest.mark.fault("F47")
@ALL_MODES
def test_a_source_that_stays_away_is_no_verdict(
    airflow_mps: LocalMps, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """After the tolerance the state is unknown, and the text says what was missing."""
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", _connection(airflow_mps, role_arn=ROLE_ARN))
    airflow_mps.backend.faults.add(Fault("error", "AssumeRole", code="InternalError.SystemError", times=None))
    task_id = airflow_mps.backend.script([DONE])
    with pytest.raises(MpsStateUnknown, match=r"No keys from the role .*InternalError\.SystemError"):
        run_sensor(mode, mps_task_id=task_id, mps_conn_id="role", poke_interval=0.05, outage_tolerance=0.3)
