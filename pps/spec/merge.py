"""Specs laid over defaults: JSON merge patch (RFC 7396) of documents that know their places."""

from __future__ import annotations

from collections.abc import Iterable

from pps.spec.fields import snake
from pps.spec.known import KNOWN, PIPELINE
from pps.spec.node import Node, Place
from pps.spec.vocabulary import Known


def effective(layers: Iterable[Node], *, keep_nulls: bool = False) -> Node:
    """Return the spec that layers make, each laid over those before it, in snake_case; null takes a field away.

    ``keep_nulls``: where there is nothing to take away it stays, so that a reader can tell of a field that it does not
    know.
    Values keep the place where they were written, so that errors point into the layer that is to blame.
    """
    made = Node(Place("", 1, 1), {})
    for layer in layers:
        made = _merged(made, in_snake_case(layer), keep_nulls=keep_nulls)
    return made


def in_snake_case(node: Node, known: Known = PIPELINE) -> Node:
    """Return a mapping with its fields, and those of the mappings below that have fields, in the one spelling.

    One that gives a field in both spellings is left as it is: its reader refuses it.
    """
    if not isinstance(node.value, dict):
        return node
    names = {key: known.name_of(key, snake(key)) for key in node.value}
    if len(set(names.values())) < len(names):
        return node
    items = {names[key]: _below(value, known, names[key]) for key, value in node.value.items()}
    return Node(node.place, items, {names[key]: node.key_place(key) for key in node.value})


def _below(value: Node, known: Known, name: str) -> Node:
    field = known.read.get(name)
    if field is None or not field.of:
        return value
    if isinstance(value.value, list):
        return Node(value.place, [in_snake_case(item, KNOWN[field.of]) for item in value.value])
    return in_snake_case(value, KNOWN[field.of])


def _merged(base: Node | None, patch: Node, *, keep_nulls: bool) -> Node:
    if not isinstance(patch.value, dict):
        return patch
    under = base.value if base is not None and isinstance(base.value, dict) else {}
    items = dict(under)
    keys = {key: base.key_place(key) for key in under} if base is not None else {}
    for key, value in patch.value.items():
        if value.value is None and (key in items or not keep_nulls):
            items.pop(key, None)
            continue
        items[key] = _merged(items.get(key), value, keep_nulls=keep_nulls)
        keys[key] = patch.key_place(key)
    return Node(patch.place, items, keys)
