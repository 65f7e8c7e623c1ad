"""The layers hold: imports point one way, and each decision is made in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_mps

PACKAGE = "airflow_provider_mps"
ROOT = Path(airflow_provider_mps.__file__).parent
# From the bottom to the top; what stands in one line may not import each other.
LAYERS = [
    {"error_codes"},
    {"errors"},
    {"results"},
    {"client"},
    {"hooks", "inputs", "retry_policy"},
    {"assets", "common", "links"},
    {"lifecycle"},
    {"triggers"},
    {"sensors", "operators"},
]
CLIENT = [
    {"signing", "clock", "action", "retry", "polling.metrics", "polling.settings", "jobs.record"},
    {"actions", "credentials.base", "polling.hints", "polling.wait", "polling.progress"},
    {"credentials.sts", "jobs.abort", "jobs.intent"},
    {"credentials.assume_role"},
    {"credentials.providers"},
    {"config"},
    {"credentials.cache", "rate_limiter", "download"},
    {"protocol"},
    {"bounded_session"},
    {"credentials.network"},
    {"sync"},
    {"aio"},
    {"jobs.find", "polling.queue"},
    {"jobs.recovery", "polling.bulk"},
    {"jobs.submission", "polling.poller"},
]
RESULTS = [
    {"uris", "walk", "model"},
    {"redaction", "media", "segments"},
    {"verdict", "outputs", "texts", "formats.base", "formats.json", "formats.reader"},
    {"files", "formats.srt", "formats.vtt", "formats.ass", "formats.txt"},
    {"formats.ttml"},
    {"formats"},
    {"subtitles"},
    {"merging", "task"},
    {"notification", "result", "summary"},
    {"xcom_size", "quality"},
]
KNOWS_NO_AIRFLOW = {"error_codes", "errors", "results", "client", "emulator"}
NETWORK = {"requests", "urllib3", "aiohttp", "httpx", "http", "socket"}
STATUS_WORDS = {"SUCCESS", "FAIL", "FAILED", "FINISH", "PROCESSING", "WAITING", "Success", "Error"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package as ``client.sync`` and its syntax tree."""
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").replace("__init__", "")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[str]:
    """What is imported anywhere in a module, functions included; what only a type checker sees is not imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imports(node)


def _own_imports(tree: ast.AST) -> set[str]:
    """The modules of this package that a module imports, without the package's name."""
    found = (name.removeprefix(f"{PACKAGE}.") for name in _imports(tree) if name.startswith(f"{PACKAGE}."))
    return {name for name in found if name in MODULES}


def _rank(layers: list[set[str]], name: str) -> int:
    [rank] = [rank for rank, layer in enumerate(layers) if name in layer] or [-1]
    assert rank >= 0, f"{name} has no place in the layers of this test"
    return rank


def _foreign(tree: ast.AST) -> set[str]:
    return {name.partition(".")[0] for name in _imports(tree)}


MODULES = dict(_modules())


# The emulator stands beside the layers; what users test with is on top of it.
_IN_PRODUCTION = [name for name in MODULES if name and name.partition(".")[0] not in {"emulator", "testing"}]


@pytest.mark.parametrize("name", _IN_PRODUCTION)
def test_imports_point_down(name: str) -> None:
    """Each layer knows only those below it, and none knows the emulator."""
    part = name.partition(".")[0]
    for imported in _own_imports(MODULES[name]):
        other = imported.partition(".")[0]
        assert other != "emulator", f"{name} imports the emulator"
        assert other == part or _rank(LAYERS, other) < _rank(LAYERS, part), f"{name} imports {imported}"


@pytest.mark.parametrize(("part", "layers"), [("client", CLIENT), ("results", RESULTS)])
def test_imports_point_down_inside_a_layer(part: str, layers: list[set[str]]) -> None:
    """Transports know the wire, the wire knows signatures and actions; never the other way."""
    for name, tree in MODULES.items():
        if name.startswith(f"{part}."):
            for imported in _own_imports(tree):
                inner = imported.removeprefix(f"{part}.")
                if imported != inner:
                    mine = name.removeprefix(f"{part}.")
                    assert _rank(layers, inner) < _rank(layers, mine), f"{name} imports {imported}"


def test_the_emulator_stands_on_client_and_results() -> None:
    """And on nothing of Airflow's."""
    allowed = {"emulator", "client", "results", "errors", "error_codes"}
    for name, tree in MODULES.items():
        if name.startswith("emulator"):
            assert {imported.partition(".")[0] for imported in _own_imports(tree)} <= allowed, name


def test_airflow_is_known_at_the_top_only() -> None:
    """Results, client and emulator work without Airflow."""
    for name, tree in MODULES.items():
        if name.partition(".")[0] in KNOWS_NO_AIRFLOW:
            assert "airflow" not in _foreign(tree), name


@pytest.mark.fault("F02")
def test_the_official_sdk_is_never_used() -> None:
    """It is a witness in tests: its retries send a job again after it was accepted."""
    for name, tree in MODULES.items():
        assert not _foreign(tree) & {"tencentcloud", "tccli"}, name


def test_three_modules_touch_the_network() -> None:
    """Of all that runs in production, only the two transports and the download of subtitle files know HTTP."""
    users = {name for name, tree in MODULES.items() if _foreign(tree) & NETWORK}
    assert {name for name in users if not name.startswith("emulator")} == {
        "client.bounded_session",
        "client.aio",
        "client.download",
    }


def _compared_words(tree: ast.AST) -> set[str]:
    """Words of status that something is compared with, alone or in a set."""
    compared = [node for node in ast.walk(tree) if isinstance(node, (ast.Compare, ast.MatchValue))]
    parts = [part for node in compared for part in ast.walk(node)]
    return {
        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
    } & STATUS_WORDS


def test_one_module_judges_status_words() -> None:
    """Who asks whether a task succeeded asks the verdict."""
    judges = {name for name, tree in MODULES.items() if _compared_words(tree) and not name.startswith("emulator")}
    assert judges == {"results.verdict"}


# Where the kind of an error is read: the decision itself; the flow, which signs again; and those who hand it on or
# put it into words. Everybody else asks ``client.retry``.
_READ_CATEGORIES = {
    "errors",
    "client.retry",
    "client.protocol",
    "client.credentials.assume_role",
    "client.credentials.providers",
    "hooks.mps",
}


def _read_attributes(tree: ast.AST) -> set[str]:
    """The attributes that a module reads of anything, and the names that it imports to the same end."""
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    imported = {name.rpartition(".")[2] for name in _imports(tree)}
    return read | (imported & {"category_of"})


def test_one_module_decides_whether_to_ask_again() -> None:
    """No error says by itself whether it passes, and the kind of an error is read in few places."""
    decided = {"retryable", "permanent", "throttled", "keys_refused", "task_unknown", "clock_is_off"}
    for name, tree in MODULES.items():
        read = set() if name.startswith("emulator") else _read_attributes(tree)
        assert not read & decided, f"{name} reads {read & decided}: ask client.retry"
        if read & {"category", "category_of"}:
            assert name in _READ_CATEGORIES, f"{name} reads the category of an error: ask client.retry"


def test_every_loop_asks_the_decision() -> None:
    """Nothing is repeated by a library's own policy."""
    assert not [name for name, tree in MODULES.items() if _foreign(tree) & {"tenacity", "stamina", "backoff"}]


@pytest.mark.parametrize(
    ("source", "imports", "words"),
    [
        ("from airflow_provider_mps.client.sync import MpsClient", {"client.sync"}, set()),
        ("def f():\n    import airflow_provider_mps.hooks.mps", {"hooks.mps"}, set()),
        ("from airflow_provider_mps.client import sync, aio", {"client", "client.sync", "client.aio"}, set()),
        ("if TYPE_CHECKING:\n    from airflow_provider_mps.client.sync import MpsClient", set(), set()),
        ("x = status == 'FINISH'", set(), {"FINISH"}),
        ("x = status in {'FAIL', 'other'}", set(), {"FAIL"}),
        ("match status:\n    case 'SUCCESS': pass", set(), {"SUCCESS"}),
        ("'''FINISH is not success'''\nx = {'Status': 'FINISH'}", set(), set()),
    ],
)
def test_these_tests_see_what_they_look_for(source: str, imports: set[str], words: set[str]) -> None:
    """The two readers above find imports and comparisons, and leave alone what is neither."""
    tree = ast.parse(source)
    assert _own_imports(tree) == imports
    assert _compared_words(tree) == words


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("if error.retryable: pass", {"retryable"}),
        ("self.category = category", set()),
        ("x = error.category is Category.KEYS", {"category", "KEYS"}),
        ("from airflow_provider_mps.client.retry import category_of", {"category_of"}),
    ],
)
def test_this_test_sees_what_is_read(source: str, read: set[str]) -> None:
    """What is written is not read; another name for the same is seen too."""
    assert _read_attributes(ast.parse(source)) == read


def test_client_results_and_emulator_run_without_airflow() -> None:
    """Imported in a fresh process they load neither Airflow nor, without a reason, the library for subtitles."""
    modules = [name for name in MODULES if name.partition(".")[0] in KNOWS_NO_AIRFLOW and not name.endswith("__main__")]
    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module('{PACKAGE}.' + name)\n"
        "print(sorted({'airflow', 'pysubs2', 'tencentcloud'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout.strip() == "[]"


def test_the_package_itself_is_empty_at_import() -> None:
    """Airflow imports it in every process to read the provider's description."""
    program = f"import sys; before = set(sys.modules); import {PACKAGE}; print(sorted(set(sys.modules) - before))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not {"airflow", "pydantic", "requests", "aiohttp", "pendulum"} & set(ast.literal_eval(finished.stdout))
