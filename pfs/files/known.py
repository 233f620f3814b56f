"""Content that is named by id: whether the store has it, what kind of file it makes, and how many bytes it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from pfs.arrays import I64, U8, U64
from pfs.backends.base import Reads
from pfs.errors import InvalidInputError, MissingObjectError, NotFoundError
from pfs.ids import EMPTY_CHUNK, ChunkId, TreeId
from pfs.lru import Lru
from pfs.packs.index import IN_BLOCK, Index
from pfs.packs.index_columns import NOWHERE
from pfs.packs.pack import RecordType, pack_name, read_footer
from pfs.packs.session import WriteSession
from pfs.trees.page import Kind

_FOOTER_BYTES: Final = 128 << 20
_BATCH: Final = 4096
_CHUNKS: Final = (RecordType.CHUNK, IN_BLOCK)


class KnownContent:
    """Looks up content for one writer, which from then on relies on it; one thread.

    Costs 1-2 us for each different id, and reading the footers of the packs that they lie in; up to 128 MiB of sizes
    are kept. A file of several chunks costs reading its manifest and looking up its chunks.
    """

    def __init__(self, backend: Reads, index: Index, session: WriteSession, *, external: bool) -> None:
        """Content that the session put so far is known too.

        ``external``: what the store does not have becomes rows of kind EXTERNAL, with the size as given.
        """
        self._backend, self._index, self._session = backend, index, session
        self._external = external
        self._new = session.unsealed()
        self._sizes: Lru[int, tuple[U64, U8, I64]] = Lru(_FOOTER_BYTES)

    def kinds(self, ids: U8, sizes: U64, path_of: Callable[[int], str]) -> U8:
        """Return the kind of each file: FILE, CHUNKED or EXTERNAL.

        Raises:
            NotFoundError: the store does not have one of the ids; ``path_of`` gives the path of a row.
            InvalidInputError: a size is not that of the content.
        """
        rows, which = _distinct(ids)
        some = ids[rows]
        kinds, real = np.full(len(rows), Kind.FILE, np.uint8), np.zeros(len(rows), np.int64)
        places = self._session.places(some)
        is_chunk = (places.pack_no != NOWHERE) & np.isin(places.type, _CHUNKS)
        self._add_sizes(some, np.where(is_chunk, places.pack_no, NOWHERE), real)
        others = np.flatnonzero(~is_chunk)
        others = others[self._may_be_here(some[others], places.type[others])]
        kinds[~is_chunk] = Kind.EXTERNAL
        for number in others.tolist():
            kinds[number], real[number] = self._other(some[number].tobytes(), int(places.type[number]))
        kinds[real < 0] = Kind.EXTERNAL
        self._refuse(kinds[which], real[which], sizes, lambda row: (path_of(row), ids[row].tobytes().hex()))
        return kinds[which]

    def _may_be_here(self, ids: U8, types: U8) -> npt.NDArray[np.bool_]:
        """Say of what is no chunk in a pack whether it is a manifest, was put by the session, or is empty."""
        new = np.zeros(len(ids), np.bool_)
        if self._new:
            raw = ids.tobytes()
            new[:] = [raw[at : at + 32] in self._new for at in range(0, len(raw), 32)]
        empty = (ids == np.frombuffer(EMPTY_CHUNK, np.uint8)).all(axis=1)
        return np.asarray((types == RecordType.MANIFEST) | new | empty)

    def _refuse(self, kinds: U8, real: I64, sizes: U64, what: Callable[[int], tuple[str, str]]) -> None:
        missing = np.flatnonzero(kinds == Kind.EXTERNAL)
        if len(missing) and not self._external:
            path, id = what(int(missing[0]))
            raise NotFoundError(f"{path}: the store does not have its content {id}")
        wrong = np.flatnonzero((real.astype(np.uint64) != sizes) & (kinds != Kind.EXTERNAL))
        if len(wrong):
            row = int(wrong[0])
            path, id = what(row)
            raise InvalidInputError(f"{path}: it is given as {sizes[row]} bytes, but its content {id} has {real[row]}")

    def _other(self, id: bytes, type: int) -> tuple[Kind, int]:
        """Return kind and size of what is here, but no chunk in a pack."""
        if id == EMPTY_CHUNK:
            return Kind.FILE, 0
        try:
            return Kind.CHUNKED, self._manifest_size(TreeId(id))
        except MissingObjectError:
            if type == RecordType.MANIFEST:
                raise
            return Kind.FILE, len(self._session.chunk(ChunkId(id), 0))

    def _manifest_size(self, tid: TreeId) -> int:
        manifest = self._session.manifest(tid)
        chunks = [chunk.id for chunk in manifest.chunks()]
        for start in range(0, len(chunks), _BATCH):
            some = chunks[start : start + _BATCH]
            missing = [id for id, there in zip(some, self._session.holds(some), strict=True) if not there]
            if missing:
                raise NotFoundError(f"the store does not have chunk {missing[0].hex()} of content {tid.hex()}")
        return manifest.size

    def _add_sizes(self, ids: U8, packs: I64, real: I64) -> None:
        """Set the plain sizes of chunks, a pack after the other."""
        order = np.argsort(packs, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(packs[order])) + 1):
            if len(some) and packs[some[0]] != NOWHERE:
                real[some] = self._sizes_in(int(packs[some[0]]), ids[some])

    def _sizes_in(self, pack_no: int, ids: U8) -> I64:
        firsts, there, sizes = self._pack_sizes(pack_no)
        at = np.minimum(np.searchsorted(firsts, _firsts(ids)), len(firsts) - 1)
        found = np.where((there[at] == ids).all(axis=1), sizes[at], -1)
        for row in np.flatnonzero(found < 0).tolist():  # several begin with the same eight bytes, or the index is wrong
            same = np.flatnonzero((there == ids[row]).all(axis=1))
            found[row] = sizes[same[0]] if len(same) else -1
        return found

    def _pack_sizes(self, pack_no: int) -> tuple[U64, U8, I64]:
        known = self._sizes.get(pack_no)
        if known is None:
            entries = read_footer(self._backend, pack_name(*self._index.pack(pack_no))).entries
            ids = np.ascontiguousarray(entries["id"]).view(np.uint8).reshape(-1, 32)
            known = _firsts(ids), ids, entries["ulen"].astype(np.int64)
            self._sizes.put(pack_no, known, weight=48 * len(entries))
        return known


def _firsts(ids: U8) -> U64:
    return np.ascontiguousarray(ids[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _distinct(ids: U8) -> tuple[I64, I64]:
    """Return a row of each different id, and of each row the number of its id among these."""
    _, rows, which = np.unique(_firsts(ids), return_index=True, return_inverse=True)
    if not (ids[rows[which]] == ids).all():
        _, rows, which = np.unique(np.ascontiguousarray(ids).view("V32")[:, 0], return_index=True, return_inverse=True)
    return rows.astype(np.int64), which.reshape(-1).astype(np.int64)
