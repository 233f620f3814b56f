"""Merge, revert, cherry-pick, rebase: three-way merges landed on a branch (docs/design/merge.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.changes.landing import How, Landing, MoveHeadError, NothingToDoError, fresh_ids
from pfs.changes.merge import Trees
from pfs.errors import InvalidInputError
from pfs.history.ancestors import is_ancestor, merge_base
from pfs.history.graph import Graph
from pfs.history.resolve import finished
from pfs.ids import CommitId, new_commit_id
from pfs.model import CommitInfo, NewCommit
from pfs.refs.read import RefsState
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.store import Store

_NAME = r"[A-Za-z0-9_-]+"
_AS_USUAL = How()


def merge(store: Store, repo: str, source: str, branch: str, *, how: How = _AS_USUAL) -> CommitInfo:
    """Merge a commit into a branch by a commit with both as parents; return the head afterwards.

    The branch is ``ours``, the source ``theirs``; what changed is counted from their best common ancestor, from nothing
    where the histories are unrelated. A branch that comes from the source already stays as it is.

    Raises:
        MergeConflictError: both sides changed a path; nothing was changed.
        BranchNotFoundError, CommitNotFoundError: there is none. InvalidInputError: a path resolved is no conflict.
        ConflictError: the branch has an open commit or is a pipeline's output; the source is open or has an error.
    """
    landing, id = Landing(store, repo, branch, how), new_commit_id()
    theirs = landing.source(source)

    def prepare(state: RefsState) -> list[NewCommit]:
        graph, head = Graph(store, state), landing.head(state)
        message = f"merge {source} into {branch}"
        if head is None:
            return [landing.commit(graph.commit(theirs.id).root, id, (theirs.id,), head=None, message=message)]
        base = merge_base(graph, head, theirs.id)
        if base is not None and base.id == theirs.id:
            raise NothingToDoError
        # Trees are those of this moment: something may have been purged from them since the commits were looked up.
        trees = Trees(EMPTY_ROOT if base is None else base.root, graph.commit(head).root, graph.commit(theirs.id).root)
        what = f"merge {repo}@{source} into {repo}@{branch}"
        root = landing.merged(trees, id, what=what, source=theirs.id)
        return [landing.commit(root, id, (head, theirs.id), head=head, message=message)]

    return landing.publish(prepare)


def revert(store: Store, repo: str, ref: str, *, branch: str | None = None, how: How = _AS_USUAL) -> CommitInfo:
    """Undo what a commit did to its first parent, by a new commit; return the head afterwards.

    ``branch``: where; default the branch that ``ref`` begins with, else the one that the commit was made on. Where
    nothing changes, no commit is made.

    Raises:
        InvalidInputError: the commit is not in the history of the branch; else as `merge`.
    """
    undone = finished(store, store.refs.read(repo), ref)
    goal = branch or _branch_of(store, repo, ref, undone)
    apply = _Apply(store, repo, goal, how)
    what = f"revert {repo}@{undone.id[:12]} on {repo}@{goal}"

    def prepare(state: RefsState) -> list[NewCommit]:
        graph, head = Graph(store, state), apply.landing.head(state)
        if head is None or not is_ancestor(graph, undone.id, head):
            raise InvalidInputError(f"commit {repo}@{undone.id} is not in the history of {repo}@{goal}")
        message = _message(f"revert {undone.id[:12]}", undone)
        change = graph.commit(undone.id).root, _parent_root(graph, undone)
        return apply.run(graph, head, change, what=what, message=message)

    return apply.landing.publish(prepare)


def cherry_pick(store: Store, repo: str, ref: str, branch: str, *, how: How = _AS_USUAL) -> CommitInfo:
    """Do on a branch what a commit did to its first parent, by a new commit; return the head afterwards.

    Where nothing changes, no commit is made. Raises as `merge`.
    """
    apply = _Apply(store, repo, branch, how)
    picked = apply.landing.source(ref)
    what = f"cherry-pick {repo}@{picked.id[:12]} to {repo}@{branch}"

    def prepare(state: RefsState) -> list[NewCommit]:
        graph, head = Graph(store, state), apply.landing.head(state)
        message = picked.message or f"cherry-pick {picked.id[:12]}"
        change = _parent_root(graph, picked), graph.commit(picked.id).root
        return apply.run(graph, head, change, what=what, message=message)

    return apply.landing.publish(prepare)


def rebase(store: Store, repo: str, branch: str, onto: str, *, how: How = _AS_USUAL) -> CommitInfo:
    """Put the commits of a branch that ``onto`` does not come from on top of it, each as a new one; return the head.

    Those by first parents, oldest first; a merge among them becomes a plain commit, and one that changes nothing any
    more is left out. ``onto`` is ``ours``, they are ``theirs``. The old head goes to the trash; raises as `merge`.
    """
    landing, new_id = Landing(store, repo, branch, how), fresh_ids()
    base = landing.source(onto)

    def prepare(state: RefsState) -> Sequence[NewCommit]:
        graph, head = Graph(store, state), landing.head(state)
        if head is not None and is_ancestor(graph, base.id, head):
            raise NothingToDoError
        own = [] if head is None else _own(graph, head, base.id)
        made = list(_Replay(landing, graph, head, new_id).run(own, graph.commit(base.id)))
        if not made:
            raise MoveHeadError(base.id, head)
        return made

    return landing.publish(prepare)


@dataclass(frozen=True, slots=True)
class _Replay:
    """Commits put on top of another, one by one."""

    landing: Landing
    graph: Graph
    head: CommitId | None
    new_id: Callable[[CommitId], CommitId]

    def run(self, commits: Sequence[CommitInfo], onto: CommitInfo) -> Iterator[NewCommit]:
        """Yield the new commits; all are to replace the one head, in a single swap."""
        root, parent = onto.root, onto.id
        for old in commits:
            id = self.new_id(old.id)
            trees = Trees(_parent_root(self.graph, old), root, old.root)
            after = self.landing.merged(trees, id, what=f"put {onto.repo}@{old.id[:12]} on {onto.repo}@{parent[:12]}")
            if after.pid != root.pid:
                yield self.landing.commit(
                    after, id, (parent,), head=self.head, message=old.message, provenance=old.provenance
                )
                root, parent = after, id


class _Apply:
    """One change put on the head of a branch as one commit."""

    def __init__(self, store: Store, repo: str, branch: str, how: How) -> None:
        self.landing = Landing(store, repo, branch, how)
        self._id = new_commit_id()

    def run(
        self, graph: Graph, head: CommitId | None, change: tuple[Root, Root], *, what: str, message: str
    ) -> list[NewCommit]:
        """Return the commit that changes the head as the first tree was changed to the second."""
        ours = EMPTY_ROOT if head is None else graph.commit(head).root
        root = self.landing.merged(Trees(change[0], ours, change[1]), self._id, what=what)
        if root.pid == ours.pid:
            raise NothingToDoError
        parents = () if head is None else (head,)
        return [self.landing.commit(root, self._id, parents, head=head, message=message)]


def _own(graph: Graph, head: CommitId, onto: CommitId) -> list[CommitInfo]:
    """Return the commits from a head by first parents that ``onto`` does not come from, oldest first."""
    found: list[CommitInfo] = []
    info = graph.commit(head)
    while not is_ancestor(graph, info.id, onto):
        found.append(info)
        if not info.parents:
            break
        info = graph.commit(info.parents[0])
    return found[::-1]


def _branch_of(store: Store, repo: str, ref: str, info: CommitInfo) -> str:
    """Return the branch that a ref expression begins with, else the one that the commit was made on."""
    match = re.match(_NAME, ref)
    name = "" if match is None else match[0]
    return name if name in store.refs.read(repo).body.branches else info.branch


def _message(title: str, info: CommitInfo) -> str:
    return f"{title}: {info.message}" if info.message else title


def _parent_root(graph: Graph, info: CommitInfo) -> Root:
    return graph.commit(info.parents[0]).root if info.parents else EMPTY_ROOT
