"""Which errors Airflow retries: never what a retry cannot mend; and when, by our policy."""

from __future__ import annotations

import copy
import logging
import pickle
import random
from datetime import timedelta
from typing import Any

import pytest
from airflow import sdk
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_mps.common.fail_fast import fail_fast_on_permanent
from airflow_provider_mps.emulator.faults import Fault
from airflow_provider_mps.emulator.server import LocalMps
from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsDownloadError,
    MpsError,
    MpsQualityError,
    MpsResultTooLarge,
    MpsStateUnknown,
    MpsTaskFailed,
    MpsTaskNotFinished,
    MpsTaskNotFound,
    MpsTaskTimeout,
    MpsTaskUnsettled,
    MpsTransportError,
)
from airflow_provider_mps.operators.mps import (
    MpsAbortTaskOperator,
    MpsActionOperator,
    MpsMediaMetadataOperator,
    MpsProcessMediaOperator,
    MpsTaskResultOperator,
)
from airflow_provider_mps.retry_policy import MpsRetryPolicy
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.harness import FAILED, airflow_mps, new_context, retry, run_operator
from tests.support.submitting import jobs, new_operator
from tests.test_errors import ONE_OF_EACH

__all__ = ["airflow_mps"]

TASK_ID = "1250000000-WorkflowTask-1"


def _api(code: str) -> MpsApiError:
    return MpsApiError(action="ProcessMedia", code=code, message="m", request_id="r")


# What Airflow shall do of itself: fail at once, retry later; the rest is left to the task.
FAIL, LATER, AS_SET = "fail", "later", "as set"
VERDICTS: list[tuple[MpsError, str]] = [
    (_api("RequestLimitExceeded.UinLimitExceeded"), LATER),
    (_api("LimitExceeded.CreateTask"), LATER),
    (_api("ResourceInsufficient"), LATER),
    (_api("InternalError"), LATER),
    (_api("ServiceUnavailable"), LATER),
    (_api("AuthFailure.SecretIdNotFound"), FAIL),
    (_api("AuthFailure.SignatureExpire"), FAIL),
    (_api("AuthFailure.TokenFailure"), FAIL),
    (_api("UnauthorizedOperation"), FAIL),
    (_api("InvalidParameter"), FAIL),
    (_api("InvalidParameterValue.InputInfo"), FAIL),
    (_api("MissingParameter"), FAIL),
    (_api("UnsupportedRegion"), FAIL),
    (_api("FailedOperation.UserArrears"), FAIL),
    (_api("FailedOperation.InvalidMpsUser"), FAIL),
    (_api("FailedOperation.SomethingNew"), AS_SET),
    (_api("unknown"), LATER),
    (MpsTransportError("reset", action="X", category=Category.NO_ANSWER), LATER),
    (MpsTransportError("no certificate", action="X", category=Category.PERMANENT), FAIL),
    (MpsCredentialsError("away", source="s", category=Category.NO_ANSWER), LATER),
    (MpsCredentialsError("none", source="s"), FAIL),
    (MpsCredentialsError("none here", source="s", category=Category.FAILED), AS_SET),
    (MpsConfigError("wrong"), FAIL),
    (MpsResultTooLarge("large"), FAIL),
    (MpsQualityError(mps_task_id=TASK_ID, violations=()), FAIL),
    (MpsDownloadError("HTTP 403", address="https://b-1.invalid/a.vtt"), FAIL),
    (MpsDownloadError("HTTP 503", address="https://b-1.invalid/a.vtt", category=Category.NO_ANSWER), LATER),
    (MpsTaskTimeout("has not ended", mps_task_id=TASK_ID), FAIL),
    (MpsStateUnknown("is silent", mps_task_id=TASK_ID), LATER),
    (MpsTaskNotFinished("still runs", mps_task_id=TASK_ID), LATER),
    (MpsTaskFailed(mps_task_id=TASK_ID, failures=(), succeeded=0, request_id="r"), AS_SET),
    (MpsTaskNotFound("is unknown", mps_task_id=TASK_ID), AS_SET),
    (MpsTaskUnsettled("is unclear", mps_task_id=TASK_ID, findings=()), AS_SET),
]
each_verdict = pytest.mark.parametrize(
    ("error", "verdict"),
    VERDICTS,
    ids=[f"{type(error).__name__} {getattr(error, 'code', '')}" for error, _ in VERDICTS],
)


def _as_airflow_sees(error: MpsError) -> BaseException:
    with pytest.raises(MpsError) as caught, fail_fast_on_permanent():
        raise copy.copy(error)
    return caught.value


@each_verdict
def test_permanent_errors_are_not_retried(error: MpsError, verdict: str) -> None:
    """It fails a task at once for an AirflowFailException, and these are one besides."""
    seen = _as_airflow_sees(error)
    assert isinstance(seen, AirflowFailException) is (verdict == FAIL)


@each_verdict
def test_the_policy_decides_the_same(error: MpsError, verdict: str) -> None:
    """And for what may pass it says when; a reason comes along for people."""
    decision = MpsRetryPolicy().evaluate(copy.copy(error), 1, 3)
    action = {FAIL: sdk.RetryAction.FAIL, LATER: sdk.RetryAction.RETRY, AS_SET: sdk.RetryAction.DEFAULT}[verdict]
    assert decision.action is action
    assert (decision.retry_delay is not None) is (verdict == LATER)
    assert (decision.reason is None) is (verdict == AS_SET)
    assert decision.reason is None or str(error)[:100] in decision.reason


@pytest.mark.parametrize("error", [ValueError("x"), AssertionError(), KeyError("k"), TimeoutError()])
def test_the_policy_leaves_other_errors_alone(error: BaseException) -> None:
    """It judges what it knows."""
    assert MpsRetryPolicy().evaluate(error, 1, 3).action is sdk.RetryAction.DEFAULT


def test_pauses_double_spread_and_stay_bounded() -> None:
    """Tasks that failed together do not come back together; a full account is left alone for longer."""
    random.seed(3)
    policy = MpsRetryPolicy(delay=timedelta(seconds=60), longest=timedelta(minutes=30))

    def pauses(code: str, try_number: int) -> list[float]:
        decisions = [policy.evaluate(_api(code), try_number, 9) for _ in range(200)]
        return [decision.retry_delay.total_seconds() for decision in decisions if decision.retry_delay]

    first, third, full = pauses("InternalError", 1), pauses("InternalError", 3), pauses("ResourceInsufficient", 1)
    assert 30 <= min(first) < max(first) <= 90
    assert 120 <= min(third) < max(third) <= 360
    assert 150 <= min(full) < max(full) <= 450
    assert set(pauses("InternalError", 500)) == {1800.0}


def test_the_policy_survives_its_journey() -> None:
    """A DAG is stored as JSON."""
    policy = MpsRetryPolicy(delay=timedelta(seconds=7), longest=timedelta(hours=1))
    again = MpsRetryPolicy.deserialize(policy.serialize())
    assert (again.delay, again.longest) == (policy.delay, policy.longest)


def test_operators_and_sensor_take_the_policy() -> None:
    """In a DAG that is stored and read again, as Airflow does with each."""
    from airflow.serialization.serialized_objects import DagSerialization

    with sdk.DAG("with_policy", schedule=None) as dag:
        MpsProcessMediaOperator(task_id="a", request={}, retries=2, retry_policy=MpsRetryPolicy())
        MpsTaskSensor(task_id="b", mps_task_id="x", retries=2, retry_policy=MpsRetryPolicy())
    stored = DagSerialization.to_dict(dag)
    assert sorted(DagSerialization.from_dict(stored).task_ids) == ["a", "b"]
    assert all(isinstance(task.retry_policy, MpsRetryPolicy) for task in dag.tasks)


@pytest.mark.parametrize(("delay", "longest"), [(0, 60), (-1, 60), (61, 60)])
def test_pauses_that_make_no_sense(delay: int, longest: int) -> None:
    """Found when the DAG is parsed."""
    with pytest.raises(MpsConfigError, match="delay must be above 0"):
        MpsRetryPolicy(delay=timedelta(seconds=delay), longest=timedelta(seconds=longest))


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_an_error_stays_what_it_is(error: MpsError) -> None:
    """Class name, text and attributes are the same for handlers, also after pickling; nothing is told twice."""
    raised = copy.copy(error)
    with pytest.raises(type(error)) as caught, fail_fast_on_permanent(type(error)):
        raise raised
    final = caught.value
    assert isinstance(final, AirflowFailException)
    assert (type(final).__name__, str(final), vars(final)) == (type(error).__name__, str(error), vars(error))
    assert (final.__cause__, final.__suppress_context__) == (None, True)
    arrived = pickle.loads(pickle.dumps(final))
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


NEVER_SENT: dict[str, Any] = {
    "submit": lambda conn: MpsProcessMediaOperator(
        task_id="t",
        mps_conn_id=conn,
        request={"InputInfo": {"Type": "URL", "UrlInputInfo": {"Url": "https://x/a.mp4"}}},
    ),
    "sensor": lambda conn: MpsTaskSensor(task_id="t", mps_conn_id=conn, mps_task_id=TASK_ID),
    "deferred sensor": lambda conn: MpsTaskSensor(task_id="t", mps_conn_id=conn, mps_task_id=TASK_ID, deferrable=True),
    "result": lambda conn: MpsTaskResultOperator(task_id="t", mps_conn_id=conn, mps_task_id=TASK_ID),
    "abort": lambda conn: MpsAbortTaskOperator(task_id="t", mps_conn_id=conn, mps_task_id=TASK_ID),
    "action": lambda conn: MpsActionOperator(task_id="t", mps_conn_id=conn, action="DescribeTasks"),
    "metadata": lambda conn: MpsMediaMetadataOperator(
        task_id="t", mps_conn_id=conn, input_info={"Type": "URL", "UrlInputInfo": {"Url": "https://x/a.mp4"}}
    ),
}


@pytest.mark.parametrize("name", NEVER_SENT)
@pytest.mark.parametrize(
    ("connection", "kind"), [("wrong_key", MpsApiError), ("empty_key", MpsConfigError), ("bad_region", MpsConfigError)]
)
def test_no_operator_burns_retries_on_a_wrong_connection(
    airflow_mps: LocalMps, name: str, connection: str, kind: type[MpsError]
) -> None:
    """Each fails at its first try, with our own error."""
    with pytest.raises(kind) as caught:
        run_operator(lambda: NEVER_SENT[name](connection), new_context())
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("code", ["FailedOperation.UserArrears", "InvalidParameter", "UnauthorizedOperation"])
def test_a_refused_job_is_not_retried(airflow_mps: LocalMps, code: str) -> None:
    """Nothing runs and nothing would change."""
    airflow_mps.backend.faults.add(Fault("error", action="ProcessMedia", code=code, times=None))
    with pytest.raises(MpsApiError) as caught:
        run_operator(new_operator(MpsProcessMediaOperator), new_context())
    assert isinstance(caught.value, AirflowFailException)
    assert jobs(airflow_mps) == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_that_runs_is_not_given_up_for_a_wrong_key(airflow_mps: LocalMps, deferrable: bool) -> None:
    """A retry takes it up at no cost, while a Clear would pay for another: here the retries of the task hold."""
    fault = Fault("error", action="DescribeTaskDetail", code="AuthFailure.SecretIdNotFound", times=None)
    airflow_mps.backend.faults.add(fault)
    context = new_context()
    for _ in range(2):
        with pytest.raises(MpsApiError) as caught:
            run_operator(new_operator(MpsProcessMediaOperator, deferrable=deferrable), context)
        assert not isinstance(caught.value, AirflowFailException)
        retry(context)
    airflow_mps.backend.faults.clear()
    assert [run_operator(new_operator(MpsProcessMediaOperator, deferrable=deferrable), context)] == jobs(airflow_mps)


def test_a_failed_task_stays_failed_for_who_only_reads_it(airflow_mps: LocalMps) -> None:
    """Sensor and result operator would find the same; the operator that submits may try another job."""
    task_id = airflow_mps.backend.script([FAILED])
    for new in (
        lambda: MpsTaskSensor(task_id="t", mps_task_id=task_id),
        lambda: MpsTaskSensor(task_id="t", mps_task_id=task_id, deferrable=True),
        lambda: MpsTaskResultOperator(task_id="t", mps_task_id=task_id),
    ):
        with pytest.raises(MpsTaskFailed) as caught:
            run_operator(new, new_context())
        assert isinstance(caught.value, AirflowFailException)
    with pytest.raises(MpsTaskFailed) as caught:
        run_operator(new_operator(MpsProcessMediaOperator, "talk.all-fail.mp4"), new_context())
    assert not isinstance(caught.value, AirflowFailException)


def test_a_key_that_is_no_good_shows_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback is one, not a chain of two that say the same."""
    try:
        with fail_fast_on_permanent():
            raise MpsConfigError("the very text")
    except MpsError:
        logging.getLogger("test").exception("Task failed")
    assert caplog.text.count("Traceback") == 1
