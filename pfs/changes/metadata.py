"""User metadata of repos, branches and commits: names and values, kept in refs, so that commits stay as they are.

A commit's go when its record does; a branch's go to the trash with it and come back with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from pfs.errors import BranchNotFoundError, CommitNotFoundError, ConflictError, InvalidInputError
from pfs.files.described import MAX_METADATA_BYTES, check_metadata
from pfs.history.lineage import Lineage
from pfs.history.resolve import chosen
from pfs.ids import CommitId
from pfs.model import CommitInfo
from pfs.refs.body import RefsBody, check_user_branch, with_branch
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store

MAX_COMMITS: Final = 1_000
"""Commits of a repo that may have metadata: they are part of the one object that every commit replaces."""


class MetadataEdit(Struct, frozen=True):
    """What to change: first all go if ``clear`` is set, then those that ``unset`` names, then ``set`` is put in."""

    set: Mapping[str, str] = field(default_factory=dict)
    unset: Collection[str] = ()
    clear: bool = False

    def of(self, old: Mapping[str, str]) -> dict[str, str]:
        """Return the metadata after the change; raises InvalidInputError: an odd name or value, or too much."""
        kept = {} if self.clear else {name: value for name, value in old.items() if name not in self.unset}
        new = {**kept, **self.set}
        check_metadata(new)
        if sum(len(name.encode()) + len(value.encode()) for name, value in new.items()) > MAX_METADATA_BYTES:
            raise InvalidInputError(f"the metadata would have over {MAX_METADATA_BYTES} bytes in all")
        return new


def edit_repo(store: Store, repo: str, edit: MetadataEdit) -> Mapping[str, str]:
    """Change the metadata of a repo; return what it has now."""
    return store.refs.update(repo, lambda body: replace(body, metadata=edit.of(body.metadata))).metadata


def edit_branch(store: Store, repo: str, branch: str, edit: MetadataEdit) -> Mapping[str, str]:
    """Change the metadata of a branch; raises BranchNotFoundError."""
    check_user_branch(branch)

    def changed(body: RefsBody) -> RefsBody:
        entry = body.branches.get(branch)
        if entry is None:
            raise BranchNotFoundError(repo, branch)
        return with_branch(body, branch, replace(entry, metadata=edit.of(entry.metadata)))

    return store.refs.update(repo, changed).branches[branch].metadata


def edit_commit(store: Store, repo: str, ref: str, edit: MetadataEdit) -> Mapping[str, str]:
    """Change the metadata of a commit, open or finished.

    Raises:
        CommitNotFoundError: there is none. ConflictError: it was squashed, or MAX_COMMITS of the repo have metadata
            already.
    """
    commit = chosen(store, store.refs.read(repo), ref).id

    def changed(body: RefsBody) -> RefsBody:
        notes = dict(body.notes)
        new = edit.of(notes.pop(commit, {}))
        if not _is_there(store, repo, body, commit):
            raise CommitNotFoundError(repo, commit)
        if new and len(notes) >= MAX_COMMITS:
            notes = {id: kept for id, kept in notes.items() if _is_there(store, repo, body, id)}
        if new and len(notes) >= MAX_COMMITS:
            raise ConflictError(
                f"{MAX_COMMITS:,} commits of repo {repo!r} have metadata, which is the most there may be"
            )
        return replace(body, notes={**notes, commit: new} if new else notes)

    return store.refs.update(repo, changed).notes.get(commit, {})


def noted(body: RefsBody, info: CommitInfo) -> CommitInfo:
    """Return a commit with its metadata."""
    return replace(info, metadata=body.notes[info.id]) if info.id in body.notes else info


def _is_there(store: Store, repo: str, body: RefsBody, commit: CommitId) -> bool:
    from pfs.ids import Etag

    return commit in body.open or Lineage(store, RefsState(repo, body, Etag(""))).find(commit) is not None
