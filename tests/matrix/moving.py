"""Scenarios of copies: what is sent to another store fails there, at every write."""

from __future__ import annotations

from pathlib import Path

import pfs
from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.config import FOLDER, LOCAL_OBJECTS
from pfs.moving.clone import copy_store
from pfs.moving.plan import Wish
from pfs.moving.push import send
from pfs.store import Store
from tests.matrix.place import Place
from tests.matrix.scenario import Scenario
from tests.matrix.world import BIG, prepare, put, text

SOURCE = "source"


def beside(store: Store, top: Path) -> None:
    """Make another store, on the same machine, with what the usual one has and more; the target has a part of it."""
    with pfs.init(top / SOURCE) as source:
        prepare(source, top)
        send(source, store)
        for name in ("data", "other"):
            put(source.repo(name), "master", {"/sent": text(f"sent {name}"), "/large": BIG[: 100_000 * len(name)]})
        source.repo("data").create_tag("v2", "master")


def nothing_there(store: Store, top: Path) -> None:
    """Make another store, and leave of this one nothing, as a clone finds it."""
    with pfs.init(top / SOURCE) as source:
        prepare(source, top)
    store.backend.delete_many([entry.name for entry in store.backend.entries("")])


def push(place: Place, backend: Backend) -> None:
    with pfs.open(place.top / SOURCE) as source, place.open(backend) as target:
        send(source, target)


def push_one(place: Place, backend: Backend) -> None:
    with pfs.open(place.top / SOURCE) as source, place.open(backend) as target:
        send(source, target, [Wish("data", "master")])


def clone(place: Place, backend: Backend) -> None:
    place.forget_index()  # of what was here before, another store
    copy_store(LocalBackend(place.top / SOURCE / FOLDER / LOCAL_OBJECTS), backend, location="")


SCENARIOS = (
    Scenario("clone", clone, nothing_there),
    Scenario("push of one branch", push_one, beside),
    Scenario("push of two repos", push, beside, unit="repo"),
)
