"""Conditions, checked against what is known of their values when a file is read: the kinds of params and of items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pfs.errors import InvalidInputError
from pps.spec.node import Plain
from pps.spec.template import Reference
from pps.workflows.types import ParamType, TaskDef, Workflow
from pps.workflows.when import Condition, Expression, List, Literal, Operation, value_kind

UNKNOWN: Final = ""
_FLAG: Final = value_kind(True)
_TEXT: Final = value_kind("")
_LIST: Final = value_kind([])
_ORDERED: Final = (UNKNOWN, _TEXT, value_kind(0))
_OF_PARAMS: Final[dict[ParamType, str]] = {
    "string": _TEXT,
    "integer": value_kind(0),
    "number": value_kind(0.5),
    "boolean": _FLAG,
    "list": _LIST,
}
_Kinds = Callable[[Reference], str]


def check_kinds(workflow: Workflow, task: TaskDef, condition: Condition) -> None:
    """Check that a condition whose references all mean something can be true or false, whatever a run is told.

    Of items that differ in kind, and of those that a param or the files of an input give, too little is known.

    Raises:
        InvalidInputError: values are compared that have no order, or something is neither true nor false.
    """
    _expect_flag(_kind(condition.expression, lambda one: _of(workflow, task, one)), condition.text)


def _of(workflow: Workflow, task: TaskDef, reference: Reference) -> str:
    """Return the kind of what a reference stands for, `UNKNOWN` if that is not known yet."""
    match reference.names:
        case ("params", name):
            return next((_OF_PARAMS[one.type] for one in workflow.params if one.name == name), UNKNOWN)
        case ("item", *names):
            return _of_items(task, names, reference)
        case _:
            return _TEXT


def _of_items(task: TaskDef, names: list[str], reference: Reference) -> str:
    each = task.for_each
    if each is None or not each.items:
        return UNKNOWN if names or each is None or not each.is_of_files else _TEXT
    found = [_below(item, names) for item in each.items]
    if not any(found):
        raise InvalidInputError(f"there is no {reference}: no item has it")
    kinds = {value_kind(one[0]) if one else UNKNOWN for one in found}
    return kinds.pop() if len(kinds) == 1 else UNKNOWN


def _below(value: Plain, names: list[str]) -> tuple[Plain] | tuple[()]:
    """Return what is there below a value, in a tuple of its own; none if there is nothing."""
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return ()
        value = value[name]
    return (value,)


def _kind(node: Expression, kinds: _Kinds) -> str:
    """Return the kind of a value, `UNKNOWN` if that is not known; raises where it can have none."""
    match node:
        case Literal(value):
            return value_kind(value)
        case Reference():
            return kinds(node)
        case List(items):
            for item in items:
                _kind(item, kinds)
            return _LIST
        case Operation("not" | "and" | "or" as sign, operands):
            for operand in operands:
                _expect_flag(_kind(operand, kinds), sign)
        case Operation(sign, (left, right)):
            _check_compared(sign, _kind(left, kinds), _kind(right, kinds))
    return _FLAG


def _check_compared(sign: str, left: str, right: str) -> None:
    if sign in {"in", "not in"}:
        if right not in {UNKNOWN, _LIST} and (right != _TEXT or left not in {UNKNOWN, _TEXT}):
            what = f"for {left} in {right}" if right == _TEXT else f"in {right}"
            raise InvalidInputError(f"'in' looks in a list, or for a string in a string, not {what}")
    elif sign not in {"==", "!="}:
        same = UNKNOWN in {left, right} or left == right
        if left not in _ORDERED or right not in _ORDERED or not same:
            sides = f"{left or 'a value'} with {right or 'a value'}"
            raise InvalidInputError(f"{sign!r} compares two numbers or two strings, not {sides}")


def _expect_flag(kind: str, where: str) -> None:
    if kind not in {UNKNOWN, _FLAG}:
        raise InvalidInputError(f"{where!r} needs true or false, not {kind}")
