"""The page that is open at the end of a directory that is built front to back: its rows as columns of bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pfs.ids import NO_PAGE, TreeId
from pfs.trees.kernel import gather
from pfs.trees.page import Changed, Kind
from pfs.trees.page_encode import Sections, join_sections, pack_changes, pack_sparse
from pfs.trees.page_row import columns_tid
from pfs.trees.span import Span

_ONE_DEEPER = bytes((depth + 1) % 256 for depth in range(256))


class Summary(NamedTuple):
    """What the rows of a page come to as a directory."""

    tid: TreeId
    size: int
    files: int


class Leaf:
    """Rows of one page, added in order."""

    def __init__(self) -> None:
        self.rows = 0
        self.last = b""
        """The name of the last direct child."""
        self._names, self._lengths = bytearray(), bytearray()
        self._kinds, self._depths, self._sizes, self._tids = bytearray(), bytearray(), bytearray(), bytearray()
        self._sparse, self._counts, self._pids = bytearray(), bytearray(), bytearray()
        self._aux_rows, self._aux_lengths, self._aux = bytearray(), bytearray(), bytearray()

    def add_groups(self, span: Span, first: int, last: int) -> None:
        """Add groups of a batch."""
        start, stop, top = (int(row) for row in span.groups[[first, last, last - 1]])
        ends = span.offsets[start : stop + 1]
        self._names += span.names[ends[0] : ends[-1]]
        self._lengths += np.diff(ends).astype("<u4").tobytes()
        self._kinds += span.kinds[start:stop].tobytes()
        self._depths += span.depths[start:stop].tobytes()
        self._sizes += span.sizes[start:stop].astype("<u8", copy=False).tobytes()
        self._tids += span.tids[start:stop].tobytes()
        shift = self.rows - start
        one, two = np.searchsorted(span.folders, (start, stop)).tolist()
        if one < two:
            self._sparse += (span.folders[one:two] + shift).astype("<u4").tobytes()
            self._counts += span.counts[one:two].astype("<u8", copy=False).tobytes()
            self._pids += NO_PAGE * (two - one)
        if span.aux is not None:
            one, two = np.searchsorted(span.aux.rows, (start, stop)).tolist()
            ends = span.aux.offsets[one : two + 1]
            self._aux_rows += (span.aux.rows[one:two] + shift).astype("<u4").tobytes()
            self._aux_lengths += np.diff(ends).astype("<u4").tobytes()
            self._aux += span.aux.maps[ends[0] : ends[-1]]
        self.last = span.names[span.offsets[top] : span.offsets[top + 1]]
        self.rows += stop - start

    def add_marker(self, name: bytes, below: Summary, pid: bytes = NO_PAGE) -> None:
        """Add the row of a directory; ``name`` ends in a slash."""
        self._names += name
        self._lengths += len(name).to_bytes(4, "little")
        self._kinds.append(Kind.DIR)
        self._depths.append(0)
        self._sizes += below.size.to_bytes(8, "little")
        self._tids += below.tid
        self._sparse += self.rows.to_bytes(4, "little")
        self._counts += below.files.to_bytes(8, "little")
        self._pids += pid
        self.last = name
        self.rows += 1

    def add_folder(self, name: bytes, below: Leaf) -> None:
        """Add a directory with its rows inlined."""
        self.add_marker(name, below.summary())
        self._names += b"".join(name + inner for inner in below._split())
        self._lengths += (_numbers(below._lengths) + np.uint32(len(name))).tobytes()
        self._kinds += below._kinds
        self._depths += below._depths.translate(_ONE_DEEPER)
        self._sizes += below._sizes
        self._tids += below._tids
        self._sparse += (_numbers(below._sparse) + np.uint32(self.rows)).tobytes()
        self._counts += below._counts
        self._pids += below._pids
        self._aux_rows += (_numbers(below._aux_rows) + np.uint32(self.rows)).tobytes()
        self._aux_lengths += below._aux_lengths
        self._aux += below._aux
        self.rows += below.rows

    def _split(self) -> list[bytes]:
        ends = np.cumsum(_numbers(self._lengths), dtype=np.int64).tolist()
        return [bytes(self._names[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def summary(self) -> Summary:
        """Return what the rows come to."""
        sizes, kinds = np.frombuffer(self._sizes, "<u8"), np.frombuffer(self._kinds, np.uint8)
        tids = np.frombuffer(self._tids, np.uint8).reshape(-1, 32)
        if not self._sparse:
            tid = columns_tid(0, _numbers(self._lengths), self._names, (self._kinds, self._sizes, self._tids))
            return Summary(tid, int(sizes.sum(dtype=np.uint64)), self.rows)
        top = np.frombuffer(self._depths, np.uint8) == 0
        files = np.ones(self.rows, np.uint64)
        files[_numbers(self._sparse)] = np.frombuffer(self._counts, "<u8")
        lengths = _numbers(self._lengths)
        ends = np.cumsum(lengths, dtype=np.int64)
        names = gather(np.frombuffer(self._names, np.uint8), (ends - lengths)[top], ends[top])
        columns = kinds[top].tobytes(), sizes[top].tobytes(), tids[top].tobytes()
        tid = columns_tid(0, lengths[top], names, columns)
        return Summary(tid, int(sizes[top].sum(dtype=np.uint64)), int(files[top].sum(dtype=np.uint64)))

    def encode(self, changed: Changed | None) -> bytes:
        """Return the page."""
        offsets = bytes(4) + np.cumsum(_numbers(self._lengths), dtype=np.uint32).astype("<u4").tobytes()
        changes = b"" if changed is None or not self.rows else pack_changes([changed], bytes(2 * self.rows))
        sections = Sections(
            kinds=bytes(self._kinds + self._depths),
            sizes=bytes(self._sizes),
            tids=bytes(self._tids),
            sparse=pack_sparse(bytes(self._sparse), bytes(self._counts), bytes(self._pids)),
            changed=changes,
            aux=self._aux_section(),
        )
        return join_sections(0, self.rows, offsets + self._names, sections, n_sparse=len(self._sparse) // 4)

    def _aux_section(self) -> bytes:
        if not self._aux_rows:
            return b""
        offsets = bytes(4) + np.cumsum(_numbers(self._aux_lengths), dtype=np.uint32).astype("<u4").tobytes()
        count = len(self._aux_rows) // 4
        return b"".join((count.to_bytes(4, "little"), self._aux_rows, offsets, self._aux))


def _numbers(column: bytearray) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(column, "<u4")
