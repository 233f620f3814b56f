"""Stores in a bucket: several machines, each with an index and caches of its own, and what they ask of S3."""

from __future__ import annotations

import multiprocessing
import random
import select
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pfs.backends.inotify import watch_folders
from pfs.errors import CommitNotFoundError, PathConflictError, PfsError, PurgedError
from pfs.gc.options import Options
from pfs.store import Store
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World
from tests.pfs.machines import Machine, machines


@pytest.fixture
def machine(bucket: World, tmp_path: Path) -> Iterator[Machine]:
    """Gives the store of a machine by its name."""
    with machines(bucket, tmp_path) as made:
        yield made


def put(store: Store, path: str, data: bytes, *, branch: str = "master") -> str:
    with store.repo("data").commit(branch) as commit:
        commit.put_file(path, data)
    return commit.id


def files(store: Store, branch: str = "master") -> dict[str, bytes]:
    view = store.repo("data")[branch]
    return {info.path: view.read(info.path) for info in view.list("/", recursive=True) if info.type == "file"}


def commits(store: Store, branch: str = "master") -> list[str]:
    return [info.id for info in store.repo("data").commits(branch)]


def whole(store: Store) -> bool:
    return list(fsck(store, deep=True)) == []


def test_requests_of_a_commit_of_one_file(bucket: World, machine: Machine) -> None:
    """At most 4 writes and 3 reads; one read more for the first one of a process."""
    store = machine("one")
    repo = store.create_repo("data")
    for number in range(4):
        bucket.counted()
        with repo.commit("master") as commit:
            commit.put_file(f"/{number}", b"%d" % number)
        writes, reads = bucket.counted()
        assert writes == 2
        assert reads == (3 if number else 4)


def test_requests_of_a_cold_read(bucket: World, machine: Machine, tmp_path: Path) -> None:
    """Of one small file among many, without any cache: at most 6."""
    one = machine("one")
    repo = one.create_repo("data")
    with repo.commit("master") as commit:
        for number in range(300):
            commit.put_file(f"/some/dir/{number % 7}/{number}", b"%d" % number)
    put(one, "/other", b"1")
    machine("two").close()
    shutil.rmtree(tmp_path / "two" / ".pfs" / "cache")
    two = machine("two")
    bucket.counted()
    assert two.repo("data")["master"].read("/some/dir/3/150") == b"150"
    writes, reads = bucket.counted()
    assert writes == 0
    assert reads <= 6
    assert two.repo("data")["master"].read("/some/dir/3/157") == b"157"
    assert bucket.counted() == (0, 2)


def test_requests_of_recovery(bucket: World, machine: Machine, tmp_path: Path) -> None:
    """One a pack, and few others; the records of commits come with the packs."""
    one = machine("one")
    one.create_repo("data")
    for number in range(10):
        put(one, f"/{number}", b"x")
    machine("two").close()
    bucket.counted()
    recover(tmp_path / "two" / ".pfs")
    writes, reads = bucket.counted()
    assert writes == 0
    assert reads <= 10 + 12


@pytest.mark.s3
def test_two_machines_behave_as_one(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    first = put(one, "/a", b"1")
    assert files(two) == {"/a": b"1"}
    second = put(two, "/b", b"2")
    put(two, "/c", b"3", branch="side")
    assert files(one) == {"/a": b"1", "/b": b"2"}
    assert files(one, "side") == {"/c": b"3"}
    assert commits(one) == commits(two) == [second, first]
    two.repo("data").create_tag("v1", "master")
    assert [tag.name for tag in one.repo("data").tags()] == ["v1"]
    one.delete_repo("data")
    assert two.list_repos() == []
    assert whole(one)
    assert whole(two)


@pytest.mark.s3
def test_commits_that_cross_are_put_on_each_other(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    put(one, "/base", b"0")
    with one.repo("data").commit("master") as mine:
        mine.put_file("/mine", b"1")
        with two.repo("data").commit("master") as theirs:
            theirs.put_file("/theirs", b"2")
        with two.repo("data").commit("side") as aside:
            aside.put_file("/aside", b"3")
    assert files(one) == files(two) == {"/base": b"0", "/mine": b"1", "/theirs": b"2"}
    assert commits(two)[:2] == [mine.id, theirs.id]
    late = one.repo("data").commit("master")
    late.put_file("/mine", b"late")
    put(two, "/mine", b"first")
    with pytest.raises(PathConflictError, match="/mine"):
        late.finish()
    assert files(one)["/mine"] == b"first"


def test_a_machine_that_was_away_for_long_catches_up(bucket: World, machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    put(one, "/0", b"0")
    assert len(commits(two)) == 1
    for number in range(1, 15):
        put(one, f"/{number}", b"%d" % number)
    bucket.counted()
    assert len(commits(two)) == 15
    assert bucket.counted()[1] <= 14 + 20
    assert files(two) == files(one)


def test_lost_replies_and_writers_on_two_machines(bucket: World, machine: Machine) -> None:
    """Of every five replies to writes one is lost: each commit that was acknowledged is there, once."""
    stores = [machine("one"), machine("two")]
    stores[0].create_repo("data")
    dice, lock = random.Random(7), threading.Lock()

    def lose(asked: Asked) -> bool:
        with lock:
            return asked.is_write and "/refs/" in asked.key and dice.random() < 0.2

    bucket.lose = lose

    def work(writer: int) -> list[str]:
        return [put(stores[writer % 2], f"/{writer}/{number}", b"%d" % number) for number in range(6)]

    with ThreadPoolExecutor(4) as pool:
        done = [commit for some in pool.map(work, range(4)) for commit in some]
    bucket.lose = lambda _: False
    for store in stores:
        assert sorted(commits(store)) == sorted(done)
        assert len(files(store)) == 24
        assert whole(store)


@pytest.mark.s3
def test_recovery_of_a_machine_that_lost_everything(machine: Machine, tmp_path: Path) -> None:
    one = machine("one")
    one.create_repo("data")
    for number in range(12):
        put(one, f"/{number}", b"%d" % number * 1000)
    before, ids = files(one), commits(one)
    one.close()
    shutil.rmtree(tmp_path / "one")
    again = machine("again")
    assert (files(again), commits(again)) == (before, ids)
    again.close()
    report = recover(tmp_path / "again" / ".pfs")
    assert (report.commits, report.damaged) == (12, ())
    assert whole(machine("again"))


def test_a_damaged_cache_is_read_around(bucket: World, machine: Machine, tmp_path: Path) -> None:
    one = machine("one")
    one.create_repo("data")
    put(one, "/a", b"1" * 5000)
    one.close()
    kept = [path for path in (tmp_path / "one" / ".pfs" / "cache").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert files(machine("one")) == {"/a": b"1" * 5000}


@pytest.mark.parametrize("seed", range(4))
def test_what_came_garbled_does_no_harm_later(bucket: World, machine: Machine, seed: int) -> None:
    """Each answer with bytes of a pack has a wrong bit, for a while: no longer than that is anything amiss."""
    rng = random.Random(seed)
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    bodies = {f"/{number}": rng.randbytes(9_000) * 2 for number in range(5)}
    put(one, "/first", b"first")
    assert files(two) == {"/first": b"first"}
    for path, body in bodies.items():
        put(one, path, body)

    def garbled(asked: Asked) -> Answer | None:
        if asked.method != "GET" or "packs/" not in asked.key or asked.key.endswith("/"):
            return None
        found = bucket.client.get_object(Bucket=BUCKET, Key=asked.key, Range=asked.headers.get("range", "bytes=0-"))
        data = bytearray(found["Body"].read())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return "206 Partial Content", {"Content-Range": found["ContentRange"], "ETag": found["ETag"]}, bytes(data)

    bucket.refuse = garbled
    for _ in range(3):
        with suppress(PfsError):
            assert files(two) == {"/first": b"first", **bodies}
        with suppress(PfsError):
            commits(two)
    bucket.refuse = lambda _: None
    assert files(two) == {"/first": b"first", **bodies}
    assert commits(two) == commits(one)
    put(two, "/last", bodies["/3"])
    assert files(one) == files(two)
    assert whole(two)


@pytest.mark.s3
def test_collection_beside_another_machine(bucket: World, machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    bodies = [random.Random(number).randbytes(300_000) for number in range(5)]
    for number, body in enumerate(bodies):
        put(one, "/big", body)
        put(one, f"/{number}", b"%d" % number)
    assert len(files(two)) == 6
    repo = one.repo("data")
    for id in commits(one)[1:]:
        repo.squash_commit(id)
    with two.repo("data").commit("master") as open_one:
        open_one.put_file("/again", bodies[1])  # stored already, and about to be collected
        report = one.collect(min_age_s=0, grace_s=0)
        assert report.deleted > 0
    assert files(one) == files(two)
    assert files(two)["/again"] == bodies[1]
    assert whole(one)
    assert whole(two)
    two.collect(min_age_s=0, grace_s=0)
    assert len(files(one)) == 7


@pytest.mark.s3
def test_waiting_for_another_machine(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    token = two.changes()
    assert not two.wait(token, 0)
    put(one, "/a", b"1")
    assert two.wait(token, 60)


@pytest.mark.s3
def test_a_data_pack_of_many_megabytes(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    body = random.Random(1).randbytes(9 << 20)
    put(one, "/big", body)
    with two.repo("data")["master"].open("/big") as file:
        assert file.read() == body
        file.seek(5_000_000)
        assert file.read(10) == body[5_000_000:5_000_010]


def test_options_of_collection_are_those_of_local_stores(machine: Machine) -> None:
    one = machine("one")
    one.create_repo("data")
    put(one, "/a", b"1")
    put(one, "/a", b"2")
    one.repo("data").squash_commit(commits(one)[1])
    from pfs.gc.collect import collect

    assert collect(one, Options(min_age_ns=3600 * 10**9, grace_ns=0)).deleted == 0
    assert files(one) == {"/a": b"2"}


def test_a_commit_of_this_machine_is_told_by_the_kernel(machine: Machine) -> None:
    one, other_process = machine("one"), machine("one")
    repo = one.create_repo("data")
    assert one._bell is not None
    notices = watch_folders([one._bell.folder])
    if notices is None:
        pytest.skip("the kernel tells nothing here")
    told = select.poll()
    told.register(notices, select.POLLIN)
    with repo.commit("master") as commit:
        commit.put_file("/a", b"1")
    assert told.poll(0)
    notices.close()
    assert files(other_process) == {"/a": b"1"}


@pytest.mark.s3
def test_a_repo_that_another_machine_made_anew(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    old = put(one, "/old", b"old")
    assert files(two) == {"/old": b"old"}
    one.delete_repo("data")
    one.create_repo("data")
    assert list(two.repo("data").commits()) == []
    with pytest.raises(CommitNotFoundError):
        two.repo("data").inspect(old)
    new = put(two, "/new", b"new")
    assert commits(one) == [new]


@pytest.mark.s3
def test_what_another_machine_purged_is_gone_here(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.create_repo("data")
    first = put(one, "/secret", b"secret" * 100)
    put(one, "/other", b"other")
    assert files(two)["/secret"] == b"secret" * 100
    one.repo("data").purge("/secret")
    for ref in ("master", first):
        with pytest.raises(PurgedError):
            two.repo("data")[ref].read("/secret")
    put(two, "/more", b"more")
    assert sorted(files_of(one)) == ["/more", "/other", "/secret"]


def files_of(store: Store) -> list[str]:
    return [info.path for info in store.repo("data")["master"].list("/", recursive=True)]


@pytest.mark.s3
def test_a_transaction_over_repos_is_seen_by_another_machine(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    for name in ("a", "b"):
        one.create_repo(name)
    with one.transaction() as transaction:
        for name in ("a", "b"):
            with transaction.repo(name).commit("master") as commit:
                commit.put_file("/f", name.encode())
    assert [two.repo(name)["master"].read("/f") for name in ("a", "b")] == [b"a", b"b"]


def read_in_child(store: Store) -> None:
    assert store.backend.get_ranges("config.json", [(0, 1), (1 << 22, 1), (1 << 23, 1)])[0] == b"{"
    assert files(store) == {"/a": b"1", "/b": b"2"}
    put(store, "/c", b"3")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_after_a_fork_has_connections_and_threads_of_its_own(machine: Machine, tmp_path: Path) -> None:
    one = machine("one")
    one.create_repo("data")
    put(one, "/a", b"1")
    put(one, "/b", b"2")
    shutil.rmtree(tmp_path / "one" / ".pfs" / "cache")
    one.backend.get_ranges("config.json", [(0, 1), (1 << 22, 1), (1 << 23, 1)])  # several at once: threads
    child = multiprocessing.get_context("fork").Process(target=read_in_child, args=(one,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert files(one) == {"/a": b"1", "/b": b"2", "/c": b"3"}
