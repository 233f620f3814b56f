"""Group commit: who arrives together is committed together, and every failure is told to the one it concerns."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import pfs
from pfs.backends.base import Backend
from pfs.changes.apply import apply
from pfs.errors import RepoNotFoundError, StorageError
from pfs.ids import EMPTY_CHUNK, TreeId, chunk_id
from pfs.model import CommitInfo
from pfs.packs.pack import read_footer
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.trees.edit import Delete, Edit, Put
from pfs.trees.page import Kind
from pfs.trees.tree import Row, Tree
from pfs.upkeep.check import fsck
from s3api.errors import S3Error
from s3api.objects.buckets import open_bucket
from s3api.objects.groupcommit import GroupCommits, Write
from s3api.objects.names import BucketName


class Held(ThreadPoolExecutor):
    """A pool whose work begins when the test says so."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gate = threading.Event()
        self.submit(self.gate.wait)
        self.submit(self.gate.wait)


@pytest.fixture
def repo(home: Store) -> Repo:
    return home.create_repo("r")


@pytest.fixture
def held() -> Iterator[Held]:
    with Held() as pool:
        yield pool
        pool.gate.set()


def put(store: Store, key: str, data: bytes = b"") -> Write:
    """A write of one small file, its chunk in a session of its own."""
    session = store.session()
    session.put_chunks([(chunk_id(data), data)] if data else [])
    return Write([Put(key.encode(), Kind.FILE, len(data), TreeId(chunk_id(data)), force=True)], session)


def results(futures: list[Future[CommitInfo | None]]) -> list[str]:
    return [info.id for info in (future.result(30) for future in futures) if info is not None]


def refuse(row: Row | None) -> None:
    raise S3Error("PreconditionFailed")


def test_what_gathers_is_one_commit(repo: Repo, held: Held) -> None:
    commits = GroupCommits(held)
    futures = [commits.submit(repo, "master", put(repo.store, f"k{i}", f"data {i}".encode())) for i in range(20)]
    held.gate.set()
    assert len(set(results(futures))) == 1
    assert [repo["master"].read(f"/k{i}") for i in range(20)] == [f"data {i}".encode() for i in range(20)]


def test_a_write_may_choose_on_the_tree_it_lands_on(repo: Repo, held: Held) -> None:
    """A choice sees what the writes before it did, is made again after a lost swap, and fails alone."""
    commits = GroupCommits(held)
    for branch, data in (("master", b"old"), ("other", b"longer")):
        with repo.commit(branch) as commit:
            commit.put_file("/k", data)
    seen = list[int]()

    def move(tree: Tree) -> list[Put]:
        row = tree.stat(b"k", want="file")
        assert row is not None
        seen.append(row.size)
        if len(seen) == 1:  # another process is first
            repo.create_branch("master", head="other")
        return [Put(b"k", row.kind, row.size, row.tid, {"u": {"seen": str(row.size)}}, force=True)]

    def fail(tree: Tree) -> list[Put]:
        raise S3Error("NoSuchKey")

    stand_in = put(repo.store, "k", b"old").edits
    chosen = commits.submit(repo, "master", Write(stand_in, choose=move))
    failed = commits.submit(repo, "master", Write(put(repo.store, "other").edits, choose=fail))
    held.gate.set()
    assert chosen.result(30) is not None
    with pytest.raises(S3Error, match="NoSuchKey"):
        failed.result(30)
    row = repo["master"].tree.stat(b"k", want="file")
    assert seen == [3, 6]
    assert row is not None
    assert (repo["master"].read("/k"), (row.aux or {})["u"]) == (b"longer", {"seen": "6"})


@pytest.mark.parametrize("data", [b"text " * 100, os.urandom(500), os.urandom(100_000), b"text " * 40_000])
def test_equal_bytes_of_several_writers_are_stored_once(repo: Repo, held: Held, data: bytes) -> None:
    commits = GroupCommits(held)
    futures = [commits.submit(repo, "master", put(repo.store, f"k{i}", data)) for i in range(8)]
    held.gate.set()
    assert len(set(results(futures))) == 1
    packs = [entry for entry in repo.store.backend.entries("packs/") if entry.size]
    ids = [id for pack in packs for id in read_footer(repo.store.backend, pack.name).entries["id"].tolist()]
    assert len(ids) == len({str(id) for id in ids})
    assert list(fsck(repo.store, deep=True)) == []
    assert [repo["master"].read(f"/k{i}") for i in range(8)] == [data] * 8


def test_two_writes_of_one_key_are_two_commits_in_order(repo: Repo, held: Held) -> None:
    commits = GroupCommits(held)
    writes = [("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4")]
    futures = [commits.submit(repo, "master", put(repo.store, *write)) for write in writes]
    held.gate.set()
    ids = results(futures)
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3
    assert [repo[id].read("/a") for id in (ids[0], ids[1], ids[3])] == [b"1", b"2", b"4"]
    assert repo["master"].read("/a") == b"4"


def test_a_refused_write_is_left_out(repo: Repo, held: Held) -> None:
    commits = GroupCommits(held)
    good = commits.submit(repo, "master", put(repo.store, "good", b"1"))
    edit = Put(b"bad", Kind.FILE, 0, TreeId(EMPTY_CHUNK))
    bad = commits.submit(repo, "master", Write([edit], None, [(b"bad", refuse)]))
    held.gate.set()
    with pytest.raises(S3Error, match="PreconditionFailed"):
        bad.result(30)
    assert good.result(30) is not None
    assert [info.path for info in repo["master"].list()] == ["/good"]


def test_when_all_are_refused_there_is_no_commit(repo: Repo, held: Held) -> None:
    held.gate.set()
    bad = GroupCommits(held).submit(repo, "master", Write([Delete(b"k")], None, [(b"k", refuse)]))
    with pytest.raises(S3Error):
        bad.result(30)
    assert list(repo.commits()) == []


def test_a_write_that_was_given_up_is_not_made(repo: Repo, held: Held) -> None:
    commits = GroupCommits(held)
    futures = [commits.submit(repo, "master", put(repo.store, key, b"1")) for key in ("kept", "gone")]
    assert futures[1].cancel()
    held.gate.set()
    futures[0].result(30)
    assert [info.path for info in repo["master"].list()] == ["/kept"]


def test_branches_do_not_wait_for_each_other(repo: Repo, held: Held) -> None:
    commits = GroupCommits(held)
    futures = [commits.submit(repo, branch, put(repo.store, "k", branch.encode())) for branch in ("a", "b")]
    held.gate.set()
    assert len(set(results(futures))) == 2
    assert repo["b"].read("/k") == b"b"


def test_the_last_writer_wins_over_another_process(repo: Repo) -> None:
    """A commit that another writer makes between reading and swapping is built upon, not conflicted with."""
    interfered: list[object] = []

    def change(tree: Tree) -> list[Edit]:
        if not interfered:
            with repo.commit("master") as commit:
                commit.put_file("/k", b"other")
                commit.put_file("/x", b"other")
            interfered.append(tree.root)
        return list(put(repo.store, "k", b"ours").edits)

    session = repo.store.session()
    session.put_chunks([(chunk_id(b"ours"), b"ours")])
    repo.store.turns = _NoTurns()  # type: ignore[assignment]  # the courtesy would make the test wait for itself
    info = apply(repo, "master", change, session=session)
    assert info is not None
    assert (repo["master"].read("/k"), repo["master"].read("/x")) == (b"ours", b"other")
    assert next(repo.commits("master")).id == info.id


class _NoTurns:
    def turn(self, repo: str) -> "_NoTurns":
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_a_commit_that_was_opened_or_finished_meanwhile(repo: Repo) -> None:
    repo.store.turns = _NoTurns()  # type: ignore[assignment]
    calls = []

    def change(tree: Tree) -> list[Edit]:
        calls.append(tree)
        if len(calls) == 1:
            repo.start_commit("master")
        elif len(calls) == 2:
            repo.finish_commit("master")
        return [Put(b"k", Kind.FILE, 0, TreeId(EMPTY_CHUNK))]

    info = apply(repo, "master", change, session=repo.store.session())
    assert info is not None
    assert repo.inspect("master").id == info.id
    assert len(calls) >= 2


def faulty(path: Path, *, fail_at: int | None, how: How) -> tuple[Store, FaultyBackend]:
    store = pfs.open(path)
    inner: Backend = store.backend
    wrapped = FaultyBackend(inner, fail_at=fail_at, how=how)
    store.backend = wrapped
    store.refs._backend = wrapped  # the store has no way to be given a backend
    return store, wrapped


def write_two(store: Store) -> list[Exception | None]:
    """Write two files in one group; return how each ended."""
    with Held() as pool:
        commits = GroupCommits(pool)
        writes = [put(store, key, key.encode() * 10) for key in ("a", "b")]
        futures = [commits.submit(store.repo("r"), "master", write) for write in writes]
        pool.gate.set()
        return [_outcome(future) for future in futures]


def _outcome(future: Future[CommitInfo | None]) -> Exception | None:
    try:
        future.result(60)
    except StorageError as error:
        return error
    return None


@pytest.mark.parametrize("how", list(How), ids=lambda how: how.value)
def test_every_failing_step_leaves_the_old_state_or_the_new(tmp_path: Path, how: How) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        place = tmp_path / str(fail_at)
        with pfs.init(place) as made, made.create_repo("r").commit("master") as commit:
            commit.put_file("/old", b"old")
        store, backend = faulty(place, fail_at=fail_at, how=how)
        outcomes = write_two(store)
        store.close()
        with pfs.open(place) as again:
            names = [info.path for info in again.repo("r")["master"].list()]
            assert names in (["/old"], ["/a", "/b", "/old"])
            if outcomes == [None, None]:
                assert names == ["/a", "/b", "/old"]
                assert again.repo("r")["master"].read("/b") == b"b" * 10
            assert again.repo("r")["master"].read("/old") == b"old"
        if backend.calls < fail_at:
            assert outcomes == [None, None]
            return


def test_a_write_to_a_bucket_that_is_gone_does_not_bring_it_back(home: Store, held: Held) -> None:
    repo = home.create_repo("r")
    for name in ("kept", "gone", "renewed"):
        repo.create_branch(name)
    buckets = {name: open_bucket(home, BucketName("r", name)) for name in ("kept", "gone", "renewed")}
    commits = GroupCommits(held)
    futures = {
        name: commits.submit(repo, name, replace(put(home, "k"), guard=bucket.require_same))
        for name, bucket in buckets.items()
    }
    for name in ("gone", "renewed"):
        repo.delete_branch(name)
    repo.create_branch("renewed")
    held.gate.set()
    assert results([futures["kept"]])
    for name in ("gone", "renewed"):
        with pytest.raises(S3Error, match="NoSuchBucket"):
            futures[name].result(30)
    assert {branch.name: branch.head is None for branch in repo.branches()} == {"kept": False, "renewed": True}


@pytest.mark.parametrize("anew", [True, False])
def test_a_write_to_a_repo_that_is_gone(home: Store, held: Held, anew: bool) -> None:
    repo = home.create_repo("r")
    bucket = open_bucket(home, BucketName("r"))
    future = GroupCommits(held).submit(repo, "master", replace(put(home, "k"), guard=bucket.require_same))
    home.delete_repo("r")
    if anew:
        home.create_repo("r")
    held.gate.set()
    with pytest.raises(S3Error if anew else RepoNotFoundError):
        future.result(30)
    assert [info.branches for info in home.list_repos()] == ([()] if anew else [])
