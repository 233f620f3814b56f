"""Keeping the index level with repos that were made anew, and with rewritten records (those of purged commits).

The index has a commit's record by repo and id. A repo that was deleted may be made again under its name, and a purge
rewrites records of commits that keep their ids. So the index holds a mark for each repo that it has commits of: its
generation, and how many rewrites its refs count. Whoever reads refs that are further gets the rows forgotten or
replaced first: who has looked at refs never goes by an older record. Who adds rows by an older look finds the mark
moved on, and looks again. Marks never go back: refs see to it that generations of a name grow.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import suppress
from typing import NamedTuple

from pfs.errors import CorruptionError, NotFoundError
from pfs.history.linked import Found
from pfs.ids import CommitId, PackId
from pfs.packs.index import REWRITES, Guard, Index
from pfs.packs.objects import Objects
from pfs.refs.edges import record_homes
from pfs.refs.read import RefsState

_AT_WORK = -1


class _Mark(NamedTuple):
    """Ordered as the states of a repo follow each other; ``rewrites`` is _AT_WORK while rows are replaced."""

    generation: int
    rewrites: int

    def encode(self) -> bytes:
        return b"%d %d" % self


class Generations:
    """What the index of a store has seen of its repos; thread-safe."""

    def __init__(self, objects: Objects, index: Index) -> None:
        self._objects, self._index = objects, index
        self._lock = threading.Lock()
        self._seen: dict[str, _Mark] = {}

    def guard(self, state: RefsState) -> Guard:
        """Return what must hold when rows are added by this look at refs."""
        mark = _mark(state).encode()
        marks: set[bytes | None] = {mark} if state.body.rewrites else {mark, None}
        return Guard(REWRITES + state.repo, frozenset(marks), mark)

    def follow(self, state: RefsState, *, again: bool = False) -> None:
        """Forget the rows of an earlier repo of that name, and replace those of commits whose records are elsewhere.

        Nothing to do is a look-up in memory. ``again``: believe the index alone. A record that cannot be read leaves no
        row: reading the commit then says what is wrong with it.
        """
        mark = _mark(state)
        if self._seen.get(state.repo) == mark and not again:
            return
        reached = self._renewed(state.repo, mark)
        if reached is not None and reached.generation == mark.generation and reached < mark:
            reached = self._rewritten(state, mark)
        if reached == mark:
            self._seen[state.repo] = mark

    def _renewed(self, repo: str, mark: _Mark) -> _Mark | None:
        """Return the mark of a repo once nothing is left of earlier ones of its name; None: there are no rows."""
        key = REWRITES + repo
        while True:
            stored = self._index.get_meta(key)
            reached = None if stored is None else _parse(stored)
            if reached is not None and reached.generation >= mark.generation:
                return reached
            if stored is None and not mark.rewrites and not self._index.knows_repo(repo):
                return None
            if self._index.forget_repo(repo, guard=Guard(key, frozenset([stored]), mark.encode())):
                return mark

    def _rewritten(self, state: RefsState, mark: _Mark) -> _Mark:
        key = REWRITES + state.repo
        with self._lock:
            if self._index.get_meta(key) != mark.encode():
                self._index.set_meta(key, mark._replace(rewrites=_AT_WORK).encode())  # nobody adds by an older look now
                self._replace(state)
                self._index.set_meta(key, mark.encode())
        return mark

    def _replace(self, state: RefsState) -> None:
        moved = defaultdict[PackId, set[CommitId]](set)
        for commit, home in (record_homes(state.body) | state.body.heads()).items():
            row = self._index.commit(state.repo, commit)
            if row is not None and row[:16] != home:
                moved[home].add(commit)
        for pack, commits in moved.items():
            found: list[Found] = []
            with suppress(CorruptionError, NotFoundError):
                found = [Found(one, pack) for one in self._objects.records_in(pack) if one.id in commits]
            self._index.add([], [one.row() for one in found])
            self._index.forget_commits(state.repo, commits - {one.record.id for one in found})


def _mark(state: RefsState) -> _Mark:
    return _Mark(state.body.generation(), state.body.rewrites)


def _parse(stored: bytes) -> _Mark | None:
    try:
        generation, rewrites = map(int, stored.split())
    except ValueError:
        return None
    return _Mark(generation, rewrites)
