"""Editing the trees of commits that stay: files lose their bytes, or what was noted of them is another (revise).

Unlike retention by age, what is edited is somebody else's to say, commit by commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pfs.lifecycle.commits import anchored_by_open
from pfs.lifecycle.rewrite import Contents
from pfs.lifecycle.rewriting import Pages, Rewriting
from pfs.lifecycle.traces import Traces
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import OpenEntry, RefsBody
from pfs.refs.read import RefsState
from pfs.trees.edit import Edit, edit
from pfs.trees.row import PageSink, Root, Row
from pfs.trees.strip import Stripper
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.ids import CommitId
    from pfs.store import Store

_BATCH = 8_192


@dataclass(frozen=True, slots=True)
class Revised:
    """What revising did to a repo, or would do: commits that got another tree, bytes of the contents taken out."""

    commits: int
    size_bytes: int


Strip: TypeAlias = Callable[[Row], list[Edit]]
"""Returns the edits that take the bytes out of a file or directory; name, size and id stay."""
Edits: TypeAlias = Callable[[CommitRecord, Tree, Strip], Iterator[Edit]]
"""Yields what changes in the tree of a finished commit; nothing for most."""


def revise(store: Store, repo: str, edits: Edits, *, dry_run: bool = False) -> Revised:
    """Give commits of a repo, hidden ones too, other trees; ids stay, as by a purge. One swap of refs.

    ``edits`` is asked again where another writer was first, and must say the same. It is for it to leave alone what
    `held_by` names. Costs a call a commit.

    Raises:
        CorruptionError, MissingObjectError: a commit or page is damaged: nothing was changed.
        ConflictError: the repo is being changed too often. StorageError: nothing was changed, or all of it.
    """
    with Pages(store, tentative=dry_run) as pages:
        change = _Revising(pages.sink, edits)
        work = Rewriting(store, repo, change, pages)
        work.run()
    return Revised(len(work.changed), change.contents.size_bytes)


def held_by(state: RefsState) -> set[CommitId]:
    """Return the heads, the tagged commits and what open ones stand on: they keep all that they have."""
    entries = [*state.body.branches.values(), *state.body.tags.values()]
    heads = {entry.head for entry in entries if entry.head is not None}
    return {*heads, *anchored_by_open(state)}


class _Revising:
    """Asks what commits become."""

    def __init__(self, pages: PageSink, edits: Edits) -> None:
        self._pages, self._edits = pages, edits
        self.contents = Contents()
        self._strip = Stripper(pages, self.contents.note)

    @property
    def traces(self) -> Traces:
        """What lies in packs of the content that was taken out so far."""
        return self.contents.traces

    def begin(self, state: RefsState) -> None:
        """Do nothing: who says what changes knows."""

    def restart(self) -> None:
        """Forget what was done, since the pages are forgotten."""
        self._strip.restart()

    def committed(self, record: CommitRecord) -> Root:
        """Return the tree of a commit after its edits."""
        root = record.tree_root()
        tree = Tree(self._pages, root)

        def strip(row: Row) -> list[Edit]:
            return self._strip.folder(tree, row) if row.is_dir else self._strip.file(row)

        edits = self._edits(record, tree, strip)
        while batch := list(islice(edits, _BATCH)):
            root = edit(self._pages, root, batch, changed=None, collisions="allow")
        return root

    def opened(self, entry: OpenEntry) -> Root:
        """Return the tree of an open commit as it is."""
        return entry.tree_root()

    def noted(self, body: RefsBody) -> RefsBody:
        """Return the body: the rows say it."""
        return body
