"""Bulk builds: the same root as edits and as the plain model, in bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.errors import FileCollisionError, InvalidInputError
from pfs.ids import PageId, page_id
from pfs.trees.bulk import RowBatch, build, build_columns
from pfs.trees.cutrule import TreeParams, cuts, cuts_of_columns
from pfs.trees.edit import Delete, Edit, Put, edit
from pfs.trees.page import Changed, Kind, pack_aux
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Root, Tree
from tests.pfs.tree_model import FILES, SMALL, TINY, File, put, reference_root

CHANGED = Changed(b"1" * 16, 1_000)


@settings(max_examples=150, deadline=None)
@given(FILES, st.sampled_from([TINY, SMALL]), st.sampled_from([None, CHANGED]))
def test_build_is_the_reference(texts: dict[bytes, bytes], params: TreeParams, changed: Changed | None) -> None:
    puts = [put(key, text) for key, text in sorted(texts.items())]
    files = {one.key: File(one.kind, one.size, one.tid, changed) for one in puts}
    root = build(MemoryPages(), puts, changed=changed, collisions="allow", params=params)
    assert root == reference_root(files, params)


def in_batches(puts: Sequence[Put], size: int) -> Iterator[RowBatch]:
    return (RowBatch.from_puts(puts[at : at + size]) for at in range(0, len(puts), size))


@settings(max_examples=120, deadline=None)
@given(FILES, st.integers(1, 40), st.sampled_from([TINY, SMALL, TreeParams()]), st.randoms())
def test_columns_in_batches_are_the_reference(
    texts: dict[bytes, bytes], size: int, params: TreeParams, rng: random.Random
) -> None:
    """Directories that end in a batch are taken whole; those that go on behind it, row by row: the same comes out."""
    metadata = {key: {"t": rng.randrange(2**40)} if rng.random() < 0.5 else None for key in texts}
    puts = [replace(put(key, text), aux=metadata[key]) for key, text in sorted(texts.items())]
    files = {one.key: File(one.kind, one.size, one.tid, CHANGED, pack_aux(one.aux)) for one in puts}
    root = build_columns(MemoryPages(), in_batches(puts, size), changed=CHANGED, collisions="allow", params=params)
    assert root == reference_root(files, params)


@settings(max_examples=60, deadline=None)
@given(FILES, FILES, st.integers(1, 40))
def test_columns_are_what_edits_give(before: dict[bytes, bytes], after: dict[bytes, bytes], size: int) -> None:
    pages = MemoryPages()
    puts = [put(key, text) for key, text in sorted(after.items())]
    root = edit(pages, EMPTY_ROOT, [put(*one) for one in before.items()], changed=None, collisions="allow")
    gone: list[Edit] = [Delete(key) for key in before if key not in after]
    root = edit(pages, root, [*puts, *gone], changed=None, collisions="allow")
    assert root == build_columns(MemoryPages(), in_batches(puts, size), changed=None, collisions="allow")


@settings(max_examples=60, deadline=None)
@given(FILES, st.integers(1, 40))
def test_collisions_are_those_of_edits(texts: dict[bytes, bytes], size: int) -> None:
    puts = [put(key, text) for key, text in sorted(texts.items())]

    def refused(make: Callable[[], Root]) -> bool:
        try:
            make()
        except FileCollisionError:
            return True
        return False

    batches = in_batches(puts, size)
    built = refused(lambda: build_columns(MemoryPages(), batches, changed=None))
    assert built == refused(lambda: edit(MemoryPages(), EMPTY_ROOT, puts, changed=None))


@pytest.mark.parametrize("per_directory", [3, 31, 32, 33, 1000, 10**9])
def test_layouts_in_batches_are_what_edits_give(per_directory: int) -> None:
    """At the format's own parameters, with pages that are full."""
    puts = [put(b"top/d%05d/x/f%06d" % (number // per_directory, number)) for number in range(3000)]
    root = edit(MemoryPages(), EMPTY_ROOT, puts, changed=CHANGED)
    for size in (7, 1000, 4096):
        assert root == build_columns(MemoryPages(), in_batches(puts, size), changed=CHANGED)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 60), st.integers(1, 50), st.sampled_from([TINY, SMALL]))
def test_one_directory_in_batches(count: int, batch: int, step: int, params: TreeParams) -> None:
    puts = [put(b"n%05d" % (n * step)) for n in range(count)]
    batches = [RowBatch.from_puts(puts[at : at + batch]) for at in range(0, count, batch)]
    root = build_columns(MemoryPages(), batches, changed=CHANGED, params=params)
    assert root == edit(MemoryPages(), EMPTY_ROOT, puts, changed=CHANGED, params=params)


def test_metadata_and_kinds_come_through() -> None:
    puts = [
        Put(b"a/big", Kind.CHUNKED, 5, put(b"x", b"1").tid, {"m": "text/plain", "u": {"k": "v"}}),
        Put(b"a/link", Kind.SYMLINK, 1, put(b"x", b"2").tid),
        Put(b"b", Kind.REMOVED, 9, put(b"x", b"3").tid, {"x": True}),
    ]
    pages = MemoryPages()
    root = build(pages, puts, changed=CHANGED)
    assert root == edit(MemoryPages(), EMPTY_ROOT, puts, changed=CHANGED)
    rows = list(Tree(pages, root).walk())
    assert [(row.key, row.kind, row.aux) for row in rows] == [(one.key, one.kind, one.aux) for one in puts]
    assert {row.changed for row in rows} == {CHANGED}


def test_arrow_batches() -> None:
    puts = [put(b"d%02d/f%d" % (n // 40, n)) for n in range(10, 90)]
    puts.sort(key=lambda one: one.key)
    batch = pa.record_batch(
        {
            "key": pa.array([one.key for one in puts], pa.binary()),
            "kind": pa.array([int(one.kind) for one in puts], pa.uint8()),
            "size": pa.array([one.size for one in puts], pa.uint64()),
            "tid": pa.array([one.tid for one in puts], pa.binary(32)),
            "aux": pa.array([pack_aux({"n": 1})] * len(puts), pa.binary()),
        }
    )
    want = [Put(one.key, one.kind, one.size, one.tid, {"n": 1}) for one in puts]
    root = build_columns(MemoryPages(), [RowBatch.from_arrow(batch)], changed=None)
    assert root == edit(MemoryPages(), EMPTY_ROOT, want, changed=None)


@pytest.mark.parametrize("keys", [[b"b", b"a"], [b"a", b"a"], [b""], [b"a/b", b"a.b"]])
def test_order_is_checked(keys: list[bytes]) -> None:
    with pytest.raises(InvalidInputError):
        build(MemoryPages(), [put(key) for key in keys], changed=None)


@pytest.mark.parametrize(
    ("keys", "existing"),
    [
        ([b"a", b"a/b"], "/a"),
        ([b"a", b"a!", b"a-b", b"a/b"], "/a"),
        ([b"a", b"a-/b", b"a/b"], "/a"),
        ([b"x/a", *(b"x/a-%04d" % n for n in range(3000)), b"x/a/c/d"], "/x/a"),
        ([b"a", b"a-b", b"a-b/c"], "/a-b"),
    ],
)
def test_collisions(keys: list[bytes], existing: str) -> None:
    puts = [put(key) for key in keys]
    with pytest.raises(FileCollisionError) as caught:
        build(MemoryPages(), puts, changed=None, params=SMALL)
    assert caught.value.existing == existing
    root: Root = build(MemoryPages(), puts, changed=None, collisions="allow", params=SMALL)
    assert root.count == len(keys)


def test_near_collisions_are_none() -> None:
    keys = [b"a", b"a-", b"a-b/c", b"a0", b"b/", b"b//c", b"c/d", b"c0"]
    assert build(MemoryPages(), [put(key) for key in keys], changed=None).count == len(keys)


def test_batches_are_checked() -> None:
    batch = RowBatch.from_puts([put(b"a"), put(b"b")])
    files = batch.files
    for wrong in (files._replace(kinds=np.array([0, 1], np.uint8)), files._replace(sizes=np.zeros(1, np.uint64))):
        with pytest.raises(InvalidInputError):
            build_columns(MemoryPages(), [batch._replace(files=wrong)], changed=None)
    with pytest.raises(InvalidInputError):
        build_columns(MemoryPages(), [batch, batch], changed=None)
    assert build_columns(MemoryPages(), [], changed=None) == EMPTY_ROOT


def test_arrow_columns_of_all_types() -> None:
    """Slices, large offsets, strings, and ids in columns of any width are read as they are."""
    keys, ids = [b"a", b"b/c", b"d"], [put(b"x", text).tid for text in (b"1", b"2", b"3")]
    want = build_columns(MemoryPages(), [RowBatch.from_puts([put(key) for key in keys[1:]])], changed=None)
    tid = put(b"x").tid
    for key_type in (pa.binary(), pa.large_binary(), pa.string(), pa.large_string()):
        for id_type in (pa.binary(32), pa.binary(), pa.large_binary()):
            batch = pa.record_batch(
                {
                    "key": pa.array(keys, pa.binary()).cast(key_type),
                    "kind": pa.array([0, 0, 0], pa.int8()),
                    "size": pa.array([9, 1, 1], pa.int64()),
                    "tid": pa.array([ids[0], tid, tid], id_type),
                    "aux": pa.array([b"x", None, None], pa.binary()),
                }
            )
            assert build_columns(MemoryPages(), [RowBatch.from_arrow(batch.slice(1))], changed=None) == want
    good = {"key": pa.array([b"a"]), "kind": pa.array([0]), "size": pa.array([1]), "tid": pa.array([tid])}
    for name, column in {
        "key": pa.array([None], pa.binary()),
        "size": pa.array([1.5]),
        "kind": pa.array([None], pa.uint8()),
        "tid": pa.array([b"short"]),
    }.items():
        with pytest.raises(InvalidInputError):
            RowBatch.from_arrow(pa.record_batch({**good, name: column}))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 9)), max_size=300),
    st.integers(0, 40),
    st.sampled_from([TINY, SMALL, TreeParams()]),
    st.integers(0, 2),
)
def test_both_cut_functions_agree(groups: list[tuple[int, int]], rows: int, params: TreeParams, level: int) -> None:
    from xxhash import xxh3_64_intdigest

    names = [b"%d" % name for name, _ in groups]
    weights = [weight for _, weight in groups]
    hashes = np.array([xxh3_64_intdigest(name, level) for name in names], np.uint64)
    columns = cuts_of_columns(hashes, np.array(weights, np.int64), level, rows=rows, params=params)
    assert columns == cuts(names, weights, level, rows=rows, params=params)


class DroppingPages(MemoryPages):
    """Forgets what it is given."""

    def put_page(self, data: bytes) -> PageId:
        return page_id(data)


def test_memory_does_not_grow_with_the_number_of_files() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        rows = (put(b"d%04d/f%07d" % (n // 5000, n)) for n in range(count))
        assert build(DroppingPages(), rows, changed=CHANGED).count == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(60_000) < 1.3 * peak(20_000)
