"""
Did a user end this task? Airflow also kills tasks when a worker is evicted, a triggerer restarts or its triggers move.
A job must survive those, so the answer is yes only for a state that nobody but a user brings about.
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
    except Exception:  # whatever goes wrong with the question, the answer is not known
        log.debug("Airflow did not tell the state of %s", ti, exc_info=True)
        return False
    states = list(answer.get(ti.run_id, {}).values())
    return len(states) == 1 and str(states[0]).lower() in _ENDED_BY_USER
