"""What a table of fields says of each: what kind of value it has, and whether it is read, noted or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from pps.spec.node import Plain


class Kind(Enum):
    """What the value of a field is."""

    TEXT = auto()
    TEXTS = auto()
    WORDS = auto()
    COUNT = auto()
    COUNTS = auto()
    FLAG = auto()
    SECONDS = auto()
    TEXT_MAP = auto()
    CHILD = auto()
    CHILDREN = auto()
    ONE_OR_MORE = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A field that is read. ``of``: the `Known` of a child or of each of the children, by its ``where``.

    ``choices``: the texts that it may be; empty for any. ``help``: what it means, for editors.
    """

    kind: Kind
    help: str
    of: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """The fields of one kind of mapping; ``where`` names it in messages, ``noted`` and ``refused`` give the reasons.

    ``usual``: values of noted fields that say what is so in any case, of which nothing is told. ``json``: noted fields
    that must be JSON where they are a text. ``shown_by``: the command that shows which fields there are.
    """

    where: str
    read: Mapping[str, Field]
    noted: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, Sequence[Plain]] = field(default_factory=dict)
    json: frozenset[str] = frozenset()
    shown_by: str = "pps schema"

    def name_of(self, key: str, name: str) -> str:
        """Return the ``name`` of a field that is written as ``key``; of one that nobody knows, the ``key`` itself."""
        return name if name in self.read or name in self.noted or name in self.refused else key
