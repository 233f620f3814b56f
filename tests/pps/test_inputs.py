"""The input algebra against the plain definition: which datums, in which order."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping

from hypothesis import given
from hypothesis import strategies as st

from pfs.ids import EMPTY_CHUNK, NO_PAGE, CommitId, TreeId
from pfs.trees.page import Kind
from pfs.trees.tree import Row
from pps.datum import Datum
from pps.inputs import datums
from pps.spec import CrossInput, Input, PfsInput

COMMIT = CommitId("0" * 32)


def file_row(key: str, tid: bytes = EMPTY_CHUNK) -> Row:
    return Row(key.encode(), Kind.FILE, 0, TreeId(tid), 1, NO_PAGE, None, None)


class FakeRepos:
    """Repos as lists of keys; counts how often each is read."""

    def __init__(self, files: Mapping[str, list[str]]) -> None:
        self.files = files

    def commit(self, leaf: PfsInput) -> CommitId:
        return COMMIT

    def rows(self, leaf: PfsInput) -> Iterator[Row]:
        for key in sorted(self.files.get(leaf.repo, [])):
            if fnmatch.fnmatchcase("/" + key, leaf.glob):
                yield file_row(key)


def paths(found: Iterator[Datum]) -> list[tuple[str, ...]]:
    return [tuple(item.path for item in datum) for datum in found]


def leaf(name: str, glob: str = "/*") -> PfsInput:
    return PfsInput(name, name, "master", glob)


def test_a_leaf_gives_one_datum_for_each_match_in_key_order() -> None:
    repos = FakeRepos({"a": ["y", "x", "z.txt"]})
    assert paths(datums(leaf("a"), repos)) == [("/x",), ("/y",), ("/z.txt",)]
    assert paths(datums(leaf("a", "/*.txt"), repos)) == [("/z.txt",)]
    assert paths(datums(leaf("b"), repos)) == []


def test_a_cross_gives_every_combination_last_child_fastest() -> None:
    repos = FakeRepos({"a": ["1", "2"], "b": ["3", "4"]})
    found = paths(datums(CrossInput((leaf("a"), leaf("b"))), repos))
    assert found == [("/1", "/3"), ("/1", "/4"), ("/2", "/3"), ("/2", "/4")]


def test_a_cross_with_an_empty_child_gives_nothing() -> None:
    repos = FakeRepos({"a": ["1", "2"], "b": []})
    assert paths(datums(CrossInput((leaf("a"), leaf("b"))), repos)) == []
    assert paths(datums(CrossInput((leaf("b"), leaf("a"))), repos)) == []
    assert paths(datums(CrossInput(()), repos)) == []


def test_a_cross_of_crosses_is_flat() -> None:
    repos = FakeRepos({"a": ["1"], "b": ["2", "3"], "c": ["4"]})
    node = CrossInput((CrossInput((leaf("a"), leaf("b"))), leaf("c")))
    assert paths(datums(node, repos)) == [("/1", "/2", "/4"), ("/1", "/3", "/4")]


_keys = st.lists(st.sampled_from("uvwxyz"), max_size=4, unique=True)


def _count(node: Input, files: Mapping[str, list[str]]) -> int:
    if isinstance(node, PfsInput):
        return len(files[node.repo])
    total = 1 if node.children else 0
    for child in node.children:
        total *= _count(child, files)
    return total


@given(st.fixed_dictionaries(dict.fromkeys("abcd", _keys)))
def test_the_size_of_any_nesting_is_the_product(files: dict[str, list[str]]) -> None:
    node = CrossInput((leaf("a"), CrossInput((leaf("b"), CrossInput((leaf("c"),)))), leaf("d")))
    found = paths(datums(node, FakeRepos(files)))
    assert len(found) == len(set(found)) == _count(node, files)
    assert found == sorted(found)
