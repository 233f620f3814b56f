"""YAML with places, read by the rules of YAML 1.2 (``on`` and ``no`` are strings, ``1:30`` is no number)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.errors import InvalidInputError
from pfs.shorten import quoted
from pps.spec.node import MAX_DEPTH, Node, Place, Scalar, checked_text, kind_of, whole_number

if TYPE_CHECKING:
    import yaml

_MERGE = "<<"
"""Of YAML 1.1, but what anchors are used with everywhere."""
_CORE = "tag:yaml.org,2002:"
_TAGS = frozenset({"str", "int", "float", "bool", "null", "seq", "map", "timestamp", "value", "merge"})
"""Tags that values have by themselves; the last three are of YAML 1.1, and those values are texts here."""
_MAX_NODES = 1_000_000
_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"": None, "~": None}
_WORDS |= dict.fromkeys(("null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)


def parse_yaml(text: str, source: str) -> list[Node]:
    """Return the documents of ``text``; empty documents are left out. Aliases are shared, not copied.

    Raises:
        InvalidInputError: it is not YAML, too deep or too much of it, or an alias contains itself; says line and
            column.
    """
    import yaml

    try:
        _check_depth(text, source)
        return list(_documents(text, source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Place(source, line, column).error(f"invalid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise InvalidInputError(f"{source}: invalid YAML: {first}") from None


def _check_depth(text: str, source: str) -> None:
    """Refuse what is nested so deeply that reading it, which is recursive, would overflow the stack."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            mark = event.start_mark
            place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
            raise place.error("invalid YAML: nested too deeply")


def _documents(text: str, source: str) -> Iterator[Node]:
    import yaml

    for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
        node = _Converter(source).convert(root) if root is not None else None
        if node is not None and node.value is not None:
            yield node


class _Converter:
    def __init__(self, source: str) -> None:
        self._source = source
        self._done: dict[int, Node] = {}
        self._open: set[int] = set()
        self._sizes: dict[int, tuple[int, int]] = {}

    def convert(self, node: yaml.Node) -> Node:
        if id(node) in self._done:
            return self._done[id(node)]
        place = self._place(node)
        if id(node) in self._open:
            raise place.error("invalid YAML: an alias contains itself")
        self._open.add(id(node))
        self._done[id(node)] = made = self._make(node, place)
        self._measure(node, place)
        self._open.discard(id(node))
        return made

    def _measure(self, node: yaml.Node, place: Place) -> None:
        """Refuse what aliases blow up: what is read later on sees each as a copy."""
        import yaml

        below = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            below = [value for _, value in node.value]
        sizes = [self._sizes[id(one)] for one in below]
        depth = 1 + max((depth for depth, _ in sizes), default=0)
        size = 1 + sum(size for _, size in sizes)
        if depth > MAX_DEPTH or size > _MAX_NODES:
            raise place.error(f"invalid YAML: {'nested too deeply' if depth > MAX_DEPTH else 'too much by aliases'}")
        self._sizes[id(node)] = depth, size

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._source, node.start_mark.line + 1, node.start_mark.column + 1)

    def _make(self, node: yaml.Node, place: Place) -> Node:
        import yaml

        if not node.tag.startswith(_CORE) or node.tag.removeprefix(_CORE) not in _TAGS:
            shown = node.tag.replace(_CORE, "!!")
            raise place.error(f"invalid YAML: the tag {quoted(shown)} has no meaning here: leave it away")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return Node(place, [self.convert(item) for item in node.value])
        text = checked_text(str(node.value), place)
        is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
        value = _scalar(text, place) if is_plain else text
        return Node(place, value, text="" if value is None or isinstance(value, str) else text)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            where, key = self._place(key_node), key_node.value
            if not isinstance(key, str):
                raise where.error("invalid YAML: a key must be a plain word")
            checked_text(key, where)
            if key == _MERGE and key_node.style is None:
                merged += self._merged(value_node)
                continue
            if key in items:
                raise where.error(f"the field {key!r} is given twice")
            items[key], keys[key] = self.convert(value_node), where
        for one in merged:
            assert isinstance(one.value, dict)
            keys = {key: one.key_place(key) for key in one.value} | keys
            items = one.value | items
        return Node(place, items, keys)

    def _merged(self, node: yaml.Node) -> list[Node]:
        """Return the mappings that ``<<`` takes in, the most important one first."""
        made = self.convert(node)
        found = made.value if isinstance(made.value, list) else [made]
        for one in found:
            if not isinstance(one.value, dict):
                raise one.place.error(f"invalid YAML: {_MERGE} takes in mappings, not {kind_of(one)}")
        return found


def _scalar(text: str, place: Place) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return whole_number(text, place)
    if _HEX.fullmatch(text):
        return whole_number(text, place)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
