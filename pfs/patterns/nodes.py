"""What a glob pattern is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
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
class Words:
    """The alternatives that are plain text, to be looked up together however many there are."""

    place: dict[str, int]
    """Each text, and the place of the first alternative that is it."""
    lengths: tuple[int, ...]
    """How long they are, without repetition."""
    others: tuple[tuple[int, Sequence], ...]
    """The alternatives that are no plain text, with their places."""

    @classmethod
    def of(cls, alternatives: tuple[Sequence, ...]) -> Words:
        """Sort alternatives by what they are."""
        place, others = dict[str, int](), []
        for number, nodes in enumerate(alternatives):
            match nodes:
                case ():
                    place.setdefault("", number)
                case (Text(text),):
                    place.setdefault(text, number)
                case _:
                    others.append((number, nodes))
        return cls(place, tuple({len(text) for text in place}), tuple(others))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several, the first that fits; captures nothing."""

    alternatives: tuple[Sequence, ...]
    words: Words = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", Words.of(self.alternatives))


@dataclass(frozen=True, slots=True)
class Group:
    """Parentheses: captures what they match."""

    number: int
    """Its place among the parentheses of the whole pattern, by where they open; from 1."""
    sign: str
    """``@`` one, ``*`` any number, ``+`` one or more, ``?`` one or none, ``!`` a run within a name that does not
    begin with an alternative (or is not one as a whole: `Segment.refuses_whole`)."""
    alternatives: tuple[Sequence, ...]
    words: Words = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", Words.of(self.alternatives))


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
