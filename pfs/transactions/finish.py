"""Publishing a transaction: an entry in the refs of each repo, then one swap that makes all of them count.

Each attempt works everything out on the repos as they are, and is given up when one of them moves before it is
prepared; then the next begins. The protocol is in docs/format/transaction.md, its reasons in
docs/design/transactions.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import (
    BranchMovedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    NotFoundError,
    PfsError,
    StorageError,
    TransactionNotFoundError,
)
from pfs.model import CommitInfo
from pfs.provenance.pull import spread_repos
from pfs.refs.back_off import back_off
from pfs.refs.transactions import LEASE_NS, TransactionBody, TransactionState
from pfs.transactions.draft import Draft
from pfs.transactions.ops import Ops, commits_of
from pfs.transactions.replay import done
from pfs.transactions.staged import Change, StagedStore

if TYPE_CHECKING:
    from pfs.store import Store

ROUNDS = 10
"""Attempts that may be lost to other writers."""


def finish(store: Store, draft: Draft, *, message: str = "") -> list[CommitInfo]:
    """Publish all operations of a transaction at once; return its commits, open ones too, by repo as they were begun.

    On an error nothing was changed, and the draft is as it was.

    Raises:
        TransactionNotFoundError: it was finished or deleted. ConflictError: others were first ROUNDS times.
        PathConflictError: a file was changed by another writer since; else what the operations raise.
        StorageError: nothing was changed, unless it says that the outcome is unknown.
    """
    attempt_no = 0
    for round_no in range(ROUNDS):
        state, ops = draft.claim()
        with turns(store, {op.repo for op in ops}):
            staged = done(store, ops)
            begun = TransactionBody(id=draft.id, kept=False, message=message) if state is None else state.body
            attempt_no = max(attempt_no, begun.attempt) + 1
            attempt = Attempt(store, staged, replace(begun, attempt=attempt_no))
            try:
                attempt.run(state)
            except BranchMovedError:
                back_off(round_no)
                continue
        return _published(staged, ops)
    raise ConflictError(f"the repos of transaction {draft.id} are being changed too often: try again")


class Attempt:
    """An attempt to publish what a staged store became; ``begun``: the object's body, with the attempt's number."""

    def __init__(self, store: Store, staged: StagedStore, begun: TransactionBody) -> None:
        self._store, self._staged = store, staged
        self._txns = store.refs.transactions
        self._changes = staged.staged_refs.changes(begun.attempt_id)
        repos = tuple(change.repo for change in self._changes)
        self._body = replace(begun, state="pending", repos=repos, owner=f"{os.uname().nodename}:{os.getpid()}")

    def run(self, state: TransactionState | None) -> None:
        """Publish, from the object as it is (None: there is none yet).

        Raises:
            BranchMovedError: a repo or the transaction moved; nothing was published.
        """
        pending = self._begin(state)
        try:
            for change in self._changes:
                pending = self._renewed(pending)
                self._store.refs.prepare(change.repo, change.base, change.entry, gc_gen=change.gc_gen)
            self._commit(pending)
        except BaseException:
            self._give_up(pending)
            raise
        self._staged.staged_history.made_known(self._store.history, self._staged.staged_refs.left())
        with suppress(PfsError):  # it is published: what is left to do anybody does
            settle(self._store, self._body)

    def _begin(self, state: TransactionState | None) -> TransactionState:
        body = replace(self._body, expires=self._txns.clock_ns() + LEASE_NS)
        pending = self._txns.create(body) if state is None else self._txns.swap(state, body)
        return self._still_ours(pending)

    def _renewed(self, pending: TransactionState) -> TransactionState:
        """Give a sign of life when a third of the time is over."""
        now_ns = self._txns.clock_ns()
        if pending.body.expires - now_ns > LEASE_NS * 2 // 3:
            return pending
        return self._still_ours(self._txns.swap(pending, replace(pending.body, expires=now_ns + LEASE_NS)))

    def _still_ours(self, state: TransactionState) -> TransactionState:
        if (state.body.state, state.body.attempt) != ("pending", self._body.attempt):
            raise BranchMovedError(f"transaction {self._body.id}")
        return state

    def _commit(self, pending: TransactionState) -> None:
        """Make it count; when the reply is lost, or others went on from there, find out what became of it."""
        try:
            self._txns.swap(pending, replace(pending.body, state="committed"))
        except (BranchMovedError, StorageError):
            if not self._was_committed():
                raise

    def _was_committed(self) -> bool:
        verdict = self._txns.verdict(self._body.attempt_id)
        if verdict != "missing":
            return verdict == "committed"
        for change in self._changes:
            state = self._store.refs.raw(change.repo)
            if state is not None and self._body.attempt_id in state.body.recent:
                return True
        if any(self._is_there(change) for change in self._changes):
            return True
        if self._body.kept:
            raise TransactionNotFoundError(self._body.id)  # its user deleted it
        return False  # who took this process for dead aborted it, and cleared it away

    def _is_there(self, change: Change) -> bool:
        """Say whether a repo has a commit of this transaction, though its refs forgot that it came."""
        return self._store.history.find(change.repo, self._body.id) is not None

    def _give_up(self, pending: TransactionState) -> None:
        """Abort, and take away what was prepared, so that nobody waits for it. Failing, it expires."""
        with suppress(PfsError):
            try:
                left: TransactionState | None = self._txns.abort(pending)
            except BranchMovedError:
                left = self._txns.find(self._body.id)  # somebody else aborted it
            for change in self._changes:
                self._store.refs.settle(change.repo)
            if left is not None and left.body.state == "dropped":
                self._txns.remove(left.body.id)


def settle(store: Store, body: TransactionBody) -> None:
    """Make it so what a committed transaction says, in every repo, then clear its object away. Anybody may.

    Raises:
        StorageError, CorruptionError: a repo cannot be written or read; the object stays.
    """
    for repo in body.repos:
        store.refs.settle(repo)  # returns when the object of the repo shows no entry that is decided
    store.refs.transactions.remove(body.id)
    spread_repos(store, body.repos)


def turns(store: Store, repos: Iterable[str]) -> ExitStack:
    """Take the turns of all repos named, in the order of names, so that writers beside do not cost attempts."""
    stack = ExitStack()
    for repo in sorted(repos):
        stack.enter_context(store.turns.turn(repo))
    return stack


def _published(staged: StagedStore, ops: Ops) -> list[CommitInfo]:
    found: list[CommitInfo] = []
    for repo, commit in commits_of(ops):
        with suppress(NotFoundError):  # the repo was deleted after all
            found.append(staged.repo(repo).inspect(commit))
    return found


def tidy(store: Store) -> Sequence[TransactionState]:
    """Do what owners that died left undone; return the transactions of users that are under way, the oldest first."""
    kept = list[TransactionState]()
    for id in list(store.refs.transactions.ids()):
        with suppress(CorruptionError, InvalidInputError):  # `fsck` names it; it must not hide the others
            state = store.refs.transactions.find(id)
            left = None if state is None else _tidied(store, state)
            kept += [left] if left is not None and left.body.kept else []
    return sorted(kept, key=lambda state: (state.body.created, state.body.id))


def _tidied(store: Store, state: TransactionState) -> TransactionState | None:
    txns = store.refs.transactions
    state = txns.abort_expired(state) or state
    match state.body.state:
        case "committed":
            settle(store, state.body)
            return None
        case "dropped":
            txns.remove(state.body.id)
            return None
        case _:
            return state
