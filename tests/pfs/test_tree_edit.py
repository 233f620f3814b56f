"""Edits: the root depends on the files and on nothing else."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import FileCollisionError, InvalidInputError, StorageError
from pfs.ids import NO_PAGE, PageId, TreeId
from pfs.trees.bulk import build as bulk_build
from pfs.trees.cutrule import TreeParams
from pfs.trees.diff import diff
from pfs.trees.edit import Delete, DeleteTree, Edit, Graft, Put, copy_dir, edit
from pfs.trees.page import Changed, Kind
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Root, Row, Tree
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
    pages = MemoryPages()
    assert edit(pages, EMPTY_ROOT, [Delete(b"a"), DeleteTree(b"b"), DeleteTree(b"")], changed=FIRST) == EMPTY_ROOT
    assert pages.pages == {}


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=100, deadline=None)
@given(FILES, KEYS, KEYS, st.sampled_from([TINY, SMALL]))
def test_deleting_and_copying_directories(
    texts: dict[bytes, bytes], key: bytes, target: bytes, params: TreeParams
) -> None:
    pages = MemoryPages()
    files = {key: file(text) for key, text in texts.items()}
    root = build(pages, files, params)
    copies = copy_dir(Tree(pages, root), key, target)
    inside = {name: one for name, one in files.items() if name.startswith(key + b"/")}
    assert bool(copies) == bool(inside)
    copied = edit(pages, root, copies, changed=FIRST, collisions="allow", params=params)
    want = {name: one for name, one in files.items() if not inside or not name.startswith(target + b"/")}
    want.update({target + name[len(key) :]: one for name, one in inside.items()})
    assert copied == reference_root(want, params)
    less = edit(pages, root, [DeleteTree(key)], changed=FIRST, collisions="allow", params=params)
    assert less == reference_root({name: one for name, one in files.items() if name not in inside}, params)


@settings(max_examples=60, deadline=None)
@given(FILES, st.randoms(), st.sampled_from([TINY, SMALL]))
def test_any_order_in_any_number_of_steps(texts: dict[bytes, bytes], rng: random.Random, params: TreeParams) -> None:
    pages = MemoryPages()
    files = {key: file(text) for key, text in texts.items()}
    edits: list[Edit] = [put(key, text) for key, text in texts.items()]
    edits += [put(b"gone/%d" % n) for n in range(30)]
    rng.shuffle(edits)
    root = EMPTY_ROOT
    while edits:
        some, edits = edits[:7], edits[7:]
        root = edit(pages, root, some, changed=FIRST, collisions="allow", params=params)
    root = edit(pages, root, [DeleteTree(b"gone")], changed=FIRST, collisions="allow", params=params)
    assert root == reference_root({key: one for key, one in files.items() if key[:5] != b"gone/"}, params)


def test_deleted_and_put_back_is_the_same_page() -> None:
    pages = MemoryPages()
    keys = [b"d%d/f%03d" % (n % 7, n) for n in range(2000)]
    root = edit(pages, EMPTY_ROOT, [put(key) for key in keys], changed=FIRST)
    second = Changed(b"2" * 16, 2_000)
    root = edit(pages, root, [put(b"d1/new")], changed=second)
    less = edit(pages, root, [Delete(key) for key in keys[::3]], changed=Changed(b"3" * 16, 3_000))
    assert less.tid != root.tid
    assert edit(pages, less, [put(key) for key in keys[::3]], changed=FIRST) == root
    row = Tree(pages, root).stat(b"d1")
    assert row is not None
    assert row.changed == second


def test_times_and_metadata_are_no_part_of_the_logical_id() -> None:
    pages = MemoryPages()
    puts = [put(b"d/%d" % n) for n in range(300)]
    plain = edit(pages, EMPTY_ROOT, puts, changed=None)
    dressed = [Put(one.key, one.kind, one.size, one.tid, {"m": "a/b", "t": n}) for n, one in enumerate(puts)]
    other = edit(pages, EMPTY_ROOT, dressed, changed=FIRST)
    assert (plain.tid == other.tid, plain.pid == other.pid) == (True, False)


def test_what_stays_the_same_keeps_its_commit() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"a"), put(b"b"), put(b"c")], changed=FIRST)
    second = Changed(b"2" * 16, 2_000)
    assert edit(pages, root, [put(b"a"), put(b"b")], changed=second) == root
    one = put(b"c")
    forced = Put(one.key, one.kind, one.size, one.tid, force=True)
    tagged = Put(b"b", one.kind, one.size, one.tid, {"m": "x"})
    new = edit(pages, root, [put(b"a"), tagged, forced], changed=second)
    assert [row.changed for row in Tree(pages, new).walk()] == [FIRST, second, second]
    assert new.tid == root.tid


@pytest.mark.parametrize("count", [10, 3000])
def test_a_tree_that_is_replaced_by_the_same_keeps_its_commits(count: int) -> None:
    pages = MemoryPages()
    puts = [put(b"d%d/%d/f%04d" % (n % 3, n % 2, n)) for n in range(count)] + [
        put(b"top%04d" % n) for n in range(count)
    ]
    root = edit(pages, EMPTY_ROOT, puts, changed=FIRST)
    second = Changed(b"2" * 16, 2_000)
    assert edit(pages, root, [DeleteTree(b""), *puts], changed=second) == root
    assert edit(pages, root, [DeleteTree(b"d1"), *puts[:count]], changed=second) == root
    new = edit(pages, root, [DeleteTree(b"d1"), put(b"d1/1/f0001", b"new"), put(b"d1/0/f0004")], changed=second)
    rows = {row.key: row.changed for row in Tree(pages, new).walk(b"d1")}
    assert rows == {b"d1/0/f0004": FIRST, b"d1/1/f0001": second}


def test_later_edits_win() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"a/x"), put(b"a/y"), put(b"b")], changed=FIRST)

    def keys(*edits: Edit) -> list[bytes]:
        return [row.key for row in Tree(pages, edit(pages, root, edits, changed=FIRST)).walk()]

    assert keys(DeleteTree(b"a"), put(b"a/z")) == [b"a/z", b"b"]
    assert keys(put(b"a/z"), DeleteTree(b"a")) == [b"b"]
    assert keys(Delete(b"b"), put(b"b")) == [b"a/x", b"a/y", b"b"]
    assert keys(put(b"b"), Delete(b"b")) == [b"a/x", b"a/y"]
    assert keys(DeleteTree(b""), put(b"c")) == [b"c"]
    assert keys(DeleteTree(b"a"), put(b"a")) == [b"a", b"b"]
    assert keys(Delete(b"b"), put(b"b/c")) == [b"a/x", b"a/y", b"b/c"]


def test_a_graft_reads_one_page_and_takes_edits_on_top() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"src/%04d" % n) for n in range(2000)], changed=FIRST)
    row = Tree(pages, root).stat(b"src", want="dir")
    assert row is not None
    grafted = edit(pages, root, [Graft(b"x/y", row), Delete(b"x/y/0007"), put(b"x/y/new")], changed=FIRST)
    names = [b"%04d" % n for n in range(2000) if n != 7] + [b"new"]
    want = {b"src/%04d" % n: file() for n in range(2000)} | {b"x/y/" + name: file() for name in names}
    assert grafted == reference_root(want)
    whole = edit(pages, EMPTY_ROOT, [Graft(b"", row)], changed=FIRST)
    assert whole == reference_root({b"%04d" % n: file() for n in range(2000)})


def test_a_grafted_small_root_is_inlined() -> None:
    pages = MemoryPages()
    small = edit(pages, EMPTY_ROOT, [put(b"a"), put(b"b")], changed=FIRST)
    row = Tree(pages, small).stat(b"")
    assert row is not None
    assert edit(pages, EMPTY_ROOT, [Graft(b"d", row)], changed=FIRST) == reference_root(
        {b"d/a": file(), b"d/b": file()}
    )


@pytest.mark.parametrize("others", [0, 500])
def test_collisions_are_refused_with_the_paths(others: int) -> None:
    pages = MemoryPages()
    filler = [put(b"a!%04d" % n) for n in range(others)] + [put(b"d-%04d" % n) for n in range(others)]
    root = edit(pages, EMPTY_ROOT, [put(b"a"), put(b"d/x"), *filler], changed=FIRST)

    def refused(*edits: Edit) -> tuple[str, str]:
        with pytest.raises(FileCollisionError) as caught:
            edit(pages, root, edits, changed=FIRST)
        return caught.value.path, caught.value.existing

    assert refused(put(b"a/b/c")) == ("/a/b/c", "/a")
    assert refused(put(b"d")) == ("/d", "/d/")
    assert refused(put(b"new"), put(b"new/x")) == ("/new", "/new/")
    assert refused(put(b"s/new"), put(b"s/new/x")) == ("/s/new", "/s/new/")
    assert edit(pages, root, [Delete(b"a"), put(b"a/b")], changed=FIRST).count == root.count
    assert edit(pages, root, [DeleteTree(b"d"), put(b"d")], changed=FIRST).count == root.count
    assert edit(pages, root, [Delete(b"d/x"), put(b"d")], changed=FIRST).count == root.count
    both = edit(pages, root, [put(b"d")], changed=FIRST, collisions="allow")
    assert edit(pages, both, [put(b"other"), Delete(b"d/none")], changed=FIRST).count == both.count + 1


@pytest.mark.parametrize(
    "bad",
    [
        put(b""),
        Put(b"a", Kind.DIR, 0, tid(b"")),
        Put(b"a", Kind.FILE, -1, tid(b"")),
        Put(b"a", Kind.FILE, 1, TreeId(b"short")),
        put(b"x" * 65535),
        Graft(b"a", Row(b"f", Kind.FILE, 1, tid(b""), 1, NO_PAGE, None, None)),
        Graft(b"a", Row(b"f", Kind.DIR, 1, tid(b""), 1, NO_PAGE, None, None)),
    ],
)
def test_wrong_edits(bad: Edit) -> None:
    with pytest.raises(InvalidInputError):
        edit(MemoryPages(), EMPTY_ROOT, [bad], changed=FIRST)


def test_a_path_of_thousands_of_steps() -> None:
    pages = MemoryPages()
    deep = b"a/" * 2040
    root = edit(pages, EMPTY_ROOT, [put(deep + b"x"), put(deep + b"y"), put(b"b" + b"/" * 1000)], changed=FIRST)
    assert root == bulk_build(
        MemoryPages(), [put(deep + b"x"), put(deep + b"y"), put(b"b" + b"/" * 1000)], changed=FIRST
    )
    tree = Tree(pages, root)
    row = tree.stat(deep + b"y")
    assert row is not None
    assert [row.key for row in tree.walk(deep[:-1])] == [deep + b"x", deep + b"y"]
    less = edit(pages, root, [Delete(deep + b"x")], changed=FIRST)
    assert [change.key for change in diff(pages, root, pages, less)] == [deep + b"x"]
    assert edit(pages, less, [DeleteTree(b"a"), DeleteTree(b"b")], changed=FIRST) == EMPTY_ROOT


class FailingPages(MemoryPages):
    """Fails at the n-th write."""

    def __init__(self, under: MemoryPages, left: int) -> None:
        super().__init__(under)
        self.left = left

    def put_page(self, data: bytes) -> PageId:
        self.left -= 1
        if self.left < 0:
            raise StorageError("write a page", "disk on fire")
        return super().put_page(data)


def test_a_failed_write_leaves_the_old_tree_and_can_be_repeated() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"d%d/%03d" % (n % 5, n)) for n in range(400)], changed=FIRST, params=SMALL)
    edits = [put(b"d%d/%03dx" % (n % 5, n)) for n in range(0, 400, 11)]
    want = edit(MemoryPages(pages), root, edits, changed=FIRST, params=SMALL)
    before = list(Tree(pages, root).walk())
    for left in range(1000):
        sink = FailingPages(pages, left)
        try:
            assert edit(sink, root, edits, changed=FIRST, params=SMALL) == want
            break
        except StorageError:
            assert list(Tree(pages, root).walk()) == before
    assert left > 10


def test_a_hundred_thousand_files_at_once_and_by_edits() -> None:
    rng = random.Random(7)
    keys = [b"d%03d/img_%06d.jpg" % (n // 1000, n) for n in range(60_000)]
    keys += [b"flat_%06d" % n for n in range(20_000)] + [b"s%05d/%d" % (n // 4, n) for n in range(20_000)]
    want = {key: put(key) for key in keys}
    pages = MemoryPages()
    whole = bulk_build(pages, sorted(want.values(), key=lambda one: one.key), changed=FIRST)
    stale = {key: put(key, b"old") for key in rng.sample(keys, 500)}
    extra = [b"%s.extra" % key for key in rng.sample(keys, 250)]
    gone = rng.sample([key for key in keys if key not in stale], 250)
    start = sorted(set(keys) - set(gone)) + extra
    puts = [stale.get(key) or want.get(key) or put(key) for key in sorted(start)]
    root = bulk_build(pages, puts, changed=FIRST)
    edits: list[Edit] = [want[key] for key in [*stale, *gone]]
    edits += [Delete(key) for key in extra]
    rng.shuffle(edits)
    at = 0
    while at < len(edits):
        step = rng.randrange(1, 60)
        root = edit(pages, root, edits[at : at + step], changed=FIRST)
        at += step
    assert root == whole
    for key in rng.sample(keys, 5):
        before = pages.new_bytes
        edit(pages, root, [put(key, b"one file")], changed=FIRST)
        assert 0 < pages.new_bytes - before < 100_000
