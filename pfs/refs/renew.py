"""A state of collection in place of one that was lost, is damaged, lacks a list, or is older than refs: a copy, say.

Which packs the lost lists named is not known, and need not be: the new generation is above all that anybody can have
seen, and no list before it is kept. So a writer that began before it stores again what it relied on, or begins again;
an index that has seen less takes what a listing does not show for gone. What the lost lists named, and was not deleted
yet, counts as any other pack until the next collection.
"""

from __future__ import annotations

from typing import Final

from pfs.backends.base import Backend
from pfs.errors import CollectionLostError, CorruptionError, InvalidInputError
from pfs.packs.condemned import PREFIX as LISTS
from pfs.packs.condemned import list_gen, load
from pfs.refs import collection
from pfs.refs.collection import GC_STATE, Collection
from pfs.refs.swap import Refs

_ABOVE: Final = 2
"""A generation may have been published of which nothing is left, no more than one: refs have seen those before."""


def lost_detail(backend: Backend, refs: Refs) -> str | None:
    """Say what is wrong with the state of collection: damaged, behind refs, a list that cannot be read; None: nothing.

    Refs are read first, so that a collection at this moment is no fault; those that are damaged are passed over.

    Raises:
        InvalidInputError: a newer release wrote it. StorageError: it cannot be read.
    """
    seen = _seen_by_refs(refs)
    try:
        state, etag = collection.read(backend)
    except CorruptionError as error:
        return error.detail
    if state.gen >= seen:
        return _bad_list(backend, state)
    return f"it is {'missing' if etag is None else f'at collection {state.gen}'}, and refs have seen collection {seen}"


def _bad_list(backend: Backend, state: Collection) -> str | None:
    """Say which list cannot be read; one that went out of those that are kept meanwhile is no fault."""
    for name in state.lists.values():
        try:
            load(backend, name)
        except CorruptionError as error:
            if collection.read(backend)[0].gen == state.gen:
                return f"its list {name} cannot be read ({error.detail})"
    return None


def renew(backend: Backend, refs: Refs, *, index_gen: int = 0) -> bool:
    """Write a new state where that is needed (`lost_detail`); say whether it was. Call it as the only collector.

    ``index_gen``: what an index has seen that is kept.

    Raises:
        BranchMovedError: another collector was first. InvalidInputError, StorageError: as `lost_detail`.
    """
    if lost_detail(backend, refs) is None:
        return False
    listed = [list_gen(entry.name) or 0 for entry in backend.entries(LISTS)]
    gen = max(index_gen, _seen_by_refs(refs), *listed, _readable_gen(backend)) + _ABOVE
    found = backend.read(GC_STATE)
    collection.swap(backend, None if found is None else found[1], Collection(gen=gen, base=gen))
    return True


def _readable_gen(backend: Backend) -> int:
    try:
        return collection.read(backend)[0].gen
    except CollectionLostError:
        return 0


def _seen_by_refs(refs: Refs) -> int:
    """Return the last generation that any refs object has seen, tombstones too."""
    seen = 0
    for repo in list(refs.names()):
        try:
            state = refs.raw(repo)
        except (CorruptionError, InvalidInputError):
            continue
        seen = max(seen, 0 if state is None else state.body.gc_gen)
    return seen
