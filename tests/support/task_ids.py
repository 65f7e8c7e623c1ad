"""What an upstream task, a template or a typo may give for a TaskId."""

from __future__ import annotations

from typing import Any

TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"

NO_TASK_IDS: list[Any] = [
    None,
    "",
    " ",
    "None",
    "none",
    "null",
    "NaN",
    "undefined",
    f" {TASK_ID} ",
    f"{TASK_ID}\n",
    5,
    5.0,
    True,
    b"1250000000-WorkflowTask-1",
    "{{ ti.xcom_pull('submit') }}",
    "{{ task_instance }}",
    [TASK_ID],
    [],
    {"TaskId": TASK_ID},
    f"['{TASK_ID}']",
    "x" * 257,
    "x" * 300,
    "1250000000/WorkflowTask",
    "任务",
    " 24-WorkflowTask-1",
    "24 WorkflowTask",
    "{{ x }}",
]
