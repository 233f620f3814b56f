"""Bringing the index level with collection: what is on a list of condemned packs saves no writer from storing it.

Cost: one read of ``gc/state.json``; beyond it only once a generation.
"""

from __future__ import annotations

from pfs.backends.base import Backend
from pfs.errors import IndexDamagedError, MissingObjectError
from pfs.ids import PackId
from pfs.packs.condemned import load
from pfs.packs.index import Index
from pfs.packs.pack import parse_pack_name
from pfs.refs import collection
from pfs.refs.collection import KEPT, Collection

_ROUNDS = 8


def level(backend: Backend, index: Index) -> Collection:
    """Apply all lists that the index has not seen yet; return the state of collection that it is level with.

    Raises:
        IndexDamagedError: it has seen a collection that the store has not: one of the two is an old copy.
        MissingObjectError, CorruptionError: a list cannot be read.
    """
    reached = index.generation()  # before the state, so that it cannot be ahead of it
    for round_no in range(_ROUNDS):
        state, _ = collection.read(backend)
        if state.gen < reached:
            detail = f"it has seen collection {reached}, the store is at {state.gen}"
            raise IndexDamagedError(backend.location, detail)
        if state.gen == reached:
            break
        try:
            _apply(backend, index, state, reached=reached)
            break
        except MissingObjectError:  # the list went out of those that are kept, after the state was read
            if round_no + 1 == _ROUNDS or collection.read(backend)[0].gen == state.gen:
                raise
    return state


def _apply(backend: Backend, index: Index, state: Collection, *, reached: int) -> None:
    gone = set[PackId]() if state.reaches(reached) else _gone(backend, index)
    lists = {gen: load(backend, name) for gen, name in state.since(reached).items()}
    index.condemn(lists, gone=gone, gen=state.gen, kept=KEPT)


def _gone(backend: Backend, index: Index) -> set[PackId]:
    """Return the packs that the index knows and the store has not any more; a pack is indexed after it is there."""
    known = set(index.packs())
    parsed = (parse_pack_name(entry.name) for entry in backend.entries("packs/"))
    return known - {pack[0] for pack in parsed if pack is not None}
