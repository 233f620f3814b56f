"""The page format: golden bytes, round trips, and refusal of what is not a page."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import CorruptionError, InvalidParamsError
from pfs.ids import NO_PAGE, TreeId
from pfs.trees.cutrule import TreeParams, cuts
from pfs.trees.edit import Put, edit
from pfs.trees.page import EMPTY_PAGE, Cell, Changed, Kind, Page, encode_cells, newest, pack_aux, unpack_aux
from pfs.trees.page_check import why_not_rows
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Tree
from tests.pfs.tree_model import FILES, SMALL, TINY, put

DATA = Path(__file__).parent.parent / "data"
EARLY, LATE = Changed(b"\xee" * 16, 1_000), Changed(b"\x11" * 16, 2_000)


def sample() -> list[Cell]:
    """A leaf with every kind of row and section."""
    rows = [
        Cell(b"", Kind.FILE, 0, 0, bytes(range(32)), changed=EARLY),
        Cell(b"big", Kind.CHUNKED, 0, 2**40, b"c" * 32, changed=LATE, aux=pack_aux({"m": "image/png", "x": True})),
        Cell(b"d/", Kind.DIR, 0, 7, b"d" * 32, 3, NO_PAGE, LATE),
        Cell(b"d/", Kind.FILE, 1, 0, b"e" * 32, changed=EARLY),
        Cell(b"d/e/", Kind.DIR, 1, 4, b"f" * 32, 1, NO_PAGE, None),
        Cell(b"d/e/link", Kind.SYMLINK, 2, 4, b"g" * 32),
        Cell(b"d/z", Kind.REMOVED, 1, 3, b"h" * 32, aux=pack_aux({"u": {"b": "2", "a": "1"}})),
        Cell(b"ext", Kind.EXTERNAL, 0, 1, b"i" * 32, changed=LATE),
        Cell(b"large/", Kind.DIR, 0, 2**50, b"j" * 32, 10**6, b"p" * 32, EARLY),
        Cell(b"\xff\xfe", Kind.FILE, 0, 5, b"k" * 32, changed=EARLY),
    ]
    return sorted(rows, key=lambda cell: (cell.name, cell.depth))


def shards() -> list[Cell]:
    names = (b"f", b"m/", b"z")
    return [Cell(name, Kind.SHARD, 0, 100, name.ljust(32, b"."), 9, name.ljust(32, b"-"), LATE) for name in names]


@pytest.mark.parametrize(("name", "level"), [("leaf", 0), ("index", 1), ("empty", 0)])
def test_golden_pages(name: str, level: int) -> None:
    cells = {"leaf": sample(), "index": shards(), "empty": []}[name]
    golden = (DATA / f"tree_page_{name}.bin").read_bytes()
    assert encode_cells(level, cells) == golden
    assert Page(golden).cells() == cells
    ids = json.loads((DATA / "tree_ids.json").read_text())
    page = Page(golden)
    assert {"pid": page.pid.hex(), "tid": page.logical_id.hex()} == ids["pages"][name]


def test_golden_roots() -> None:
    """Whole trees: the shape, the cut rule and the ids never change."""
    golden = json.loads((DATA / "tree_ids.json").read_text())["roots"]
    assert len(golden) == 4
    for name, want in golden.items():
        root = edit(MemoryPages(), EMPTY_ROOT, golden_puts(name), changed=LATE)
        assert {"pid": root.pid.hex(), "tid": root.tid.hex(), "size": root.size, "count": root.count} == want


def golden_puts(name: str) -> list[Put]:
    if name == "empty":
        return []
    if name == "small":
        return [put(b"a"), put(b"b/c", b"yy"), put(b"b/d/"), Put(b"z", Kind.SYMLINK, 1, TreeId(b"z" * 32), {"m": "q"})]
    if name == "one directory":
        return [put(b"img_%07d.jpg" % n, b"%d" % n) for n in range(5000)]
    return [put(b"d%04d/%d/f%d" % (n // 60, n % 3, n), b"%d" % n) for n in range(5000)]


def test_the_empty_root_is_the_empty_page() -> None:
    assert (EMPTY_ROOT.pid, EMPTY_ROOT.tid) == (EMPTY_PAGE.pid, EMPTY_PAGE.logical_id)
    assert EMPTY_PAGE.data == (DATA / "tree_page_empty.bin").read_bytes()


@settings(max_examples=80, deadline=None)
@given(FILES, st.sampled_from([TINY, SMALL]))
def test_round_trip_and_sums(texts: dict[bytes, bytes], params: TreeParams) -> None:
    pages = MemoryPages()
    puts = [put(key, text) for key, text in texts.items()]
    root = edit(pages, EMPTY_ROOT, puts, changed=LATE, collisions="allow", params=params)
    for pid, page in pages.pages.items():
        cells = page.cells()
        assert [page.cell(row) for row in range(page.count)] == cells
        assert encode_cells(page.level, cells) == page.data
        assert Page(page.data).pid == pid
        for row, cell in enumerate(cells):
            assert page.name(page.find(cell.name)) == cell.name
            assert page.find(cell.name) <= row < page.find_after(cell.name)
        assert page.find(b"\xff" * 40) == page.count
    if root.count:
        page = pages.get_page(root.pid)
        assert (page.size, page.file_count, page.logical_id) == (root.size, root.count, root.tid)


def test_columns() -> None:
    page = Page(encode_cells(0, sample()))
    assert page.kinds.tolist() == [cell.kind for cell in sample()]
    assert page.sizes.tolist() == [cell.size for cell in sample()]
    assert page.tids.tobytes() == b"".join(cell.tid for cell in sample())
    assert page.group_end(2) == 7
    assert page.aux_rows == {1, 6}
    assert newest(page.changes) == LATE
    assert not page.sizes.flags.writeable


def test_metadata_is_packed_in_one_way() -> None:
    assert pack_aux({"b": 1, "a": {"d": b"x", "c": True}}) == pack_aux({"a": {"c": True, "d": b"x"}, "b": 1})
    assert unpack_aux(pack_aux({"t": 2**63 - 1, "u": {}})) == {"t": 2**63 - 1, "u": {}}
    assert (pack_aux({}), pack_aux(None), unpack_aux(None)) == (None, None, None)


def test_every_cut_and_every_flipped_bit_is_refused_or_another_page() -> None:
    """Damage either does not decode, or gives another address; nothing but CorruptionError comes out."""
    data = encode_cells(0, sample())
    refused = 0
    for end in range(len(data)):
        with pytest.raises(CorruptionError):
            Page(data[:end])
    for at in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        try:
            page = Page(bytes(damaged))
            assert page.pid != Page(data).pid
            page.cells()
        except CorruptionError:
            refused += 1
    assert refused > len(data)
    with pytest.raises(CorruptionError, match="pack x at 7"):
        Page(data[:-1], where="pack x at 7")


def test_random_bytes_are_no_page() -> None:
    rng = random.Random(5)
    for length in (0, 1, 39, 40, 48, 200):
        with pytest.raises(CorruptionError):
            Page(rng.randbytes(length))
        with pytest.raises(CorruptionError):
            Page((b"PG01\0\0\1\0" + rng.randbytes(length))[: length + 8])


@pytest.mark.parametrize(
    "cells",
    [
        [Cell(b"a", Kind.FILE, 1, 0, b"t" * 32)],
        [Cell(b"a", Kind.FILE, 0, 0, b"t" * 32), Cell(b"a/b", Kind.FILE, 1, 0, b"t" * 32)],
        [Cell(b"a", Kind.SHARD, 0, 0, b"t" * 32, 1, b"p" * 32)],
        [Cell(b"a", 7, 0, 0, b"t" * 32)],
    ],
)
def test_rows_that_make_no_sense(cells: list[Cell]) -> None:
    with pytest.raises(CorruptionError):
        Page(encode_cells(0, cells))
    with pytest.raises(CorruptionError):
        Page(encode_cells(1, [Cell(b"a", Kind.FILE, 0, 0, b"t" * 32)]))


def test_the_header_is_as_documented() -> None:
    data = encode_cells(0, sample())
    magic, level, flags, version, count, *offsets = struct.unpack_from("<4sBBHI7I", data)
    kind, size, tid, sparse, n_sparse, changed, aux = offsets
    assert (magic, level, flags, version, count, n_sparse) == (b"PG01", 0, 0, 1, 10, 3)
    assert all(offset % 8 == 0 for offset in (kind, size, tid, sparse, changed, aux, len(data)))
    ends = np.frombuffer(data, "<u4", count + 1, 40)
    assert data[40 + 4 * (count + 1) :][: ends[-1]] == b"".join(cell.name for cell in sample())
    assert struct.unpack_from("<H6x16sq", data, changed) == (2, LATE.commit, LATE.finished_ns)
    assert struct.unpack_from("<I2I", data, aux) == (2, 1, 6)


@pytest.mark.parametrize("bad", [(2, 7, 1), (13, 7, 1), (8, 2, 32), (8, 7, 65), (8, 7, -1), (12, 7, 256)])
def test_tree_params(bad: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidParamsError):
        TreeParams(*bad)


def test_crafted_names_cannot_make_a_page_endless() -> None:
    names = [b"same"] * 3000
    ends = cuts(names, [1] * len(names), 0, params=TINY)
    assert max(b - a for a, b in zip([0, *ends], ends, strict=False)) <= 16 * 8
    assert len(ends) >= 3000 // (16 * 8)


def test_a_page_of_many_rows_is_shared_between_readers() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"%04d" % n) for n in range(1000)], changed=LATE)
    assert pages.get_page(root.pid) is pages.get_page(root.pid)
    assert len(list(Tree(pages, root).walk())) == 1000


@given(
    st.integers(0, 1),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=6),
    st.lists(st.integers(0, 7), max_size=4) | st.none(),
)
def test_rows_that_no_page_has_are_refused(level: int, rows: list[tuple[int, int]], listed: list[int] | None) -> None:
    folders = [row for row, (kind, _) in enumerate(rows) if kind in (Kind.DIR, Kind.SHARD)]
    sparse = folders if listed is None else listed
    kinds, depths = bytes(kind for kind, _ in rows), bytes(depth for _, depth in rows)
    assert (why_not_rows(level, kinds, depths, sparse) is None) == (sparse == folders and are_rows(level, rows))


def are_rows(level: int, rows: list[tuple[int, int]]) -> bool:
    """Say whether a page may have rows of these kinds and depths."""
    above = 0
    for kind, depth in rows:
        if depth > above or kind > max(Kind) or (level and depth) or bool(level) != (kind == Kind.SHARD):
            return False
        above = depth + (kind == Kind.DIR)
    return True
