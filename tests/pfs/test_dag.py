"""The graph of branches: its order, also where it is deeper than Python's stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.model import BranchRef
from pfs.provenance.dag import Dag, sources_first

DEEP = 1500


def branch(number: int) -> BranchRef:
    return BranchRef(f"r{number:05}", "master")


def test_a_chain_longer_than_the_stack_is_ordered() -> None:
    edges = {branch(number): (branch(number - 1),) for number in range(1, 5001)}
    dag, last = Dag(edges), branch(5000)
    assert dag.ordered([last, branch(7), branch(4000)]) == [branch(7), branch(4000), last]
    assert len(dag.provenance(last)) == 5000
    assert dag.fault(last) is None


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=31))
def test_each_comes_once_and_after_its_sources(above: list[list[int]]) -> None:
    sources = {number: [one for one in found if one < number] for number, found in enumerate(above)}
    order = sources_first(reversed(sources), lambda one: sources.get(one, []))
    assert len(order) == len(set(order))
    assert set(order) >= sources.keys()
    place = {one: at for at, one in enumerate(order)}
    assert all(place[source] < place[one] for one, found in sources.items() for source in found)


def test_a_circle_ends() -> None:
    assert sorted(sources_first([1], lambda one: [one % 3 + 1])) == [1, 2, 3]


def test_the_refs_kept_by_a_store_are_those_that_are_there(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "s") as store, pfs.open(tmp_path / "s") as other:
        assert store.all_refs() == {}
        store.create_repo("a")
        other.create_repo("b").create_branch("dev")
        found = store.all_refs()
        assert {name: set(state.body.branches) for name, state in found.items()} == {"a": set(), "b": {"dev"}}
        other.delete_repo("a")
        assert store.all_refs().keys() == {"b"}
        assert found.keys() == {"a", "b"}, "what was given out stays as it was"


@pytest.mark.long
def test_a_commit_goes_down_a_chain_longer_than_the_stack(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "s") as store:
        store.create_repo(branch(0).repo).create_branch("master")
        for number in range(1, DEEP):
            store.create_repo(branch(number).repo).create_branch("master", provenance=[branch(number - 1)])
        assert store.branch_graph().ordered(map(branch, range(DEEP))) == [branch(one) for one in range(DEEP)]
        with store.repo(branch(0).repo).commit("master") as commit:
            commit.put_file("/a", b"1")
        last = store.repo(branch(DEEP - 1).repo).branch("master")
        assert last.open_commit == store.repo(branch(0).repo).branch("master").head
