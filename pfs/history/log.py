"""Listing commits, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.history.lineage import Lineage
from pfs.history.resolve import open_info, resolve
from pfs.ids import CommitId
from pfs.model import CommitInfo
from pfs.refs.body import is_hidden
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


def branch_commits(store: Store, state: RefsState, ref: str) -> Iterator[CommitInfo]:
    """Return the open commits of a branch, the last opened first, then those from its head (or from any ref) back.

    Raises:
        CommitNotFoundError: at once, when there is no such branch or commit; a branch without commits yields nothing.
    """
    opened = reversed(state.body.all_open_on(ref))
    front = [open_info(state.repo, commit, state.body.open[commit]) for commit in opened]
    entry = state.body.branches.get(ref)
    if entry is not None and entry.head is None:
        return iter(front)
    last = resolve(store, state, ref)
    if last.open:
        front, parents = [last], last.parents
    else:
        parents = (last.id,)
    return _chain(store, front, state.repo, parents)


def _chain(store: Store, front: list[CommitInfo], repo: str, start: tuple[CommitId, ...]) -> Iterator[CommitInfo]:
    yield from front
    for commit in start[:1]:
        yield from (record.info() for record in store.history.first_parents(repo, commit))


def all_commits(store: Store, state: RefsState) -> Iterator[CommitInfo]:
    """Yield the open commits, then every commit of the repo by the time it was finished; hidden branches left out.

    Memory: all records.

    Raises:
        CorruptionError, MissingObjectError: at the end, when refs name a commit whose record cannot be read.
    """
    opened = sorted(state.body.open.items(), key=lambda item: -item[1].started)
    yield from (open_info(state.repo, commit, entry) for commit, entry in opened)
    shown = [record for record in Lineage(store, state).led_to() if not is_hidden(record.branch)]
    shown.sort(key=lambda record: (-record.finished_ns, record.id))
    yield from (record.info() for record in shown)
    store.history.refuse_lost(state)
