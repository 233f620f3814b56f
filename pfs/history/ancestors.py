"""The best common ancestor of two commits: what a three-way merge compares both with."""

from __future__ import annotations

import heapq

from pfs.history.graph import Graph, newness
from pfs.ids import CommitId
from pfs.model import CommitInfo

_OURS, _THEIRS = 1, 2
_BOTH = _OURS | _THEIRS
_STALE = 4
"""Set on what a common ancestor comes from: it cannot be a better one."""


def merge_base(graph: Graph, ours: CommitId, theirs: CommitId) -> CommitInfo | None:
    """Return the best common ancestor over all parents; None when the histories are unrelated.

    Best: not an ancestor of another common one; of several (a criss-cross) the last finished. A commit is its own
    ancestor. Walks back as far as the histories differ, as git's ``paint_down_to_common`` does.
    """
    found = _common(graph, ours, theirs)
    best = [info for info in found if not any(_leads_to(graph, other, info) for other in found if other.id != info.id)]
    return max(best, key=lambda info: (newness(info), info.id), default=None)


def is_ancestor(graph: Graph, old: CommitId, new: CommitId) -> bool:
    """Say whether ``new`` comes from ``old``, or is it."""
    base = merge_base(graph, old, new)
    return base is not None and base.id == old


def _common(graph: Graph, ours: CommitId, theirs: CommitId) -> list[CommitInfo]:
    """Return the common ancestors that are met first; where clocks disagreed, one may come from another."""
    marks: dict[CommitId, int] = {ours: _OURS}
    marks[theirs] = marks.get(theirs, 0) | _THEIRS
    known = {id: graph.commit(id) for id in marks}
    queue = [(-newness(info), id) for id, info in known.items()]
    heapq.heapify(queue)
    found: dict[CommitId, CommitInfo] = {}
    while any(not marks[id] & _STALE for _, id in queue):
        id = heapq.heappop(queue)[1]
        mark = marks[id]
        if mark & _BOTH == _BOTH:
            if not mark & _STALE:
                found[id] = known[id]
            mark |= _STALE
        for parent in known[id].parents:
            if marks.get(parent, 0) & mark != mark:
                marks[parent] = marks.get(parent, 0) | mark
                if parent not in known:
                    known[parent] = graph.commit(parent)
                heapq.heappush(queue, (-newness(known[parent]), parent))
    return [info for id, info in found.items() if not marks[id] & _STALE]


def _leads_to(graph: Graph, new: CommitInfo, old: CommitInfo) -> bool:
    return any(info.id == old.id for info in graph.walk([new.id]))
