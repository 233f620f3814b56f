"""What a writer writes to: a new commit on a branch, or an open commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pfs.changes.rebase import Collisions
from pfs.changes.refusal import refuse_tag
from pfs.changes.spouts import provenance_by_hand, require_spout
from pfs.errors import InvalidNameError
from pfs.history.resolve import base_of, find_id, refuse_commit
from pfs.ids import CommitId, new_commit_id
from pfs.model import NewCommit, Provenance
from pfs.refs.body import BranchEntry, check_branch_name, is_hidden
from pfs.refs.read import RefsState
from pfs.texts import check_text
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.store import Store


class Wish(Struct, frozen=True):
    """What the caller asked for: ``branch`` may be the id of an open commit; ``parent`` a ref to start from.

    Of a commit with an error that is the nearest before it without one.
    """

    branch: str
    parent: str | None
    message: str
    commit_id: CommitId | None
    provenance: tuple[Provenance, ...]
    collisions: Collisions


class Target(Struct, frozen=True, kw_only=True):
    """What it comes to.

    ``root`` is the tree of ``parent``, ``head`` the branch's; ``forked``: the caller named the parent.
    ``open``: the commit is open, and stays so; ``root`` is its present one.
    """

    repo: str
    branch: str
    commit: CommitId
    root: Root
    parent: CommitId | None
    head: CommitId | None
    started_ns: int
    open: bool = False
    forked: bool = False
    message: str = ""
    provenance: tuple[Provenance, ...] = ()
    collisions: Collisions = "refuse"

    def commit_on(self, parent: CommitId | None, root: Root) -> NewCommit:
        """Return the new commit with its files as they are on top of a parent."""
        return NewCommit(
            branch=self.branch,
            root=root,
            id=self.commit,
            started_ns=self.started_ns,
            parents=() if parent is None else (parent,),
            message=self.message,
            provenance=self.provenance,
            forked=self.forked,
            onto=self.head,
        )


def find_target(store: Store, state: RefsState, wish: Wish) -> Target:
    """Return what to write to.

    Raises:
        InvalidInputError: no name of a branch, or that of a hidden one; the message is not valid UTF-8.
        CommitClosedError: the wish names a finished commit.
        ConflictError: the branch is computed by a pipeline, and no provenance is given; the parent is open, or it and
            all before it ended with an error.
    """
    check_text(wish.message)
    if is_hidden(wish.branch):
        raise InvalidNameError("branch", wish.branch)
    refuse_tag(state.repo, state.body, wish.branch)
    opened = _open_commit(store, state, wish.branch)
    if opened is not None:
        require_spout(store, state.repo, state.body, state.body.open[opened].branch)
        return _open_target(state, opened, wish)
    branch = check_branch_name(wish.branch)
    provenance = wish.provenance or provenance_by_hand(store, state.repo, state.body, branch)
    head = state.body.branches.get(branch, BranchEntry()).head
    parent = head if wish.parent is None else base_of(store, state, wish.parent).id
    return Target(
        repo=state.repo,
        branch=branch,
        commit=wish.commit_id or new_commit_id(),
        root=EMPTY_ROOT if parent is None else store.history.get(state.repo, parent).tree_root(),
        parent=parent,
        head=head,
        started_ns=store.clock_ns(),
        forked=wish.parent is not None,
        message=wish.message,
        provenance=provenance,
        collisions=wish.collisions,
    )


def _open_commit(store: Store, state: RefsState, name: str) -> CommitId | None:
    if name in state.body.branches:
        return state.body.open_on(name)
    commit = find_id(store, state, name)
    if commit not in state.body.open:
        refuse_commit(store, state, name)
        return None
    return commit


def _open_target(state: RefsState, commit: CommitId, wish: Wish) -> Target:
    entry = state.body.open[commit]
    return Target(
        repo=state.repo,
        branch=entry.branch,
        commit=commit,
        root=entry.tree_root(),
        parent=entry.parent,
        head=entry.onto,
        started_ns=entry.started,
        open=True,
        collisions=wish.collisions,
    )
