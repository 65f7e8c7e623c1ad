"""Whatever is templated may come from another task, from Jinja or from a mapping: no constructor looks at it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_mps.operators import mps as operators
from airflow_provider_mps.sensors.mps import MpsTaskSensor

_CLASSES: list[type[BaseOperator]] = [*(getattr(operators, name) for name in operators.__all__), MpsTaskSensor]
_DICTS = {"request", "parameters"}
_EACH = pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind in _CLASSES for field in kind.template_fields],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)


def _arguments(kind: type[BaseOperator], **given: Any) -> dict[str, Any]:
    """The arguments that have no default, and those that are given."""
    parameters = inspect.signature(kind).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY and p.name != "task_id"]
    return {name: {} if name in _DICTS else "x" for name in needed} | given


@pytest.mark.fault("F72")
@_EACH
def test_a_constructor_keeps_what_it_is_given(kind: type[BaseOperator], field: str) -> None:
    """A template field is stored as it came, whatever it is: it may not be rendered yet."""
    value = object()
    assert getattr(kind(task_id="a_task", **_arguments(kind, **{field: value})), field) is value


@pytest.mark.fault("F72")
@_EACH
def test_a_field_comes_from_another_task(kind: type[BaseOperator], field: str) -> None:
    """The output of a task can be given for each, alone and inside a dict, and makes it run after that task."""
    with DAG("a_dag", schedule=None):
        upstream = BaseOperator(task_id="upstream")
        value: Any = {"InputInfo": upstream.output} if field in _DICTS else upstream.output
        operator = kind(task_id="a_task", **_arguments(kind, **{field: value}))
    assert operator.upstream_task_ids == {"upstream"}


@pytest.mark.fault("F72")
@_EACH
def test_a_field_is_rendered(kind: type[BaseOperator], field: str) -> None:
    """Jinja works in each, at any depth."""
    value: Any = {"a": [{"b": "{{ word }}"}]} if field in _DICTS else "{{ word }}"
    with DAG("a_dag", schedule=None):
        operator = kind(task_id="a_task", **_arguments(kind, **{field: value}))
    operator.render_template_fields({"word": "rendered"})  # type: ignore[typeddict-unknown-key]
    assert getattr(operator, field) == ({"a": [{"b": "rendered"}]} if field in _DICTS else "rendered")


@pytest.mark.fault("F72")
@_EACH
def test_a_field_is_mapped(kind: type[BaseOperator], field: str) -> None:
    """Each can be expanded over, beside what else the operator needs."""
    values: list[Any] = [{"a": 1}, {"a": 2}] if field in _DICTS else ["a", "b"]
    others = {name: value for name, value in _arguments(kind).items() if name != field}
    with DAG("a_dag", schedule=None):
        mapped = kind.partial(task_id="a_task", **others).expand(**{field: values})
    assert mapped.is_mapped
