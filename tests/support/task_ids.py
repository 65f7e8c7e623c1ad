"""What an upstream task, a template or a typo may give for a TaskId."""

from __future__ import annotations

from typing import Any

TASK_ID = "1250000000-WorkflowTask-0123456789abcdeftt7"

# MPS documents no form: whatever it may answer is an id.
STRANGE_TASK_IDS = [
    "1250000000/WorkflowTask/1",
    "MTI1MDAwMDAwMC1Xb3JrZmxvd1Rhc2s=",
    "x" * 300,
    "x" * 1000,
    "24-WorkflowTask-1#2?a=b&c+d~e@f",
    "24-{1}-WorkflowTask",
    "任务-1",
    "nonesuch",
]
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
    f'"{TASK_ID}"',
    f"({TASK_ID})",
    "x" * 1001,
    "24-Workflow\x00Task-1",
    "24-Workflow\u00a0Task-1",
    " 24-WorkflowTask-1",
    "24 WorkflowTask",
    "{{ x }}",
]
