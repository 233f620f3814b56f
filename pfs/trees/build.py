"""Directories built front to back in bounded memory: what is open is one page of each level of each open directory.

Rows come as columns and stay columns until their page is sealed; the cut rule is that of every other way to make
a tree, so the result is the same.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from pfs.ids import PageId, TreeId
from pfs.trees.cutrule import cuts, cuts_of_columns
from pfs.trees.page import Cell, Changed, Columns, Group, Kind, Page, encode, level_tid
from pfs.trees.seal import Folder, Sealer, marker, page_folder

_ONE_DEEPER = bytes((depth + 1) % 256 for depth in range(256))


class FileRun(NamedTuple):
    """Files of one directory, in order, as columns of equal length."""

    names: Sequence[bytes]
    kinds: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.uint64]
    tids: npt.NDArray[np.uint8]
    """32 columns."""
    aux: Sequence[bytes | None] | None

    def part(self, start: int, stop: int) -> FileRun:
        """Return some of the rows."""
        aux = None if self.aux is None else self.aux[start:stop]
        cut = slice(start, stop)
        return FileRun(self.names[cut], self.kinds[cut], self.sizes[cut], self.tids[cut], aux)


class _Leaf:
    """The rows of the page that is open, as columns."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.kinds, self.depths, self.sizes, self.tids = bytearray(), bytearray(), bytearray(), bytearray()
        self.sparse: list[int] = []
        self.counts, self.pids = bytearray(), bytearray()
        self.aux: list[tuple[int, bytes]] = []
        self.last = b""

    def add_files(self, run: FileRun) -> None:
        start = len(self.names)
        self.names += run.names
        self.kinds += run.kinds.tobytes()
        self.depths += bytes(len(run.names))
        self.sizes += run.sizes.astype("<u8", copy=False).tobytes()
        self.tids += run.tids.tobytes()
        if run.aux is not None:
            self.aux += [(start + row, packed) for row, packed in enumerate(run.aux) if packed is not None]
        self.last = run.names[-1]

    def add_group(self, group: Group) -> None:
        for row, cell in enumerate(group, len(self.names)):
            self.names.append(cell.name)
            self.kinds.append(cell.kind)
            self.depths.append(cell.depth)
            self.sizes += cell.size.to_bytes(8, "little")
            self.tids += cell.tid
            if cell.kind == Kind.DIR:
                self.sparse.append(row)
                self.counts += cell.files.to_bytes(8, "little")
                self.pids += cell.pid
            if cell.aux is not None:
                self.aux.append((row, cell.aux))
        self.last = group[0].name

    def add_folder(self, name: bytes, below: _Leaf) -> None:
        """Add a directory with its rows inlined; as columns, since there may be one for every few files."""
        tid, size, files = below.summary()
        self.add_group([Cell(name, Kind.DIR, 0, size, tid, files)])
        start = len(self.names)
        self.names += [name + inner for inner in below.names]
        self.kinds += below.kinds
        self.depths += below.depths.translate(_ONE_DEEPER)
        self.sizes += below.sizes
        self.tids += below.tids
        self.sparse += [start + row for row in below.sparse]
        self.counts += below.counts
        self.pids += below.pids
        self.aux += [(start + row, packed) for row, packed in below.aux]

    def summary(self) -> tuple[TreeId, int, int]:
        """Return tid, size and number of files of the rows as a directory of one page."""
        sizes = struct.unpack(f"<{len(self.names)}Q", self.sizes)
        if not self.sparse:
            return self._tid(range(len(self.names))), sum(sizes), len(self.names)
        top = [row for row, depth in enumerate(self.depths) if not depth]
        counts = dict(zip(self.sparse, struct.unpack(f"<{len(self.sparse)}Q", self.counts), strict=True))
        return self._tid(top), sum(sizes[row] for row in top), sum(counts.get(row, 1) for row in top)

    def _tid(self, top: Sequence[int]) -> TreeId:
        if len(top) == len(self.names):
            return level_tid(0, self.names, (bytes(self.kinds), bytes(self.sizes), bytes(self.tids)))
        sizes = b"".join(self.sizes[8 * row : 8 * row + 8] for row in top)
        tids = b"".join(self.tids[32 * row : 32 * row + 32] for row in top)
        return level_tid(0, [self.names[row] for row in top], (bytes(self.kinds[row] for row in top), sizes, tids))

    def encode(self, changed: Changed | None) -> bytes:
        columns = (self.kinds, self.depths, self.sizes, self.tids)
        kinds, depths, sizes, tids = map(bytes, columns)
        counts, pids = bytes(self.counts), bytes(self.pids)
        rows = Columns(self.names, kinds, depths, sizes, tids, self.sparse, counts, pids, changed, self.aux)
        return encode(0, rows)


class FolderBuilder:
    """One open directory; children come in row order: runs of files, and finished directories."""

    def __init__(self, sealer: Sealer, changed: Changed | None) -> None:
        self._sealer = sealer
        self._changed = changed
        self._leaf = _Leaf()
        self._rows = 0
        self._index: _IndexBuilder | None = None
        self._closed = False
        self.twins: list[bytes] = []
        """Names of files that the last name starts with: those that a coming directory may collide with."""

    def add_files(self, run: FileRun) -> None:
        """Take direct files."""
        count = len(run.names)
        if self._rows + count < 1 << self._sealer.params.leaf_bits >> 2 and not self._closed:
            self._leaf.add_files(run)
            self._rows += count
            return
        hashes = np.fromiter(map(xxh3_64_intdigest, run.names), np.uint64, count)
        before = 0 if self._closed else self._rows
        ones = np.ones(count, np.int64)
        start = 0
        for end in cuts_of_columns(hashes, ones, 0, rows=before, params=self._sealer.params):
            self._open().add_files(run.part(start, end))
            self._closed, start, before = True, end, 0
        if start < count:
            self._open().add_files(run.part(start, count))
            self._rows = before + count - start

    def add_folder(self, name: bytes, child: FolderBuilder) -> None:
        """Take a child directory that is complete; ``name`` ends in a slash."""
        below = child._leaf
        if child._index is None and len(below.names) <= self._sealer.params.inline:
            self._open().add_folder(name, below)
            weight = 1 + len(below.names)
        else:
            self._open().add_group(marker(name, child.finish()))
            weight = 1
        ends = cuts([name], [weight], 0, rows=self._rows, params=self._sealer.params)
        self._rows += weight
        self._closed = bool(ends)

    def finish(self) -> Folder:
        """Return the directory, with a page even if it is small: for roots, and what is not inlined."""
        if self._index is None:
            pid, page = self._put()
            return Folder(page.logical_id, page.size, page.file_count, self._changed, pid, [])
        self._index.add(self._seal())
        return self._index.finish()

    def _open(self) -> _Leaf:
        """Return the page that takes the next row; one that was cut is sealed only now that more comes."""
        if self._closed:
            self._index = self._index or _IndexBuilder(self._sealer, 1)
            self._index.add(self._seal())
            self._leaf, self._rows, self._closed = _Leaf(), 0, False
        return self._leaf

    def _seal(self) -> Group:
        pid, page = self._put()
        tid, files = page.logical_id, page.file_count
        return [Cell(self._leaf.last, Kind.SHARD, 0, page.size, tid, files, pid, self._changed)]

    def _put(self) -> tuple[PageId, Page]:
        data = self._leaf.encode(self._changed)
        return self._sealer.pages.put_page(data), Page(data)


class _IndexBuilder:
    """One open level of index pages."""

    def __init__(self, sealer: Sealer, level: int) -> None:
        self._sealer = sealer
        self._level = level
        self._groups: list[Group] = []
        self._above: _IndexBuilder | None = None
        self._closed = False

    def add(self, shard: Group) -> None:
        if self._closed:
            self._above = self._above or _IndexBuilder(self._sealer, self._level + 1)
            self._above.add(self._sealer.seal(self._level, self._groups))
            self._groups, self._closed = [], False
        rows = len(self._groups)
        self._groups.append(shard)
        self._closed = bool(cuts([shard[0].name], [1], self._level, rows=rows, params=self._sealer.params))

    def finish(self) -> Folder:
        shard = self._sealer.seal(self._level, self._groups)
        if self._above is None:
            return page_folder(shard[0])
        self._above.add(shard)
        return self._above.finish()
