"""Changing rows of a page in place: the same names, so the same cuts, and only columns differ.

Most edits of large trees replace the content of files that are there. The page that comes of it is, byte by byte, the
one that encoding all its rows would give; this costs a tenth of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pfs.ids import TreeId, tree_id
from pfs.trees.page import Cell, Changed, Group, Kind, Page, newest
from pfs.trees.page_encode import NOT_CHANGED, Sections, join_sections, pack_aux_rows, pack_changes, pack_sparse

_FOLDERS = (Kind.DIR, Kind.SHARD)


@dataclass(frozen=True, slots=True)
class Patch:
    """A page and the rows that take the place of those of the same number."""

    page: Page
    cells: Mapping[int, Cell]

    def groups(self) -> list[Group]:
        """Return the groups of the page as it is to be."""
        groups: list[Group] = []
        for row, cell in enumerate(self.page.cells()):
            if cell.depth:
                groups[-1].append(cell)
            else:
                groups.append([self.cells.get(row, cell)])
        return groups


class Patched(NamedTuple):
    """The new page, and what the row above says of it."""

    data: bytes
    tid: TreeId
    size: int
    files: int
    changed: Changed | None


def single_row(page: Page, name: bytes) -> int | None:
    """Return the row of a direct child that has no inlined rows below it; None for any other."""
    row = page.find(name)
    if row == page.count or page.name(row) != name or page.depths[row]:
        return None
    return None if row + 1 < page.count and page.depths[row + 1] else row


def fits(old: Group | None, new: Group | None) -> bool:
    """Say whether a group can take the place of a single row: one row of the same name, folder or not as before."""
    if not old or not new or len(new) != 1 or new[0].name != old[0].name:
        return False
    return (new[0].kind in _FOLDERS) == (old[0].kind in _FOLDERS)


def apply_patch(patch: Patch) -> Patched:
    """Return the page with the new rows; each must fit the one that it replaces."""
    page, cells = patch.page, patch.cells
    kinds, sizes, tids = page.kinds.copy(), page.sizes.copy(), page.tids.copy()
    counts, pids = page.counts.copy(), bytearray(page.pids)
    for row, cell in cells.items():
        kinds[row], sizes[row] = cell.kind, cell.size
        tids[row] = np.frombuffer(cell.tid, "<u8")
        if cell.kind in _FOLDERS:
            number = page.sparse_number(row)
            counts[number], pids[32 * number : 32 * number + 32] = cell.files, cell.pid
    table, changed = _changed_section(patch)
    data = join_sections(
        page.level,
        page.count,
        page.names_section,
        Sections(
            kinds=kinds.tobytes() + page.depths.tobytes(),
            sizes=sizes.tobytes(),
            tids=tids.tobytes(),
            sparse=pack_sparse(page.sparse.tobytes(), counts.tobytes(), bytes(pids)),
            changed=changed,
            aux=_aux_section(patch),
        ),
        n_sparse=len(page.sparse),
    )
    top = page.depths == 0
    direct = sizes[top].sum(dtype=np.uint64)
    files = int(np.count_nonzero(top)) - int(np.count_nonzero(top[page.sparse]))
    files += int(counts[top[page.sparse]].sum(dtype=np.uint64))
    tid = tree_id(
        b"".join((*page.top_names(), bytes((page.level,)), *(c[top].tobytes() for c in (kinds, sizes, tids))))
    )
    return Patched(data, tid, int(direct), files, newest(table))


def _changed_section(patch: Patch) -> tuple[list[Changed | None], bytes]:
    """Return the commits that the rows name, and the section that says so."""
    page, cells = patch.page, patch.cells
    fresh = {cell.changed for cell in cells.values()}
    numbers = page.change_numbers.copy()
    rows = np.fromiter(cells, np.int64, len(cells))
    numbers[rows] = NOT_CHANGED
    kept = {page.changes[number] for number in np.unique(numbers).tolist() if number != NOT_CHANGED}
    table = sorted(change for change in kept | fresh if change is not None)
    if not table:
        return [], b""
    place: dict[Changed | None, int] = {change: number for number, change in enumerate(table)}
    place[None] = NOT_CHANGED
    moved = np.full(NOT_CHANGED + 1, NOT_CHANGED, "<u2")
    for number, change in enumerate(page.changes):
        moved[number] = place.get(change, NOT_CHANGED)
    numbers = moved[numbers]
    for row, cell in cells.items():
        numbers[row] = place[cell.changed]
    return list(table), pack_changes(table, numbers.astype("<u2").tobytes())


def _aux_section(patch: Patch) -> bytes:
    page, cells = patch.page, patch.cells
    fresh = {row: cell.aux for row, cell in cells.items()}
    aux = {row: page.aux(row) for row in page.aux_rows} | fresh
    return pack_aux_rows([(row, packed) for row, packed in sorted(aux.items()) if packed is not None])
