"""The pages say what the code does: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG

from tests.support.official import api_model
from tests.support.pages import BLOCKS, DOCS, PYTHON, ROOT, TEXT, WHOLE, Block, prose, without_blocks

pytest_plugins = ["pytester"]

RUN_ELSEWHERE = {"docs/testing.md"}  # it shows test files, which test_testing runs as such
each_page = pytest.mark.parametrize("page", TEXT)


# Code.


@pytest.mark.parametrize("block", [block for block in PYTHON if block.page not in RUN_ELSEWHERE], ids=str)
def test_every_python_block_runs(block: Block) -> None:
    """Names are spelled right, arguments exist; nothing is asked of MPS or Airflow while a DAG is built."""
    with DAG("docs", schedule=None):
        _execute(block)


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_every_dag_of_a_page_parses(block: Block, tmp_path: Path) -> None:
    """What is copied into a DAG folder is a DAG there."""
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "copied.py"
    file.write_text(block.code, encoding="utf-8")
    bag = DagBag(file)
    assert bag.import_errors == {}
    assert set(bag.dags) == block.dags


@pytest.mark.e2e
def test_every_dag_of_the_pages_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a page shows succeeds, each task of it, against the local MPS; in a pytest and an Airflow of its own."""
    dags, videos = pytester.mkdir("dags"), tmp_path / "incoming"
    videos.mkdir()
    (videos / "a.mp4").touch()
    for number, block in enumerate(WHOLE):
        (dags / f"page_{number}.py").write_text(block.code, encoding="utf-8")
    names = {name for block in WHOLE for name in block.dags}
    [conftest] = re.findall(r"<!-- conftest.py -->\n```python\n(.*?)```", TEXT["docs/testing.md"], re.DOTALL)
    pytester.makeconftest(conftest)
    pytester.makepyfile(
        _RUN_ALL.format(names=sorted(names), folder=f"file://{videos}", output=f"file://{tmp_path}/out")
    )
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    pytester.runpytest_subprocess("-p", "airflow_provider_mps.testing", "-q").assert_outcomes(passed=len(names))
    assert (videos / "a.mp4.taken").exists()


_RUN_ALL = """
import os
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow_provider_mps.client.actions import ProcessMedia
from airflow_provider_mps.hooks.mps import MpsHook
from airflow_provider_mps.inputs import cos_input
from airflow_provider_mps.testing import airflow_connection

BAG = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])

@pytest.mark.parametrize("name", {names})
def test_dag(local_mps, monkeypatch, name):
    for conn_id in ("MPS_NEWS", "MPS_SPORTS"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{{conn_id}}", airflow_connection(local_mps))
    dag, conf = BAG.dags[name], dict()
    if "mps_task_id" in dag.params:
        video = cos_input("media-1250000000", "ap-guangzhou", "talk.mp4")
        job = MpsHook().call(ProcessMedia(input_info=video, smart_subtitles_task=dict(Definition=1)))
        conf["mps_task_id"] = job.mps_task_id
    places = dict(folder="{folder}", output_path="{output}")
    conf.update({{name: place for name, place in places.items() if name in dag.params}})
    run = dag.test(run_conf=conf)
    states = {{f"{{ti.task_id}}[{{ti.map_index}}]": str(ti.state) for ti in run.get_task_instances()}}
    assert set(states.values()) == {{"success"}}, states
"""


def test_no_two_dags_share_a_name() -> None:
    """All of them can be copied into one folder."""
    names = [name for block in WHOLE for name in block.dags]
    allowed_twice = {"transcode_a_video"}  # the front page and the first five minutes
    assert sorted(name for name in set(names) if names.count(name) > 1 and name not in allowed_twice) == []


def _execute(block: Block) -> None:
    exec(compile(block.code, str(block), "exec"), {"__name__": __name__})


@each_page
def test_commands_exist(page: str) -> None:
    """Every target of make, module of this package and extra that a page tells to run or install is there."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shell = [block.code for block in BLOCKS if (block.page, block.language) == (page, "bash")]
    commands = "\n".join([*shell, *re.findall(r"`([^`\n]+)`", TEXT[page])])
    assert set(re.findall(r"^(?:\$ )?make ([a-z0-9-]+)", commands, re.MULTILINE)) <= targets
    modules = set(re.findall(r"python -m ([\w.]+)", commands)) - {"build", "pip", "pytest"}
    assert [module for module in modules if find_spec(module) is None] == []
    scripts = re.findall(r"python (\w[\w/]*\.py)", commands)
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"airflow-provider-mps\[(\w+)\]", commands)) <= set(extras)


@each_page
def test_every_block_says_its_language(page: str) -> None:
    """So that each is either checked here or known to be no code."""
    known = {"python", "bash", "json", "text", "yaml", "{toctree}", "{eval-rst}"}
    languages = {block.language for block in BLOCKS if block.page == page}
    included = {name for name in languages if re.match(r"\{(literal)?include\} \S+$", name)}
    assert languages - known - included == set()


# Links.


@each_page
def test_links_lead_somewhere(page: str) -> None:
    """A link to a file names a file of the repository, and one with an anchor a heading in it."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", prose(page)):
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"


@each_page
def test_links_to_the_web_are_well_formed(page: str) -> None:
    """And https; whether somebody answers there is not asked here."""
    for url in re.findall(r"\]\((\w+:[^)]*)\)", prose(page)):
        parts = urlsplit(url)
        assert (parts.scheme, bool(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc))) == ("https", True), url
        assert not re.search(r"[\s<>\"]", url), url


def test_every_page_is_in_the_navigation() -> None:
    """Nobody writes a page that nobody finds."""
    listed = set(re.findall(r"^([\w/-]+)$", TEXT["docs/index.md"], re.MULTILINE))
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")}
    assert listed | {"index"} == pages


def _anchors(text: str) -> set[str]:
    """As GitHub and MyST make them of headings."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_links_to_tencent_are_pages_of_the_api() -> None:
    """An action that a page names exists in the API."""
    named = set(
        re.findall(r"\[(\w+)\]\(https://www\.tencentcloud\.com/document/product/1041/", "\n".join(TEXT.values()))
    )
    assert named
    assert named <= set(api_model()["actions"])
