"""The state of collection: which generation, what it is doing, and the lists of packs that it condemned.

One object, replaced by compare-and-swap by collectors alone; writers read it before they trust what they found stored
(docs/format/collection.md, docs/design/commit-protocol.md). No object is generation 0, idle.
"""

from __future__ import annotations

import time
import uuid
from typing import Literal

import msgspec
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.errors import (
    BranchMovedError,
    CollectionLostError,
    CorruptionError,
    StorageError,
    StorageFullError,
)
from pfs.ids import Etag
from pfs.refs.signed import decode_signed, encode_signed

GC_STATE = "gc/state.json"
VERSION = 1
KEPT = 64
"""Generations whose lists are kept: a writer that is further behind must start again."""
RESENDS = 3
_PAUSE_S = 0.05

Phase = Literal["idle", "mark", "published"]


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """``gen``: the last published generation; ``lists``: the names of the lists of the last `KEPT`, by generation.

    ``base``: lists of generations up to it are not kept: the state before was lost (`pfs.refs.renew`).

    ``owner`` may act until ``expires_ns`` (since the epoch, by the object store's clock); then another takes over.
    """

    v: int = VERSION
    gen: int = 0
    phase: Phase = "idle"
    owner: str = ""
    expires_ns: int = 0
    lists: dict[int, str] = {}
    base: int = 0
    wid: str = ""
    extra: dict[str, object] = {}

    def since(self, gen: int) -> dict[int, str]:
        """Return the lists of the generations after ``gen``; those older than the kept ones are not there."""
        return {number: name for number, name in self.lists.items() if number > gen}

    def reaches(self, gen: int) -> bool:
        """Say whether every list after ``gen`` is kept."""
        return len(self.since(gen)) == self.gen - gen


_REQUIRED = ("v", "wid")


def published(state: Collection, name: str) -> Collection:
    """Return the state with one more generation, whose list is the object ``name``; pure."""
    gen = state.gen + 1
    lists = {number: kept for number, kept in state.lists.items() if number > gen - KEPT} | {gen: name}
    return replace(state, gen=gen, phase="published", lists=lists)


def encode(state: Collection) -> bytes:
    """Return the stored JSON, signed as a refs body is."""
    return encode_signed(state, left_out=("base",))


def decode(data: bytes) -> Collection:
    """Parse the stored object; fields that are not known are kept.

    Raises:
        CollectionLostError: it is none, or its checksum does not match.
        InvalidInputError: it was written by a newer release.
    """
    try:
        state = decode_signed(
            data, Collection, where=GC_STATE, what="a state of collection", version=VERSION, required=_REQUIRED
        )
    except CorruptionError as error:
        raise CollectionLostError(GC_STATE, error.detail) from error
    if sorted(state.lists) != list(range(max(state.base, state.gen - KEPT, 0) + 1, state.gen + 1)):
        raise CollectionLostError(GC_STATE, f"its lists are not those of the {KEPT} generations up to {state.gen}")
    return state


def read(backend: Backend) -> tuple[Collection, Etag | None]:
    """Return the present state and the etag that a swap of it must name; raises as `decode`, and StorageError."""
    found = backend.read(GC_STATE)
    return (Collection(), None) if found is None else (decode(found[0]), found[1])


def swap(backend: Backend, etag: Etag | None, new: Collection) -> Etag:
    """Replace the state that has ``etag`` by ``new`` under a fresh write id; returns once it is durable.

    A lost reply is recognised by the write id. What was taken over by another right after it landed counts as lost:
    the caller is not the owner any more.

    Raises:
        BranchMovedError: another collector was first; nothing changed.
        StorageError: it did not land.
    """
    wid, attempt = uuid.uuid4().hex, 0
    data = encode(replace(new, wid=wid))
    while True:
        try:
            return backend.swap(GC_STATE, etag, data)
        except (BranchMovedError, StorageError) as error:
            found, now = read(backend)
            if found.wid == wid and now is not None:
                return now
            attempt += 1
            if isinstance(error, BranchMovedError | StorageFullError) or attempt == RESENDS:
                raise
            time.sleep(_PAUSE_S)
