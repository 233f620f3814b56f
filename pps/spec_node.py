"""A parsed document with the place of every value, so that errors can name line and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pfs.errors import InvalidInputError

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


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
    """A value and its place; the keys of a mapping have places of their own."""

    place: Place
    value: Scalar | list[Node] | dict[str, Node]
    keys: dict[str, Place] | None = None

    def plain(self) -> Plain:
        """Return the value without places."""
        match self.value:
            case list():
                return [item.plain() for item in self.value]
            case dict():
                return {key: item.plain() for key, item in self.value.items()}
            case _:
                return self.value

    @property
    def is_unset(self) -> bool:
        """Whether the value is what protobuf's JSON takes for absent: null, false, 0 or an empty string."""
        return self.value is None or (not isinstance(self.value, list | dict) and not self.value)


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
