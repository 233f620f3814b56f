"""What was asked of a tree, and whether another would answer the same: against asking again, for any trees."""

from __future__ import annotations

from itertools import islice

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.ids import TreeId
from pfs.trees.edit import Put, edit
from pfs.trees.observed import Notes, Observed, ObservedTree
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT, MemoryPages
from pfs.trees.tree import Tree

KEYS = st.sampled_from([b"a", b"a/b", b"a/c", b"ab", b"b", b"b/", b"b/x/y", b"c"])
FILES = st.dictionaries(KEYS, st.integers(0, 2), max_size=6)
PREFIXES = st.sampled_from([b"", b"a", b"a/", b"b", b"b/x", b"z"])
Question = tuple[str, bytes, bytes, int]
LOOK_UPS = st.tuples(st.just("stat"), KEYS, st.just(b""), st.just(0))
LISTINGS = st.tuples(st.sampled_from(["scan", "delimited"]), PREFIXES, PREFIXES | KEYS, st.integers(0, 9))


def tree_of(files: dict[bytes, int]) -> Tree:
    pages = MemoryPages()
    puts = [Put(key, Kind.FILE, size, TreeId(bytes((size,)) * 32), {"at": len(files)}) for key, size in files.items()]
    return Tree(pages, edit(pages, EMPTY_ROOT, puts, changed=None, collisions="allow"))


def ask(tree: Tree, question: Question) -> object:
    """Return the answer as far as content goes."""
    kind, key, after, count = question
    if kind == "stat":
        row = tree.stat(key, want="file")
        return None if row is None else row.tid
    rows = (tree.scan_prefix if kind == "scan" else tree.list_delimited)(key, start_after=after)
    return [(row.order_key, None if row.is_dir else row.tid) for row in islice(rows, count)]


@settings(max_examples=300, deadline=None)
@given(FILES, FILES, st.lists(LOOK_UPS | LISTINGS, max_size=4))
def test_no_difference_means_the_same_answers(
    one: dict[bytes, int], two: dict[bytes, int], asked: list[Question]
) -> None:
    here, there, notes = tree_of(one), tree_of(two), Notes()
    watched = ObservedTree(here, notes)
    answers = [ask(watched, question) for question in asked]
    assert answers == [ask(here, question) for question in asked]
    found = notes.observed()
    assert found is not None
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Observed)
    assert found.difference(tree_of(one)) is None
    if found.difference(there) is None:
        assert answers == [ask(there, question) for question in asked]
    elif all(count for kind, _, _, count in asked if kind != "stat"):
        assert one != two


def test_what_differs_is_named() -> None:
    notes = Notes()
    tree = ObservedTree(tree_of({b"a": 1, b"b/x/y": 1}), notes)
    tree.stat(b"a", want="file")
    tree.stat(b"none", want="file")
    list(tree.list_delimited(b"b/"))
    found = notes.observed()
    assert found is not None
    assert found.difference(tree_of({b"a": 1, b"b/x/z": 2, b"c": 9})) is None, "only the common prefix was seen"
    assert found.difference(tree_of({b"a": 2, b"b/x/y": 1})) == "/a"
    assert found.difference(tree_of({b"a": 1, b"b/x/y": 1, b"none": 1})) == "/none"
    assert found.difference(tree_of({b"a": 1, b"b/x/y": 1, b"b/c": 1})) == "the listing of b/"
    assert found.difference(tree_of({b"a": 1})) == "the listing of b/"


def test_what_came_to_its_end_notices_what_comes_behind() -> None:
    notes = Notes()
    tree = ObservedTree(tree_of({b"a": 1}), notes)
    assert len(list(tree.scan_prefix())) == 1
    found = notes.observed()
    assert found is not None
    assert found.difference(tree_of({b"a": 1, b"b": 1})) == "the listing of everything"


def test_too_much_spoils_and_so_do_other_ways_to_read() -> None:
    tree = tree_of({b"a": 1, b"b/x/y": 1})
    small = Notes(max_bytes=100)
    for number in range(10):
        ObservedTree(tree, small).stat(b"%050d" % number, want="file")
    assert small.observed() is None
    same = Notes(max_bytes=100)
    for _ in range(10):
        ObservedTree(tree, same).stat(b"a", want="file")
    assert same.observed() is not None, "what is known takes no more room"
    for read in (
        lambda one: list(one.list()),
        lambda one: list(one.list_back()),
        lambda one: list(one.walk()),
        lambda one: one.stat(b"b"),
        lambda one: list(one.scan_prefix(with_dirs=True)),
    ):
        notes = Notes()
        read(ObservedTree(tree, notes))
        assert notes.observed() is None
