"""Transactions: several repos changed at once, from this process or from many."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CommitClosedError,
    CommitNotFoundError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    InvalidNameError,
    PathConflictError,
    PathNotFoundError,
    PfsError,
    RepoNotFoundError,
    TagNotFoundError,
    TransactionNotFoundError,
)
from pfs.gc.collect import collect
from pfs.history.commit_set import commit_set
from pfs.ids import CommitId
from pfs.model import BranchRef, Trigger
from pfs.refs.transactions import LEASE_NS
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import READS, FaultyBackend, How
from pfs.transactions.roots import staged_roots
from pfs.transactions.transaction import (
    Transaction,
    TransactionRepo,
    begin,
    inspect_transaction,
    list_transactions,
    resume,
)
from pfs.upkeep.check import fsck


def put(repo: Repo | TransactionRepo, files: dict[str, bytes], branch: str = "master") -> CommitId:
    with repo.commit(branch) as writer:
        for path, data in files.items():
            writer.put_file(path, data)
    return writer.id


def files(repo: Repo | TransactionRepo, ref: str = "master") -> dict[str, bytes]:
    view = repo.view(ref)
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        for name in ("a", "b"):
            put(made.create_repo(name), {"/old": name.encode()})
        yield made


Begin = Callable[[Store], Transaction]


@pytest.fixture(params=["of this process", "stored"])
def open_txn(request: pytest.FixtureRequest) -> Begin:
    return Store.transaction if request.param == "of this process" else begin


def state(store: Store) -> object:
    """Return all that a user sees of the store."""
    seen = {}
    for info in store.list_repos():
        repo = store.repo(info.name)
        branches = [(one.name, one.open_commit is not None) for one in repo.branches()]
        heads = {one.name: files(repo, one.name) for one in repo.branches() if one.head is not None}
        commits = len(list(repo.commits()))
        seen[info.name] = (info.description, branches, heads, [tag.name for tag in repo.tags()], commits)
    return seen


def nothing_left(store: Store) -> bool:
    return list(store.backend.entries("txn/")) == [] and all(
        state.body.prepared == ()
        for state in (store.refs.raw(name) for name in store.refs.names())
        if state is not None
    )


def test_commits_of_several_repos_have_one_id_and_show_at_once(store: Store, open_txn: Begin) -> None:
    before = state(store)
    with open_txn(store) as txn:
        assert put(txn.repo("b"), {"/y": b"2"}) == put(txn.repo("a"), {"/x": b"1"}) == txn.id
        assert state(store) == before
    found = commit_set(store, txn.id)
    assert [(info.repo, info.branch, info.open) for info in found.commits] == [
        ("a", "master", False),
        ("b", "master", False),
    ]
    assert files(store.repo("a")) == {"/old": b"a", "/x": b"1"}
    assert files(store.repo("b"), txn.id) == {"/old": b"b", "/y": b"2"}
    assert nothing_left(store)
    assert list(fsck(store, deep=True)) == []


def test_what_raises_changes_nothing(store: Store, open_txn: Begin) -> None:
    before = state(store)
    with pytest.raises(RuntimeError), open_txn(store) as txn:  # noqa: PT012  # the block is the matter
        put(txn.repo("a"), {"/x": b"1"})
        raise RuntimeError
    assert state(store) == before
    assert nothing_left(store)
    with pytest.raises(ConflictError, match="ended already"):
        txn.finish()
    with pytest.raises(ConflictError, match="ended already"):
        txn.repo("a")


def test_everything_that_can_be_in_a_transaction(store: Store, open_txn: Begin) -> None:
    a = store.repo("a")
    first = a.inspect("master").id
    a.create_branch("gone", head="master")
    a.create_tag("old", "master")
    store.create_repo("dead")
    with open_txn(store) as txn:
        new = txn.create_repo("new", description="made inside")
        new.create_branch("dev")
        put(new, {"/n": b"n"}, "dev")
        put(txn.repo("a"), {"/x": b"1"})
        assert txn.repo("a").create_tag("v1", "master").commit == txn.id
        assert txn.repo("a").create_branch("back", head=first).head == first
        txn.repo("a").delete_branch("gone")
        txn.repo("a").delete_tag("old")
        txn.delete_repo("dead")
        opened = txn.repo("b").start_commit("side", message="later")
        assert opened.open
        assert opened.id == txn.id
    assert [info.name for info in store.list_repos()] == ["a", "b", "new"]
    assert store.repo("new").info().description == "made inside"
    assert files(store.repo("new"), "dev") == {"/n": b"n"}
    assert files(a, "v1") == {"/old": b"a", "/x": b"1"}
    assert [branch.name for branch in a.branches()] == ["back", "master"]
    assert [tag.name for tag in a.tags()] == ["v1"]
    assert store.repo("b").branch("side").open_commit == txn.id
    put(store.repo("b"), {"/late": b"l"}, "side")
    assert store.repo("b").finish_commit("side").message == "later"
    assert nothing_left(store)
    from pfs.changes.trash import undelete_repo

    undelete_repo(store, "dead")
    assert store.repo("dead").branches() == []
    assert a.undelete("gone") == first
    assert list(fsck(store, deep=True)) == []


def test_a_repo_deleted_and_made_anew_in_a_transaction_can_be_had_back(store: Store, open_txn: Begin) -> None:
    from pfs.changes.trash import undelete_repo

    before = files(store.repo("a"))
    with open_txn(store) as txn:
        txn.delete_repo("a")
        put(txn.create_repo("a"), {"/new": b"1"})
    assert files(store.repo("a")) == {"/new": b"1"}
    store.delete_repo("a")
    undelete_repo(store, "a", before=1)
    assert files(store.repo("a")) == before
    assert list(fsck(store, deep=True)) == []


def test_bad_input_is_refused_when_it_is_given_and_leaves_the_rest(store: Store, open_txn: Begin) -> None:
    store.repo("a").create_tag("tag", "master")
    with open_txn(store) as txn:
        a = txn.repo("a")
        put(a, {"/x": b"1"})
        with pytest.raises(RepoNotFoundError):
            txn.repo("nowhere")
        with pytest.raises(AlreadyExistsError):
            txn.create_repo("a")
        txn.create_repo("a", exist_ok=True)
        txn.create_repo("twice")
        with pytest.raises(AlreadyExistsError):
            txn.create_repo("twice")
        with pytest.raises(InvalidNameError):
            txn.create_repo("no name")
        with pytest.raises(BranchNotFoundError):
            a.delete_branch("nowhere")
        with pytest.raises(CommitNotFoundError):
            a.create_branch("x", head="nowhere")
        with pytest.raises(AlreadyExistsError):
            a.create_tag("tag", txn.id)
        with pytest.raises(TagNotFoundError):
            a.delete_tag("nowhere")
        with pytest.raises(ConflictError, match="is a tag"):
            a.commit("tag")
        with pytest.raises(PathNotFoundError), a.commit("master") as writer:
            writer.delete_file("/nowhere")
        a.start_commit("side")
        with pytest.raises(ConflictError, match="has the open commit"):
            a.start_commit("side")
        a.finish_commit("side")
        with pytest.raises(CommitClosedError):
            a.finish_commit("side")
        txn.delete_repo("twice")
        with pytest.raises(RepoNotFoundError):
            txn.repo("twice")
    assert files(store.repo("a")) == {"/old": b"a", "/x": b"1"}


def test_one_commit_of_a_repo_however_many_writers(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        a = txn.repo("a")
        put(a, {"/x": b"1"})
        with a.commit("master") as writer:
            writer.put_file("/x", b"2", append=True)
            writer.delete_file("/old")
        assert files(a) == {"/x": b"12"}
        assert files(a, txn.id[:8]) == {"/x": b"12"}
        with pytest.raises(RuntimeError), a.commit("master") as writer:  # noqa: PT012
            writer.put_file("/never", b"")
            raise RuntimeError
    assert files(store.repo("a")) == {"/x": b"12"}
    assert [info.id for info in store.repo("a").commits("master")][:-1] == [txn.id]


def test_a_second_commit_of_a_repo_has_an_id_of_its_own(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        a = txn.repo("a")
        put(a, {"/x": b"1"})
        other = put(a, {"/y": b"1"}, "other")
        a.create_tag("between", "master")
        after = put(a, {"/z": b"1"})
    assert len({txn.id, other, after}) == 3
    a_now = store.repo("a")
    assert files(a_now, "between") == {"/old": b"a", "/x": b"1"}
    assert files(a_now) == {"/old": b"a", "/x": b"1", "/z": b"1"}
    assert a_now.inspect("master").parents == (txn.id,)
    assert files(a_now, "other") == {"/y": b"1"}


def test_a_commit_that_is_open_outside_is_written_to_and_finished(store: Store, open_txn: Begin) -> None:
    a = store.repo("a")
    opened = a.start_commit("master").id
    put(a, {"/before": b"1"})
    with open_txn(store) as txn:
        put(txn.repo("a"), {"/x": b"1"})
        put(txn.repo("a"), {"/y": b"1"}, opened)
        assert set(files(a, opened)) == {"/old", "/before"}
        put(a, {"/beside": b"1"})
        txn.repo("a").finish_commit("master", message="done inside")
        put(txn.repo("b"), {"/x": b"1"})
        assert a.branch("master").open_commit == opened
    assert a.inspect("master").id == opened
    assert a.inspect("master").message == "done inside"
    assert set(files(a)) == {"/old", "/before", "/beside", "/x", "/y"}


def test_started_and_finished_inside(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        for repo in (txn.repo("a"), txn.repo("b")):
            repo.start_commit("master", message="both")
            put(repo, {"/x": b"1"}, txn.id)
            repo.finish_commit(txn.id)
        put(txn.repo("a"), {"/more": b"1"})
    assert [info.message for info in store.commits_by_id(txn.id)] == ["both", "both"]
    assert set(files(store.repo("a"))) == {"/old", "/x", "/more"}


def test_a_failed_commit_moves_no_head(store: Store, open_txn: Begin) -> None:
    head = store.repo("a").inspect("master").id
    with open_txn(store) as txn:
        txn.repo("a").start_commit("master")
        txn.repo("a").finish_commit("master", error="no good")
    assert store.repo("a").inspect("master").id == head
    assert store.repo("a").inspect(txn.id).error == "no good"


def test_other_paths_that_came_meanwhile_merge(store: Store, open_txn: Begin) -> None:
    a = store.repo("a")
    with open_txn(store) as txn:
        put(txn.repo("a"), {"/x": b"1"})
        txn.repo("a").create_tag("t", "master")
        put(txn.repo("a"), {"/second": b"1"})
        put(txn.repo("b"), {"/y": b"1"})
        meanwhile = put(a, {"/meanwhile": b"m"})
        other = put(a, {"/o": b"o"}, "other")
    assert files(a) == {"/old": b"a", "/x": b"1", "/meanwhile": b"m", "/second": b"1"}
    assert files(a, "t") == {"/old": b"a", "/x": b"1", "/meanwhile": b"m"}
    assert a.inspect("t").parents == (meanwhile,)
    assert a.inspect("other").id == other
    assert list(fsck(store, deep=True)) == []


def test_the_same_path_is_a_conflict_and_changes_nothing(store: Store) -> None:
    txn = begin(store)
    put(txn.repo("b"), {"/y": b"1"})
    put(txn.repo("a"), {"/x": b"1"})
    put(store.repo("a"), {"/x": b"other"})
    before = state(store)
    for _ in range(2):
        with pytest.raises(PathConflictError, match="/x was changed on a@master"):
            txn.finish()
        assert state(store) == before
        assert [info.id for info in list_transactions(store)] == [txn.id]
    with pytest.raises(PathConflictError), store.transaction() as mine:  # noqa: PT012
        put(mine.repo("a"), {"/q": b"1"})
        put(store.repo("a"), {"/q": b"other"})
    txn.drop()
    assert nothing_left(store)


def test_a_named_parent_is_not_merged(store: Store) -> None:
    txn = begin(store)
    with txn.repo("a").commit("master", parent="master") as writer:
        writer.put_file("/x", b"1")
    put(store.repo("a"), {"/meanwhile": b"m"})
    with pytest.raises(BranchMovedError):
        txn.finish()
    assert set(files(store.repo("a"))) == {"/old", "/meanwhile"}


def test_what_was_named_is_what_it_was_then(store: Store) -> None:
    txn, a = begin(store), store.repo("a")
    named = a.inspect("master").id
    txn.repo("a").create_tag("t", "master")
    txn.repo("a").create_branch("b", head="master")
    put(a, {"/later": b"1"})
    txn.finish()
    assert a.inspect("t").id == a.inspect("b").id == named


def test_what_is_not_possible_any_more_is_a_conflict(store: Store) -> None:
    txn, a = begin(store), store.repo("a")
    txn.repo("a").create_tag("t", "master")
    txn.repo("b").create_tag("t", "master")
    a.create_branch("t", head="master")
    with pytest.raises(AlreadyExistsError):
        txn.finish()
    assert store.repo("b").tags() == []
    a.delete_branch("t")
    assert txn.finish() == []
    assert [tag.name for tag in a.tags() + store.repo("b").tags()] == ["t", "t"]


def test_a_stored_transaction_survives_and_others_add_to_it(store: Store) -> None:
    id = begin(store, message="several").id
    with pfs.open(store.path) as other:
        put(resume(other, id).repo("a"), {"/x": b"1"})
    put(resume(store, id).repo("a"), {"/y": b"1"})
    assert {(root.repo, root.commit) for root in staged_roots(store.backend)} == {("a", id)}
    with pfs.open(store.path) as other:
        put(resume(other, id).repo("b"), {"/z": b"1"})
        (info,) = list_transactions(other)
        assert inspect_transaction(other, id[:10]) == info
        assert (info.id, info.state, info.message) == (id, "open", "several")
        assert [(one.repo, one.branch, one.commit) for one in info.commits] == [
            ("a", "master", id),
            ("b", "master", id),
        ]
        assert info.operations[0] == f"start-commit a@master as {id}"
        commits = resume(other, id).finish()
    assert [(info.repo, info.id, info.message) for info in commits] == [("a", id, "several"), ("b", id, "several")]
    assert set(files(store.repo("a"))) == {"/old", "/x", "/y"}
    for gone in (lambda: resume(store, id), lambda: inspect_transaction(store, id), lambda: resume(store, "nonsense")):
        with pytest.raises(TransactionNotFoundError):
            gone()


def test_many_threads_add_to_one_transaction(store: Store, open_txn: Begin) -> None:
    txn = open_txn(store)
    errors = list[BaseException]()

    def add(number: int) -> None:
        try:
            for repo in ("a", "b"):
                put(txn.repo(repo), {f"/{number}": b"%d" % number})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    txn.finish()
    assert [len(files(store.repo(repo))) for repo in ("a", "b")] == [6, 6]
    assert len(list(store.repo("a").commits("master"))) == 2


def test_the_same_path_from_two_processes_in_one_transaction(store: Store) -> None:
    txn = begin(store)
    first, second = txn.repo("a").commit("master"), txn.repo("a").commit("master")
    first.put_file("/x", b"1")
    second.put_file("/x", b"2")
    first.finish()
    with pytest.raises(PathConflictError):
        second.finish()
    branch = txn.repo("b").commit("other")
    put(txn.repo("b"), {"/x": b"1"})
    branch.put_file("/y", b"1")
    with pytest.raises(ConflictError, match="came first in b"):
        branch.finish()
    txn.finish()
    assert files(store.repo("a"))["/x"] == b"1"


def test_what_is_staged_survives_collection(store: Store) -> None:
    txn = begin(store)
    big = bytes(range(256)) * 40_000
    put(txn.repo("a"), {"/big": big})
    assert {root.commit for root in staged_roots(store.backend)} == {txn.id}
    collect(store)
    put(txn.repo("b"), {"/big": big})
    collect(store)
    txn.finish()
    assert files(store.repo("a"))["/big"] == files(store.repo("b"))["/big"] == big
    assert list(fsck(store, deep=True)) == []
    collect(store)
    assert files(store.repo("a"))["/big"] == big


def test_a_repo_that_is_deleted_and_made_anew_has_none_of_its_old_commits(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        txn.delete_repo("a")
        txn.create_repo("a", description="anew")
        put(txn.repo("a"), {"/n": b"n"})
    a = store.repo("a")
    assert files(a) == {"/n": b"n"}
    assert [info.id for info in a.commits()] == [txn.id]
    assert list(fsck(store, deep=True)) == []


def test_copies_between_repos_of_one_transaction(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        put(txn.repo("a"), {"/dir/x": b"1" * 300_000, "/dir/y": b"2"})
        view = txn.repo("a").view(txn.id)
        with txn.repo("b").commit("master") as writer:
            writer.copy(view, "/dir", "/copied")
    assert files(store.repo("b")) == {"/old": b"b", "/copied/x": b"1" * 300_000, "/copied/y": b"2"}
    assert list(fsck(store, deep=True)) == []


def test_the_index_can_be_built_again(store: Store, tmp_path: Path) -> None:
    with store.transaction() as txn:
        for repo in ("a", "b"):
            put(txn.repo(repo), {"/x": b"1"})
    before = state(store)
    shutil.copytree(store.path.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / ".pfs" / "index.lmdb")
    with pfs.open(tmp_path / "copy") as other:
        assert state(other) == before


def test_fsck_looks_at_what_is_staged(store: Store) -> None:
    txn = begin(store)
    put(txn.repo("a"), {"/big": bytes(range(256)) * 4000})
    assert list(fsck(store, deep=True)) == []
    (root,) = {root.packs for root in staged_roots(store.backend)}
    objects = store.path / "objects"
    pack = next(path for path in objects.rglob("*.pack") if path.stem == root[-1].hex())
    data = bytearray(pack.read_bytes())
    data[200] ^= 1
    pack.write_bytes(bytes(data))
    found = [damage for damage in fsck(store, deep=True) if damage.commits]
    assert {place for damage in found for place in damage.commits} == {f"a@{txn.id}, in transaction {txn.id}"}
    (objects / "txn" / f"{txn.id}.json").write_bytes(b"{}")
    assert [damage.object for damage in fsck(store) if damage.kind == "transaction"] == [f"txn/{txn.id}.json"]
    other = begin(store)
    assert [info.id for info in list_transactions(store)] == [other.id]
    with pytest.raises(CorruptionError, match=txn.id):
        txn.drop()


def test_what_is_downstream_gets_one_commit_of_the_same_id(store: Store, open_txn: Begin) -> None:
    made = store.create_repo("made")
    made.create_branch("master", provenance=[BranchRef("a", "master"), BranchRef("b", "master")])
    made.drop_open("master")
    store.repo("a").create_branch("follower", trigger=Trigger(branch="master", commits=1))
    with open_txn(store) as txn:
        put(txn.repo("a"), {"/x": b"1"})
        put(txn.repo("b"), {"/x": b"1"})
        assert made.branch("master").open_commit is None
    opened = made.branch("master").open_commit
    assert opened == txn.id
    assert {(one.repo, one.commit) for one in made.inspect(opened).provenance} == {("a", txn.id), ("b", txn.id)}
    assert store.repo("a").branch("follower").head == txn.id
    assert [info.id for info in made.commits()] == [txn.id]


def test_provenance_and_triggers_are_made_inside(store: Store, open_txn: Begin) -> None:
    with open_txn(store) as txn:
        txn.create_repo("made").create_branch("master", provenance=[BranchRef("a", "master")])
        txn.repo("b").create_branch("follower", trigger=Trigger(branch="master", commits=1))
        with pytest.raises(InvalidInputError):
            txn.repo("a").create_branch("x", provenance=[BranchRef("a", "master")])
        put(txn.repo("a"), {"/x": b"1"})
        put(txn.repo("b"), {"/x": b"1"})
    made = store.repo("made")
    assert made.branch("master").provenance == (BranchRef("a", "master"),)
    assert [one.commit for one in made.inspect(made.branch("master").open_commit or "").provenance] == [txn.id]
    assert store.repo("b").branch("follower").head == txn.id
    assert list(fsck(store, deep=True)) == []


def test_many_operations_cost_each_the_same(store: Store) -> None:
    def calls(number: int) -> int:
        backend = FaultyBackend(store.backend, counted=READS)
        with Store(store.path, backend=backend) as counted, counted.transaction() as transaction:
            for one in range(number):
                put(transaction.create_repo(f"{number}-{one}"), {"/x": b"x"})
        return backend.calls

    assert calls(40) < 3 * calls(20)


# faults: every call of finishing fails


def work(txn: Transaction) -> None:
    put(txn.repo("b"), {"/y": b"2"})
    put(txn.repo("a"), {"/x": b"1"})
    txn.repo("a").create_tag("v1", "master")
    put(txn.create_repo("c"), {"/z": b"3"})
    txn.repo("b").start_commit("open")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a transaction that is ready to be finished, and a head that moved since."""
    path = tmp_path_factory.mktemp("staged")
    with pfs.init(path) as store:
        for name in ("a", "b"):
            put(store.create_repo(name), {"/old": b"old"})
        work(begin(store))
        put(store.repo("a"), {"/meanwhile": b"m"})
    return path


def finish_it(path: Path, **faults: object) -> tuple[FaultyBackend, bool]:
    backend = FaultyBackend(LocalBackend(path / ".pfs/objects"), **faults)  # type: ignore[arg-type]  # the test's own
    with Store(path / ".pfs", backend=backend) as store:
        try:
            resume(store, next(store.refs.transactions.all()).body.id).finish()
        except PfsError:
            return backend, False
    return backend, True


_LONG = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("how", "dead"),
    [
        (How.BEFORE, False),
        pytest.param(How.BEFORE, True, marks=_LONG),
        pytest.param(How.AFTER, False, marks=_LONG),
        (How.AFTER, True),
        pytest.param(How.FULL, False, marks=_LONG),
    ],
)
def test_all_or_nothing_whatever_call_fails(tmp_path: Path, staged: Path, how: How, dead: bool) -> None:
    shutil.copytree(staged, tmp_path / "whole")
    with pfs.open(tmp_path / "whole") as store:
        old = state(store)
    calls = finish_it(tmp_path / "whole")[0].calls
    with pfs.open(tmp_path / "whole") as store:
        new = state(store)
    assert calls >= 10
    assert old != new
    for number in range(1, calls + 1):
        place = tmp_path / str(number)
        shutil.copytree(staged, place)
        _, acknowledged = finish_it(place, fail_at=number, how=how, dead_after=dead)
        with pfs.open(place) as store:
            found = state(store)
            assert found in (old, new), f"call {number} of {calls}"
            if acknowledged:
                assert found == new
        late = Store(place / ".pfs", clock_ns=lambda: LEASE_NS * 2 + 2 * 10**18)  # whoever owned it is long dead
        with late as store:
            for left in list_transactions(store):
                assert found == old, f"call {number} of {calls}"
                resume(store, left.id).finish()
            assert state(store) == new
            assert nothing_left(store)
            assert list(fsck(store, deep=True)) == []


def test_a_lost_reply_to_the_commit_point_is_a_success(tmp_path: Path, staged: Path) -> None:
    shutil.copytree(staged, tmp_path / "x")
    backend, _ = finish_it(tmp_path / "x", counted=frozenset({"swap"}))
    swaps = [call.removeprefix("swap ").partition("/")[0] for call in backend.log if call.startswith("swap")]
    at = len(swaps) - swaps[::-1].index("txn")
    shutil.copytree(staged, tmp_path / "y")
    _, acknowledged = finish_it(tmp_path / "y", counted=frozenset({"swap"}), fail_at=at, how=How.AFTER)
    assert acknowledged
