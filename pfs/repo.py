"""A repo: branches, commits, and the way to read and write them. Delegates; holds no state but its name.

What reading does not need is imported by the methods that do it: most processes only read (docs/design/startup.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes import metadata
from pfs.history.resolve import open_info, resolve
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchInfo, BranchRef, CommitInfo, NewCommit, Provenance, RepoInfo, TagInfo
from pfs.refs.body import check_user_branch, is_hidden
from pfs.refs.read import RefsState
from pfs.view import View

if TYPE_CHECKING:
    from pfs.changes.arrow_put import ArrowPut
    from pfs.changes.branches import Triggered
    from pfs.changes.metadata import MetadataEdit
    from pfs.changes.rebase import Collisions
    from pfs.changes.writer import CommitWriter
    from pfs.files.arrow_source import ArrowFiles
    from pfs.files.progress import Progress
    from pfs.lifecycle.purge import PurgeReport
    from pfs.lifecycle.rewrite import Mirror
    from pfs.packs.session import WriteSession
    from pfs.refs.retention import Retention
    from pfs.store import Store


class Repo:
    """One repo of a store; thread-safe. Reads go to the store each time: another process's commits show at once."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    def __getitem__(self, ref: str) -> View:
        """Return the files of a commit: `view`."""
        return self.view(ref)

    def __repr__(self) -> str:
        return f"Repo({self.name!r})"

    def info(self) -> RepoInfo:
        """Return what is known of the repo; one read of its refs."""
        return self.store.repo_info(self._state())

    def describe(self, description: str) -> RepoInfo:
        """Change what the repo is said to be for."""
        self.store.refs.update(self.name, lambda body: replace(body, description=description))
        return self.info()

    def edit_metadata(
        self, edit: MetadataEdit, *, branch: str | None = None, commit: str | None = None
    ) -> Mapping[str, str]:
        """Change the user metadata of the repo, of a branch or of a commit, and return them.

        Raises:
            InvalidInputError: an odd name or value, or over 2 KiB of them.
            BranchNotFoundError, CommitNotFoundError: there is none.
            ConflictError: 1,000 commits of the repo have metadata already.
        """
        if branch is not None:
            return metadata.edit_branch(self.store, self.name, branch, edit)
        if commit is not None:
            return metadata.edit_commit(self.store, self.name, commit, edit)
        return metadata.edit_repo(self.store, self.name, edit)

    def create_branch(
        self,
        name: str,
        *,
        head: str | None = None,
        provenance: Sequence[BranchRef] | None = None,
        never: Sequence[BranchRef] = (),
        trigger: Triggered = "keep",
    ) -> BranchInfo:
        """Create a branch, or change one; without ``head`` a new branch has no commit yet, an old one stays.

        ``provenance``: the branches of other repos that it is computed from, made if need be (None leaves them).
        Whenever one of them gets a new head, an open commit appears here; not for those that ``never`` names.
        ``trigger``: follow another branch of the repo.

        Raises:
            InvalidNameError: letters, digits, ``-`` and ``_`` only.
            CommitNotFoundError: ``head`` is none of the repo's finished commits. RepoNotFoundError: of a source.
            InvalidInputError: a source in its own repo, or both a trigger and provenance.
            ConflictError: ``head`` is open, or finished with an error; two branches of one repo would be connected by
                provenance, or a branch with itself; triggers would go in a circle.
        """
        from pfs.changes import branches

        wish = branches.Wish(head, provenance, never, trigger)
        return branches.create(self.store, self.name, name, wish)

    def branches(self, *, hidden: bool = False) -> list[BranchInfo]:
        """Return the branches by name; ``hidden``: the system's own (``.spec``) too."""
        from pfs.changes.branches import branch_info

        body = self._settled().body
        names = sorted(name for name in body.branches if hidden or not is_hidden(name))
        return [branch_info(self.name, body, name) for name in names]

    def branch(self, name: str) -> BranchInfo:
        """Return one branch; raises BranchNotFoundError."""
        from pfs.changes.branches import branch_info

        return branch_info(self.name, self._settled().body, name)

    def delete_branch(self, name: str, *, force: bool = False) -> None:
        """Take a branch away; its commits stay readable by id, and it is kept in the trash for 30 days.

        Raises:
            InvalidNameError: no name, or that of a branch of the system's own.
            BranchNotFoundError: there is none.
            ConflictError: it has an open commit, or other branches are computed from it or follow it; with ``force``
                they lose that.
        """
        from pfs.changes import branches

        branches.delete(self.store, self.name, check_user_branch(name), force=force)

    def start_commit(
        self,
        branch: str,
        *,
        parent: str | None = None,
        message: str = "",
        commit_id: CommitId | None = None,
        provenance: Sequence[Provenance] = (),
    ) -> CommitInfo:
        """Open a commit on a branch, made if need be; it holds the files of ``parent`` (default: the head).

        Of a ``parent`` that ended with an error those of the nearest before it without one, which is the parent then.
        Open commits are seen by other processes and survive crashes; the head moves when it is finished.

        Raises:
            ConflictError: the branch has an open commit already, or is computed by a pipeline; ``parent`` is open, or
                it and all before it ended with an error.
            AlreadyExistsError: the repo has a commit of that id.
        """
        from pfs.changes import open_commits
        from pfs.provenance.pull import settle

        settle(self.store, self.name)
        new = open_commits.Opening(branch, parent, message, tuple(provenance))
        return open_commits.start(self.store, self.name, commit_id or new_commit_id(), new)

    def finish_commit(self, ref: str, *, message: str | None = None, error: str | None = None) -> CommitInfo:
        """Finish an open commit, named by its id or its branch: it becomes the head, unless it has an ``error``.

        Raises:
            CommitClosedError: it is finished already; the branch has no open commit.
            CommitNotFoundError: there is no such commit or branch.
            PathConflictError: the head moved meanwhile, and one of the same paths was changed.
            ConflictError: it is made from a commit that is open.
        """
        from pfs.changes import open_commits
        from pfs.provenance.pull import settle

        settle(self.store, self.name)
        return open_commits.finish(self.store, self.name, ref, message=message, error=error)

    def clear_commit(self, ref: str) -> CommitInfo:
        """Take all changes out of an open commit: it holds the files of its parent. Raises as `finish_commit`."""
        from pfs.changes import open_commits

        return open_commits.clear(self.store, self.name, ref)

    def drop_open(self, ref: str) -> None:
        """Give an open commit up, with everything in it; raises as `finish_commit`.

        Raises:
            ConflictError: something was made from it.
        """
        from pfs.changes import open_commits

        open_commits.drop(self.store, self.name, ref)

    def create_tag(self, name: str, ref: str) -> TagInfo:
        """Name a finished commit for good; see `pfs.changes.tags.create_tag`."""
        from pfs.changes import tags

        return tags.create_tag(self.store, self.name, name, ref)

    def tags(self) -> list[TagInfo]:
        """Return the tags by name."""
        from pfs.changes import tags

        return tags.list_tags(self.store, self.name)

    def delete_tag(self, name: str) -> None:
        """Take a tag away, into the trash; raises TagNotFoundError."""
        from pfs.changes import tags

        tags.delete_tag(self.store, self.name, name)

    def squash_commit(self, ref: str) -> CommitInfo:
        """Take a commit out from between its parent and its children, O(1); see `pfs.changes.squash.squash`."""
        from pfs.changes import squash

        return squash.squash(self.store, self.name, ref)

    def drop_commit(self, ref: str) -> CommitInfo:
        """Take a commit without children away: its branch moves back to the parent; see `pfs.changes.squash.drop`."""
        from pfs.changes import squash

        return squash.drop(self.store, self.name, ref)

    def undelete(self, name: str) -> CommitId | None:
        """Put back a branch, tag or head that was taken away, or a dropped commit by id (`pfs.changes.trash`)."""
        from pfs.changes import trash

        return trash.undelete(self.store, self.name, name)

    def retention(self) -> Retention | None:
        """Return the rules that say which commits stay; None: all do."""
        from pfs.lifecycle.retention import get_retention

        return get_retention(self.store, self.name)

    def set_retention(self, rules: Retention | None) -> None:
        """Give the repo other rules, or none; they do nothing before the next `Store.collect`.

        Raises:
            RepoNotFoundError, BranchNotFoundError: there is no such repo, or no such branch.
            InvalidInputError: a number is negative, rules keep nothing, or a glob is malformed.
        """
        from pfs.lifecycle.retention import set_retention

        set_retention(self.store, self.name, rules)

    def purge(
        self,
        path: str,
        *,
        recursive: bool = False,
        dry_run: bool = False,
        mirrors: tuple[Mirror, ...] = (),
        progress: Progress | None = None,
    ) -> PurgeReport:
        """Delete a path for good, out of all commits; there is no way back. Bytes go with the next `Store.collect`.

        ``mirrors``: hidden branches that lay out the repo's files again, as those of pipelines do. Raises as
        `pfs.lifecycle.purge.purge`.
        """
        from pfs.lifecycle.purge import purge

        return purge(
            self.store,
            self.name,
            path,
            recursive=recursive,
            dry_run=dry_run,
            mirrors=mirrors,
            progress=progress,
        )

    def inspect(self, ref: str) -> CommitInfo:
        """Return the commit that a ref expression names; a branch names its last finished commit.

        Raises:
            CommitNotFoundError: there is none.
            InvalidInputError: the expression is malformed, or a prefix is ambiguous.
        """
        state = self._settled()
        return metadata.noted(state.body, resolve(self.store, state, ref))

    def commits(self, branch: str | None = None, *, limit: int | None = None) -> Iterator[CommitInfo]:
        """Yield commits, newest first: those of a branch or ref by first parents, its open one in front.

        Without ``branch``: every commit of the repo, open and failed ones included, those of hidden branches
        left out.
        """
        from pfs.history.log import all_commits, branch_commits

        state = self._settled()
        found = all_commits(self.store, state) if branch is None else branch_commits(self.store, state, branch)
        return (metadata.noted(state.body, info) for info in islice(found, limit))

    def commit(
        self,
        branch: str,
        *,
        message: str = "",
        parent: str | None = None,
        commit_id: CommitId | None = None,
        provenance: Sequence[Provenance] = (),
        collisions: Collisions = "refuse",
    ) -> CommitWriter:
        """Begin writing: to a branch (made if need be), to its open commit if it has one, or to an open commit by id.

        ``parent``: start from that commit instead of the head, as `start_commit`; the branch must not move meanwhile.

        Raises:
            CommitClosedError: ``branch`` is the id of a finished commit.
            ConflictError: the branch is computed by a pipeline; ``parent`` is open, or has no good commit.
        """
        from pfs.changes.target import Wish, find_target
        from pfs.changes.writer import CommitWriter

        wish = Wish(branch, parent, message, commit_id, tuple(provenance), collisions)
        with self.store.refs.read_once():
            target = find_target(self.store, self._settled(), wish)
        return CommitWriter(self.store, target)

    def commit_arrow(
        self, branch: str, source: ArrowFiles, path: str = "/", *, message: str = "", how: ArrowPut | None = None
    ) -> CommitInfo:
        """Make a commit with files whose content is stored, given as Arrow rows; as `commit` and `put_arrow`."""
        with self.commit(branch, message=message) as writer:
            writer.put_arrow(source, path, how)
            return writer.finish()

    def publish(self, commits: Sequence[NewCommit], session: WriteSession) -> list[CommitInfo]:
        """Publish finished commits whose trees are in ``session``, to several branches of this repo in one swap.

        Raises:
            BranchMovedError: a head is not what its new commit replaces; nothing was published.
            AlreadyExistsError: the repo has a commit of that id.
        """
        from pfs.changes.publish import Publication

        return Publication(self.store, self.name, session).commit(lambda _: commits)

    def view(self, ref: str, *, follow_open: bool = False) -> View:
        """Return the files of a commit; ``follow_open``: of the open commit of that branch, if there is one."""
        with self.store.refs.read_once():
            state = self._state()
            commit = state.body.open_on(ref) if follow_open else None
            if commit is not None:
                return View(self.store, open_info(self.name, commit, state.body.open[commit]))
            return View(self.store, resolve(self.store, state, ref))

    def _settled(self) -> RefsState:
        """Return the refs, with commits opened that a crash kept from being opened."""
        from pfs.provenance.pull import settle

        settle(self.store, self.name)
        return self._state()

    def _state(self) -> RefsState:
        return self.store.refs.read(self.name)
