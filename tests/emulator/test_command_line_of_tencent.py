"""``tccli``, unchanged, against the local MPS. Its endpoint may be a whole address, so it needs no TLS on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mps.emulator.server import LocalMps

Run = Callable[..., "subprocess.CompletedProcess[str]"]
INPUT = json.dumps({"Type": "URL", "UrlInputInfo": {"Url": "https://media.invalid/talk.mp4"}})


@pytest.fixture
def tccli(mps: LocalMps, tmp_path: Path) -> Run:
    """Run one command with a home of its own."""

    def run(action: str, *arguments: str, secret_key: str = mps.secret_key) -> subprocess.CompletedProcess[str]:
        keys = [
            "--endpoint",
            mps.host,
            "--secretId",
            mps.secret_id,
            "--secretKey",
            secret_key,
            "--region",
            "ap-guangzhou",
        ]
        program = "import sys; from tccli.main import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", program, "mps", action, *arguments, *keys],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def _answer(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.returncode == 0, finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def test_a_job_is_submitted_looked_at_and_aborted(mps: LocalMps, tccli: Run) -> None:
    """The commands that a person would type in an emergency work against the emulator as they are."""
    task_id = _answer(tccli("ProcessMedia", "--InputInfo", INPUT, "--SessionId", "once"))["TaskId"]
    assert task_id in mps.backend.tasks
    _answer(tccli("ManageTask", "--OperationType", "Abort", "--TaskId", task_id))
    assert mps.backend.aborts == [task_id]
    detail = _answer(tccli("DescribeTaskDetail", "--TaskId", task_id))
    assert (detail["TaskType"], detail["Status"], detail["SessionId"]) == ("WorkflowTask", "FINISH", "once")
    listed = _answer(tccli("DescribeTasks", "--Status", "FINISH", "--Limit", "5"))
    assert [item["TaskId"] for item in listed["TaskSet"]] == [task_id]


def test_a_batch_is_submitted_and_looked_at(mps: LocalMps, tccli: Run) -> None:
    """Lists on the command line become lists in the request."""
    task_id = _answer(tccli("BatchProcessMedia", "--InputInfo", f"[{INPUT},{INPUT}]"))["TaskId"]
    detail = _answer(tccli("DescribeBatchTaskDetail", "--TaskId", task_id))
    assert (detail["TaskType"], detail["Status"], len(detail["BatchTaskResult"]["InputInfos"])) == (
        "BatchTask",
        "WAITING",
        2,
    )


def test_errors_end_with_their_code(tccli: Run) -> None:
    """Wrong keys and unknown tasks are errors of the command, with the documented code."""
    for finished, code in (
        (tccli("DescribeTasks", "--Status", "FINISH", secret_key="wrong"), "AuthFailure.SignatureFailure"),
        (tccli("DescribeTaskDetail", "--TaskId", "1250000000-WorkflowTask-0"), "ResourceNotFound"),
    ):
        assert finished.returncode != 0
        assert f"code:{code} " in finished.stderr
