"""Collection of a store: `collect` does it, `foresee` says what it would do, `measure` what is live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pfs.backends.reserve import released
from pfs.errors import InvalidInputError, StorageError
from pfs.gc.blame import blaming
from pfs.gc.collector import Collector, load_all
from pfs.gc.condemn import condemn
from pfs.gc.due import note_run
from pfs.gc.expire import Expired, find_expired, remove_leftovers, without_expired
from pfs.gc.idset import Scratch
from pfs.gc.mark import Marker
from pfs.gc.options import Options
from pfs.gc.owner import take
from pfs.gc.report import Report
from pfs.gc.roots import add_roots
from pfs.gc.shred import find_marks
from pfs.gc.survey import Survey, survey
from pfs.gc.waiting import waiting_report
from pfs.lifecycle.plan import RepoPlan, plan_retention
from pfs.lifecycle.retention import apply_retention, foreseen
from pfs.lifecycle.unread import Readers, nobody
from pfs.packs.lease import leased_packs
from pfs.refs.collector_lock import alone
from pfs.refs.read import RefsState
from pfs.refs.renew import renew
from pfs.upkeep.consolidate import ENOUGH, consolidate

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

NOW = Options()
SCRATCH = "tmp"


def collect(
    store: Store,
    options: Options = NOW,
    *,
    progress: Progress | None = None,
    pause: Callable[[float], object] = time.sleep,
    alive: Callable[[], None] = lambda: None,
    readers: Readers = nobody,
) -> Report:
    """Delete what nothing leads to, beside running writers and readers; return what was done.

    ``alive`` is called now and then, and may raise to end it early. ``readers``: as for `apply_retention`.

    The end of a long grace (`LONGEST_WAIT_NS`) is not waited for: packs are condemned, this ends, and a collection
    after the grace deletes them; one before it only applies retention rules.

    A state of collection that was lost is begun anew. The retention rules of repos are applied first, and what has had
    its time goes: trash, deleted repos, uploads. Then every tree page is read once, and every footer two or three
    times. Memory: as `Marker`. Disk: room for the packs that are written again; where there is none, only what is
    wholly dead goes.

    Raises:
        ConflictError: another collection is at work, or took over.
        CorruptionError: something live is damaged or missing, so what it leads to is not known; nothing was deleted.
        StorageError: the disk failed; the next collection ends what this one began.
    """
    with alone(store.path), released(store.path), blaming(store), Scratch(store.path / SCRATCH) as scratch:
        remove_leftovers(store.path / SCRATCH)
        renew(store.backend, store.refs, index_gen=store.index.generation())
        effects = apply_retention(store, readers=readers)
        waiting = waiting_report(store, options)
        if waiting is not None:
            return replace(waiting, retention=tuple(effects))
        collector = Collector(store, options, scratch=scratch, progress=progress, pause=pause)
        alone_here = store.backend.parallel == 1  # a bucket may have several folders on one machine
        report = collector.run(take(store.backend, clock_ns=store.clock_ns, alone_here=alone_here, alive=alive))
        note_run(store)
    with suppress(StorageError, InvalidInputError):  # caches, which the next collection puts in order as well
        store.index.compact()
        if store.backend.parallel > 1:
            consolidate(store, enough=ENOUGH)
    return replace(report, retention=tuple(effects))


def foresee(
    store: Store, options: Options = NOW, *, progress: Progress | None = None, readers: Readers = nobody
) -> Report:
    """Return what `collect` would do now, changing nothing; sizes of what it would write are estimates."""
    now_ns = store.clock_ns()
    with blaming(store), Scratch(store.path / SCRATCH) as scratch:
        marks = find_marks(store, load_all(store))
        listed = list(store.backend.entries("packs/"))
        plans = {plan.repo: plan for plan in plan_retention(store, now_ns=now_ns, readers=readers)}
        states = [_planned(plans.get(state.repo), state) for state in load_all(store)]
        expired = find_expired(store, states)
        marker = Marker(store.objects, scratch, progress=progress)
        add_roots(store, marker, [_without(state, expired, now_ns) for state in states])
        marker.walk()
        found = survey(store, listed, marker.live, scratch=scratch, purged=marks.words)
    leased = leased_packs(store.backend, now_ns=now_ns, tidy=False)
    decision = condemn(found.packs, now_ns=now_ns, min_age_ns=options.min_age_ns, leased=leased)
    gone = sum(facts.size for facts in decision.packs) - sum(facts.live_bytes for facts in decision.repack)
    stored = sum(entry.size for entry in listed)
    return Report(
        packs=len(found.packs),
        deleted=len(decision.delete),
        repacked=len(decision.repack),
        bytes_before=stored,
        bytes_after=stored - gone,
        live_bytes=found.live_bytes,
        expired=expired,
        damaged=found.damaged,
        cold=len(decision.cold),
        retention=tuple(foreseen(store, plan, now_ns=now_ns) for plan in plans.values()),
        dry_run=True,
    )


def _planned(plan: RepoPlan | None, state: RefsState) -> RefsState:
    return state if plan is None else RefsState(state.repo, plan.body, state.etag)


def _without(state: RefsState, expired: Expired, now_ns: int) -> RefsState:
    return RefsState(state.repo, without_expired(state.body, expired, repo=state.repo, now_ns=now_ns), state.etag)


def measure(store: Store, *, progress: Progress | None = None) -> Survey:
    """Return how much of each pack is live, by a walk over all trees: what `stats` and `doctor` go by."""
    with Scratch(store.path / SCRATCH) as scratch:
        listed = list(store.backend.entries("packs/"))
        marker = Marker(store.objects, scratch, progress=progress)
        add_roots(store, marker, load_all(store))
        marker.walk()
        return survey(store, listed, marker.live, scratch=scratch)
