"""Small files of a directory as columns: the store has what it has when each is put by itself."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs
from pfs.changes.writer import CommitWriter
from pfs.errors import FileCollisionError, InvalidPathError, StorageError
from pfs.files import ingest_columns
from pfs.files.ingest_columns import parts_of
from pfs.repo import Repo
from pfs.sources.local import LocalFile
from pfs.sources.walk import Folder, walk_folders
from pfs.store import Store
from pfs.trees.put_rows import PutRows

DAY_NS = 86_400_000_000_000
FILES = 100


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    pfs.init(tmp_path / "home").close()
    with Store(tmp_path / "home/.pfs", clock_ns=lambda: time.time_ns() + DAY_NS) as made:
        yield made


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.create_repo("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "src/in"
    made.mkdir(parents=True)
    for number in range(FILES):
        file = made / f"{number:03}"
        file.write_bytes(os.urandom(number * 70) if number % 2 else b"%d " % number * number)
        file.chmod(0o755 if number % 7 == 0 else 0o644)
    return made


def put(repo: Repo, folder: Path, branch: str = "master") -> int:
    with repo.commit(branch) as commit:
        return commit.put_tree("/", folder)


def rows(repo: Repo, branch: str) -> list[tuple[object, ...]]:
    return [(row.key, row.kind, row.size, row.tid, row.aux) for row in repo[branch].tree.walk()]


def nothing(folder: Path) -> None:
    pass


def large_ones(folder: Path) -> None:
    for number, size in enumerate((64 << 10, (64 << 10) + 1, 300_000, 2_500_000)):
        (folder / f"{number:03}").write_bytes(os.urandom(size))
        (folder / f"new{number}").write_bytes(b"text " * (size // 5))


def links(folder: Path) -> None:
    (folder / "link").symlink_to("001")
    (folder / "hard").hardlink_to(folder / "002")
    (folder / "below").symlink_to(folder.parent / "other")
    (folder.parent / "other").mkdir()
    (folder.parent / "other/file").write_bytes(b"1")


def below(folder: Path) -> None:
    for name in ("010.d", "0", "zz"):
        (folder / name).mkdir()
        for number in range(40):
            (folder / name / f"{number}").write_bytes(b"%d" % number)


def odd_names(folder: Path) -> None:
    for name in ("ä", "blank in it", "'quote"):
        (folder / name).write_bytes(b"1")


@pytest.mark.parametrize("change", [nothing, large_ones, links, below, odd_names])
@pytest.mark.parametrize("least", [7, ingest_columns._FILES])
def test_the_same_files_as_one_by_one(
    repo: Repo, folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], least: int
) -> None:
    change(folder)
    monkeypatch.setattr(ingest_columns, "_FILES", least)
    count = put(repo, folder.parent)
    monkeypatch.setattr(ingest_columns, "LEAST_PART", 1 << 30)
    assert put(repo, folder.parent, "alone") == count
    assert rows(repo, "master") == rows(repo, "alone")
    assert repo["master"].tree.root.tid == repo["alone"].tree.root.tid
    for path in folder.rglob("*"):
        if path.is_file():
            assert repo["master"].read(f"/{path.relative_to(folder.parent)}") == path.read_bytes()


@pytest.mark.parametrize("native", [True, False])
def test_without_the_native_module(repo: Repo, folder: Path, monkeypatch: pytest.MonkeyPatch, *, native: bool) -> None:
    from pfs.sources import batch

    if not native:
        monkeypatch.setitem(sys.modules, "pfs._batch", None)
        monkeypatch.delattr(pfs, "_batch", raising=False)
    batch._batch.cache_clear()
    put(repo, folder.parent)
    batch._batch.cache_clear()
    assert {row.key[3:].decode(): row.size for row in repo["master"].tree.walk()} == {
        path.name: path.stat().st_size for path in folder.iterdir()
    }


def test_what_shows_no_change_is_no_part(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder.parent)
    for changed in range(40):
        (folder / f"{changed:03}").write_bytes(b"new %d" % changed)
    with repo.commit("master") as commit:
        skip = commit.skip_unchanged(lambda *_: None)
        [listed] = [one for one in walk_folders(folder.parent, "", leave_out=store.path) if isinstance(one, Folder)]
        parts, rest = parts_of(listed, skip.folders.unseen(listed, skip.pid_of)[0])
        assert [name for part in parts for name in part.names.split(b"\0")[:-1]] == [b"%03d" % n for n in range(40)]
        assert rest == []
    put(repo, folder.parent)
    assert repo["master"].read("/in/007") == b"new 7"
    assert repo["master"].read("/in/041") == (folder / "041").read_bytes()


def test_names_that_no_path_takes_are_refused_as_ever(repo: Repo, folder: Path) -> None:
    (folder / os.fsdecode(b"\xff")).write_bytes(b"1")
    with pytest.raises(InvalidPathError):
        put(repo, folder.parent)
    (folder / os.fsdecode(b"\xff")).unlink()
    (folder / "a\nb").write_bytes(b"1")
    with pytest.raises(InvalidPathError):
        put(repo, folder.parent)


def listed_then(commit: CommitWriter, folder: Path, change: Callable[[], object]) -> None:
    """Stage a directory that changes between its listing and its reading."""
    found = list(walk_folders(folder.parent, "", leave_out=folder / "none"))
    assert not any(isinstance(one, LocalFile) for one in found)
    change()
    for batch in commit.local.tree(found, commit.skip_unchanged(lambda *_: None)):
        commit.edit(batch.edits)


def test_a_file_that_went_away_is_named(repo: Repo, folder: Path) -> None:
    with (
        pytest.raises(StorageError, match=f"cannot read {folder}/003: No such file"),
        repo.commit("master") as commit,
    ):
        listed_then(commit, folder, (folder / "003").unlink)


def test_a_put_that_failed_leaves_nothing_remembered(repo: Repo, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may catch the error and finish the commit with what was staged before it."""
    monkeypatch.setattr(ingest_columns, "_FILES", 10)
    with repo.commit("master") as commit, pytest.raises(StorageError):
        listed_then(commit, folder, (folder / "090").unlink)
    assert 0 < len(rows(repo, "master")) < FILES
    (folder / "090").write_bytes(b"again")
    put(repo, folder.parent)
    assert len(rows(repo, "master")) == FILES


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(repo: Repo, folder: Path) -> None:
    (folder / "003").chmod(0)
    with pytest.raises(StorageError, match=f"cannot read {folder}/003: Permission denied"):
        put(repo, folder.parent)


@pytest.mark.parametrize("size", [0, 5, 200_000, 3_000_000])
def test_a_file_that_changed_is_put_as_it_is_and_its_directory_is_not_remembered(
    repo: Repo, folder: Path, size: int
) -> None:
    before = (folder / "003").stat().st_ctime_ns

    def change() -> None:
        while (folder / "003").stat().st_ctime_ns == before:
            (folder / "003").write_bytes(os.urandom(size))

    with repo.commit("master") as commit:
        listed_then(commit, folder, change)
    assert repo["master"].read("/in/003") == (folder / "003").read_bytes()
    with repo.commit("master") as commit:
        skip = commit.skip_unchanged(lambda *_: None)
        [listed] = walk_folders(folder.parent, "", leave_out=folder / "none")
        assert isinstance(listed, Folder)
        assert skip.folders.unseen(listed, skip.pid_of)[0]


def test_a_directory_with_a_large_file_is_remembered(repo: Repo, folder: Path) -> None:
    (folder / "large").write_bytes(os.urandom(2_500_000))
    put(repo, folder.parent)
    with repo.commit("master") as commit:
        skip = commit.skip_unchanged(lambda *_: None)
        [listed] = walk_folders(folder.parent, "", leave_out=folder / "none")
        assert isinstance(listed, Folder)
        assert not skip.folders.unseen(listed, skip.pid_of)[0]


def staged(repo: Repo, folder: Path, commit: CommitWriter) -> PutRows:
    [batch] = list(
        commit.local.tree(
            walk_folders(folder.parent, "", leave_out=folder / "none"), commit.skip_unchanged(lambda *_: None)
        )
    )
    [one] = batch.edits
    assert isinstance(one, PutRows)
    commit.edit([one])
    return one


def test_what_waits_as_columns_is_seen(repo: Repo, folder: Path) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/in/005", b"older")
        staged(repo, folder, commit)
        with pytest.raises(FileCollisionError):
            commit.put_file("/in/003/below", b"1")
        staged(repo, folder, commit)
        with pytest.raises(FileCollisionError):
            commit.put_file("/in", b"1")
        commit.put_file("/in/004", b"newer")
        commit.delete_file("/in/006")
        commit.put_file("/in/007", b" and more", append=True)
    view = repo["master"]
    assert view.read("/in/005") == (folder / "005").read_bytes()
    assert view.read("/in/004") == b"newer"
    assert view.read("/in/007") == (folder / "007").read_bytes() + b" and more"
    assert len(rows(repo, "master")) == FILES - 1
