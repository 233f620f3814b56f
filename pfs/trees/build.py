"""Directories built front to back in bounded memory: what is open is one page of each level of each open directory.

Rows come as columns and stay columns until their page is sealed; the cut rule is that of every other way to make
a tree, so the result is the same.
"""

from __future__ import annotations

from pfs.ids import PageId
from pfs.trees.cutrule import cuts, cuts_of_columns
from pfs.trees.leaf import Leaf, Summary
from pfs.trees.page import Cell, Changed, Group, Kind
from pfs.trees.seal import Folder, Sealer, page_folder
from pfs.trees.span import Span


class FolderBuilder:
    """One open directory; children come in row order: runs of groups, and finished directories."""

    def __init__(self, sealer: Sealer, changed: Changed | None) -> None:
        self._sealer = sealer
        self._changed = changed
        self._leaf = Leaf()
        self._rows = 0
        self._index: _IndexBuilder | None = None
        self._closed = False

    def add_groups(self, span: Span, first: int, last: int) -> None:
        """Take direct children: some groups of a batch."""
        rows = int(span.groups[last] - span.groups[first])
        if self._rows + rows < 1 << self._sealer.params.leaf_bits >> 2 and not self._closed:
            self._leaf.add_groups(span, first, last)
            self._rows += rows
            return
        weights, before = span.groups[first + 1 : last + 1] - span.groups[first:last], 0 if self._closed else self._rows
        start = first
        for end in cuts_of_columns(span.hashes(first, last), weights, 0, rows=before, params=self._sealer.params):
            self._open().add_groups(span, start, first + end)
            self._closed, start, before = True, first + end, 0
        if start < last:
            self._open().add_groups(span, start, last)
            self._rows = before + int(span.groups[last] - span.groups[start])

    def add_folder(self, name: bytes, child: FolderBuilder) -> None:
        """Take a child directory that is complete; ``name`` ends in a slash."""
        below = child._leaf
        if child._index is None and below.rows <= self._sealer.params.inline:
            self._open().add_folder(name, below)
            weight = 1 + below.rows
        else:
            folder = child.finish()
            self._open().add_marker(name, Summary(folder.tid, folder.size, folder.files), folder.pid)
            weight = 1
        ends = cuts([name], [weight], 0, rows=self._rows, params=self._sealer.params)
        self._rows += weight
        self._closed = bool(ends)

    def finish(self) -> Folder:
        """Return the directory, with a page even if it is small: for roots, and what is not inlined."""
        shard = self._seal()
        if self._index is None:
            return page_folder(shard[0])
        self._index.add(shard)
        return self._index.finish()

    def _open(self) -> Leaf:
        """Return the page that takes the next row; one that was cut is sealed only now that more comes."""
        if self._closed:
            self._index = self._index or _IndexBuilder(self._sealer, 1)
            self._index.add(self._seal())
            self._leaf, self._rows, self._closed = Leaf(), 0, False
        return self._leaf

    def _seal(self) -> Group:
        leaf = self._leaf
        pid: PageId = self._sealer.pages.put_page(leaf.encode(self._changed))
        tid, size, files = leaf.summary()
        return [Cell(leaf.last, Kind.SHARD, 0, size, tid, files, pid, self._changed)]


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
