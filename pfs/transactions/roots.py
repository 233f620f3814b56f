"""What transactions under way hold: trees and packs that no refs lead to yet, and that collection must keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pfs.backends.base import Backend
from pfs.ids import CommitId, PackId
from pfs.refs.transactions import Transactions, TransactionState, object_name
from pfs.transactions.ops import Write, from_stored, roots_of
from pfs.trees.row import Root


@dataclass(frozen=True, slots=True)
class StagedRoot:
    """A tree of an operation, for the commit ``repo@commit``; its new content is in ``packs``."""

    transaction: CommitId
    repo: str
    commit: CommitId
    root: Root
    packs: tuple[PackId, ...]


def staged_roots(backend: Backend) -> Iterator[StagedRoot]:
    """Yield every tree that transactions hold, whatever their state; one read of each object.

    What refs hold of transactions is in `pfs.refs.prepared.possible`.

    Raises:
        CorruptionError: the object of one is damaged.
    """
    for state in Transactions(backend).all():
        yield from roots_in(state)


def roots_in(state: TransactionState | None) -> Iterator[StagedRoot]:
    """Yield every tree that one transaction holds; none if it is gone."""
    if state is not None:
        for op, root in roots_of(from_stored(state.body.ops, where=object_name(state.body.id))):
            yield StagedRoot(state.body.id, op.repo, op.commit, root, _packs(op))


def _packs(op: Write) -> tuple[PackId, ...]:
    return tuple(PackId(bytes.fromhex(pack)) for pack in op.packs)
