"""What the pages and examples import can be imported, and goes away only where a review sees it."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.pins.record import RECORDED, is_recording
from tests.support.pages import ROOT, TEXT

FILE = RECORDED / "public_paths.txt"
_IMPORT = re.compile(r"^\s*from (airflow_provider_mps[\w.]*) import (?:\(([^)]*)\)|([^\n#]*))", re.MULTILINE)
_DOTTED = re.compile(r"\bairflow_provider_mps(?:\.\w+)+")
# Named in the reference only to be read: where it lies, and what else is in it, is a matter of the package.
_INSIDE = re.compile(r"airflow_provider_mps\.client\.(?!actions\b)")


def _named() -> set[str]:
    """Every dotted name in a page, an example or the registry's file, and every name that they import."""
    files = [*sorted((ROOT / "example_dags").glob("*.py")), ROOT / ".airflow-registry.yaml"]
    text = "\n".join([*TEXT.values(), *(path.read_text(encoding="utf-8") for path in files)])
    named = {
        f"{module}.{name.strip().partition(' ')[0]}"
        for module, many, few in _IMPORT.findall(text)
        for name in (many or few).split(",")
        if name.strip()
    }
    return named | set(_DOTTED.findall(text))


NAMED = _named()
PUBLIC = {path for path in NAMED if not _INSIDE.match(path)}
if is_recording():
    FILE.write_text("".join(f"{path}\n" for path in sorted(PUBLIC)), encoding="utf-8")
PROMISED = set(FILE.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("path", sorted(NAMED | PROMISED))
def test_a_path_resolves(path: str) -> None:
    """To a module or a name in one, whether a page names it now or named it when the paths were recorded."""
    module, _, name = path.rpartition(".")
    try:
        import_module(path)
    except ModuleNotFoundError:
        assert hasattr(import_module(module), name)


def test_every_public_path_is_recorded() -> None:
    """So that its removal shows in a diff."""
    assert set() == PUBLIC - PROMISED
