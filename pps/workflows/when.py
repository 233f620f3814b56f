"""Conditions of tasks (``when``): a formal grammar, read once and worked out without running anything.

    condition  = all { "or" all } ;
    all        = one { "and" one } ;
    one        = "not" one | comparison ;
    comparison = value [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in" ) value ] ;
    value      = string | number | "true" | "false" | list | reference | "(" condition ")" ;
    list       = "[" [ value { "," value } ] "]" ;
    reference  = name { "." name } | "{{" name { "." name } "}}" ;
    string     = '"' { character } '"' | "'" { character } "'" ;     a backslash takes the next character as it is

A condition and what ``and``, ``or`` and ``not`` take is true or false. Values of different types are not equal; only
two numbers or two strings have an order; ``in`` looks for a value in a list or for a string in a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pfs.errors import InvalidInputError
from pps.spec.node import Plain
from pps.spec.template import Reference, TemplateError

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*"
_TOKEN: Final = re.compile(
    rf"""\s*(?:
        (?P<braced>\{{\{{\s*{_NAME}\s*\}}\}})
      | (?P<name>{_NAME})
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS: Final = ("==", "!=", "<=", ">=", "<", ">", "in", "not in")
_WORDS: Final = {"true": True, "false": False}
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", *_WORDS})
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the text."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class List:
    """Values in brackets."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """``not`` with one operand, ``and`` and ``or`` with two or more, a comparison with two."""

    sign: str
    operands: tuple[Expression, ...]


Expression = Literal | List | Reference | Operation
Lookup = Callable[[Reference], Plain]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as it was written, and what it says."""

    text: str
    expression: Expression

    @property
    def references(self) -> tuple[Reference, ...]:
        """What it asks for, in order."""
        return tuple(_references(self.expression))

    def holds(self, lookup: Lookup) -> bool:
        """Say whether it holds; ``lookup`` gives the values, and whatever it raises goes through.

        Raises:
            InvalidInputError: values are compared that have no order, or something is neither true nor false.
        """
        return _truth(_value(self.expression, lookup), self.text)


def parse_condition(text: str) -> Condition:
    """Return what a condition says.

    Raises:
        TemplateError: it is none; with the offset where it ceases to be one.
    """
    parser = _Parser(text)
    found = parser.condition()
    parser.expect_end()
    return Condition(text, found)


def _references(node: Expression) -> Iterator[Reference]:
    match node:
        case Reference():
            yield node
        case List(items):
            for item in items:
                yield from _references(item)
        case Operation(_, operands):
            for operand in operands:
                yield from _references(operand)
        case Literal():
            pass


def _value(node: Expression, lookup: Lookup) -> Plain:
    match node:
        case Literal(value):
            return value
        case Reference():
            return lookup(node)
        case List(items):
            return [_value(item, lookup) for item in items]
        case Operation("not", (operand,)):
            return not _truth(_value(operand, lookup), "not")
        case Operation("and", operands):
            return all(_truth(_value(one, lookup), "and") for one in operands)
        case Operation("or", operands):
            return any(_truth(_value(one, lookup), "or") for one in operands)
        case Operation(sign, (left, right)):
            return _compare(sign, _value(left, lookup), _value(right, lookup))
        case _:
            raise AssertionError(node)


def _compare(sign: str, left: Plain, right: Plain) -> bool:
    match sign:
        case "==" | "!=":
            return _equal(left, right) == (sign == "==")
        case "in" | "not in":
            return _within(left, right) == (sign == "in")
        case _:
            return _ordered(sign, left, right)


def _equal(left: Plain, right: Plain) -> bool:
    """Say whether two values are the same; 1 and true are not."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right


def _within(left: Plain, right: Plain) -> bool:
    if isinstance(right, list):
        return any(_equal(left, one) for one in right)
    if isinstance(left, str) and isinstance(right, str):
        return left in right
    raise InvalidInputError(f"'in' looks in a list, or for a string in a string, not in {value_kind(right)}")


def _ordered(sign: str, left: Plain, right: Plain) -> bool:
    # Strings by code points, which is the order of their bytes as UTF-8.
    if isinstance(left, str) and isinstance(right, str):
        return _by(sign, (left > right) - (left < right))
    if _is_number(left) and _is_number(right):
        assert isinstance(left, int | float)
        assert isinstance(right, int | float)
        return _by(sign, (left > right) - (left < right))
    sides = f"{value_kind(left)} with {value_kind(right)}"
    raise InvalidInputError(f"{sign!r} compares two numbers or two strings, not {sides}")


def _by(sign: str, order: int) -> bool:
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[sign]


def _is_number(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _truth(value: Plain, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInputError(f"{where!r} needs true or false, not {value_kind(value)}")
    return value


def value_kind(value: Plain) -> str:
    """Return what kind of value one is, in words for messages."""
    match value:
        case bool():
            return "true or false"
        case None:
            return "nothing"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "a number"


class _Parser:
    """Recursive descent; ``_kind`` and ``_text`` are the next token, which begins at ``_start``."""

    def __init__(self, text: str) -> None:
        self._all, self._at, self._start, self._depth = text, 0, 0, 0
        self._kind, self._text = "", ""
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._all, self._at)
        if match is None:
            rest = self._all[self._at :]
            self._start = self._at + len(rest) - len(rest.lstrip())
            if rest.strip():
                raise TemplateError(f"{rest.strip()[:20]!r} cannot be read in a condition", self._start)
            self._kind, self._text = "end", "its end"
            return
        self._kind = match.lastgroup or ""
        self._text, self._start, self._at = match[self._kind], match.start(self._kind), match.end()

    def _take(self, text: str) -> bool:
        if self._kind in {"name", "sign"} and self._text == text:
            self._next()
            return True
        return False

    def _wrong(self, wanted: str) -> TemplateError:
        found = self._text if self._kind == "end" else repr(self._text)
        return TemplateError(f"a condition needs {wanted} here, not {found}", self._start)

    def expect_end(self) -> None:
        if self._kind != "end":
            raise self._wrong("and, or, or its end")

    def condition(self) -> Expression:
        return self._several("or", self._all_of)

    def _all_of(self) -> Expression:
        return self._several("and", self._one)

    def _several(self, word: str, operand: Callable[[], Expression]) -> Expression:
        found = [operand()]
        while self._take(word):
            found.append(operand())
        return found[0] if len(found) == 1 else Operation(word, tuple(found))

    def _one(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TemplateError("the condition is nested too deeply", self._start)
        found = Operation("not", (self._one(),)) if self._take("not") else self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        left = self._value()
        sign = self._text if self._kind in {"name", "sign"} else ""
        if sign == "not":
            self._next()
            if self._text != "in":
                raise self._wrong("in")
            sign = "not in"
        if sign not in _COMPARISONS:
            return left
        self._next()
        return Operation(sign, (left, self._value()))

    def _value(self) -> Expression:
        kind, text, start = self._kind, self._text, self._start
        if kind in {"end", "sign"} or (kind == "name" and text in _KEYWORDS - _WORDS.keys()):
            return self._enclosed()
        self._next()
        match kind:
            case "string":
                return Literal(re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL))
            case "number":
                return Literal(float(text) if set(text) & set(".eE") else int(text))
            case "name" if text in _WORDS:
                return Literal(_WORDS[text])
            case _:
                return Reference(tuple(text.strip("{} \t\r\n").split(".")), start)

    def _enclosed(self) -> Expression:
        if self._take("("):
            found = self.condition()
            if not self._take(")"):
                raise self._wrong("')'")
            return found
        if self._take("["):
            return List(tuple(self._items()))
        raise self._wrong("a value")

    def _items(self) -> Iterator[Expression]:
        while not self._take("]"):
            yield self._value()
            if self._text != "]" and not self._take(","):
                raise self._wrong("',' or ']'")
