"""
Checks whether a user ended a task. Airflow also kills tasks when a worker is evicted, a triggerer restarts or its
triggers move. A job must survive those, so the answer is yes only for states that are set by users alone.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)

# Mark failed, mark success, skip, removed from the DAG, Clear (of a running task: restarting). Every other state means
# that the task moves, resumes or is retried.
_ENDED_BY_USER = {"failed", "success", "skipped", "removed", "none", "restarting"}


def ended_by_user(ti: Any) -> bool:
    """True only if Airflow says that a user ended this task. Blocks for one call of Airflow's API."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if ti is None:
        return False
    try:
        answer = RuntimeTaskInstance.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
    except Exception:  # after any error the state is unknown
        log.debug("The state of %s is unknown: the request to Airflow failed.", ti, exc_info=True)
        return False
    states = list(answer.get(ti.run_id, {}).values())
    return len(states) == 1 and str(states[0]).lower() in _ENDED_BY_USER
