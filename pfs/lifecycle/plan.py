"""What retention rules would take away from every repo of a store, worked out from one look at all of them.

A repo alone cannot tell: a commit stays as long as a live commit of any repo was made from it. So the rules of each
repo say first what they would let go, and then everything that what is left depends on is taken back, until nothing
is missing (docs/design/retention.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from pfs.ids import CommitId
from pfs.lifecycle.commits import Commits, Node, Source, anchored_by_open
from pfs.lifecycle.keep import Dated, kept
from pfs.lifecycle.unread import Readers, Since, nobody, unread_in
from pfs.refs.body import FAILED, TAG, RefsBody, TrashEntry, is_hidden, with_trash, without_branch
from pfs.refs.edges import edge_of, record_home, with_edges, with_records, without_facts
from pfs.refs.read import RefsState
from pfs.refs.retention import Retention

if TYPE_CHECKING:
    from pfs.store import Store

META = ".meta"
"""The hidden branch of what jobs left: its head has the records of all jobs, its history goes with the outputs."""
MASTER = "master"


@dataclass(frozen=True, slots=True)
class RepoPlan:
    """What retention does to one repo: swap ``state`` for ``body``.

    ``removed``: the commits that go, in no order, and the branch of each; ``kept``: how many of users' branches stay;
    ``branches`` and ``tags`` go to the trash.
    """

    state: RefsState
    body: RefsBody
    kept: int
    removed: Mapping[CommitId, str] = field(default_factory=dict)
    branches: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def repo(self) -> str:
        """The repo's name."""
        return self.state.repo

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.body is not self.state.body


Chosen: TypeAlias = Mapping[str, Set[CommitId]]
"""Commits by repo that may go, in the place of what rules let go."""


def plan_retention(
    store: Store, *, now_ns: int, readers: Readers = nobody, chosen: Chosen | None = None
) -> list[RepoPlan]:
    """Return what the rules of all repos come to at ``now_ns``; changes nothing. What is unread stays (`Unread`).

    ``chosen``: these commits are let go, and rules are not asked; what needs one of them keeps it all the same.

    Repos come before those that they were made from; those without rules have no plan. Costs a look-up a commit, and
    memory for all of them; without any rules in the store, one read of refs a repo.

    Raises:
        CorruptionError, MissingObjectError: a commit of some repo cannot be read: what it needs is not known.
    """
    if not (any(state.body.retention for state in store.refs.repos()) if chosen is None else any(chosen.values())):
        return []
    told = list(readers())
    states = list(store.refs.repos())
    unread = unread_in(states, told)
    works = {state.repo: _Work(store, state, states, now_ns=now_ns, chosen=chosen) for state in states}
    for repo, branches in unread.items():
        if repo in works:
            works[repo].keep_unread(branches)
    _settle(works)
    return [works[repo].plan() for repo in _downstream_first(works) if works[repo].rules is not None]


class _Work:
    """One repo while it is decided on. ``gone``: what its rules let go and nothing needs; ``live``: what stays so."""

    def __init__(
        self,
        store: Store,
        state: RefsState,
        states: Sequence[RefsState],
        *,
        now_ns: int,
        chosen: Chosen | None = None,
    ) -> None:
        self._store, self._now_ns = store, now_ns
        self._chosen: Set[CommitId] = (chosen or {}).get(state.repo, frozenset())
        self.state, self.rules = state, state.body.retention
        if chosen is not None:
            self.rules = Retention() if self._chosen else None
        self.commits = Commits.read(store, state)
        self.gone, self.live = set[CommitId](), set[CommitId]()
        self._failed: dict[CommitId, str] = {}
        self._tags: list[str] = []
        self._branches: list[str] = []
        if self.rules is not None:
            self._let_go(self.rules)
            self._branches = stale_branches(self.commits, self.rules, states, now_ns=now_ns)

    def _let_go(self, rules: Retention) -> None:
        """Work out what the rules of the branches alone would remove."""
        body, chains, stay = self.state.body, dict[CommitId, None](), set[CommitId]()
        oldest_ns: dict[str, int] = {}
        for name, entry in body.branches.items():
            chain = [Dated(node.id, node.finished_ns) for node in self.commits.chain(entry.head)]
            own = None if is_hidden(name) else self._kept(rules, name, chain)
            if own is not None and chain:
                chains |= dict.fromkeys(commit.id for commit in chain)
                oldest_ns[name] = min(commit.finished_ns for commit in chain if commit.id in own)
                stay |= own
            elif name != META and not name.startswith(FAILED):
                stay.update(commit.id for commit in chain)

        def recent(failure: Node) -> bool:
            return failure.id not in chains and failure.finished_ns >= oldest_ns.get(failure.branch, 0)

        if oldest_ns:
            heads = ((name, entry.head) for name, entry in body.branches.items() if name.startswith(FAILED))
            self._failed = {id: name for name, id in heads if id and not recent(self.commits.nodes[id])}
            jobs = list(self.commits.chain(body.branches[META].head)) if META in body.branches else []
            chains |= dict.fromkeys(job.id for job in jobs)
            stay.update(job.id for job in jobs if any(map(recent, self._outputs(job))))
        tagged = {name: entry.head for name, entry in body.tags.items() if entry.head is not None}
        self.gone = set(chains) - stay
        self._tags = [] if rules.tags else [name for name, head in tagged.items() if head in self.gone]
        self.gone -= set(self._starts())

    def _kept(self, rules: Retention, branch: str, chain: Sequence[Dated]) -> set[CommitId] | None:
        """Return what stays of a branch; None: all that it leads to."""
        if self._chosen:
            stay = {commit.id for commit in chain if commit.id not in self._chosen}
            return None if len(stay) == len(chain) else {*stay, chain[0].id}
        keep = rules.of(branch)
        return None if keep is None else kept(chain, keep, now_ns=self._now_ns)

    def _starts(self) -> list[CommitId]:
        """Return what is live whatever rules say; what goes to the trash is live there."""
        body = self.state.body
        entries = [*body.branches.values(), *body.tags.values(), *(item.branch for item in body.trash.values())]
        heads = (entry.head for entry in entries)
        return [*anchored_by_open(self.state), *(head for head in heads if head and head not in self._failed)]

    def keep_unread(self, branches: Sequence[Since]) -> None:
        """Let the commits stay that pipelines have yet to read, and those from which they go on."""
        for branch, since in branches:
            entry = self.state.body.branches.get(branch)
            chain = [node.id for node in self.commits.chain(None if entry is None else entry.head)]
            if since is None:
                self.gone.difference_update(chain)
            elif since in chain:  # else the branch was moved, and just its head is due
                self.gone.difference_update(chain[: chain.index(since) + 1])

    def settle(self) -> None:
        """Take back what live commits of this repo need: further parents, and what jobs left beside outputs."""
        while True:
            self.live = self.commits.reached(self._starts(), self.gone)
            further = {parent for id in self.live for parent in self.commits.others(self.commits.nodes[id])}
            back = (further & self.gone) | self._results()
            if not back:
                return
            self.gone -= back

    def _results(self) -> set[CommitId]:
        """Return the gone commits of the hidden branch of jobs that tell of an output that stays."""
        jobs = (self.commits.nodes[id] for id in self.gone)
        return {job.id for job in jobs if job.branch == META and not self.live.isdisjoint(self.commits.others(job))}

    def _outputs(self, job: Node) -> list[Node]:
        return [self.commits.nodes[id] for id in self.commits.others(job)]

    def sources(self) -> Iterator[Source]:
        """Yield what live and open commits were made from."""
        for id in self.live:
            yield from self.commits.nodes[id].provenance
        for entry in self.state.body.open.values():
            yield from (Source(repo, CommitId(id)) for repo, _, id in entry.provenance)

    def take_back(self, commit: CommitId) -> bool:
        """Make sure that a commit stays; False if it does, or is none of the repo's."""
        if commit in self.live or commit not in self.commits.nodes:
            return False
        # Edges shorten chains of first parents only: what just a gone merge leads to needs that merge.
        while commit not in self.gone and commit not in self._failed:
            commit = self.commits.children[commit][0]
        self.gone.discard(commit)
        self._failed.pop(commit, None)
        return True

    def plan(self) -> RepoPlan:
        """Return what is to be done."""
        body, now_ns = self.state.body, self._now_ns
        for name in self._branches:
            body = without_branch(body, name, now_ns=now_ns)
        for name in self._tags:
            entry = TrashEntry(branch=body.tags[name], deleted=now_ns, kind=TAG)
            tags = {key: value for key, value in body.tags.items() if key != name}
            body = with_trash(replace(body, tags=tags), name, entry)
        nodes = self.commits.nodes
        removed = {id: node.branch for id, node in nodes.items() if id not in self.live}
        kept = sum(not is_hidden(nodes[id].branch) for id in self.live)
        if removed:
            left = set(self._failed.values())
            body = replace(body, branches={name: entry for name, entry in body.branches.items() if name not in left})
            body = self._passed_over(body, list(removed))
        return RepoPlan(self.state, body, kept, removed, tuple(self._branches), tuple(self._tags))

    def _passed_over(self, body: RefsBody, removed: Sequence[CommitId]) -> RefsBody:
        """Return the body with edges over what is gone, and without what it said of that."""
        body = without_facts(body, [id for id in removed if edge_of(body, id) or record_home(body, id)])
        below = [id for id in self.live if self.commits.first(self.commits.nodes[id]) in self.gone]
        edges = {id: self.commits.above(id, self.gone) for id in below}
        homes = {above: self._store.history.home_of(self.state, above) for above in edges.values() if above}
        return with_records(with_edges(body, edges), homes)


def stale_branches(commits: Commits, rules: Retention, states: Sequence[RefsState], *, now_ns: int) -> list[str]:
    """Return the branches that nobody wrote to for long and nothing depends on; never master, nor an output."""
    if not rules.stale_seconds:
        return []
    repo, body, oldest_ns = commits.state.repo, commits.state.body, now_ns - rules.stale_seconds * 1_000_000_000
    used = {source for state in states for entry in state.body.branches.values() for source in entry.provenance}
    used |= {(repo, entry.trigger.branch) for entry in body.branches.values() if entry.trigger is not None}
    found = []
    for name, entry in body.branches.items():
        last_ns = max(entry.created, entry.updated) if entry.head is None else commits.nodes[entry.head].finished_ns
        held = name == MASTER or is_hidden(name) or entry.provenance or entry.trigger or body.open_on(name)
        if not held and (repo, name) not in used and last_ns < oldest_ns:
            found.append(name)
    return sorted(found)


def _settle(works: Mapping[str, _Work]) -> None:
    """Take back, over all repos, what live commits were made from."""
    back = True
    while back:
        for work in works.values():
            work.settle()
        sources = {source for work in works.values() for source in work.sources() if source.repo in works}
        back = sum(works[source.repo].take_back(source.commit) for source in sources) > 0


def _downstream_first(works: Mapping[str, _Work]) -> list[str]:
    """Return the repos, each before those that its commits were made from; cycles are broken somewhere."""
    made_from = {repo: {source.repo for source in work.sources()} & works.keys() for repo, work in works.items()}
    found: dict[str, None] = {}
    todo = [(repo, False) for repo in sorted(works)]
    seen = set[str]()
    while todo:
        repo, done = todo.pop()
        if done:
            found[repo] = None
        elif repo not in seen:
            seen.add(repo)
            todo += [(repo, True), *((source, False) for source in sorted(made_from[repo]))]
    return list(found)[::-1]
