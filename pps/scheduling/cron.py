"""Cron inputs: repos that get an empty file, named by its time, at each tick of a schedule.

Nothing is stored about ticks but the files themselves: the newest name says what the last tick was. So ticks that
nobody was there for are made up for, by one tick for all of them or, with ``backfill``, by one each. Two processes may
tick at once: the file of a tick is made once.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from pfs.changes.apply import apply
from pfs.errors import PfsError
from pfs.files.ingest import put_stream
from pfs.model import CommitInfo
from pfs.provenance.cron import parse_schedule
from pfs.trees.edit import DeleteTree, Edit, Put
from pfs.trees.tree import Tree
from pps.model.events import OnEvent, Trouble
from pps.spec.types import Cron, PfsInput
from pps.times import parse_time, time_text

if TYPE_CHECKING:
    from pfs.refs.read import RefsState
    from pfs.store import Store
    from pps.model.catalog import Pipeline

MOST_AT_ONCE = 1000
"""Ticks of one input that are made up for in one go; the others come with the next."""


class CronTicker:
    """Makes the ticks of pipelines as they come due. One thread."""

    def __init__(self, store: Store, on_event: OnEvent) -> None:
        self._store, self._on_event = store, on_event
        self._next_ns: int | None = None
        self._known: dict[str, tuple[PfsInput, RefsState, int | None]] = {}

    @property
    def next_ns(self) -> int | None:
        """When the next tick is due of the inputs that `run` saw; None: never."""
        return self._next_ns

    def is_due(self) -> bool:
        """Say whether an input that `run` saw has a tick by now; costs a comparison."""
        return self._next_ns is not None and self._store.clock_ns() >= self._next_ns

    def run(self, pipelines: Iterable[Pipeline], *, states: Mapping[str, RefsState] = MappingProxyType({})) -> int:
        """Make the ticks of these pipelines that are due; return how many there were.

        ``states``: refs as they are now; an input whose repo has the same as at the last run is not read again.
        An input whose repo cannot be read or written is passed over, which is told as `events.Trouble`.
        """
        made, self._next_ns = 0, None
        for name, leaf in _cron_leaves(pipelines):
            try:
                made += self._run_leaf(leaf, states.get(leaf.repo))
            except PfsError as error:
                self._on_event(Trouble(name, f"cron input {leaf.name!r}: {error}"))
        return made

    def _run_leaf(self, leaf: PfsInput, state: RefsState | None) -> int:
        known = self._known.get(leaf.repo)
        if known is not None and known[0] == leaf and known[1] is state and not self._is_past(known[2]):
            self._expect(known[2])
            return 0
        made, following = self._tick_leaf(leaf)
        self._expect(following)
        if state is not None:
            self._known[leaf.repo] = leaf, state, following
        return made

    def _is_past(self, at_ns: int | None) -> bool:
        return at_ns is not None and self._store.clock_ns() >= at_ns

    def _expect(self, at_ns: int | None) -> None:
        if at_ns is not None:
            self._next_ns = at_ns if self._next_ns is None else min(self._next_ns, at_ns)

    def _tick_leaf(self, leaf: PfsInput) -> tuple[int, int | None]:
        """Make the ticks of an input that are due; return how many, and when the next one is."""
        assert leaf.cron is not None, "only cron inputs tick"
        since_ns = _last_tick(self._store, leaf)
        due = list(due_ticks(leaf.cron, since_ns, self._store.clock_ns()))
        for at_ns in due:
            tick(self._store, leaf, at_ns)
        return len(due), next_tick(leaf.cron, due[-1] if due else since_ns)


def _cron_leaves(pipelines: Iterable[Pipeline]) -> Iterator[tuple[str, PfsInput]]:
    """Yield the cron inputs of pipelines that are not stopped, each repo's once."""
    seen = set[str]()
    for pipeline in pipelines:
        if pipeline.record.stopped:
            continue
        for leaf in pipeline.leaves:
            if leaf.cron is not None and leaf.repo not in seen:
                seen.add(leaf.repo)
                yield pipeline.name, leaf


def due_ticks(cron: Cron, since_ns: int, now_ns: int) -> Sequence[int]:
    """Return the ticks to be made: the last one later than ``since_ns``, with ``backfill`` all of them; pure."""
    schedule = parse_schedule(cron.schedule)
    if not cron.backfill:
        last_ns = schedule.last_tick(since_ns, now_ns)
        return () if last_ns is None else (last_ns,)
    found: list[int] = []
    following = schedule.next_tick(since_ns)
    while following is not None and following <= now_ns and len(found) < MOST_AT_ONCE:
        found.append(following)
        following = schedule.next_tick(following)
    return found


def next_tick(cron: Cron, since_ns: int) -> int | None:
    """Return the first tick after a time; None: it never ticks."""
    return parse_schedule(cron.schedule).next_tick(since_ns)


def tick(store: Store, leaf: PfsInput, at_ns: int) -> CommitInfo | None:
    """Commit the file of one tick; with ``overwrite`` it is alone then. None: it is there already.

    Raises:
        RepoNotFoundError: the repo is gone.
        ConflictError, StorageError: nothing was changed.
    """
    session, key = store.session(), time_text(at_ns).encode()

    def change(tree: Tree) -> list[Edit]:
        if tree.stat(key, want="file") is not None:
            return []
        ref = put_stream(session, store.params, io.BytesIO(), jobs=1)
        edits: list[Edit] = [Put(key, ref.kind, ref.size, ref.tid)]
        overwrite = leaf.cron is not None and leaf.cron.overwrite
        return [DeleteTree(b""), *edits] if overwrite and tree.root.count else edits

    try:
        return apply(store.repo(leaf.repo), leaf.branch, change, session=session, message=f"tick of {leaf.name}")
    finally:
        session.abandon()


def _last_tick(store: Store, leaf: PfsInput) -> int:
    """Return the time after which ticks are due: of the newest tick, of ``start``, or when the repo was made."""
    repo = store.repo(leaf.repo)
    assert leaf.cron is not None, "only cron inputs tick"
    start_ns = leaf.cron.start_ns
    if leaf.branch in {branch.name for branch in repo.branches()} and repo.branch(leaf.branch).head is not None:
        for info in repo.view(leaf.branch).list("/", reverse=True):
            at_ns = parse_time(info.path.strip("/"))
            if at_ns is not None:
                return max(at_ns, start_ns or 0)
    return repo.info().created_ns if start_ns is None else start_ns
