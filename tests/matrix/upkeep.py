"""Scenarios of collection and recovery: nothing that can be seen may change, whatever they are at when they fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from pfs.backends.base import Backend
from pfs.errors import StorageError
from pfs.gc.collect import collect
from pfs.lifecycle.purge import purge
from pfs.refs.tiering import Rule
from pfs.store import Store
from pfs.testing.faults import FaultyBackend
from pfs.tiers.tier import tier
from pfs.upkeep.consolidate import consolidate
from pfs.upkeep.recover import recover
from tests.matrix.history import everywhere, rules
from tests.matrix.place import Place
from tests.matrix.scenario import Scenario, over
from tests.matrix.world import put, text

_GC_STATE = "gc/state.json"


def garbage(store: Store, top: Path) -> None:
    """Have live and dead parts in packs of both kinds, a purged file, and more small packs than collection leaves."""
    rules(store, top)
    repo = store.repo("data")
    for number in range(6):
        put(repo, "side", {f"/{number}": text(f"side {number}"), "/same": text("same")})
        if number % 2:
            repo.drop_commit("side")
    repo.squash_commit("dev^")


def purged(store: Store, top: Path) -> None:
    everywhere(store, top)
    purge(store, "data", "/secret")


def cut_off(store: Store, top: Path) -> None:
    """Leave a collection that was killed between its fence and its sweep."""
    garbage(store, top)
    faulty = FaultyBackend(store.backend, counted=frozenset({"delete_many"}), fail_at=1, dead_after=True)
    with Store(store.path, backend=faulty, clock_ns=store.clock_ns) as dying:
        try:
            collect(dying)
        except StorageError:
            return
    raise AssertionError("it was not cut off")


def without_state(store: Store, top: Path) -> None:
    """Lose what collection knows of itself."""
    garbage(store, top)
    for name in ("data", "other"):
        store.repo(name).set_retention(None)
    collect(store)
    put(store.repo("data"), "master", {"/after": text("after")})
    store.backend.delete_many([_GC_STATE])


def cold(store: Store, top: Path) -> None:
    """Have data packs that only an old commit needs."""
    garbage(store, top)
    repo = store.repo("other")
    repo.set_retention(None)
    for number in range(2):
        put(repo, "master", {"/large": random.Random(number).randbytes(4_600_000)})
    put(repo, "master", {"/large": None})


def cool(store: Store) -> None:
    tier(store, Rule(storage_class="STANDARD_IA", older_ns=1))


def gather(place: Place, backend: Backend) -> None:
    with place.open(backend) as store:
        collect(store, pause=lambda _: None)


def recovered(place: Place, backend: Backend) -> None:
    """Run `pfs recover`, which opens the store's objects by itself."""
    with patch("pfs.upkeep.recover.open_objects", lambda *_, **__: _Open(backend)):
        recover(place.folder)


class _Open:
    """A backend that stays open."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def close(self) -> None:
        """Leave it to the place."""


def _unseen(name: str, prepare: Callable[[Store, Path], object], *, lost: str = "") -> Scenario:
    return Scenario(name, gather, prepare, unit="nothing", lost=lost)


SCENARIOS = (
    Scenario("gc, retention first", gather, garbage, unit="repo", disk_step=3),
    Scenario("gc after a purge", gather, purged, unit="nothing", disk_step=3),
    _unseen("gc that ends another one", cut_off),
    _unseen("gc without its state", without_state, lost=_GC_STATE),
    Scenario("index segments", over(lambda store: consolidate(store)), garbage, unit="nothing", styles=("bucket",)),
    Scenario("tier: cold packs to another class", over(cool), cold, unit="nothing", styles=("bucket",)),
    Scenario("recover, state of gc lost", recovered, without_state, unit="nothing", lost=_GC_STATE),
)
