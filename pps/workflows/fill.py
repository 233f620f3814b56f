"""References whose values are known while a file is read, put into its texts; places stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pps.spec.node import Node
from pps.spec.template import TemplateError, parse_template


def fill(node: Node, values: Mapping[str, str]) -> Node:
    """Return a document with ``values`` in the place of references; texts that are no templates stay as they are."""
    match node.value:
        case list():
            return replace(node, value=[fill(item, values) for item in node.value])
        case dict():
            # A condition has names of its own, with braces or without.
            items = {key: item if key == "when" else fill(item, values) for key, item in node.value.items()}
            return replace(node, value=items)
        case str() if "{{" in node.value:
            return replace(node, value=fill_text(node.value, values))
        case _:
            return node


def fill_text(text: str, values: Mapping[str, str]) -> str:
    """Return a template with the values of references in their place, as text; others stay as they are written."""
    try:
        references = parse_template(text).references
    except TemplateError:
        return text
    for reference in reversed(references):
        value = values.get(str(reference))
        if value is not None:
            end = text.index("}}", reference.offset) + 2
            text = text[: reference.offset] + value.replace("{{", "{{{{") + text[end:]
    return text
