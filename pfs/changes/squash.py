"""Taking commits out of history: squash in the middle, drop at the end (docs/design/history.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.changes import open_commits
from pfs.errors import ConflictError, NotFoundError
from pfs.history.commit_set import members
from pfs.history.dependents import children, refuse_made_from
from pfs.history.lineage import Lineage
from pfs.history.resolve import chosen, refuse_squashed
from pfs.ids import CommitId, Etag, new_commit_id
from pfs.model import CommitInfo
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import (
    DROPPED,
    FAILED,
    BranchEntry,
    RefsBody,
    TrashEntry,
    is_hidden,
    pointed,
    with_branch,
    with_trash,
)
from pfs.refs.edges import without_commit
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store


def squash(store: Store, repo: str, ref: str, *, within: CommitId | None = None) -> CommitInfo:
    """Take a commit out from between its parent and its children, O(1); return it as it was.

    ``within``: commits of other repos with this id may have been made from it.

    Raises:
        CommitNotFoundError: there is none. ConflictError: it is refused (docs/design/history.md says when).
    """
    info = chosen(store, store.refs.read(repo), ref)

    def edit(body: RefsBody) -> RefsBody:
        state = RefsState(repo, body, Etag(""))
        below = check_squash(store, state, info.id, within=within)
        record = Lineage(store, state).get(info.id)
        home = store.history.home_of(state, record.parents[0]) if record.parents else None
        return without_commit(body, record, below, home=home)

    store.refs.update(repo, edit)
    return info


def drop(store: Store, repo: str, ref: str, *, within: CommitId | None = None) -> CommitInfo:
    """Take a commit without children away: heads on it move to its parent; an open one is given up; return it.

    It is kept in the trash for 30 days. ``within`` as in `squash`.

    Raises:
        CommitNotFoundError: there is none. ConflictError: it is refused (docs/design/history.md says when).
    """
    info = chosen(store, store.refs.read(repo), ref)
    if info.open:
        open_commits.drop(store, repo, info.id)
        return info

    def edit(body: RefsBody) -> RefsBody:
        state = RefsState(repo, body, Etag(""))
        check_drop(store, state, info.id, within=within)
        return _dropped(store, state, Lineage(store, state).get(info.id))

    store.refs.update(repo, edit)
    return info


def squash_set(store: Store, commit: CommitId) -> list[CommitInfo]:
    """Squash the commits of all repos that have this id, downstream first; those with an error are dropped.

    All are checked before the first is changed; what a crash left over, the next call does.

    Raises:
        NotFoundError: no repo has it. ConflictError: one is refused.
    """
    found = _downstream_first(store, commit)
    for state, info in found:
        if info.error is None:
            check_squash(store, state, commit, within=commit)
        else:
            check_drop(store, state, commit, within=commit)
    acts = ((squash if info.error is None else drop, info) for _, info in found)
    return [act(store, info.repo, commit, within=commit) for act, info in acts]


def drop_set(store: Store, commit: CommitId) -> list[CommitInfo]:
    """Drop the commits of all repos that have this id, downstream first; as `squash_set`."""
    found = _downstream_first(store, commit)
    for state, info in found:
        if not info.open:
            check_drop(store, state, commit, within=commit)
    return [drop(store, info.repo, commit, within=commit) for _, info in found]


def check_squash(store: Store, state: RefsState, commit: CommitId, *, within: CommitId | None) -> list[CommitRecord]:
    """Return the children that a squash gives another parent; last the one that takes it over.

    That is one that was not dropped, of the commit's own branch, as far as there is any.

    Raises:
        ConflictError: the commit cannot be squashed.
    """
    place, record = f"{state.repo}@{commit}", _finished(store, state, commit)
    _refuse_held(state, record)
    if record.error is not None:
        raise ConflictError(f"commit {place} ended with an error: drop it")
    head_of = next((name for name, entry in state.body.branches.items() if entry.head == commit), None)
    if head_of is not None:
        raise ConflictError(f"commit {place} is the head of {state.repo}@{head_of}: its files would be lost, drop it")
    for id, entry in state.body.open.items():
        if commit in (entry.parent, entry.onto):
            raise ConflictError(f"the open commit {state.repo}@{id} is based on {commit}: finish it first")
    below = children(store, state, commit)
    if not below:
        raise ConflictError(f"commit {place} has no child to take its files over: drop it")
    for child in below:
        # by its record: what was merged into a child comes first of its parents once the first was squashed away
        if commit in store.history.get(state.repo, child.id).parents[1:]:
            raise ConflictError(f"commit {place} was merged into {child.id}: it stays as long as that")
    refuse_made_from(store, state.repo, commit, within=within)
    dropped = Lineage(store, state).dropped
    return sorted(below, key=lambda child: (child.id not in dropped, child.branch == record.branch, child.id))


def check_drop(store: Store, state: RefsState, commit: CommitId, *, within: CommitId | None) -> None:
    """Raise ConflictError if a finished commit cannot be dropped."""
    _refuse_held(state, _finished(store, state, commit))
    lineage = Lineage(store, state)
    based = [child.id for child in children(store, state, commit) if child.id not in lineage.dropped]
    based += [id for id, entry in state.body.open.items() if commit in (entry.parent, entry.onto)]
    if based:
        raise ConflictError(f"commit {state.repo}@{commit} has the child {min(based)}: drop that first, or squash")
    refuse_made_from(store, state.repo, commit, within=within)


def _finished(store: Store, state: RefsState, commit: CommitId) -> CommitRecord:
    if commit in state.body.open:
        raise ConflictError(f"commit {state.repo}@{commit} is open: finish it first")
    refuse_squashed(store, state, commit)
    return Lineage(store, state).get(commit)


def _downstream_first(store: Store, commit: CommitId) -> list[tuple[RefsState, CommitInfo]]:
    """Return the commits of an id in all repos, each after those of other repos that were made from it."""
    found = list(members(store, commit))
    if not found:
        for state in store.refs.repos():
            refuse_squashed(store, state, commit)
        raise NotFoundError(f"no repo has a commit {commit}")
    ordered: list[tuple[RefsState, CommitInfo]] = []
    while found:
        used = {source.repo for _, info in found for source in info.provenance if source.commit == commit}
        last = [member for member in found if member[0].repo not in used] or found
        ordered += last
        found = [member for member in found if member not in last]
    return ordered


def _refuse_held(state: RefsState, record: CommitRecord) -> None:
    """Refuse a commit that a tag names, or one of the system's own."""
    tag = next((name for name, entry in state.body.tags.items() if entry.head == record.id), None)
    if tag is not None:
        raise ConflictError(f"commit {state.repo}@{record.id} has the tag {tag}: delete that first")
    if is_hidden(record.branch):
        raise ConflictError(f"commit {state.repo}@{record.id} belongs to a pipeline: delete or update the pipeline")


def _dropped(store: Store, state: RefsState, record: CommitRecord) -> RefsBody:
    """Return the body with every head moved off the commit, and the commit in the trash."""
    body, now_ns = state.body, store.clock_ns()
    above = record.parents[0] if record.parents else None
    pack = None if above is None else store.history.home_of(state, above).hex()
    on_it = {name: entry for name, entry in body.branches.items() if entry.head == record.id}
    if not on_it:  # no head: nothing moves, and it is in the trash under its own id
        entry = BranchEntry(head=record.id, pack=store.history.home_of(state, record.id).hex())
        return with_trash(body, record.id, TrashEntry(branch=entry, deleted=now_ns, kind=DROPPED))
    for name, entry in on_it.items():
        failed = name.startswith(FAILED)
        gone = TrashEntry(branch=entry, deleted=now_ns, kind=DROPPED, onto=None if failed else above)
        body = with_trash(body, name, gone)
        if failed:
            body = replace(body, branches={key: kept for key, kept in body.branches.items() if key != name})
        else:
            target = BranchEntry(head=above, pack=pack)
            body = with_branch(body, name, pointed(entry, target, now_ns=now_ns, move=new_commit_id()))
    return body
