"""From what the user typed to values of the libraries: stores and addresses. It knows nothing of click."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cli import transactions, unlocking
from cli.exits import usage_error
from pfs.paths import Address, parse_address
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.model import CommitInfo
    from pfs.repo import Repo
    from pfs.store import Store
    from pfs.view import View

_location: ContextVar[str | None] = ContextVar("location", default=None)


def choose_store(location: str | None) -> None:
    """Keep what --store said, None for nothing, for the command that runs now; it must not be empty."""
    refuse_empty("--store", "the folder of a store or the URL of its bucket", location)
    _location.set(location)


def refuse_empty(option: str, what: str, *values: str | None) -> None:
    """Refuse the empty word of an option that names something, as a variable leaves it that is not set.

    A path that is empty would be the working directory. ``what``: what the option names.

    Raises:
        InvalidInputError: one of the values is empty.
    """
    if "" in values:
        raise usage_error(f"{option} needs a value that is not empty: name {what}")


def store_location() -> str | None:
    """Return what --store said, if anything."""
    return _location.get()


@contextmanager
def open_store(*, alone: str | None = None) -> Iterator[Store]:
    """Open the store that this invocation means, and close it afterwards.

    ``alone``: the name of a command that changes repos and cannot be part of a transaction.
    """
    from pfs.opening import open as open_at

    with open_at(store_location(), unlock=unlocking.unlock) as store:
        if alone is not None:
            transactions.refuse(store, alone)
        yield store


@contextmanager
def open_changes() -> Iterator[transactions.Changes]:
    """Open what a command makes its changes on: the active transaction if there is one, else the store."""
    with open_store() as store, transactions.changing(store) as changes:
        yield changes


def address(text: str, *, ref: bool = False, path: bool = False) -> Address:
    """Parse an address that must have a ref or a path.

    Raises:
        InvalidInputError: it has none, or has what this command does not take.
    """
    parsed = parse_address(text)
    if path and parsed.path is None:
        raise usage_error(f"the path is missing in {quoted(text)}: write repo@branch:/path")
    if ref and parsed.ref is None:
        raise usage_error(f"the branch or commit is missing in {quoted(text)}: write {parsed.repo}@master")
    return parsed


def branch_address(text: str) -> tuple[str, str]:
    """Parse ``repo@branch`` without a path."""
    parsed = address(text, ref=True)
    if parsed.path is not None or parsed.ref is None:
        raise usage_error(f"a path is not wanted in {quoted(text)}: write repo@branch")
    return parsed.repo, parsed.ref


def repo_name(text: str) -> str:
    """Parse a bare repo name."""
    parsed = parse_address(text)
    if parsed.ref is not None:
        raise usage_error(f"{quoted(text)} should be a repo alone, without a branch or path")
    return parsed.repo


def repo_of(store: Store, where: Address) -> Repo:
    """Return the repo of an address."""
    return store.repo(where.repo)


def view_of(store: Store, where: Address) -> View:
    """Return the commit that an address names, one of the active transaction by its id too."""
    assert where.ref is not None
    staged = transactions.staged_view(store, where)
    return staged or store.repo(where.repo).view(where.ref)


def commit_of(store: Store, repo: str, ref: str) -> CommitInfo:
    """Return what is known of a commit, of one of the active transaction by its id too."""
    staged = transactions.staged_view(store, Address(repo, ref, None))
    return store.repo(repo).inspect(ref) if staged is None else staged.info


def ids(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas; none for an empty one."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
