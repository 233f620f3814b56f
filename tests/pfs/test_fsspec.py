"""The fsspec file system: addresses, listings, reading, and what becomes a commit when."""

import errno
import gc
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.backends.local import LocalBackend
from pfs.errors import FileCollisionError, PfsError
from pfs.fs.address import Place, parse, strip
from pfs.fs.errors import ERRNOS, os_error
from pfs.fs.file import WriteFile
from pfs.fsspec import PfsFileSystem
from pfs.ids import TreeId
from pfs.model import BranchRef
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.trees.edit import Put
from pfs.trees.page import Kind

BIG = os.urandom(3 << 20)


@pytest.fixture
def fs(repo: Repo) -> Iterator[PfsFileSystem]:
    yield fsspec.filesystem("pfs", store=str(repo.store.path))
    PfsFileSystem.clear_instance_cache()


@pytest.fixture
def tree(repo: Repo, fs: PfsFileSystem) -> PfsFileSystem:
    with repo.commit("master") as commit:
        commit.put_file("/a.txt", b"hello", mime="text/plain")
        commit.put_file("/d/b.txt", b"world!")
        commit.put_file("/d/e/big", BIG)
    return fs


def commits(repo: Repo) -> int:
    return len(list(repo.commits("master"))) if repo.branches() else 0


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("pfs://", ""),
        ("pfs://r@master", "r@master"),
        ("pfs://r@master/", "r@master"),
        ("pfs://r@master//a///b/", "r@master/a/b"),
        ("pfs://r@master:/a", "r@master/a"),
        ("/r@master^/a", "r@master^/a"),
        ("r@master/**/*.csv", "r@master/**/*.csv"),
    ],
)
def test_names(url: str, name: str) -> None:
    assert strip(url) == name
    assert strip(name) == name


def test_places() -> None:
    assert parse("r@master~2/ä/b") == Place("r", "master~2", "/ä/b")
    assert (parse("r@m").top, parse("r@m").path, parse("r@m").key) == ("r@m", "/", b"")
    for wrong in ("r", "r/x", "@m/x", "r@/x", "r@m/../x", "a.b@m"):
        with pytest.raises(PfsError):
            parse(wrong)


def test_every_error_is_an_os_error() -> None:
    def below(kind: type[PfsError]) -> Iterator[type[PfsError]]:
        yield kind
        for sub in kind.__subclasses__():
            yield from below(sub)

    table = [kind for kind, _ in ERRNOS]
    for number, kind in enumerate(table):
        assert not any(issubclass(kind, wider) for wider in table[:number]), f"{kind} comes too late"
    for kind in below(PfsError):
        covered = issubclass(kind, tuple(table[:-1])) or kind is PfsError or kind.kind == "failed"
        assert covered or not kind.__module__.startswith("pfs."), kind
    assert type(os_error(FileCollisionError("/a", "directory /a/"))) is IsADirectoryError
    assert type(os_error(FileCollisionError("/a/b", "file /a"))) is NotADirectoryError


def test_the_root_lists_branches(repo: Repo, tree: PfsFileSystem) -> None:
    repo.store.create_repo("other").create_branch("empty")
    assert tree.ls("", detail=False) == ["data@master", "other@empty"]
    assert tree.ls("pfs://other@empty") == []
    assert tree.isdir("other@empty")
    assert tree.find("") == ["data@master/a.txt", "data@master/d/b.txt", "data@master/d/e/big"]
    assert tree.info("pfs://")["type"] == "directory"


def test_listings(repo: Repo, tree: PfsFileSystem) -> None:
    assert tree.ls("data@master", detail=False) == ["data@master/a.txt", "data@master/d"]
    assert tree.ls("pfs://data@master/a.txt", detail=False) == ["data@master/a.txt"]
    assert tree.find("data@master/d") == ["data@master/d/b.txt", "data@master/d/e/big"]
    assert tree.find("data@master/a.txt") == ["data@master/a.txt"]
    assert tree.find("data@master", maxdepth=2) == ["data@master/a.txt", "data@master/d/b.txt"]
    assert tree.find("data@master/d", maxdepth=1, withdirs=True) == [
        "data@master/d",
        "data@master/d/b.txt",
        "data@master/d/e",
    ]
    assert tree.find("data@master/nothing") == []
    with pytest.raises(ValueError, match="maxdepth"):
        tree.find("data@master", maxdepth=0)
    assert tree.glob("data@master/**/b*") == ["data@master/d/b.txt", "data@master/d/e/big"]
    assert tree.glob("data@master/*") == ["data@master/a.txt", "data@master/d"]
    assert tree.glob("*@master/a*") == ["data@master/a.txt"]
    assert [(top, dirs, files) for top, dirs, files in tree.walk("data@master/d")] == [
        ("data@master/d", ["e"], ["b.txt"]),
        ("data@master/d/e", [], ["big"]),
    ]
    commit = repo["master"].info.id
    assert tree.find(f"data@{commit[:8]}/d/e") == [f"data@{commit[:8]}/d/e/big"]


def test_info(repo: Repo, tree: PfsFileSystem) -> None:
    file, folder = tree.info("data@master/a.txt"), tree.info("data@master/d/")
    view = repo["master"]
    assert (file["name"], file["size"], file["type"]) == ("data@master/a.txt", 5, "file")
    assert (file["hash"], file["commit"], file["mime"]) == (view.stat("/a.txt").hash, view.info.id, "text/plain")
    assert (folder["name"], folder["size"], folder["type"]) == ("data@master/d", 0, "directory")
    assert (folder["total_bytes"], folder["file_count"]) == (6 + len(BIG), 2)
    assert tree.info("data@master")["total_bytes"] == tree.du("data@master") == 11 + len(BIG)
    assert tree.du("data@master", total=False)["data@master/d/b.txt"] == 6
    assert tree.du("data@master", maxdepth=1) == 5
    assert tree.size("data@master/a.txt") == 5
    changed = view.stat("/a.txt").changed_ns
    assert changed is not None
    assert tree.modified("data@master/a.txt") == datetime.fromtimestamp(changed / 1e9, UTC)
    assert tree.created("data@master") <= datetime.now(UTC)


def test_keys_say_what_the_content_is(tree: PfsFileSystem) -> None:
    tree.pipe_file("data@master/same.txt", b"hello")
    assert tree.checksum("data@master/same.txt") == tree.checksum("data@master/a.txt")
    before = tree.ukey("data@master/d"), tree.ukey("data@master/a.txt")
    tree.pipe_file("data@master/d/new", b"")
    assert tree.ukey("data@master/d") != before[0]
    assert tree.ukey("data@master/a.txt") == before[1]


def test_names_that_only_s3_has_are_left_out(repo: Repo, tree: PfsFileSystem) -> None:
    content = repo["master"].row("/a.txt")
    odd = (b"d//x", b"/x", b"marker/", b"../x", b"d/./x", b"bell\x07")
    with repo.commit("master", collisions="allow") as commit:
        commit.edit([Put(key, content.kind, content.size, content.tid) for key in odd])
    assert tree.find("data@master") == ["data@master/a.txt", "data@master/d/b.txt", "data@master/d/e/big"]
    assert tree.ls("data@master", detail=False) == ["data@master/a.txt", "data@master/d", "data@master/marker"]


def test_nothing_there(tree: PfsFileSystem) -> None:
    for name in ("data@master/no", "data@no/x", "no@master/x", "data/a.txt", "data@master/a.txt/x", "data@mas ter/x"):
        assert not tree.exists(name)
        assert not tree.isdir(name)
        for call in (tree.info, tree.ls, tree.cat_file, tree.open, tree.rm, tree.ukey):
            with pytest.raises((FileNotFoundError, OSError)) as caught:
                call(name)
            assert caught.value.errno in {errno.ENOENT, errno.EINVAL}, name
    with pytest.raises(FileNotFoundError, match="data@master:/no"):
        tree.open("pfs://data@master/no")
    with pytest.raises(IsADirectoryError):
        tree.open("data@master/d")
    with pytest.raises(FileNotFoundError, match="pfs init"):
        fsspec.filesystem("pfs", store="/nowhere")


def test_reading(tree: PfsFileSystem) -> None:
    with tree.open("data@master/d/e/big") as file:
        assert (file.size, file.path, file.mode) == (len(BIG), "data@master/d/e/big", "rb")
        assert file.full_name == "pfs://data@master/d/e/big"
        file.seek(-5, os.SEEK_END)
        assert file.read() == BIG[-5:]
        file.seek(1_000_000)
        assert file.read(7) == BIG[1_000_000:1_000_007]
        assert file.read(2_000_000) == BIG[1_000_007:3_000_007]  # in threads, past what the buffer holds
        assert file.read(5) == BIG[3_000_007:3_000_012]
        assert file.tell() == 3_000_012
        file.seek(2 * len(BIG))
        assert (file.read(), file.read(4 << 20)) == (b"", b"")
        with pytest.raises(OSError, match="files begin at 0"):
            file.seek(-1)
    with tree.open("data@master/a.txt", "r") as text:
        assert text.read() == "hello"
    assert tree.cat_file("data@master/d/e/big", 10, -10) == BIG[10:-10]
    assert tree.cat_file("data@master/a.txt", -2) == b"lo"
    assert tree.cat_file("data@master/a.txt", 3, 1) == b""
    assert tree.cat(["data@master/a.txt", "data@master/d/b.txt"]) == {
        "data@master/a.txt": b"hello",
        "data@master/d/b.txt": b"world!",
    }
    assert tree.read_block("data@master/a.txt", 0, 3, b"l") == b"hell"
    with pytest.raises(ValueError, match="mode"):
        tree.open("data@master/a.txt", "r+b")


def test_ranges(tree: PfsFileSystem) -> None:
    names = ["data@master/d/e/big", "data@master/no", "data@master/a.txt", "data@master/d/e/big"]
    first, missing, second, third = tree.cat_ranges(names, [5, 0, -3, 2_000_000], [1_500_000, 1, None, 2_000_001])
    assert (first, second, third) == (BIG[5:1_500_000], b"llo", BIG[2_000_000:2_000_001])
    assert isinstance(missing, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        tree.cat_ranges(names, 0, 1, on_error="raise")
    assert tree.cat_ranges(["data@master/a.txt"] * 2, 1, 3) == [b"el", b"el"]
    assert tree.cat_ranges([], [], []) == []


def test_a_file_that_is_open_stays_as_it_was(tree: PfsFileSystem) -> None:
    with tree.open("data@master/a.txt") as file:
        assert file.read(1) == b"h"
        tree.pipe_file("data@master/a.txt", b"other")
        copy = pickle.loads(pickle.dumps(file))
        assert copy.read() == file.read() == b"ello"
    assert tree.cat_file("data@master/a.txt") == b"other"


def test_file_systems_are_pickled_with_their_place(
    tree: PfsFileSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PFS_STORE", str(tree.store.path))
    named = fsspec.filesystem("pfs")
    assert named is tree
    data, text = pickle.dumps(named), named.to_json()
    monkeypatch.setenv("PFS_STORE", str(pfs.init(tmp_path / "second").path))
    assert fsspec.filesystem("pfs") is not named
    assert pickle.loads(data).cat_file("data@master/a.txt") == b"hello"
    assert json.loads(text)["store"] == str(tree.store.path)
    assert fsspec.AbstractFileSystem.from_json(text).fsid == tree.fsid


FORK = """
import os, sys, fsspec
fs = fsspec.filesystem("pfs", store=sys.argv[1])
big = fs.cat_file("data@master/d/e/big")
fs.pipe_file("data@master/parent", big)  # its threads run; the child has none of them
child = os.fork()
if not child:
    fs.pipe_file("data@master/child", fs.cat_file("data@master/d/e/big") + b"x")
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_forked_child_reads_and_writes(tree: PfsFileSystem) -> None:
    # In a process of its own: another library's thread of this one may hold a lock that no child ever gets.
    subprocess.run([sys.executable, "-c", FORK, str(tree.store.path)], check=True, timeout=100)
    assert tree.cat_file("data@master/child") == BIG + b"x"


def test_each_write_is_a_commit(repo: Repo, fs: PfsFileSystem, tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    for name in ("x", "y"):
        (tmp_path / "local" / name).write_bytes(name.encode())
    steps: list[tuple[Callable[[], object], dict[str, bytes]]] = [
        (lambda: fs.pipe_file("data@master/a", b"1"), {"a": b"1"}),
        (lambda: fs.pipe({"data@master/b": b"2", "data@master/c": b"3"}), {"b": b"2", "c": b"3"}),
        (lambda: fs.copy("data@master/b", "data@master/d/b"), {"d/b": b"2"}),
        (lambda: fs.put(str(tmp_path / "local"), "data@master/d", recursive=True), {"d/local/x": b"x"}),
        (lambda: fs.mv("data@master/d", "data@master/e", recursive=True), {"e/b": b"2", "e/local/y": b"y"}),
        (lambda: fs.touch("data@master/t"), {"t": b""}),
        (lambda: fs.write_text("data@master/t", "text"), {"t": b"text"}),
        (lambda: fs.rm(["data@master/a", "data@master/b"]), {"c": b"3"}),
        (lambda: fs.rm("data@master/e", recursive=True), {"t": b"text"}),
    ]
    for number, (step, there) in enumerate(steps, 1):
        step()
        assert commits(repo) == number
        for path, content in there.items():
            assert repo["master"].read(path) == content
    assert fs.find("data@master") == ["data@master/c", "data@master/t"]
    fs.rm("data@master/*")
    assert fs.ls("data@master") == []
    fs.pipe_file("data@master/d/x", b"")
    fs.rm("data@master", recursive=True)
    assert fs.tree("data@master") == "data@master"
    with pytest.raises(OSError, match="the repo or the branch is missing"):
        fs.rm("", recursive=True)


def test_messages(repo: Repo) -> None:
    fs = fsspec.filesystem("pfs", store=str(repo.store.path), message="nightly")
    fs.pipe_file("data@master/a", b"1")
    fs.rm("data@master/a")
    assert {info.message for info in repo.commits("master")} == {"nightly"}


def test_append_and_exclusive(repo: Repo, tree: PfsFileSystem) -> None:
    with tree.open("data@master/a.txt", "ab") as file:
        file.write(b", you")
    with tree.open("data@master/new", "ab") as file:
        file.write(b"1")
    assert tree.cat_file("data@master/a.txt") == b"hello, you"
    assert repo["master"].stat("/a.txt").mime == "text/plain"
    assert tree.cat_file("data@master/new") == b"1"
    first, second = (tree.open("data@master/once", "xb") for _ in range(2))
    for file in (first, second):
        file.write(b"x")
    first.close()
    with pytest.raises(FileExistsError):
        second.close()
    with pytest.raises(FileExistsError):
        tree.pipe_file("data@master/once", b"", mode="create")


def test_the_last_writer_of_a_file_wins(tree: PfsFileSystem) -> None:
    first, second = (tree.open("data@master/a.txt", "wb") for _ in range(2))
    first.write(b"first")
    second.write(b"second")
    second.close()
    first.close()
    assert tree.cat_file("data@master/a.txt") == b"first"


def test_appends_of_many_threads_are_all_kept(repo: Repo, fs: PfsFileSystem) -> None:
    def append(number: int) -> None:
        for _ in range(4):
            with fs.open("data@master/log", "ab") as file:
                file.write(b"%d\n" % number)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fs.cat_file("data@master/log").split()) == sorted(b"0 1 2 3".split() * 4)
    assert commits(repo) == 16


def test_big_files_and_copies_move_no_bytes(repo: Repo, tree: PfsFileSystem) -> None:
    with tree.open("data@master/copy", "wb") as file:
        for at in range(0, len(BIG), 100_000):
            file.write(memoryview(BIG)[at : at + 100_000])
        assert file.tell() == len(BIG)
    assert tree.ukey("data@master/copy") == tree.ukey("data@master/d/e/big")
    packs = sum(entry.size for entry in repo.store.backend.entries("packs/d/"))
    repo.store.create_repo("other")
    tree.cp("data@master/d/e/big", "other@main/big")
    assert tree.cat_file("other@main/big") == BIG
    assert sum(entry.size for entry in repo.store.backend.entries("packs/d/")) == packs


def test_directories_are_copied_as_a_whole(repo: Repo, tree: PfsFileSystem) -> None:
    with repo.commit("master") as commit:
        for number in range(300):
            commit.put_file(f"/many/{number}", b"%d" % number)
    repo.store.create_repo("other")
    tree.copy("data@master/many", "other@main/there", recursive=True)
    tree.copy("pfs://data@master/many", "pfs://other@main/there", recursive=True)
    tree.copy("data@master/d/", "other@main/there/", recursive=True)
    tree.copy("data@master", "other@whole", recursive=True)
    assert tree.ukey("other@main/there/many") == tree.ukey("data@master/many")
    assert tree.cat_file("other@main/there/b.txt") == b"world!"
    assert tree.ukey("other@whole") == tree.ukey("data@master")
    before = tree.ukey("data@master/many")
    tree.mv("data@master/many", "data@master/moved", recursive=True)
    assert (tree.ukey("data@master/moved"), tree.exists("data@master/many"), commits(repo)) == (before, False, 3)
    for target in ("data@master/moved/in", "data@master/moved/a/b"):
        with pytest.raises(OSError, match="into itself"):
            tree.mv("data@master/moved", target, recursive=True)
    tree.mv("data@master/moved", "data@master/moved/", recursive=True)
    with pytest.raises(NotADirectoryError):
        tree.copy("data@master/d", "data@master/a.txt", recursive=True)
    with pytest.raises(FileNotFoundError):
        tree.copy("data@master/no", "data@master/new", recursive=True)
    assert (commits(repo), len(tree.find("data@master/moved"))) == (3, 300)
    with tree.transaction:
        tree.pipe_file("other@tx/x/y", BIG)
        tree.copy("other@tx/x", "data@master/x", recursive=True)
        tree.copy("other@tx/x", "other@tx/z", recursive=True)
    assert tree.cat_file("data@master/x/y") == tree.cat_file("other@tx/z/y") == BIG


def test_an_error_in_the_block_drops_the_file(repo: Repo, fs: PfsFileSystem) -> None:
    with pytest.raises(RuntimeError), fs.open("data@master/a", "wb") as file:  # noqa: PT012  # the block is the matter
        file.write(BIG)
        raise RuntimeError
    with pytest.raises(ValueError, match="closed"):
        file.write(b"")
    for options in ({}, {"compression": "gzip"}):
        with pytest.raises(RuntimeError), fs.open("data@master/a", "w", **options) as text:  # noqa: PT012
            text.write("half")
            raise RuntimeError
        assert text.closed
    assert commits(repo) == 0


def test_a_file_that_is_never_closed_is_dropped_and_said_so(repo: Repo, fs: PfsFileSystem) -> None:
    file = fs.open("data@master/a", "wb")
    file.write(b"half")
    with pytest.warns(ResourceWarning, match="data@master/a was never closed"):
        file = gc.collect()
    assert commits(repo) == 0


def test_compression(repo: Repo, fs: PfsFileSystem) -> None:
    with fs.open("data@master/a.gz", "wb", compression="infer") as file:
        file.write(b"plain")
    assert gzip.decompress(repo["master"].read("/a.gz")) == b"plain"
    with fs.open("data@master/b.gz", "wt", compression="gzip") as file:
        file.write("text")
    with fs.open("data@master/b.gz", "rt", compression="infer") as file:
        assert file.read() == "text"
    with fsspec.open("pfs://data@master/c.gz", "w", compression="gzip", store=str(repo.store.path)) as file:
        file.write("url")
    assert gzip.decompress(fs.cat_file("data@master/c.gz")) == b"url"
    with pytest.raises(RuntimeError), fs.open("data@master/d.gz", "wb", compression="gzip") as file:
        raise RuntimeError
    assert commits(repo) == 3


def test_what_may_not_be_written(repo: Repo, tree: PfsFileSystem) -> None:
    tree.pipe_file("data@master/new", b"n")
    head = repo["master"].info.id
    repo.store.create_repo("up")
    repo.create_branch("out", provenance=[BranchRef("up", "master")])
    wrong: list[tuple[str, type[OSError], int | None]] = [
        (f"data@{head}/x", PermissionError, errno.EPERM),
        ("data@master^/x", PermissionError, errno.EPERM),
        ("data@a b/x", OSError, errno.EINVAL),
        ("data@master~99/x", FileNotFoundError, errno.ENOENT),
        ("data@master", OSError, errno.EINVAL),
        ("data@master/../x", OSError, errno.EINVAL),
        ("data/x", OSError, errno.EINVAL),
        ("no@master/x", FileNotFoundError, errno.ENOENT),
        ("data@out/x", OSError, errno.EBUSY),
        ("data@master/d", IsADirectoryError, errno.EISDIR),
        ("data@master/a.txt/x", NotADirectoryError, errno.ENOTDIR),
    ]
    for name, kind, code in wrong:
        with pytest.raises(kind) as caught:
            tree.pipe_file(name, b"x")
        assert caught.value.errno == code, name
        with pytest.raises(kind), tree.transaction:
            tree.pipe_file(name, b"x")
    with pytest.raises(IsADirectoryError):
        tree.rm("data@master/d")
    with pytest.raises(FileNotFoundError):
        tree.rm(["data@master/a.txt", "data@master/no"])
    with pytest.raises(OSError, match="name a file"):
        tree.cp_file("data@master/a.txt", "data@master")
    with pytest.raises(FileNotFoundError, match="no"):
        tree.mkdir("no@master")
    with pytest.raises(FileExistsError):
        tree.makedirs("data@master/a.txt", exist_ok=True)
    with pytest.raises(FileExistsError):
        tree.makedirs("data@master/d")
    tree.makedirs("data@master/d/new")
    assert commits(repo) == 2


def test_purged_files_say_so(repo: Repo, fs: PfsFileSystem) -> None:
    with repo.commit("master") as commit:
        commit.edit([Put(b"gone", Kind.REMOVED, 5, TreeId(bytes(32)))])
    assert fs.info("data@master/gone")["type"] == "other"
    with pytest.raises(OSError, match="purged"):
        fs.cat_file("data@master/gone")


def test_open_commits_are_written_and_read(repo: Repo, tree: PfsFileSystem) -> None:
    opened = repo.start_commit("master").id
    tree.pipe_file("data@master/new", b"1")
    tree.pipe_file(f"data@{opened}/a.txt", b"2")
    assert tree.cat_file("data@master/a.txt") == tree.cat_file(f"data@{opened}/a.txt") == b"2"
    assert repo["master"].read("/a.txt") == b"hello"
    repo.finish_commit("master")
    assert repo["master"].read("/new") == b"1"


def test_a_transaction_is_one_commit(repo: Repo, tree: PfsFileSystem) -> None:
    other = repo.store.create_repo("other")
    with tree.transaction:
        tree.pipe_file("data@master/new", b"1")
        with tree.open("data@master/a.txt", "ab") as file:
            file.write(b"!")
        tree.mv("data@master/d", "data@master/f", recursive=True)
        tree.pipe_file("other@main/x", BIG)
        tree.cp("other@main/x", "data@master/x")  # what no commit has yet is stored for both
        tree.rm("data@master/f/b.txt")
        assert tree.cat_file("data@master/a.txt") == b"hello!"
        assert tree.find("data@master") == [f"data@master/{name}" for name in ("a.txt", "f/e/big", "new", "x")]
        assert tree.isdir("data@master/f")
        assert not tree.exists("data@master/d")
        assert tree.cat_ranges(["data@master/x"], 7, 9) == [BIG[7:9]]
        assert (commits(repo), other.branches()) == (1, [])
    assert commits(repo) == 2
    assert tree.cat_file("data@master/x") == tree.cat_file("other@main/x") == BIG
    assert tree.find("data@master") == [f"data@master/{name}" for name in ("a.txt", "f/e/big", "new", "x")]
    tree.pipe_file("data@master/after", b"")
    assert commits(repo) == 3


def test_a_transaction_over_several_repos_is_all_or_nothing(repo: Repo, tree: PfsFileSystem) -> None:
    other = repo.store.create_repo("other")
    opened = other.start_commit("open").id
    with tree.transaction:
        for place in ("data@master", "other@main", "other@second", "other@open"):
            tree.pipe_file(f"{place}/new", BIG)
    head = repo.inspect("master").id
    assert other.inspect("main").id == head
    assert other.inspect("second").id not in (head, opened)
    assert tree.cat_file("other@open/new") == tree.cat_file("other@second/new") == BIG
    assert other.inspect(opened).open
    with pytest.raises(OSError, match="/mine was changed on other@main by another"), tree.transaction:  # noqa: PT012
        tree.pipe_file("data@master/mine", b"1")
        tree.pipe_file("other@main/mine", b"1")
        with other.commit("main") as commit:
            commit.put_file("/mine", b"2")
    assert repo.inspect("master").id == head
    assert list(repo.store.backend.entries("txn/")) == []


def test_a_transaction_that_raises_changes_nothing(repo: Repo, tree: PfsFileSystem) -> None:
    with pytest.raises(RuntimeError), tree.transaction:  # noqa: PT012  # the block is the matter
        tree.pipe_file("data@master/new", b"1")
        tree.rm("data@master/a.txt")
        half: WriteFile = tree.open("data@master/half", "wb")
        half.write(BIG)
        raise RuntimeError
    assert commits(repo) == 1
    assert half.closed
    tree.pipe_file("data@master/alone", b"1")
    assert commits(repo) == 2


def test_an_operation_that_fails_in_a_transaction_leaves_the_rest(repo: Repo, tree: PfsFileSystem) -> None:
    with tree.transaction:
        tree.pipe_file("data@master/new", b"1")
        with pytest.raises(FileNotFoundError):
            tree.rm(["data@master/a.txt", "data@master/no"])
        with pytest.raises(NotADirectoryError):
            tree.pipe_file("data@master/new/x", b"1")
        with pytest.raises(FileExistsError):
            tree.pipe_file("data@master/new", b"2", mode="create")
        for target in ("a.txt", "new", "new/below"):
            with pytest.raises(NotADirectoryError):
                tree.copy("data@master/d", f"data@master/{target}", recursive=True)
    assert tree.cat(["data@master/new", "data@master/a.txt"]) == {
        "data@master/new": b"1",
        "data@master/a.txt": b"hello",
    }
    with tree.transaction:
        assert tree.cat_file("data@master/new") == b"1"
    assert commits(repo) == 2


def test_a_transaction_meets_another_writer(repo: Repo, tree: PfsFileSystem) -> None:
    with tree.transaction:
        tree.pipe_file("data@master/mine", b"1")
        with repo.commit("master") as commit:
            commit.put_file("/theirs", b"2")
    assert tree.cat_file("data@master/mine") + tree.cat_file("data@master/theirs") == b"12"
    with pytest.raises(OSError, match="/mine was changed on data@master by another"), tree.transaction:  # noqa: PT012
        tree.pipe_file("data@master/mine", b"3")
        with repo.commit("master") as commit:
            commit.put_file("/mine", b"4")
    assert tree.cat_file("data@master/mine") == b"4"


def test_transactions_without_a_block(repo: Repo, fs: PfsFileSystem) -> None:
    fs.start_transaction()
    fs.pipe_file("data@master/a", b"1")
    fs.pipe_file("data@master/b", b"1")
    still_open = fs.open("data@master/c", "wb")
    still_open.write(b"2")
    fs.end_transaction()
    assert commits(repo) == 1
    assert fs.cat_file("data@master/c") == b"2"
    later = fs.open("data@master/d", "wb", autocommit=False)
    later.write(b"3")
    later.close()
    assert commits(repo) == 1
    later.commit()
    later.commit()
    dropped = fs.open("data@master/e", "wb", autocommit=False)
    dropped.close()
    dropped.discard()
    dropped.commit()
    assert fs.find("data@master") == [f"data@master/{name}" for name in "abcd"]


NAMES = ("a", "b", "d/x", "d/y", "d/e/z")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "append", "copy", "move", "remove"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.binary(max_size=3),
    ),
    min_size=1,
    max_size=12,
)


def _step(fs: PfsFileSystem, model: dict[str, bytes], step: tuple[str, str, str, bytes]) -> None:
    what, name, other, data = step
    here, there = f"data@master/{name}", f"data@master/{other}"
    if what == "put":
        fs.pipe_file(here, data)
        model[name] = data
    elif what == "append":
        with fs.open(here, "ab") as file:
            file.write(data)
        model[name] = model.get(name, b"") + data
    elif name not in model:
        with pytest.raises(FileNotFoundError):
            {"copy": fs.copy, "move": fs.mv, "remove": lambda path, _: fs.rm(path)}[what](here, f"{there}.not")
    elif what == "remove":
        fs.rm(here)
        del model[name]
    elif name != other:
        (fs.copy if what == "copy" else fs.mv)(here, there)
        model[other] = model[name] if what == "copy" else model.pop(name)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.booleans())
def test_against_a_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str, bytes]], together: bool
) -> None:
    with pfs.init(tmp_path_factory.mktemp("model")) as store:
        store.create_repo("data").create_branch("master")
        fs = fsspec.filesystem("pfs", store=str(store.path), skip_instance_cache=True)
        model: dict[str, bytes] = {}
        if together:
            fs.start_transaction()
        for step in steps:
            _step(fs, model, step)
            assert {name: fs.cat_file(f"data@master/{name}") for name in model} == model
            assert fs.find("data@master") == sorted(f"data@master/{name}" for name in model)
        if together:
            fs.end_transaction()
            assert len(list(store.repo("data").commits("master"))) <= 1
            assert {name: fs.cat_file(f"data@master/{name}") for name in model} == model
            assert fs.find("data@master") == sorted(f"data@master/{name}" for name in model)


def _with_fault(path: Path, fail_at: int | None, how: How) -> tuple[FaultyBackend, PfsFileSystem]:
    backend = FaultyBackend(LocalBackend(path / "objects"), fail_at=fail_at, how=how)
    fs = fsspec.filesystem("pfs", store=str(path), skip_instance_cache=True)
    fs._store = Store(path, backend=backend)
    return backend, fs


def _write_all(fs: PfsFileSystem) -> None:
    with fs.transaction:
        fs.pipe_file("data@master/a", b"new")
        fs.pipe_file("data@master/big", BIG)
        fs.rm("data@master/b")


def _write_one(fs: PfsFileSystem) -> None:
    fs.pipe_file("data@master/a", b"new")


@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("work", [_write_all, _write_one])
def test_a_fault_at_any_write_leaves_the_old_state_or_the_new(
    tmp_path: Path, work: Callable[[PfsFileSystem], None], how: How
) -> None:
    fail_at = 0
    while True:
        fail_at += 1
        with pfs.init(tmp_path / str(fail_at)) as store:
            path = store.path
            with store.create_repo("data").commit("master") as commit:
                commit.put_file("/a", b"old")
                commit.put_file("/b", b"old")
        backend, fs = _with_fault(path, fail_at, how)
        failed = False
        try:
            work(fs)
        except OSError:
            failed = True
        fs._store.close()
        with pfs.open(path) as store:
            view = store.repo("data")["master"]
            state = {info.path: view.read(info.path) for info in view.list(recursive=True)}
        old = {"/a": b"old", "/b": b"old"}
        new = {"/a": b"new", "/big": BIG} if work is _write_all else old | {"/a": b"new"}
        assert state in ([old, new] if failed else [new]), fail_at
        if not backend.fired:
            break
    assert fail_at > 3


def test_text_wrappers_end_in_a_commit(repo: Repo, fs: PfsFileSystem) -> None:
    file = fs.open("data@master/t", "w", encoding="utf-16", newline="\r\n")
    assert isinstance(file, io.TextIOWrapper)
    file.write("ä\n")
    file.close()
    assert fs.cat_file("data@master/t").decode("utf-16") == "ä\r\n"
    assert commits(repo) == 1
