"""Deleting a repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfs.changes.branches import forget_sources, refuse_dependents, refuse_pipeline
from pfs.provenance.bind import unlink

if TYPE_CHECKING:
    from pfs.store import Store


def delete_repo(store: Store, repo: str, *, force: bool) -> None:
    """Delete a repo; see `Store.delete_repo`."""
    store.refs.settled(repo)
    state = store.refs.read(repo)
    if force:
        unlink(store, repo)
    else:
        refuse_pipeline(state)
        refuse_dependents(store, repo)
    store.refs.bury(state)
    store.history.forget(repo)
    forget_sources(store, repo, state.body.branches)
