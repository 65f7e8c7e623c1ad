"""What sensor and operators share while they wait for an MPS task: one look, one judge, one trigger."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Self

# Breakdowns of the triggerer in a row after which a worker is not started again for nothing.
_MOST_FAULTS = 3

if TYPE_CHECKING:
    from airflow_provider_mps.client.patience import Patience
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
        describe_action: str | None = None,
        allow_partial: bool = False,
        log: Any,
    ) -> None:
        from airflow_provider_mps.client.progress import Progress

        self.patience = patience
        self.mps_task_id = patience.mps_task_id
        self.hook = hook
        self.describe_action = describe_action
        self.allow_partial = allow_partial
        self.log = log
        self.last_seen = "nothing"
        self._trigger_error: MpsError | None = None
        self._progress = Progress(log, self.mps_task_id)

    @classmethod
    def of(cls, operator: Any, mps_task_id: str) -> Self:
        """A wait that begins now, as the arguments of a sensor or a submit operator say."""
        from airflow_provider_mps.client.patience import Patience

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
        from airflow_provider_mps.client.patience import ANSWERED_FOR_SURE, QUERY_WINDOW

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
        from airflow_provider_mps.errors import MpsError

        outcome: TaskDetail | MpsError
        try:
            # A refused look is judged, like any other, and comes again: it must not hold up a deadline.
            action = describe(self.mps_task_id, self.describe_action)
            outcome = self.hook.get_conn().call(action, throttle_patience=0)
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

        :raises MpsConfigError: the last one could not ask MPS, and the next would not either.
        :raises MpsStateUnknown: the triggerer broke down several times in a row.
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
            deadline=deadline,
            patience=self.patience.as_dict(),
            cancel_on_kill=cancel_on_kill,
        )

    def deadline_of(self, event: dict[str, Any] | None) -> float | None:
        """The deadline that the trigger kept, where it did."""
        deadline = event.get("deadline") if isinstance(event, dict) else None
        return deadline if isinstance(deadline, float) and 0 < deadline < math.inf else None

    def resume(self, event: dict[str, Any] | None, patience: object, deadline: float) -> float:
        """
        Take over what the trigger has seen. A lost or strange event costs one look, never a wrong verdict.

        :param event: what the trigger sent; ``timeout``, ``error`` and ``fault`` mean something, any other word means
            "look".
        :param patience: the memory from before the deferral, which counts where the event brings none.
        :param deadline: Unix seconds.
        :return: the deadline that holds from here: now, if the trigger says that it has come.
        """
        from airflow_provider_mps.errors import MpsConfigError, MpsStateUnknown

        event = event if isinstance(event, dict) else {}
        resumed = self.patience.resumed(patience)
        resumed.answered = time.time()  # as far as is known without the trigger's memory
        self.patience = resumed.resumed(event.get("patience"))
        if event.get("status") == "error":
            self._trigger_error = MpsConfigError(
                f"The triggerer cannot wait for MPS task {self.mps_task_id}: {event.get('message')}"
            )
        elif event.get("status") == "fault" and self.patience.faults >= _MOST_FAULTS:
            self._trigger_error = MpsStateUnknown(
                f"cannot be waited for: the triggerer broke down {self.patience.faults} times, see its part of the "
                f"log. Last: {event.get('message')}",
                mps_task_id=self.mps_task_id,
            )
        return time.time() if event.get("status") == "timeout" else deadline
