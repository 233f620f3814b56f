"""Which commits changed a path."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pfs.history.graph import Graph, newness
from pfs.ids import CommitId
from pfs.model import ChangeType, CommitInfo
from pfs.refs.read import RefsState
from pfs.trees.diff import diff
from pfs.trees.row import EMPTY_ROOT, Root, Row
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.store import Store


def touching(store: Store, state: RefsState, start: CommitId, key: bytes) -> Iterator[tuple[CommitInfo, ChangeType]]:
    """Yield the commits from ``start`` back that added, modified or deleted the file or directory ``key``.

    The last finished first; O(depth) for each commit looked at. A merge that took the path over from one parent
    unchanged is not among them, and only that parent is followed. What happened is said against the first parent.
    """
    graph = Graph(store, state)
    first = graph.commit(start)
    queue, known = [(-newness(first), start)], {start: first}
    while queue:
        info = known[heapq.heappop(queue)[1]]
        parents = [graph.commit(parent) for parent in info.parents]
        roots = [parent.root for parent in parents]
        same = next((parent for parent in parents if _same(store, parent.root, info.root, key)), None)
        if same is None and (roots or not _same(store, EMPTY_ROOT, info.root, key)):
            yield info, _change(store, roots, info.root, key)
        for parent in parents if same is None else [same]:
            if parent.id not in known:
                known[parent.id] = parent
                heapq.heappush(queue, (-newness(parent), parent.id))


def _same(store: Store, old: Root, new: Root, key: bytes) -> bool:
    """Say whether a path holds the same in two trees, metadata included."""
    if old.pid == new.pid:
        return True
    if not key:
        return next(diff(store.objects, old, store.objects, new), None) is None
    if _content(_row(store, old, key, "file")) != _content(_row(store, new, key, "file")):
        return False
    return next(diff(store.objects, old, store.objects, new, prefix=key + b"/"), None) is None


def _content(row: Row | None) -> tuple[object, ...] | None:
    return None if row is None else (row.kind, row.size, row.tid, dict(row.aux or {}))


def _row(store: Store, root: Root, key: bytes, want: Literal["file"] | None = None) -> Row | None:
    return Tree(store.objects, root).stat(key, want=want)


def _change(store: Store, parents: Sequence[Root], new: Root, key: bytes) -> ChangeType:
    if not parents or not _there(store, parents[0], key):
        return "added"
    return "modified" if _there(store, new, key) else "deleted"


def _there(store: Store, root: Root, key: bytes) -> bool:
    return root.count > 0 if not key else _row(store, root, key) is not None
