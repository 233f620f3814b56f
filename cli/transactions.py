"""The active transaction: into which commands put what they change, instead of doing it at once.

One for each user of a store, in a file beside it; PFS_TRANSACTION names another for one command or shell, or ``none``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cli.output import note
from pfs.errors import ConflictError, TransactionNotFoundError
from pfs.ids import is_commit_id

if TYPE_CHECKING:
    from pfs.paths import Address
    from pfs.store import Store
    from pfs.transactions.transaction import Transaction
    from pfs.view import View

    Changes: TypeAlias = Store | Transaction

VARIABLE = "PFS_TRANSACTION"
NONE = "none"


def active_id(store: Store) -> str | None:
    """Return the id of the active transaction as it was written down; it may have ended since."""
    named = os.environ.get(VARIABLE)
    if named:
        return None if named == NONE else named
    with suppress(OSError):
        text = _file(store).read_text().strip()
        return text if is_commit_id(text) else None
    return None


def is_chosen_by_variable() -> bool:
    """Say whether the environment says which transaction is active, or that none is."""
    return bool(os.environ.get(VARIABLE))


def activate(store: Store, id: str) -> None:
    """Make a transaction the active one of this user."""
    file = _file(store)
    file.parent.mkdir(exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(f"{id}\n")
    draft.replace(file)


def deactivate(store: Store, id: str | None = None) -> None:
    """Have no active transaction any more; with ``id``: if it is that one."""
    with suppress(OSError):
        if id is None or _file(store).read_text().strip() == id:
            _file(store).unlink()


def find_active(store: Store) -> Transaction | None:
    """Return the active transaction, ready to be added to.

    Raises:
        TransactionNotFoundError: the one that PFS_TRANSACTION names has ended.
        ConflictError: the user's has ended, which he may not know; from the next command on there is none.
    """
    id = active_id(store)
    if id is None:
        return None
    try:
        return _resumed(store, id)
    except TransactionNotFoundError as error:
        if is_chosen_by_variable():
            raise
        deactivate(store, id)
        raise ConflictError(
            f"transaction {id} was finished or deleted elsewhere, nothing was changed: run the command again to do it "
            "outside of a transaction"
        ) from error


@contextmanager
def changing(store: Store) -> Iterator[Changes]:
    """Give what a command makes its changes on: the active transaction, or the store; say so if it is the first."""
    transaction = find_active(store)
    if transaction is None:
        yield store
        return
    yield transaction
    note(f"this is in transaction {transaction.id}, and shows once `pfs finish-transaction` is run")


def refuse(store: Store, command: str) -> None:
    """Refuse a command that changes repos and cannot be part of a transaction, while one is active."""
    transaction = find_active(store)
    if transaction is not None:
        raise ConflictError(
            f"{command} cannot be part of a transaction: finish or delete {transaction.id} first, "
            f"or set {VARIABLE}={NONE}"
        )


def staged_view(store: Store, where: Address) -> View | None:
    """Return the files of a commit that the active transaction makes, if an address names one by its id."""
    id, ref = active_id(store), where.ref or ""
    if id is None or len(ref) < 6:
        return None
    with suppress(TransactionNotFoundError, ConflictError):
        transaction = _resumed(store, id)
        if any(repo == where.repo and commit.startswith(ref) for repo, commit in transaction.commits()):
            return transaction.view(where.repo, ref)
    return None


def _resumed(store: Store, id: str) -> Transaction:
    from pfs.transactions.transaction import inspect_transaction, resume

    return resume(store, id if is_commit_id(id) else inspect_transaction(store, id).id)


def _file(store: Store) -> Path:
    return store.path / "run" / f"transaction-{os.getuid()}"
