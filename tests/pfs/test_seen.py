"""Files that are put again: what shows no change is not read, and what could have changed is.

Whether a file was read shows in what was stored: its row is made to lead to other content first (`forge`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import StorageFullError
from pfs.files import seen as seen_module
from pfs.files.fileref import FileRef
from pfs.files.seen import RACY_NS, Reading, SeenFiles
from pfs.ids import ChunkId, TreeId, chunk_id
from pfs.packs import index as index_module
from pfs.packs.index import Index
from pfs.packs.manifest import Manifest, ManifestBuilder
from pfs.repo import Repo
from pfs.sources.local import LocalFile
from pfs.store import Store
from pfs.trees.page import Kind
from pfs.upkeep.recover import recover
from tests.pfs.bytes_world import World, noise

DAY_NS: Final = 86_400_000_000_000
SECOND: Final = 1_000_000_000
NOW: Final = 1_800_000_000 * SECOND
REAL, FORGED = b"what it has", b"forged here"
LARGE: Final = 3_000_000
"""Bytes of a file of several chunks, which is streamed."""


def later() -> int:
    """The time a day from now: files that the test just made are old then."""
    return time.time_ns() + DAY_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    pfs.init(tmp_path / "home").close()
    with Store(tmp_path / "home/.pfs", clock_ns=later) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    made = tmp_path / "src/file"
    made.write_bytes(REAL)
    return made


def local(path: Path) -> LocalFile:
    return LocalFile(b"k", str(path), path.stat())


def remember(store: Store, path: Path, ref: FileRef) -> None:
    """Make the row of a file lead to some content."""
    status = path.stat()
    seen = SeenFiles(store.index, store.session(), clock_ns=later)
    seen.note(Reading(str(path), status, status, later()), ref)
    store.index.add([], seen=seen.take())


def forge(store: Store, path: Path) -> None:
    """Make the row of a file lead to stored content that it does not have."""
    with store.create_repo("forge", exist_ok=True).commit("master") as commit:
        ref = commit.put_file("/forged", FORGED)
    remember(store, path, ref)


def put(repo: Repo, path: Path, *, checksum: bool = False) -> bytes:
    with repo.commit("master") as commit:
        commit.put_file("/one", path, checksum=checksum)
        commit.put_tree("/tree", path.parent, checksum=checksum)
    one, two = repo["master"].read("/one"), repo["master"].read(f"/tree/{path.name}")
    assert one == two, "both ways decide alike"
    return one


def test_a_file_that_shows_no_change_is_not_read(store: Store, repo: Repo, file: Path) -> None:
    forge(store, file)
    assert put(repo, file) == FORGED
    assert put(repo, file, checksum=True) == REAL
    assert put(repo, file) == REAL, "reading it again puts the row right"


@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_a_put_leaves_rows_and_the_next_one_reads_nothing(store: Store, repo: Repo, file: Path, size: int) -> None:
    file.write_bytes(noise(size))
    with repo.commit("master") as commit:
        first = commit.put_file("/a", file)
    for number in range(2):
        with repo.commit("master") as commit:
            assert SeenFiles(store.index, commit.session, clock_ns=later).recall([local(file)]) == [first]
            assert commit.put_tree("/", file.parent) == 1
            assert commit.session.new_chunks == 0, number
        assert repo["master"].read("/file") == noise(size)


def rewrite(path: Path, status: os.stat_result) -> None:
    """Write the same number of bytes in place and put the time of modification back."""
    with path.open("r+b") as stream:
        stream.write(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(path: Path, status: os.stat_result) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(status.st_size))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def touch(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def make_executable(path: Path, status: os.stat_result) -> None:
    path.chmod(status.st_mode ^ 0o111)


def grow(path: Path, status: os.stat_result) -> None:
    path.write_bytes(bytes(status.st_size + 1))


CHANGES: Final[Sequence[Callable[[Path, os.stat_result], None]]] = (rewrite, replace, touch, make_executable, grow)


def change_visibly(path: Path, change: Callable[[Path, os.stat_result], None]) -> None:
    """Apply a change, again if need be until the clock of the file system has gone on by a tick."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        change(path, before)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(
    store: Store, repo: Repo, file: Path, change: Callable[[Path, os.stat_result], None]
) -> None:
    forge(store, file)
    change_visibly(file, change)
    assert put(repo, file) == file.read_bytes() != FORGED
    assert repo["master"].stat("/one").executable == (change is make_executable)


def test_one_path_on_two_devices_and_two_paths_are_different_files(store: Store, file: Path) -> None:
    forge(store, file)
    seen = SeenFiles(store.index, store.session(), clock_ns=later)
    status = file.stat()
    elsewhere = os.stat_result((*status[:2], status.st_dev + 1, *status[3:]), _times(status))
    assert seen.recall([local(file)]) != [None]
    assert seen.recall([LocalFile(b"k", str(file), elsewhere)]) == [None]
    assert seen.recall([LocalFile(b"k", f"{file}x", status)]) == [None]


def _times(status: os.stat_result) -> dict[str, int]:
    return {name: getattr(status, name) for name in ("st_mtime_ns", "st_ctime_ns")}


def status_of(*, size: int = 5, mtime: int = 0, ctime: int = 1, mode: int = 0o100644) -> os.stat_result:
    return os.stat_result((mode, 7, 8, 1, 0, 0, size, 0, 0, 0), {"st_mtime_ns": mtime, "st_ctime_ns": ctime})


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (status_of(), status_of(), True),
        (status_of(mtime=-1), status_of(mtime=-1), True),
        (status_of(ctime=NOW - RACY_NS - 1), status_of(ctime=NOW - RACY_NS - 1), True),
        (status_of(ctime=NOW - RACY_NS + 1), status_of(ctime=NOW - RACY_NS + 1), False),
        (status_of(mtime=NOW - RACY_NS + 1), status_of(mtime=NOW - RACY_NS + 1), False),
        (status_of(ctime=NOW + DAY_NS + 1), status_of(ctime=NOW + DAY_NS + 1), False),
        (status_of(ctime=3 * SECOND), status_of(ctime=3 * SECOND), False),
        (status_of(), status_of(mtime=1), False),
        (status_of(), status_of(ctime=2), False),
        (status_of(), status_of(size=6), False),
        (status_of(size=4096), status_of(size=4096), False),
        (status_of(mode=0o010644), status_of(mode=0o010644), False),
        (status_of(mtime=-(1 << 63) - 1), status_of(mtime=-(1 << 63) - 1), False),
    ],
)
def test_what_is_remembered(tmp_path: Path, before: os.stat_result, after: os.stat_result, *, kept: bool) -> None:
    world = World(tmp_path)
    session = world.session()
    session.put_chunks([(chunk_id(b"12345"), b"12345")])
    seen = SeenFiles(world.index, session, clock_ns=lambda: NOW)
    ref = FileRef(Kind.FILE, 5, TreeId(chunk_id(b"12345")))
    seen.note(Reading("/x", before, after, NOW), ref)
    world.index.add([], seen=seen.take())
    assert seen.recall([LocalFile(b"k", "/x", before)]) == [ref if kept else None]


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, file: Path) -> None:
    with pfs.init(tmp_path / "home") as store:
        repo = store.create_repo("data")
        put(repo, file)  # whatever is imported late is imported now
        os.utime(file)
        put(repo, file)
        assert SeenFiles(store.index, store.session(), clock_ns=later).recall([local(file)]) == [None]


def test_content_that_the_store_does_not_have_is_not_believed(store: Store, repo: Repo, file: Path) -> None:
    missing = chunk_id(b"never stored")
    remember(store, file, FileRef(Kind.FILE, len(REAL), TreeId(missing)))
    assert put(repo, file) == REAL
    with repo.commit("master") as commit:
        held = chunk_id(REAL)
        listed = commit.session.put_manifest([(len(REAL) - 1, held), (1, missing)])
    remember(store, file, FileRef(Kind.CHUNKED, len(REAL), listed))
    assert put(repo, file) == REAL, "the manifest is there, one of its chunks is not"


def test_a_manifest_names_every_blob_and_chunk_below() -> None:
    chunks = [(number + 1, chunk_id(bytes([number]))) for number in range(8)]
    blobs: dict[bytes, bytes] = {}
    builder = ManifestBuilder(blobs.__setitem__, fan=3)
    for size, chunk in chunks:
        builder.add(size, chunk)
    top = builder.finish()
    named = [id for ids in Manifest(blobs[top], load=blobs.__getitem__, where="test").ids() for id in ids]
    assert sorted(named) == sorted([*(id for _, id in chunks), *(blobs.keys() - {top})])


@pytest.mark.parametrize("size", [100, LARGE])
def test_packs_of_what_is_not_read_are_in_the_record(store: Store, repo: Repo, file: Path, size: int) -> None:
    file.write_bytes(noise(size))
    put(repo, file)
    packs = []
    for name, checksum in (("read", True), ("known", False)):
        other = store.create_repo(name)
        with other.commit("master") as commit:
            commit.put_tree("/", file.parent, checksum=checksum)
        record = store.history.get(name, commit.id)
        packs.append(set(record.packs) - set(commit.session.pack_ids))
    assert packs[0] == packs[1] != set()


def test_a_recovered_index_has_no_rows(store: Store, repo: Repo, file: Path) -> None:
    put(repo, file)
    store.close()
    recover(store.path)
    with Store(store.path, clock_ns=later) as again:
        assert SeenFiles(again.index, again.session(), clock_ns=later).recall([local(file)]) == [None]
        assert put(again.repo("data"), file) == REAL


def test_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "SEEN_ROWS", 10)
    index = Index.open(tmp_path / "index", store_uuid="test")
    for number in range(12):
        index.add([], seen={bytes([number]) * 16: b"row"})
    kept = [row for row in index.seen([bytes([number]) * 16 for number in range(12)]) if row is not None]
    assert kept == [b"row"] * 2
    index.close()


class FullIndex(Index):
    """Has no room for rows of files."""

    def seen_error(self) -> StorageFullError:
        return StorageFullError("write the index", "full")

    def add(self, *args: object, **rows: object) -> None:
        raise self.seen_error()


def test_rows_that_cannot_be_written_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_module, "NOTES", 2)
    world = World(tmp_path)
    full = FullIndex.open(tmp_path / "index", store_uuid="test")
    seen, status = SeenFiles(full, world.session(), clock_ns=lambda: NOW), status_of()
    ref = FileRef(Kind.FILE, 5, TreeId(ChunkId(bytes(32))))
    for number in range(5):
        seen.note(Reading(f"/{number}", status, status, NOW), ref)
    assert len(seen.take()) == 1, "two full batches went, the last row waits"
    full.close()


STEPS = st.lists(st.tuples(st.sampled_from([*CHANGES, None]), st.integers(0, 3), st.booleans()), max_size=8)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_history_of_a_folder_gives_what_reading_gives(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[Callable[[Path, os.stat_result], None] | None, int, bool]],
) -> None:
    place = tmp_path_factory.mktemp("history")
    pfs.init(place / "home").close()
    folder = place / "src"
    folder.mkdir()
    with Store(place / "home/.pfs", clock_ns=later) as store:
        known, read = store.create_repo("known"), store.create_repo("read")
        for change, number, put_now in [*steps, (None, 0, True)]:
            path = folder / str(number)
            if not path.exists():
                path.write_bytes(bytes([number]) * 9)
            elif change is None:
                path.unlink()
            else:
                change_visibly(path, change)
            if put_now:
                tids = []
                for repo, checksum in ((known, False), (read, True)):
                    with repo.commit("master") as commit:
                        commit.put_tree("/", folder, checksum=checksum)
                    tids.append(repo.inspect("master").root.tid)
                assert tids[0] == tids[1]
