"""Open commits: an entry in the refs of a repo, with a tree that moves until the commit is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pfs.changes.branches import pointer
from pfs.changes.publish import Publication
from pfs.changes.rebase import Changes, rebase
from pfs.changes.refusal import refuse_tag
from pfs.changes.spouts import provenance_by_hand, require_spout
from pfs.errors import AlreadyExistsError, CommitClosedError, CommitNotFoundError, ConflictError
from pfs.history.dependents import refuse_made_from
from pfs.history.resolve import base_of, find_id, open_info, refuse_commit
from pfs.ids import CommitId
from pfs.model import CommitInfo, NewCommit, Provenance
from pfs.refs.body import (
    BranchEntry,
    OpenEntry,
    RefsBody,
    check_user_branch,
    root_entry,
    with_branch,
    with_open,
    without_open,
)
from pfs.refs.read import RefsState
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.store import Store


class Opening(Struct, frozen=True):
    """What an open commit starts as; ``parent`` is a ref, None the head of the branch."""

    branch: str
    parent: str | None
    message: str
    provenance: tuple[Provenance, ...]


def start(store: Store, repo: str, commit: CommitId, new: Opening) -> CommitInfo:
    """Open a commit; see `Repo.start_commit`."""
    check_user_branch(new.branch)
    state, now_ns = store.refs.read(repo), store.clock_ns()
    refuse_commit(store, state, new.branch)
    named = None if new.parent is None else base_of(store, state, new.parent).id
    if store.history.find(repo, commit) is not None or commit in state.body.open:
        raise AlreadyExistsError("commit", f"{repo}@{commit}")

    def edit(body: RefsBody) -> RefsBody:
        refuse_tag(repo, body, new.branch)
        _refuse_second(repo, body, new)
        made_from = new.provenance or provenance_by_hand(store, repo, body, new.branch)
        branch = body.branches.get(new.branch, BranchEntry(created=now_ns))
        parent = branch.head if named is None else named
        if named is not None:
            pointer(store, repo, body, named)
        entry = OpenEntry(
            branch=new.branch,
            started=now_ns,
            parent=parent,
            onto=branch.head,
            message=new.message,
            root=root_entry(_root_of(store, repo, parent)),
            provenance=tuple((source.repo, source.branch, source.commit) for source in made_from),
        )
        return with_open(with_branch(body, new.branch, branch), commit, entry)

    return open_info(repo, commit, store.refs.update(repo, edit).open[commit])


def finish(store: Store, repo: str, ref: str, *, message: str | None, error: str | None) -> CommitInfo:
    """Finish an open commit; see `Repo.finish_commit`."""
    commit, session = find_open(store, store.refs.read(repo), ref), store.session()

    def prepare(state: RefsState) -> list[NewCommit]:
        entry = state.body.open.get(commit)
        if entry is None:
            raise CommitClosedError(repo, commit)
        require_spout(store, repo, state.body, entry.branch)
        if entry.origin == "auto":
            _refuse_unfinished(store, f"{repo}@{commit}", entry)
        root, parent = _on_head(store, session, state, (commit, entry))
        new = NewCommit(
            branch=entry.branch,
            root=root,
            id=commit,
            started_ns=entry.started,
            parents=() if parent is None else (parent,),
            message=entry.message if message is None else message,
            provenance=tuple(Provenance(repo, branch, CommitId(id)) for repo, branch, id in entry.provenance),
            error=error,
            forked=parent == entry.parent,
            onto=entry.onto,
            origin=entry.origin,
        )
        return [new]

    try:
        return Publication(store, repo, session).commit(prepare)[0]
    except BaseException:
        session.abandon()
        raise


def clear(store: Store, repo: str, ref: str) -> CommitInfo:
    """Take all changes out of an open commit; see `Repo.clear_commit`."""
    commit = find_open(store, store.refs.read(repo), ref)

    def edit(body: RefsBody) -> RefsBody:
        entry = body.open.get(commit)
        if entry is None:
            raise CommitClosedError(repo, commit)
        root = root_entry(_root_of(store, repo, entry.parent))
        return with_open(body, commit, replace(entry, root=root, packs=()))

    return open_info(repo, commit, store.refs.update(repo, edit).open[commit])


def drop(store: Store, repo: str, ref: str) -> None:
    """Give an open commit up; see `Repo.drop_open`."""
    commit = find_open(store, store.refs.read(repo), ref)
    refuse_made_from(store, repo, commit, within=None)
    store.refs.update(repo, lambda body: without_open(body, commit))


def find_open(store: Store, state: RefsState, ref: str) -> CommitId:
    """Return the open commit that an id, a prefix or a branch names.

    Raises:
        CommitClosedError: it is finished, or the branch has no open commit.
        CommitNotFoundError: there is no such branch or commit.
    """
    if ref in state.body.branches:
        commit, shown = state.body.open_on(ref), state.body.branches[ref].head or ref
    else:
        commit = find_id(store, state, ref)
        shown = commit or ref
        if commit is None:
            raise CommitNotFoundError(state.repo, ref)
    if commit is None or commit not in state.body.open:
        raise CommitClosedError(state.repo, shown)
    return commit


def _refuse_unfinished(store: Store, place: str, entry: OpenEntry) -> None:
    """Refuse to finish a commit before those that it is made from."""
    for repo, branch, source in entry.provenance:
        state = store.refs.find(repo)
        if state is not None and source in state.body.open:
            raise ConflictError(
                f"{place} is made from {repo}@{branch}, whose commit {source} is open: finish that first"
            )


def _refuse_second(repo: str, body: RefsBody, new: Opening) -> None:
    """Refuse an open commit beside another."""
    there = body.open_on(new.branch)
    if there is not None:
        raise ConflictError(f"branch {repo}@{new.branch} has the open commit {there}: finish it first")


def _on_head(
    store: Store, session: WriteSession, state: RefsState, opened: tuple[CommitId, OpenEntry]
) -> tuple[Root, CommitId | None]:
    """Return tree and parent of an open commit, put on the present head if that is not the one it was started on."""
    commit, entry = opened
    head = state.body.branches.get(entry.branch, BranchEntry()).head
    root = entry.tree_root()
    if head == entry.onto or entry.parent != entry.onto:
        return root, entry.parent
    changes = Changes(_root_of(store, state.repo, entry.parent), root)
    moved = rebase(
        session,
        changes,
        _root_of(store, state.repo, head),
        changed=Changed(bytes.fromhex(commit), store.clock_ns()),
        collisions="allow",
        place=f"{state.repo}@{entry.branch}",
    )
    return moved, head


def _root_of(store: Store, repo: str, commit: CommitId | None) -> Root:
    return EMPTY_ROOT if commit is None else store.history.get(repo, commit).tree_root()
