"""Reading a commit."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from pfs.errors import InvalidInputError, PathNotFoundError, PurgedError
from pfs.ids import TreeId
from pfs.model import FileChange
from pfs.repo import Repo
from pfs.trees.edit import Put
from pfs.trees.page import Kind
from pfs.view import View

BIG = os.urandom(2_500_000)


@pytest.fixture
def view(repo: Repo) -> View:
    with repo.commit("master") as commit:
        commit.put_file("/a.txt", b"hello")
        commit.put_file("/d/b.txt", b"world")
        commit.put_file("/d/e/big", BIG)
        commit.put_file("/é", b"")
    return repo["master"]


def test_list(view: View) -> None:
    assert [info.path for info in view.list()] == ["/a.txt", "/d/", "/é"]
    assert [info.path for info in view.list("/d/")] == ["/d/b.txt", "/d/e/"]
    assert [info.path for info in view.list("/a.txt")] == ["/a.txt"]
    assert [info.path for info in view.list("d", recursive=True)] == ["/d/b.txt", "/d/e/", "/d/e/big"]
    for path in ("/nothing", "/a.txt/", "/a.txt/x"):
        with pytest.raises(PathNotFoundError, match="data@"):
            view.list(path)


def test_stat(view: View) -> None:
    root, folder, file = view.stat("/"), view.stat("/d"), view.stat("/a.txt")
    assert (root.path, root.type, root.size_bytes, root.file_count) == ("/", "directory", 10 + len(BIG), 4)
    assert (folder.path, folder.size_bytes, folder.file_count) == ("/d/", 5 + len(BIG), 2)
    assert (file.type, file.size_bytes, file.commit) == ("file", 5, view.info.id)
    assert file.etag == file.hash[:32] + "-1"
    assert root.hash == view.info.root.tid.hex()


def test_an_empty_commit_has_a_root(repo: Repo) -> None:
    with repo.commit("master"):
        pass
    view = repo["master"]
    assert list(view.list()) == []
    assert view.stat("/").file_count == 0
    assert view.to_arrow().num_rows == 0


def test_read_and_seek(view: View) -> None:
    assert view.read("/d/e/big") == BIG
    assert view.read("/d/e/big", offset=1_000_000, length=10) == BIG[1_000_000:1_000_010]
    assert view.read("/a.txt", offset=9) == b""
    with view.open("/d/e/big") as stream:
        stream.seek(-5, os.SEEK_END)
        assert stream.read() == BIG[-5:]
        stream.seek(700_000)
        assert stream.read(7) == BIG[700_000:700_007]
    for path in ("/", "/d"):
        with pytest.raises(InvalidInputError, match="directory"):
            view.open(path)


def test_purged_files_say_so(repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.edit([Put(b"gone", Kind.REMOVED, 5, TreeId(bytes(32)))])
    assert repo["master"].stat("/gone").type == "removed"
    with pytest.raises(PurgedError, match="purged"):
        repo["master"].read("/gone")


def test_glob(view: View) -> None:
    assert [info.path for info in view.glob("/*")] == ["/a.txt", "/d/", "/é"]
    assert [info.path for info in view.glob("/**.txt")] == ["/a.txt", "/d/b.txt"]


def test_diff(repo: Repo, view: View) -> None:
    assert [(change.path, change.type) for change in view.diff()] == [
        (path, "added") for path in ("/a.txt", "/d/b.txt", "/d/e/big", "/é")
    ]
    with repo.commit("master") as commit:
        commit.put_file("/a.txt", b"hello", mime="text/plain")
        commit.put_file("/d/b.txt", b"changed")
        commit.delete_file("/é")
        commit.put_file("/d2/new", b"x")
    new = repo["master"]
    found = [(change.path, change.type, change.content_same) for change in new.diff()]
    assert found == [
        ("/a.txt", "modified", True),
        ("/d/b.txt", "modified", False),
        ("/d2/new", "added", False),
        ("/é", "deleted", False),
    ]
    assert [change.path for change in new.diff(path="/d")] == ["/d/b.txt"]
    assert [(change.path, change.type) for change in view.diff(new, "/d2/new")] == [("/d2/new", "deleted")]


def test_restore(tmp_path: Path, view: View) -> None:
    view.restore("/d/e/big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    view.restore("/", tmp_path / "all")
    assert (tmp_path / "all/d/b.txt").read_bytes() == b"world"


def test_to_arrow(view: View) -> None:
    table = view.to_arrow()
    assert table.column("path").to_pylist() == ["/a.txt", "/d/b.txt", "/d/e/big", "/é"]
    assert table.column("size_bytes").to_pylist() == [5, 5, len(BIG), 0]
    assert view.to_arrow("/d").num_rows == 2
    assert view.to_arrow("/a.txt").column("commit").to_pylist() == [view.info.id]


def test_glob_to_arrow(view: View) -> None:
    table = view.glob_to_arrow("/*")
    assert table.select(["path", "type", "file_count"]).to_pylist() == [
        {"path": "/a.txt", "type": "file", "file_count": 1},
        {"path": "/d/", "type": "directory", "file_count": 2},
        {"path": "/é", "type": "file", "file_count": 1},
    ]
    assert table.schema == view.to_arrow().schema == view.glob_to_arrow("/nothing*").schema
    with pytest.raises(InvalidInputError):
        view.glob_to_arrow("/[")


def test_diff_to_arrow(repo: Repo, view: View) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/a.txt", b"hello", mime="text/plain")
        commit.put_file("/d/b.txt", b"changed")
        commit.delete_file("/é")
        commit.put_file("/new", b"x")
    new = repo["master"]
    columns = ["path", "type", "content_same", "old_size_bytes", "new_size_bytes"]
    table = new.diff_to_arrow()
    assert [tuple(row.values()) for row in table.select(columns).to_pylist()] == [
        ("/a.txt", "modified", True, 5, 5),
        ("/d/b.txt", "modified", False, 5, 7),
        ("/new", "added", False, None, 1),
        ("/é", "deleted", False, 0, None),
    ]
    assert table.column("new_hash").to_pylist()[1] == new.stat("/d/b.txt").hash
    assert table.column("old_commit").to_pylist()[3] == view.info.id
    assert new.diff_to_arrow(view, "/d").column("path").to_pylist() == ["/d/b.txt"]
    assert new.diff_to_arrow(new).schema == table.schema


def shown(changes: Iterable[FileChange]) -> list[tuple[str, str]]:
    return [(change.path, change.type) for change in changes]


def test_diff_of_two_paths(repo: Repo) -> None:
    with repo.commit("master") as commit:
        for name in ("same", "changed", "gone", "deep/gone"):
            commit.put_file(f"/two/old/{name}", b"1")
        for number in range(100):  # so that one of the directories has pages of its own
            commit.put_file(f"/two/many/{number}", b"1")
        for name, data in {"same": b"1", "changed": b"2", "deep/new": b"3"}.items():
            commit.put_file(f"/two/new/{name}", data)
        commit.put_file("/two/file", b"1")
        commit.put_file("/two/file2", b"1")
    view = repo["master"]
    assert shown(view.diff(view, "/two/new", old_path="/two/old")) == [
        ("/two/new/changed", "modified"),
        ("/two/new/deep/gone", "deleted"),
        ("/two/new/deep/new", "added"),
        ("/two/new/gone", "deleted"),
    ]
    assert shown(view.diff(view, "/two/file", old_path="/two/file2")) == []
    assert shown(view.diff(view, "/two/file", old_path="/two/new/changed")) == [("/two/file", "modified")]
    assert shown(view.diff(view, "/two/new/changed", old_path="/nothing")) == [("/two/new/changed", "added")]
    assert shown(view.diff(view, "/nothing", old_path="/two/file")) == [("/nothing", "deleted")]
    assert len(shown(view.diff(view, "/two/many", old_path="/two/old"))) == 104
    assert len(shown(view.diff(view, "/two/old", old_path="/two/many"))) == 104
    assert len(shown(view.diff(view, "/two/empty", old_path="/two/many"))) == 100
    assert shown(view.diff(view, "/two/new/deep", old_path="/two/file"))[0] == ("/two/new/deep", "deleted")
    whole = {path.removeprefix("/two") for path, _ in shown(view.diff(view, "/two", old_path="/"))}
    assert "/file" in whole
    assert {path for path, kind in shown(view.diff(view, "/", old_path="/two")) if kind == "deleted"} >= {"/file"}
    for path, old in (("/none", "/nor"), ("/none", None)):
        with pytest.raises(PathNotFoundError):
            view.diff(view, path, old_path=old)


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1), (-5, 2)])
def test_a_negative_range_is_refused(view: View, offset: int, length: int | None) -> None:
    for read in (view.read, view.iter):
        with pytest.raises(InvalidInputError, match="negative"):
            read("/d/a.txt", offset=offset, length=length)
