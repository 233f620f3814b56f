"""Reading a tree: one row, one directory, or everything in key order.

Rows of a page are in byte order of their path with directories spelled ``name/``, so a depth-first walk is the
order of S3 keys, and a walk can start behind any key by one look-up from the root. A tree is immutable; all
methods may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Literal, NamedTuple

from msgspec import Struct

from pfs.errors import InvalidInputError
from pfs.ids import NO_PAGE, PageId
from pfs.trees.page import Changed, Group, Kind, Page
from pfs.trees.page_walk import (
    BLOCK,
    bound_row,
    read_ahead,
    read_folders_ahead,
    runs_from,
    step,
    top_rows_from,
)
from pfs.trees.row import (
    EMPTY_ROOT,
    MemoryPages,
    PageSink,
    PageSource,
    Root,
    Row,
    files_of,
    open_page,
    root_row,
    row_of,
)

__all__ = [
    "Changed",
    "EMPTY_ROOT",
    "Kind",
    "MemoryPages",
    "PageSink",
    "PageSource",
    "Root",
    "Row",
    "Tree",
]


class _At(NamedTuple):
    """A row in a leaf; ``prefix`` is the full key of the page's directory, with its slash."""

    page: Page
    row: int
    prefix: bytes
    ready: int = 0
    """The row behind the children that were read together."""


_Stack = list[_At]


class _Folder(Struct, frozen=True):
    """An opened directory: the rows of ``page`` from ``start`` to ``stop`` at ``depth`` and below."""

    page: Page
    start: int
    stop: int
    depth: int
    prefix: bytes
    """Full key of the page's directory."""
    inside: bytes
    """Path from the page's directory to this one, with its slash; empty unless it is inlined."""


class Tree:
    """A directory tree by its root. Costs: stat O(depth), a listing page O(depth + page), memory O(depth)."""

    def __init__(self, pages: PageSource, root: Root) -> None:
        self.pages = pages
        self.root = root

    def stat(self, key: bytes, *, want: Literal["file", "dir"] | None = None) -> Row | None:
        """Return the row of a file or directory, None if there is none; the file first where both exist.

        The empty key is the root directory. A directory with an empty name at the top has no key of its own:
        it is seen through ``scan_prefix(b"/")``.
        """
        if not key:
            return None if want == "file" else root_row(self.pages, self.root)
        found = self._find(key, folder=False) if want != "dir" else None
        if found is None and want != "file":
            found = self._find(key + b"/", folder=True)
        return row_of(found.page.cell(found.row), found.prefix) if found else None

    def prefetch(self, keys: Iterable[bytes]) -> None:
        """Read the pages that looking up these files takes, level by level, each level together.

        The caller bounds how many; as many pages as keys a level may be in memory at once.
        """
        wave = {self.root.pid: set(keys)}
        while wave:
            self.pages.prefetch(wave)
            below: dict[PageId, set[bytes]] = {}
            for pid, some in wave.items():
                page = open_page(self.pages, pid)
                for key in some:
                    child, rest = step(page, key)
                    if child != NO_PAGE:
                        below.setdefault(child, set()).add(rest)
            wave = below

    def list(self, dir_key: bytes = b"", *, start_after: bytes = b"", limit: int | None = None) -> Iterator[Row]:
        """Yield the direct children of a directory in order; nothing if there is no such directory.

        Args:
            dir_key: the directory; empty for the root.
            start_after: full key; only rows with a greater ``order_key`` come.
            limit: the most rows.
        """
        folder = self._open(dir_key + b"/" if dir_key else b"")
        if folder is None:
            return iter(())
        here = folder.prefix + folder.inside
        if not start_after or start_after < here:
            places = self._children(folder, None)
        elif start_after.startswith(here):
            places = self._children(folder, start_after[len(here) :], after=True)
        else:
            return iter(())
        return islice(places, limit)

    def list_back(self, dir_key: bytes = b"", *, before: bytes = b"", limit: int | None = None) -> Iterator[Row]:
        """Yield the direct children of a directory as `list` does, the last first; costs as `list`.

        Args:
            dir_key: the directory; empty for the root.
            before: full key; only rows with a smaller ``order_key`` come; empty for all.
            limit: the most rows.
        """
        folder = self._open(dir_key + b"/" if dir_key else b"")
        if folder is None:
            return iter(())
        here = folder.prefix + folder.inside
        if not before or (before > here and not before.startswith(here)):
            places = self._children_back(folder, None)
        elif before.startswith(here):
            places = self._children_back(folder, before[len(here) :])
        else:
            return iter(())
        return islice(places, limit)

    def walk(self, prefix_dir: bytes = b"", *, start_after: bytes = b"", with_dirs: bool = False) -> Iterator[Row]:
        """Yield all files below a directory in key order.

        Args:
            prefix_dir: the directory; empty for the root.
            start_after: full key, exclusive; found by one look-up.
            with_dirs: directories too, each before what it holds, but not ``prefix_dir`` itself.
        """
        prefix = prefix_dir + b"/" if prefix_dir else b""
        for rows in self._scan(prefix, start_after):
            if not with_dirs:
                yield from files_of(rows)
            elif rows[0].order_key == prefix:
                yield from rows[1:]
            else:
                yield from rows

    def scan_prefix(
        self,
        prefix: bytes = b"",
        *,
        start_after: bytes = b"",
        limit: int | None = None,
        with_dirs: bool = False,
    ) -> Iterator[Row]:
        """Yield the files whose key starts with any bytes ``prefix``, in key order, behind ``start_after``.

        With ``with_dirs`` also the directories whose ``order_key`` does.
        """
        runs = self._scan(prefix, start_after)
        return islice(chain.from_iterable(runs if with_dirs else map(files_of, runs)), limit)

    def list_delimited(
        self,
        prefix: bytes = b"",
        *,
        delimiter: bytes = b"/",
        start_after: bytes = b"",
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Yield the files and common prefixes that S3 lists for a prefix and delimiter, in order.

        A common prefix is a DIR row: its text is ``row.order_key``. It comes when it is above ``start_after``,
        or when ``start_after`` lies inside it and a later key does too; the way to go on behind a
        common prefix is to pass its text.

        Raises:
            InvalidInputError: the delimiter is not ``/``.
        """
        if delimiter != b"/":
            raise InvalidInputError("a tree lists by the delimiter '/' only")
        return islice(self._delimited(prefix, start_after), limit)

    def _delimited(self, prefix: bytes, start_after: bytes) -> Iterator[Row]:
        base = prefix[: prefix.rfind(b"/") + 1]
        folder = self._open(base)
        if folder is None or (start_after >= prefix and not start_after.startswith(prefix)):
            return
        if start_after.startswith(prefix):
            yield from self._cut_folder(base, start_after)
        bound = max(prefix, start_after)[len(base) :]
        for row in self._children(folder, bound, after=start_after >= prefix and start_after != b""):
            if not row.order_key.startswith(prefix):
                return
            yield row

    def _cut_folder(self, base: bytes, start_after: bytes) -> Iterator[Row]:
        """Yield the child directory of ``base`` that ``start_after`` lies in, if a later key does too."""
        slash = start_after.find(b"/", len(base))
        if slash < 0 or slash + 1 == len(start_after):
            return
        inside = start_after[: slash + 1]
        if any(map(files_of, self._scan(inside, start_after))):
            found = self._find(inside, folder=True)
            if found is not None:
                yield row_of(found.page.cell(found.row), found.prefix)

    def group(self, path: bytes) -> Group | None:
        """Return a directory's marker and the rows inlined below it; ``path`` ends in a slash."""
        at = self._find(path, folder=True)
        if at is None:
            return None
        cells = [at.page.cell(row) for row in range(at.row, at.page.group_end(at.row))]
        top = cells[0]
        start = path.rfind(b"/", 0, -1) + 1 - len(at.prefix)
        return [cell._replace(name=cell.name[start:], depth=cell.depth - top.depth) for cell in cells]

    def _find(self, path: bytes, *, folder: bool) -> _At | None:
        """Return the row of a full path; directories are spelled with their slash."""
        page, prefix = open_page(self.pages, self.root.pid), b""
        while True:
            leaf = self._leaf_for(page, path)
            if leaf is None:
                return None
            page, row = leaf, leaf.find(path)
            if folder:
                if row < page.count and page.kind(row) == Kind.DIR and page.name(row) == path:
                    return _At(page, row, prefix)
                row -= 1
            else:
                row = page.behind(row, path) - 1
                if row >= 0 and page.kind(row) != Kind.DIR and page.name(row) == path:
                    return _At(page, row, prefix)
            # The rows below a directory with a page of its own are not here, so its marker is the last row before them.
            name = page.name(row) if row >= 0 else b""
            if row < 0 or not path.startswith(name) or page.pid_of(row) == NO_PAGE:
                return None
            page, prefix, path = (
                open_page(self.pages, page.pid_of(row)),
                prefix + name,
                path[len(name) :],
            )

    def _leaf_for(self, page: Page, path: bytes) -> Page | None:
        """Return the leaf of a directory that holds the first step of ``path``; None behind the last."""
        step = path[: path.find(b"/") + 1] or path
        while page.level:
            row = page.find(step)
            if row == page.count:
                return None
            page = open_page(self.pages, page.pid_of(row))
        return page

    def _open(self, path: bytes) -> _Folder | None:
        """Open a directory by its full path with its slash (empty: the root)."""
        if not path:
            page = open_page(self.pages, self.root.pid)
            return _Folder(page, 0, page.count, 0, b"", b"")
        at = self._find(path, folder=True)
        if at is None:
            return None
        pid = at.page.pid_of(at.row)
        if pid != NO_PAGE:
            page = open_page(self.pages, pid)
            return _Folder(page, 0, page.count, 0, path, b"")
        depth = at.page.depth(at.row) + 1
        stop = at.page.group_end(at.row)
        return _Folder(at.page, at.row + 1, stop, depth, at.prefix, path[len(at.prefix) :])

    def _children(self, folder: _Folder, bound: bytes | None, *, after: bool = False) -> Iterator[Row]:
        """Yield the direct children at or above ``bound`` (above it with ``after``)."""
        if folder.inside:
            start = 0 if bound is None else bound_row(folder.page, folder.inside + bound, after=after)
            cells = folder.page.cells(max(start, folder.start), folder.stop)
            yield from (row_of(cell, folder.prefix) for cell in cells if cell.depth == folder.depth)
            return
        for page, start in self._leaves(folder.page, bound, after=after):
            yield from top_rows_from(page, start, folder.prefix)

    def _leaves(self, page: Page, bound: bytes | None, *, after: bool) -> Iterator[tuple[Page, int]]:
        """Yield the leaves of one directory from the one of ``bound`` on, each with its first wanted row."""
        stack = [(page, 0, 0)]
        seeking = bound is not None
        while stack:
            page, row, ready = stack.pop()
            if seeking and bound is not None:
                row = page.find(bound) if page.level else bound_row(page, bound, after=after)
                seeking = page.level != 0
            if not page.level:
                yield page, row
            elif row < page.count:
                ready = read_ahead(self.pages, page, row, ready)
                stack += ((page, row + 1, ready), (self._child(page, row), 0, 0))
            else:
                seeking = False

    def _children_back(self, folder: _Folder, bound: bytes | None) -> Iterator[Row]:
        """Yield the direct children below ``bound``, the last first."""
        if folder.inside:
            stop = folder.stop if bound is None else min(folder.page.find(folder.inside + bound), folder.stop)
            parts = iter([(folder.page, folder.start, stop)])
        else:
            parts = ((page, 0, stop) for page, stop in self._leaves_back(folder.page, bound))
        for page, start, stop in parts:
            for at in range(stop, start, -BLOCK):
                for cell in reversed(list(page.cells(max(at - BLOCK, start), at))):
                    if cell.depth == folder.depth:
                        yield row_of(cell, folder.prefix)

    def _leaves_back(self, page: Page, bound: bytes | None) -> Iterator[tuple[Page, int]]:
        """Yield the leaves of one directory from the one of ``bound`` back, each with where its wanted rows end."""
        if not page.level:
            yield page, page.count if bound is None else page.find(bound)
            return
        last = page.count - 1 if bound is None else min(page.find(bound), page.count - 1)
        for row in range(last, -1, -1):
            yield from self._leaves_back(self._child(page, row), bound if row == last else None)

    def _child(self, page: Page, row: int) -> Page:
        return open_page(self.pages, PageId(page.pid_of(row)))

    def _scan(self, prefix: bytes, start_after: bytes) -> Iterator[Sequence[Row]]:
        """Yield rows, directories too, that start with ``prefix`` and come behind ``start_after``: runs in order."""
        after = start_after >= prefix and start_after != b""
        stack = self._seek(start_after if after else prefix, after=after)
        while stack:
            page, row, base, ready = stack.pop()
            if page.level:
                if row < page.count:
                    ready = read_ahead(self.pages, page, row, ready)
                    stack += (_At(page, row + 1, base, ready), _At(self._child(page, row), 0, base))
                continue
            for rows in runs_from(page, row, base):
                if not base.startswith(prefix) and not rows[-1].order_key.startswith(prefix):
                    kept = [found for found in rows if found.order_key.startswith(prefix)]
                    yield from [kept] if kept else []
                    return
                yield rows
                row += len(rows)
                last = rows[-1]
                if last.pid != NO_PAGE:
                    ready = read_folders_ahead(self.pages, page, row - 1, ready)
                    stack += (_At(page, row, base, ready), _At(open_page(self.pages, last.pid), 0, last.order_key))
                    break

    def _seek(self, bound: bytes, *, after: bool) -> _Stack:
        """Return the stack of a walk whose next row is the first at (behind) ``bound``."""
        page, prefix, stack = open_page(self.pages, self.root.pid), b"", _Stack()
        while True:
            if page.level:
                row = page.find(bound[: bound.find(b"/") + 1] or bound)
                stack.append(_At(page, row + 1, prefix))
                if row == page.count:
                    return stack
                page = self._child(page, row)
                continue
            row = bound_row(page, bound, after=after)
            stack.append(_At(page, row, prefix))
            name = page.name(row - 1) if row else b""
            if not row or page.pid_of(row - 1) == NO_PAGE or not bound.startswith(name):
                return stack
            page, prefix, bound = self._child(page, row - 1), prefix + name, bound[len(name) :]
