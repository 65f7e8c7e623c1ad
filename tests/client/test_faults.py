"""Every fault of the local MPS over both transports: one kind of error, and a job is never paid for twice."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_mps.client.actions import BatchProcessMedia, DescribeTasks, ManageTask, ProcessMedia
from airflow_provider_mps.client.config import ClientConfig
from airflow_provider_mps.client.credentials.base import Credentials
from airflow_provider_mps.client.retry import may_pass
from airflow_provider_mps.emulator.faults import KINDS, Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.errors import MpsApiError, MpsTransportError
from tests.conftest import Connect
from tests.support.transports import Caller

URL_INPUT = {"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}}
LIST = DescribeTasks(status="FINISH")
SUBMIT = ProcessMedia(input_info=URL_INPUT, session_id="once")
SUBMIT_BATCH = BatchProcessMedia(input_info=[URL_INPUT])


@dataclass(frozen=True)
class Effect:
    """A fault, and what the caller must see; ``error`` None means that nothing is wrong."""

    fault: dict[str, Any]
    error: type[Exception] | None
    text: str = ""
    may_have_run: bool = True
    timeout: float = 10.0

    def script(self, mps: LocalMps, when: str = "before", times: int | None = 1) -> None:
        mps.backend.faults.add(Fault(**(self.fault | {"when": when, "times": times})))


EFFECTS = {
    "reset": Effect({"kind": "reset"}, MpsTransportError, "no answer: "),
    "hang": Effect({"kind": "hang", "seconds": 5}, MpsTransportError, "timed out", timeout=0.3),
    "502": Effect({"kind": "status", "status": 502}, MpsTransportError, "HTTP 502"),
    "403": Effect({"kind": "status", "status": 403}, MpsTransportError, "HTTP 403"),
    "html": Effect({"kind": "html"}, MpsTransportError, "it is not complete JSON (text/html"),
    "cut": Effect({"kind": "cut"}, MpsTransportError, "it is not complete JSON"),
    "broken": Effect({"kind": "broken"}, MpsTransportError, ""),
    "slow": Effect({"kind": "slow", "bytes_per_second": 10}, MpsTransportError, "timed out", timeout=0.5),
    "charset": Effect({"kind": "charset"}, None),
    "throttle": Effect({"kind": "throttle"}, MpsApiError, "RequestLimitExceeded", may_have_run=False),
    "error": Effect({"kind": "error", "code": "InternalError"}, MpsApiError, "InternalError"),
    "permanent": Effect(
        {"kind": "error", "code": "InvalidParameter"},
        MpsApiError,
        "InvalidParameter",
        may_have_run=False,
    ),
}
AMBIGUOUS = [name for name, effect in EFFECTS.items() if effect.error and effect.may_have_run]
PASSING = [name for name, effect in EFFECTS.items() if effect.error and name != "permanent"]


def _count(mps: LocalMps, action: str) -> int:
    return sum(call.action == action for call in mps.backend.calls)


def test_the_table_has_every_fault() -> None:
    """A fault that the emulator learns needs a line in the table above."""
    assert {effect.fault["kind"] for effect in EFFECTS.values()} == set(KINDS)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_fault_gives_the_same_error_over_both_transports(
    mps: LocalMps, connect: Connect, config: ClientConfig, name: str
) -> None:
    """Class, text, and what follows from it depend on what happened, not on the library that met it."""
    effect = EFFECTS[name]
    effect.script(mps)
    caller = connect(dataclasses.replace(config, timeout=effect.timeout))
    if effect.error is None:
        assert caller.call(LIST).total_count == 0
        return
    with pytest.raises(effect.error) as caught:
        caller.call(LIST)
    error = caught.value
    assert isinstance(error, (MpsTransportError, MpsApiError))
    assert (error.action, error.may_have_run) == ("DescribeTasks", effect.may_have_run)
    assert may_pass(error) is (name in PASSING)
    assert effect.text in str(error)
    assert _count(mps, "DescribeTasks") == 1


@pytest.mark.fault("F46", "F91", "F92")
@pytest.mark.parametrize("name", PASSING)
def test_a_question_is_asked_again(mps: LocalMps, connect: Connect, config: ClientConfig, name: str) -> None:
    """A read survives any single fault that may pass."""
    effect = EFFECTS[name]
    effect.script(mps)
    assert connect(dataclasses.replace(config, timeout=effect.timeout), attempts=2).call(LIST).total_count == 0
    assert _count(mps, "DescribeTasks") == 2


@pytest.mark.fault("F11")
@pytest.mark.parametrize("submit", [SUBMIT, SUBMIT_BATCH], ids=lambda action: action.name)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a_job_is_never_sent_again_when_it_may_run(
    mps: LocalMps, connect: Connect, config: ClientConfig, name: str, when: str, submit: Any
) -> None:
    """Whether MPS took the job or not, one lost answer costs one request and at most one job."""
    effect = EFFECTS[name]
    effect.script(mps, when)
    with pytest.raises((MpsTransportError, MpsApiError)) as caught:
        connect(dataclasses.replace(config, timeout=effect.timeout), attempts=4).call(submit)
    assert caught.value.may_have_run
    assert _count(mps, submit.name) == 1
    assert len(mps.backend.tasks) == (1 if when == "after" or name == "slow" else 0)


@pytest.mark.fault("F02")
@pytest.mark.parametrize("submit", [SUBMIT, SUBMIT_BATCH], ids=lambda action: action.name)
def test_a_throttled_job_is_sent_again_and_runs_once(mps: LocalMps, client: Caller, submit: Any) -> None:
    """Throttling rejects a request before it runs: one more request, one job, its TaskId returned."""
    mps.backend.faults.add(Fault("throttle"))
    accepted = client.call(submit)
    assert list(mps.backend.tasks) == [accepted.mps_task_id]
    assert _count(mps, submit.name) == 2


@pytest.mark.fault("F48")
def test_a_permanent_error_is_not_repeated(mps: LocalMps, client: Caller) -> None:
    """What is known to be permanent is asked once."""
    with pytest.raises(MpsApiError, match=r"InvalidParameterValue\.TaskId"):
        client.call(ManageTask(task_id="1250000000-WorkflowTask-unknown"))
    assert _count(mps, "ManageTask") == 1


def test_attempts_are_bounded(mps: LocalMps, connect: Connect, config: ClientConfig) -> None:
    """A fault that stays ends in its own error after the given number of requests."""
    EFFECTS["502"].script(mps, times=None)
    with pytest.raises(MpsTransportError, match="HTTP 502"):
        connect(config, attempts=3).call(LIST)
    assert _count(mps, "DescribeTasks") == 3


@pytest.mark.fault("F57", "F89")
@pytest.mark.parametrize("submit", [SUBMIT, SUBMIT_BATCH], ids=lambda action: action.name)
def test_f89_a_submission_is_not_signed_again_in_silence(mps: LocalMps, client: Caller, submit: Any) -> None:
    """F89: its record holds when it was sent: the error reaches the caller, whose second request is right."""
    mps.backend.clock_offset = 600
    with pytest.raises(MpsApiError, match=r"the clock of this machine is 10\.0 minutes behind") as caught:
        client.call(submit)
    assert not caught.value.may_have_run
    assert _count(mps, submit.name) == 1
    client.call(submit)
    assert len(mps.backend.tasks) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refused_connection_did_not_run(connect: Connect, refusing: str, scheme: str) -> None:
    """MPS cannot have seen the request, so even a job may be sent again."""
    config = ClientConfig(Credentials("AKID", "key"), endpoint=f"{scheme}://{refusing}", timeout=5)
    with pytest.raises(MpsTransportError, match=r"^ProcessMedia: no answer: ") as caught:
        connect(config).call(SUBMIT)
    assert (caught.value.may_have_run, may_pass(caught.value)) == (False, True)


def test_a_host_that_does_not_resolve_did_not_run(connect: Connect) -> None:
    """Nor can it have been seen by a host that has no address."""
    config = ClientConfig(Credentials("AKID", "key"), endpoint="https://mps.invalid", timeout=5)
    with pytest.raises(MpsTransportError, match=r"^ProcessMedia: no answer: ") as caught:
        connect(config).call(SUBMIT)
    assert (caught.value.may_have_run, may_pass(caught.value)) == (False, True)


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_the_timeout_holds_for_the_whole_answer(
    mps: LocalMps, connect: Connect, config: ClientConfig, kind: Any
) -> None:
    """An answer that trickles in keeps every single read alive; the request ends all the same."""
    mps.backend.faults.add(Fault(kind, seconds=60, bytes_per_second=5))
    began = time.monotonic()
    with pytest.raises(MpsTransportError, match="timed out"):
        connect(dataclasses.replace(config, timeout=0.6)).call(LIST)
    assert time.monotonic() - began < 5
