"""What sensor and operators share while they wait for an MPS task: one poll, one evaluation, one deadline."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from airflow_provider_mps.client.polling.settings import PollerSettings

if TYPE_CHECKING:
    from airflow_provider_mps.client.clock import MpsClock
    from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState
    from airflow_provider_mps.errors import MpsError
    from airflow_provider_mps.hooks.mps import MpsHook
    from airflow_provider_mps.results.task import TaskDetail

# Seconds by which what two processes know of MPS's time may differ: it is told in whole seconds.
_CLOCK_TOLERANCE = 5.0
# Seconds after the deadline, besides two polls, at which Airflow ends a deferral whose trigger has not.
_DEFERRAL_MARGIN = 60.0


class TaskWait:
    """
    The wait of one worker process for one MPS task.

    :param policy: its limits.
    :param state: what it has seen.
    :param allow_partial: succeed although parts failed, as long as at least one part succeeded.
    :ivar last_seen: the last known state, for messages.
    :cvar settings: tuning of the pauses between polls.
    """

    settings: ClassVar[PollerSettings] = PollerSettings()

    def __init__(
        self,
        policy: WaitPolicy,
        state: WaitState,
        *,
        hook: MpsHook,
        describe_action: str | None,
        allow_partial: bool,
        log: Any,
    ) -> None:
        from airflow_provider_mps.client.polling.progress import Progress

        self.policy = policy
        self.state = state
        self.mps_task_id = state.mps_task_id
        self.hook = hook
        self.describe_action = describe_action
        self.allow_partial = allow_partial
        self.log = log
        self.last_seen = "nothing"
        self.trigger_error: MpsError | None = None
        self._trigger_timed_out = False
        self._knows_its_start = True
        self._progress = Progress(log, self.mps_task_id)

    @classmethod
    def of(cls, operator: Any, mps_task_id: str, *, started: float = 0.0) -> Self:
        """
        A wait as the arguments of a sensor or a submit operator say.

        :param started: when it began, by MPS's clock; 0 for the first poll.
        """
        from airflow_provider_mps.client.polling.wait import WaitPolicy, WaitState

        return cls(
            WaitPolicy(
                timeout=operator.timeout,
                outage_tolerance=operator.outage_tolerance,
                not_found_grace=operator.not_found_grace,
                settle_grace=operator.settle_grace,
            ),
            WaitState(mps_task_id, started=started, created=started or None),
            hook=operator.hook,
            describe_action=operator.describe_action,
            allow_partial=operator.allow_partial,
            log=operator.log,
        )

    def warn_if_timeout_exceeds_query_window(self) -> None:
        """Log that MPS may forget the task before this wait gives up; once, when a wait begins."""
        from airflow_provider_mps.client.polling.wait import MIN_QUERY_SECONDS, QUERY_WINDOW

        timeout = self.policy.timeout
        if timeout is not None and timeout > MIN_QUERY_SECONDS:
            self.log.warning(
                "MPS task %s: `timeout` is %g days, but %s. A longer wait ends with an error that says so; set "
                "`timeout` lower.",
                self.mps_task_id,
                round(timeout / 86_400, 2),
                QUERY_WINDOW,
            )

    @property
    def clock(self) -> MpsClock:
        """MPS's clock."""
        from airflow_provider_mps.client.clock import clock_for

        return clock_for(self.hook.get_conn().config.endpoint)

    def poll(self) -> TaskDetail | None:
        """
        Poll once.

        :return: the detail of a task that has ended; None while the wait goes on.
        :raises MpsError: the wait is over, and not because the task has ended.
        """
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.client.polling.wait import evaluate
        from airflow_provider_mps.client.retry import LIMITS, Purpose
        from airflow_provider_mps.errors import MpsError

        client = self.hook.get_conn()
        action = describe(self.mps_task_id, self.describe_action)
        outcome: TaskDetail | MpsError
        try:
            # A throttled poll is evaluated like any other and comes again: it must not hold up a deadline.
            outcome = client.call(action, limits=LIMITS[Purpose.CALL]._replace(throttle_timeout=0.0))
            self.last_seen = outcome.summary
        except MpsError as error:
            outcome = error
        self._progress.report(outcome)
        return evaluate(self.policy, self.state, outcome, self.clock.now(), is_mps_time=self.clock.is_known)

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has come, in MPS's time. Only to be asked after a poll."""
        return self._seems_overdue and not self.must_poll_again

    @property
    def must_poll_again(self) -> bool:
        """
        Whether only the clock of this machine, which may be wrong, says that the deadline has come.

        The poll had no answer, and so MPS has not told its time. To be polled again here: a trigger would only say that
        time is up.
        """
        return self._seems_overdue and self.state.started > 0 and not self.clock.is_known

    @property
    def _seems_overdue(self) -> bool:
        left = self._seconds_left()
        if self._trigger_timed_out:
            return not self._knows_its_start or (left is not None and left <= _CLOCK_TOLERANCE)
        return left is not None and left <= 0

    def _seconds_left(self) -> float | None:
        return self.state.seconds_left(self.policy, self.clock.now())

    def next_poll_delay(self, poll_interval: float) -> float:
        """Seconds until the next poll; not beyond the deadline."""
        from airflow_provider_mps.client.polling.wait import next_poll_delay

        delay = next_poll_delay(self.clock.now() - self.state.began, poll_interval, self.settings)
        left = self._seconds_left()
        return delay if left is None or self.must_poll_again else min(delay, max(left, 0.0))

    def conclude(self, detail: TaskDetail) -> str:
        """
        Return the TaskId of a task that succeeded.

        :raises MpsTaskFailed: a part failed.
        :raises MpsTaskUnsettled: a result is missing.
        """
        detail.raise_for_failure(self.mps_task_id, allow_partial=self.allow_partial)
        for failure in detail.failures:
            self.log.warning("MPS task %s: a part failed, as allow_partial permits: %s", self.mps_task_id, failure)
        return self.mps_task_id

    def deferral_timeout(self, poll_interval: float) -> timedelta | None:
        """
        The timeout that Airflow keeps for the deferral: well after the deadline, which the trigger keeps itself.

        When Airflow ends a deferral, what was stored for the resumed worker is lost.
        """
        left = self._seconds_left() if self.state.began else self.policy.timeout
        return None if left is None else timedelta(seconds=max(left, 0.0) + 2 * poll_interval + _DEFERRAL_MARGIN)

    def resume(self, event: object, stored: object = None) -> None:
        """
        Take over what the trigger has seen. A lost or strange event costs one poll, never a wrong verdict.

        :param event: what the trigger sent; any status that is not known means ``resume``.
        :param stored: the state from before the deferral, which counts where the event brings none.
        """
        sent: dict[str, Any] = event if isinstance(event, dict) else {}
        self.state = self.state.merge_stored(stored)
        self.state.failing_since = None  # as far as is known without the trigger's state
        self.state = self.state.merge_stored(sent.get("state"))
        self.trigger_error = self._why_no_trigger(sent)
        self._trigger_timed_out = sent.get("status") == "timeout"
        self._knows_its_start = bool(self.state.began)

    def _why_no_trigger(self, event: dict[str, Any]) -> MpsError | None:
        """What to raise instead of deferring again to a triggerer that has proved that it cannot wait."""
        from airflow_provider_mps.client.polling.wait import MAX_TRIGGER_FAILURES
        from airflow_provider_mps.errors import MpsConfigError, MpsStateUnknown

        status, message, failures = event.get("status"), event.get("message"), self.state.trigger_failures
        if status == "error":
            return MpsConfigError(f"The triggerer cannot wait for MPS task {self.mps_task_id}: {message}")
        if status == "permanent_error" and failures >= MAX_TRIGGER_FAILURES:
            return MpsConfigError(
                f"MPS rejects the triggerer's requests for task {self.mps_task_id} but accepts this worker's "
                f"({failures} times in a row). Give the triggerer the same keys, role and API endpoint as the workers, "
                f"or wait with deferrable=False. Last error: {message}"
            )
        if status == "failure" and failures >= MAX_TRIGGER_FAILURES:
            return MpsStateUnknown(
                f"cannot be waited for: its trigger failed {failures} times in a row; see the triggerer's part of the "
                f"log. Last error: {message}",
                mps_task_id=self.mps_task_id,
            )
        return None
