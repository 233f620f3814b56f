"""Tree page format ``PG01``: the sorted rows of a directory, or of a shard index (docs/format/tree.md).

A page is immutable and addressed by the hash of its bytes. Reading is lazy: a look-up touches a few offsets.
Single rows and whole pages are read without NumPy, which takes longer to load than a small command takes altogether;
columns are arrays for those who work on very many rows (`pfs.arrays`).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise, repeat
from operator import itemgetter, sub

from pfs.arrays import U8, U16, U32, U64, Voids, np
from pfs.ids import NO_PAGE, PageId, TreeId, page_id, tree_id
from pfs.trees.page_encode import CHANGE, HEADER, NOT_CHANGED, Columns, encode, encode_cells
from pfs.trees.page_layout import Layout, integers
from pfs.trees.page_row import (
    MAX_ELEMENT_BYTES,
    Bytes,
    Cell,
    Changed,
    Fields,
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
    "Fields",
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


_FOLDERS = frozenset(map(int, (Kind.DIR, Kind.SHARD)))


class Page(Layout):
    """A decoded page: immutable, safe to share between threads."""

    @cached_property
    def changes(self) -> tuple[Changed, ...]:
        """The commits in which rows of the page last changed."""
        return tuple(Changed(*fields) for fields in CHANGE.iter_unpack(self._table))

    @cached_property
    def pid(self) -> PageId:
        """The address of the page: the hash of its bytes."""
        return page_id(self.data)

    @cached_property
    def names(self) -> list[bytes]:
        """All names, in order."""
        ends = self._ends.tolist()
        text = self.data[self._names_at : self._names_at + ends[-1]]
        return [text[a:b] for a, b in pairwise(ends)]

    def _some_names(self, start: int, stop: int) -> list[bytes]:
        """Return some names without keeping them: they are as large as the page itself, and it may be kept for long."""
        if "names" in self.__dict__:
            return self.names[start:stop]
        data, at = self.data, self._names_at
        return [data[at + a : at + b] for a, b in pairwise(self._ends[start : stop + 1].tolist())]

    @property
    def names_section(self) -> bytes:
        """The offsets and bytes of all names, as they are stored."""
        return self.data[HEADER.size : self._names_at + self._ends[-1]]

    def top_names(self) -> tuple[bytes, bytes]:
        """Return lengths (u16 each) and bytes of the names of the depth-0 rows, as the logical id takes them."""
        ends, tops = self._ends.tolist(), self.top_rows
        if tops is None:
            lengths, names = list(map(sub, ends[1:], ends)), self.data[self._names_at : self._names_at + ends[-1]]
        else:
            lengths, names = [ends[row + 1] - ends[row] for row in tops], b"".join([self.name(row) for row in tops])
        return struct.pack(f"<{len(lengths)}H", *lengths), names

    @property
    def last_name(self) -> bytes:
        """The name of the last direct child; the page is not empty."""
        return self.name(self._depths.rindex(0))

    @cached_property
    def logical_id(self) -> TreeId:
        """The `tid` of the page: of its depth-0 rows, without times, metadata and addresses."""
        return self.top_tid(*self.columns)

    def top_tid(self, kinds: Bytes, sizes: Bytes, tids: Bytes) -> TreeId:
        """Return the logical id of the depth-0 rows with these columns instead of their own."""
        return tree_id(b"".join((*self.top_names(), bytes((self.level,)), *self._of_tops(kinds, sizes, tids))))

    def _of_tops(self, kinds: Bytes, sizes: Bytes, tids: Bytes) -> tuple[Bytes, Bytes, Bytes]:
        tops = self.top_rows
        if tops is None:
            return kinds, sizes, tids
        return (
            bytes([kinds[row] for row in tops]),
            b"".join([sizes[8 * row : 8 * row + 8] for row in tops]),
            b"".join([tids[32 * row : 32 * row + 32] for row in tops]),
        )

    @property
    def columns(self) -> tuple[bytes, bytes, bytes]:
        """The kinds, sizes and tids of all rows, as they are stored."""
        sizes = self.data[self._sizes_at : self._sizes_at + 8 * self.count]
        return self._kinds, sizes, self.data[self._tids_at : self._tids_at + 32 * self.count]

    @property
    def depths_section(self) -> bytes:
        """The depths of all rows, a byte each."""
        return self._depths

    @property
    def kinds(self) -> U8:
        """The kinds of all rows, for comparing columns; `kind` is for one."""
        return np.frombuffer(self._kinds, np.uint8)

    @property
    def depths(self) -> U8:
        """The depths of all rows, for comparing columns; `depth` is for one."""
        return np.frombuffer(self._depths, np.uint8)

    @property
    def sizes(self) -> U64:
        """The sizes of all rows in bytes."""
        return np.frombuffer(self.data, "<u8", self.count, self._sizes_at)

    @property
    def tids(self) -> U64:
        """The logical ids, four words a row, for comparing columns."""
        return np.frombuffer(self.data, "<u8", 4 * self.count, self._tids_at).reshape(-1, 4)

    @property
    def sparse(self) -> U32:
        """The numbers of the directory and index rows."""
        return np.asarray(self._sparse, np.uint32)

    @property
    def child_pids(self) -> Voids:
        """The pages below, 32 bytes each, in order; inlined directories have none."""
        pids = np.frombuffer(self.pids, "V32")
        return pids[pids.view("u1").reshape(-1, 32).any(axis=1)]

    @property
    def change_numbers(self) -> U16:
        """For each row its number in ``changes``, NOT_CHANGED where there is none."""
        if self._changed is None:
            return np.full(self.count, NOT_CHANGED, np.uint16)
        return np.asarray(self._changed, np.uint16)

    @property
    def change_list(self) -> list[int]:
        """The same, as plain numbers."""
        return [NOT_CHANGED] * self.count if self._changed is None else self._changed.tolist()

    @property
    def sparse_section(self) -> tuple[bytes, bytes, bytes]:
        """The numbers of the directory and index rows, their file counts, and their child pages, as they are stored."""
        at, number = self._pids_at, len(self._sparse)
        start = at - 8 * number - 4 * number - (4 * number & 4)
        return self.data[start : start + 4 * number], self.data[at - 8 * number : at], self.pids

    def kind(self, row: int) -> int:
        """Return the kind of a row."""
        return self._kinds[row]

    def depth(self, row: int) -> int:
        """Return the depth of a row."""
        return self._depths[row]

    def tid(self, row: int) -> TreeId:
        """Return the logical id of a row."""
        at = self._tids_at + 32 * row
        return TreeId(self.data[at : at + 32])

    def sparse_number(self, row: int) -> int:
        """Return the place of a directory or index row among those of the page; -1 for a file. A binary search."""
        number = bisect_left(self._sparse, row)
        return number if number < len(self._sparse) and self._sparse[number] == row else -1

    def pid_of(self, row: int) -> PageId:
        """Return the child page of a row; NO_PAGE for files and inlined directories."""
        return self._pid_at(self.sparse_number(row))

    def _pid_at(self, number: int) -> PageId:
        at = self._pids_at + 32 * number
        return NO_PAGE if number < 0 else PageId(self.data[at : at + 32])

    @property
    def pids(self) -> bytes:
        """The child pages of the directory and index rows, 32 bytes each."""
        return self.data[self._pids_at : self._pids_at + 32 * len(self._sparse)]

    def count_of(self, row: int) -> int:
        """Return the recursive file count of a row; 1 for a file."""
        number = self.sparse_number(row)
        return 1 if number < 0 else self._counts[number]

    def changed(self, row: int) -> Changed | None:
        """Return the commit in which the row last changed."""
        if self._changed is None:
            return None
        number = self._changed[row]
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
        return self.names_section == other.names_section and self._depths == other._depths

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
        depths, end = self._depths, row + 1
        while end < self.count and depths[end] > depths[row]:
            end += 1
        return end

    def cell(self, row: int) -> Cell:
        """Return one row."""
        number = self.sparse_number(row)
        count, pid = (1, NO_PAGE) if number < 0 else (self._counts[number], self._pid_at(number))
        kind, depth, size = self._kinds[row], self._depths[row], self._sizes[row]
        return Cell(self.name(row), kind, depth, size, self.tid(row), count, pid, self.changed(row), self.aux(row))

    def cells(self, start: int = 0, stop: int | None = None) -> list[Cell]:
        """Return some or all rows; about 0.4 us each."""
        return list(map(Cell._make, self.fields(start, stop)))

    def fields(self, start: int = 0, stop: int | None = None) -> Iterator[Fields]:
        """Yield what the cells of some or all rows are made of."""
        stop = self.count if stop is None else min(stop, self.count)
        at, end = self._tids_at + 32 * start, self._tids_at + 32 * stop
        tids = [self.data[place : place + 32] for place in range(at, end, 32)]
        kinds, depths, sizes = self._kinds[start:stop], self._depths[start:stop], self._sizes[start:stop].tolist()
        counts, pids = [1] * len(tids), [NO_PAGE] * len(tids)
        for number in range(bisect_left(self._sparse, start), bisect_left(self._sparse, stop)):
            row = self._sparse[number] - start
            counts[row], pids[row] = self._counts[number], self._pid_at(number)
        changes = self._changes_of(start, stop)
        aux = map(self._aux.get, range(start, stop)) if self._aux else repeat(None)
        return zip(self._some_names(start, stop), kinds, depths, sizes, tids, counts, pids, changes, aux, strict=False)

    def fields_at(self, rows: Sequence[int]) -> Iterator[Fields]:
        """Yield what the cells of rows that lie apart are made of; about 0.5 us each."""
        if len(rows) < 2:
            return self.fields(rows[0], rows[0] + 1) if rows else iter(())
        data, at = self.data, self._tids_at
        pick, follow = itemgetter(*rows), itemgetter(*[row + 1 for row in rows])
        kinds, starts, stops = pick(self._kinds), pick(self._ends), follow(self._ends)
        start = self._names_at
        names = [data[start + one : start + two] for one, two in zip(starts, stops, strict=True)]
        tids = [data[at + 32 * row : at + 32 * row + 32] for row in rows]
        counts, pids = [1] * len(rows), [NO_PAGE] * len(rows)
        for place in [place for place, kind in enumerate(kinds) if kind in _FOLDERS] if self._sparse else ():
            number = self.sparse_number(rows[place])
            counts[place], pids[place] = self._counts[number], self._pid_at(number)
        changes = map(self.changed, rows) if self._changed is not None else repeat(None)
        aux = map(self._aux.get, rows) if self._aux else repeat(None)
        columns = names, kinds, pick(self._depths), pick(self._sizes), tids, counts, pids, changes, aux
        return zip(*columns, strict=False)

    def _changes_of(self, start: int, stop: int) -> Iterable[Changed | None]:
        if self._changed is None:
            return repeat(None)
        if len(self.changes) == 1 and NOT_CHANGED not in self._named:
            return repeat(self.changes[0])
        table: dict[int, Changed | None] = dict(enumerate(self.changes))
        table[NOT_CHANGED] = None
        return map(table.__getitem__, self._changed[start:stop].tolist())

    @cached_property
    def top_rows(self) -> array[int] | None:
        """The rows at depth 0, None where all are."""
        if self._depths.count(0) == self.count:
            return None
        return array("I", [row for row, depth in enumerate(self._depths) if not depth])

    @property
    def size(self) -> int:
        """Bytes of all files below."""
        return self.totals(self._sizes, self._counts)[0]

    @property
    def file_count(self) -> int:
        """Number of all files below."""
        return self.totals(self._sizes, self._counts)[1]

    def totals(self, sizes: Bytes | memoryview, counts: Bytes | memoryview) -> tuple[int, int]:
        """Return bytes and number of all files below, with these columns instead of the page's own."""
        numbers, rows, depths = integers(sizes, "Q", self.count, 0), self._sparse.tolist(), self._depths
        files = integers(counts, "Q", len(rows), 0).tolist()
        if self.top_rows is None:
            return sum(numbers.tolist()), self.count - len(rows) + sum(files)
        below = sum([count - 1 for row, count in zip(rows, files, strict=True) if not depths[row]])
        return sum([numbers[row] for row in self.top_rows]), len(self.top_rows) + below


EMPTY_PAGE = Page(encode_cells(0, []), where="the empty page")
