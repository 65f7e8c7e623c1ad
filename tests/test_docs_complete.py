"""The pages are complete: every operator, parameter, error, code and public name has its place, and says what is so."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from airflow.sdk import BaseOperator

from airflow_provider_mps import errors
from airflow_provider_mps.client.retry import is_final, may_pass
from airflow_provider_mps.error_codes import ERROR_CODES
from airflow_provider_mps.errors import MpsApiError, MpsError
from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.operators.submit import MpsSubmitOperator
from airflow_provider_mps.sensors.mps import MpsTaskSensor
from tests.support.pages import PYTHON, ROOT, TEXT, WHOLE

EXAMPLES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "example_dags").glob("*.py"))]
PUBLIC = [getattr(operators, name) for name in operators.__all__] + [MpsTaskSensor]

# Tables.


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__name__)
def test_every_operator_has_a_page_with_a_dag(public: type[BaseOperator]) -> None:
    """Named like it, with a whole DAG that uses it; the front page and the index lead there."""
    [page] = [name for name, text in TEXT.items() if text.startswith(f"# {public.__name__}\n")]
    assert any(f"{public.__name__}(" in block.code for block in WHOLE if block.page == page)
    assert re.search(rf"\[`{public.__name__}`\]\((\.\./)?{Path(page).name}\)", TEXT["docs/operators/index.md"])
    assert f"[`{public.__name__}`]({page})" in TEXT["README.md"]


@pytest.mark.parametrize("public", [*PUBLIC, MpsSubmitOperator], ids=lambda public: public.__name__)
def test_every_parameter_is_in_its_table(public: type[BaseOperator]) -> None:
    """With its default; what all job operators share is in the table that they share."""
    if issubclass(public, MpsSubmitOperator):
        page, public = "docs/operators/index.md", MpsSubmitOperator
    else:
        [page] = [name for name, text in TEXT.items() if text.startswith(f"# {public.__name__}\n")]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", TEXT[page], re.MULTILINE)
    shown = {name: default.strip("` ") for name, default in rows}
    own = list(inspect.signature(vars(public)["__init__"]).parameters.values())[1:-1]
    for parameter in own:
        default = "" if parameter.default is inspect.Parameter.empty else repr(parameter.default)
        expected = "[operators] default_deferrable" if parameter.name == "deferrable" else default
        assert shown.get(parameter.name) == expected, parameter.name


def _rows(heading: str) -> list[list[str]]:
    section = TEXT["docs/errors.md"].partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]


def test_every_error_class_is_in_the_catalogue() -> None:
    """And no other."""
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, MpsError)}
    assert {row[0].strip("| `") for row in _rows("The classes")} == classes - {"MpsError"}


CODES = {row[0].strip("| `"): row for row in _rows("The codes of an answer")}


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_treated_as_the_catalogue_says(code: str) -> None:
    """Asked again or not, may have run or not; and what the error itself advises is what the catalogue advises."""
    error = MpsApiError(action="X", code=code, message="m", request_id="r")
    _, _, advice, again, may_run = (cell.strip() for cell in CODES[code])
    assert again == ("yes" if may_pass(error) else "no" if is_final(error) else "-")
    assert may_run == ("yes" if error.may_have_run else "")
    if error.next_step:
        assert advice.startswith(error.next_step)


def test_every_code_that_the_package_knows_is_in_the_catalogue() -> None:
    """Each code that has a row in the package has one on the page."""
    assert set(ERROR_CODES) - set(CODES) == set()


def test_every_code_of_the_official_sdk_is_in_the_catalogue() -> None:
    """By itself or by its family."""
    from tencentcloud.mps.v20190612 import errorcodes  # noqa: TID251 - the witness

    known = [value for name, value in vars(errorcodes).items() if name.isupper()]
    assert len(known) > 150
    assert {code for code in known if code not in CODES and code.partition(".")[0] not in CODES} == set()


# The reference.


def _reference() -> dict[str, set[str]]:
    """Module to the names that the reference shows of it: the documented ones, as autodoc selects them."""
    shown: dict[str, set[str]] = {}
    for name, text in TEXT.items():
        for module, chosen in re.findall(r"automodule:: ([\w.]+)\n(?:   :members: (.*)\n)?", text):
            assert name.startswith("docs/reference/")
            imported = import_module(module)
            own = {key for key, value in vars(imported).items() if getattr(value, "__module__", None) == module}
            public = set(chosen.split(", ")) if chosen else set(getattr(imported, "__all__", own))
            shown[module] = {key for key in public if not key.startswith("_") and vars(imported)[key].__doc__}
    return shown


REFERENCE = _reference()


def test_the_reference_shows_what_people_import() -> None:
    """Every name of this package that a page, an example or the registry names is in the reference."""
    code = "\n".join([*(block.code for block in PYTHON), *EXAMPLES])
    imports = re.findall(r"^\s*from (airflow_provider_mps[\w.]*) import (?:\(([^)]*)\)|([^\n]*))", code, re.MULTILINE)
    named = {
        (module, name.strip()) for module, many, few in imports for name in (many or few).split(",") if name.strip()
    }
    registry = (ROOT / ".airflow-registry.yaml").read_text(encoding="utf-8")
    named |= {tuple(path.rsplit(".", 1)) for path in re.findall(r"module: (airflow_provider_mps[\w.]+)", registry)}
    assert {f"{module}.{name}" for module, name in named if name not in REFERENCE.get(module, ())} == set()


def test_the_reference_leaves_nothing_public_out() -> None:
    """Every name in an ``__all__``, and every public class and function of a module shown, has a docstring to show."""
    for module in REFERENCE:
        imported = import_module(module)
        own = {
            key
            for key, value in vars(imported).items()
            if getattr(value, "__module__", None) == module and (inspect.isclass(value) or inspect.isfunction(value))
        }
        public = {key for key in getattr(imported, "__all__", own) if not key.startswith("_")}
        if module != "airflow_provider_mps.operators.submit":  # its operators are shown where people import them from
            assert public - REFERENCE[module] == set(), module
    with_all = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "airflow_provider_mps").rglob("*.py")
        if "\n__all__ = " in path.read_text(encoding="utf-8") and path.name != "__init__.py"
    }
    assert with_all <= set(REFERENCE)
