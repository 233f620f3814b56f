"""The layout of a tree page (docs/format/tree.md): its header and where its sections lie, checked as it is decoded."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Literal

from pfs.errors import CorruptionError
from pfs.trees.page_check import why_not_rows
from pfs.trees.page_encode import CHANGE, HEADER, MAGIC, NOT_CHANGED, VERSION
from pfs.trees.page_row import Bytes

_NONE = memoryview(b"")


def integers(data: Bytes | memoryview, code: Literal["H", "I", "Q"], count: int, at: int) -> memoryview:
    """Return little-endian numbers that begin at a place of ``data``; they must be there."""
    part = memoryview(data).cast("B")[at : at + count * struct.calcsize("<" + code)]
    if sys.byteorder == "little":
        return part.cast(code)
    numbers = array(code, part.tobytes())
    numbers.byteswap()
    return memoryview(numbers)


class Layout:
    """The places of the sections of a page; decoding costs some 10 us, and 50 ns a row."""

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
        self._names_at = HEADER.size + 4 * (count + 1)
        self._require(self._names_at <= len(data), "name offsets")
        self._ends = integers(data, "I", count + 1, HEADER.size)
        ends = self._ends.tolist()
        self._require(ends[0] == 0 and ends == sorted(ends), "name offsets")
        at = self._section(kind, self._names_at + ends[-1], 2 * count)
        self._kinds, self._depths = data[kind : kind + count], data[kind + count : kind + 2 * count]
        at = self._section(size, at, 8 * count)
        self._sizes_at, self._sizes = size, integers(data, "Q", count, size)
        at = self._section(tid, at, 32 * count)
        self._tids_at = tid
        at = self._read_sparse(sparse, at, n_sparse)
        at = self._read_changed(changed, at)
        at = self._read_aux(aux, at)
        self._require(at + (-at & 7) == len(data), "length")
        wrong = why_not_rows(self.level, self._kinds, self._depths, self._sparse.tolist())
        self._require(wrong is None, wrong or "")

    def _require(self, good: bool, what: str) -> None:
        if not good:
            raise CorruptionError(self.where, f"malformed page ({what})")

    def _section(self, offset: int, end_of_last: int, length: int) -> int:
        self._require(offset == end_of_last + (-end_of_last & 7), "section offsets")
        self._require(offset + length <= len(self.data), "section ends behind the page")
        return offset + length

    def _read_sparse(self, offset: int, at: int, n_sparse: int) -> int:
        self._sparse = self._counts = _NONE
        self._pids_at = 0
        self._require((offset == 0) == (n_sparse == 0), "directory rows")
        if not n_sparse:
            return at
        counts_at = offset + 4 * n_sparse + (4 * n_sparse & 4)
        self._pids_at = counts_at + 8 * n_sparse
        at = self._section(offset, at, self._pids_at + 32 * n_sparse - offset)
        self._sparse = integers(self.data, "I", n_sparse, offset)
        self._counts = integers(self.data, "Q", n_sparse, counts_at)
        return at

    def _read_changed(self, offset: int, at: int) -> int:
        self._table = b""
        self._changed: memoryview | None = None
        if not offset:
            return at
        (entries,) = struct.unpack_from("<H", self.data, offset)
        numbers_at = offset + 8 + CHANGE.size * entries
        at = self._section(offset, at, numbers_at + 2 * self.count - offset)
        self._table = self.data[offset + 8 : numbers_at]
        self._changed = integers(self.data, "H", self.count, numbers_at)
        self._named = frozenset(self._changed.tolist())
        self._require(max(self._named - {NOT_CHANGED}, default=-1) < entries, "commit numbers")
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
