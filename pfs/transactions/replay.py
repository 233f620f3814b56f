"""Carrying the operations of a transaction out on a staged store, by the functions that do the same outside of one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec.structs import replace

from pfs.changes import branches
from pfs.changes.publish import Publication
from pfs.changes.rebase import Changes, rebase
from pfs.errors import BranchMovedError
from pfs.ids import CommitId
from pfs.provenance.trigger import trigger_info
from pfs.refs.body import BranchEntry, OpenEntry, with_open
from pfs.store import Store
from pfs.transactions.ops import (
    CreateBranch,
    CreateRepo,
    CreateTag,
    DeleteBranch,
    DeleteRepo,
    DeleteTag,
    Finish,
    Op,
    Ops,
    Start,
    Write,
    as_root,
)
from pfs.transactions.staged import StagedStore
from pfs.trees.page import Changed
from pfs.trees.row import Root


class Tentative:
    """The store with operations done tentatively: cheap, and without a look at files.

    It is kept from one call to the next, so that more operations cost no more than themselves. Who uses what a call
    returned holds `lock`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: tuple[Ops, StagedStore] | None = None
        self.lock = threading.RLock()

    def at(self, ops: Ops, repo: str) -> StagedStore:
        """Return the store with the operations done; ``repo``, at least, is as it is now.

        Raises what the operations do; conflicts of files are met by `done` alone.
        """
        with self.lock:
            (before, staged), self._kept = self._begun(ops, repo), None
            for op in ops[len(before) :]:
                do(staged, op)
            self._kept = ops, staged
            return staged

    def _begun(self, ops: Ops, repo: str) -> tuple[Ops, StagedStore]:
        """Return some of the operations, from the first, and the store with those done."""
        if self._kept is not None:
            before, staged = self._kept
            if ops[: len(before)] == before and staged.staged_refs.is_level(repo):
                return self._kept
        return (), StagedStore(self._store, tentative=True)


def checked(store: Store, ops: Ops) -> StagedStore:
    """Return the store with the operations done tentatively, on the repos as they are now; as `Tentative.at`."""
    return _replayed(StagedStore(store, tentative=True), ops)


def done(store: Store, ops: Ops) -> StagedStore:
    """Return the store with the operations done, all that the commits need being durable.

    Raises:
        PathConflictError: a file was changed by another writer since; else what the operations raise.
    """
    return _replayed(StagedStore(store, tentative=False), ops)


def _replayed(staged: StagedStore, ops: Ops) -> StagedStore:
    for op in ops:
        do(staged, op)
    return staged


def do(staged: StagedStore, op: Op) -> None:
    """Carry one operation out."""
    match op:
        case CreateRepo():
            staged.create_repo(op.repo, description=op.description)
        case DeleteRepo():
            staged.delete_repo(op.repo, force=op.force)
        case CreateBranch():
            trigger = op.trigger if isinstance(op.trigger, str) else trigger_info(op.trigger)
            branches.create(
                staged, op.repo, op.branch, branches.Wish(op.head, op.provenance, op.never, trigger, op.move)
            )
        case DeleteBranch():
            staged.repo(op.repo).delete_branch(op.branch, force=op.force)
        case CreateTag():
            staged.repo(op.repo).create_tag(op.tag, op.ref)
        case DeleteTag():
            staged.repo(op.repo).delete_tag(op.tag)
        case Start():
            _start(staged, op)
        case Write():
            _write(staged, op)
        case Finish():
            staged.repo(op.repo).finish_commit(op.commit, message=op.message, error=op.error)


def _start(staged: StagedStore, op: Start) -> None:
    repo = staged.repo(op.repo)
    if op.parent is not None and head_of(staged, op.repo, op.branch) != op.onto:
        raise BranchMovedError(f"{op.repo}@{op.branch}")
    repo.start_commit(op.branch, parent=op.parent, message=op.message, commit_id=op.commit)
    _edit_open(staged, op, lambda entry: replace(entry, started=op.started))


def head_of(staged: StagedStore, repo: str, branch: str) -> CommitId | None:
    """Return the head of a branch; None without one, or without the branch."""
    return staged.refs.read(repo).body.branches.get(branch, BranchEntry()).head


def _write(staged: StagedStore, op: Write) -> None:
    """Put a write on the commit as it is; where it is not as when it was written to, other paths merge."""
    session = staged.session()
    session.borrow(None)  # another session stored it, and collection may have gone on since

    def put_on(entry: OpenEntry) -> Root:
        there, base, ours = entry.tree_root(), as_root(op.base), as_root(op.root)
        if staged.tentative or there == base:
            return ours
        changed = Changed(bytes.fromhex(op.commit), staged.clock_ns())
        place = f"{op.repo}@{entry.branch}"
        return rebase(session, Changes(base, ours), there, changed=changed, collisions="refuse", place=place)

    try:
        Publication(staged, op.repo, session).update_open(op.commit, put_on)
    except BaseException:
        session.abandon()
        raise
    _edit_open(staged, op, lambda entry: replace(entry, packs=tuple(dict.fromkeys([*entry.packs, *op.packs]))))


def _edit_open(staged: StagedStore, op: Start | Write, edit: Callable[[OpenEntry], OpenEntry]) -> None:
    staged.refs.update(op.repo, lambda body: with_open(body, op.commit, edit(body.open[op.commit])))
