"""What a glob pattern is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character of a class; never a slash."""

    regex: str
    """The class as a regular expression of one character; only those that are no slash count."""


@dataclass(frozen=True, slots=True)
class Star:
    """Any run of characters, the longest that fits."""

    deep: bool
    """Whether slashes are among them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several, the first that fits; captures nothing."""

    alternatives: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Parentheses: captures what they match."""

    number: int
    """Its place among the parentheses of the whole pattern, by where they open; from 1."""
    sign: str
    """``@`` one, ``*`` any number, ``+`` one or more, ``?`` one or none, ``!`` a run within a name that does not
    begin with an alternative (or is not one as a whole: `Segment.refuses_whole`)."""
    alternatives: tuple[Sequence, ...]


Node: TypeAlias = "Text | OneOf | Star | Choice | Group"
Sequence: TypeAlias = "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes of a pattern."""

    nodes: Sequence
    literal: str
    """The text before the first special character; all of it if there is none."""
    special: bool
    """Whether it has special characters."""
    deep: bool
    """Whether it may match a slash."""
    refuses_whole: int
    """The number of the ``!( )`` whose alternatives must reach to the end of a name to be refused, 0 for none.

    That is the last one to close, unless text or a star stands behind it; all others refuse what only begins so.
    """
