"""Diffs: exactly the files that differ, in key order, without reading what both trees share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.ids import PageId
from pfs.trees.cutrule import TreeParams
from pfs.trees.diff import Behind, Change, diff
from pfs.trees.edit import Delete, Edit, Put, edit
from pfs.trees.page import Changed, Page
from pfs.trees.tree import EMPTY_ROOT, MemoryPages, Root, Row, Tree
from tests.pfs.tree_model import FILES, KEYS, SMALL, TEXTS, TINY, put

FIRST = Changed(b"1" * 16, 1_000)
SECOND = Changed(b"2" * 16, 2_000)


def tree(pages: MemoryPages, texts: dict[bytes, bytes], params: TreeParams, changed: Changed = FIRST) -> Root:
    edits = [put(key, text) for key, text in texts.items()]
    return edit(pages, EMPTY_ROOT, edits, changed=changed, collisions="allow", params=params)


def _tid(row: Row | None) -> bytes | None:
    return row.tid if row else None


def plain(changes: list[Change]) -> list[tuple[bytes, bytes | None, bytes | None]]:
    return [(one.key, _tid(one.old), _tid(one.new)) for one in changes]


@settings(max_examples=120, deadline=None)
@given(FILES, st.lists(st.tuples(KEYS, st.none() | TEXTS), max_size=30), st.sampled_from([TINY, SMALL]), KEYS)
def test_diff_is_the_difference_of_the_dicts(
    texts: dict[bytes, bytes],
    changes: list[tuple[bytes, bytes | None]],
    params: TreeParams,
    prefix: bytes,
) -> None:
    pages = MemoryPages()
    old = tree(pages, texts, params)
    after = dict(texts)
    edits: list[Edit] = []
    for key, text in changes:
        if text is None:
            after.pop(key, None)
            edits.append(Delete(key))
        else:
            after[key] = text
            edits.append(put(key, text))
    new = edit(pages, old, edits, changed=SECOND, collisions="allow", params=params)
    want = [
        (key, put(key, texts[key]).tid if key in texts else None, put(key, after[key]).tid if key in after else None)
        for key in sorted(texts.keys() | after.keys())
        if texts.get(key) != after.get(key)
    ]
    assert plain(list(diff(pages, old, pages, new))) == want
    for base in (b"", prefix + b"/"):
        inside = {key[len(base) :] for key, _, _ in want if key.startswith(base)}
        tops = {base + (name[: name.find(b"/") + 1] or name) for name in inside}
        shallow = list(diff(pages, old, pages, new, prefix=base, shallow=True))
        assert [one.key + b"/" * (one.new or one.old).is_dir for one in shallow] == sorted(tops)  # type: ignore[union-attr]
    for some in (prefix, prefix + b"/", prefix[:1]):
        below = [change for change in want if change[0].startswith(some)]
        assert plain(list(diff(pages, old, pages, new, prefix=some))) == below
    assert plain(list(diff(pages, new, pages, EMPTY_ROOT))) == [
        (row.key, row.tid, None) for row in Tree(pages, new).walk()
    ]
    everything = list(diff(pages, old, pages, new, with_dirs=True))
    assert plain([one for one in everything if not _is_dir(one)]) == want
    dirs = [one for one in everything if _is_dir(one)]
    assert [(one.old, one.new) for one in dirs] == _dir_changes(Tree(pages, old), Tree(pages, new))


def _is_dir(change: Change) -> bool:
    return bool((change.new and change.new.is_dir) or (change.old and change.old.is_dir))


def _dir_changes(old: Tree, new: Tree) -> list[tuple[Row | None, Row | None]]:
    sides = [{row.order_key: row for row in tree.walk(with_dirs=True) if row.is_dir} for tree in (old, new)]
    pairs = [(sides[0].get(key), sides[1].get(key)) for key in sorted(sides[0].keys() | sides[1].keys())]
    return [(a, b) for a, b in pairs if _tid(a) != _tid(b)]


def test_metadata_alone_is_a_change_of_same_content() -> None:
    pages = MemoryPages()
    old = tree(pages, {b"d/%d" % n: b"x" for n in range(100)}, SMALL)
    one = put(b"d/7")
    renamed = Put(one.key, one.kind, one.size, one.tid, {"m": "text/plain"})
    new = edit(pages, old, [renamed], changed=SECOND, params=SMALL)
    assert (new.tid, new.pid != old.pid) == (old.tid, True)
    changes = list(diff(pages, old, pages, new, with_dirs=True))
    assert [(one.key, one.content_same) for one in changes] == [(b"d/7", True)]
    assert list(diff(pages, old, pages, new, content_only=True)) == []


def test_the_commit_alone_is_no_change() -> None:
    pages = MemoryPages()
    texts = {b"d/%d" % n: b"x" for n in range(50)}
    assert list(diff(pages, tree(pages, texts, SMALL), pages, tree(pages, texts, SMALL, SECOND))) == []


class CountingPages(MemoryPages):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get_page(self, pid: PageId) -> Page:
        self.reads += 1
        return super().get_page(pid)


def test_a_small_change_reads_few_pages() -> None:
    pages = CountingPages()
    params = TreeParams()
    edits = [put(b"n%06d" % n) for n in range(20_000)]
    old = edit(pages, EMPTY_ROOT, edits, changed=FIRST, params=params)
    new = edit(pages, old, [put(b"n010000", b"new"), put(b"n0100005"), Delete(b"n010002")], changed=SECOND)
    pages.reads = 0
    assert [one.key for one in diff(pages, old, pages, new)] == [b"n010000", b"n0100005", b"n010002"]
    assert pages.reads <= 16


@settings(max_examples=120, deadline=None)
@given(
    FILES,
    st.lists(st.tuples(KEYS, st.none() | TEXTS, st.booleans()), max_size=30),
    st.sampled_from([TINY, SMALL]),
    st.tuples(KEYS, KEYS),
)
def test_versions_differ_by_their_commit_and_a_diff_goes_on_behind_any_key(
    texts: dict[bytes, bytes],
    changes: list[tuple[bytes, bytes | None, bool]],
    params: TreeParams,
    keys: tuple[bytes, bytes],
) -> None:
    pages = MemoryPages()
    old = tree(pages, texts, params)
    edits: list[Edit] = [
        Delete(key) if text is None else replace(put(key, text), force=force) for key, text, force in changes
    ]
    new = edit(pages, old, edits, changed=SECOND, collisions="allow", params=params)
    before, after = ({row.key: row for row in Tree(pages, root).walk()} for root in (old, new))
    want = [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    prefix, bound = keys
    for some in (b"", prefix, prefix + b"/", prefix[:1]):
        for start in (None, bound, bound + b"/", prefix + b"/" + bound, prefix + b"\xff", b""):
            found = [
                (one.key, one.old, one.new)
                for one in diff(
                    pages, old, pages, new, prefix=some, versions=True, behind=None if start is None else Behind(start)
                )
            ]
            wanted = [one for one in want if one[0].startswith(some) and (start is None or one[0] > start)]
            assert found == wanted
        behind, seen = Behind(), list[bytes]()
        for one in diff(pages, old, pages, new, prefix=some, versions=True, behind=behind):
            seen.append(one.key)
            top = one.key[: one.key.find(b"/", len(some)) + 1]
            behind.key = top + b"\xff\xff" if top else one.key  # keys here may have a byte 0xff
        tops = {
            (key[: key.find(b"/", len(some)) + 1] or key): key for key, *_ in reversed(want) if key.startswith(some)
        }
        assert seen == sorted(tops.values())
