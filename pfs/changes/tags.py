"""Tags: names of commits that never move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes.branches import movable, pointer
from pfs.errors import AlreadyExistsError, CommitNotFoundError, InvalidNameError, TagNotFoundError
from pfs.ids import is_commit_id
from pfs.model import TagInfo
from pfs.paths import check_name
from pfs.refs.body import TAG, BranchEntry, RefsBody, TrashEntry, with_trash

if TYPE_CHECKING:
    from pfs.store import Store


def create_tag(store: Store, repo: str, name: str, ref: str) -> TagInfo:
    """Name a finished commit for good; naming the same commit again changes nothing.

    Raises:
        InvalidNameError: letters, digits, ``-`` and ``_`` only, and not the shape of a commit id.
        AlreadyExistsError: there is a branch of that name, or a tag of another commit.
        CommitNotFoundError: there is no such commit. ConflictError: it is open, or ended with an error.
    """
    check_name("tag", name)
    if is_commit_id(name):
        raise InvalidNameError("tag", name)
    target, now_ns = movable(store, store.refs.read(repo), ref), store.clock_ns()

    def edit(body: RefsBody) -> RefsBody:
        if name in body.branches:
            raise AlreadyExistsError("branch", f"{repo}@{name}")
        old = body.tags.get(name)
        if old is not None and old.head == target:
            return body
        if old is not None:
            raise AlreadyExistsError("tag", f"{repo}@{name}")
        entry = replace(pointer(store, repo, body, target), created=now_ns)
        return replace(body, tags={**body.tags, name: entry})

    return _info(repo, name, store.refs.update(repo, edit).tags[name])


def list_tags(store: Store, repo: str) -> list[TagInfo]:
    """Return the tags of a repo by name; raises RepoNotFoundError."""
    return [_info(repo, name, entry) for name, entry in sorted(store.refs.read(repo).body.tags.items())]


def delete_tag(store: Store, repo: str, name: str) -> None:
    """Take a tag away; it is kept in the trash for 30 days.

    Raises:
        TagNotFoundError: there is none.
    """

    def edit(body: RefsBody) -> RefsBody:
        if name not in body.tags:
            raise TagNotFoundError(repo, name)
        kept = {other: entry for other, entry in body.tags.items() if other != name}
        entry = TrashEntry(branch=body.tags[name], deleted=store.clock_ns(), kind=TAG)
        return with_trash(replace(body, tags=kept), name, entry)

    store.refs.update(repo, edit)


def _info(repo: str, name: str, entry: BranchEntry) -> TagInfo:
    if entry.head is None:
        raise CommitNotFoundError(repo, name)
    return TagInfo(name, repo, entry.head, entry.created)
