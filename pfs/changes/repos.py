"""Deleting a repo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pfs.changes.branches import forget_sources, refuse_dependents, refuse_pipeline
from pfs.errors import CorruptionError
from pfs.provenance.bind import unlink
from pfs.refs.body import RefsBody

if TYPE_CHECKING:
    from pfs.store import Store


def delete_repo(store: Store, repo: str, *, force: bool, guard: Callable[[RefsBody], None] = lambda body: None) -> None:
    """Delete a repo; see `Store.delete_repo`. ``guard`` raises when, by then, it is not to be."""
    try:
        store.refs.settled(repo)
        state = store.refs.read(repo)
    except CorruptionError as error:
        if not force:
            error.add_note(f"repo {repo!r} is not deleted without --force")
            raise
        if not _delete_damaged(store, repo):
            raise
        return
    guard(state.body)
    if force:
        unlink(store, repo)
    else:
        refuse_pipeline(state)
        refuse_dependents(store, repo)
    store.refs.bury(state)
    store.history.forget(repo)
    forget_sources(store, repo, state.body.branches)


def _delete_damaged(store: Store, repo: str) -> bool:
    """Delete a repo of which the refs themselves cannot be read; False: that is not what is wrong.

    Its sources keep a hint at it, which costs nothing: which they are is not known.
    """
    unlink(store, repo)
    if not store.refs.bury_damaged(repo):
        return False
    store.history.forget(repo)
    return True
