"""The contract on every backend, and what a single one promises beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.backends.registry import open_backend
from pfs.errors import InvalidInputError, StorageError, StorageFullError, StoreNotFoundError
from pfs.testing.contract import BackendContract, Raw
from pfs.testing.faults import READS, FaultyBackend, How


def file_reader(directory: Path) -> Raw:
    def read(name: str) -> bytes | None:
        path = directory / name
        return path.read_bytes() if path.exists() else None

    return read


class TestLocalBackend(BackendContract):
    cold = ""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return LocalBackend(tmp_path)

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Raw:
        return file_reader(tmp_path)


class TestLocalBackendWithStandIns(TestLocalBackend):
    """As on macOS, or where the file system has no O_TMPFILE."""

    @pytest.fixture
    def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
        monkeypatch.delattr("os.O_TMPFILE")
        return LocalBackend(tmp_path)


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()

    @pytest.fixture
    def raw(self, backend: MemoryBackend) -> Raw:
        return lambda name: backend._objects[name][0] if name in backend._objects else None


class TestFaultyBackendWithoutFault(BackendContract):
    cold = ""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return FaultyBackend(LocalBackend(tmp_path))

    @pytest.fixture
    def raw(self, tmp_path: Path) -> Raw:
        return file_reader(tmp_path)


def test_two_local_backends_see_each_other(tmp_path: Path) -> None:
    one, two = LocalBackend(tmp_path), LocalBackend(tmp_path)
    etag = one.swap("refs/a.json", None, b"1")
    assert two.read("refs/a.json") == (b"1", etag)
    two.swap("refs/a.json", etag, b"2")
    assert one.get("refs/a.json") == b"2"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a b", "ä", "lock", "tmp/x", "index.lmdb/y", "a" * 1025]
)
def test_names_that_leave_the_directory_are_refused(tmp_path: Path, name: str) -> None:
    backend = LocalBackend(tmp_path)
    with pytest.raises(InvalidInputError):
        backend.put_new(name, b"")
    with pytest.raises(InvalidInputError):
        backend.get(name)
    assert list(tmp_path.iterdir()) == []


def test_private_names_are_not_listed(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.swap("refs/a.json", None, b"1")
    (tmp_path / "index.lmdb").mkdir()
    (tmp_path / "index.lmdb" / "data.mdb").write_bytes(b"x")
    assert [entry.name for entry in backend.entries("")] == ["refs/a.json"]


def test_a_missing_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="none"):
        LocalBackend(tmp_path / "none")


def test_reading_what_is_no_file_names_the_path(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put_new("a/b", b"")
    with pytest.raises(StorageError, match=str(tmp_path / "a")):
        backend.get("a")


def test_registry_picks_by_scheme(tmp_path: Path) -> None:
    assert open_backend(tmp_path).location == str(tmp_path)
    assert open_backend(str(tmp_path)).location == str(tmp_path)
    assert open_backend(f"file://{tmp_path}").location == str(tmp_path)
    assert open_backend("memory:").location == "memory:"
    with pytest.raises(InvalidInputError, match=r"'ftp'.*file:, memory:, s3:"):
        open_backend("ftp://host/x")
    with pytest.raises(StoreNotFoundError):
        open_backend(tmp_path / "a:b")


def test_fault_before_does_nothing_and_after_does_it() -> None:
    memory = MemoryBackend()
    before = FaultyBackend(memory, fail_at=1, how=How.BEFORE)
    with pytest.raises(StorageError, match="injected"):
        before.swap("refs/a", None, b"1")
    assert memory.read("refs/a") is None
    after = FaultyBackend(memory, fail_at=1, how=How.AFTER)
    with pytest.raises(StorageError, match="injected"):
        after.swap("refs/a", None, b"1")
    assert memory.get("refs/a") == b"1"
    assert after.fired


def test_fault_in_the_middle_tears_a_write() -> None:
    memory = MemoryBackend()
    faulty = FaultyBackend(memory, fail_at=2, how=How.MIDDLE)
    new = faulty.create("a")
    with pytest.raises(StorageError):
        new.write(b"0123", b"4567")
    assert new.publish()
    assert memory.get("a") == b"0123"


def test_fault_full_and_torn_delete() -> None:
    memory = MemoryBackend()
    for name in "abcd":
        memory.put_new(name, b"")
    with pytest.raises(StorageFullError):
        FaultyBackend(memory, fail_at=1, how=How.FULL).delete_many(list("abcd"))
    assert [entry.name for entry in memory.entries("")] == ["c", "d"]


def test_dead_stays_dead_and_reads_can_be_counted() -> None:
    faulty = FaultyBackend(MemoryBackend(), fail_at=1, dead_after=True)
    for _ in range(2):
        with pytest.raises(StorageError):
            faulty.put_new("a", b"")
    with pytest.raises(StorageError):
        faulty.read("a")
    reads = FaultyBackend(MemoryBackend(), fail_at=2, counted=READS)
    assert reads.read("a") is None
    with pytest.raises(StorageError):
        reads.read("a")
    assert reads.log == ["read a", "read a"]
