"""The folder that `pfs mount` shows, without FUSE: paths, branches that move, open files that do not."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import CommitNotFoundError, CorruptionError, RepoNotFoundError
from pfs.files.fileref import EMPTY_FILE, put_link
from pfs.ids import TreeId
from pfs.mount.open_file import OpenFile
from pfs.mount.tree import MountTree
from pfs.paths import Address
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.edit import Put
from pfs.trees.page import Kind
from tests.pfs.bytes_world import noise

BIG = noise(11_000_000)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repo(store: Store) -> Repo:
    repo = store.create_repo("data")
    with repo.commit("master") as writer:
        writer.put_file("/a.txt", b"first")
        writer.put_file("/d/e/кот.txt", b"deep")
        writer.put_file("/d/big", BIG)
        writer.put_ref(b"d/link", put_link(writer.session, b"../a.txt"))
        writer.put_ref(b"run", EMPTY_FILE, aux={"x": True})
    return repo


@pytest.fixture
def tree(store: Store, repo: Repo, clock: Clock) -> MountTree:
    return MountTree(store, clock_s=clock)


def names(tree: MountTree, path: str) -> list[str]:
    return [name for name, _ in tree.children(path)]


def content(tree: MountTree, path: str) -> bytes:
    file = tree.open(path)
    try:
        return file.read(0, file.row.size + 10)
    finally:
        file.close()


def test_what_stands_where(tree: MountTree, repo: Repo) -> None:
    repo.create_tag("v1", "master")
    repo.create_branch("dev", head="master")
    repo.create_branch("empty")
    repo.store.create_repo("other")
    assert names(tree, "/") == ["data", "other"]
    assert names(tree, "/other") == []
    assert names(tree, "/data") == ["dev", "empty", "master", "v1"]
    assert names(tree, "/data/empty") == []
    for ref in ("master", "dev", "v1", repo.inspect("master").id, repo.inspect("master").id[:8]):
        assert names(tree, f"/data/{ref}") == ["a.txt", "d", "run"]
        assert content(tree, f"/data/{ref}/a.txt") == b"first"
    assert names(tree, "/data/master/d") == ["big", "e", "link"]
    assert content(tree, "/data/master/d/e/кот.txt") == b"deep"
    assert tree.link("/data/master/d/link") == "../a.txt"


def test_attributes(tree: MountTree, repo: Repo) -> None:
    at_ns = repo["master"].stat("/a.txt").changed_ns
    file = tree.attributes("/data/master/a.txt")
    assert (stat.S_ISREG(file.mode), stat.S_IMODE(file.mode), file.size, file.mtime_ns) == (True, 0o444, 5, at_ns)
    assert stat.S_IMODE(tree.attributes("/data/master/run").mode) == 0o555
    assert stat.S_ISLNK(tree.attributes("/data/master/d/link").mode)
    for folder in ("/", "/data", "/data/master", "/data/master/d", "/data/master/d/e"):
        assert stat.S_ISDIR(tree.attributes(folder).mode), folder
    assert tree.attributes("/data/master/d").mtime_ns == at_ns
    assert [stat.S_IFMT(mode) for _, mode in tree.children("/data/master/d")] == [
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
    ]


def test_facts(tree: MountTree, repo: Repo) -> None:
    info = repo["master"].stat("/a.txt")
    first = repo.inspect("master").id
    with repo.commit("master") as writer:
        writer.put_file("/b", b"1", mime="text/plain")
    assert tree.facts("/data/master/a.txt") == {
        "commit": repo.inspect("master").id,
        "changed": first,
        "hash": info.hash,
        "size_bytes": "5",
        "file_count": "1",
    }
    assert tree.facts("/data/master/b")["mime"] == "text/plain"
    assert tree.facts("/data/master/d")["file_count"] == "3"
    assert tree.facts("/data") == tree.facts("/") == {}


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/none", errno.ENOENT),
        ("/bad.name", errno.ENOENT),
        ("/data/none", errno.ENOENT),
        ("/data/bad name!", errno.ENOENT),
        ("/data/master/none", errno.ENOENT),
        ("/data/master/a.txt/x", errno.ENOENT),
        ("/data/master^/a.txt", errno.ENOENT),
    ],
)
def test_what_is_not_there(tree: MountTree, path: str, number: int) -> None:
    for call in (tree.attributes, tree.children, tree.open, tree.link):
        with pytest.raises(OSError) as caught:
            call(path)  # type: ignore[operator]  # each takes a path
        assert caught.value.errno in {number, errno.EISDIR}


def test_what_is_of_another_kind(tree: MountTree) -> None:
    with pytest.raises(NotADirectoryError):
        tree.children("/data/master/a.txt")
    for path in ("/", "/data", "/data/master", "/data/master/d"):
        with pytest.raises(IsADirectoryError):
            tree.open(path)
    with pytest.raises(OSError, match="no symbolic link"):
        tree.link("/data/master/a.txt")


def test_a_branch_moves_and_an_open_file_stays(tree: MountTree, repo: Repo, clock: Clock) -> None:
    old = tree.open("/data/master/a.txt")
    first = repo.inspect("master").id
    with repo.commit("master") as writer:
        writer.put_file("/a.txt", b"second one")
        writer.put_file("/new", b"")
    clock.now += 2
    assert names(tree, "/data/master") == ["a.txt", "d", "new", "run"]
    assert tree.attributes("/data/master/a.txt").size == 10
    assert content(tree, "/data/master/a.txt") == b"second one"
    assert old.read(0, 100) == b"first"
    assert old.attributes.size == 5
    assert content(tree, f"/data/{first}/a.txt") == content(tree, "/data/master^/a.txt") == b"first"
    repo.delete_branch("master")
    clock.now += 2
    with pytest.raises(FileNotFoundError):
        tree.attributes("/data/master")
    assert old.read(0, 100) == b"first"


def test_only_what_never_changes_may_be_kept(tree: MountTree, repo: Repo, clock: Clock) -> None:
    commit = repo.inspect("master").id
    with repo.commit("master") as writer:
        writer.put_file("/a.txt", b"2")
    repo.create_tag("v2", "master")
    fixed = {ref: tree.open(f"/data/{ref}/a.txt").fixed for ref in ("master", "v2", commit, commit[:8], "master.1")}
    assert fixed == {"master": False, "v2": False, commit: True, commit[:8]: False, "master.1": False}
    repo.squash_commit(commit)
    clock.now += 2
    assert not tree.open(f"/data/{commit}/a.txt").fixed, "the id now means its child"
    opened = repo.start_commit("master")
    assert not tree.open(f"/data/{opened.id}/a.txt").fixed


def test_only_some_repos_and_refs(store: Store, repo: Repo) -> None:
    repo.create_branch("dev", head="master")
    for name in ("all", "none"):
        with store.create_repo(name).commit("master") as writer:
            writer.put_file("/x", b"x")
    tree = MountTree(store, [Address("data", "dev"), Address("data", "master^0"), Address("all")])
    assert names(tree, "/") == ["all", "data"]
    assert names(tree, "/data") == ["dev", "master^0"]
    assert names(tree, "/all") == ["master"]
    assert content(tree, "/data/dev/a.txt") == b"first"
    assert content(tree, "/all/master/x") == b"x"
    for path in ("/none", "/none/master/x", "/data/master", "/data/master/a.txt"):
        with pytest.raises(FileNotFoundError):
            tree.attributes(path)
    with pytest.raises(RepoNotFoundError):
        MountTree(store, [Address("nowhere")])
    with pytest.raises(CommitNotFoundError):
        MountTree(store, [Address("data", "nothing")])


def test_what_a_file_system_cannot_show(store: Store, repo: Repo, clock: Clock) -> None:
    with repo.commit("odd", collisions="allow") as writer:
        for key in (
            b"ok",
            b"a",
            b"a-b",
            b"a/hidden",
            b"x//y",
            b"../up",
            b"new\nline",
            b"long" * 80,
            b"marker/",
            b"\xff",
        ):
            writer.put_ref(key, writer.put_file("/ok", key))
        writer.edit([Put(b"purged", Kind.REMOVED, 7, TreeId(bytes(32)))])
    tree = MountTree(store, clock_s=clock)
    assert names(tree, "/data/odd") == ["a", "a-b", "marker", "ok", "purged", "x", "\udcff"]
    assert names(tree, "/data/odd/x") == names(tree, "/data/odd/marker") == []
    assert content(tree, "/data/odd/\udcff") == b"\xff"
    assert content(tree, "/data/odd/a") == b"a"
    assert tree.attributes("/data/odd/purged").size == 7
    with pytest.raises(OSError) as caught:
        tree.open("/data/odd/purged")
    assert caught.value.errno == errno.ENODATA


READS = st.lists(st.tuples(st.integers(0, len(BIG) + 1000), st.integers(0, 300_000)), max_size=8)


@settings(max_examples=20, deadline=None)
@given(READS, st.integers(0, len(BIG)), st.integers(1, 60), st.sampled_from([4096, 131_072, 1_000_000]), st.randoms())
def test_reads_give_the_bytes_however_they_come(
    big: OpenFile, jumps: list[tuple[int, int]], start: int, steps: int, size: int, random: object
) -> None:
    """Jumps, and a run of reads in which neighbours may be swapped, as a kernel that reads ahead does it."""
    run = [(start + step * size, size) for step in range(steps)]
    for at in range(0, len(run) - 1, 2):
        if random.random() < 0.5:  # type: ignore[attr-defined]  # a random.Random
            run[at], run[at + 1] = run[at + 1], run[at]
    for offset, length in [*jumps, *run, *jumps]:
        assert big.read(offset, length) == BIG[offset : offset + length]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenFile]:
    with pfs.init(tmp_path_factory.mktemp("big"), chunk_avg=65536) as store:
        with store.create_repo("r").commit("master") as writer:
            writer.put_file("/big", BIG)
        file = MountTree(store).open("/r/master/big")
        yield file
        file.close()


def test_many_readers_at_once_with_few_that_read_ahead(tree: MountTree) -> None:
    def read(number: int) -> bool:
        file = tree.open("/data/master/d/big")
        found = [file.read(at, 131_072) for at in range(0, len(BIG), 131_072)]
        file.close()
        return b"".join(found) == BIG

    before = set(threading.enumerate())
    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(read, range(24)))
    assert {thread for thread in threading.enumerate() if thread.name.startswith("read")} <= before


def test_threads_that_share_a_handle(tree: MountTree) -> None:
    file = tree.open("/data/master/d/big")
    places = [(at, 131_072) for at in range(0, len(BIG), 131_072)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda place: file.read(*place), places))
    assert b"".join(found) == BIG
    file.close()


def test_damage_is_an_error(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "home") as store:
        with store.create_repo("r").commit("master") as writer:
            writer.put_file("/f", noise(5_000_000))
        for pack in (tmp_path / "home").rglob("*.pack"):
            body = bytearray(pack.read_bytes())
            body[len(body) // 3] ^= 1
            os.chmod(pack, 0o644)
            pack.write_bytes(body)
        file = MountTree(store).open("/r/master/f")
        with pytest.raises(CorruptionError):
            [file.read(at, 131_072) for at in range(0, 5_000_000, 131_072)]
