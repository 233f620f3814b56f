"""Branches computed from others, inside a transaction: as outside, and published with the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs
from pfs.errors import ConflictError
from pfs.history.commit_set import commit_set
from pfs.ids import CommitId
from pfs.model import BranchRef
from pfs.repo import Repo
from pfs.store import Store
from pfs.transactions.transaction import Transaction, TransactionRepo, begin, inspect_transaction
from pfs.upkeep.check import fsck

A = BranchRef("a", "master")
N = BranchRef("n", "master")


def put(repo: Repo | TransactionRepo, *paths: str, branch: str = "master") -> CommitId:
    with repo.commit(branch) as writer:
        for path in paths:
            writer.put_file(path, path.encode())
    return writer.id


def paths(repo: Repo | TransactionRepo, ref: str) -> list[str]:
    return [info.path for info in repo.view(ref).list()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        for name in ("a", "n", "p"):
            made.create_repo(name)
        yield made


@pytest.fixture(params=["of this process", "stored"])
def open_txn(request: pytest.FixtureRequest) -> Callable[[Store], Transaction]:
    return Store.transaction if request.param == "of this process" else begin


Begin = Callable[[Store], Transaction]


def open_on(store: Store, repo: str) -> CommitId:
    found = store.repo(repo).branch("master").open_commit
    assert found is not None
    return found


def is_sound(store: Store) -> bool:
    return list(fsck(store, deep=True)) == []


def test_a_branch_that_is_bound_inside_takes_files_between_writes_to_its_source(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        a, n = txn.repo("a"), txn.repo("n")
        put(a, "/a")
        n.create_branch("m", provenance=[A])
        assert put(n, "/q", branch="m") == txn.id
        assert put(a, "/b") == txn.id
        put(n, "/r", branch="m")
        put(a, "/c")
        assert paths(n, txn.id) == ["/q", "/r"]
    opened = store.repo("n").branch("m").open_commit
    assert opened == txn.id
    assert paths(store.repo("a"), "master") == ["/a", "/b", "/c"]
    assert paths(store.repo("n"), txn.id) == ["/q", "/r"]
    assert [one.commit for one in store.repo("n").finish_commit("m").provenance] == [txn.id]
    assert is_sound(store)


def test_the_commit_that_is_opened_downstream_takes_files(store: Store, open_txn: Begin) -> None:
    store.repo("n").create_branch("master", provenance=[A])
    store.repo("p").create_branch("master", provenance=[N])
    with open_txn(store) as txn:
        put(txn.repo("a"), "/a")
        assert put(txn.repo("n"), "/q") == txn.id
        put(txn.repo("a"), "/b")
        put(txn.repo("p"), "/s")
        put(txn.repo("n"), "/r")
        assert store.repo("n").branch("master").open_commit is None
    assert open_on(store, "n") == open_on(store, "p") == txn.id
    assert paths(store.repo("n"), txn.id) == ["/q", "/r"]
    assert [(info.repo, info.open) for info in commit_set(store, txn.id).commits] == [
        ("a", False),
        ("n", True),
        ("p", True),
    ]
    for repo in ("n", "p"):
        assert store.repo(repo).finish_commit("master").id == txn.id
    assert paths(store.repo("p"), "master") == ["/s"]
    assert is_sound(store)


def test_it_is_finished_inside_after_its_source(store: Store, open_txn: Begin) -> None:
    store.repo("n").create_branch("master", provenance=[A])
    store.repo("p").create_branch("master", provenance=[N])
    with open_txn(store) as txn:
        put(txn.repo("a"), "/a")
        put(txn.repo("n"), "/q")
        with pytest.raises(ConflictError, match="finish that first"):
            txn.repo("p").finish_commit("master")
        txn.repo("n").finish_commit("master")
        put(txn.repo("a"), "/b")
    assert paths(store.repo("n"), "master") == ["/q"]
    assert open_on(store, "p") == txn.id
    assert store.repo("n").branch("master").open_commit is None
    assert is_sound(store)


def test_a_second_commit_of_the_source_waits_behind_a_written_one(store: Store, open_txn: Begin) -> None:
    store.repo("n").create_branch("master", provenance=[A])
    with open_txn(store) as txn:
        put(txn.repo("a"), "/a")
        put(txn.repo("n"), "/q")
        txn.repo("a").create_tag("v1", "master")
        second = put(txn.repo("a"), "/b")
        put(txn.repo("n"), "/r")
    n = store.repo("n")
    assert open_on(store, "n") == txn.id
    assert paths(n, txn.id) == ["/q", "/r"]
    n.finish_commit("master")
    assert open_on(store, "n") == second
    assert is_sound(store)


def test_the_id_is_a_spare_one_where_the_repo_has_the_transactions(store: Store, open_txn: Begin) -> None:
    store.repo("n").create_branch("master", provenance=[A])
    with open_txn(store) as txn:
        assert put(txn.repo("n"), "/own", branch="other") == txn.id
        put(txn.repo("a"), "/a")
        opened = put(txn.repo("n"), "/q")
        put(txn.repo("a"), "/b")
        assert put(txn.repo("n"), "/r") == opened != txn.id
    assert open_on(store, "n") == opened
    assert paths(store.repo("n"), opened) == ["/q", "/r"]
    assert is_sound(store)


def test_what_moved_outside_meanwhile_stays_in_line(store: Store) -> None:
    store.repo("n").create_branch("master", provenance=[A])
    txn = begin(store)
    put(txn.repo("a"), "/a")
    put(txn.repo("n"), "/q")
    first = put(store.repo("a"), "/meanwhile")
    put(store.repo("n"), "/out")
    txn.finish()
    n = store.repo("n")
    assert open_on(store, "n") == first
    assert paths(n, first) == ["/out"]
    assert paths(n, txn.id) == ["/q"]
    n.finish_commit("master")
    assert n.finish_commit("master").id == txn.id
    assert paths(n, "master") == ["/out", "/q"]
    assert is_sound(store)


def test_inspecting_names_the_branch_of_every_commit(store: Store) -> None:
    txn = begin(store)
    put(txn.repo("a"), "/a")
    txn.repo("n").create_branch("m", provenance=[A])
    put(txn.repo("n"), "/q", branch="m")
    outside = store.repo("p").start_commit("side").id
    txn.repo("p").finish_commit("side")
    found = inspect_transaction(store, txn.id).commits
    assert [(one.repo, one.branch) for one in found] == [("a", "master"), ("n", "m"), ("p", "side")]
    assert found[-1].commit == outside


def test_a_head_that_is_moved_back_inside_opens_a_commit_that_takes_files(store: Store, open_txn: Begin) -> None:
    first = put(store.repo("a"), "/a")
    put(store.repo("a"), "/b")
    store.repo("n").create_branch("master", provenance=[A])
    with open_txn(store) as txn:
        txn.repo("a").create_branch("master", head=first)
        opened = put(txn.repo("n"), "/q")
        txn.create_repo("another")
        assert put(txn.repo("n"), "/r") == opened
    assert open_on(store, "n") == opened
    assert [one.commit for one in store.repo("n").inspect(opened).provenance] == [first]
    assert is_sound(store)


def test_heads_that_are_moved_inside_bring_about_one_commit_with_the_id_of_the_transaction(
    store: Store, open_txn: Begin
) -> None:
    store.repo("n").create_branch("master", provenance=[A, BranchRef("p", "master")])
    forwards, first = put(store.repo("a"), "/a", branch="dev"), put(store.repo("p"), "/x")
    put(store.repo("p"), "/y")
    with open_txn(store) as txn:
        txn.repo("a").create_branch("master", head="dev")
        txn.repo("p").create_branch("master", head=first)
    assert open_on(store, "n") == txn.id
    assert {one.commit for one in store.repo("n").inspect(txn.id).provenance} == {forwards, first}
    assert is_sound(store)
