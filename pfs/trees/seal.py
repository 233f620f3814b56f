"""From rows to pages: cutting a level, sealing its pages, and what a directory becomes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from pfs.ids import NO_PAGE, PageId, TreeId
from pfs.trees.cutrule import FORMAT, TreeParams, cuts
from pfs.trees.page import Cell, Changed, Group, Kind, cells_tid, encode_cells, newest
from pfs.trees.patch import Patch, apply_patch
from pfs.trees.row import PageSink, open_page


class Folder(Struct, frozen=True):
    """A directory as its parent's rows show it: by the page of its rows, or by the rows when they are few."""

    tid: TreeId
    size: int
    files: int
    changed: Changed | None
    pid: PageId
    rows: list[Cell]
    """The rows to be inlined, relative to the directory; empty when ``pid`` is a page."""


def groups_of(cells: Sequence[Cell]) -> list[Group]:
    """Return the rows of a page, cut before each depth-0 row."""
    groups: list[Group] = []
    for cell in cells:
        if cell.depth:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return groups


def marker(name: bytes, folder: Folder) -> Group:
    """Return the group of a child directory; ``name`` ends in a slash."""
    top = Cell(name, Kind.DIR, 0, folder.size, folder.tid, folder.files, folder.pid, folder.changed)
    return [top, *(cell._replace(name=name + cell.name, depth=cell.depth + 1) for cell in folder.rows)]


def inlined_rows(group: Group) -> list[Cell]:
    """Return the rows below an inlined directory's marker, relative to that directory."""
    cut = len(group[0].name)
    return [cell._replace(name=cell.name[cut:], depth=cell.depth - 1) for cell in group[1:]]


class Sealer:
    """Writes pages to a sink by one set of tree parameters."""

    def __init__(self, pages: PageSink, params: TreeParams = FORMAT) -> None:
        self.pages = pages
        self.params = params

    def cut(self, level: int, groups: Sequence[Group]) -> list[int]:
        """Return the ends of the pages that these groups fill."""
        return cuts([group[0].name for group in groups], [len(group) for group in groups], level, params=self.params)

    def split(self, level: int, groups: Sequence[Group]) -> list[Sequence[Group]]:
        """Return the groups of each page of a whole level."""
        ends = self.cut(level, groups)
        if not ends or ends[-1] < len(groups):
            ends.append(len(groups))
        return [groups[start:end] for start, end in pairwise([0, *ends])] if groups else []

    def seal(self, level: int, groups: Sequence[Group]) -> Group:
        """Write one page and return its row in the page above."""
        cells = [cell for group in groups for cell in group]
        pid = self.pages.put_page(encode_cells(level, cells))
        top = [group[0] for group in groups]
        size, count = sum(cell.size for cell in top), sum(cell.files for cell in top)
        tid, changed = cells_tid(level, top), newest({cell.changed for cell in top})
        return [Cell(top[-1].name, Kind.SHARD, 0, size, tid, count, pid, changed)]

    def seal_patch(self, patch: Patch) -> Group:
        """Write a patched page and return its row in the page above."""
        done, page = apply_patch(patch), patch.page
        pid = self.pages.put_page(done.data)
        last = page.last_name
        return [Cell(last, Kind.SHARD, 0, done.size, done.tid, done.files, pid, done.changed)]

    def finish(self, level: int, parts: list[Sequence[Group]]) -> Folder | None:
        """Return the directory whose pages at ``level`` are ``parts``; None if there are none."""
        while len(parts) > 1:
            shards = [self.seal(level, groups) for groups in parts]
            level += 1
            parts = self.split(level, shards)
        if not parts:
            return None
        if level and len(parts[0]) == 1:
            return self.folder_of(PageId(parts[0][0][0].pid))
        rows = [cell for group in parts[0] for cell in group]
        if level or len(rows) > self.params.inline:
            return page_folder(self.seal(level, parts[0])[0])
        top = [group[0] for group in parts[0]]
        size, count = sum(cell.size for cell in top), sum(cell.files for cell in top)
        return Folder(cells_tid(0, top), size, count, newest({cell.changed for cell in top}), NO_PAGE, rows)

    def folder_of(self, pid: PageId) -> Folder | None:
        """Return the directory below a page: without index pages of one row, inlined if it is small."""
        page = open_page(self.pages, pid)
        while page.level and page.count == 1:
            page = open_page(self.pages, page.pid_of(0))
        if not page.count:
            return None
        rows = [] if page.level or page.count > self.params.inline else page.cells()
        pid = NO_PAGE if rows else page.pid
        return Folder(page.logical_id, page.size, page.file_count, newest(page.changes), pid, rows)

    def store(self, folder: Folder) -> PageId:
        """Return the page of a directory, written if it would be inlined: for roots."""
        return self.pages.put_page(encode_cells(0, folder.rows)) if folder.rows else folder.pid


def page_folder(shard: Cell) -> Folder:
    """Return the directory whose only page at the top has this row."""
    return Folder(TreeId(shard.tid), shard.size, shard.files, shard.changed, PageId(shard.pid), [])
