"""What Airflow says of a task that is being killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

Says = Callable[..., None]


@pytest.fixture
def airflow_says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Sets the state that Airflow tells of the task, or the error that asking for it ends in."""

    def say(state: str | None = None, error: BaseException | None = None, seconds: float = 0.0) -> None:
        def answer(**asked: Any) -> dict[str, Any]:
            time.sleep(seconds)
            if error:
                raise error
            return {asked["run_ids"][0]: {asked["task_ids"][0]: state}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(answer))

    return say
