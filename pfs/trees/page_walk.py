"""Reading the rows of one page as walks do: from a place on, in blocks, or a step of a look-up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from pfs.ids import NO_PAGE, PageId
from pfs.trees.page import Cell, Page

BLOCK: Final = 256
"""Rows that are decoded together at most."""
_FIRST_BLOCK: Final = 4


def bound_row(page: Page, bound: bytes, *, after: bool) -> int:
    """Return the first row at or above ``bound``; above it with ``after``."""
    return page.find_after(bound) if after else page.find(bound)


def cells_from(page: Page, start: int) -> Iterator[Cell]:
    """Yield rows in blocks that grow: a page of a listing costs no more than it shows, a long walk little each."""
    size = _FIRST_BLOCK
    while start < page.count:
        yield from page.cells(start, start + size)
        start += size
        size = min(2 * size, BLOCK)


def top_cells_from(page: Page, start: int) -> Iterator[Cell]:
    """Yield the rows at depth 0 as `cells_from` does: those inlined below them, often more, are not looked at."""
    tops = page.top_rows
    if tops is None:
        yield from cells_from(page, start)
        return
    at, size = bisect_left(tops, start), _FIRST_BLOCK
    while at < len(tops):
        yield from page.cells_at(tops[at : at + size])
        at += size
        size = min(2 * size, BLOCK)


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
