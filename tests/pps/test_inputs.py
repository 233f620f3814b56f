"""The input algebra against the plain definition: which datums, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.glob import Glob
from pfs.ids import EMPTY_CHUNK, NO_PAGE, CommitId, TreeId
from pfs.trees.page import Kind
from pfs.trees.tree import Row
from pps.datums.datum import Datum
from pps.datums.inputs import datums
from pps.spec import CrossInput, GroupInput, Input, JoinInput, PfsInput, UnionInput

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
            if Glob(leaf.glob).match("/" + key):
                yield file_row(key)


def paths(found: Iterator[Datum]) -> list[tuple[str, ...]]:
    return [tuple(item.path for item in datum) for datum in found]


def leaf(name: str, glob: str = "/*") -> PfsInput:
    return PfsInput(name, name, "master", glob)


@pytest.mark.row("2.3 input.pfs")
def test_a_leaf_gives_one_datum_for_each_match_in_key_order() -> None:
    repos = FakeRepos({"a": ["y", "x", "z.txt"]})
    assert paths(datums(leaf("a"), repos)) == [("/x",), ("/y",), ("/z.txt",)]
    assert paths(datums(leaf("a", "/*.txt"), repos)) == [("/z.txt",)]
    assert paths(datums(leaf("b"), repos)) == []


@pytest.mark.row("2.3 input.cross")
def test_a_cross_gives_every_combination_last_child_fastest() -> None:
    repos = FakeRepos({"a": ["1", "2"], "b": ["3", "4"]})
    found = paths(datums(CrossInput((leaf("a"), leaf("b"))), repos))
    assert found == [("/1", "/3"), ("/1", "/4"), ("/2", "/3"), ("/2", "/4")]


@pytest.mark.row("2.3 input.cross")
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


def keyed(name: str, *, outer: bool = False) -> PfsInput:
    return PfsInput(name, name, glob="/(*)-*", join_on="$1", outer_join=outer, group_by="$1")


TWO = {"a": ["1-x", "1-y", "2-x"], "b": ["1-z", "3-z"]}


def test_a_union_gives_the_datums_of_each_child_in_turn() -> None:
    repos = FakeRepos({"a": ["x", "y"], "b": ["u", "v"]})
    assert paths(datums(UnionInput((leaf("a"), leaf("b"))), repos)) == [("/x",), ("/y",), ("/u",), ("/v",)]


def test_a_join_combines_the_files_of_one_text() -> None:
    found = paths(datums(JoinInput((keyed("a"), keyed("b"))), FakeRepos(TWO)))
    assert found == [("/1-x", "/1-z"), ("/1-y", "/1-z")]


def test_an_outer_join_keeps_what_has_no_partner() -> None:
    left = paths(datums(JoinInput((keyed("a", outer=True), keyed("b"))), FakeRepos(TWO)))
    assert left == [("/1-x", "/1-z"), ("/1-y", "/1-z"), ("/2-x",)]
    both = paths(datums(JoinInput((keyed("a", outer=True), keyed("b", outer=True))), FakeRepos(TWO)))
    assert both == [*left, ("/3-z",)]


def test_a_group_has_all_files_of_a_text() -> None:
    found = paths(datums(GroupInput((keyed("a"), keyed("b"))), FakeRepos(TWO)))
    assert found == [("/1-x", "/1-y", "/1-z"), ("/2-x",), ("/3-z",)]


def test_a_group_has_a_file_once_though_a_cross_below_has_it_in_many_datums() -> None:
    node = GroupInput((CrossInput((keyed("a"), keyed("b"))),))
    found = paths(datums(node, FakeRepos({"a": ["1-x", "1-y"], "b": ["1-z", "1-w"]})))
    assert found == [("/1-x", "/1-w", "/1-z", "/1-y")]


@pytest.mark.row("2.3 nesting")
def test_a_union_of_joins_and_a_cross_with_a_group_nest() -> None:
    joined = JoinInput((keyed("a"), keyed("b")))
    assert paths(datums(UnionInput((joined, leaf("b"))), FakeRepos(TWO))) == [
        ("/1-x", "/1-z"),
        ("/1-y", "/1-z"),
        ("/1-z",),
        ("/3-z",),
    ]
    node = CrossInput((GroupInput((keyed("a"),)), leaf("b")))
    assert paths(datums(node, FakeRepos(TWO))) == [
        ("/1-x", "/1-y", "/1-z"),
        ("/1-x", "/1-y", "/3-z"),
        ("/2-x", "/1-z"),
        ("/2-x", "/3-z"),
    ]


_texted = st.lists(st.sampled_from([f"{text}-{n}" for text in "pqr" for n in range(3)]), max_size=6, unique=True)


@given(st.fixed_dictionaries(dict.fromkeys("abc", _texted)), st.tuples(*[st.booleans()] * 3))
def test_a_join_of_three_is_what_its_definition_says(files: dict[str, list[str]], outer: tuple[bool, ...]) -> None:
    sides = [keyed(name, outer=kept) for name, kept in zip("abc", outer, strict=True)]
    expected: list[tuple[str, ...]] = []
    for text in "pqr":
        found = [[f"/{key}" for key in sorted(files[name]) if key.startswith(text)] for name in "abc"]
        if not all(found):
            found = [keys for keys, kept in zip(found, outer, strict=True) if kept and keys]
        expected += product(*found) if found else []
    assert paths(datums(JoinInput(tuple(sides)), FakeRepos(files))) == expected


@given(st.fixed_dictionaries(dict.fromkeys("ab", _texted)))
def test_a_group_divides_all_files_by_their_text(files: dict[str, list[str]]) -> None:
    found = paths(datums(GroupInput((keyed("a"), keyed("b"))), FakeRepos(files)))
    assert [len({path[1] for path in datum}) for datum in found] == [1] * len(found)
    assert sorted(path for datum in found for path in datum) == sorted(
        f"/{key}" for keys in files.values() for key in keys
    )
    assert [datum[0][1] for datum in found] == sorted({datum[0][1] for datum in found})


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
