"""Writing commits: sources, collisions, merging with other writers, conditions."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.changes.staging import Staging
from pfs.errors import (
    ConflictError,
    FileCollisionError,
    InvalidInputError,
    InvalidPathError,
    NotFoundError,
    PathConflictError,
    PathNotFoundError,
    PreconditionFailedError,
)
from pfs.ids import TreeId, chunk_id
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.edit import Put
from pfs.trees.page import Kind
from pfs.trees.row import Row


def put(repo: Repo, **files: bytes) -> None:
    with repo.commit("master") as commit:
        for name, data in files.items():
            commit.put_file(f"/{name}", data)


def files(repo: Repo, ref: str = "master") -> dict[str, bytes]:
    view = repo[ref]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


def test_every_kind_of_source(tmp_path: Path, repo: Repo) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    with repo.commit("master") as commit:
        commit.put_file("bytes", b"1", mime="text/plain", metadata={"k": "v"})
        commit.put_file("/path//", script)
        commit.put_file("/str", str(script))
        commit.put_file("/stream", io.BytesIO(b"2" * 1_000_000))
        commit.put_file("/empty", b"")
    view = repo["master"]
    assert files(repo) == {
        "/bytes": b"1", "/empty": b"", "/path": b"#!/bin/sh\n", "/str": b"#!/bin/sh\n", "/stream": b"2" * 1_000_000,
    }  # fmt: skip
    assert view.stat("/path").executable
    assert not view.stat("/bytes").executable
    assert (view.stat("/bytes").mime, view.stat("/bytes").metadata) == ("text/plain", {"k": "v"})
    assert view.stat("/bytes").commit == commit.id


def test_sources_and_paths_that_cannot_be_put(tmp_path: Path, repo: Repo) -> None:
    with repo.commit("master") as commit:
        with pytest.raises(NotFoundError, match="nowhere"):
            commit.put_file("/a", tmp_path / "nowhere")
        with pytest.raises(InvalidInputError, match="directory"):
            commit.put_file("/a", tmp_path)
        for path in ("/", "", "/a/../b", "/a\n", "/\ud800"):
            with pytest.raises(InvalidPathError):
                commit.put_file(path, b"x")
        commit.put_file("/ok", b"x")
    assert files(repo) == {"/ok": b"x"}


def test_an_error_in_the_block_leaves_nothing(repo: Repo) -> None:
    def fail() -> None:
        with repo.commit("master") as commit:
            commit.put_file("/a", b"1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert repo.branches() == []
    writer = repo.commit("master")
    writer.put_file("/a", b"1")
    writer.drop()
    writer.drop()
    with pytest.raises(ConflictError):
        writer.finish()


def test_an_empty_commit_is_a_commit(repo: Repo) -> None:
    put(repo)
    put(repo)
    assert len(list(repo.commits("master"))) == 2
    assert repo.inspect("master").file_count == 0


def test_append_adds_to_what_is_there_or_staged(repo: Repo) -> None:
    put(repo, log=b"a")
    with repo.commit("master") as commit:
        commit.put_file("/log", b"b", append=True, mime="text/plain")
        commit.put_file("/log", b"c" * 3_000_000, append=True)
        commit.put_file("/new", b"n", append=True)
    assert files(repo) == {"/log": b"ab" + b"c" * 3_000_000, "/new": b"n"}
    assert repo["master"].stat("/log").mime == "text/plain"
    put(repo, whole=b"ab" + b"c" * 3_000_000)
    assert repo["master"].stat("/whole").hash == repo["master"].stat("/log").hash


def test_a_deleted_file_is_appended_to_from_nothing(repo: Repo) -> None:
    put(repo, log=b"a")
    with repo.commit("master") as commit:
        commit.delete_file("/log")
        commit.put_file("/log", b"b", append=True)
    assert files(repo) == {"/log": b"b"}


def test_delete(repo: Repo) -> None:
    with repo.commit("master") as commit:
        for path in ("/a", "/d/b", "/d/e/c", "/f"):
            commit.put_file(path, b"x")
    with repo.commit("master") as commit:
        commit.delete_file("/a")
        with pytest.raises(PathNotFoundError, match="data@master:/a"):
            commit.delete_file("/a")
        with pytest.raises(InvalidInputError, match="directory"):
            commit.delete_file("/d")
        commit.delete_file("/d/e/", recursive=True)
        commit.put_file("/d/e", b"a file now")
        commit.delete_key(b"absent")
    assert files(repo) == {"/d/b": b"x", "/d/e": b"a file now", "/f": b"x"}
    with repo.commit("master") as commit:
        commit.delete_file("/", recursive=True)
        with pytest.raises(PathNotFoundError):
            commit.delete_file("/", recursive=True)
    assert files(repo) == {}


@pytest.mark.parametrize(("first", "second"), [("/a", "/a/b"), ("/a/b", "/a"), ("/a/b/c", "/a/b"), ("/a", "/a/b/c/d")])
@pytest.mark.parametrize("staged", [False, True])
def test_collisions_are_refused_at_once(repo: Repo, first: str, second: str, staged: bool) -> None:
    if not staged:
        put(repo, **{first[1:]: b"1"})
    with repo.commit("master") as commit:
        if staged:
            commit.put_file(first, b"1")
        with pytest.raises(FileCollisionError, match=second):
            commit.put_file(second, b"2")
        commit.put_file("/other", b"3")
    assert files(repo) == {first: b"1", "/other": b"3"}


def test_a_file_may_take_the_place_of_a_deleted_directory_and_back(repo: Repo) -> None:
    put(repo, **{"a/b": b"1"})
    with repo.commit("master") as commit:
        commit.delete_file("/a/b")
        commit.put_file("/a", b"2")
    assert files(repo) == {"/a": b"2"}
    with repo.commit("master") as commit:
        commit.delete_file("/a")
        commit.put_file("/a/b", b"3")
    assert files(repo) == {"/a/b": b"3"}


def test_s3_keys_may_collide(repo: Repo) -> None:
    with repo.commit("master", collisions="allow") as commit:
        ref = commit.put_file("/x", b"1")
        for key in (b"a", b"a/b", b"a/", b"a//c"):
            commit.put_ref(key, ref)
    assert repo.inspect("master").file_count == 5


def test_put_tree(tmp_path: Path, repo: Repo) -> None:
    for name in ("a", "d/b", "d/c", "d!/e"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_text(name)
    (tmp_path / "src/link").symlink_to("a")
    (tmp_path / "src/dir-link").symlink_to("d")
    os.mkfifo(tmp_path / "src/pipe")
    with repo.commit("master") as commit:
        assert commit.put_tree("/", tmp_path / "src") == 7
        assert commit.put_tree("/sub/", str(tmp_path / "src/d")) == 2
    assert sorted(files(repo)) == [
        "/a",
        "/d!/e",
        "/d/b",
        "/d/c",
        "/dir-link/b",
        "/dir-link/c",
        "/link",
        "/sub/b",
        "/sub/c",
    ]
    assert repo["master"].read("/link") == b"a"


def test_put_tree_of_what_cannot_be_put(tmp_path: Path, repo: Repo) -> None:
    source = tmp_path / "src"
    source.mkdir()
    with repo.commit("master") as commit:
        with pytest.raises(NotFoundError):
            commit.put_tree("/", source / "nowhere")
        (source / "loop").symlink_to(source)
        with pytest.raises(InvalidInputError, match="loop"):
            commit.put_tree("/", source)
        (source / "loop").unlink()
        (source / "dangling").symlink_to("nothing")
        with pytest.raises(NotFoundError, match="dangling"):
            commit.put_tree("/", source)
        (source / "dangling").unlink()
        (source / "bad\nname").write_text("x")
        with pytest.raises(InvalidPathError, match="bad"):
            commit.put_tree("/", source)


def test_the_store_itself_is_left_out_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("r")
        with repo.commit("master") as commit:
            assert commit.put_tree("/", tmp_path) == 1
        assert files(repo) == {"/a": b"1"}


def test_copies_move_no_bytes(store: Store, repo: Repo) -> None:
    data = {f"d/{number}": os.urandom(100) for number in range(200)}
    put(repo, **data, one=b"1", many=os.urandom(1_000_000))
    other = store.create_repo("other")
    source = repo["master"]
    with other.commit("master") as commit:
        commit.copy(source, "/d", "/e/d")
        commit.copy(source, "/one", "/two")
        commit.copy(source, "/one", "/two", append=True)
        commit.copy(source, "/many", "/many")
        assert commit.session.new_bytes == 2  # the appended file; all else is taken over
    assert other["master"].stat("/e/d").hash == source.stat("/d").hash
    assert other["master"].read("/two") == b"11"
    assert other["master"].read("/e/d/7") == data["d/7"]
    with other.commit("master") as commit:
        commit.copy(other["master"], "/two", "/e/d/two")
        commit.copy(source, "/d", "/e")
        commit.copy(source, "/", "/")
    assert len(files(other)) == 200 + 1 + 200 + 2 + 201
    with pytest.raises(PathNotFoundError), other.commit("master") as commit:
        commit.copy(source, "/nothing", "/x")


def test_different_paths_of_two_writers_both_land(repo: Repo) -> None:
    put(repo, a=b"0", b=b"0", gone=b"0")
    one, two = repo.commit("master"), repo.commit("master")
    one.put_file("/a", b"1")
    one.delete_file("/gone")
    two.put_file("/b", b"2")
    two.put_file("/new/c", b"2")
    first = one.finish()
    assert two.finish().parents == (first.id,)
    assert files(repo) == {"/a": b"1", "/b": b"2", "/new/c": b"2"}
    assert repo["master"].stat("/b").commit == two.id
    assert repo["master"].stat("/a").commit == one.id


def test_the_same_path_of_two_writers_conflicts_by_name(repo: Repo) -> None:
    put(repo, a=b"0", same=b"0", gone=b"0")
    for change in ("edit", "append", "delete", "undelete"):
        one, two = repo.commit("master"), repo.commit("master")
        one.put_file("/a", os.urandom(5))
        if change == "delete":
            two.delete_file("/a")
        elif change == "undelete":
            one, two = repo.commit("master"), repo.commit("master")
            one.delete_file("/a")
            two.put_file("/a", b"x")
        else:
            two.put_file("/a", b"2", append=change == "append")
        one.finish()
        before = repo.inspect("master").id
        with pytest.raises(PathConflictError, match=r"/a was changed on data@master"):
            two.finish()
        assert repo.inspect("master").id == before


def test_equal_changes_of_two_writers_are_no_conflict(repo: Repo) -> None:
    put(repo, a=b"0", gone=b"0")
    one, two = repo.commit("master"), repo.commit("master")
    for writer in (one, two):
        writer.put_file("/a", b"same")
        writer.delete_file("/gone")
        writer.finish()
    assert files(repo) == {"/a": b"same"}


def test_metadata_alone_conflicts_too(repo: Repo) -> None:
    put(repo, a=b"0")
    one, two = repo.commit("master"), repo.commit("master")
    one.put_file("/a", b"0", mime="text/plain")
    two.put_file("/a", b"0", mime="text/html")
    one.finish()
    with pytest.raises(PathConflictError):
        two.finish()


def test_a_forced_put_counts_as_a_change(repo: Repo) -> None:
    put(repo, a=b"0", b=b"0")
    one, two, three = (repo.commit("master") for _ in range(3))
    ref = two.put_file("/a", b"0")
    two.put_ref(b"a", ref, force=True)
    three.put_ref(b"b", ref, force=True)
    one.put_file("/b", b"1")
    one.finish()
    two.finish()
    assert repo["master"].stat("/a").commit == two.id
    with pytest.raises(PathConflictError):
        three.finish()


def test_merged_sides_may_collide(repo: Repo) -> None:
    put(repo)
    one, two = repo.commit("master"), repo.commit("master")
    one.put_file("/a", b"1")
    two.put_file("/a/b", b"2")
    one.finish()
    with pytest.raises(FileCollisionError):
        two.finish()
    assert files(repo) == {"/a": b"1"}


def test_a_named_parent_must_not_be_overtaken(repo: Repo) -> None:
    put(repo, a=b"0")
    put(repo, b=b"0")
    writer = repo.commit("master", parent="master^")
    writer.put_file("/c", b"1")
    info = writer.finish()
    assert info.parents == (repo.inspect("master.1").id,)
    assert files(repo) == {"/a": b"0", "/c": b"1"}
    late = repo.commit("master", parent="master")
    put(repo, d=b"2")
    with pytest.raises(ConflictError):
        late.finish()


def test_requirements_see_the_tree_that_is_put_on(repo: Repo) -> None:
    put(repo, a=b"0")
    seen: list[Row | None] = []

    def must_be_old(row: Row | None) -> None:
        seen.append(row)
        if row is None or row.tid != TreeId(chunk_id(b"0")):
            raise PreconditionFailedError("/a")

    late = repo.commit("master")
    late.require(b"a", must_be_old)
    late.require(b"none", seen.append)
    late.put_file("/b", b"1")
    late.finish()
    assert len(seen) == 2
    assert seen[1] is None
    late = repo.commit("master")
    late.require(b"a", must_be_old)
    late.put_file("/b", b"2")
    put(repo, a=b"1")
    with pytest.raises(PreconditionFailedError):
        late.finish()
    assert files(repo)["/b"] == b"1"


def test_threads_share_one_writer(repo: Repo) -> None:
    with repo.commit("master") as commit:

        def work(number: int) -> None:
            for file in range(10):
                commit.put_file(f"/{number}/{file}", os.urandom(2_000))
            commit.put_file("/log", b"x", append=True)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = files(repo)
    assert len(found) == 41
    assert found["/log"] == b"xxxx"


def test_threads_with_writers_of_their_own_all_land(repo: Repo) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for file in range(5):
                put(repo, **{f"{number}/{file}": b"x"})
        except BaseException as error:  # shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(files(repo)) == 30
    assert len(list(repo.commits("master"))) == 30


PROCESS = """
import sys, pfs
with pfs.open(sys.argv[1]) as store:
    repo = store.repo("data")
    writers = [repo.commit("master") for _ in range(2)] if sys.argv[3] == "same" else []
    for number in range(int(sys.argv[4])):
        with repo.commit("master") as commit:
            commit.put_file(f"/{sys.argv[2]}/{number}", sys.argv[2].encode() * 100)
"""


def test_processes_writing_different_paths_all_land(tmp_path: Path, repo: Repo) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path / "home")]
    running = [subprocess.Popen([*command, name, "own", "8"]) for name in "abc"]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(files(repo)) == 24
    assert len(list(repo.commits("master"))) == 24


def test_another_process_changing_the_same_path_conflicts(tmp_path: Path, repo: Repo) -> None:
    put(repo, **{"a/0": b"0"})
    writer = repo.commit("master")
    writer.put_file("/a/0", b"mine")
    subprocess.run([sys.executable, "-c", PROCESS, str(tmp_path / "home"), "a", "own", "1"], check=True)
    with pytest.raises(PathConflictError):
        writer.finish()
    assert files(repo) == {"/a/0": b"a" * 100}


def test_many_staged_files_are_put_into_the_tree_as_they_come(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.changes.staging.PENDING", 50)
    with repo.commit("master") as commit:
        ref = commit.put_file("/x", b"1")
        for number in range(500):
            commit.put_ref(f"{number % 7}/{number}".encode(), ref)
    small = repo.inspect("master").root
    with repo.commit("other") as commit:
        commit.put_file("/x", b"1")
        commit.edit([Put(f"{n % 7}/{n}".encode(), Kind.FILE, ref.size, ref.tid) for n in reversed(range(500))])
    assert repo.inspect("other").root.tid == small.tid
    assert small.count == 501


@settings(max_examples=30, deadline=None)
@given(
    ours=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([b"0", b"1", b"2", None]), max_size=4),
    theirs=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([b"0", b"1", b"2", None]), max_size=4),
)
def test_merging_is_that_of_dicts(
    tmp_path_factory: pytest.TempPathFactory, ours: dict[str, bytes | None], theirs: dict[str, bytes | None]
) -> None:
    base = dict.fromkeys("abcd", b"0")
    with pfs.init(tmp_path_factory.mktemp("s")) as store:
        repo = store.create_repo("data")
        put(repo, **base)
        one, two = repo.commit("master"), repo.commit("master")
        for writer, changes in ((one, theirs), (two, ours)):
            for name, data in changes.items():
                if data is None:
                    writer.delete_key(name.encode())
                else:
                    writer.put_file(f"/{name}", data)
        one.finish()
        after = _apply(base, theirs)
        clashing = [
            name for name in ours
            if _apply(base, ours).get(name) != base.get(name) and after.get(name) != base.get(name)
            and _apply(base, ours).get(name) != after.get(name)
        ]  # fmt: skip
        if clashing:
            with pytest.raises(PathConflictError, match=f"/{min(clashing)} "):
                two.finish()
            expected = after
        else:
            two.finish()
            changed = {name: data for name, data in ours.items() if _apply(base, ours).get(name) != base.get(name)}
            expected = _apply(after, changed)
        assert {path[1:]: data for path, data in files(repo).items()} == expected


def _apply(state: dict[str, bytes], changes: dict[str, bytes | None]) -> dict[str, bytes]:
    return {name: data for name, data in (state | changes).items() if data is not None}


def test_staged_rows_are_seen(store: Store, repo: Repo) -> None:
    with repo.commit("master") as commit:
        ref = commit.put_file("/d/a", b"1")
        staging: Staging = commit._staging
        assert staging.stat(b"d/a") is not None
        assert staging.stat(b"d", want="dir") is not None
        assert staging.stat(b"d", want="file") is None
        commit.delete_key(b"d/a")
        assert staging.stat(b"d/a") is None
        commit.put_ref(b"d/a", ref)
        assert staging.stat(b"d/a", want="dir") is None


class Chatty:
    """A stream of text that does not say so."""

    def read(self, size: int) -> str:
        return "x"


@pytest.mark.parametrize("source", [io.StringIO("text"), Chatty(), 5, None, ["a"]])
def test_what_has_no_bytes_is_refused(repo: Repo, source: object) -> None:
    with repo.commit("master") as commit:
        with pytest.raises(InvalidInputError, match="binary"):
            commit.put_file("/a", source)  # type: ignore[arg-type]  # that is what is tested
        commit.put_file("/b", bytearray(b"1"))  # type: ignore[arg-type]
    assert [file.path for file in repo["master"].list()] == ["/b"]


def test_a_collision_that_was_caught_still_refuses_the_commit(repo: Repo) -> None:
    writer = repo.commit("master")
    ref = writer.put_file("/kept", b"1")
    writer.put_ref(b"d/f", ref)
    writer.put_ref(b"d", ref)
    with pytest.raises(FileCollisionError):
        writer.delete_file("/d", recursive=True)
    with pytest.raises(FileCollisionError):
        writer.finish()
    assert repo.branches() == []
