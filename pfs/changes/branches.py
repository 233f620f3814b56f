"""Branches: movable names in the refs of a repo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from pfs.changes.refusal import refuse_tag
from pfs.errors import (
    BranchNotFoundError,
    CommitNotFoundError,
    ConflictError,
    InvalidInputError,
    InvalidNameError,
    PfsError,
)
from pfs.history.live import is_live
from pfs.history.resolve import finished
from pfs.history.untouched import is_untouched
from pfs.ids import CommitId, Etag, is_commit_id, new_commit_id
from pfs.model import BranchInfo, BranchRef, Trigger
from pfs.provenance.bind import Binding, bind, check_landed, forget, prepare, settle_bound, unlink
from pfs.provenance.trigger import followers, refuse_loop, trigger_entry, trigger_info
from pfs.refs.body import (
    FAILED,
    HEAD,
    BranchEntry,
    RefsBody,
    TrashEntry,
    TriggerEntry,
    check_user_branch,
    is_hidden,
    pointed,
    with_branch,
    with_trash,
    without_branch,
    without_open,
)
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.store import Store

Triggered = Trigger | Literal["keep", "none"]
"""A trigger to set, or what to do with the one that is there."""


class Wish(Struct, frozen=True):
    """What a branch shall be; ``head`` a ref. None and ``keep`` leave what is there.

    ``move``: the id for what the move to ``head`` brings about; None: that of the commit, or of a move not forwards.
    """

    head: str | None = None
    provenance: Sequence[BranchRef] | None = None
    never: Sequence[BranchRef] = ()
    trigger: Triggered = "keep"
    move: CommitId | None = None


def branch_info(repo: str, body: RefsBody, name: str) -> BranchInfo:
    """Return the public value of a branch; raises BranchNotFoundError."""
    entry = body.branches.get(name)
    if entry is None:
        raise BranchNotFoundError(repo, name)
    return BranchInfo(
        name,
        repo,
        entry.head,
        tuple(BranchRef(*source) for source in entry.provenance),
        entry.created,
        body.open_on(name),
        updated_ns=entry.updated or entry.created,
        never=tuple(BranchRef(*source) for source in entry.never),
        trigger=None if entry.trigger is None else trigger_info(entry.trigger),
        pipeline=entry.pipeline,
        metadata=entry.metadata,
    )


def create(store: Store, repo: str, name: str, wish: Wish) -> BranchInfo:
    """Create a branch or change it; see `Repo.create_branch`."""
    check_user_branch(name)
    if is_commit_id(name):
        raise InvalidNameError("branch", name)
    state, now_ns = store.refs.read(repo), store.clock_ns()
    bindings = _bindings(repo, name, wish, state.body)
    trigger = wish.trigger if isinstance(wish.trigger, str) else trigger_entry(wish.trigger)
    target = None if wish.head is None else movable(store, state, wish.head)
    prepare(store, repo, bindings)

    def edit(body: RefsBody) -> RefsBody:
        refuse_tag(repo, body, name)
        if name not in body.branches:
            body = with_branch(body, name, BranchEntry(created=now_ns))
        if target is not None:
            body = moved(store, body, (repo, name), target=pointer(store, repo, body, target), move=wish.move)
        if name in bindings:
            body = with_branch(body, name, bindings[name].on(body.branches[name], now_ns=now_ns))
        return _with_trigger(repo, body, name, trigger, now_ns=now_ns)

    body = store.refs.update(repo, edit)
    check_landed(store, repo, bindings, old=state.body)
    settle_bound(store, repo, bindings, old=state.body)
    return branch_info(repo, store.refs.read(repo).body if bindings else body, name)


def _bindings(repo: str, name: str, wish: Wish, body: RefsBody) -> dict[str, Binding]:
    """Return what the branch is to be computed from; nothing where that stays."""
    entry = body.branches.get(name, BranchEntry())
    if wish.provenance is None and not wish.never:
        return {}
    if entry.pipeline:
        raise ConflictError(f"{repo}@{name} is the output of a pipeline: its spec says what it is computed from")
    there = [BranchRef(*source) for source in entry.provenance]
    sources = dict.fromkeys(there if wish.provenance is None else wish.provenance)
    return {name: Binding(tuple(sources), tuple(dict.fromkeys(wish.never)))}


def _with_trigger(
    repo: str, body: RefsBody, name: str, trigger: TriggerEntry | Literal["keep", "none"], *, now_ns: int
) -> RefsBody:
    """Return the body with the trigger set, and the branch that it watches made."""
    entry = body.branches[name]
    if trigger != "keep":
        wanted = None if trigger == "none" else trigger
        entry = entry if wanted == entry.trigger else replace(entry, trigger=wanted, updated=now_ns)
        body = body if entry is body.branches[name] else with_branch(body, name, entry)
    if entry.trigger is None:
        return body
    if entry.provenance or entry.pipeline:
        raise InvalidInputError(f"{repo}@{name} can follow another branch by a trigger or have provenance, not both")
    refuse_loop(body.branches, repo, name)
    refuse_tag(repo, body, entry.trigger.branch)
    if entry.trigger.branch not in body.branches:
        body = with_branch(body, entry.trigger.branch, BranchEntry(created=now_ns))
    return body


def delete(
    store: Store, repo: str, name: str, *, force: bool, guard: Callable[[RefsBody], None] = lambda body: None
) -> None:
    """Delete a branch; see `Repo.delete_branch`. ``guard`` raises when, by then, it is not to be."""
    gone = store.refs.read(repo).body.branches
    branch_info(repo, store.refs.read(repo).body, name)
    if force:
        unlink(store, repo, name)
    else:
        refuse_dependents(store, repo, branch=name)

    def edit(body: RefsBody) -> RefsBody:
        guard(body)
        branch_info(repo, body, name)
        for commit in body.all_open_on(name):
            if not is_untouched(_reader(store), repo, commit):
                raise ConflictError(f"branch {repo}@{name} has the open commit {commit}: finish it first")
            body = without_open(body, commit)
            body = with_branch(body, name, replace(body.branches[name], seen=()))
        for other in followers(body.branches, name):
            body = with_branch(body, other, replace(body.branches[other], trigger=None))
        return without_branch(body, name, now_ns=store.clock_ns())

    store.refs.update(repo, edit)
    forget_sources(store, repo, {name: gone[name]} if name in gone else {})


def _reader(store: Store) -> Callable[[str], RefsBody | None]:
    def read(repo: str) -> RefsBody | None:
        state = store.refs.find(repo)
        return None if state is None else state.body

    return read


def forget_sources(store: Store, repo: str, branches: Mapping[str, BranchEntry]) -> None:
    """Let the sources of branches that are gone forget them. What fails is a hint too many, which costs nothing."""
    with suppress(PfsError):
        for name, entry in branches.items():
            for source in entry.provenance:
                forget(store, BranchRef(*source), BranchRef(repo, name))


def mend(store: Store, repo: str, names: Iterable[str]) -> None:
    """Bind branches of a repo that came back anew: provenance and triggers that cannot be any more are left out."""
    body = store.refs.update(repo, lambda body: _without_lost_triggers(body, names))
    for name in names:
        entry = body.branches.get(name, BranchEntry())
        if entry.provenance and not is_hidden(name):
            sources = tuple(source for source in map(BranchRef._make, entry.provenance) if _is_there(store, source))
            never = tuple(source for source in map(BranchRef._make, entry.never) if source in sources)
            try:
                bind(store, repo, {name: Binding(sources, never, entry.pipeline, entry.spout)})
            except ConflictError:
                bind(store, repo, {name: Binding(pipeline=entry.pipeline, spout=entry.spout)})


def _without_lost_triggers(body: RefsBody, names: Iterable[str]) -> RefsBody:
    for name in names:
        entry = body.branches.get(name, BranchEntry())
        if entry.trigger is not None and entry.trigger.branch not in body.branches:
            body = with_branch(body, name, replace(entry, trigger=None))
    return body


def _is_there(store: Store, branch: BranchRef) -> bool:
    state = store.refs.find(branch.repo)
    return state is not None and branch.branch in state.body.branches


def refuse_dependents(store: Store, repo: str, *, branch: str | None = None) -> None:
    """Raise ConflictError if branches are computed from the repo, or from one branch of it, or follow that branch.

    Repos whose refs cannot be read do not hinder it, unless they are noted as fed by what is to go.
    """
    own = store.refs.read(repo).body.branches
    follower = None if branch is None else next(iter(followers(own, branch)), None)
    if follower is not None:
        raise ConflictError(f"{repo}@{follower} follows {repo}@{branch} by a trigger: delete that, or use --force")
    damaged: dict[str, PfsError] = {}
    for state in store.refs.snapshot(damaged=damaged):
        for name, entry in state.body.branches.items():
            sources = (s for s in entry.provenance if s[0] == repo and branch in (None, s[1]))
            if state.repo != repo and any(sources):
                what = f"repo {repo!r}" if branch is None else f"branch {repo}@{branch}"
                raise ConflictError(f"{what} is an input of {state.repo}@{name}: delete that first, or use --force")
    fed = {target[0] for name, entry in own.items() if branch in (None, name) for target in entry.feeds}
    for name in sorted(fed & damaged.keys()):
        raise ConflictError(f"{repo!r} is an input of {name!r}, which cannot be read: {damaged[name]}; or use --force")


def refuse_pipeline(state: RefsState) -> None:
    """Raise ConflictError if the repo is the output of a pipeline: it has the pipeline's own branches."""
    if any(is_hidden(name) and not name.startswith(FAILED) for name in state.body.branches):
        raise ConflictError(
            f"repo {state.repo!r} is the output of a pipeline: `pps delete-pipeline {state.repo}`, or use --force"
        )


def moved(
    store: Store, body: RefsBody, branch: tuple[str, str], *, target: BranchEntry, move: CommitId | None = None
) -> RefsBody:
    """Return the body with a branch, (repo, name), at ``target``; an old head that is left behind goes to the trash.

    ``move`` names the move; None: only one that is not forwards has a name, a fresh one.
    """
    repo, name = branch
    old, now_ns = body.branches[name], store.clock_ns()
    if old.head == target.head:
        return body
    forwards = with_branch(body, name, pointed(old, target, now_ns=now_ns, move=move))
    if old.head is None or target.head is None:
        return forwards
    if any(record.id == old.head for record in store.history.first_parents(repo, target.head)):
        return forwards
    after = with_branch(body, name, pointed(old, target, now_ns=now_ns, move=move or new_commit_id()))
    return with_trash(after, name, TrashEntry(branch=old, deleted=now_ns, kind=HEAD, onto=target.head))


def movable(store: Store, state: RefsState, ref: str) -> CommitId:
    """Return the commit that a branch or tag is to be put on.

    Raises:
        CommitNotFoundError: there is none. ConflictError: it is open, or ended with an error.
    """
    info = finished(store, state, ref)
    if info.error is not None:
        raise ConflictError(f"commit {state.repo}@{info.id} ended with an error and cannot be a head: {info.error}")
    return info.id


def pointer(store: Store, repo: str, body: RefsBody, commit: CommitId) -> BranchEntry:
    """Return the entry of a branch or tag at a commit; ``body`` is the very body that the entry goes into.

    Only what that body makes live may be named: collection may have begun to take away all else.

    Raises:
        CommitNotFoundError: nothing leads to the commit any more.
    """
    state = RefsState(repo, body, Etag(""))
    if not is_live(store, state, commit):
        raise CommitNotFoundError(repo, commit)
    return BranchEntry(head=commit, pack=store.history.home_of(state, commit).hex())
