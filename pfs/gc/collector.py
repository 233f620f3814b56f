"""One collection: own, mark, condemn, fence, mark again, sweep (docs/design/gc.md).

Whatever fails, and whenever the process dies: nothing that is live was deleted, and the next collection ends what this
one began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pfs.backends.classes import ARCHIVES
from pfs.errors import ArchivedError, CorruptionError, NotFoundError, StorageError, StorageFullError
from pfs.gc.condemn import Decision, condemn
from pfs.gc.expire import Expired, expire, find_expired
from pfs.gc.fence import fence, named_packs
from pfs.gc.idset import Scratch
from pfs.gc.mark import Marker
from pfs.gc.options import LONGEST_WAIT_NS, Options
from pfs.gc.owner import Ownership
from pfs.gc.repack import Repacker
from pfs.gc.report import Report
from pfs.gc.roots import add_roots, bodies
from pfs.gc.shred import Marks, find_marks, is_shredded, remove_marks
from pfs.gc.survey import PackFacts, Survey, survey
from pfs.gc.sweep import kept_packs, move_commits, remove_shelved, sweep
from pfs.gc.waiting import waits_until
from pfs.ids import CommitId, PackId
from pfs.packs.condemned import PREFIX as LISTS
from pfs.packs.condemned import encode_list, list_gen, list_name, load_list
from pfs.packs.lease import leased_packs
from pfs.packs.pack import read_footer
from pfs.refs import facts, shreds
from pfs.refs.collection import GC_STATE
from pfs.refs.edges import squashed
from pfs.refs.level import level
from pfs.refs.read import RefsState

if TYPE_CHECKING:
    from pfs.files.progress import Progress
    from pfs.store import Store

Rows = dict[str, list[CommitId]]
_THAWED_DAYS = 3
"""What a collection has restored to copy it can be read so long: a purge is waited for by a person."""


@dataclass(frozen=True, slots=True)
class _Copied:
    """What came of repacking: the packs whose live part is elsewhere now, and how many packs that made."""

    packs: tuple[PackFacts, ...] = ()
    written: int = 0
    damaged: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class _Swept:
    """What came of a published generation."""

    deleted: frozenset[PackId]
    kept: int
    forgotten: int


class Collector:
    """Does one collection. One thread."""

    def __init__(
        self,
        store: Store,
        options: Options,
        *,
        scratch: Scratch,
        progress: Progress | None = None,
        pause: Callable[[float], object],
    ) -> None:
        self._store, self._options, self._scratch = store, options, scratch
        self._progress, self._pause = progress, pause

    def run(self, owner: Ownership) -> Report:
        """End what is published, then collect; the ownership is given up in any case. Raises as `collect`."""
        try:
            if owner.state.phase != "published":
                return self._collect(owner)
            swept = self._end(owner, self._marker(owner), grace_ns=self._grace_left(owner))
            owner.mark()
            return replace(self._collect(owner), resumed=True, ended=len(swept.deleted))
        except BaseException:
            owner.give_up()
            raise

    def _collect(self, owner: Ownership) -> Report:
        marks = find_marks(self._store, load_all(self._store))  # before the packs are listed
        listed = list(self._store.backend.entries("packs/"))  # before the roots: what comes later is not looked at
        rows, (states, expired) = self._rows(), self._expire()
        marker = self._marker(owner)
        if self._progress is not None:
            self._progress.total(0, sum(entry.size for entry in listed if entry.name.startswith("packs/m/")))
        live = add_roots(self._store, marker, states)
        marker.walk()
        found = survey(self._store, listed, marker.live, scratch=self._scratch, alive=owner.keep, purged=marks.words)
        decision, thawing = self._readable(self._decide(found))
        copied = self._repack(decision, marker, found, owner=owner)
        stored = sum(entry.size for entry in listed)  # those too that cannot be read
        report = Report(
            packs=len(found.packs),
            bytes_before=stored,
            bytes_after=stored,
            live_bytes=found.live_bytes,
            expired=expired,
            damaged=found.damaged + copied.damaged,
            full=copied.full,
            cold=len(decision.cold),
            thawing=thawing,
        )
        condemned = decision.delete + copied.packs
        if not condemned:
            self._shredded(marks, found, frozenset())
            owner.finish()
            return replace(report, forgotten=self._forget_commits(rows, live, states))
        self._publish(owner, condemned)
        grace_ns = self._options.grace_ns
        if grace_ns > LONGEST_WAIT_NS:
            owner.give_up()
            until_ns = waits_until(self._store, owner.state, self._options)
            return replace(report, written=copied.written, waiting=len(condemned), waits_until_ns=until_ns)
        swept = self._end(owner, marker, grace_ns=grace_ns)
        self._shredded(marks, found, swept.deleted)
        return replace(
            report,
            deleted=len(swept.deleted & {facts.pack for facts in decision.delete}),
            repacked=len(swept.deleted & {facts.pack for facts in copied.packs}),
            written=copied.written,
            kept=swept.kept,
            forgotten=swept.forgotten,
            bytes_after=sum(entry.size for entry in self._store.backend.entries("packs/")),
            generation=owner.state.gen,
        )

    def _shredded(self, marks: Marks, found: Survey, deleted: frozenset[PackId]) -> None:
        """Take the marks away when all that they are about is gone; else the next collection looks again."""
        if is_shredded(found, deleted):
            remove_marks(self._store, marks)

    def _marker(self, owner: Ownership) -> Marker:
        return Marker(self._store.objects, self._scratch, progress=self._progress, alive=owner.keep)

    def _expire(self) -> tuple[list[RefsState], Expired]:
        """Let go of what has had its time; return the refs of all repos after that."""
        states = load_all(self._store)
        expired = find_expired(self._store, states)
        if not expired:
            return states, expired
        expire(self._store, states, expired)
        return load_all(self._store), expired

    def _decide(self, found: Survey) -> Decision:
        min_age_ns, now_ns = self._options.min_age_ns, 0
        if min_age_ns or any(facts.storage_class for facts in found.packs):
            # By the clock that gave the packs their times: taking ownership wrote this just now.
            now_ns = next(entry.modified_ns for entry in self._store.backend.entries(GC_STATE))
        leased = leased_packs(self._store.backend, now_ns=self._store.clock_ns())
        return condemn(found.packs, now_ns=now_ns, min_age_ns=min_age_ns, leased=leased)

    def _readable(self, decision: Decision) -> tuple[Decision, int]:
        """Leave out what is to be copied from an archive and not restored yet, having asked for it; say how many."""
        waiting = {
            facts.pack
            for facts in decision.repack
            if facts.storage_class in ARCHIVES
            and not self._store.backend.thaw(facts.name, days=_THAWED_DAYS, speed="Standard")
        }
        repack = tuple(facts for facts in decision.repack if facts.pack not in waiting)
        return replace(decision, repack=repack), len(waiting)

    def _repack(self, decision: Decision, marker: Marker, found: Survey, *, owner: Ownership) -> _Copied:
        """Copy what lives of packs that are to go; where the disk is full, nothing but dead packs goes."""
        repacker = Repacker(self._store, marker.live, elsewhere=found.elsewhere)
        copied, damaged = list[PackFacts](), list[str]()
        try:
            for known in decision.repack:
                try:
                    repacker.copy(read_footer(self._store.backend, known.name), alive=owner.keep)
                    copied.append(known)
                except CorruptionError:
                    damaged.append(known.name)  # a part of it may have been copied, which does no harm
                except (NotFoundError, ArchivedError):
                    continue
            self._store.index.add(repacker.finish())
        except StorageFullError:
            if not decision.delete:
                raise
            with suppress(StorageError):
                self._store.index.add(repacker.sealed)
            return _Copied(written=len(repacker.sealed), damaged=tuple(damaged), full=True)
        finally:
            repacker.abandon()
        return _Copied(tuple(copied), len(repacker.sealed), tuple(damaged))

    def _publish(self, owner: Ownership, condemned: Sequence[PackFacts]) -> None:
        name = list_name(owner.state.gen + 1, owner.sid)
        self._store.backend.put_new(name, encode_list((facts.pack, facts.kind) for facts in condemned))
        owner.publish(name)

    def _grace_left(self, owner: Ownership) -> int:
        """Return how much is left of the grace for a generation that another published."""
        until_ns = waits_until(self._store, owner.state, self._options) if self._options.grace_ns else 0
        return max(until_ns - self._store.clock_ns(), 0)

    def _end(self, owner: Ownership, marker: Marker, *, grace_ns: int) -> _Swept:
        """Bring a published generation to its end; done again from the start by the next one if it does not get there.

        What ``marker`` walked before stays live for it: then a pack may be kept that need not be.
        """
        store, gen = self._store, owner.state.gen
        level(store.backend, store.index)
        condemned = load_list(store.backend, owner.state.lists[gen])
        # Before the fence, as the rows.
        shelved = [entry.name for kind in (facts.PREFIX, shreds.PREFIX) for entry in store.backend.entries(kind)]
        move_commits(store, condemned)
        rows, states = self._rows(), fence(store, gen, condemned, alive=owner.keep)
        live = add_roots(store, marker, states)
        marker.walk()
        held = [body for state in states for body in bodies(store, state.body)]
        named = {pack for body in held for pack in named_packs(body)}
        kept = kept_packs(store, condemned, marker.live, named=named, alive=owner.keep)
        self._wait(owner, grace_ns)
        gone = sweep(store, condemned, kept, alive=owner.keep)
        forgotten = self._forget_commits(rows, live, states)
        used = {name for body in held for name in (*body.shreds, *(older.name for older in body.older))}
        store.backend.delete_many([name for name in shelved if name not in used])
        remove_shelved(store)
        owner.finish()
        self._remove_lists(owner)
        return _Swept(frozenset(gone), len(kept), forgotten)

    def _wait(self, owner: Ownership, left: int) -> None:
        """Give readers their time, renewing the ownership now and then."""
        while left > 0:
            step = min(left, 60 * 1_000_000_000)
            self._pause(step / 1e9)
            left -= step
            owner.keep()

    def _rows(self) -> Rows:
        """Return the commits that the index knows, by repo."""
        index = self._store.index
        return {repo: [commit for commit, _ in index.commits(repo)] for repo in self._store.refs.names()}

    def _forget_commits(self, rows: Rows, live: dict[str, set[CommitId]], states: Sequence[RefsState]) -> int:
        """Take commits out of the index that were in it before the refs were read, and to which these do not lead.

        Squashed ones stay, as their ids mean others.
        """
        forgotten = 0
        for state in states:
            kept = live.get(state.repo, set()) | squashed(state.body).keys()
            dead = [commit for commit in rows.get(state.repo, []) if commit not in kept]
            if dead:
                self._store.index.forget_commits(state.repo, dead)
            forgotten += len(dead)
        return forgotten

    def _remove_lists(self, owner: Ownership) -> None:
        """Delete lists that are not kept any more, and those that collectors did not come to publish."""
        named = set(owner.state.lists.values())
        old = [entry.name for entry in self._store.backend.entries(LISTS) if entry.name not in named]
        self._store.backend.delete_many([name for name in old if (list_gen(name) or 0) <= owner.state.gen])


def load_all(store: Store) -> list[RefsState]:
    """Return the refs of all repos, tombstones included, as they are decided now."""
    found = (store.refs.load(repo) for repo in list(store.refs.names()))
    return [state for state in found if state is not None]
