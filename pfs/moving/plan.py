"""What a push has to send: which branches move, and which commits the other store lacks. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pfs.changes.refusal import refuse_output, refuse_tag
from pfs.errors import AlreadyExistsError, BranchNotFoundError, ConflictError, RepoNotFoundError
from pfs.history.ancestors import is_ancestor
from pfs.history.graph import Graph
from pfs.history.reachable import live_commits
from pfs.ids import CommitId
from pfs.packs.commit_record import CommitRecord
from pfs.refs.body import RefsBody, is_hidden
from pfs.refs.edges import effective

if TYPE_CHECKING:
    from pfs.refs.read import RefsState
    from pfs.store import Store


class Wish(NamedTuple):
    """A branch that shall be there, with None all of a repo."""

    repo: str
    branch: str | None


MadeFrom = tuple[Wish, CommitId]
"""A commit that another one was made from, and the branch that it was on."""


class Move(NamedTuple):
    """A branch that moves from ``old`` to ``head``; ``forced``: not forwards."""

    old: CommitId | None
    head: CommitId
    forced: bool


@dataclass(slots=True)
class RepoPlan:
    """What one repo gets: ``missing`` commits, parents first, are put on ``known`` ones, which are live there."""

    source: RefsState
    target: RefsState | None
    moves: dict[str, Move] = field(default_factory=dict)
    tags: dict[str, CommitId] = field(default_factory=dict)
    missing: list[CommitId] = field(default_factory=list)
    known: set[CommitId] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)
    """Repos with commits that missing ones were made from."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.moves and not self.tags


def plan(source: Store, target: Store, wishes: Sequence[Wish], *, force: bool = False) -> list[RepoPlan]:
    """Return what is to be sent for each repo, those first that others were made from.

    No wishes: all repos. Branches go along that have commits which missing ones were made from, and which are missing
    too. Hidden branches do not.
    Memory: the ids of commits that are missing, and of live ones of the repos that get any.

    Raises:
        RepoNotFoundError, BranchNotFoundError: there is none in ``source``.
        ConflictError: a branch went another way in ``target``, without ``force``; it is a pipeline's or computed, or
            has an open commit there; a tag names another commit.
    """
    states = {state.repo: state for state in source.refs.snapshot()}
    todo = list(wishes or (Wish(repo, None) for repo in states))
    plans: dict[str, _Planner] = {}
    seen = set[Wish]()

    def planner(repo: str) -> _Planner:
        if repo not in plans:
            plans[repo] = _Planner(source, target, states[repo], force=force)
        return plans[repo]

    while todo:
        wish = todo.pop(0)
        if wish in seen:
            continue
        seen.add(wish)
        if wish.repo not in states:
            raise RepoNotFoundError(wish.repo)
        for other, commit in planner(wish.repo).add(wish, states):
            if not planner(other.repo).has(commit):
                todo.append(other)
    return list(_in_order({repo: planner.plan for repo, planner in plans.items()}))


def _in_order(plans: Mapping[str, RepoPlan]) -> Iterator[RepoPlan]:
    done = set[str]()

    def visit(repo: str) -> Iterator[RepoPlan]:
        if repo in plans and repo not in done:
            done.add(repo)
            for other in sorted(plans[repo].needs):
                yield from visit(other)
            yield plans[repo]

    for repo in sorted(plans):
        yield from visit(repo)


class _Planner:
    """Works out what one repo gets."""

    def __init__(self, source: Store, target: Store, state: RefsState, *, force: bool) -> None:
        self._source, self._target, self._force = source, target, force
        self._repo = state.repo
        self.plan = RepoPlan(state, target.refs.find(state.repo))
        self._queued = set[CommitId]()

    @property
    def _place(self) -> str:
        return self._target.backend.location

    @property
    def _there(self) -> RefsBody:
        return RefsBody() if self.plan.target is None else self.plan.target.body

    @cached_property
    def _live(self) -> set[CommitId]:
        if self.plan.target is None:
            return set()
        return {found.record.id for found in live_commits(self._target.history, self.plan.target)}

    def has(self, commit: CommitId) -> bool:
        """Say whether the other store has a commit, as far as collection goes."""
        return commit in self._live

    def add(self, wish: Wish, states: Mapping[str, RefsState]) -> list[MadeFrom]:
        """Take a wish in; return what its missing commits were made from."""
        body = self.plan.source.body
        if wish.branch is None:
            names = [name for name in sorted(body.branches) if not is_hidden(name)]
        elif wish.branch in body.branches and not is_hidden(wish.branch):
            names = [wish.branch]
        else:
            raise BranchNotFoundError(self._repo, wish.branch)
        found: list[MadeFrom] = []
        for name in names:
            head = body.branches[name].head
            if head is not None and name not in self.plan.moves:
                found += self._branch(name, head, states)
        for name, entry in sorted(body.tags.items()):
            if entry.head is not None and self._is_wanted(entry.head, wish):
                found += self._tag(name, entry.head, states)
        return found

    def _is_wanted(self, tagged: CommitId, wish: Wish) -> bool:
        """Say whether a tag goes along: of a single branch, only with a commit that goes or is there."""
        return wish.branch is None or tagged in self._queued or tagged in self._live

    def _branch(self, name: str, head: CommitId, states: Mapping[str, RefsState]) -> list[MadeFrom]:
        move = self._move(name, head)
        if move is None:
            return []
        self._refuse(name)
        self.plan.moves[name] = move
        return self._lead(head, states)

    def _refuse(self, name: str) -> None:
        """Refuse a branch that nobody may move there."""
        opened = self._there.open_on(name)
        if opened is not None:
            raise ConflictError(f"in {self._place} {self._repo}@{name} has the open commit {opened}: finish it first")
        try:
            refuse_tag(self._repo, self._there, name)
            refuse_output(self._repo, self._there, name)
        except ConflictError as error:
            raise ConflictError(f"in {self._place} {error}; or name what to send") from error

    def _move(self, name: str, head: CommitId) -> Move | None:
        """Return how the branch moves; None: it is there, or further."""
        entry = self._there.branches.get(name)
        old = None if entry is None else entry.head
        if old is None:
            return Move(None, head, forced=False)
        if old == head or (self._is_there(head) and self._is_before(self._target, self.plan.target, head, old)):
            return None
        if self._is_before(self._source, self.plan.source, old, head):
            return Move(old, head, forced=False)
        if not self._force:
            way = f"{self._repo}@{name} went another way in {self._place}: it is at {old} there"
            raise ConflictError(f"{way}, at {head} here; merge the two, or use --force")
        return Move(old, head, forced=True)

    def _is_before(self, store: Store, state: RefsState | None, old: CommitId, new: CommitId) -> bool:
        if state is None or store.history.find(self._repo, old) is None:
            return False
        return is_ancestor(Graph(store, state), old, new)

    def _is_there(self, commit: CommitId) -> bool:
        """Say whether the other store has a commit, for sure: what is known and not live may be collected."""
        if self.plan.target is None or commit in self._queued or commit not in self._live:
            return False
        here = self._source.history.get(self._repo, commit)
        there = self._target.history.get(self._repo, commit)
        if here.root.tid != there.root.tid:
            raise ConflictError(f"commit {self._repo}@{commit} has other content in {self._place}: name what to send")
        return True

    def _tag(self, name: str, head: CommitId, states: Mapping[str, RefsState]) -> list[MadeFrom]:
        there = self._there.tags.get(name)
        if there is not None and there.head == head:
            return []
        if there is not None or name in self._there.branches:
            raise AlreadyExistsError("tag" if there is not None else "branch", f"{self._repo}@{name}")
        self.plan.tags[name] = head
        return self._lead(head, states)

    def _lead(self, head: CommitId, states: Mapping[str, RefsState]) -> list[MadeFrom]:
        """Queue a commit and its ancestors that are not there, parents first; return what they were made from."""
        wanted: dict[MadeFrom, None] = {}
        todo: list[tuple[CommitId, bool]] = [(head, False)]
        while todo:
            commit, is_done = todo.pop()
            if is_done:
                self.plan.missing.append(commit)
                continue
            if commit in self._queued or commit in self.plan.known:
                continue
            if self._is_there(commit):
                self.plan.known.add(commit)
                continue
            self._queued.add(commit)
            record = record_of(self._source, self.plan.source, commit)
            wanted |= dict.fromkeys(self._sources(record, states))
            todo.append((commit, True))
            todo += [(parent, False) for parent in reversed(record.parents)]
        return list(wanted)

    def _sources(self, record: CommitRecord, states: Mapping[str, RefsState]) -> Iterable[MadeFrom]:
        for repo, branch, commit in record.provenance:
            state = states.get(repo)
            if repo != self._repo and not is_hidden(branch) and state is not None and branch in state.body.branches:
                self.plan.needs.add(repo)
                yield Wish(repo, branch), CommitId(commit)


def record_of(store: Store, state: RefsState, commit: CommitId) -> CommitRecord:
    """Return the record of a commit with its present parents; raises CommitNotFoundError."""
    return effective(state.body, store.history.get(state.repo, commit))
