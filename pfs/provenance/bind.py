"""Saying what branches are computed from, and taking it back.

The provenance of a branch is the truth and lands in one swap; before that its sources learn in ``feeds`` whom to tell.
A crash in between leaves a hint too many, which readers of ``feeds`` pass over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pfs.errors import ConflictError, CorruptionError, InvalidInputError, PfsError, RepoNotFoundError
from pfs.model import BranchRef
from pfs.provenance.dag import Dag, edges_of, shown
from pfs.provenance.pull import pull_below
from pfs.refs.body import BranchEntry, RefsBody, check_user_branch, with_branch

if TYPE_CHECKING:
    from pfs.store import Store


class Binding(Struct, frozen=True):
    """What a branch is computed from. ``never``: those of the sources whose moves open nothing on it.

    ``pipeline``: jobs make the commits of the branch; ``spout``: its command does, while it runs.
    """

    sources: tuple[BranchRef, ...] = ()
    never: tuple[BranchRef, ...] = ()
    pipeline: bool = False
    spout: bool = False

    def on(self, entry: BranchEntry, *, now_ns: int) -> BranchEntry:
        """Return a branch with this binding; the same one if it has it."""
        bound = replace(
            entry,
            provenance=tuple(map(tuple, self.sources)),
            never=tuple(map(tuple, self.never)),
            pipeline=self.pipeline,
            spout=self.spout,
        )
        return entry if bound == entry else replace(bound, updated=now_ns)


def bind(store: Store, repo: str, bindings: Mapping[str, Binding], *, checked: bool = False) -> None:
    """Bind branches of a repo, made if need be, in one swap; what their sources' heads ask for is opened at once.

    ``checked``: the caller has called `check` just now, so that it is not done before the swap, but only after it.

    Raises:
        RepoNotFoundError: there is no such repo, or none of a source.
        InvalidInputError, ConflictError: as `prepare`.
    """
    (_tell_sources if checked else prepare)(store, repo, bindings)
    now_ns = store.clock_ns()
    old = store.refs.read(repo).body

    def edit(body: RefsBody) -> RefsBody:
        for name, binding in bindings.items():
            entry = body.branches.get(name)
            bound = binding.on(entry or BranchEntry(created=now_ns), now_ns=now_ns)
            body = body if bound is entry else with_branch(body, name, bound)
        return body

    store.refs.update(repo, edit)
    check_landed(store, repo, bindings, old=old)
    settle_bound(store, repo, bindings, old=old)


def check_landed(store: Store, repo: str, bindings: Mapping[str, Binding], *, old: RefsBody) -> None:
    """Check bindings that have landed once more, and take them back if they do not go with what others bound meanwhile.

    Each looks again after its own swap, so one at least of those that do not go together sees both; maybe both give up.

    Raises:
        ConflictError, RepoNotFoundError: as `check`.
    """
    try:
        check(store, repo, bindings)
    except (ConflictError, RepoNotFoundError):
        with suppress(PfsError):
            store.refs.update(repo, _unbinding(old, bindings, now_ns=store.clock_ns()))
        raise


def _unbinding(old: RefsBody, bindings: Mapping[str, Binding], *, now_ns: int) -> Callable[[RefsBody], RefsBody]:
    """Return the edit that gives branches the sources back that they had; one that was made for it stays, unbound."""

    def edit(body: RefsBody) -> RefsBody:
        for name, binding in bindings.items():
            entry, before = body.branches.get(name), old.branches.get(name, BranchEntry(created=now_ns))
            if entry is not None and binding.on(entry, now_ns=now_ns) is entry:
                kept = replace(
                    entry, provenance=before.provenance, never=before.never, pipeline=before.pipeline, updated=now_ns
                )
                body = with_branch(body, name, kept)
        return body

    return edit


def prepare(store: Store, repo: str, bindings: Mapping[str, Binding]) -> None:
    """Make the sources that are missing, and tell all of them of the branches; raises as `check`, before any change."""
    check(store, repo, bindings)
    _tell_sources(store, repo, bindings)


def _tell_sources(store: Store, repo: str, bindings: Mapping[str, Binding]) -> None:
    for source, fed in _fed(repo, bindings).items():
        store.refs.update(source.repo, _feeding(source.branch, fed, now_ns=store.clock_ns()))


def check(store: Store, repo: str, bindings: Mapping[str, Binding]) -> None:
    """Refuse bindings of branches of one repo that cannot be; reads the refs that moved since the last time.

    Two processes that connect branches at the same moment may get past the check together: `bind` looks twice.

    Raises:
        RepoNotFoundError: the repo of a source does not exist. InvalidNameError: a source is no branch of users.
        InvalidInputError: a source is of the branch's own repo, or ``never`` names none of the sources.
        ConflictError: a branch would be computed from itself, or two branches of one repo would be connected.
    """
    for name, binding in bindings.items():
        _refuse_senseless(BranchRef(repo, name), binding)
    if not any(binding.sources for binding in bindings.values()):
        return
    bodies = {name: state.body for name, state in store.all_refs().items()}
    dag = Dag(edges_of(bodies.items()) | {BranchRef(repo, name): one.sources for name, one in bindings.items()})
    for name, binding in bindings.items():
        for source in binding.sources:
            if source.repo not in bodies:
                raise RepoNotFoundError(source.repo)
            _refuse_tag(bodies[source.repo], source)
        if binding.sources:
            dag.refuse_faults(BranchRef(repo, name))


def settle_bound(store: Store, repo: str, bindings: Mapping[str, Binding], *, old: RefsBody) -> None:
    """Open what bindings that have landed ask for, and let sources that are none any more forget the branches.

    Never raises what is wrong with the store: the next look makes up for it.
    """
    with suppress(PfsError):
        for name, binding in bindings.items():
            target, before = BranchRef(repo, name), old.branches.get(name, BranchEntry())
            for gone in {BranchRef(*source) for source in before.provenance} - set(binding.sources):
                forget(store, gone, target)
        pull_below(store, [BranchRef(repo, name) for name in bindings], own=True)


def forget(store: Store, source: BranchRef, target: BranchRef) -> None:
    """Take a branch out of what another feeds."""
    if store.refs.find(source.repo) is None:
        return

    def edit(body: RefsBody) -> RefsBody:
        entry = body.branches.get(source.branch)
        if entry is None or target not in entry.feeds:
            return body
        kept = tuple(fed for fed in entry.feeds if fed != target)
        return with_branch(body, source.branch, replace(entry, feeds=kept))

    store.refs.update(source.repo, edit, announce=False)


def unlink(store: Store, repo: str, branch: str | None = None) -> None:
    """Take the branches of a repo (or just one of it) out of what others are computed from; opens nothing."""

    def goes(source: tuple[str, str]) -> bool:
        return source[0] == repo and branch in (None, source[1])

    for name in list(store.refs.names()):
        with suppress(InvalidInputError, CorruptionError):
            if name != repo and store.refs.find(name) is not None:
                store.refs.update(name, lambda body: _without_sources(body, goes), announce=False)


def _without_sources(body: RefsBody, goes: Callable[[tuple[str, str]], bool]) -> RefsBody:
    for name, entry in body.branches.items():
        if any(goes(source) for source in entry.provenance):
            left = replace(
                entry,
                provenance=tuple(source for source in entry.provenance if not goes(source)),
                never=tuple(source for source in entry.never if not goes(source)),
                seen=tuple(source for source in entry.seen if not goes(source[:2])),
            )
            body = with_branch(body, name, left)
    return body


def _refuse_senseless(target: BranchRef, binding: Binding) -> None:
    if any(source.repo == target.repo for source in binding.sources):
        raise InvalidInputError(f"branch {shown(target)} cannot be computed from its own repo")
    for source in binding.sources:
        check_user_branch(source.branch)
    for source in set(binding.never) - set(binding.sources):
        raise InvalidInputError(f"{shown(source)} is not in the provenance of {shown(target)}: name it there too")


def _refuse_tag(body: RefsBody, source: BranchRef) -> None:
    if source.branch in body.tags:
        raise ConflictError(f"{shown(source)} is a tag, which never moves: name a branch")


def _fed(repo: str, bindings: Mapping[str, Binding]) -> dict[BranchRef, list[tuple[str, str]]]:
    fed: dict[BranchRef, list[tuple[str, str]]] = {}
    for name, binding in bindings.items():
        for source in binding.sources:
            fed.setdefault(source, []).append((repo, name))
    return fed


def _feeding(branch: str, fed: Iterable[tuple[str, str]], *, now_ns: int) -> Callable[[RefsBody], RefsBody]:
    """Return an edit that makes a branch, if need be, and notes whom it feeds."""

    def edit(body: RefsBody) -> RefsBody:
        entry = body.branches.get(branch, BranchEntry(created=now_ns))
        feeds = tuple(dict.fromkeys([*entry.feeds, *fed]))
        if branch in body.branches and feeds == entry.feeds:
            return body
        return with_branch(body, branch, replace(entry, feeds=feeds))

    return edit
