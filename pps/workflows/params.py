"""Params of workflows: how a file declares them, and the values that a run gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, get_args

from pfs.errors import InvalidInputError
from pfs.shorten import quoted
from pfs.texts import check_text
from pps.spec.fields import Fields
from pps.spec.json import parse_json
from pps.spec.node import Node, Plain, kind_of
from pps.workflows.known import PARAM
from pps.workflows.names import check_identifier
from pps.workflows.reading import Reading, listed, nearest
from pps.workflows.types import Param, ParamType

_TYPES: Final[tuple[ParamType, ...]] = get_args(ParamType)
_FLAGS: Final = {"true": True, "false": False}
_MOST_BYTES: Final = 1 << 20


def read_params(top: Fields, reading: Reading) -> tuple[Param, ...]:
    """Return the params of a workflow in the order of the file; what is wrong with them goes to the findings."""
    node = top.get("params")
    if node is None:
        return ()
    if not isinstance(node.value, dict):
        top.bad("params", f"the field 'params' of workflow must be a mapping, not {kind_of(node)}")
        return ()
    found = []
    for name, given in node.value.items():
        try:
            check_identifier("a param", name)
        except InvalidInputError as error:
            reading.wrong(node.key_place(name), str(error))
        param = _param(name, given, reading)
        if param is not None:
            found.append(param)
    return tuple(found)


def _param(name: str, given: Node, reading: Reading) -> Param | None:
    if not isinstance(given.value, dict):
        return _with_default(Param(name), given, reading)
    fields = reading.fields(given, PARAM)
    if fields is None:
        return None
    kind, default = fields.text("type"), fields.get("default")
    if kind and kind not in _TYPES:
        fields.bad("type", f"the type of a param is one of {', '.join(_TYPES)}, not {kind!r}")
    typed = next((one for one in _TYPES if one == kind), None)
    param = Param(name, typed or "string", required=True, description=fields.text("description"))
    return param if default is None else _with_default(param, default, reading, typed=typed)


def _with_default(param: Param, node: Node, reading: Reading, *, typed: ParamType | None = None) -> Param | None:
    kind = typed or _type_of(node)
    try:
        value = _of_type(node, kind)
    except InvalidInputError as error:
        reading.wrong(node.place, f"the default of param {param.name!r}: {error}")
        return None
    return Param(param.name, kind, value, description=param.description)


def _type_of(node: Node) -> ParamType:
    match node.value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "list"
        case _:
            return "string"


def _of_type(node: Node, kind: ParamType) -> Plain:
    """Return the value of a node as a param of a type has it; a number that is to be a text stays as it is written."""
    value = node.value
    match kind:
        case "string" if isinstance(value, str):
            return value
        case "string" if isinstance(value, bool | int | float):
            return node.text
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "number" if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        case "list" if isinstance(value, list):
            return node.plain()
    raise InvalidInputError(f"it should be {_named(kind)}, not {kind_of(node)}")


def _named(kind: ParamType) -> str:
    return {
        "string": "a string",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "list": "a list",
    }[kind]


def param_values(params: tuple[Param, ...], given: Mapping[str, str]) -> dict[str, Plain]:
    """Return the value of each param: what a run was told, else the default. A list is written as JSON.

    Raises:
        InvalidInputError: there is no such param, a value is not of its type, or one that has no default is missing.
    """
    known = {param.name: param for param in params}
    for name in given.keys() - known.keys():
        advice = nearest(name, known, otherwise=listed(list(known), none="the workflow has none"))
        raise InvalidInputError(f"the workflow has no param {quoted(name)}: {advice}")
    missing = [param.name for param in params if param.required and param.name not in given]
    if missing:
        raise InvalidInputError(f"the param {missing[0]!r} has no default: give it with --param {missing[0]}=VALUE")
    return {
        param.name: value_of(param, given[param.name]) if param.name in given else param.default for param in params
    }


def value_of(param: Param, text: str) -> Plain:
    """Return what a text means as the value of a param.

    Raises:
        InvalidInputError: it is not of the param's type, or not valid UTF-8.
    """
    if len(check_text(text).encode()) > _MOST_BYTES or "\0" in text:
        raise InvalidInputError(f"the value of param {param.name!r} is too long, or has a NUL byte")
    if param.type == "string":
        return text
    if param.type == "boolean" and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    try:
        (node,) = parse_json(text, f"param {param.name!r}")
        return _of_type(node, param.type)
    except (InvalidInputError, ValueError):
        hint = "; write it as JSON, such as " + json.dumps(["a", "b"]) if param.type == "list" else ""
        what = f"the param {param.name!r} is {_named(param.type)}, which {quoted(text)} is not{hint}"
        raise InvalidInputError(what) from None
