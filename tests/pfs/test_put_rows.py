"""Files of one directory as columns: the tree is what a put of each of them gives."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import FileCollisionError, InvalidInputError
from pfs.ids import TreeId
from pfs.trees.columns import aux_of
from pfs.trees.cutrule import TreeParams
from pfs.trees.edit import Delete, DeleteTree, Edit, Put, edit
from pfs.trees.edits import puts_of
from pfs.trees.page import Changed, Kind, pack_aux
from pfs.trees.put_rows import PutRows
from pfs.trees.row import EMPTY_ROOT, MemoryPages, Root
from pfs.trees.span import Files
from tests.pfs.tree_model import SMALL, TINY

WHEN, THEN = Changed(bytes(16), 1), Changed(b"\1" * 16, 2)
NAMES = st.sampled_from([b"%d" % number for number in range(60)])
FOLDERS = st.sampled_from([b"", b"a", b"a/b", b"c"])
ROWS = st.builds(lambda key, names, text: rows(key, sorted(names), text), FOLDERS, st.sets(NAMES, min_size=1), NAMES)
PUTS = st.builds(lambda folder, name, text: put(folder, name, text), FOLDERS, NAMES, NAMES)
DELETES = st.builds(lambda folder, name: Delete(under(folder, name)), FOLDERS, NAMES)
CLEARED = st.builds(DeleteTree, FOLDERS)
EDITS = st.lists(st.one_of(ROWS, ROWS, PUTS, DELETES, CLEARED), max_size=8)


def under(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def put(folder: bytes, name: bytes, text: bytes) -> Put:
    return Put(under(folder, name), Kind.FILE, len(text), TreeId(blake3(text).digest()), {"x": True} if text else None)


def rows(key: bytes, names: list[bytes], text: bytes = b"") -> PutRows:
    count = len(names)
    tids = [blake3(name + text).digest() for name in names]
    sizes = np.arange(count, dtype=np.uint64)
    aux = aux_of([pack_aux({"x": True}) if name < b"3" else None for name in names])
    files = Files(
        np.full(count, Kind.FILE, np.uint8), sizes, np.frombuffer(b"".join(tids), np.uint8).reshape(-1, 32), aux
    )
    return PutRows(key, names, files)


def one_by_one(edits: list[Edit]) -> list[Edit]:
    return [one for given in edits for one in (puts_of(given) if isinstance(given, PutRows) else [given])]


@given(before=EDITS, edits=EDITS, params=st.sampled_from([TINY, SMALL, TreeParams()]))
def test_columns_give_what_puts_give(before: list[Edit], edits: list[Edit], params: TreeParams) -> None:
    pages = MemoryPages()
    base = edit(pages, EMPTY_ROOT, one_by_one(before), changed=WHEN, collisions="allow", params=params)

    def after(given: list[Edit], start: Root) -> Root:
        return edit(pages, start, given, changed=THEN, collisions="allow", params=params)

    assert after(edits, base) == after(one_by_one(edits), base)
    assert after(edits, EMPTY_ROOT) == after(one_by_one(edits), EMPTY_ROOT)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 700])
@pytest.mark.parametrize("key", [b"", b"in", b"in/in"])
def test_a_directory_of_any_size(key: bytes, count: int) -> None:
    pages, names = MemoryPages(), [b"%05d" % number for number in range(count)]
    first, second = rows(key, names[::2]), rows(key, names[1::2]) if count > 1 else rows(key, [b"x"])
    edits: list[Edit] = [first, second, put(key, b"y", b"text")]
    root = edit(pages, EMPTY_ROOT, edits, changed=WHEN)
    assert root == edit(pages, EMPTY_ROOT, one_by_one(edits), changed=WHEN)
    assert root.count == max(count, 2) + 1


def test_the_last_one_of_a_name_counts() -> None:
    pages, names = MemoryPages(), [b"%05d" % number for number in range(50)]
    for edits in ([put(b"d", names[3], b"1"), rows(b"d", names)], [rows(b"d", names), put(b"d", names[3], b"1")]):
        given: list[Edit] = list(edits)
        assert edit(pages, EMPTY_ROOT, given, changed=WHEN) == edit(pages, EMPTY_ROOT, one_by_one(given), changed=WHEN)


def test_collisions_are_refused() -> None:
    pages, names = MemoryPages(), [b"%05d" % number for number in range(50)]
    file = edit(pages, EMPTY_ROOT, [put(b"", b"d", b"1")], changed=WHEN)
    with pytest.raises(FileCollisionError, match="/d"):
        edit(pages, file, [rows(b"d", names)], changed=WHEN)
    folder = edit(pages, EMPTY_ROOT, [rows(names[3], names)], changed=WHEN)
    with pytest.raises(FileCollisionError, match="/00003"):
        edit(pages, folder, [rows(b"", names)], changed=WHEN)
    with pytest.raises(FileCollisionError, match="/00003"):
        edit(pages, EMPTY_ROOT, [rows(b"", names), put(names[3], b"below", b"1")], changed=WHEN)


@pytest.mark.parametrize("names", [[], [b""], [b"a/b"], [b"b", b"a"], [b"a", b"a"], [b"x" * 65535]])
def test_names_that_are_none_are_refused(names: list[bytes]) -> None:
    with pytest.raises(InvalidInputError):
        edit(MemoryPages(), EMPTY_ROOT, [rows(b"d", names)], changed=WHEN)


def test_rows_that_are_no_files_are_refused() -> None:
    given = rows(b"d", [b"a", b"b"])
    folders = given.files._replace(kinds=np.full(2, Kind.DIR, np.uint8))
    for files in (folders, given.files._replace(sizes=given.files.sizes[:1])):
        with pytest.raises(InvalidInputError):
            edit(MemoryPages(), EMPTY_ROOT, [PutRows(b"d", given.names, files)], changed=WHEN)
