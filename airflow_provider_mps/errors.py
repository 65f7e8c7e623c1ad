"""Every error that this package raises.

::

    MpsError
    ├── MpsConfigError          bad input, found before anything was sent (also a ValueError)
    ├── MpsCredentialsError     a credential source gave no keys, so nothing was sent
    ├── MpsTransportError       no usable answer: DNS, connection refused, reset, timeout, HTTP status, HTML, cut JSON
    ├── MpsApiError             MPS answered with an error code
    ├── MpsTaskError            about one MPS task
    │   ├── MpsTaskFailed       it ended, and a part of it failed
    │   ├── MpsTaskNotFound     MPS does not know its id (any more)
    │   ├── MpsTaskNotFinished  its result was requested too early
    │   ├── MpsTaskUnsettled    it says FINISH, yet its result stays missing or unfinished
    │   ├── MpsTaskTimeout      it has not ended by its deadline
    │   └── MpsStateUnknown     MPS gave no usable answer for too long; the task may be fine
    ├── MpsSubmitUnknown        it is not known whether MPS runs the job; nothing was sent again
    ├── MpsSessionClash         a SessionId of the user's own belongs to another job
    ├── MpsDownloadError        a subtitle file that MPS wrote could not be fetched or read
    ├── MpsQualityError         files are not as expected
    ├── MpsNotificationError    a message is not a valid event notification of MPS (also a ValueError)
    └── MpsResultTooLarge       the parsed result is too large for XCom

None derives from ``AirflowException``: Airflow would then skip a sensor with ``soft_fail`` for a
wrong key in one mode and fail it in another. All of them survive pickling, and none holds a secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_mps.error_codes import Category, look_up

if TYPE_CHECKING:
    from airflow_provider_mps.results.quality import Violation
    from airflow_provider_mps.results.verdict import Finding


def clock_in_words(skew: float) -> str:
    """Describe the error of this machine's clock, which is ``skew`` seconds ahead of Tencent Cloud's."""
    direction = "ahead of" if skew > 0 else "behind"
    return f"the clock of this machine is {abs(skew) / 60:.1f} minutes {direction} Tencent Cloud's"


def _rebuild(cls: type[MpsError], args: tuple[Any, ...], state: dict[str, Any]) -> MpsError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class MpsError(Exception):
    """
    Base of all errors of this package.

    :ivar category: the kind of the error, by which :mod:`airflow_provider_mps.client.retry` decides.
    """

    category: Category = Category.FAILED

    @property
    def may_have_run(self) -> bool:
        """Whether the request may have taken effect although an error came back."""
        return self.category in {Category.SERVER, Category.NO_ANSWER, Category.UNKNOWN}

    @property
    def next_step(self) -> str | None:
        """The next step for the user, if it is known."""
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args) with the finished message, which does not work for keyword-only constructors.
        return _rebuild, (type(self), self.args, self.__dict__)


class MpsConfigError(MpsError, ValueError):
    """A connection, an argument or a parameter is wrong; nothing was sent."""

    category = Category.PERMANENT


class MpsCredentialsError(MpsError):
    """
    A credential source gave no keys, so nothing was sent to MPS.

    :param why: the reason, without a secret.
    :param source: a description of the source.
    :param category: PERMANENT, or the kind of the source's failure.
    """

    may_have_run = False

    def __init__(self, why: str, *, source: str, category: Category = Category.PERMANENT) -> None:
        super().__init__(f"No keys from {source}: {why}")
        self.why = why
        self.source = source
        self.category = category


class MpsTransportError(MpsError):
    """
    No usable answer arrived.

    :param category: UNREACHABLE only if the request provably did not reach MPS; PERMANENT if it did not and if a repeat
        cannot succeed (an invalid certificate, HTTP 407); else NO_ANSWER.
    """

    def __init__(self, text: str, *, action: str, category: Category) -> None:
        super().__init__(f"{action}: {text}")
        self.action = action
        self.category = category


class MpsApiError(MpsError):
    """
    MPS answered with an error. Decide by ``code``; the text may change.

    :param mps_task_id: the task of the request, if the action names one.
    :param clock_skew: seconds by which this machine is ahead of the server; None if that is not known.
    :param service: the service that answered: MPS, or STS for requests for keys.

    Source: https://www.tencentcloud.com/document/product/1041/33691
    """

    def __init__(
        self,
        *,
        action: str,
        code: str,
        message: str,
        request_id: str,
        mps_task_id: str | None = None,
        clock_skew: float | None = None,
        service: str = "MPS",
    ) -> None:
        self.action = action
        self.code = code
        self.message = message
        self.request_id = request_id
        self.mps_task_id = mps_task_id
        self.clock_skew = clock_skew
        row = look_up(code)
        self.category = row.category
        self._advice = row.next_step
        subject = f"{action} of MPS task {mps_task_id}" if mps_task_id else action
        parts = [f"{service} answered {subject} with {code}: {message} (RequestId {request_id})"]
        if next_step := self.next_step:
            parts.append(f"Next step: {next_step}.")
        super().__init__(" ".join(parts))

    @property
    def next_step(self) -> str | None:
        if self.category is Category.CLOCK and self.clock_skew is not None:
            return clock_in_words(self.clock_skew)
        return self._advice


class MpsTaskError(MpsError):
    """Something is wrong with one MPS task, named by ``mps_task_id``."""

    def __init__(self, text: str, *, mps_task_id: str) -> None:
        super().__init__(f"MPS task {mps_task_id} {text}")
        self.mps_task_id = mps_task_id


class MpsTaskFailed(MpsTaskError):
    """
    The task ended and at least one of its parts failed; ``failures`` holds every one of them.

    MPS itself says FINISH for such a task.
    """

    def __init__(
        self, *, mps_task_id: str, failures: Sequence[Finding], succeeded: int, request_id: str | None
    ) -> None:
        parts = len(failures) + succeeded
        super().__init__(
            f"failed: {len(failures)} of {parts} parts (RequestId {request_id})"
            + "".join(f"\n  {failure}" for failure in failures),
            mps_task_id=mps_task_id,
        )
        self.failures = tuple(failures)
        self.succeeded = succeeded
        self.request_id = request_id


class MpsTaskNotFound(MpsTaskError):
    """MPS does not know the id: it is wrong, of another account or region, or older than the query window of MPS."""


class MpsTaskNotFinished(MpsTaskError):
    """The result was requested while the task is WAITING or PROCESSING."""


class MpsTaskUnsettled(MpsTaskError):
    """MPS says FINISH, but a result stays missing or unfinished, so neither success nor failure is known."""

    def __init__(self, text: str, *, mps_task_id: str, findings: Sequence[Finding]) -> None:
        super().__init__(text + "".join(f"\n  {finding}" for finding in findings), mps_task_id=mps_task_id)
        self.findings = tuple(findings)


class MpsTaskTimeout(MpsTaskError):
    """The task has not ended by its deadline."""

    category = Category.FINAL


class MpsStateUnknown(MpsTaskError):
    """MPS gave no usable answer for longer than ``outage_tolerance``. The task may still run or have ended."""

    category = Category.NO_ANSWER


class MpsSubmitUnknown(MpsError):
    """It is not known whether MPS runs the job. It was not sent again: MPS would bill a second job as well."""

    category = Category.FINAL

    def __init__(self, *, action: str, why: str, sent_at: float, session_context: str | None) -> None:
        sent = datetime.fromtimestamp(sent_at, UTC)
        mark = (
            f"its SessionContext is {session_context} unless yours was given"
            if session_context
            else "it has no mark of its own: compare input and time with what DescribeImageTasks lists"
        )
        super().__init__(
            f"It is not known whether MPS accepted {action}: {why}. Look in the task list of the MPS console for a job "
            f"of about {sent:%Y-%m-%d %H:%M} UTC ({mark}). If it is there, wait for its TaskId with MpsTaskSensor; if "
            "not, clear this task. resubmit_if_unknown=True submits again in such a case, at the risk of paying twice."
        )
        self.action = action
        self.session_context = session_context


class MpsSessionClash(MpsError):
    """
    The SessionId in the request belongs to another job, or to one that may be another. This task does not adopt it.

    :param mps_task_id: the TaskId of that job; None if it was not found.
    """

    category = Category.FINAL

    def __init__(self, *, session_id: str, mps_task_id: str | None) -> None:
        owner = f"MPS task {mps_task_id}, which may be another task's job" if mps_task_id else "an earlier job"
        super().__init__(
            f"SessionId {session_id} already belongs to {owner}. MPS accepts a SessionId once in 3 days. Leave it out "
            "of the request: each run then gets its own."
        )
        self.session_id = session_id
        self.mps_task_id = mps_task_id


class MpsDownloadError(MpsError):
    """
    A file that MPS wrote could not be fetched or read. The task itself is done.

    :param address: the address of the file. Its query, which may hold a signature, and a user name are cut off.
    :param category: PERMANENT if the file or its address is wrong, else the kind of the temporary failure.
    """

    def __init__(self, text: str, *, address: str, category: Category = Category.PERMANENT) -> None:
        self.category = category
        self.address = re.sub(r"//[^/]*@", "//", re.split(r"[?#]", address)[0])
        super().__init__(f"The subtitle file {self.address} was not fetched: {text}.")


class MpsQualityError(MpsError):
    """Files are not as expected; ``violations`` holds every difference. ``mps_task_id`` is "" for a probed file."""

    category = Category.FINAL

    def __init__(self, *, mps_task_id: str, violations: Sequence[Violation]) -> None:
        subject = f"The result of MPS task {mps_task_id}" if mps_task_id else "The file"
        super().__init__(f"{subject} is not as expected:" + "".join(f"\n  {violation}" for violation in violations))
        self.mps_task_id = mps_task_id
        self.violations = tuple(violations)


class MpsResultTooLarge(MpsError):
    """A parsed result is larger than ``max_xcom_bytes``, and ``output_path`` is not set."""

    category = Category.FINAL


class MpsNotificationError(MpsError, ValueError):
    """A message is not an event notification of MPS, or it is not signed with the agreed key."""
