"""Two directories side by side: the rows in which they differ, without reading the pages that both have."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from pfs.arrays import np, npt
from pfs.ids import NO_PAGE, PageId
from pfs.trees.page import Cell, Group, Kind, Page
from pfs.trees.row import PageSource, open_page
from pfs.trees.seal import groups_of, inlined_rows

_AHEAD = 128
"""Pages that are read together: those of one index page, on the average."""


_DIR = int(Kind.DIR)


class _Part(Struct, frozen=True):
    """A page that is not read yet, or the rows of an inlined directory."""

    level: int
    pid: PageId
    groups: list[Group]


class Pair(NamedTuple):
    """A direct child that differs; None on the side where it is not."""

    old: Group | None
    new: Group | None

    @property
    def top(self) -> Cell:
        """The child's own row, from either side."""
        return (self.old or self.new or [])[0]


class Side:
    """One of the two directories: its pages in order, opened as far as needed."""

    def __init__(self, pages: PageSource, *, stem: bytes = b"", floor: bytes = b"") -> None:
        """Take where pages come from; leaves that have nothing with ``stem``, or all before ``floor``, are left out."""
        self.pages = pages
        self.queue: deque[_Part] = deque()
        self._stem = stem
        self._low = max(stem, floor[: floor.find(b"/") + 1] or floor)

    def add_page(self, pid: PageId) -> None:
        """Make the directory below a page this side."""
        self.queue.append(_Part(open_page(self.pages, pid).level, pid, []))

    def add_folder(self, group: Group) -> None:
        """Make the directory of a marker and its inlined rows this side."""
        if group[0].pid == NO_PAGE:
            self.queue.append(_Part(0, NO_PAGE, groups_of(inlined_rows(group))))
        else:
            self.add_page(PageId(group[0].pid))

    def first_pages(self) -> list[PageId]:
        """Return the first pages that are left, which are needed soon."""
        return [part.pid for part in islice(self.queue, _AHEAD) if part.pid != NO_PAGE]

    def open_head(self) -> None:
        """Put the pages below the first page in its place."""
        part = self.queue.popleft()
        page = open_page(self.pages, part.pid)
        children: list[_Part] = []
        for row, last in enumerate(page.names):
            if last >= self._low:
                children.append(_Part(part.level - 1, page.pid_of(row), []))
            if last > self._stem and not last.startswith(self._stem):
                break
        self.queue.extendleft(reversed(children))


def commit_of(cell: Cell) -> bytes | None:
    """Return the commit in which a row last changed."""
    return cell.changed.commit if cell.changed else None


def unequal_groups(old: Side, new: Side, *, versions: bool = False) -> Iterator[Pair]:
    """Yield the direct children that differ in any way, in order.

    Those that differ by the commit of their last change alone are sure to be among them with ``versions`` only.
    Memory: the open index pages and one leaf of each side.
    """
    lefts: deque[Group] = deque()
    rights: deque[Group] = deque()
    while _fill(old, new, lefts, rights, versions=versions):
        left, right = lefts[0] if lefts else None, rights[0] if rights else None
        if left and right and left[0].name != right[0].name:
            left, right = (left, None) if left[0].name < right[0].name else (None, right)
        if left:
            lefts.popleft()
        if right:
            rights.popleft()
        if left != right:
            yield Pair(left, right)


def _fill(old: Side, new: Side, lefts: deque[Group], rights: deque[Group], *, versions: bool) -> bool:
    """Read leaves until both sides have a group or are at their end; False at the end of both."""
    while (not lefts and old.queue) or (not rights and new.queue):
        _settle(old, new)
        if not lefts and not rights and old.queue and new.queue:
            left, right = _unequal_rows(old, new, versions=versions)
            lefts += left
            rights += right
            continue
        if not lefts and old.queue:
            lefts += _groups(old)
        if not rights and new.queue:
            rights += _groups(new)
    return bool(lefts or rights)


def _settle(old: Side, new: Side) -> None:
    """Open index pages until both sides start with a leaf, dropping the pages that both have."""
    opened = False
    while True:
        common = {part.pid for part in old.queue} & {part.pid for part in new.queue} - {NO_PAGE}
        for side in (old, new) if common else ():
            side.queue = deque(part for part in side.queue if part.pid not in common)
        if opened:
            _prefetch((old, old.first_pages()), (new, new.first_pages()))
        level = max((side.queue[0].level for side in (old, new) if side.queue), default=0)
        if not level:
            return
        for side in (old, new):
            if side.queue and side.queue[0].level == level:
                side.open_head()
        opened = True


def _prefetch(old: tuple[Side, list[PageId]], new: tuple[Side, list[PageId]]) -> None:
    """Read pages of both sides, together where they come from one source."""
    if old[0].pages is new[0].pages:
        new[0].pages.prefetch([*old[1], *new[1]])
        return
    for side, pids in (old, new):
        side.pages.prefetch(pids)


def _groups(side: Side) -> list[Group]:
    part = side.queue.popleft()
    return part.groups if part.pid == NO_PAGE else groups_of(open_page(side.pages, part.pid).cells())


def _unequal_rows(old: Side, new: Side, *, versions: bool) -> tuple[list[Group], list[Group]]:
    """Take a leaf of each side; leave out what a comparison of their columns finds equal."""
    if NO_PAGE in (old.queue[0].pid, new.queue[0].pid):
        return _groups(old), _groups(new)
    left, right = open_page(old.pages, old.queue[0].pid), open_page(new.pages, new.queue[0].pid)
    if not left.same_names(right):
        return _groups(old), _groups(new)
    old.queue.popleft()
    new.queue.popleft()
    rows = _different(left, right, versions=versions)
    below = ([pid for row in rows if (pid := page.pid_of(row)) != NO_PAGE] for page in (left, right))
    _prefetch((old, next(below)), (new, next(below)))
    return _groups_at(left, rows), _groups_at(right, rows)


def _different(left: Page, right: Page, *, versions: bool) -> list[int]:
    """Return the depth-0 rows whose groups differ, for pages of the same names; times count with ``versions`` only."""
    rows = set((np.flatnonzero(left.tids.ravel() != right.tids.ravel()) >> 2).tolist())
    (kinds, sizes, _), (other_kinds, other_sizes, _) = left.columns, right.columns
    if sizes != other_sizes:
        rows.update(np.flatnonzero(left.sizes != right.sizes).tolist())
    if kinds != other_kinds or left.pids != right.pids:
        rows.update(np.flatnonzero(left.kinds != right.kinds).tolist())
        folders = np.flatnonzero(left.kinds == _DIR).tolist()
        rows.update(row for row in folders if left.pid_of(row) != right.pid_of(row))
    if versions:
        rows.update(np.flatnonzero(_commits(left) != _commits(right)).tolist())
    rows.update(row for row in left.aux_rows | right.aux_rows if left.aux(row) != right.aux(row))
    tops = left.top_rows
    return sorted(rows if tops is None else {tops[bisect_right(tops, row) - 1] for row in rows})


def _commits(page: Page) -> npt.NDArray[np.bytes_]:
    """Return the commit in which each row last changed, 16 zero bytes where there is none."""
    table = np.array([change.commit for change in page.changes] + [bytes(16)], "S16")
    return table[np.minimum(page.change_numbers, len(page.changes))]


def _groups_at(page: Page, rows: list[int]) -> list[Group]:
    return [[page.cell(row) for row in range(top, page.group_end(top))] for top in rows]
