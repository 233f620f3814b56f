"""Reading the rows of one page as walks do: from a place on, in blocks, or a step of a look-up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from pfs.ids import NO_PAGE, PageId
from pfs.trees.page import Kind, Page
from pfs.trees.row import PageSource, Row, rows_of

BLOCK: Final = 256
"""Rows that are decoded together at most."""
_FIRST_BLOCK: Final = 4
_DIR: Final = int(Kind.DIR)
AHEAD: Final = 16
_FIRST_AHEAD: Final = 4
"""Pages that a walk reads together, and at first: a page of a listing has as many."""


def bound_row(page: Page, bound: bytes, *, after: bool) -> int:
    """Return the first row at or above ``bound``; above it with ``after``."""
    return page.find_after(bound) if after else page.find(bound)


def runs_from(page: Page, start: int, prefix: bytes) -> Iterator[list[Row]]:
    """Yield rows in blocks that grow: a page of a listing costs no more than it shows, a long walk little each.

    A block ends behind a directory that has a page, as its rows come there.
    """
    size = _FIRST_BLOCK
    is_flat = not page.pids.strip(b"\0")
    while start < page.count:
        rows = rows_of(page.fields(start, start + size), prefix)
        start += size
        size = min(2 * size, BLOCK)
        if is_flat:
            yield rows
            continue
        at = 0
        for number, row in enumerate(rows, 1):
            if row.pid != NO_PAGE:
                yield rows[at:number]
                at = number
        if at < len(rows):
            yield rows[at:]


def top_rows_from(page: Page, start: int, prefix: bytes) -> Iterator[Row]:
    """Yield the rows at depth 0 as `rows_from` does: those inlined below them, often more, are not looked at."""
    tops = page.top_rows
    if tops is None:
        yield from chain.from_iterable(runs_from(page, start, prefix))
        return
    at, size = bisect_left(tops, start), _FIRST_BLOCK
    while at < len(tops):
        yield from rows_of(page.fields_at(tops[at : at + size]), prefix)
        at += size
        size = min(2 * size, BLOCK)


def rows_at(page: Page, rows: Sequence[int], prefix: bytes) -> list[Row]:
    """Return some rows, ascending, with their full keys; ``prefix`` is the directory of the page, with its slash."""
    if not rows:
        return []
    whole = rows[-1] - rows[0] + 1 == len(rows)
    return rows_of(page.fields(rows[0], rows[-1] + 1) if whole else page.fields_at(rows), prefix)


def read_ahead(pages: PageSource, page: Page, row: int, ready: int) -> int:
    """Read the next children of an index page together when a walk comes to its second, and so on.

    Returns the row behind those that were read together so far; ``ready`` is what the call before returned, or 0.
    """
    if not row or row < ready:
        return ready
    stop = min(row + (AHEAD if ready else _FIRST_AHEAD), page.count)
    pages.prefetch([page.pid_of(child) for child in range(row, stop)])
    return stop


def read_folders_ahead(pages: PageSource, page: Page, row: int, ready: int) -> int:
    """Read the pages of the directories of a leaf together, as `read_ahead` does those of an index page.

    ``row`` is a directory; ``ready`` 0 at the first that a walk comes to.
    """
    if row < ready:
        return ready
    if not ready:
        return row + 1
    folders: list[int] = []
    for at in range(row, page.count):
        if page.kind(at) == _DIR and page.pid_of(at) != NO_PAGE:
            folders.append(at)
            if len(folders) == AHEAD:
                break
    pages.prefetch([page.pid_of(at) for at in folders])
    return folders[-1] + 1


def step(page: Page, key: bytes) -> tuple[PageId, bytes]:
    """Return the page in which the look-up of a file goes on, and its key there; NO_PAGE where it ends."""
    if page.level:
        row = page.find(key[: key.find(b"/") + 1] or key)
        return (NO_PAGE if row == page.count else page.pid_of(row)), key
    row = page.find_after(key) - 1
    name = page.name(row) if row >= 0 else b""
    if not name.endswith(b"/") or not key.startswith(name):
        return NO_PAGE, b""
    return page.pid_of(row), key[len(name) :]
