"""Edits: the root depends on the files and on nothing else."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.cutrule import TreeParams
from pfs.edit import Delete, Edit, Put, edit
from pfs.ids import TreeId
from pfs.page import Changed, Kind
from pfs.tree import EMPTY_ROOT, MemoryPages, Root, Tree
from tests.pfs.tree_model import FILES, KEYS, SMALL, TEXTS, TINY, File, put, reference_root

FIRST = Changed(b"1" * 16, 1_000)


def tid(text: bytes) -> TreeId:
    return TreeId(blake3(text).digest())


def file(text: bytes = b"x", changed: Changed | None = FIRST) -> File:
    return File(Kind.FILE, len(text), tid(text), changed)


def build(pages: MemoryPages, files: dict[bytes, File], params: TreeParams) -> Root:
    edits = [Put(key, Kind(one.kind), one.size, TreeId(one.tid)) for key, one in files.items()]
    return edit(pages, EMPTY_ROOT, edits, changed=FIRST, collisions="allow", params=params)


def test_empty() -> None:
    assert reference_root({}) == EMPTY_ROOT


def test_one() -> None:
    pages = MemoryPages()
    files = {b"a": file(), b"b/c": file(b"yy"), b"b/d/e": file(), b"z/": file(b"")}
    assert build(pages, files, SMALL) == reference_root(files, SMALL)


@settings(max_examples=150, deadline=None)
@given(FILES, st.lists(st.tuples(KEYS, st.none() | TEXTS), max_size=40), st.sampled_from([TINY, SMALL]))
def test_edits_give_what_a_rebuild_gives(
    texts: dict[bytes, bytes], changes: list[tuple[bytes, bytes | None]], params: TreeParams
) -> None:
    pages = MemoryPages()
    files = {key: file(text) for key, text in texts.items()}
    root = build(pages, files, params)
    assert root == reference_root(files, params)
    edits: list[Edit] = []
    for key, text in changes:
        if text is None:
            files.pop(key, None)
            edits.append(Delete(key))
        else:
            files[key] = file(text)
            edits.append(put(key, text))
    root = edit(pages, root, edits, changed=FIRST, collisions="allow", params=params)
    assert root == reference_root(files, params)
    seen = {row.key: row.tid for row in Tree(pages, root).walk()}
    assert seen == {key: one.tid for key, one in files.items()}
