"""Abort jobs on the worker's side: best effort, and honest about what MPS refuses."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_mps.client.jobs.abort import AbortResult
    from airflow_provider_mps.client.sync import MpsClient
    from airflow_provider_mps.hooks.mps import MpsHook

# Airflow kills the process 5 seconds after SIGTERM.
_KILL_BUDGET = 4.0


class Canceller:
    """Aborts jobs of one operator, and says in its log what came of it."""

    def __init__(self, hook: MpsHook, log: Any) -> None:
        self.hook = hook
        self.log = log

    def abort(self, mps_task_id: str, client: MpsClient | None = None) -> str:
        """Ask MPS to abort a task; returns what came of it, in words. Raises nothing of MPS's."""
        return self._told(self._ask(mps_task_id, client or self.hook.get_conn()))

    def _ask(self, mps_task_id: str, client: MpsClient) -> AbortResult:
        from airflow_provider_mps.client.actions import ManageTask
        from airflow_provider_mps.client.jobs.abort import abort_outcome
        from airflow_provider_mps.errors import MpsError

        try:
            client.call(ManageTask(task_id=mps_task_id))
        except MpsError as error:
            return abort_outcome(mps_task_id, error)
        return abort_outcome(mps_task_id, None)

    def _told(self, outcome: AbortResult) -> str:
        (self.log.info if outcome.aborted else self.log.warning)("%s", outcome.text)
        return outcome.text

    def abort_cleared(self, mps_task_id: str, describe_action: str | None) -> None:
        """Abort the job from before a Clear: on_kill may have come too late to tell it from a failover."""
        from airflow_provider_mps.client.actions import describe
        from airflow_provider_mps.errors import MpsError

        look = describe(mps_task_id, describe_action)
        try:
            if self.hook.call(look).is_finished:
                return
        except MpsError as error:
            self.log.warning("The task was cleared; its MPS task %s was left alone: %s", mps_task_id, error)
            return
        # MPS knows best whether that is still possible: a live task may be running.
        outcome = self._ask(mps_task_id, self.hook.get_conn())
        if outcome.refused:
            with suppress(MpsError):
                if self.hook.call(look).is_finished:  # the trigger that the Clear ended has asked a moment before
                    self.log.info("The task was cleared; its MPS task %s has ended.", mps_task_id)
                    return
        self._told(outcome)

    def abort_if_user_ended(self, ti: Any, mps_task_id: str | None, session_id: str | None) -> None:
        """
        Abort the job of a task that is being killed, if a user is behind it. Returns within 4 seconds.

        It works on a thread of its own: the signal may have come while this process was talking to Airflow.

        :param session_id: finds the job of a submission whose answer has not come yet.
        """

        def work() -> None:
            from airflow_provider_mps.client.jobs.find import find_by_session
            from airflow_provider_mps.client.sync import MpsClient
            from airflow_provider_mps.common.task_instance_state import ended_while_running
            from airflow_provider_mps.errors import MpsError

            if not ended_while_running(ti):
                return
            config = replace(self.hook.get_conn().config, timeout=_KILL_BUDGET / 2)
            with MpsClient(config, attempts=3) as client:
                job = mps_task_id
                if job is None and session_id:
                    try:
                        found = next(iter(find_by_session(client, session_id, since=time.time() - 600)), None)
                    except MpsError as error:
                        self.log.warning("A job with SessionId %s may run on and be billed: %s", session_id, error)
                        return
                    job = found.mps_task_id if found else None
                if job:
                    self.abort(job, client)

        thread = threading.Thread(target=work, name="mps-abort", daemon=True)
        thread.start()
        thread.join(_KILL_BUDGET)
