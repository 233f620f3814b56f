"""Propagation: opens a commit on each branch whose sources are not where they were when it last got one.

Each branch pulls: its refs say what it has seen of its sources, so that whoever looks next does what a crash left
undone, and doing it twice changes nothing. ``feeds`` of a source only says whom to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pfs.errors import CorruptionError, InvalidInputError, PfsError
from pfs.history.untouched import is_untouched
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchRef
from pfs.provenance.cause import Cause, cause, position, spare_id
from pfs.provenance.dag import Dag
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody, root_entry, with_branch, with_open, without_open
from pfs.refs.read import RefsState
from pfs.trees.row import EMPTY_ROOT, Root

if TYPE_CHECKING:
    from pfs.store import Store

Position = tuple[tuple[str, str, str], ...]
"""(repo, branch, commit) of each source that has a commit."""


def spread(store: Store, old: RefsState, new: RefsState) -> None:
    """Bring what is downstream of a repo up to date after a swap of its refs; free for a repo that feeds no other.

    Never raises what is wrong with the store: the change has landed, and the next look makes up for it.
    """
    fed = [name for name, entry in new.body.branches.items() if entry.feeds]
    moved = [name for name in fed if position(old.body, name) != position(new.body, name)]
    if moved:
        with suppress(PfsError):
            pull_below(store, [BranchRef(new.repo, name) for name in moved])


def spread_repos(store: Store, repos: Iterable[str]) -> None:
    """Bring what is downstream of repos up to date, whoever moved them; as `spread`."""
    with suppress(PfsError):
        states = [state for state in map(store.refs.find, repos) if state is not None]
        fed = [BranchRef(one.repo, name) for one in states for name, entry in one.body.branches.items() if entry.feeds]
        if fed:
            pull_below(store, fed)


def settle(store: Store, repo: str) -> None:
    """Open what is missing on the branches of a repo, upstream first; free for a repo without such branches.

    Never raises what is wrong with the store.
    """
    with suppress(PfsError):
        state = store.refs.find(repo)
        if state is not None and (waiting := _plain(state)):
            pull = Pull(store, {state.repo: state.body})
            pull.run(pull.upwards(waiting))


def settle_all(store: Store) -> None:
    """Open what is missing on the branches of all repos; one read of refs each; as `settle`."""
    with suppress(PfsError):
        states = list(_readable(store))
        if waiting := [one for state in states for one in _plain(state)]:
            Pull(store, {state.repo: state.body for state in states}).run(waiting)


def settle_states(store: Store, states: Iterable[RefsState]) -> bool:
    """Do what `settle_all` does for refs that were just read; False if no branch is computed from others.

    Never raises what is wrong with the store.
    """
    found = {state.repo: state for state in states}
    waiting = [one for state in found.values() for one in _plain(state)]
    if waiting:
        with suppress(PfsError):
            Pull(store, {repo: state.body for repo, state in found.items()}).run(waiting)
    return bool(waiting)


def pull_below(store: Store, branches: Iterable[BranchRef], *, own: bool = False) -> None:
    """Open what is missing downstream of branches; ``own``: on themselves too."""
    pull, start = Pull(store, {}), list(branches)
    below = pull.downwards(start)
    pull.run([*below, *(start if own else ())])


def _readable(store: Store) -> Iterable[RefsState]:
    for name in list(store.refs.names()):
        with suppress(CorruptionError, InvalidInputError):
            state = store.refs.find(name)
            if state is not None:
                yield state


def _plain(state: RefsState) -> list[BranchRef]:
    """Return the branches for which commits are opened: they have sources, and no pipeline makes their commits."""
    found = state.body.branches.items()
    return [BranchRef(state.repo, name) for name, entry in found if entry.provenance and not entry.pipeline]


class Pull:
    """One look at some branches; ``bodies``: refs that were just read. Each repo is read once."""

    def __init__(self, store: Store, bodies: dict[str, RefsBody | None]) -> None:
        self._store = store
        self._bodies: dict[str, RefsBody | None] = dict(bodies)
        self._targets: list[BranchRef] = []
        self._ids: dict[CommitId, CommitId] = {}

    def body(self, repo: str) -> RefsBody | None:
        """Return the refs of a repo as this look has them; None: there is no such repo."""
        if repo not in self._bodies:
            state = self._store.refs.find(repo)
            self._bodies[repo] = None if state is None else state.body
        return self._bodies[repo]

    def downwards(self, start: Iterable[BranchRef]) -> list[BranchRef]:
        """Return the branches that moves of some reach, through others too."""
        todo, found = list(start), dict[BranchRef, None]()
        while todo:
            source = todo.pop()
            entry = self._entry(source)
            for target in [] if entry is None else [BranchRef(*one) for one in entry.feeds]:
                if target not in found and source in self._sources(target):
                    found[target] = None
                    todo.append(target)
        return list(found)

    def upwards(self, start: Iterable[BranchRef]) -> list[BranchRef]:
        """Return branches with all those upstream of them."""
        todo, found = list(start), dict[BranchRef, None]()
        while todo:
            one = todo.pop()
            if one not in found:
                found[one] = None
                todo += self._sources(one)
        return list(found)

    def run(self, targets: Collection[BranchRef]) -> None:
        """Open what is missing on the ``targets``, each after those that it is computed from.

        Raises:
            PfsError: a repo cannot be read or swapped; what was done stays.
        """
        dag = Dag({target: self._sources(target) for target in targets})
        self._targets = dag.ordered(target for target in targets if self._sources(target))
        for target in self._targets:
            self._look(target)

    def _entry(self, branch: BranchRef) -> BranchEntry | None:
        body = self.body(branch.repo)
        return None if body is None else body.branches.get(branch.branch)

    def _sources(self, branch: BranchRef) -> tuple[BranchRef, ...]:
        """Return the branches whose moves open commits on one."""
        entry = self._entry(branch)
        if entry is None or entry.pipeline:
            return ()
        return tuple(BranchRef(*source) for source in entry.provenance if source not in entry.never)

    def _position(self, sources: Iterable[BranchRef]) -> Position:
        found = ((source, position(self.body(source.repo), source.branch)) for source in sources)
        return tuple((source.repo, source.branch, commit) for source, commit in found if commit is not None)

    def _is_behind(self, target: BranchRef) -> bool:
        entry = self._entry(target)
        return entry is not None and set(entry.seen) != set(self._position(self._sources(target)))

    def _look(self, target: BranchRef) -> None:
        if not self._is_behind(target):
            return
        sources, id = self._sources(target), self._id(target)
        id = new_commit_id() if self._has(target, id) else id
        opening = _Opening(self, target, sources, self._position(sources), id)
        self._bodies[target.repo] = self._store.refs.update(target.repo, opening.put_on, announce=False)

    def _id(self, target: BranchRef) -> CommitId:
        """Return the id of the commit that a branch gets: that of the newest move among those it has not seen."""
        entry = self._entry(target)
        seen = set() if entry is None else set(entry.seen)
        present = self._position(self._sources(target))
        fresh = [one for one in present if one not in seen] or present
        causes = [self._cause(BranchRef(repo, branch)) for repo, branch, _ in fresh]
        newest = max((one for one in causes if one is not None), key=lambda one: (one.at_ns, one.id), default=None)
        return new_commit_id() if newest is None else self._chosen(newest)

    def _cause(self, source: BranchRef) -> Cause | None:
        body = self.body(source.repo)
        found = None if body is None else cause(source.repo, body, source.branch)
        if found is None or body is None or not self._store.replayed:
            return found
        spare = spare_id(source.repo, source.branch, position(body, source.branch) or found.id, at_ns=0)
        return replace(found, spare=spare)

    def _chosen(self, why: Cause) -> CommitId:
        """Return one id for all that a move brings about: its own, unless a repo that it reaches has that already."""
        if why.id not in self._ids:
            spared = any(self._has(target, why.spare, untouched=True) for target in self._targets)
            taken = any(self._has(target, why.id) for target in self._pending)
            self._ids[why.id] = why.spare if spared or taken else why.id
        return self._ids[why.id]

    @cached_property
    def _pending(self) -> list[BranchRef]:
        """The targets that this look opens commits on, as far as can be told before."""
        found = set[BranchRef]()
        for target in self._targets:
            if self._is_behind(target) or not found.isdisjoint(self._sources(target)):
                found.add(target)
        return [target for target in self._targets if target in found]

    def _has(self, target: BranchRef, id: CommitId, *, untouched: bool = False) -> bool:
        """Say whether a repo has a commit of an id; one of the branch that makes room counts if ``untouched``."""
        body = self.body(target.repo)
        entry = None if body is None else body.open.get(id)
        if entry is not None:
            return untouched or entry.branch != target.branch or not is_untouched(self.body, target.repo, id)
        return self._store.history.find(target.repo, id) is not None

    def is_untouched(self, repo: str, commit: CommitId) -> bool:
        """Say whether an open commit makes room for a newer one."""
        return is_untouched(self.body, repo, commit)

    def root_of(self, repo: str, commit: CommitId | None) -> Root:
        """Return the tree of a finished commit; of None the empty one."""
        return EMPTY_ROOT if commit is None else self._store.history.get(repo, commit).tree_root()

    def made_from(self, repo: str, commit: CommitId | None) -> Position:
        """Return the provenance of a finished commit."""
        return () if commit is None else self._store.history.get(repo, commit).provenance

    @property
    def now_ns(self) -> int:
        """The time."""
        return self._store.clock_ns()


class _Opening:
    """What one branch gets."""

    def __init__(
        self, pull: Pull, target: BranchRef, sources: tuple[BranchRef, ...], present: Position, id: CommitId
    ) -> None:
        self._pull, self._target, self._sources, self._present, self._id = pull, target, sources, present, id

    def put_on(self, body: RefsBody) -> RefsBody:
        """Return refs with the commit opened, or as they are if somebody else was first."""
        repo, name = self._target
        entry = body.branches.get(name)
        if entry is None or entry.pipeline or set(entry.seen) == set(self._present):
            return body
        if {source for source in entry.provenance if source not in entry.never} != set(self._sources):
            return body
        for commit in body.all_open_on(name):
            if self._pull.is_untouched(repo, commit) and not body.open[commit].written:
                body = without_open(body, commit)
        body = with_branch(body, name, replace(entry, seen=self._present))
        if not self._present or set(self._present) == self._base(body, entry):
            return body
        return with_open(body, self._id, self._opened(entry))

    def _base(self, body: RefsBody, entry: BranchEntry) -> set[tuple[str, str, str]]:
        """Return what the newest commit that the branch keeps was made from, sources that do not count left out."""
        kept = body.all_open_on(self._target.branch)
        made_from = body.open[kept[-1]].provenance if kept else self._pull.made_from(self._target.repo, entry.head)
        return {source for source in made_from if source[:2] not in entry.never}

    def _opened(self, entry: BranchEntry) -> OpenEntry:
        present = {(repo, branch): commit for repo, branch, commit in self._present}
        for repo, branch in entry.never:
            at = position(self._pull.body(repo), branch)
            if at is not None:
                present[repo, branch] = at
        return OpenEntry(
            branch=self._target.branch,
            started=self._pull.now_ns,
            parent=entry.head,
            onto=entry.head,
            root=root_entry(self._pull.root_of(self._target.repo, entry.head)),
            provenance=tuple((*source, present[source]) for source in entry.provenance if source in present),
            origin="auto",
        )
