"""Reading: stat, list, walk and the S3 listings against a sorted dict."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import InvalidInputError, MissingObjectError, PfsError
from pfs.ids import EMPTY_CHUNK, NO_PAGE, PageId, TreeId
from pfs.trees.cutrule import TreeParams
from pfs.trees.edit import Put, edit
from pfs.trees.page import Changed, Kind, Page
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Root, Row, Tree
from tests.pfs.tree_model import FILES, KEYS, SMALL, TINY, File, put, reference_root

CHANGED = Changed(b"1" * 16, 1_000)
SHAPES = st.sampled_from([TINY, SMALL])


def tree_of(texts: dict[bytes, bytes], params: TreeParams) -> Tree:
    pages = MemoryPages()
    edits = [put(key, text) for key, text in texts.items()]
    return Tree(pages, edit(pages, EMPTY_ROOT, edits, changed=CHANGED, collisions="allow", params=params))


def folders(texts: dict[bytes, bytes]) -> set[bytes]:
    """Return all directories, with their slash."""
    return {key[: at + 1] for key in texts for at, char in enumerate(key) if char == ord("/")}


def order_keys(rows: list[Row]) -> list[bytes]:
    return [row.order_key for row in rows]


@settings(max_examples=80, deadline=None)
@given(FILES, KEYS, SHAPES)
def test_stat(texts: dict[bytes, bytes], other: bytes, params: TreeParams) -> None:
    tree = tree_of(texts, params)
    known = folders(texts)
    for key in [*texts, *(folder[:-1] for folder in known), other]:
        row = tree.stat(key, want="file")
        assert (row is not None) == (key in texts)
        if row is not None:
            one = put(key, texts[key])
            assert row == Row(key, Kind.FILE, one.size, one.tid, 1, NO_PAGE, CHANGED, None)
        below = {name: text for name, text in texts.items() if name.startswith(key + b"/")}
        found = tree.stat(key, want="dir")
        if key:
            assert (found is not None) == bool(below)
            assert tree.stat(key) == (row or found)
        if found is not None and key:
            inside = {
                name[len(key) + 1 :]: File(Kind.FILE, len(text), put(b"x", text).tid, CHANGED)
                for name, text in below.items()
            }
            want = reference_root(inside, params)
            assert (found.key, found.size, found.count, found.tid) == (key, want.size, want.count, want.tid)
            assert (found.is_dir, found.changed, found.pid in (NO_PAGE, want.pid)) == (True, CHANGED, True)


@settings(max_examples=80, deadline=None)
@given(FILES, KEYS, st.integers(0, 5), SHAPES)
def test_list(texts: dict[bytes, bytes], after: bytes, limit: int, params: TreeParams) -> None:
    tree = tree_of(texts, params)
    every = sorted([*texts, *folders(texts)])
    for folder in [b"", *sorted(folders(texts) - {b"/"})[:20]]:
        want = sorted(_children(texts, folder))
        assert order_keys(list(tree.list(folder[:-1]))) == want
        for start in (after, every[len(every) // 2] if every else after, folder, folder + after):
            rest = [name for name in want if name > start]
            assert order_keys(list(tree.list(folder[:-1], start_after=start))) == rest
            assert order_keys(list(tree.list(folder[:-1], start_after=start, limit=limit))) == rest[:limit]
            before = [name for name in reversed(want) if not start or name < start]
            assert order_keys(list(tree.list_back(folder[:-1], before=start))) == before
            assert order_keys(list(tree.list_back(folder[:-1], before=start, limit=limit))) == before[:limit]


def test_a_page_of_a_listing_reads_few_pages_from_either_end() -> None:
    pages = Counted()
    edits = [put(b"%05d" % number, b"x") for number in range(20_000)]
    tree = Tree(pages, edit(pages, EMPTY_ROOT, edits, changed=CHANGED))
    pages.read = 0
    assert [row.key for row in tree.list_back(limit=3)] == [b"19999", b"19998", b"19997"]
    assert [row.key for row in tree.list_back(before=b"10000", limit=2)] == [b"09999", b"09998"]
    assert pages.read <= 12


class Counted(MemoryPages):
    """Counts the pages that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def get_page(self, pid: PageId) -> Page:
        self.read += 1
        return super().get_page(pid)


def _children(texts: dict[bytes, bytes], folder: bytes) -> set[bytes]:
    names = {key[len(folder) :] for key in texts if key.startswith(folder)}
    return {folder + name[: name.find(b"/") + 1 or len(name)] for name in names}


@settings(max_examples=80, deadline=None)
@given(FILES, KEYS, SHAPES)
def test_walk_and_prefix(texts: dict[bytes, bytes], after: bytes, params: TreeParams) -> None:
    tree = tree_of(texts, params)
    keys = sorted(texts)
    every = sorted([*texts, *folders(texts)])
    assert [row.key for row in tree.walk()] == keys
    assert order_keys(list(tree.walk(with_dirs=True))) == every
    middle = every[len(every) // 2] if every else b"x"
    for start in (after, middle, middle + b"\xff"):
        assert [row.key for row in tree.walk(start_after=start)] == [key for key in keys if key > start]
        assert order_keys(list(tree.walk(start_after=start, with_dirs=True))) == [one for one in every if one > start]
    for prefix in (after, after[:1], middle, middle[:-1], b"/", b"n1"):
        want = [key for key in keys if key.startswith(prefix)]
        assert [row.key for row in tree.scan_prefix(prefix)] == want
        assert [row.key for row in tree.scan_prefix(prefix, start_after=middle)] == [
            key for key in want if key > middle
        ]
        assert [row.key for row in tree.scan_prefix(prefix, limit=2)] == want[:2]
    for folder in sorted(folders(texts) - {b"/"})[:10]:
        below = [one for one in every if one.startswith(folder) and one != folder]
        below = [folder, *below] if folder in texts else below
        assert order_keys(list(tree.walk(folder[:-1], with_dirs=True))) == below
        assert order_keys(list(tree.walk(folder[:-1], with_dirs=True, start_after=middle))) == [
            one for one in below if one > middle
        ]


def listed(texts: dict[bytes, bytes], prefix: bytes, start_after: bytes) -> list[bytes]:
    """What S3 lists: keys behind the start, rolled up; a common prefix that is the start itself is done."""
    found: dict[bytes, None] = {}
    for key in sorted(texts):
        if key.startswith(prefix) and key > start_after:
            slash = key.find(b"/", len(prefix))
            rolled = key if slash < 0 else key[: slash + 1]
            if rolled == key or rolled != start_after:
                found[rolled] = None
    return list(found)


@settings(max_examples=120, deadline=None)
@given(FILES, KEYS, KEYS, st.integers(1, 3), SHAPES)
def test_delimited(texts: dict[bytes, bytes], prefix: bytes, after: bytes, limit: int, params: TreeParams) -> None:
    tree = tree_of(texts, params)
    for some in (b"", prefix, prefix[:1], prefix + b"/", b"a/", b"/", b"n"):
        for start in (b"", after, prefix, prefix + b"/", some + after):
            want = listed(texts, some, start)
            got = order_keys(list(tree.list_delimited(some, start_after=start)))
            assert [one for one in got if one not in texts or one in want] == want
            assert got == want
        paged: list[bytes] = []
        while part := order_keys(
            list(islice(tree.list_delimited(some, start_after=paged[-1] if paged else b"", limit=limit), 10))
        ):
            paged += part
        assert paged == listed(texts, some, b"")


def test_a_marker_and_its_directory() -> None:
    tree = tree_of({b"a/": b"", b"a/b": b"x", b"a//": b"y", b"a": b"z", b"/": b"r"}, SMALL)
    assert [(row.key, row.kind) for row in tree.list(b"")] == [(b"", Kind.DIR), (b"a", Kind.FILE), (b"a", Kind.DIR)]
    assert [row.order_key for row in tree.list(b"a")] == [b"a/", b"a//", b"a/b"]
    assert [row.key for row in tree.walk(b"a")] == [b"a/", b"a//", b"a/b"]
    marker, nameless = tree.stat(b"a/"), tree.stat(b"a/", want="dir")
    assert marker is not None
    assert nameless is not None
    assert (marker.kind, marker.tid, nameless.count) == (Kind.FILE, TreeId(EMPTY_CHUNK), 1)
    assert [row.key for row in tree.scan_prefix(b"/")] == [b"/"]


def test_the_root_and_the_empty_tree() -> None:
    tree = tree_of({b"a/b": b"xx", b"c": b"x"}, SMALL)
    row = tree.stat(b"")
    assert row is not None
    assert (row.key, row.kind, row.size, row.count, row.changed) == (b"", Kind.DIR, 3, 2, CHANGED)
    assert tree.stat(b"", want="file") is None
    empty = Tree(MemoryPages(), EMPTY_ROOT)
    assert [*empty.list(), *empty.walk(), *empty.list_delimited(), *empty.list(b"a")] == []
    assert empty.stat(b"a") is None


def test_rows_carry_their_metadata() -> None:
    pages = MemoryPages()
    aux = {"m": "text/plain", "u": {"a": "b", "A": "c"}, "e": b"\x01", "t": 2**62, "x": True}
    one = Put(b"d/f", Kind.CHUNKED, 1, TreeId(b"t" * 32), aux)
    root = edit(pages, EMPTY_ROOT, [one, *(put(b"d/%03d" % n) for n in range(99))], changed=CHANGED)
    row = Tree(pages, root).stat(b"d/f")
    assert row is not None
    assert (row.aux, row.kind) == (aux, Kind.CHUNKED)


def test_only_slash_delimits() -> None:
    with pytest.raises(InvalidInputError):
        tree_of({}, SMALL).list_delimited(b"", delimiter=b"-")


class CountingPages(MemoryPages):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get_page(self, pid: PageId) -> Page:
        self.reads += 1
        return super().get_page(pid)


def test_reads_touch_few_pages() -> None:
    pages = CountingPages()
    puts = [put(b"d%02d/f%05d" % (n % 5, n)) for n in range(30_000)]
    root: Root = edit(pages, EMPTY_ROOT, puts, changed=CHANGED)
    tree = Tree(pages, root)

    pages.reads = 0
    assert tree.stat(b"d03/f20003") is not None
    assert tree.stat(b"d03") is not None
    assert len(list(tree.list(b"d03", start_after=b"d03/f20003", limit=100))) == 100
    assert len(list(tree.list_delimited(b"", limit=100))) == 5
    assert len(list(islice(tree.walk(start_after=b"d03/f20003"), 100))) == 100
    assert pages.reads < 25


def test_a_missing_page_is_said_and_named() -> None:
    pages = MemoryPages()
    root = edit(pages, EMPTY_ROOT, [put(b"f%05d" % n) for n in range(5000)], changed=CHANGED)
    page = pages.get_page(root.pid)
    del pages.pages[page.pid_of(1)]
    with pytest.raises(MissingObjectError) as caught:
        list(Tree(pages, root).walk())
    assert page.pid_of(1).hex()[:12] in str(caught.value)
    assert isinstance(caught.value, PfsError)
