"""Getting back what was taken away: branches, tags, heads and repos (docs/design/history.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes.branches import mend
from pfs.errors import AlreadyExistsError, ConflictError, NotFoundError, RepoNotFoundError
from pfs.history.resolve import MIN_PREFIX, refuse_squashed
from pfs.ids import CommitId, Etag, new_commit_id
from pfs.refs.body import (
    BRANCH,
    DROPPED,
    HEAD,
    TAG,
    BranchEntry,
    RefsBody,
    TrashEntry,
    pointed,
    with_branch,
    with_trash,
)
from pfs.refs.buried import buried
from pfs.refs.read import RefsState
from pfs.shorten import quoted

if TYPE_CHECKING:
    from pfs.store import Store


def undelete_repo(store: Store, repo: str, *, before: int = 0) -> None:
    """Put the last state of a deleted repo back, branches, tags and trash included, or one deleted ``before`` that.

    The states of a name that were deleted in the last 30 days are a stack: ``before`` 1 is the one under the last. The
    others stay in it.

    Raises:
        RepoNotFoundError: none of that name was deleted. NotFoundError: not so many were.
        AlreadyExistsError: it exists. ConflictError: likewise, and one was deleted before it was made.
        BranchMovedError: somebody made one of that name at this moment.
    """
    there = store.refs.load(repo)
    found = [] if there is None else buried(there.body, store.clock_ns())
    if there is not None and not there.body.gone:
        if not found:
            raise AlreadyExistsError("repo", repo)
        raise ConflictError(
            f"repo {repo!r} exists: `pfs delete-repo {repo}`, then `pfs undelete {repo} --before {before + 1}` gets "
            "back the one that was deleted before it was made"
        )
    if found and before >= len(found):
        raise NotFoundError(
            f"of repo {repo!r} only {len(found)} deleted states are kept, so `before` is at most {len(found) - 1}"
        )
    state = store.refs.unbury(repo, before=before)
    if state is None:
        raise RepoNotFoundError(repo)
    mend(store, repo, state.body.branches)


def undelete(store: Store, repo: str, name: str) -> CommitId | None:
    """Put back what was last taken away under a name: a branch, a tag, a head of a branch, or a dropped commit by id.

    A commit id, or a prefix of it, takes the entry of that commit: its branch gets it back as head unless it moved
    on, and it is found by id again in any case. Returns the commit that the name means now.

    Raises:
        NotFoundError: there is nothing of that name in the trash.
        AlreadyExistsError: there is a branch or tag of that name again.
        ConflictError: the branch has moved on since; the commit was squashed, which is for good.
    """
    now_ns = store.clock_ns()

    def edit(body: RefsBody) -> RefsBody:
        try:
            after = _restored(repo, body, name, now_ns=now_ns)
        except NotFoundError:
            refuse_squashed(store, RefsState(repo, body, Etag("")), name)
            raise
        return _with_left_heads(store, repo, body, after, now_ns=now_ns)

    body = store.refs.update(repo, edit)
    mend(store, repo, [name])
    entry = body.branches.get(name) or body.tags.get(name)
    return None if entry is None else entry.head


def _with_left_heads(store: Store, repo: str, old: RefsBody, body: RefsBody, *, now_ns: int) -> RefsBody:
    """Return the body with those heads of ``old`` in the trash that a restored one took the place of.

    Each under its own id, so that undeleting the branch again goes on to what was taken away before.
    """
    for name, entry in old.branches.items():
        head = body.branches[name].head
        if entry.head is None or head is None or entry.head == head:
            continue
        if not any(record.id == entry.head for record in store.history.first_parents(repo, head)):
            left = BranchEntry(head=entry.head, pack=entry.pack)
            body = with_trash(body, entry.head, TrashEntry(branch=left, deleted=now_ns, kind=HEAD))
    return body


def _restored(repo: str, body: RefsBody, name: str, *, now_ns: int) -> RefsBody:
    by_name = [key for key in body.trash if key.rpartition("/")[0] == name]
    if by_name:
        return _put_back(repo, body, max(by_name, key=lambda key: _order(body, key)), now_ns=now_ns)
    by_id = [key for key, entry in body.trash.items() if entry.kind == DROPPED and _means(name, entry)]
    if not by_id:
        raise NotFoundError(f"nothing was deleted in repo {repo!r} under the name {quoted(name)}")
    for key in by_id:
        if key in body.trash:
            body = _put_back(repo, body, key, now_ns=now_ns, by_id=True)
    return body


def _order(body: RefsBody, key: str) -> tuple[int, int]:
    return body.trash[key].deleted, int(key.rpartition("/")[2])


def _means(name: str, entry: TrashEntry) -> bool:
    return len(name) >= MIN_PREFIX and (entry.branch.head or "").startswith(name)


def _put_back(repo: str, body: RefsBody, key: str, *, now_ns: int, by_id: bool = False) -> RefsBody:
    """Return the body with one entry out of the trash, or readable again by id."""
    entry, name = body.trash[key], key.rpartition("/")[0]
    by_id = by_id or name == entry.branch.head
    if entry.kind in (BRANCH, TAG):
        return _put_name_back(repo, _readable(_without(body, key), entry.branch.head), name, entry)
    there = body.branches.get(name)
    unmoved = (None if there is None else there.head) == entry.onto and name != entry.branch.head
    if not unmoved and not by_id:
        raise ConflictError(
            f"{repo}@{name} has moved on: `pfs create-branch {repo}@NEW --head {entry.branch.head}`, "
            f"after `pfs undelete {repo}@{entry.branch.head}` if that was dropped, keeps both"
        )
    body = _readable(body, entry.branch.head)
    if not unmoved:
        return body
    back = pointed(there or entry.branch, entry.branch, now_ns=now_ns, move=new_commit_id())
    return with_branch(_without(body, key), name, back)


def _put_name_back(repo: str, body: RefsBody, name: str, entry: TrashEntry) -> RefsBody:
    if name in body.branches:
        raise AlreadyExistsError("branch", f"{repo}@{name}")
    if name in body.tags:
        raise AlreadyExistsError("tag", f"{repo}@{name}")
    if entry.kind == TAG:
        return replace(body, tags={**body.tags, name: entry.branch})
    return with_branch(body, name, entry.branch)


def _without(body: RefsBody, key: str) -> RefsBody:
    return replace(body, trash={other: entry for other, entry in body.trash.items() if other != key})


def _readable(body: RefsBody, commit: CommitId | None) -> RefsBody:
    """Return the body with a dropped commit found by its id again; other branches' entries stay in the trash."""
    trash = {
        key: replace(entry, kind=HEAD) if entry.kind == DROPPED and entry.branch.head == commit else entry
        for key, entry in body.trash.items()
    }
    return replace(body, trash=trash)
