"""The fixture for other people's tests, as they use it: in a pytest of its own, without any conftest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent
# Where the package is installed, its entry point loads the plugin under this name; here it may not be installed.
PLUGIN = "airflow_provider_mps.testing"


def _run(pytester: pytest.Pytester, test: str, **outcomes: int) -> pytest.RunResult:
    pytester.makepyfile(test)
    result = pytester.runpytest_subprocess("-p", PLUGIN, "-q")
    result.assert_outcomes(**outcomes)
    return result


def test_pytest_finds_the_plugin() -> None:
    """The entry point names the module, and its own name is the module's, so that nothing loads it twice."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert points == {PLUGIN: PLUGIN}
    assert import_module(PLUGIN).local_mps


def test_a_job_runs_in_an_instant(pytester: pytest.Pytester) -> None:
    """An operator with the intervals of production ends at once, and the test sees what it sent."""
    _run(
        pytester,
        """
        from airflow_provider_mps.hooks.mps import MpsHook
        from airflow_provider_mps.client.actions import ProcessMedia, describe
        from airflow_provider_mps.inputs import cos_input

        def test_subtitles(local_mps):
            hook = MpsHook()
            job = hook.call(ProcessMedia(
                input_info=cos_input("media-1250000000", "ap-guangzhou", "talk.mp4"),
                smart_subtitles_task={"Definition": 1},
            ))
            detail = hook.call(describe(job.mps_task_id))
            detail.raise_for_failure(job.mps_task_id)
            assert detail.subtitles
            (task,) = local_mps.backend.tasks.values()
            assert task.request["SmartSubtitlesTask"] == {"Definition": 1}

        def test_each_test_has_its_own(local_mps):
            assert not local_mps.backend.tasks
        """,
        passed=2,
    )


def test_other_connections_can_lead_there_too(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DAG with a connection id of its own is tested as it is, also on a machine behind a proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    _run(
        pytester,
        """
        from airflow_provider_mps.client.actions import DescribeTasks
        from airflow_provider_mps.hooks.mps import MpsHook
        from airflow_provider_mps.testing import airflow_connection

        def test_my_connection(local_mps, monkeypatch):
            monkeypatch.setenv("AIRFLOW_CONN_MY_MPS", airflow_connection(local_mps, language="zh-CN"))
            hook = MpsHook("my_mps")
            assert hook.call(DescribeTasks(status="FINISH")).tasks == ()
            assert hook.get_conn().config.language == "zh-CN"
        """,
        passed=1,
    )


def test_who_does_not_use_it_pays_nothing(pytester: pytest.Pytester) -> None:
    """The plugin is loaded in every pytest of an environment: neither Airflow nor the emulator may come with it."""
    _run(
        pytester,
        """
        import sys

        def test_nothing():
            heavy = {"airflow", "aiohttp", "pydantic", "airflow_provider_mps.emulator"}
            assert not heavy & set(sys.modules)
        """,
        passed=1,
    )


def test_nothing_else_loads_pytest() -> None:
    """Production never imports the plugin."""
    code = (
        "import sys, airflow_provider_mps.operators.mps, airflow_provider_mps.sensors.mps,"
        " airflow_provider_mps.emulator.server; print('pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1] == "False"


@pytest.mark.e2e
def test_the_documented_tests_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/testing.md shows is run as it stands there, with the example DAGs as the user's."""
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"<!-- (\w+\.py) -->\n```python\n(.*?)```", text, flags=re.DOTALL))
    assert set(files) == {"conftest.py", "test_job.py", "test_dags.py"}
    for name, code in files.items():
        (pytester.path / name).write_text(code, encoding="utf-8")
    shutil.copytree(ROOT / "example_dags", pytester.path / "dags")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    pytester.runpytest_subprocess("-p", PLUGIN, "-q").assert_outcomes(passed=3)
