"""
Did a user end this task? Airflow also kills tasks when a worker is evicted, a triggerer restarts or its triggers move;
a job must survive those, so the question is put to Airflow, and any doubt means no.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)

# What a user makes of a task that runs: mark failed, mark success, Clear. The heartbeat of the task then ends it.
_ENDED_WHILE_RUNNING = {"failed", "success", "skipped", "removed", "restarting"}
# A deferred task whose triggers moved to another triggerer is still deferred; after a missed heartbeat it is retried.
_ALIVE_WHILE_DEFERRED = {"deferred", "up_for_retry"}


def ended_while_running(ti: Any) -> bool:
    """True only if Airflow says that a user ended this running task. Blocks for one call of Airflow's API."""
    return _state(ti) in _ENDED_WHILE_RUNNING


def ended_while_deferred(ti: Any) -> bool:
    """True only if Airflow says that this deferred task is deferred no longer. Blocks for one call of Airflow's API."""
    state = _state(ti)
    return state is not None and state not in _ALIVE_WHILE_DEFERRED


def _state(ti: Any) -> str | None:
    """The state of a task instance, ``none`` for a cleared one; None if that cannot be told."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if ti is None:
        return None
    try:
        answer = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
    except Exception:  # whatever goes wrong with the question, the answer is not known
        log.debug("Airflow did not tell the state of %s", ti, exc_info=True)
        return None
    states = list(answer.get(ti.run_id, {}).values())
    return str(states[0]).lower() if len(states) == 1 else None
