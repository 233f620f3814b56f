"""Putting a commit's changes on another tree than they were made on: other paths merge, the same path conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from pfs.errors import PathConflictError
from pfs.paths import from_key
from pfs.trees.edit import Delete, Edit, Put, edit
from pfs.trees.page import Changed
from pfs.trees.row import Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession

Collisions = Literal["refuse", "allow"]
BATCH = 8_192
"""Changes in memory at once."""


class Changes(Struct, frozen=True):
    """What a commit did: its tree before and after; ``forced``: puts that count as changes even of equal content."""

    base: Root
    ours: Root
    forced: Sequence[Put] = ()


def rebase(
    session: WriteSession, changes: Changes, onto: Root, *, changed: Changed, collisions: Collisions, place: str
) -> Root:
    """Return ``onto`` with the ``changes``; O(changes), bounded memory.

    ``place`` is ``repo@branch``, for the message. Equal changes on both sides are no conflict.

    Raises:
        PathConflictError: a path was changed on both sides, to different content or metadata.
        FileCollisionError: the two sides together make a path both a file and a directory.
    """
    if changes.base == onto:
        return changes.ours
    root, edits = onto, _edits(session, changes, Tree(session, onto), place)
    while batch := list(islice(edits, BATCH)):
        root = edit(session, root, batch, changed=changed, collisions=collisions)
    return root


def _edits(session: WriteSession, changes: Changes, theirs: Tree, place: str) -> Iterator[Edit]:
    from pfs.trees.diff import diff  # where others wrote meanwhile alone

    for change in diff(session, changes.base, session, changes.ours):
        _refuse_conflict(theirs.stat(change.key, want="file"), change.old, change.new, place=(place, change.key))
        row = change.new
        yield Put(row.key, row.kind, row.size, row.tid, row.aux, force=True) if row else Delete(change.key)
    base, ours = Tree(session, changes.base), Tree(session, changes.ours)
    for put in changes.forced:
        old, new = base.stat(put.key, want="file"), ours.stat(put.key, want="file")
        if new is not None and same_file(old, new):
            _refuse_conflict(theirs.stat(put.key, want="file"), old, new, place=(place, put.key))
            yield put


def _refuse_conflict(there: Row | None, old: Row | None, new: Row | None, *, place: tuple[str, bytes]) -> None:
    if not same_file(there, old) and not same_file(there, new):
        repo, _, branch = place[0].partition("@")
        raise PathConflictError(repo, branch, from_key(place[1]))


def same_file(a: Row | None, b: Row | None) -> bool:
    """Say whether two file rows hold the same content and metadata, whenever they were written."""
    if a is None or b is None:
        return a is b
    return (a.kind, a.size, a.tid, dict(a.aux or {})) == (b.kind, b.size, b.tid, dict(b.aux or {}))
