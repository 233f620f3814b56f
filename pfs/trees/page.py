"""Tree page format ``PG01``: the sorted rows of a directory, or of a shard index (docs/format/tree.md).

A page is immutable and addressed by the hash of its bytes. Reading is lazy: a look-up touches a few offsets, and
columns are views.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise, repeat

import numpy as np
import numpy.typing as npt

from pfs.errors import CorruptionError
from pfs.ids import NO_PAGE, PageId, TreeId, page_id, tree_id
from pfs.trees.page_check import why_not_rows
from pfs.trees.page_encode import CHANGE, HEADER, MAGIC, NOT_CHANGED, VERSION, Columns, encode, encode_cells
from pfs.trees.page_row import (
    MAX_ELEMENT_BYTES,
    Cell,
    Changed,
    Group,
    Kind,
    cells_tid,
    level_tid,
    newest,
    pack_aux,
    unpack_aux,
)

__all__ = [
    "EMPTY_PAGE",
    "MAX_ELEMENT_BYTES",
    "Cell",
    "Changed",
    "Columns",
    "Group",
    "Kind",
    "Page",
    "cells_tid",
    "encode",
    "encode_cells",
    "level_tid",
    "newest",
    "pack_aux",
    "unpack_aux",
]

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


class Page:
    """A decoded page: immutable, safe to share between threads; decoding costs some 20 us whatever its size."""

    def __init__(self, data: bytes, *, where: str = "tree page") -> None:
        """Check the layout of ``data``; ``where`` names it in errors.

        Raises:
            CorruptionError: the bytes are not a well-formed page.
        """
        self.data = data
        self.where = where
        try:
            self._read()
        except (ValueError, struct.error, IndexError, OverflowError) as error:
            raise CorruptionError(where, f"malformed page ({error})") from None

    def _read(self) -> None:
        data = self.data
        header = HEADER.unpack_from(data)
        magic, self.level, flags, version, count, kind, size, tid, sparse, n_sparse, changed, aux = header
        self._require(magic == MAGIC and version == VERSION and flags == 0, "not a page of a known version")
        self.count: int = count
        self._offsets: U32 = np.frombuffer(data, "<u4", count + 1, HEADER.size)
        self._names_at = HEADER.size + 4 * (count + 1)
        self._require(self._offsets[0] == 0 and bool(np.all(self._offsets[1:] >= self._offsets[:-1])), "name offsets")
        at = self._section(kind, self._names_at + int(self._offsets[-1]), 2 * count)
        self.kinds: U8 = np.frombuffer(data, "u1", count, kind)
        self.depths: U8 = np.frombuffer(data, "u1", count, kind + count)
        at = self._section(size, at, 8 * count)
        self.sizes: U64 = np.frombuffer(data, "<u8", count, size)
        at = self._section(tid, at, 32 * count)
        self._tids_at = tid
        at = self._read_sparse(sparse, at, n_sparse)
        at = self._read_changed(changed, at)
        at = self._read_aux(aux, at)
        self._require(at + (-at & 7) == len(data), "length")
        wrong = why_not_rows(self.level, self.kinds, self.depths, self.sparse)
        self._require(wrong is None, wrong or "")

    def _require(self, good: bool, what: str) -> None:
        if not good:
            raise CorruptionError(self.where, f"malformed page ({what})")

    def _section(self, offset: int, end_of_last: int, length: int) -> int:
        self._require(offset == end_of_last + (-end_of_last & 7), "section offsets")
        self._require(offset + length <= len(self.data), "section ends behind the page")
        return offset + length

    def _read_sparse(self, offset: int, at: int, n_sparse: int) -> int:
        self.sparse: U32 = np.frombuffer(b"", "<u4")
        self.counts: U64 = np.frombuffer(b"", "<u8")
        self._pids_at = 0
        self._require((offset == 0) == (n_sparse == 0), "directory rows")
        if not n_sparse:
            return at
        counts_at = offset + 4 * n_sparse + (4 * n_sparse & 4)
        self._pids_at = counts_at + 8 * n_sparse
        at = self._section(offset, at, self._pids_at + 32 * n_sparse - offset)
        self.sparse = np.frombuffer(self.data, "<u4", n_sparse, offset)
        self.counts = np.frombuffer(self.data, "<u8", n_sparse, counts_at)
        return at

    def _read_changed(self, offset: int, at: int) -> int:
        self._table = b""
        self._changed: npt.NDArray[np.uint16] | None = None
        if not offset:
            return at
        (entries,) = struct.unpack_from("<H", self.data, offset)
        numbers_at = offset + 8 + CHANGE.size * entries
        at = self._section(offset, at, numbers_at + 2 * self.count - offset)
        self._table = self.data[offset + 8 : numbers_at]
        numbers = np.frombuffer(self.data, "<u2", self.count, numbers_at)
        self._require(bool(np.all((numbers < entries) | (numbers == NOT_CHANGED))), "commit numbers")
        self._changed = numbers
        return at

    def _read_aux(self, offset: int, at: int) -> int:
        self._aux: dict[int, bytes] = {}
        if not offset:
            return at
        (entries,) = struct.unpack_from("<I", self.data, offset)
        self._section(offset, at, 8 + 8 * entries)
        rows = struct.unpack_from(f"<{entries}I", self.data, offset + 4)
        ends = struct.unpack_from(f"<{entries + 1}I", self.data, offset + 4 + 4 * entries)
        maps_at = offset + 8 + 8 * entries
        self._require(list(ends) == sorted(ends) and ends[0] == 0, "metadata offsets")
        self._require(list(rows) == sorted(set(rows)) and rows[-1] < self.count, "metadata rows")
        at = self._section(offset, at, maps_at + ends[-1] - offset)
        for number, row in enumerate(rows):
            self._aux[row] = self.data[maps_at + ends[number] : maps_at + ends[number + 1]]
        return at

    @cached_property
    def changes(self) -> tuple[Changed, ...]:
        """The commits in which rows of the page last changed."""
        return tuple(Changed(*fields) for fields in CHANGE.iter_unpack(self._table))

    @cached_property
    def pid(self) -> PageId:
        """The address of the page: the hash of its bytes."""
        return page_id(self.data)

    @cached_property
    def _ends(self) -> memoryview:
        """The offsets of names, for single ones: it gives plain integers, five times as fast as the array."""
        return self._offsets.astype("=u4", copy=False).data

    @cached_property
    def names(self) -> list[bytes]:
        """All names, in order."""
        data, start = self.data, self._names_at
        ends = (self._offsets + np.uint32(start)).tolist()
        return [data[a:b] for a, b in pairwise(ends)]

    def _some_names(self, start: int, stop: int) -> list[bytes]:
        """Return some names without keeping them: they are as large as the page itself, and it may be kept for long."""
        if "names" in self.__dict__:
            return self.names[start:stop]
        data = self.data
        ends = (self._offsets[start : stop + 1] + np.uint32(self._names_at)).tolist()
        return [data[a:b] for a, b in pairwise(ends)]

    @property
    def names_section(self) -> bytes:
        """The offsets and bytes of all names, as they are stored."""
        return self.data[HEADER.size : self._names_at + int(self._offsets[-1])]

    def top_names(self) -> tuple[bytes, bytes]:
        """Return lengths (u16 each) and bytes of the names of the depth-0 rows, as the logical id takes them."""
        lengths = np.diff(self._offsets).astype("<u2")
        if not self.depths.any():
            return lengths.tobytes(), self.data[self._names_at : self._names_at + int(self._offsets[-1])]
        top = np.flatnonzero(self.depths == 0)
        return lengths[top].tobytes(), b"".join([self.name(row) for row in top.tolist()])

    @property
    def last_name(self) -> bytes:
        """The name of the last direct child; the page is not empty."""
        row = self.count - 1
        return self.name(row if not self.depths[row] else int(np.flatnonzero(self.depths == 0)[-1]))

    @cached_property
    def logical_id(self) -> TreeId:
        """The `tid` of the page: of its depth-0 rows, without times, metadata and addresses."""
        top = self.depths == 0
        columns = (column[top].tobytes() for column in (self.kinds, self.sizes, self.tids))
        return tree_id(b"".join((*self.top_names(), bytes((self.level,)), *columns)))

    @cached_property
    def tids(self) -> npt.NDArray[np.uint64]:
        """The logical ids, four words a row, for comparing columns."""
        return np.frombuffer(self.data, "<u8", 4 * self.count, self._tids_at).reshape(-1, 4)

    @cached_property
    def _sparse_numbers(self) -> memoryview:
        """For each row its place among the directory and index rows, -1 for a file; 4 bytes each, as pages are kept."""
        numbers = np.full(self.count, -1, np.int32)
        numbers[self.sparse] = np.arange(len(self.sparse), dtype=np.int32)
        return numbers.data

    def tid(self, row: int) -> TreeId:
        """Return the logical id of a row."""
        at = self._tids_at + 32 * row
        return TreeId(self.data[at : at + 32])

    def pid_of(self, row: int) -> PageId:
        """Return the child page of a row; NO_PAGE for files and inlined directories."""
        number = self._sparse_numbers[row] if len(self.sparse) else -1
        if number < 0:
            return NO_PAGE
        at = self._pids_at + 32 * number
        return PageId(self.data[at : at + 32])

    def sparse_number(self, row: int) -> int:
        """Return the place of a directory or index row among those of the page."""
        return int(self._sparse_numbers[row])

    @property
    def pids(self) -> bytes:
        """The child pages of the directory and index rows, 32 bytes each."""
        return self.data[self._pids_at : self._pids_at + 32 * len(self.sparse)]

    @property
    def change_numbers(self) -> npt.NDArray[np.uint16]:
        """For each row its number in ``changes``, NOT_CHANGED where there is none."""
        if self._changed is None:
            return np.full(self.count, NOT_CHANGED, "<u2")
        return self._changed

    @property
    def child_pids(self) -> npt.NDArray[np.void]:
        """The pages below, 32 bytes each, in order; inlined directories have none."""
        pids = np.frombuffer(self.pids, "V32")
        return pids[pids.view("u1").reshape(-1, 32).any(axis=1)]

    def count_of(self, row: int) -> int:
        """Return the recursive file count of a row; 1 for a file."""
        number = self._sparse_numbers[row] if len(self.sparse) else -1
        return 1 if number < 0 else int(self.counts[number])

    def changed(self, row: int) -> Changed | None:
        """Return the commit in which the row last changed."""
        if self._changed is None:
            return None
        number = int(self._changed[row])
        return None if number == NOT_CHANGED else self.changes[number]

    def aux(self, row: int) -> bytes | None:
        """Return the packed metadata of a row."""
        return self._aux.get(row)

    @property
    def aux_rows(self) -> set[int]:
        """The rows with metadata."""
        return set(self._aux)

    def same_names(self, other: Page) -> bool:
        """Say whether both pages have the same names at the same depths."""
        if self.count != other.count or not np.array_equal(self._offsets, other._offsets):
            return False
        end = self._names_at + int(self._offsets[-1])
        same = self.data[self._names_at : end] == other.data[self._names_at : end]
        return same and np.array_equal(self.depths, other.depths)

    def find(self, name: bytes) -> int:
        """Return the first row whose name is not below ``name``, else ``count``: binary search."""
        data, start, offsets = self.data, self._names_at, self._ends
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if data[start + offsets[middle] : start + offsets[middle + 1]] < name:
                low = middle + 1
            else:
                high = middle
        return low

    def find_after(self, name: bytes) -> int:
        """Return the first row whose name is above ``name``, else ``count``."""
        return self.behind(self.find(name), name)

    def behind(self, row: int, name: bytes) -> int:
        """Return the first row from ``row`` on whose name is not ``name``."""
        while row < self.count and self.name(row) == name:
            row += 1
        return row

    def name(self, row: int) -> bytes:
        """Return one name without making the list of all."""
        start, offsets = self._names_at, self._ends
        return self.data[start + offsets[row] : start + offsets[row + 1]]

    def group_end(self, row: int) -> int:
        """Return the row behind ``row`` and the inlined rows below it."""
        depth = self.depths[row]
        end = row + 1
        while end < self.count and self.depths[end] > depth:
            end += 1
        return end

    def cell(self, row: int) -> Cell:
        """Return one row."""
        number = self._sparse_numbers[row] if len(self.sparse) else -1
        count, pid = (1, NO_PAGE) if number < 0 else (int(self.counts[number]), self.pid_of(row))
        kind, depth, size = int(self.kinds[row]), int(self.depths[row]), int(self.sizes[row])
        return Cell(self.name(row), kind, depth, size, self.tid(row), count, pid, self.changed(row), self.aux(row))

    def cells(self, start: int = 0, stop: int | None = None) -> list[Cell]:
        """Return some or all rows; about 0.4 us each."""
        stop = self.count if stop is None else min(stop, self.count)
        at, end = self._tids_at + 32 * start, self._tids_at + 32 * stop
        tids = [self.data[place : place + 32] for place in range(at, end, 32)]
        names = self._some_names(start, stop)
        first, end = np.searchsorted(self.sparse, (start, stop)).tolist() if len(self.sparse) else (0, 0)
        folders = [(row - start, number) for number, row in enumerate(self.sparse[first:end].tolist(), first)]
        aux = list(map(self._aux.get, range(start, stop))) if self._aux else None
        return self._cells(slice(start, stop), names, tids, folders, aux)

    def cells_at(self, rows: npt.NDArray[np.int64]) -> list[Cell]:
        """Return rows that lie apart, ascending; about 0.6 us each."""
        data, numbers = self.data, rows.tolist()
        starts, stops = (self._offsets[rows + one].astype(np.int64) + self._names_at for one in (0, 1))
        names = [data[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        tids = [data[place : place + 32] for place in (self._tids_at + 32 * rows).tolist()]
        folders = []
        if len(self.sparse):
            places = np.asarray(self._sparse_numbers)[rows]
            folders = [(int(row), int(places[row])) for row in np.flatnonzero(places >= 0)]
        aux = [self._aux.get(row) for row in numbers] if self._aux else None
        return self._cells(rows, names, tids, folders, aux)

    def _cells(
        self,
        rows: slice | npt.NDArray[np.int64],
        names: list[bytes],
        tids: list[bytes],
        folders: list[tuple[int, int]],
        aux: list[bytes | None] | None,
    ) -> list[Cell]:
        kinds, depths, sizes = (column[rows].tolist() for column in (self.kinds, self.depths, self.sizes))
        counts, pids = [1] * len(names), [NO_PAGE] * len(names)
        for row, number in folders:
            counts[row] = int(self.counts[number])
            pids[row] = PageId(self.data[self._pids_at + 32 * number : self._pids_at + 32 * number + 32])
        changes = self._changes_of(rows)
        columns = zip(names, kinds, depths, sizes, tids, counts, pids, changes, aux or repeat(None), strict=False)
        return list(map(Cell._make, columns))

    def _changes_of(self, rows: slice | npt.NDArray[np.int64]) -> Iterable[Changed | None]:
        if self._changed is None:
            return repeat(None)
        if len(self.changes) == 1 and not self._changed.any():
            return repeat(self.changes[0])
        table: dict[int, Changed | None] = dict(enumerate(self.changes))
        table[NOT_CHANGED] = None
        return map(table.__getitem__, self._changed[rows].tolist())

    @property
    def top_rows(self) -> npt.NDArray[np.int64] | None:
        """The rows at depth 0, None where all are."""
        return np.flatnonzero(self.depths == 0) if self.depths.any() else None

    @property
    def size(self) -> int:
        """Bytes of all files below."""
        return int(self.sizes[self.depths == 0].sum(dtype=np.uint64))

    @property
    def file_count(self) -> int:
        """Number of all files below."""
        top = self.depths[self.sparse] == 0
        files = np.count_nonzero(self.depths == 0) - np.count_nonzero(top)
        return int(files) + int(self.counts[top].sum(dtype=np.uint64))


EMPTY_PAGE = Page(encode_cells(0, []), where="the empty page")
