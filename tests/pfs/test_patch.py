"""Changing rows in place: byte by byte the page that encoding all rows gives."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pfs.ids import NO_PAGE
from pfs.trees.page import Cell, Changed, Kind, Page, encode_cells, pack_aux
from pfs.trees.patch import Patch, fits, single_row
from pfs.trees.row import MemoryPages
from pfs.trees.seal import Sealer, groups_of

CHANGES = st.sampled_from([None, Changed(b"\x11" * 16, 5), Changed(b"\x22" * 16, 4), Changed(b"\x33" * 16, 9)])
AUX = st.sampled_from([None, pack_aux({"m": "text/plain"}), pack_aux({"x": True})])
TIDS = st.binary(min_size=32, max_size=32)
SIZES = st.integers(0, 2**40)
FILE_KINDS = st.sampled_from([int(Kind.FILE), int(Kind.CHUNKED), int(Kind.SYMLINK)])


@st.composite
def groups(draw: st.DrawFn, number: int) -> list[Cell]:
    """A file, a directory with a page, or one with a row inlined below it."""
    name, changed = b"n%03d" % number, draw(CHANGES)
    match draw(st.integers(0, 3)):
        case 0:
            return [Cell(name + b"/", Kind.DIR, 0, draw(SIZES), draw(TIDS), 7, draw(TIDS), changed)]
        case 1:
            below = Cell(name + b"/x", Kind.FILE, 1, draw(SIZES), draw(TIDS), changed=changed, aux=draw(AUX))
            return [Cell(name + b"/", Kind.DIR, 0, below.size, draw(TIDS), 1, NO_PAGE, changed), below]
        case _:
            return [Cell(name, draw(FILE_KINDS), 0, draw(SIZES), draw(TIDS), changed=changed, aux=draw(AUX))]


@st.composite
def leaves(draw: st.DrawFn) -> tuple[list[Cell], dict[int, Cell]]:
    """The rows of a leaf, and rows that take the place of some of them."""
    cells = [cell for number in range(draw(st.integers(1, 12))) for cell in draw(groups(number))]
    single = [row for row, cell in enumerate(cells) if _is_single(cells, row)]
    rows = draw(st.sets(st.sampled_from(single))) if single else set()
    return cells, {row: draw(successors(cells[row])) for row in sorted(rows)}


@st.composite
def successors(draw: st.DrawFn, old: Cell) -> Cell:
    """A row of the same name, folder or not as before."""
    new = old._replace(size=draw(SIZES), tid=draw(TIDS), changed=draw(CHANGES))
    if old.kind == Kind.DIR:
        return new._replace(files=draw(st.integers(1, 10**6)), pid=draw(TIDS))
    return new._replace(kind=draw(FILE_KINDS), aux=draw(AUX))


def _is_single(cells: Sequence[Cell], row: int) -> bool:
    return not cells[row].depth and (row + 1 == len(cells) or not cells[row + 1].depth)


@given(leaves())
def test_a_patched_leaf_is_the_page_of_its_rows(drawn: tuple[list[Cell], dict[int, Cell]]) -> None:
    cells, new = drawn
    patch = Patch(Page(encode_cells(0, cells)), new)
    wanted = [new.get(row, cell) for row, cell in enumerate(cells)]
    assert patch.groups() == groups_of(wanted)
    plain, patched = MemoryPages(), MemoryPages()
    assert Sealer(patched).seal_patch(patch) == Sealer(plain).seal(0, groups_of(wanted))
    assert {pid: page.data for pid, page in patched.pages.items()} == {p: page.data for p, page in plain.pages.items()}


@given(st.lists(st.tuples(SIZES, TIDS, TIDS, CHANGES), min_size=1, max_size=9), st.data())
def test_a_patched_index_page_is_the_page_of_its_rows(
    rows: list[tuple[int, bytes, bytes, Changed | None]], data: st.DataObject
) -> None:
    cells = [
        Cell(b"n%03d" % number, Kind.SHARD, 0, size, tid, 1 + number, pid, changed)
        for number, (size, tid, pid, changed) in enumerate(rows)
    ]
    chosen = data.draw(st.sets(st.integers(0, len(cells) - 1)))
    new = {row: cells[row]._replace(size=5, tid=b"t" * 32, pid=b"p" * 32, files=99) for row in chosen}
    wanted = [new.get(row, cell) for row, cell in enumerate(cells)]
    patched, plain = MemoryPages(), MemoryPages()
    sealed = Sealer(patched).seal_patch(Patch(Page(encode_cells(1, cells)), new))
    assert sealed == Sealer(plain).seal(1, groups_of(wanted))
    assert patched.pages.keys() == plain.pages.keys()


@given(leaves())
def test_single_rows_are_found_by_name(drawn: tuple[list[Cell], dict[int, Cell]]) -> None:
    cells, _ = drawn
    page = Page(encode_cells(0, cells))
    for row, cell in enumerate(cells):
        assert single_row(page, cell.name) == (row if _is_single(cells, row) else None)
    assert single_row(page, b"nowhere") is None


def test_what_comes_goes_or_has_rows_below_does_not_fit() -> None:
    file, folder = Cell(b"a", Kind.FILE, 0, 1, b"t" * 32), Cell(b"a/", Kind.DIR, 0, 1, b"t" * 32, 1, b"p" * 32)
    assert fits([file], [file._replace(kind=Kind.CHUNKED)])
    assert fits([folder], [folder._replace(pid=b"q" * 32)])
    assert not fits(None, [file])
    assert not fits([file], None)
    assert not fits([folder], [folder, file._replace(name=b"a/b", depth=1)])
    assert not fits([file], [file._replace(name=b"b")])
