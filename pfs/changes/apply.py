"""Changing a branch by edits that are worked out on the very tree they land on, each time another writer was first.

Unlike a `CommitWriter`, which carries finished changes to a new head and refuses conflicts, the last writer wins here,
and a condition on the present state holds at the moment of the swap. This is how the S3 front writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pfs.changes.publish import Publication
from pfs.changes.spouts import provenance_by_hand
from pfs.errors import CommitClosedError
from pfs.ids import CommitId, new_commit_id
from pfs.model import CommitInfo, NewCommit
from pfs.refs.body import BranchEntry, OpenEntry
from pfs.refs.read import RefsState
from pfs.trees.edit import Edit, edit
from pfs.trees.page import Changed
from pfs.trees.row import EMPTY_ROOT, Root
from pfs.trees.tree import Tree

if TYPE_CHECKING:
    from pfs.packs.session import WriteSession
    from pfs.repo import Repo

Change = Callable[[Tree], Sequence[Edit]]
"""Works out edits from the present tree, again after each lost swap; what it raises ends it all."""


class NothingToDoError(Exception):
    """The change has no edits: nothing is published."""


class _OpenedError(Exception):
    """The branch got an open commit meanwhile."""


def apply(repo: Repo, branch: str, change: Change, *, session: WriteSession, message: str = "") -> CommitInfo | None:
    """Put a change on a branch, made if need be, as one commit; or into its open commit. None: there was nothing to do.

    A path may be both a file and a directory afterwards. What the edits refer to is in ``session`` or in the store.

    Raises:
        RepoNotFoundError: the repo is gone.
        ConflictError: other writers were first too often; the branch is computed from others and nothing is open there.
        StorageError: nothing was changed.
    """
    while True:
        try:
            return _Attempt(repo, branch, change, session, message).run()
        except NothingToDoError:
            return None
        except (_OpenedError, CommitClosedError):
            continue


class _Attempt:
    def __init__(self, repo: Repo, branch: str, change: Change, session: WriteSession, message: str) -> None:
        self._repo, self._branch, self._change = repo, branch, change
        self._session, self._message = session, message
        self._now_ns = repo.store.clock_ns()
        self._publication = Publication(repo.store, repo.name, session)

    def run(self) -> CommitInfo:
        """Publish to the open commit of the branch, or as a new commit."""
        opened = self._repo.store.refs.read(self._repo.name).body.open_on(self._branch)
        if opened is not None:
            self._publication.update_open(opened, lambda entry: self._onto_open(opened, entry))
            return self._repo.inspect(opened)
        commit = new_commit_id()
        return self._publication.commit(lambda state: [self._onto_head(commit, state)])[0]

    def _onto_open(self, commit: CommitId, entry: OpenEntry) -> Root:
        return self._edited(entry.tree_root(), commit)

    def _onto_head(self, commit: CommitId, state: RefsState) -> NewCommit:
        if state.body.open_on(self._branch) is not None:
            raise _OpenedError
        provenance = provenance_by_hand(self._repo.store, self._repo.name, state.body, self._branch)
        head = state.body.branches.get(self._branch, BranchEntry()).head
        base = EMPTY_ROOT if head is None else self._repo.store.history.get(self._repo.name, head).tree_root()
        return NewCommit(
            branch=self._branch,
            root=self._edited(base, commit),
            id=commit,
            started_ns=self._now_ns,
            parents=() if head is None else (head,),
            message=self._message,
            provenance=provenance,
        )

    def _edited(self, base: Root, commit: CommitId) -> Root:
        edits = self._change(Tree(self._session, base))
        if not edits:
            raise NothingToDoError
        changed = Changed(bytes.fromhex(commit), self._now_ns)
        return edit(self._session, base, edits, changed=changed, collisions="allow")
