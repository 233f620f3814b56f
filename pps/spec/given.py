"""A document as it was given, as JSON: what the store keeps beside the normalised spec, and shows people."""

from __future__ import annotations

import json

from pps.spec.fields import snake
from pps.spec.known import KNOWN, PIPELINE
from pps.spec.node import Node, Plain
from pps.spec.vocabulary import Field, Kind, Known

_TEXTS = frozenset({Kind.TEXT, Kind.TEXTS, Kind.WORDS, Kind.TEXT_MAP})


def given_text(node: Node, *, nulls: bool = True) -> str:
    """Return a pipeline spec as JSON that says the same and is read back so, with ``nulls`` in its mappings or without.

    In fields that hold text, a number that JSON would write otherwise is a string: ``1.10``, ``007`` and ``0x1F``.
    """
    plain = _mapping(node, PIPELINE)
    return json.dumps(plain if nulls else _without_nulls(plain), indent=2, ensure_ascii=False)


def _without_nulls(plain: Plain) -> Plain:
    if not isinstance(plain, dict):
        return plain
    return {key: _without_nulls(value) for key, value in plain.items() if value is not None}


def _mapping(node: Node, known: Known) -> Plain:
    if not isinstance(node.value, dict):
        return node.plain()
    return {key: _value(value, known.read.get(snake(key))) for key, value in node.value.items()}


def _value(node: Node, field: Field | None) -> Plain:
    if field is not None and field.kind in _TEXTS:
        return _as_written(node)
    if field is None or not field.of:
        return node.plain()
    if isinstance(node.value, list):
        return [_mapping(item, KNOWN[field.of]) for item in node.value]
    return _mapping(node, KNOWN[field.of])


def _as_written(node: Node) -> Plain:
    match node.value:
        case list():
            return [_as_written(item) for item in node.value]
        case dict():
            return {key: _as_written(item) for key, item in node.value.items()}
        case _:
            return node.text if node.text and node.text != json.dumps(node.value) else node.value
