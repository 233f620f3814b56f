"""Waiting for commits: until one is finished, or for each new one of a branch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pfs.changes.branches import branch_info
from pfs.history.commit_set import commit_set
from pfs.history.resolve import resolve
from pfs.ids import CommitId
from pfs.model import ChangeToken, CommitInfo, CommitSetInfo
from pfs.provenance.pull import settle_all

if TYPE_CHECKING:
    from pfs.store import Store

_PATIENCE_S = 60.0
"""How long one wait for changes takes at most; then it begins anew."""


def wait_commit(store: Store, repo: str, ref: str) -> CommitInfo:
    """Return a commit once it is finished, with or without an error; of a branch: its open one, else its head.

    Raises:
        CommitNotFoundError: there is none, or it was given up while waiting.
    """
    token = store.changes()
    state = store.refs.read(repo)
    info = resolve(store, state, state.body.open_on(ref) or ref)
    while info.open:
        store.wait(token, _PATIENCE_S)
        token = store.changes()
        info = resolve(store, store.refs.read(repo), info.id)
    return info


def wait_set(store: Store, commit: CommitId) -> CommitSetInfo:
    """Return the commits of all repos with an id once none of them is open; raises as `commit_set`."""
    settle_all(store)
    while True:
        token = store.changes()
        found = commit_set(store, commit)
        if found.finished_ns is not None:
            return found
        store.wait(token, _PATIENCE_S)


def subscribe(store: Store, repo: str, branch: str, *, new: bool = False) -> Iterator[CommitInfo]:
    """Yield the finished commits of a branch, oldest first, then each new one as it becomes the head; without end.

    Each commit once, also where the branch is moved back and forth. ``new``: leave out those that are there already.

    Raises:
        BranchNotFoundError: at once, or when the branch is deleted. RepoNotFoundError: likewise.
    """
    branch_info(repo, store.refs.read(repo).body, branch)
    token, seen = store.changes(), set[CommitId]()
    if new:
        seen.update(info.id for info in _fresh(store, repo, branch, seen))
    return _subscribe(store, (repo, branch), seen, token)


def _subscribe(store: Store, place: tuple[str, str], seen: set[CommitId], token: ChangeToken) -> Iterator[CommitInfo]:
    while True:
        for info in _fresh(store, *place, seen):
            seen.add(info.id)
            yield info
        store.wait(token, _PATIENCE_S)
        token = store.changes()


def _fresh(store: Store, repo: str, branch: str, seen: set[CommitId]) -> list[CommitInfo]:
    """Return the commits from the head back to the first that was seen, oldest first."""
    head = branch_info(repo, store.refs.read(repo).body, branch).head
    found: list[CommitInfo] = []
    if head is None:
        return found
    for record in store.history.first_parents(repo, head):
        if record.id in seen:
            break
        found.append(record.info())
    return found[::-1]
