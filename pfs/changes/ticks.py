"""Cron triggers: moving branches when their schedule ticks. Nothing ticks by itself: a daemon calls `Ticker.run`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pfs.errors import PfsError
from pfs.history.linked import Found
from pfs.ids import Etag
from pfs.model import BranchRef, ChangeToken
from pfs.provenance.cron import parse_schedule
from pfs.provenance.fire import Firing
from pfs.refs.body import BranchEntry, RefsBody
from pfs.refs.read import RefsState
from pfs.refs.watch import CHECK_S, Watch

if TYPE_CHECKING:
    from pfs.store import Store


def tick(store: Store) -> list[BranchRef]:
    """Move every branch whose cron trigger has ticked since it was last moved; return those that moved.

    A branch goes to the newest commit that the watched one had at its last tick, so a tick that nobody was there for is
    made up for. One read of refs for each repo. A repo that cannot be read or swapped is passed over.
    """
    found = []
    for name in list(store.refs.names()):
        with suppress(PfsError):
            found += _tick_repo(store, name)
    return found


class Ticker:
    """Ticks again and again; reads refs only where some have moved, or a cron trigger is there at all.

    ``watch``: says when to list what moved; without it that is done each time.
    """

    def __init__(self, store: Store, watch: Watch | None = None) -> None:
        self._store, self._watch = store, watch
        self._token: ChangeToken | None = None
        self._timed: list[str] = []
        self._listed_s = 0.0

    def run(self) -> list[BranchRef]:
        """Move what is due, as `tick`; call it every second or so."""
        if self._may_have_moved():
            self._listed_s = time.monotonic()
            token = self._store.changes(self._token)
            if token != self._token:
                self._token, self._timed = token, list(_timed(self._store))
        found = []
        for name in self._timed:
            with suppress(PfsError):
                found += _tick_repo(self._store, name)
        return found

    def _may_have_moved(self) -> bool:
        if self._token is None or self._watch is None:
            return True
        return self._watch.wait(0.0) or time.monotonic() - self._listed_s > CHECK_S


def _timed(store: Store) -> Iterator[str]:
    """Yield the repos with a cron trigger."""
    for name in list(store.refs.names()):
        with suppress(PfsError):
            state = store.refs.find(name)
            if state is not None and any(
                entry.trigger and entry.trigger.cron for entry in state.body.branches.values()
            ):
                yield name


def _tick_repo(store: Store, repo: str) -> list[BranchRef]:
    state = store.refs.find(repo)
    if state is None or not list(_due(store, repo, state.body)):
        return []
    moved = list[str]()

    def edit(body: RefsBody) -> RefsBody:
        moved.clear()
        firing = Firing(store, repo)
        for name, found in _due(store, repo, body):
            moved.append(name)
            found = Found(found.record, store.history.home_of(RefsState(repo, body, Etag("")), found.record.id))
            body = firing.after(firing.moved(body, name, found), name, found)
        return body

    store.refs.update(repo, edit)
    return [BranchRef(repo, name) for name in moved]


def _due(store: Store, repo: str, body: RefsBody) -> Iterator[tuple[str, Found]]:
    """Yield the branches that have to move, each with the commit that it goes to."""
    for name, entry in sorted(body.branches.items()):
        trigger = entry.trigger
        if trigger is None or not trigger.cron:
            continue
        since_ns = max(entry.updated, entry.created)
        at_ns = parse_schedule(trigger.cron).last_tick(since_ns, store.clock_ns())
        found = None if at_ns is None else _there_at(store, repo, body.branches.get(trigger.branch), at_ns)
        if found is not None and found.record.id != entry.head:
            yield name, found


def _there_at(store: Store, repo: str, watched: BranchEntry | None, at_ns: int) -> Found | None:
    """Return the newest commit of a branch that was finished by a time."""
    if watched is None or watched.head is None:
        return None
    chain = store.history.first_parents(repo, watched.head)
    record = next((one for one in chain if one.finished_ns <= at_ns), None)
    return None if record is None else store.history.locate(repo, record.id)
