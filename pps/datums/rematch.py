"""How what a glob matches in one tree differs from what it matches in another, at the cost of what changed.

A million files of which one changed are not listed again: the changed paths say which matches may be others, as a match
is a changed file or a directory above one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pfs.glob import Glob
from pfs.trees.diff import diff
from pfs.trees.page import Kind
from pfs.trees.row import Row
from pfs.trees.tree import Tree


class Rematch(NamedTuple):
    """One key that matches: what is there in the old tree and in the new one; None where there is nothing."""

    old: Row | None
    new: Row | None


def rematched(glob: Glob, old: Tree, new: Tree, *, most: int) -> list[Rematch] | None:
    """Return the matches that are not the same in both trees, in key order; those of equal content are the same.

    None: it takes a listing of both to say, as more than ``most`` files changed, or for keys that only S3 has: with
    empty names in them, or a file and a directory at once.
    """
    candidates: set[bytes] = set()
    literal = glob.literal_prefix[1:].encode(errors="surrogateescape")
    for number, change in enumerate(diff(old.pages, old.root, new.pages, new.root, prefix=literal)):
        if number >= most or b"//" in b"/%s/" % change.key:
            return None
        candidates.update(_matches_above(glob, change.key))
    found = []
    for key in sorted(candidates):
        sides = _at(old, key), _at(new, key)
        if any(len(rows) > 1 for rows in sides):
            return None
        before, after = (next(iter(rows), None) for rows in sides)
        if (before and before.tid) != (after and after.tid):
            found.append(Rematch(before, after))
    return found


def _matches_above(glob: Glob, key: bytes) -> Iterator[bytes]:
    """Yield of a file and the directories above it those that match."""
    parts = key.split(b"/")
    is_deep = any(segment.deep for segment in glob.segments)
    for depth in range(len(parts) + 1) if is_deep else (len(glob.segments),):
        above = b"/".join(parts[:depth])
        if depth <= len(parts) and glob.match("/" + above.decode(errors="surrogateescape")):
            yield above


def _at(tree: Tree, key: bytes) -> list[Row]:
    rows = (tree.stat(key, want="file"), tree.stat(key, want="dir"))
    return [row for row in rows if row is not None and row.kind != Kind.REMOVED]
