"""From an input to its datums: leaves match paths of a commit, nodes combine what their children give.

Lazy and in a fixed order: a leaf gives its matches in key order, a cross counts up like digits, its last child fastest;
a union gives its children's datums one after the other; joins and groups go by their texts, in the order of code
points. In a join or group, each file of a child's datums counts for itself, by the ``join_on`` or ``group_by`` of its
own leaf, so they nest with everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, Protocol

from pfs.errors import InvalidInputError
from pfs.ids import CommitId
from pps.datums.datum import Datum, Item
from pps.spec.types import CrossInput, GroupInput, Input, JoinInput, PfsInput, UnionInput

if TYPE_CHECKING:
    from pfs.trees.tree import Row


class EmptyKeyError(InvalidInputError):
    """A file in a join has no text to be joined by; it would go with all such files, as in a cross: ``(item)``."""

    kind = "empty-key"

    def __init__(self, item: Item) -> None:
        super().__init__(item)
        self.item = item

    def __str__(self) -> str:
        leaf, key = self.item.leaf, self.item.leaf.join_on
        what = f"{leaf.repo}@{leaf.branch}:{self.item.path} of input {leaf.name!r} cannot be joined"
        why = f"the glob {leaf.glob!r} captures nothing of it for join_on {key!r}"
        return f"{what}: {why}; write a glob that does not match it, or one that captures at least a character"


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

    Raises:
        EmptyKeyError: a file in a join has no text to be joined by.

    Memory: all matches of all but the first child of each cross, and of all children of a join or group.
    """
    match node:
        case PfsInput():
            return _pfs(node, matches)
        case CrossInput():
            return _cross(node, matches)
        case UnionInput():
            return chain.from_iterable(datums(child, matches) for child in node.children)
        case JoinInput():
            return _join(node, matches)
        case GroupInput():
            return _group(node, matches)


def _pfs(leaf: PfsInput, matches: Matches) -> Iterator[Datum]:
    commit = matches.commit(leaf)
    return ((Item(leaf, commit, row),) for row in matches.rows(leaf))


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


Items = Mapping[str, Sequence[Item]]
"""The files of one child by the text that they are put together by."""


def _join(node: JoinInput, matches: Matches) -> Iterator[Datum]:
    sides = [_by_text(child, matches, _join_text) for child in node.children]
    for text in sorted({text for side in sides for text in side}):
        found = [side.get(text, ()) for side in sides]
        if not all(found):
            found = [kept for items in found if (kept := [item for item in items if item.leaf.outer_join])]
        if found:
            yield from product(*found)


def _join_text(item: Item) -> str:
    if item.has_empty_key:
        raise EmptyKeyError(item)
    return item.join_on


def _group(node: GroupInput, matches: Matches) -> Iterator[Datum]:
    sides = [_by_text(child, matches, lambda item: item.group_by) for child in node.children]
    for text in sorted({text for side in sides for text in side}):
        yield tuple(item for side in sides for item in side.get(text, ()))


def _by_text(child: Input, matches: Matches, text_of: Callable[[Item], str]) -> Items:
    """Return each file of a child once, though a cross below may have it in many datums."""
    found: defaultdict[str, dict[tuple[PfsInput, bytes], Item]] = defaultdict(dict)
    for datum in datums(child, matches):
        for item in datum:
            found[text_of(item)].setdefault((item.leaf, item.row.key), item)
    return {text: list(items.values()) for text, items in found.items()}
