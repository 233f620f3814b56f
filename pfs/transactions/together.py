"""Work on several repos that others see all at once or not at all, by the functions that do it on one at a time.

For who works out what to change from the repos as they are, and so has no operations to replay
(docs/design/transactions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from pfs.errors import BranchMovedError, ConflictError
from pfs.ids import CommitId
from pfs.refs.back_off import back_off
from pfs.refs.transactions import TransactionBody
from pfs.transactions.finish import ROUNDS, Attempt, turns
from pfs.transactions.staged import StagedStore

if TYPE_CHECKING:
    from pfs.store import Store

T = TypeVar("T")


def publish_together(
    store: Store, work: Callable[[StagedStore], T], *, repos: Iterable[str], id: CommitId, message: str = ""
) -> T:
    """Do ``work`` on a staged store and publish what it changed there; return what it returned the last time.

    It is done again, on the repos as they are then, when another writer was first; what it raises ends it all, without
    effect. ``repos``: those that it will change, as far as they are known. ``id``: for this call alone; a commit of
    that id should be among those that it makes, which tells that it was published when the reply to that is lost.

    Raises:
        ConflictError: others were first ROUNDS times.
        StorageError: nothing was changed, unless it says that the outcome is unknown.
    """
    known = frozenset(repos)
    for round_no in range(ROUNDS):
        with turns(store, known):
            staged = StagedStore(store, tentative=False)
            made = work(staged)
            begun = TransactionBody(id=id, kept=False, message=message, attempt=round_no + 1)
            try:
                Attempt(store, staged, begun).run(None)
            except BranchMovedError:
                back_off(round_no)
                continue
        return made
    raise ConflictError(f"the repos {', '.join(sorted(known))} are being changed too often: try again")
