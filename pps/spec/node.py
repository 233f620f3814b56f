"""A parsed document with the place of every value, so that errors can name line and column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from pfs.errors import InvalidInputError

MAX_DEPTH = 200
"""Mappings and lists inside one another, in JSON and YAML alike."""
Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

_MAX_DIGITS = 400


class Place(NamedTuple):
    """Where a value stands: file, URL or ``-``; line and column from 1."""

    source: str
    line: int
    column: int

    def error(self, message: str) -> InvalidInputError:
        """Return the error that says what is wrong here."""
        return InvalidInputError(f"{self.source}:{self.line}:{self.column}: {message}")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place; the keys of a mapping have places of their own.

    ``text``: a number, true or false as it was written, for fields that hold text; empty for all others.
    """

    place: Place
    value: Scalar | list[Node] | dict[str, Node]
    keys: dict[str, Place] | None = None
    text: str = ""

    def key_place(self, key: str) -> Place:
        """Return where a key of the mapping stands."""
        return (self.keys or {}).get(key, self.place)

    def plain(self) -> Plain:
        """Return the value without places."""
        match self.value:
            case list():
                return [item.plain() for item in self.value]
            case dict():
                return {key: item.plain() for key, item in self.value.items()}
            case float() if not math.isfinite(self.value):
                return self.text  # 1e400, which as a number no JSON could say
            case _:
                return self.value

    @property
    def is_unset(self) -> bool:
        """Whether the value is what protobuf's JSON takes for absent: null, false, 0 or an empty string."""
        return self.value is None or (not isinstance(self.value, list | dict) and not self.value)


def whole_number(text: str, place: Place) -> int:
    """Return the number that digits stand for.

    Raises:
        InvalidInputError: they are too many for any field.
    """
    if len(text) > _MAX_DIGITS:
        raise place.error(f"a number of {len(text)} digits is out of range")
    return int(text, 0 if text.startswith(("0x", "0o")) else 10)


def checked_text(text: str, place: Place) -> str:
    """Return a string if it is text.

    Raises:
        InvalidInputError: it holds half of a surrogate pair, which no file or command can hold.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise place.error("the string has half of a surrogate pair, which is no character") from None
    return text


def kind_of(node: Node) -> str:
    """Return what the value is, for messages."""
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true or false"
        case None:
            return "null"
        case str():
            return "a string"
        case _:
            return "a number"
