"""Branches: movable names in the refs of a repo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import BranchNotFoundError, ConflictError, InvalidInputError, InvalidNameError
from pfs.history.resolve import finished
from pfs.ids import is_commit_id, new_commit_id
from pfs.model import BranchInfo, BranchRef
from pfs.refs.body import (
    FAILED,
    HEAD,
    BranchEntry,
    RefsBody,
    TrashEntry,
    check_user_branch,
    is_hidden,
    pointed,
    with_branch,
    with_trash,
    without_branch,
)
from pfs.refs.swap import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


def branch_info(repo: str, body: RefsBody, name: str) -> BranchInfo:
    """Return the public value of a branch; raises BranchNotFoundError."""
    entry = body.branches.get(name)
    if entry is None:
        raise BranchNotFoundError(repo, name)
    provenance = tuple(BranchRef(*source) for source in entry.provenance)
    return BranchInfo(name, repo, entry.head, provenance, entry.created, body.open_on(name))


def create(
    store: Store, repo: str, name: str, *, head: str | None, provenance: Sequence[BranchRef] | None
) -> BranchInfo:
    """Create a branch or move it; see `Repo.create_branch`."""
    check_user_branch(name)
    if is_commit_id(name):
        raise InvalidNameError("branch", name)
    if any(source.repo == repo for source in provenance or ()):
        raise InvalidInputError(f"branch {repo}@{name} cannot be computed from its own repo")
    state, now_ns = store.refs.read(repo), store.clock_ns()
    target = None if head is None else movable(store, state, head)

    def edit(body: RefsBody) -> RefsBody:
        refuse_tag(repo, body, name)
        entry = body.branches.get(name, BranchEntry(created=now_ns))
        if target is not None:
            body = moved(store, with_branch(body, name, entry), (repo, name), target=target)
            entry = body.branches[name]
        if provenance is not None:
            entry = replace(entry, provenance=tuple((source.repo, source.branch) for source in provenance))
        return with_branch(body, name, entry)

    return branch_info(repo, store.refs.update(repo, edit), name)


def delete(store: Store, repo: str, name: str, *, force: bool) -> None:
    """Delete a branch; see `Repo.delete_branch`."""
    branch_info(repo, store.refs.read(repo).body, name)
    if not force:
        refuse_dependents(store, repo, branch=name)

    def edit(body: RefsBody) -> RefsBody:
        info = branch_info(repo, body, name)
        if info.open_commit is not None:
            raise ConflictError(f"branch {repo}@{name} has the open commit {info.open_commit}: finish it first")
        return without_branch(body, name, now_ns=store.clock_ns())

    store.refs.update(repo, edit)


def refuse_output(repo: str, body: RefsBody, branch: str) -> None:
    """Raise ConflictError if the branch is computed from others: only its pipeline writes to it."""
    entry = body.branches.get(branch)
    if entry is not None and entry.provenance:
        raise ConflictError(f"{repo}@{branch} is the output of a pipeline: write to another branch or repo")


def refuse_dependents(store: Store, repo: str, *, branch: str | None = None) -> None:
    """Raise ConflictError if branches of other repos are computed from the repo (or just from one branch of it)."""
    for state in store.refs.repos():
        for name, entry in state.body.branches.items():
            sources = (s for s in entry.provenance if s[0] == repo and branch in (None, s[1]))
            if state.repo != repo and any(sources):
                what = f"repo {repo!r}" if branch is None else f"branch {repo}@{branch}"
                raise ConflictError(f"{what} is an input of {state.repo}@{name}: delete that first, or use --force")


def refuse_pipeline(state: RefsState) -> None:
    """Raise ConflictError if the repo is the output of a pipeline: it has the pipeline's own branches."""
    if any(is_hidden(name) and not name.startswith(FAILED) for name in state.body.branches):
        raise ConflictError(
            f"repo {state.repo!r} is the output of a pipeline: `pps delete-pipeline {state.repo}`, or use --force"
        )


def refuse_tag(repo: str, body: RefsBody, name: str) -> None:
    """Raise ConflictError if the name is that of a tag: tags do not move, and take no writes."""
    if name in body.tags:
        raise ConflictError(f"{repo}@{name} is a tag, which never moves: name a branch")


def moved(store: Store, body: RefsBody, branch: tuple[str, str], *, target: BranchEntry) -> RefsBody:
    """Return the body with a branch, (repo, name), at ``target``; an old head that is left behind goes to the trash."""
    repo, name = branch
    old, now_ns = body.branches[name], store.clock_ns()
    if old.head == target.head:
        return body
    forwards = with_branch(body, name, pointed(old, target, now_ns=now_ns))
    if old.head is None or target.head is None:
        return forwards
    if any(record.id == old.head for record in store.history.first_parents(repo, target.head)):
        return forwards
    after = with_branch(body, name, pointed(old, target, now_ns=now_ns, move=new_commit_id()))
    return with_trash(after, name, TrashEntry(branch=old, deleted=now_ns, kind=HEAD, onto=target.head))


def movable(store: Store, state: RefsState, ref: str) -> BranchEntry:
    """Return the entry of a branch or tag at the commit ``ref``.

    Raises:
        CommitNotFoundError: there is none. ConflictError: it is open, or ended with an error.
    """
    info = finished(store, state, ref)
    if info.error is not None:
        raise ConflictError(f"commit {state.repo}@{info.id} ended with an error and cannot be a head: {info.error}")
    return BranchEntry(head=info.id, pack=store.history.home_of(state, info.id).hex())
