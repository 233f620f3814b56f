"""Where contents are that were purged at one path: other paths, commits and repos that have the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pfs.history.reachable import live_commits
from pfs.ids import NO_PAGE, CommitId, PageId
from pfs.refs.body import is_hidden
from pfs.refs.read import RefsState
from pfs.trees.page import Kind, Page
from pfs.trees.row import Root, open_page

if TYPE_CHECKING:
    from pfs.store import Store

PLACES = 20
"""Places that are named; that there are more is said."""
Words = npt.NDArray[np.uint64]


class Copies(NamedTuple):
    """``places``: ``repo@commit:/path``, each path of a repo once; ``more``: not all of them are named."""

    places: tuple[str, ...]
    more: bool


class _Tree(NamedTuple):
    """A live tree; ``user``: its paths are those that users know the repo by."""

    repo: str
    commit: CommitId
    root: Root
    user: bool


def find_copies(store: Store, words: Words, *, leave_out: tuple[str, bytes] | None = None) -> Copies:
    """Return where in live trees of any repo there are files whose tid begins with one of the sorted ``words``.

    ``leave_out``: a repo and the path in it that is not counted, nor what is below. Each page of the store is looked at
    once, which costs some 50 us. Files that only share parts with those contents are not found.

    Raises:
        CorruptionError, MissingObjectError: a page cannot be read.
    """
    found: dict[tuple[str, bytes], CommitId] = {}
    if len(words):
        search = _Search(store, words)
        for tree in (tree for state in store.refs.repos() for tree in _trees(store, state)):
            keys = search.below(tree.root.pid)
            if leave_out is not None and tree.user and tree.repo == leave_out[0]:
                keys = [key for key in keys if not _is_in(key, leave_out[1])]
            found.update({(tree.repo, key): tree.commit for key in keys if (tree.repo, key) not in found})
            if len(found) > PLACES:
                break
    named = islice(found.items(), PLACES)
    places = tuple(f"{repo}@{commit}:/{key.decode(errors='backslashreplace')}" for (repo, key), commit in named)
    return Copies(places, len(found) > PLACES)


def _trees(store: Store, state: RefsState) -> Iterator[_Tree]:
    for commit, entry in state.body.open.items():
        yield _Tree(state.repo, commit, entry.tree_root(), user=True)
    for live in live_commits(store.history, state):
        record = live.record
        yield _Tree(state.repo, record.id, record.tree_root(), user=not is_hidden(record.branch))


def _is_in(key: bytes, folder: bytes) -> bool:
    return not folder or key == folder or key.startswith(folder + b"/")


class _Search:
    """Looks for contents in pages; remembers for each page what is below it, as far as it is of interest."""

    def __init__(self, store: Store, words: Words) -> None:
        self._pages, self._words = store.objects, words
        self._clean = set[PageId]()
        self._hits: dict[PageId, list[bytes]] = {}

    def below(self, top: PageId) -> list[bytes]:
        """Return keys, relative to the page, of files with one of the contents: more than PLACES, or all."""
        waiting = [top]
        while waiting:
            pid = waiting[-1]
            if self._is_done(pid):
                waiting.pop()
                continue
            page = open_page(self._pages, pid)
            missing = [child for child, _ in _children(page) if not self._is_done(child)]
            if missing:
                waiting += missing
                continue
            hits = self._own(page) + [
                stem + key for child, stem in _children(page) for key in self._hits.get(child, ())
            ]
            if hits:
                self._hits[pid] = hits[: 2 * PLACES]
            else:
                self._clean.add(pid)
        return self._hits.get(top, [])

    def _is_done(self, pid: PageId) -> bool:
        return pid in self._clean or pid in self._hits

    def _own(self, page: Page) -> list[bytes]:
        if page.level or not page.count:
            return []
        column = page.tids[:, 0]
        at = np.minimum(np.searchsorted(self._words, column), len(self._words) - 1)
        files = (page.kinds == Kind.FILE) | (page.kinds == Kind.CHUNKED) | (page.kinds == Kind.SYMLINK)
        return [page.name(row) for row in np.flatnonzero((self._words[at] == column) & files).tolist()]


def _children(page: Page) -> list[tuple[PageId, bytes]]:
    """Return the pages below a page, each with the path to it."""
    rows = ((row, page.pid_of(row)) for row in page.sparse.tolist())
    return [(pid, b"" if page.level else page.name(row)) for row, pid in rows if pid != NO_PAGE]
