"""
Whether to ask again: one function, asked by every loop of the package.

What an error *means* stands in :mod:`airflow_provider_mps.error_codes`; :func:`decide` says what follows from it for a
:class:`Purpose`. Only what is known to be permanent ends a wait at once. Whatever is not known (an undocumented code,
the page of a gateway) is sat out for as long as the purpose allows.
"""

from __future__ import annotations

import math
import random
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_mps.error_codes import Category
from airflow_provider_mps.errors import (
    MpsApiError,
    MpsConfigError,
    MpsCredentialsError,
    MpsError,
    MpsTransportError,
)

if TYPE_CHECKING:
    from airflow_provider_mps.client.action import Action


class Purpose(Enum):
    """What a request is for: it decides how often and for how long it is repeated."""

    CALL = "one call of a worker"
    SUBMIT = "a submission that carries a SessionId, or none"
    POLL = "one of many polls of a wait"
    LIST = "a page of finished tasks, read to save polls"
    ABORT = "an abort after a user's action or a deadline"
    KEYS = "keys from STS or a metadata service"
    CONNECTION = "an Airflow connection, read in the triggerer"


class Next(Enum):
    """What follows from an error."""

    RETRY = "send the same request again"
    FIND = "MPS has accepted this SessionId before: look for its job"
    STOP = "give up"


class Decision(NamedTuple):
    """
    What to do after an error.

    :param delay: seconds to wait before a retry.
    """

    next: Next
    delay: float = 0.0

    @property
    def retries(self) -> bool:
        return self.next is Next.RETRY


class Limits(NamedTuple):
    """
    How often one purpose repeats a request.

    :param attempts: requests in all.
    :param seconds: no retry begins later than this after the first request.
    :param throttle_timeout: seconds for which a throttled request is repeated however often; it was not executed.
    :param first_delay: seconds before the first retry; doubled with each retry, and spread.
    :param max_delay: seconds; no delay is longer.
    """

    attempts: float = math.inf
    seconds: float = math.inf
    throttle_timeout: float = 0.0
    first_delay: float = 0.5
    max_delay: float = 8.0


LIMITS = {
    Purpose.CALL: Limits(attempts=4, throttle_timeout=60.0),
    Purpose.SUBMIT: Limits(attempts=8, first_delay=2.0, max_delay=30.0),
    Purpose.POLL: Limits(seconds=3600.0),
    Purpose.LIST: Limits(attempts=3),
    Purpose.ABORT: Limits(seconds=300.0, first_delay=1.0, max_delay=2.0),
    Purpose.KEYS: Limits(attempts=3, first_delay=0.5),
    Purpose.CONNECTION: Limits(attempts=4, first_delay=1.0, max_delay=3.0),
}

_PASSING = {
    Category.THROTTLED,
    Category.CAPACITY,
    Category.SERVER,
    Category.UNREACHABLE,
    Category.NO_ANSWER,
    Category.UNKNOWN,
}
_KNOWN_PERMANENT = {
    Category.PERMANENT,
    Category.KEYS,
    Category.CLOCK,
    Category.DUPLICATE,
    Category.NOT_FOUND,
    Category.FINAL,
}
# A submission that was signed with a wrong time is sent again with MPS's, up to this many requests in all.
_MAX_CLOCK_ATTEMPTS = 3


def decide(
    error: BaseException,
    purpose: Purpose,
    *,
    action: Action[Any] | None = None,
    attempt: int = 1,
    elapsed: float = 0.0,
    limits: Limits | None = None,
) -> Decision:
    """
    Decide what follows from an error.

    :param action: what was sent; a submission without a SessionId that may have been executed is never repeated.
    :param attempt: requests so far.
    :param elapsed: seconds since the first of them. For a POLL: since the first that failed.
    :param limits: overrides those of the purpose.
    """
    limits = limits or LIMITS[purpose]
    category = category_of(error)
    if purpose is Purpose.SUBMIT and category is Category.DUPLICATE:
        return Decision(Next.FIND)
    if purpose is Purpose.SUBMIT and category is Category.CLOCK and attempt < _MAX_CLOCK_ATTEMPTS:
        return Decision(Next.RETRY)  # the client signs any other request again by itself
    passes = category not in _KNOWN_PERMANENT if purpose in {Purpose.POLL, Purpose.LIST} else category in _PASSING
    if not passes or not isinstance(error, Exception) or not _may_repeat(error, purpose, action):
        return Decision(Next.STOP)
    if _is_exhausted(limits, category, attempt, elapsed):
        return Decision(Next.STOP)
    return Decision(Next.RETRY, _delay(limits, attempt))


def category_of(error: BaseException) -> Category:
    """What kind of error it is; UNKNOWN for one that is neither of this package nor of a network."""
    if isinstance(error, MpsError):
        return error.category
    return Category.UNREACHABLE if isinstance(error, (TimeoutError, OSError)) else Category.UNKNOWN


def is_final(error: MpsError, *, job_sent: bool = False) -> bool:
    """
    Whether no retry of the Airflow task can succeed before somebody changes something.

    :param job_sent: a job of the task may run. Then what keeps us from asking about it is left to the retries of the
        task: a retry takes the job up at no cost, whereas a Clear pays for another.
    """
    if error.category is Category.FINAL:
        return True
    about_a_request = isinstance(error, (MpsApiError, MpsConfigError, MpsCredentialsError, MpsTransportError))
    return error.category in _KNOWN_PERMANENT and not (job_sent and about_a_request)


def may_pass(error: MpsError) -> bool:
    """Whether the error is one that passes by itself: an outage, throttling, a lack of capacity."""
    return error.category in _PASSING


def is_throttled(error: BaseException) -> bool:
    """Whether the request exceeded the rate that MPS accepts."""
    return category_of(error) is Category.THROTTLED


def lacks_capacity(error: BaseException) -> bool:
    """Whether the account can take no more jobs at the moment."""
    return category_of(error) is Category.CAPACITY


def is_not_found(error: BaseException) -> bool:
    """Whether MPS answered that it does not know what was asked for."""
    return isinstance(error, MpsApiError) and error.category is Category.NOT_FOUND


def _may_repeat(error: BaseException, purpose: Purpose, action: Action[Any] | None) -> bool:
    """A request that may have been executed is repeated only where a second execution does no harm."""
    if action is None or not isinstance(error, MpsError) or not error.may_have_run:
        return True
    return action.idempotent or (purpose is Purpose.SUBMIT and bool(getattr(action, "session_id", None)))


def _is_exhausted(limits: Limits, category: Category, attempt: int, elapsed: float) -> bool:
    throttled = category is Category.THROTTLED and limits.attempts > 1 and elapsed < limits.throttle_timeout
    return elapsed >= limits.seconds or (attempt >= limits.attempts and not throttled)


def _delay(limits: Limits, attempt: int) -> float:
    longest = min(limits.first_delay * 2.0 ** min(attempt - 1, 30), limits.max_delay)
    return longest * random.uniform(0.5, 1.0)
