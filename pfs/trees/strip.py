"""Taking the content out of files: rows of kind REMOVED, with the size, logical id and commit that they had.

Names stay, and with them where pages are cut; so a directory is done page by page, and a page that several trees share
once. Logical ids of directories change, for they tell what kind their rows are.
"""

from __future__ import annotations

from collections.abc import Callable

from pfs.ids import NO_PAGE, PageId, TreeId
from pfs.trees.edit import Edit, Graft, Put
from pfs.trees.page import Cell, Group, Kind, cells_tid, encode_cells
from pfs.trees.row import PageSink, Root, Row, open_page
from pfs.trees.seal import Folder, groups_of, inlined_rows, marker
from pfs.trees.tree import Tree

_FOLDERS = (Kind.DIR, Kind.SHARD)
Note = Callable[[int, bytes, int], object]
"""Gets kind, tid and size of each file that loses its content; those of a page once, however many trees share it."""


class Stripper:
    """Strips files and directories of trees whose pages come from, and go to, one sink. One thread.

    Memory: some 200 bytes for each page that was stripped.
    """

    def __init__(self, pages: PageSink, note: Note) -> None:
        self._pages, self._note = pages, note
        self._done: dict[PageId, tuple[PageId, TreeId]] = {}

    def restart(self) -> None:
        """Forget what was done, since the sink forgot it."""
        self._done.clear()

    def root(self, root: Root) -> Root:
        """Return a tree without any content."""
        pid, tid = self._page(root.pid)
        return Root(pid, tid, root.size, root.count)

    def file(self, row: Row) -> list[Edit]:
        """Return the edit that strips a file; none for one without content."""
        if row.kind == Kind.REMOVED:
            return []
        self._note(row.kind, row.tid, row.size)
        return [Put(row.key, Kind.REMOVED, row.size, row.tid, changed=row.changed)]

    def folder(self, tree: Tree, row: Row) -> list[Edit]:
        """Return the edits that strip all files of a directory of ``tree``; none if nothing below has content."""
        if row.pid == NO_PAGE:  # it has a few rows at most, directories with pages among them
            below = tree.list(row.key)
            return [one for row in below for one in (self.folder(tree, row) if row.is_dir else self.file(row))]
        pid, tid = self._page(row.pid)
        stripped = Row(row.key, row.kind, row.size, tid, row.count, pid, row.changed, row.aux)
        return [] if pid == row.pid else [Graft(row.key, stripped)]

    def _page(self, top: PageId) -> tuple[PageId, TreeId]:
        """Return the page without content that takes the place of one, and its logical id; pages below go first."""
        waiting = [top]
        while waiting:
            pid = waiting[-1]
            cells = [] if pid in self._done else open_page(self._pages, pid).cells()
            below = [PageId(cell.pid) for cell in cells if cell.kind in _FOLDERS and cell.pid != NO_PAGE]
            missing = [child for child in below if child not in self._done]
            if missing:
                waiting += missing
                continue
            if pid not in self._done:
                self._done[pid] = self._stripped(pid, cells)
            waiting.pop()
        return self._done[top]

    def _stripped(self, pid: PageId, cells: list[Cell]) -> tuple[PageId, TreeId]:
        page = open_page(self._pages, pid)
        groups = [self._group(group) for group in groups_of(cells)]
        rows = [cell for group in groups for cell in group]
        if rows == cells:
            return pid, page.logical_id
        return self._pages.put_page(encode_cells(page.level, rows)), cells_tid(page.level, rows)

    def _group(self, group: Group) -> Group:
        top = group[0]
        if top.kind not in _FOLDERS:
            return [self._cell(top)]
        if top.pid != NO_PAGE:
            pid, tid = self._done[PageId(top.pid)]
            return [top._replace(pid=pid, tid=tid)]
        rows = [cell for below in groups_of(inlined_rows(group)) for cell in self._group(below)]
        folder = Folder(cells_tid(0, rows), top.size, top.files, top.changed, NO_PAGE, rows)
        return marker(top.name, folder)

    def _cell(self, cell: Cell) -> Cell:
        if cell.kind == Kind.REMOVED:
            return cell
        self._note(cell.kind, cell.tid, cell.size)
        return cell._replace(kind=Kind.REMOVED, aux=None)
