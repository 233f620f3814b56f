"""Take pipelines away, with what was made for them alone: repos of cron inputs, branches of triggers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.changes import branches
from pfs.errors import ConflictError, CorruptionError, NotFoundError, PfsError
from pfs.model import BranchRef
from pfs.provenance.bind import Binding, bind
from pps.model.catalog import Catalog, Pipeline
from pps.model.records import META_BRANCH, SPEC_BRANCH

if TYPE_CHECKING:
    from pfs.store import Store


def delete_pipeline(store: Store, name: str, *, keep_repo: bool, force: bool) -> None:
    """Delete a pipeline; means and raises what `pps.pipelines.Pipelines.delete` says."""
    try:
        pipeline = Catalog(store).get(name)
    except CorruptionError as error:
        if not force:
            error.add_note(f"pipeline {name!r} is not deleted without --force")
            raise
        _delete_damaged(store, name, keep_repo=keep_repo)
        return
    if keep_repo:
        _make_plain(store, name, [pipeline.spec.output_branch])
    else:
        if not force:
            branches.refuse_dependents(store, name)
        store.delete_repo(name, force=True)
    delete_unread(store, (leaf.repo for leaf in pipeline.leaves if leaf.cron is not None))
    delete_branches(store, _of_triggers(pipeline))


def undo_create(store: Store, name: str) -> None:
    """Take the repo of a failed create away again, unless somebody else's create of that name was faster."""
    with suppress(PfsError):
        state = store.refs.find(name)
        if state is not None and SPEC_BRANCH not in state.body.branches:
            store.delete_repo(name, force=True)


def delete_branches(store: Store, found: Iterable[BranchRef]) -> None:
    """Delete branches that were made for triggers, unless others read them; those that are gone are no error."""
    for repo, branch in found:
        with suppress(ConflictError, NotFoundError):
            store.repo(repo).delete_branch(branch)


def delete_unread(store: Store, repos: Iterable[str]) -> None:
    """Delete repos of cron inputs unless another pipeline reads them; those that are gone are no error."""
    for name in repos:
        with suppress(ConflictError, NotFoundError):
            store.delete_repo(name)


def _delete_damaged(store: Store, name: str, *, keep_repo: bool) -> None:
    if keep_repo:
        entries = store.refs.read(name).body.branches
        _make_plain(store, name, [branch for branch, entry in entries.items() if entry.pipeline])
    else:
        store.delete_repo(name, force=True)


def _make_plain(store: Store, name: str, outputs: Iterable[str]) -> None:
    bind(store, name, {branch: Binding() for branch in outputs})
    for branch in (SPEC_BRANCH, META_BRANCH):
        branches.delete(store, name, branch, force=True)


def _of_triggers(pipeline: Pipeline) -> list[BranchRef]:
    ours = [leaf for leaf in pipeline.leaves if leaf.branch.startswith(f"{pipeline.name}-trigger-")]
    return [BranchRef(leaf.repo, leaf.branch) for leaf in ours if leaf.trigger is not None]
