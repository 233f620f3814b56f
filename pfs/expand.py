"""What a glob matches in a tree, a page at a time: names are looked at as columns, and rows are made of what matches.

A directory that is inlined in a page is matched there, with the levels of the pattern that are left; one with a page of
its own is opened only if its name matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from pfs.arrays import I64, np, npt
from pfs.glob import Glob
from pfs.ids import NO_PAGE, PageId
from pfs.patterns.names import TAIL_BYTES, Level
from pfs.trees.page import Kind, Page
from pfs.trees.page_walk import AHEAD, read_ahead, rows_at
from pfs.trees.row import PageSource, Row, open_page, root_row
from pfs.trees.tree import Tree

_DIR: Final = int(Kind.DIR)


def expand(tree: Tree, pattern: str | Glob) -> Iterator[Row]:
    """Yield the files and directories that match, in key order, opening only directories that can hold a match.

    The root directory matches ``/`` alone. Directory markers of S3 (files without a name and without bytes) and
    a top directory without a name are left out. Cost: some 0.1 us a name that is looked at, 1 us a match. Memory: a
    page of each directory above the one that is read.

    Raises:
        InvalidInputError: the pattern is malformed.
    """
    glob = pattern if isinstance(pattern, Glob) else Glob(pattern)
    if not glob.segments:
        return iter((root_row(tree.pages, tree.root),))
    return _run(_Search(tree.pages, glob.levels), tree.root.pid)


class _Place(NamedTuple):
    """A directory with a page of its own, and how far the pattern got on the way to it."""

    pid: PageId
    prefix: bytes
    """Its full key with its slash."""
    level: int
    inside: bytes = b""
    """The part of that key that a deep level has to match."""


_Found = Iterator[list[Row] | _Place]


def _run(search: _Search, root: PageId) -> Iterator[Row]:
    """Directories are opened by a stack of our own, since patterns and paths may have thousands of steps."""
    stack = [search.directory(_Place(root, b"", 0))]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif isinstance(found, _Place):
            stack.append(search.directory(found))
        else:
            yield from found


class _Search:
    """One run of a pattern over pages."""

    def __init__(self, pages: PageSource, levels: Sequence[Level]) -> None:
        self._pages = pages
        self._levels = levels

    def directory(self, place: _Place) -> _Found:
        """Yield what matches in a directory: rows, and in their midst the directories to be opened there."""
        level = self._levels[place.level]
        ranges = self._exact(place, level) if level.exact else self._leaves(place, level)
        for page, start, stop in ranges:
            if start < stop:
                yield from self._leaf(_Leaf(page, start, stop), place)

    def _exact(self, place: _Place, level: Level) -> Iterator[tuple[Page, int, int]]:
        """Yield where the file and the directory of one name are."""
        for name in (level.literal, level.literal + b"/"):
            page = open_page(self._pages, place.pid)
            while page.level:
                page = open_page(self._pages, page.pid_of(min(page.find(name), page.count - 1)))
            row = page.find(name)
            if row < page.count and page.name(row) == name:
                yield page, row, page.group_end(row)

    def _leaves(self, place: _Place, level: Level) -> Iterator[tuple[Page, int, int]]:
        """Yield the leaves of a directory, of each the rows that can match by what the first step begins with."""
        low = b"" if place.inside else level.literal
        high = _behind(low)
        stack = [(open_page(self._pages, place.pid), 0, 0)]
        while stack:
            page, row, ready = stack.pop()
            if not page.level:
                yield page, page.find(low) if low else 0, page.find(high) if high else page.count
                continue
            row = row or (page.find(low) if low else 0)
            if row < page.count:
                ready = read_ahead(self._pages, page, row, ready)
                if not high or page.name(row) < high:
                    stack.append((page, row + 1, ready))
                stack.append((open_page(self._pages, page.pid_of(row)), 0, 0))

    def _leaf(self, leaf: _Leaf, place: _Place) -> _Found:
        """Yield the rows of a leaf that match, with the directories to be opened behind their own rows."""
        rows, below = self._matches(leaf, place)
        at = 0
        for number, child in self._ahead(below):
            stop = int(np.searchsorted(rows, number, "right"))
            yield _named(rows_at(leaf.page, rows[at:stop].tolist(), place.prefix))
            yield child
            at = stop
        yield _named(rows_at(leaf.page, rows[at:].tolist(), place.prefix))

    def _ahead(self, below: list[tuple[int, _Place]]) -> Iterator[tuple[int, _Place]]:
        """Yield them, their pages read together some at a time."""
        places = iter(below)
        size = 1
        while some := list(islice(places, size)):
            self._pages.prefetch([place.pid for _, place in some])
            yield from some
            size = min(4 * size, AHEAD)

    def _matches(self, leaf: _Leaf, place: _Place) -> tuple[I64, list[tuple[int, _Place]]]:
        """Return the rows that match the whole pattern, and by their rows the directories to be opened."""
        below: list[tuple[int, _Place]] = []
        tops = leaf.at_depth(0)
        cuts = np.zeros(len(tops), np.int64)
        for number in range(place.level, len(self._levels)):
            level = self._levels[number]
            depth = number - place.level
            if level.deep:
                rows, cuts = leaf.with_inlined(tops, cuts, depth)
                below += leaf.folders(rows, place, number, cuts)
                return leaf.select(level, rows, cuts, inside=place.inside), sorted(below, key=_row)
            hits = leaf.select(level, tops, cuts)
            if number + 1 == len(self._levels):
                return hits, sorted(below, key=_row)
            below += leaf.folders(hits, place, number + 1, None)
            tops, cuts = leaf.children(hits, depth)
            if not len(tops):
                break
        return np.zeros(0, np.int64), sorted(below, key=_row)


def _row(found: tuple[int, _Place]) -> int:
    return found[0]


def _behind(prefix: bytes) -> bytes:
    """Return the lowest text above all that begin with ``prefix``; empty if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else b""


def _named(rows: list[Row]) -> list[Row]:
    """Leave out what has no name: a top directory without one, and directory markers of S3."""
    if len([row for row in rows if row.size and row.key]) == len(rows):
        return rows
    return [row for row in rows if row.key and (row.size or row.is_dir or not row.key.endswith(b"/"))]


class _Leaf:
    """Some rows of a leaf, whole groups, with their names as columns."""

    def __init__(self, page: Page, start: int, stop: int) -> None:
        self.page = page
        self._start = start
        self._depths = page.depths[start:stop]
        self._is_flat = not self._depths.any()
        self._folders = page.kinds[start:stop] == _DIR
        section = page.names_section
        self._names = section[4 * (page.count + 1) :]
        self._offsets = np.frombuffer(section, "<u4", stop - start + 1, 4 * start).astype(np.int64)

    @cached_property
    def _text(self) -> str | None:
        """All names as they are, where each byte is a character."""
        return self._names.decode("ascii") if self._names.isascii() else None

    def at_depth(self, depth: int) -> I64:
        """Return the rows at a depth."""
        if self._is_flat:
            return np.arange(self._start, self._start + len(self._depths) * (depth == 0))
        return np.flatnonzero(self._depths == depth) + self._start

    def children(self, parents: I64, depth: int) -> tuple[I64, I64]:
        """Return the rows that are inlined directly below some at ``depth``, and how long the names above them are."""
        rows, every = self.at_depth(depth + 1), self.at_depth(depth)
        above = every[np.searchsorted(every, rows) - 1] if len(rows) else rows
        mine = np.isin(above, parents)
        above = above[mine] - self._start
        return rows[mine], self._offsets[above + 1] - self._offsets[above]

    def with_inlined(self, tops: I64, cuts: I64, depth: int) -> tuple[I64, I64]:
        """Return rows at ``depth`` with all that is inlined below them, and of each what was cut of its top's name."""
        if self._is_flat:
            return tops, cuts
        rows = np.flatnonzero(self._depths >= depth) + self._start
        owner = np.searchsorted(tops, rows, "right") - 1
        every = self.at_depth(depth)
        mine = (owner >= 0) & (every[np.searchsorted(every, rows, "right") - 1] == tops[owner])
        return rows[mine], cuts[owner[mine]]

    def folders(self, rows: I64, place: _Place, level: int, cuts: I64 | None) -> list[tuple[int, _Place]]:
        """Return the directories among some rows that have a page; ``cuts``: for a deep level, as of `select`."""
        found = []
        for at in np.flatnonzero(self._folders[rows - self._start]).tolist():
            row = int(rows[at])
            pid = self.page.pid_of(row)
            if pid != NO_PAGE:
                name = self.page.name(row)
                inside = b"" if cuts is None else place.inside + name[int(cuts[at]) :]
                found.append((row, _Place(pid, place.prefix + name, level, inside)))
        return found

    def select(self, level: Level, rows: I64, cuts: I64, *, inside: bytes = b"") -> I64:
        """Return the rows whose name matches, without its first ``cuts`` bytes and with ``inside`` in front of it."""
        if level.takes_all or not len(rows):
            return rows
        numbers = rows - self._start
        starts, stops = self._offsets[numbers] + cuts, self._offsets[numbers + 1] - self._folders[numbers]
        if level.tail:
            fits = self._end_in(level.tail, starts, stops)
            rows, starts, stops = rows[fits], starts[fits], stops[fits]
        return rows[level.matcher.which(self._texts(starts, stops, inside))]

    def _end_in(self, tail: bytes, starts: I64, stops: I64) -> npt.NDArray[np.bool_]:
        """Say which names end in some bytes: the eight before each end are compared as one number."""
        padded = np.frombuffer(bytes(TAIL_BYTES) + self._names, np.uint8)
        words = np.ndarray((len(self._names) + 1,), "<u8", padded, strides=(1,))
        free = 8 * (TAIL_BYTES - len(tail))
        wanted = np.uint64(int.from_bytes(tail, "little"))
        return np.asarray((words[stops] >> np.uint64(free) == wanted) & (stops - starts >= len(tail)))

    def _texts(self, starts: I64, stops: I64, inside: bytes) -> list[str]:
        pairs = zip(starts.tolist(), stops.tolist(), strict=True)
        if self._text is not None:
            text = self._text
            texts = [text[start:stop] for start, stop in pairs]
        else:
            names = self._names
            texts = [names[start:stop].decode(errors="surrogateescape") for start, stop in pairs]
        if not inside:
            return texts
        head = inside.decode(errors="surrogateescape")
        return [head + text for text in texts]
