"""The JSON Schema (2020-12) of workflow files, for editors: made of the table of fields, in both spellings."""

from __future__ import annotations

from typing import Final

from pps.spec.node import Plain
from pps.spec.schema import schemas
from pps.workflows.known import PARAM_TYPES, TABLES, WORKFLOW

_TEXT: Final[Plain] = {"type": "string"}
_WORD: Final[list[Plain]] = ["string", "number", "boolean"]
_OWN: Final[dict[tuple[str, str], Plain]] = {
    ("workflow", "version"): {"enum": [1, 1.0, "1", "1.0"]},
    ("workflow_task", "command"): {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": {"type": _WORD}},
        ]
    },
    ("workflow_task", "for_each"): {
        "anyOf": [
            {"type": "array", "minItems": 1},
            {"type": "string", "pattern": r"^\s*\{\{"},
            {"$ref": "#/$defs/for_each"},
            {"type": "null"},
        ]
    },
    ("task_input", "from"): {"anyOf": [_TEXT, {"$ref": "#/$defs/from"}, {"type": "null"}]},
    ("workflow", "params"): {
        "type": ["object", "null"],
        "additionalProperties": {"anyOf": [{"$ref": "#/$defs/param"}, {"type": [*_WORD, "array", "null"]}]},
    },
}
"""Values of fields that are read by readers of their own."""


def workflow_schema() -> dict[str, Plain]:
    """Return the schema of a workflow file.

    What the reader takes is valid; what is valid may still be refused by it (a name that does not exist, a circle).
    """
    definitions = schemas(TABLES.values())
    for (where, name), schema in _OWN.items():
        _properties(definitions[where])[name] = schema
    _properties(definitions["param"])["type"] = {"enum": [*PARAM_TYPES, "", None]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "workflow file",
        "$ref": f"#/$defs/{WORKFLOW.where}",
        "$defs": _reached(definitions, WORKFLOW.where),
    }


def _properties(definition: Plain) -> dict[str, Plain]:
    assert isinstance(definition, dict)
    properties = definition["properties"]
    assert isinstance(properties, dict)
    return properties


def _reached(definitions: dict[str, Plain], first: str) -> dict[str, Plain]:
    """Return the definitions that a workflow file may hold, not those of other specs."""
    found: dict[str, Plain] = {}
    todo = [first]
    while todo:
        key = todo.pop()
        if key not in found:
            found[key] = definitions[key]
            todo += _references(definitions[key])
    return {key: found[key] for key in sorted(found)}


def _references(schema: Plain) -> list[str]:
    if isinstance(schema, list):
        return [key for one in schema for key in _references(one)]
    if not isinstance(schema, dict):
        return []
    here = schema.get("$ref")
    below = [key for one in schema.values() for key in _references(one)]
    return [here.removeprefix("#/$defs/"), *below] if isinstance(here, str) else below
