"""The JSON Schema (2020-12) of spec files, for editors: made of the table of fields, in both spellings.

What the reader takes is valid; what is valid may still be refused by it (a name that is taken, a glob that is none).
"""

from __future__ import annotations

from collections.abc import Iterable

from pps.spec.fields import ALSO, DURATION_PATTERN, FLAG_TEXTS, MAX_COUNT, camel
from pps.spec.known import KNOWN, PIPELINE
from pps.spec.node import Plain
from pps.spec.vocabulary import Field, Kind, Known

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: list[Plain] = ["string", "number", "boolean"]
_ITEM: dict[str, Plain] = {"type": _SCALARS}
_COUNT: dict[str, Plain] = {"type": ["integer", "string", "null"], "minimum": 0, "maximum": MAX_COUNT}
_ABSENT: list[Plain] = [None, False, 0, ""]


def spec_schema() -> dict[str, Plain]:
    """Return the schema of a document of a spec file: a pipeline, or a list of pipelines."""
    pipeline = _ref(PIPELINE.where)
    return {
        "$schema": _DRAFT,
        "title": "pipeline spec",
        "anyOf": [pipeline, {"type": "array", "items": pipeline}],
        "$defs": schemas(KNOWN.values()),
    }


def schemas(tables: Iterable[Known]) -> dict[str, Plain]:
    """Return the schemas of mappings by the key that references to them have."""
    return {_key(known.where): _mapping(known) for known in tables}


def _mapping(known: Known) -> Plain:
    properties: dict[str, Plain] = {}
    for name, one in known.read.items():
        properties |= _spelt(name, {"description": one.help, **_value(one)})
    for name, reason in known.noted.items():
        properties |= _spelt(name, {"description": reason})
    for name, reason in known.refused.items():
        properties |= _spelt(name, {"description": reason, "enum": _ABSENT})
    required: list[Plain] = [name for name, one in known.read.items() if one.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _spelt(name: str, schema: dict[str, Plain]) -> dict[str, Plain]:
    return dict.fromkeys((name, camel(name), *ALSO.get(name, ())), schema)


def _value(one: Field) -> dict[str, Plain]:
    match one.kind:
        case Kind.TEXT if one.choices:
            return {"enum": [*one.choices, "", None]}
        case Kind.TEXT:
            return {"type": ["string", "number", "boolean", "null"]}
        case Kind.TEXTS | Kind.WORDS:
            return {"type": ["array", "string", "null"], "items": _ITEM}
        case Kind.COUNT:
            return _COUNT | {"pattern": "^[0-9]+$"}
        case Kind.COUNTS:
            return {"type": ["array", "null"], "items": {**_COUNT, "type": ["integer", "string"]}}
        case Kind.FLAG:
            return {"enum": [True, False, None, *FLAG_TEXTS]}
        case Kind.SECONDS:
            return {"type": ["string", "number", "null"], "minimum": 0, "pattern": f"^{DURATION_PATTERN}$"}
        case Kind.TEXT_MAP:
            return {"type": ["object", "null"], "additionalProperties": {**_ITEM, "type": [*_SCALARS, "null"]}}
        case Kind.CHILD:
            return {"anyOf": [_ref(one.of), {"type": "null"}]}
        case Kind.ONE_OR_MORE:
            return {"anyOf": [_ref(one.of), {"type": "array", "items": _ref(one.of)}, {"type": "null"}]}
        case Kind.CHILDREN:
            return {"type": ["array", "null"], "items": _ref(one.of)}
        case Kind.OTHER:
            return {}


def _ref(where: str) -> Plain:
    return {"$ref": f"#/$defs/{_key(where)}"}


def _key(where: str) -> str:
    return where.replace(" ", "_")
