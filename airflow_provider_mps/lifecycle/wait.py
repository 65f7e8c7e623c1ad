"""What sensor and operators share while they wait for an MPS task: one look, one judge, one trigger."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

# So often in a row a triggerer may send a wait back without an answer of MPS, before no worker is started for it again.
_MOST_FAULTS = 3
# Seconds for which a worker's look is sent again that MPS refuses as one too many, after many were woken at once.
_PATIENCE_IN_A_CROWD = 20.0
# Seconds by which clocks of one deployment may differ without anybody having to know.
_CLOCK_TOLERANCE = 60.0

if TYPE_CHECKING:
    from airflow_provider_mps.client.polling.wait import Patience
    from airflow_provider_mps.errors import MpsError
    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.results.task import TaskDetail
    from airflow_provider_mps.triggers.mps import MpsTaskTrigger


class TaskWait:
    """
    The wait of one worker process for one MPS task.

    :param patience: what it puts up with, and what it has seen.
    :param allow_partial: succeed although parts failed, as long as at least one part succeeded.
    :ivar last_seen: the last known state, for messages.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        hook: MpsHook,
        describe_action: str | None,
        allow_partial: bool,
        log: Any,
    ) -> None:
        from airflow_provider_mps.client.polling.progress import Progress

        self.patience = patience
        self.mps_task_id = patience.mps_task_id
        self.hook = hook
        self.describe_action = describe_action
        self.allow_partial = allow_partial
        self.log = log
        self.last_seen = "nothing"
        self._trigger_error: MpsError | None = None
        self._clock_ahead = 0.0
        self._progress = Progress(log, self.mps_task_id)

    @classmethod
    def of(cls, operator: Any, mps_task_id: str) -> Self:
        """A wait that begins now, as the arguments of a sensor or a submit operator say."""
        from airflow_provider_mps.client.polling.wait import Patience

        patience = Patience(
            mps_task_id,
            started=time.time(),
            outage_tolerance=operator.outage_tolerance,
            not_found_grace=operator.not_found_grace,
            settle_grace=operator.settle_grace,
        )
        return cls(
            patience,
            hook=operator.hook,
            describe_action=operator.describe_action,
            allow_partial=operator.allow_partial,
            log=operator.log,
        )

    def warn_of_late_end(self, timeout: float) -> None:
        """Say that MPS may forget the task before this wait gives up on it; said once, when a wait begins."""
        from airflow_provider_mps.client.polling.wait import ANSWERED_FOR_SURE, QUERY_WINDOW

        if timeout > ANSWERED_FOR_SURE:
            self.log.warning(
                "MPS task %s: `timeout` is %g days, but %s. A wait that goes on for longer ends with an error that "
                "says so; set `timeout` lower.",
                self.mps_task_id,
                round(timeout / 86_400, 2),
                QUERY_WINDOW,
            )

    def look(self) -> TaskDetail | None:
        """
        Ask once.

        :return: the detail of a task that has ended; None while the wait goes on.
        :raises MpsError: the wait is over, and not because the task has ended.
        """
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.retry import Limits
        from airflow_provider_mps.errors import MpsError

        outcome: TaskDetail | MpsError
        try:
            action = describe(self.mps_task_id, self.describe_action)
            # A refused look is judged, like any other, and comes again: it must not hold up a deadline. But where a
            # list has woken hundreds at once, to wait for a few seconds is cheaper than another start of a worker.
            patience = _PATIENCE_IN_A_CROWD if self.patience.listed else 0.0
            outcome = self.hook.get_conn().call(action, limits=Limits(attempts=4, throttle_timeout=patience))
            self.last_seen = outcome.summary
        except MpsError as error:
            outcome = error
        self._progress.report(outcome)
        return self.patience.judge(outcome, time.time())

    def conclude(self, detail: TaskDetail) -> str:
        """
        Return the TaskId of a task that succeeded.

        :raises MpsTaskFailed: a part failed.
        :raises MpsTaskUnsettled: a result is missing.
        """
        detail.raise_for_failure(self.mps_task_id, allow_partial=self.allow_partial)
        for failure in detail.failures:
            self.log.warning("MPS task %s: a part failed and is allowed to: %s", self.mps_task_id, failure)
        return self.mps_task_id

    def trigger(self, *, poll_interval: float, deadline: float, cancel_on_kill: bool = False) -> MpsTaskTrigger:
        """
        The trigger that goes on with this wait.

        :raises MpsConfigError: the last one could not ask MPS, or was refused several times in a row; nor would the
            next one be answered.
        :raises MpsStateUnknown: the triggerer gave the wait up several times in a row.
        """
        from airflow_provider_mps.triggers.mps import MpsTaskTrigger

        if self._trigger_error is not None:
            raise self._trigger_error
        return MpsTaskTrigger(
            mps_task_id=self.mps_task_id,
            mps_conn_id=self.hook.mps_conn_id,
            region=self.hook.region,
            describe_action=self.describe_action,
            poll_interval=poll_interval,
            deadline=deadline + self._clock_ahead,  # the triggerer reads it on its own clock
            patience=self.patience.as_dict(),
            cancel_on_kill=cancel_on_kill,
        )

    @staticmethod
    def net(*, poll_interval: float, deadline: float) -> timedelta:
        """
        The timeout of the deferral: only a net, well after the deadline, which the trigger keeps itself.

        A net that catches loses what the deferral was to hand on.
        """
        return timedelta(seconds=deadline - time.time() + 2 * poll_interval + 60)

    def resume(
        self, event: dict[str, Any] | None, patience: object, deadline: float | None, *, timeout: float
    ) -> float:
        """
        Take over what the trigger has seen. A lost or strange event costs one look, never a wrong verdict.

        :param event: what the trigger sent; ``timeout``, ``error``, ``refused`` and ``fault`` mean something, any other
            word means "look".
        :param patience: the memory from before the deferral, which counts where the event brings none.
        :param deadline: Unix seconds; None where no worker has set it, so that the event tells it.
        :param timeout: seconds from now, where the event does not tell it either.
        :return: the deadline that holds from here: now, if the trigger says that it has come.
        """
        event, now = event if isinstance(event, dict) else {}, time.time()
        resumed = self.patience.resumed(patience)
        resumed.failing_since = None  # as far as is known without the trigger's memory
        self.patience = resumed.resumed(event.get("patience"))
        self._trigger_error = self._why_no_trigger(event)
        if deadline is not None:
            self._compare_clocks(event, now)
        has_come = event.get("status") == "timeout"
        if has_come and deadline is not None and self._clock_ahead and deadline - now > _CLOCK_TOLERANCE:
            has_come = False
        return now if has_come else deadline or _unix_seconds(event, "deadline") or now + timeout

    def _why_no_trigger(self, event: dict[str, Any]) -> MpsError | None:
        """What to raise instead of going on in the triggerer, which has proved that it cannot."""
        from airflow_provider_mps.errors import MpsConfigError, MpsStateUnknown

        status, message, faults = event.get("status"), event.get("message"), self.patience.faults
        if status == "error":
            return MpsConfigError(f"The triggerer cannot wait for MPS task {self.mps_task_id}: {message}")
        if status == "refused" and faults >= _MOST_FAULTS:
            return MpsConfigError(
                f"The triggerer cannot ask for MPS task {self.mps_task_id}, although this worker can: it was refused "
                f"{faults} times in a row. Give the triggerer the same keys, role and address as the workers, or wait "
                f"with deferrable=False. Last: {message}"
            )
        if status == "fault" and faults >= _MOST_FAULTS:
            return MpsStateUnknown(
                f"cannot be waited for: the triggerer gave it up {faults} times in a row, see its part of the log. "
                f"Last: {message}",
                mps_task_id=self.mps_task_id,
            )
        return None

    def _compare_clocks(self, event: dict[str, Any], now: float) -> None:
        """Notice a triggerer whose clock is ahead. One that is behind looks like an event that was waiting."""
        ahead = (_unix_seconds(event, "clock") or now) - now
        if ahead > _CLOCK_TOLERANCE:
            self._clock_ahead = ahead
            self.log.warning(
                "MPS task %s: the clock of the triggerer is %.0f seconds ahead of this worker's. The deadline is taken "
                "by the worker's; set the wrong clock right.",
                self.mps_task_id,
                ahead,
            )


def _unix_seconds(event: dict[str, Any], name: str) -> float | None:
    """A time that the trigger told, where it did."""
    value = event.get(name)
    return value if isinstance(value, float) and 0 < value < math.inf else None
