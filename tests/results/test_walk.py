"""The traversal of an answer: order, paths, and what a scope leaves out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_mps.results.walk import Scope, walk, walk_bottom_up

ANSWER: dict[str, Any] = {
    "Status": "FINISH",
    "Task": {"List": [{"Path": "/a"}, None, {"Deep": {}}], "Input": {"Path": "/in"}},
    "Sentences": [{"Text": "hello"}],
}


def test_objects_and_items_come_in_document_order() -> None:
    """Each object and each item of a list has one node; its path is its place in the answer."""
    assert [node.path for node in walk(ANSWER, Scope())] == [
        "",
        "Task",
        "Task.List[0]",
        "Task.List[1]",
        "Task.List[2]",
        "Task.List[2].Deep",
        "Task.Input",
        "Sentences[0]",
    ]


def test_an_object_comes_after_its_content_bottom_up() -> None:
    """The order of a verdict: members, then the group."""
    assert [node.path for node in walk_bottom_up(ANSWER["Task"], Scope(), name="T")] == [
        "T.List[0]",
        "T.List[1]",
        "T.List[2].Deep",
        "T.List[2]",
        "T.Input",
        "T",
    ]


def test_a_scope_leaves_out_fields_and_sentences() -> None:
    """A skipped field is not entered, nor is a list of sentences; scalars come only on request."""
    scope = Scope(skip=frozenset({"Input"}), sentences=False, scalars=True)
    found = [(node.key, node.value) for node in walk(ANSWER, scope) if isinstance(node.value, str)]
    assert found == [("Status", "FINISH"), ("Path", "/a")]


def test_a_node_knows_what_encloses_it() -> None:
    """Nearest first, the node itself included; an item of a list has the name of the list."""
    [deep] = [node for node in walk(ANSWER, Scope()) if node.key == "Deep"]
    assert [node.key for node in deep.upward()] == ["Deep", "List", "Task", ""]


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    )
)
def test_both_orders_visit_the_same(value: Any) -> None:
    """Whatever the JSON value, no node is lost and none comes twice."""
    scope = Scope(scalars=True)
    assert sorted(node.path for node in walk(value, scope)) == sorted(
        node.path for node in walk_bottom_up(value, scope)
    )
