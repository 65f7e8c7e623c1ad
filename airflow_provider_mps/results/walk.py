"""
The one traversal of an answer. Each finder is a match on the nodes that :func:`walk` yields.

MPS has dozens of result classes and adds more, but it reuses the names of their fields. So finders go by field names,
at any depth. What each finder visits is listed here, side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

# Echoes of the request. They repeat input addresses, notification tokens and S3 keys, and add nothing.
ECHOES = frozenset({"Input", "InputInfo", "InputInfos", "TaskNotifyConfig", "ImageTask"})
_METADATA = frozenset({"MetaData", "Metadatas"})


class Scope(NamedTuple):
    """
    The part of an answer that a finder visits.

    :param skip: fields that it does not enter.
    :param sentences: enter lists of recognized sentences or words, under any name. They may hold 100,000 items.
    :param scalars: visit also the fields that are texts, numbers or null.
    """

    skip: frozenset[str] = frozenset()
    sentences: bool = True
    scalars: bool = False


VERDICT = Scope(ECHOES | _METADATA | {"SegmentSet", "Wordlist", "OutputStorage", "Storage"})
OUTPUTS = Scope(ECHOES | _METADATA, sentences=False)
TEXTS = Scope(ECHOES, sentences=False)
SUBTITLES = Scope(frozenset({"Input", "SegmentSet", "MetaData"}))
SOURCES = Scope(sentences=False)  # sources are in the echoes
ADDRESSES = Scope(frozenset({"SegmentSet"}), scalars=True)
SECRETS = Scope(scalars=True)  # a secret can be anywhere

_SCALARS = frozenset({str, int, float, bool, type(None)})


class Node(msgspec.Struct, frozen=True, eq=False, gc=False):
    """
    One value of an answer.

    :param key: the name of its field. An item of a list has the name of the list.
    :param value: object or scalar.
    :param path: for example ``WorkflowTask.MediaProcessResultSet[1].TranscodeTask``.
    :param parent: the node of the object that encloses it, None for the root.
    :param index: the position in a list, None for the value of a field.
    """

    key: str
    value: Any
    path: str
    parent: Node | None = None
    index: int | None = None

    def upward(self) -> Iterator[Node]:
        """This node, then the nodes that enclose it, nearest first."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


def walk(value: Any, scope: Scope, *, name: str = "") -> Iterator[Node]:
    """
    The objects of a JSON value, and the items of its lists, in document order. An object comes before its content.

    :param name: key of the root; all paths begin with it.
    """
    pending = [Node(name, value, name)]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(_children(node, scope))


def walk_bottom_up(value: Any, scope: Scope, *, name: str = "") -> Iterator[Node]:
    """Like :func:`walk`, but an object comes after its content."""
    nodes, pending = [], [Node(name, value, name)]
    while pending:
        nodes.append(node := pending.pop())
        pending += _children(node, scope)
    return reversed(nodes)


def _children(node: Node, scope: Scope) -> list[Node]:
    skip, sentences, scalars = scope
    value, children = node.value, []
    if type(value) in _SCALARS:
        return []
    if not isinstance(value, Mapping):
        return _items(node.key, value, node.path, node, sentences)
    prefix = f"{node.path}." if node.path else ""
    for key, item in value.items():
        if type(item) in _SCALARS:
            if scalars and key not in skip:
                children.append(Node(key, item, f"{prefix}{key}", node))
        elif key in skip:
            continue
        elif isinstance(item, Mapping):
            children.append(Node(key, item, f"{prefix}{key}", node))
        else:
            children += _items(key, item, f"{prefix}{key}", node, sentences)
    return children


def _items(key: str, value: Any, path: str, holder: Node, sentences: bool) -> list[Node]:
    if not isinstance(value, (list, tuple)) or (not sentences and _is_sentences(value)):
        return []
    return [Node(key, item, f"{path}[{index}]", holder, index) for index, item in enumerate(value)]


def _is_sentences(items: Sequence[Any]) -> bool:
    return bool(items) and isinstance(items[0], Mapping) and ("Text" in items[0] or "Word" in items[0])
