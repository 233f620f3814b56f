"""Deleting a repo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pfs.changes.branches import forget_sources, refuse_dependents, refuse_pipeline
from pfs.provenance.bind import unlink
from pfs.refs.body import RefsBody

if TYPE_CHECKING:
    from pfs.store import Store


def delete_repo(store: Store, repo: str, *, force: bool, guard: Callable[[RefsBody], None] = lambda body: None) -> None:
    """Delete a repo; see `Store.delete_repo`. ``guard`` raises when, by then, it is not to be."""
    store.refs.settled(repo)
    state = store.refs.read(repo)
    guard(state.body)
    if force:
        unlink(store, repo)
    else:
        refuse_pipeline(state)
        refuse_dependents(store, repo)
    store.refs.bury(state)
    store.history.forget(repo)
    forget_sources(store, repo, state.body.branches)
