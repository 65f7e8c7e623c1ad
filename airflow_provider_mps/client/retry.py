"""The one place that decides to ask again, and the one policy for both transports."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypedDict

import tenacity

from airflow_provider_mps.client.actions import Action
from airflow_provider_mps.errors import MpsApiError, MpsError

log = logging.getLogger(__name__)

DEFAULT_ATTEMPTS = 4
# A refused request did not run and was not at fault: seconds in which it is sent again, however often.
DEFAULT_THROTTLE_PATIENCE = 60.0
PAUSES: tenacity.wait.wait_base = tenacity.wait_random_exponential(multiplier=0.5, max=8)
# A request signed with a clock that is off by less than this was not refused for it.
_SKEW_WORTH_CORRECTING = 60


class Policy(TypedDict):
    """Arguments of tenacity's ``Retrying`` and ``AsyncRetrying``."""

    retry: tenacity.retry_if_exception
    stop: Callable[[tenacity.RetryCallState], bool]
    wait: tenacity.wait.wait_base
    before_sleep: Any
    reraise: bool


def should_retry(action: Action[Any], error: BaseException) -> bool:
    """
    Whether the same action may be sent once more.

    A submission that may have run is not: MPS would run, and bill, a second job.
    """
    return isinstance(error, MpsError) and error.retryable and (action.idempotent or not error.may_have_run)


def clock_correction(error: MpsError, applied: float = 0.0) -> float:
    """
    Seconds to take off this machine's clock before signing again; 0 when the clock is not the reason.

    :param applied: how much was taken off for the request that was refused.
    """
    if isinstance(error, MpsApiError) and error.clock_is_off and error.clock_skew is not None:
        correction = error.clock_skew - applied
        return correction if abs(correction) >= _SKEW_WORTH_CORRECTING else 0
    return 0


def policy(action: Action[Any], attempts: int, throttle_patience: float = DEFAULT_THROTTLE_PATIENCE) -> Policy:
    """
    Up to ``attempts`` requests, with growing and random pauses of at most 8 seconds between them.

    :param throttle_patience: seconds in which requests that MPS refuses as too many are sent again in any case.
    """

    def enough(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        throttled = isinstance(error, MpsApiError) and error.throttled
        if throttled and attempts > 1 and (state.seconds_since_start or 0.0) < throttle_patience:
            return False
        return state.attempt_number >= attempts

    return Policy(
        retry=tenacity.retry_if_exception(lambda error: should_retry(action, error)),
        stop=enough,
        wait=PAUSES,
        before_sleep=_say,
        reraise=True,
    )


def _say(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.debug("Attempt %d: %s. Asking again.", state.attempt_number, error)
