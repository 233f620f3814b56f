"""The commit graph: walks over all parents, newest first, and where two commits come from a common one."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pfs.errors import MissingObjectError
from pfs.history.resolve import open_info, resolve
from pfs.ids import CommitId
from pfs.model import CommitInfo
from pfs.refs.body import is_hidden
from pfs.refs.edges import effective
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


class Graph:
    """The commits of a repo with their present parents, as its refs were at one moment."""

    def __init__(self, store: Store, state: RefsState) -> None:
        self._store, self._state = store, state

    def commit(self, id: CommitId) -> CommitInfo:
        """Return a commit, open or finished, that a head or another commit leads to.

        Raises:
            MissingObjectError: its record is lost.
        """
        entry = self._state.body.open.get(id)
        if entry is not None:
            return open_info(self._state.repo, id, entry)
        record = self._store.history.find(self._state.repo, id)
        if record is None:
            raise MissingObjectError(f"commit {self._state.repo}@{id}", "its record is in no pack")
        return effective(self._state.body, record).info()

    def starts(self, ref: str | None) -> list[CommitId]:
        """Return where a log begins: at a ref, and the open commit of that branch; or at every branch and tag.

        Raises:
            CommitNotFoundError: there is no such branch or commit.
        """
        body = self._state.body
        if ref is None:
            shown = [entry for name, entry in body.branches.items() if not is_hidden(name)]
            heads = [entry.head for entry in [*shown, *body.tags.values()] if entry.head is not None]
            return [*body.open, *heads]
        opened = body.open_on(ref)
        entry = body.branches.get(ref)
        if entry is not None and entry.head is None:
            return [] if opened is None else [opened]
        found = resolve(self._store, self._state, ref).id
        return [found] if opened is None else [opened, found]

    def walk(self, starts: Iterable[CommitId]) -> Iterator[CommitInfo]:
        """Yield commits and all that they come from, each once, open ones first, then the last finished.

        Memory: the width of the graph, and the ids seen. A commit comes before its parents unless clocks disagreed.
        """
        queue: list[tuple[float, CommitId]] = []
        seen = set[CommitId]()
        known: dict[CommitId, CommitInfo] = {}

        def add(ids: Iterable[CommitId]) -> None:
            for id in ids:
                if id not in seen:
                    seen.add(id)
                    known[id] = self.commit(id)
                    heapq.heappush(queue, (-newness(known[id]), id))

        add(starts)
        while queue:
            info = known.pop(heapq.heappop(queue)[1])
            yield info
            add(info.parents)

    def sorted(self, starts: Iterable[CommitId]) -> Iterator[CommitInfo]:
        """Yield what `walk` does, every commit before its parents whatever clocks said; memory: all of it."""
        found = {info.id: info for info in self.walk(starts)}
        waiting = Counter(parent for info in found.values() for parent in info.parents)
        queue = [(-newness(info), info.id) for info in found.values() if not waiting[info.id]]
        heapq.heapify(queue)
        while queue:
            info = found[heapq.heappop(queue)[1]]
            yield info
            for parent in info.parents:
                waiting[parent] -= 1
                if not waiting[parent]:
                    heapq.heappush(queue, (-newness(found[parent]), parent))


def newness(info: CommitInfo) -> float:
    """Return when a commit was finished, for ordering: open ones are newer than all."""
    return float("inf") if info.finished_ns is None else info.finished_ns
