"""Where the operations of a transaction are until it is finished: in an object of the store, or in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from pfs.errors import BranchMovedError, ConflictError, TransactionNotFoundError
from pfs.ids import CommitId, new_commit_id
from pfs.refs.back_off import back_off
from pfs.refs.transactions import TransactionBody, Transactions, TransactionState, object_name
from pfs.transactions.ops import Ops, from_stored, to_stored

ROUNDS = 50
Edit = Callable[[Ops], Ops]
"""From the operations so far to those with more; may run several times, and raise to change nothing."""


class Draft(Protocol):
    """A transaction in the making; thread-safe."""

    id: CommitId

    def ops(self) -> Ops:
        """Return the operations so far; raises TransactionNotFoundError, ConflictError (it is being finished)."""
        ...

    def change(self, edit: Edit) -> Ops:
        """Replace the operations by what ``edit`` makes of them, and return those; raises as `ops`."""
        ...

    def claim(self) -> tuple[TransactionState | None, Ops]:
        """Return what an attempt to publish begins with: the object as it is now, None if there is none yet."""
        ...


class StoredDraft:
    """A transaction that survives this process, and that others may add to."""

    def __init__(self, transactions: Transactions, id: CommitId) -> None:
        self._transactions, self.id = transactions, id

    def ops(self) -> Ops:
        """Return the operations so far."""
        return self.claim()[1]

    def change(self, edit: Edit) -> Ops:
        """Replace the operations; those of other processes that come in between are kept."""
        for round_no in range(ROUNDS):
            state, ops = self.claim()
            changed = edit(ops)
            try:
                self._transactions.swap(state, replace(state.body, ops=to_stored(changed)))
            except BranchMovedError:
                back_off(round_no)
            else:
                return changed
        raise ConflictError(f"transaction {self.id} is being changed too often: try again")

    def claim(self) -> tuple[TransactionState, Ops]:
        """Return the object, which is open, and its operations."""
        state = self._transactions.find(self.id)
        if state is not None and state.body.state == "pending":
            state = self._transactions.abort_expired(state) or state
        if state is None or state.body.state in ("committed", "dropped"):
            raise TransactionNotFoundError(self.id)
        if state.body.state == "pending":
            raise ConflictError(f"transaction {self.id} is being finished by {state.body.owner}: wait, or look again")
        return state, from_stored(state.body.ops, where=object_name(self.id))


class MemoryDraft:
    """A transaction that lives and ends with this process; nothing is stored before it is published."""

    def __init__(self) -> None:
        self.id = new_commit_id()
        self._ops: Ops = ()
        self._lock = threading.RLock()

    def ops(self) -> Ops:
        """Return the operations so far."""
        return self._ops

    def change(self, edit: Edit) -> Ops:
        """Replace the operations."""
        with self._lock:
            self._ops = edit(self._ops)
            return self._ops

    def claim(self) -> tuple[TransactionState | None, Ops]:
        """Return the operations; the object is made when an attempt begins."""
        return None, self._ops


def start(transactions: Transactions, *, message: str) -> StoredDraft:
    """Make a new, empty transaction in the store."""
    body = TransactionBody(id=new_commit_id(), message=message, created=transactions.clock_ns())
    return StoredDraft(transactions, transactions.create(body).body.id)


def drop(transactions: Transactions, id: str) -> None:
    """Give an open transaction up, with everything in it.

    Raises:
        TransactionNotFoundError: there is none, or it is finished. ConflictError: it is being finished.
    """
    draft = StoredDraft(transactions, CommitId(id))
    for round_no in range(ROUNDS):
        state, _ = draft.claim()
        try:
            transactions.swap(state, replace(state.body, state="dropped"))
        except BranchMovedError:
            back_off(round_no)
        else:
            transactions.remove(id)  # only now: an owner who was about to make it pending cannot any more
            return
    raise ConflictError(f"transaction {id} is being changed too often: try again")
