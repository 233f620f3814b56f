"""Keeping the index level with rewritten records: those of commits from which something was purged.

The index has a commit's record by its id, and that stays. So refs count rewrites, and whoever reads refs that count
more than the index has seen gets the rows of rewritten commits replaced first: who has looked at refs never goes by an
old record, and writers look at them in each attempt. Who adds rows by an older look finds the count moved on, and looks
again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from contextlib import suppress

from pfs.errors import CorruptionError, NotFoundError
from pfs.history.linked import Found
from pfs.ids import CommitId, PackId
from pfs.packs.index import REWRITES, Guard, Index
from pfs.packs.objects import Objects
from pfs.refs.edges import record_homes
from pfs.refs.swap import RefsState

_AT_WORK = b"at work"


class Rewrites:
    """What the index of a store has seen of rewrites; thread-safe."""

    def __init__(self, objects: Objects, index: Index) -> None:
        self._objects, self._index = objects, index
        self._lock = threading.Lock()
        self._seen: dict[str, bytes] = {}

    def guard(self, state: RefsState) -> Guard:
        """Return what must hold when rows are added by this look at refs."""
        marks: set[bytes | None] = {_mark(state)} if state.body.rewrites else {_mark(state), None}
        return Guard(REWRITES + state.repo, frozenset(marks))

    def follow(self, state: RefsState, *, again: bool = False) -> None:
        """Replace the rows of commits whose records are elsewhere by now; nothing to do is a look-up in memory.

        ``again``: believe the index alone. A record that cannot be read leaves no row: reading the commit then says
        what is wrong with it.
        """
        key, mark = REWRITES + state.repo, _mark(state)
        if self._seen.get(state.repo) == mark and not again:
            return
        with self._lock:
            if self._index.get_meta(key) != mark:
                self._index.set_meta(key, _AT_WORK)  # from here on nobody adds rows by an older look
                self._replace(state)
                self._index.set_meta(key, mark)
            self._seen[state.repo] = mark

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


def _mark(state: RefsState) -> bytes:
    return b"%d %d" % (state.body.created, state.body.rewrites)
