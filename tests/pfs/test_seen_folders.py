"""Directories that are put again: what is passed over changes nothing, and everything that could matter is looked at.

Whether files were looked at shows by their rows: those are made to lead to content that they do not have (`forge`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.changes.writer import CommitWriter
from pfs.errors import StorageError
from pfs.files import seen_folders
from pfs.files.fileref import FileRef
from pfs.files.seen import Reading, SeenFiles
from pfs.intake import Intake, PutHow
from pfs.packs.pack import pack_name
from pfs.repo import Repo
from pfs.sources import walk
from pfs.sources.batch import scan
from pfs.sources.local import LocalFile
from pfs.sources.walk import Folder, walk_folders
from pfs.store import Store

DAY_NS: Final = 86_400_000_000_000
FILES: Final = 40
FORGED: Final = b"forged here"


def later() -> int:
    """The time a day from now: files that the test just made are old then."""
    return time.time_ns() + DAY_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    pfs.init(tmp_path / "home").close()
    with Store(tmp_path / "home/.pfs", clock_ns=later) as made:
        yield made


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.create_repo("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "src"
    (made / "in").mkdir(parents=True)
    for number in range(FILES):
        (made / f"in/{number:03}").write_bytes(b"%d" % number * 50)
    return made


def put(repo: Repo, folder: Path, branch: str = "master") -> int:
    with repo.commit(branch) as commit:
        return commit.put_tree("/", folder)


def forge(store: Store, folder: Path) -> None:
    """Make the rows of all files lead to stored content that they do not have."""
    with store.create_repo("forge", exist_ok=True).commit("master") as commit:
        ref = commit.put_file("/forged", FORGED)
        seen = SeenFiles(store.index, commit.session, clock_ns=later)
        for path in folder.rglob("*"):
            if path.is_file():
                status = path.stat()
                seen.note(Reading(str(path), status, status, later()), FileRef(ref.kind, status.st_size, ref.tid))
    store.index.add([], seen=seen.take())


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked up one by one, however small."""
    monkeypatch.setattr(walk, "SMALL_FILE", -1)


def looked_at(store: Store, repo: Repo, folder: Path, branch: str = "master") -> set[str]:
    """Put again, with forged rows, and return the names of the files that were looked at."""
    forge(store, folder)
    assert put(repo, folder, branch) == FILES
    tids = {row.tid for row in store.repo("forge")["master"].tree.walk()}
    return {row.key.decode().rpartition("/")[2] for row in repo[branch].tree.walk() if row.tid in tids}


@pytest.mark.usefixtures("by_rows")
def test_a_directory_that_shows_no_change_is_passed_over(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder)
    before = repo["master"].tree.root
    assert looked_at(store, repo, folder) == set()
    assert repo["master"].tree.root == before


@pytest.mark.usefixtures("by_rows")
def test_the_first_put_after_another_client_changed_a_directory_looks_at_it(
    store: Store, repo: Repo, folder: Path
) -> None:
    put(repo, folder)
    with repo.commit("master") as commit:
        commit.delete_file("/in/003")
    assert len(looked_at(store, repo, folder)) == FILES


def test_metadata_that_another_client_set_are_put_right(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder)
    before = repo["master"].tree.root
    with repo.commit("master") as commit:
        commit.put_file("/in/003", folder / "in/003", mime="text/csv")
    put(repo, folder)
    assert repo["master"].row("/in/003").aux is None
    assert repo["master"].tree.root.tid == before.tid


def test_small_files_of_a_remembered_directory_have_no_rows_of_their_own(
    store: Store, repo: Repo, folder: Path
) -> None:
    (folder / "in/large").write_bytes(bytes(100_000))
    (folder / "alone").write_bytes(b"1")
    put(repo, folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with repo.commit("master") as commit:
        seen = SeenFiles(store.index, commit.session, clock_ns=later)
        refs = seen.recall([LocalFile(b"k", str(path), path.stat()) for path in paths])
    known = [path.name for path, ref in zip(paths, refs, strict=True) if ref is not None]
    assert known == ["alone", "large"]


@pytest.mark.parametrize("size", [3, 100_000, 2_000_000])
def test_a_listing_that_was_old_when_a_file_was_read_is_not_remembered(
    store: Store, repo: Repo, folder: Path, size: int
) -> None:
    (folder / "in/000").write_bytes(b"1")
    listed = [one for one in walk_folders(folder, "", leave_out=store.path) if isinstance(one, Folder)]
    before = (folder / "in/000").stat().st_ctime_ns
    while (folder / "in/000").stat().st_ctime_ns == before:
        (folder / "in/000").write_bytes(bytes(size))
    with repo.commit("master") as commit:
        for batch in commit.local.tree(iter(listed), commit.skip_unchanged(lambda *_: None)):
            commit.edit(batch.edits)
    assert len(repo["master"].read("/in/000")) == size
    with repo.commit("master") as commit:
        skip = commit.skip_unchanged(lambda *_: None)
        assert all(skip.folders.unseen(one, skip.pid_of)[0] for one in listed)


@pytest.mark.parametrize("change", ["content", "mode", "replaced", "new", "gone"])
def test_a_local_change_is_seen(store: Store, repo: Repo, folder: Path, change: str) -> None:
    put(repo, folder)
    file = folder / "in/003"
    match change:
        case "content":
            file.write_bytes(b"new")
        case "mode":
            file.chmod(0o755)
        case "replaced":
            other = folder / "in/other"
            other.write_bytes(b"new")
            other.replace(file)
        case "new":
            (folder / "in/new").write_bytes(b"new")
        case _:
            file.unlink()
    put(repo, folder)
    view = repo["master"]
    local = {path.name: path.read_bytes() for path in (folder / "in").iterdir()}
    assert {name: view.read(f"/in/{name}") for name in local} == local
    assert (view.row("/in/003").aux == {"x": True}) == (change == "mode")
    assert view.read("/in/003"), "a put deletes nothing"


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("rows", [0, seen_folders.RUN_ROWS])
def test_of_a_large_directory_only_what_changed_is_looked_at(
    store: Store, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(seen_folders, "RUN_ROWS", rows)
    folder = tmp_path / "src"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number:04}").write_bytes(b"%d" % number)
    put(repo, folder)
    put(repo, folder)
    runs = len(scan(os.fsencode(folder)).runs) // 16
    assert runs > 2
    (folder / "1500").write_bytes(b"new")
    forge(store, folder)
    (folder / "1500").write_bytes(b"new again")
    assert put(repo, folder) == 3000
    tids = {row.tid for row in store.repo("forge")["master"].tree.walk()}
    found = [row.tid in tids for row in repo["master"].tree.walk()]
    assert 0 < sum(found) < 2500 if rows == 0 else sum(found) == 0
    assert repo["master"].read("/1500") == b"new again"


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("gone", [False, True])
def test_a_change_leaves_its_neighbours_unlooked_at(store: Store, repo: Repo, folder: Path, *, gone: bool) -> None:
    put(repo, folder)
    for changed in ("003", "004"):  # the second time by the rows that the first left
        forge(store, folder)
        if gone:
            (folder / "in" / changed).unlink()
        else:
            (folder / "in" / changed).write_bytes(b"new")
        put(repo, folder)
        forged = {row.tid for row in store.repo("forge")["master"].tree.walk()}
        assert not any(row.tid in forged for row in repo["master"].tree.walk())
        assert gone or repo["master"].read(f"/in/{changed}") == b"new"


@pytest.mark.usefixtures("by_rows")
def test_rows_of_runs_are_not_believed_for_what_the_store_has_otherwise(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder)
    with repo.commit("master") as commit:
        commit.put_file("/in/007", b"theirs")
    (folder / "in/003").write_bytes(b"new")
    put(repo, folder)
    assert repo["master"].read("/in/007") == (folder / "in/007").read_bytes()


@pytest.mark.usefixtures("by_rows")
def test_branches_are_remembered_apart(store: Store, repo: Repo, folder: Path) -> None:
    for branch in ("master", "dev", "master", "dev"):
        put(repo, folder, branch)
    assert looked_at(store, repo, folder, "dev") == set()
    assert looked_at(store, repo, folder) == set()


@pytest.mark.usefixtures("by_rows")
def test_a_file_that_changed_just_now_keeps_its_directory_from_being_remembered(tmp_path: Path, folder: Path) -> None:
    pfs.init(tmp_path / "other").close()
    with Store(tmp_path / "other/.pfs", clock_ns=lambda: (folder / "in/000").stat().st_ctime_ns) as store:
        repo = store.create_repo("r")
        put(repo, folder)
        assert len(looked_at(store, repo, folder)) == FILES


def damage_row(store: Store) -> None:
    tids = [row.tid for row in store.repo("r")["master"].tree.walk(b"in")]
    places = store.index.find(tids)
    store.index.drop([(tid, place) for tid, place in zip(tids, places, strict=True) if place is not None])


def test_content_that_was_damaged_is_stored_again(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder)
    put(repo, folder)
    damage_row(store)
    put(repo, folder)
    tids = [row.tid for row in repo["master"].tree.walk(b"in")]
    assert None not in store.index.find(tids)


def test_a_pack_that_was_emptied_is_noticed(store: Store, repo: Repo, folder: Path) -> None:
    with repo.commit("master") as commit:
        commit.put_tree("/", folder)
        pack = commit.session.pack_ids[-1]  # all of a small commit
    [path] = store.path.rglob(pack_name(pack, "m"))
    held = path.read_bytes()
    with repo.commit("other") as commit:
        commit.copy(repo["master"], "/", "/")
    put(repo, folder, "other")
    path.write_bytes(b"")
    with repo.commit("other") as commit:
        commit.put_tree("/", folder)
        assert commit.session.new_chunks == FILES
        path.write_bytes(held)


@pytest.mark.parametrize("mime", [None, "text/csv"])
def test_metadata_of_a_put_go_to_every_file(store: Store, repo: Repo, folder: Path, mime: str | None) -> None:
    for said in (None, "text/plain", mime):
        with repo.commit("master") as commit:
            intake = Intake(commit, PutHow(mime=said), alone=True)
            intake.tree("/", folder)
            assert intake.finish().files == FILES
        found = {None if row.aux is None else row.aux["m"] for row in repo["master"].tree.walk(b"in")}
        assert found == {said}


def test_several_sources_and_mirrors_take_in_every_file(store: Store, repo: Repo, folder: Path) -> None:
    put(repo, folder)
    put(repo, folder)
    with repo.commit("master") as commit:
        commit.put_file("/extra", b"1")
    with repo.commit("master") as commit:
        intake = Intake(commit, PutHow(mirror="/"), alone=True)
        intake.tree("/", folder)
        done = intake.finish()
    assert (done.files, done.deleted) == (FILES, 1)
    assert sum(1 for _ in repo["master"].tree.walk()) == FILES


@pytest.mark.usefixtures("by_rows")
def test_no_more_directories_are_noted_than_memory_is_for(
    store: Store, repo: Repo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen_folders, "FOLDERS", 0)
    put(repo, folder)
    assert len(looked_at(store, repo, folder)) == FILES


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove", "chmod", "put", "theirs", "their delete"]),
        st.integers(0, FILES - 1),
        st.integers(0, 5),
    ),
    min_size=4,
    max_size=12,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_puts_end_with_the_same_files_as_those_that_look_at_all(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    place = tmp_path_factory.mktemp("case")
    folder = place / "src/in"
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number:03}").write_bytes(b"%d" % number)
    pfs.init(place).close()
    with Store(place / ".pfs", clock_ns=later) as store:
        repo, started = store.create_repo("r"), False
        for kind, number, value in [("put", 0, 0), *steps, ("put", 0, 0)]:
            file, path = folder / f"{number:03}", f"/in/{number:03}"
            match kind:
                case "write":
                    file.write_bytes(b"%d" % value)
                case "remove":
                    file.unlink(missing_ok=True)
                case "chmod" if file.exists():
                    file.chmod(0o755 if value % 2 else 0o644)
                case "theirs" | "their delete":
                    with repo.commit("master") as commit:
                        commit.put_file(path, b"theirs %d" % value)
                        if kind == "their delete":
                            commit.delete_file(path)
                case "put":
                    theirs = {row.key: row for row in repo["master"].tree.walk()} if started else {}
                    with repo.commit("all") as commit:
                        for row in repo["all"].tree.walk() if started else ():
                            commit.delete_key(row.key)
                        for row in theirs.values():
                            commit.put_ref(row.key, FileRef(row.kind, row.size, row.tid), aux=row.aux)
                        commit.put_tree("/", folder.parent, checksum=True)
                    put(repo, folder.parent)
                    started = True
                    assert repo["master"].tree.root.tid == repo["all"].tree.root.tid
                    both = [[(row.key, row.aux) for row in repo[name].tree.walk()] for name in ("master", "all")]
                    assert both[0] == both[1]


def _another_file(commit: CommitWriter, _other: Path) -> None:
    commit.put_file("/in/005", b"of somebody else")
    commit.delete_file("/in/006")


def _append(commit: CommitWriter, _other: Path) -> None:
    commit.put_file("/in/007", b"more", append=True)


def _another_tree(commit: CommitWriter, other: Path) -> None:
    commit.put_tree("/", other)


def _delete_all(commit: CommitWriter, _other: Path) -> None:
    commit.delete_file("/in", recursive=True)


def _delete_some(commit: CommitWriter, _other: Path) -> None:
    commit.delete_match("/in/00*")


@pytest.mark.parametrize("change", [_another_file, _append, _another_tree, _delete_all, _delete_some])
def test_what_changes_a_directory_later_in_the_same_commit_is_undone_by_the_next_put(
    repo: Repo, folder: Path, tmp_path: Path, change: Callable[[CommitWriter, Path], None]
) -> None:
    (tmp_path / "other/in").mkdir(parents=True)
    for number in range(FILES):
        (tmp_path / f"other/in/{number:03}").write_bytes(b"other %d" % number)
    with repo.commit("master") as commit:
        commit.put_tree("/", folder)
        change(commit, tmp_path / "other")
    put(repo, folder)
    found = {file.path: repo["master"].read(file.path) for file in repo["master"].list("/in")}
    assert found == {f"/in/{number:03}": b"%d" % number * 50 for number in range(FILES)}
    with repo.commit("master") as commit:
        commit.put_tree("/", folder)
        commit.put_tree("/elsewhere", tmp_path / "other")
    assert put(repo, folder) == FILES
    assert repo["master"].read("/in/005") == b"5" * 50


def test_a_file_that_became_a_pipe_is_refused_and_not_waited_for(repo: Repo, folder: Path) -> None:
    with repo.commit("master") as commit:
        listed = list(walk_folders(folder, "", leave_out=folder / "none", symlinks="follow"))
        for name in ("003", "004"):
            (folder / "in" / name).unlink()
            os.mkfifo(folder / "in" / name)
        with pytest.raises(StorageError, match="003: it is no regular file any more"):
            list(commit.local.tree(listed, commit.skip_unchanged(lambda files, size: None)))
        files = [file for one in listed if isinstance(one, Folder) for run in one.runs() for file in one.files(run)]
        with pytest.raises(StorageError, match="004: it is no regular file any more"):
            list(commit.local.files(files[4:5]))
        commit.drop()


@pytest.mark.parametrize("other", ["file", "tree"])
def test_what_another_thread_stages_during_a_put_is_undone_by_the_next_put(
    repo: Repo, folder: Path, tmp_path: Path, other: str
) -> None:
    (tmp_path / "other/in").mkdir(parents=True)
    for number in range(FILES):
        (tmp_path / f"other/in/{number:03}").write_bytes(b"other %d" % number)

    def stage() -> None:
        if other == "file":
            commit.put_file("/in/005", b"of somebody else")
        else:
            commit.put_tree("/", tmp_path / "other")

    with repo.commit("master") as commit:
        skip, found = commit.skip_unchanged(lambda *_: None), walk_folders(folder, "", leave_out=folder / "none")
        for batch in commit.local.tree(found, skip):
            commit.edit(batch.edits)
            thread = threading.Thread(target=stage)
            thread.start()
            thread.join()
    put(repo, folder)
    found_now = {file.path: repo["master"].read(file.path) for file in repo["master"].list("/in")}
    assert found_now == {f"/in/{number:03}": b"%d" % number * 50 for number in range(FILES)}


@pytest.mark.parametrize("plain", [False, True])
def test_directories_whose_path_ends_in_a_slash_are_watched_too(tmp_path: Path, folder: Path, *, plain: bool) -> None:
    """As the root directory's does."""
    pfs.init(tmp_path / "other").close()
    with Store(tmp_path / "other/.pfs", clock_ns=lambda: (folder / "in/000").stat().st_ctime_ns) as store:
        listing = scan(os.fsencode(folder / "in"))
        listed = Folder(b"in", "/in", f"{folder}/in/", listing._replace(plain=plain))
        repo = store.create_repo("r")
        with repo.commit("master") as commit:
            for batch in commit.local.tree([listed], commit.skip_unchanged(lambda *_: None)):
                commit.edit(batch.edits)
        with repo.commit("master") as commit:
            skip = commit.skip_unchanged(lambda *_: None)
            assert skip.folders.unseen(listed, skip.pid_of)[0]
