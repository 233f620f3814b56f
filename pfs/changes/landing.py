"""Landing changes of commits on a branch: a three-way merge of trees, worked out again whenever the branch moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfs.changes.branches import branch_info, movable, moved, pointer
from pfs.changes.merge import UNRESOLVED, Merge, Resolution, Trees
from pfs.changes.publish import Publication
from pfs.changes.refusal import refuse_output, refuse_tag
from pfs.errors import BranchMovedError, ConflictError, InvalidInputError, MergeConflictError
from pfs.history.resolve import finished
from pfs.ids import CommitId, new_commit_id
from pfs.model import CommitInfo, NewCommit, Provenance
from pfs.paths import from_key
from pfs.refs.body import RefsBody
from pfs.refs.read import RefsState
from pfs.trees.page import Changed
from pfs.trees.row import Root

if TYPE_CHECKING:
    from pfs.store import Store

Prepare = Callable[[RefsState], Sequence[NewCommit]]
"""Works out what to publish on a state of the repo; may raise NothingToDoError or MoveHeadError instead."""


@dataclass(frozen=True, slots=True)
class How:
    """Which side wins where both changed a path, and what to say of the commit (None: what is usual)."""

    resolution: Resolution = UNRESOLVED
    message: str | None = None


class NothingToDoError(Exception):
    """The branch has all of it already."""


class MoveHeadError(Exception):
    """No commit is needed, the branch moves to one that is there: ``(commit, head)``, from ``head``."""

    def __init__(self, commit: CommitId, head: CommitId | None) -> None:
        super().__init__(commit, head)
        self.commit, self.head = commit, head


class Landing:
    """One act on one branch."""

    def __init__(self, store: Store, repo: str, branch: str, how: How) -> None:
        self._store, self._repo, self._branch, self._how = store, repo, branch, how
        self._session, self._now_ns = store.session(), store.clock_ns()
        self._used = set[bytes]()

    def source(self, ref: str) -> CommitInfo:
        """Return a finished commit of the repo.

        Raises:
            CommitNotFoundError: there is none. ConflictError: it is open, or ended with an error.
        """
        info = finished(self._store, self._store.refs.read(self._repo), ref)
        if info.error is not None:
            raise ConflictError(f"commit {self._repo}@{info.id} ended with an error: {info.error}")
        return info

    def head(self, state: RefsState) -> CommitId | None:
        """Return the head of the branch, once it is sure that the branch may be written to.

        Raises:
            BranchNotFoundError: there is none. ConflictError: a tag, a pipeline's output, or one with an open commit.
        """
        refuse_tag(self._repo, state.body, self._branch)
        info = branch_info(self._repo, state.body, self._branch)
        refuse_output(self._repo, state.body, self._branch)
        if info.open_commit is not None:
            raise ConflictError(f"{self._repo}@{self._branch} has the open commit {info.open_commit}: finish it first")
        return info.head

    def merged(self, trees: Trees, commit: CommitId, *, what: str, source: CommitId | None = None) -> Root:
        """Return the merged tree, its changes marked with ``commit``; ``what`` is for the message.

        ``source``: the commit of the repo that ``trees.theirs`` is of; while it is live, what is taken from it is safe.

        Raises:
            MergeConflictError: both sides changed a path, and the resolution does not say which wins.
        """
        self._session.borrow(None if source is None else (self._repo, source))
        merge = Merge(self._session, trees, self._how.resolution)
        root = merge.run(changed=Changed(bytes.fromhex(commit), self._now_ns))
        self._used |= merge.used
        if merge.conflict_count:
            raise MergeConflictError(what, tuple(merge.conflicts), merge.conflict_count)
        return root

    def commit(
        self,
        root: Root,
        id: CommitId,
        parents: tuple[CommitId, ...],
        *,
        head: CommitId | None,
        message: str,
        provenance: tuple[Provenance, ...] = (),
    ) -> NewCommit:
        """Return a commit that takes the place of ``head``; ``message`` counts unless the caller asked for another."""
        return NewCommit(
            branch=self._branch,
            root=root,
            id=id,
            started_ns=self._now_ns,
            parents=parents,
            message=message if self._how.message is None else self._how.message,
            provenance=provenance,
            forked=True,
            onto=head,
        )

    def publish(self, prepare: Prepare) -> CommitInfo:
        """Publish what ``prepare`` makes of the present state, and return the head of the branch afterwards.

        Raises:
            InvalidInputError: a path was resolved at which there is no conflict; what ``prepare`` raises.
        """

        def checked(state: RefsState) -> Sequence[NewCommit]:
            self._used.clear()
            commits = prepare(state)
            unused = self._how.resolution.paths.keys() - self._used
            if unused:
                raise InvalidInputError(f"there is no conflict at {from_key(min(unused))} to resolve")
            return commits

        try:
            return Publication(self._store, self._repo, self._session).commit(checked)[-1]
        except NothingToDoError:
            self._session.abandon()
        except MoveHeadError as move:
            self._session.abandon()
            self._move(move)
        except BaseException:
            self._session.abandon()
            raise
        return self._store.repo(self._repo).inspect(self._branch)

    def _move(self, move: MoveHeadError) -> None:
        target = movable(self._store, self._store.refs.read(self._repo), move.commit)

        def edit(body: RefsBody) -> RefsBody:
            if branch_info(self._repo, body, self._branch).head != move.head:
                raise BranchMovedError(f"{self._repo}@{self._branch}")
            to = pointer(self._store, self._repo, body, target)
            return moved(self._store, body, (self._repo, self._branch), target=to)

        self._store.refs.update(self._repo, edit)


def fresh_ids() -> Callable[[CommitId], CommitId]:
    """Return a function from a commit to the id of its successor: the same one each time it is asked."""
    made: dict[CommitId, CommitId] = {}
    return lambda old: made.setdefault(old, new_commit_id())
