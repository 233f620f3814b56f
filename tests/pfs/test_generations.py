"""A repo that is deleted and made again under its name: nothing of the old one is listed or read, whatever crashed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import CommitNotFoundError, IndexDamagedError, NotFoundError, PfsError
from pfs.history.commit_set import commit_set
from pfs.history.linked import Found
from pfs.ids import CommitId
from pfs.packs.index import REWRITES
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.transactions.transaction import Transaction, TransactionRepo, begin, list_transactions, resume
from pfs.upkeep.check import fsck


def put(repo: Repo | TransactionRepo, path: str) -> CommitId:
    with repo.commit("master") as writer:
        writer.put_file(path, b"content")
    return writer.id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        put(made.create_repo("r"), "/secret")
        yield made


def ids(repo: Repo) -> list[CommitId]:
    return sorted(info.id for info in repo.commits())


def is_there(store: Store, commit: CommitId) -> bool:
    repo = store.repo("r")
    try:
        repo.view(commit).read("/secret")
    except CommitNotFoundError:
        return commit in ids(repo) or commit in {record.id for record in store.history.records("r")}
    return True


@pytest.fixture(params=["of this process", "stored"])
def open_txn(request: pytest.FixtureRequest) -> Callable[[Store], Transaction]:
    return Store.transaction if request.param == "of this process" else begin


def test_what_a_transaction_finishes_before_it_deletes_the_repo(
    store: Store, open_txn: Callable[[Store], Transaction]
) -> None:
    old, head = store.repo("r").start_commit("master").id, store.repo("r").inspect("master").id
    put(store.repo("r"), "/more")
    txn = open_txn(store)
    txn.repo("r").finish_commit("master")
    txn.delete_repo("r")
    txn.create_repo("r")
    for gone in (old, head):
        with pytest.raises(CommitNotFoundError):
            txn.repo("r").inspect(gone)
    new = put(txn.repo("r"), "/new")
    assert put(txn.repo("r"), "/newer") == new == txn.id
    assert [(info.repo, info.id) for info in txn.finish()] == [("r", txn.id)]
    assert ids(store.repo("r")) == [txn.id]
    assert not is_there(store, old)
    assert not is_there(store, head)
    with pytest.raises(NotFoundError):
        commit_set(store, old)
    assert list(fsck(store, deep=True)) == []


def test_the_old_commit_of_the_transactions_id_is_none_of_the_new_repo(store: Store) -> None:
    with store.transaction() as txn:
        put(txn.repo("r"), "/secret")
        txn.delete_repo("r")
        with txn.create_repo("r").commit("other") as writer:
            writer.put_file("/a", b"")
        with txn.repo("r").commit("other") as writer:
            writer.put_file("/b", b"")
    assert ids(store.repo("r")) == [txn.id]
    assert [info.path for info in store.repo("r").view("other").list()] == ["/a", "/b"]


@pytest.mark.parametrize("folds", ["reader", "snapshot", "settling"])
def test_an_owner_that_dies_after_the_commit_point(tmp_path: Path, store: Store, folds: str) -> None:
    old, opened = store.repo("r").inspect("master").id, store.repo("r").start_commit("side").id
    txn = begin(store)
    txn.repo("r").finish_commit("side")
    txn.delete_repo("r")
    new = put(txn.create_repo("r"), "/new")
    shutil.copytree(tmp_path / "home", tmp_path / "dry")
    at = _commit_point(tmp_path / "dry" / ".pfs", txn.id)
    _finish(store.path, txn.id, fail_at=at, how=How.AFTER, dead_after=True)
    assert old in dict(store.index.commits("r"))
    for used in (store, None):  # a process that was there all the time, and one that comes
        with pfs.open(store.path) as other:
            if folds == "settling":
                list_transactions(other)
            elif folds == "snapshot":
                other.list_repos()
            shown = other if used is None else used
            assert ids(shown.repo("r")) == [new]
            assert not is_there(shown, old)
            assert not is_there(shown, opened)
            assert list(fsck(shown, deep=True)) == []


def _finish(path: Path, id: str, **faults: object) -> FaultyBackend:
    swaps = frozenset({"swap"})
    backend = FaultyBackend(LocalBackend(path / "objects"), counted=swaps, **faults)  # type: ignore[arg-type]  # as given
    try:
        with Store(path, backend=backend) as store:
            resume(store, id).finish()
    except PfsError:
        assert faults
    return backend


def _commit_point(path: Path, id: str) -> int:
    swaps = [call.split("/")[0] for call in _finish(path, id).log if call.startswith("swap")]
    return len(swaps) - swaps[::-1].index("swap txn")


def test_a_crash_before_the_index_learns_of_the_deletion_and_the_new_repo(store: Store) -> None:
    old = store.repo("r").inspect("master").id
    with pfs.open(store.path) as other:
        assert is_there(other, old)
        store.refs.bury(store.refs.read("r"))
        store.refs.create("r", description="", now_ns=1)  # a clock that went back does not matter
        assert old in dict(store.index.commits("r"))
        assert ids(other.repo("r")) == []
        assert not is_there(other, old)
        new = put(other.repo("r"), "/new")
    assert ids(store.repo("r")) == [new]
    assert not is_there(store, old)
    assert list(fsck(store, deep=True)) == []


def test_who_looked_before_adds_no_rows_to_the_new_repo(store: Store) -> None:
    before = store.refs.read("r")
    old = before.body.branches["master"].head
    assert old is not None
    found = store.history.locate("r", old)
    assert found is not None
    with pfs.open(store.path) as slow:
        slow.history.records("r")
        store.delete_repo("r")
        store.create_repo("r")
        assert ids(store.repo("r")) == []
        for _ in range(2):  # into an empty table, and beside rows of the new repo
            _index_late(slow, before_state=before, found=found)
            assert not is_there(store, old)
            assert not is_there(slow, old)
            put(store.repo("r"), "/new")


def _index_late(slow: Store, *, before_state: object, found: Found) -> None:
    slow.history.learn((), [found], state=before_state)  # type: ignore[arg-type]  # a RefsState


def test_undeleting_brings_the_commits_back(store: Store) -> None:
    from pfs.changes.trash import undelete_repo

    old = store.repo("r").inspect("master").id
    store.delete_repo("r")
    undelete_repo(store, "r")
    assert is_there(store, old)
    for _ in range(3):
        store.delete_repo("r")
        store.create_repo("r")
    assert not is_there(store, old)


def test_an_earlier_repo_that_is_undeleted_has_its_own_commits_again(store: Store) -> None:
    from pfs.changes.trash import undelete_repo

    old = store.repo("r").inspect("master").id
    store.delete_repo("r")
    new = put(store.create_repo("r"), "/secret")
    with pfs.open(store.path) as other:
        assert is_there(other, new)
        store.delete_repo("r")
        undelete_repo(store, "r", before=1)
        for one in (store, other):
            assert ids(one.repo("r")) == [old]
            assert is_there(one, old)
            assert not is_there(one, new)
        store.delete_repo("r")
        undelete_repo(store, "r", before=1)
        assert ids(other.repo("r")) == [new]


def test_an_index_that_has_seen_a_later_repo_than_the_store_has_says_so(store: Store) -> None:
    store.index.forget_repo("r")
    store.index.set_meta(REWRITES + "r", b"9999999999999999999 0")
    with pytest.raises(IndexDamagedError, match="pfs recover"):
        store.repo("r").inspect("master")
