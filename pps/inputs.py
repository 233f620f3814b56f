"""From an input to its datums: leaves match paths of a commit, nodes combine what their children give.

Lazy and in a fixed order: a leaf gives its matches in key order, a cross counts up like digits, its last child fastest.
A new kind of node is a function from (node, matches) to datums and a case in `datums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Protocol

from pfs.ids import CommitId
from pps.datum import Datum, Item
from pps.spec_types import CrossInput, Input, PfsInput

if TYPE_CHECKING:
    from pfs.trees.tree import Row


class Matches(Protocol):
    """What the algebra needs of the store."""

    def commit(self, leaf: PfsInput) -> CommitId:
        """Return the commit at which this leaf is read."""
        ...

    def rows(self, leaf: PfsInput) -> Iterator[Row]:
        """Yield the files and directories that match the leaf's glob in its commit, in key order."""
        ...


def datums(node: Input, matches: Matches) -> Iterator[Datum]:
    """Yield the datums of an input; the same commits give the same datums in the same order.

    Memory: all matches of all but the first child of each cross.
    """
    match node:
        case PfsInput():
            return _pfs(node, matches)
        case CrossInput():
            return _cross(node, matches)


def _pfs(leaf: PfsInput, matches: Matches) -> Iterator[Datum]:
    commit = matches.commit(leaf)
    for row in matches.rows(leaf):
        yield (Item(leaf, commit, row),)


def _cross(node: CrossInput, matches: Matches) -> Iterator[Datum]:
    if not node.children:
        return
    first, *others = node.children
    rest = [list(datums(child, matches)) for child in others]
    if not all(rest):
        return
    for head in datums(first, matches):
        for tail in product(*rest):
            yield head + tuple(item for part in tail for item in part)
