"""What a local backend leaves behind when writing goes wrong: full disks, failed syncs, killed processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from pfs.backends.durable import read_at, reserve_blocks, write_all
from pfs.backends.local import LocalBackend
from pfs.backends.unnamed import TMP
from pfs.errors import StorageError, StorageFullError
from pfs.ids import Etag
from pfs.testing.syscalls import Syscalls
from tests.pfs.bytes_world import finds_blocks, noise


def run_python(code: str, *args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@given(buffers=st.lists(st.binary(max_size=40), max_size=12), step=st.integers(1, 9))
def test_write_all_survives_short_writes(buffers: list[bytes], step: int) -> None:
    real = os.writev

    def short(fd: int, pieces: list[memoryview]) -> int:
        return real(fd, [b"".join(pieces)[:step]])

    read_fd, write_fd = os.pipe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", short)
        write_all(write_fd, buffers)
    os.close(write_fd)
    with open(read_fd, "rb") as pipe:
        assert pipe.read() == b"".join(buffers)


def test_read_at_survives_short_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(bytes(range(100)))
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: real(fd, min(length, 7), offset))
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        assert read_at(fd, 10, 50) == bytes(range(10, 60))
        assert read_at(fd, 90, 50) == bytes(range(90, 100))
        assert read_at(fd, 200, 5) == b""
    finally:
        os.close(fd)


def failing(code: int) -> object:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def allocated(fd: int) -> int:
    return os.fstat(fd).st_blocks * 512


@pytest.mark.parametrize("native", [True, False])
def test_blocks_of_a_large_object_are_found_ahead_and_those_not_needed_are_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    judged = finds_blocks(tmp_path)
    if not native:
        monkeypatch.setitem(sys.modules, "pfs._batch", None)
    data, mib = noise(30 << 20), 1 << 20
    new = LocalBackend(tmp_path).create("packs/x")
    fd = new._file.fd
    new.write(data[: 3 * mib])
    assert not judged or allocated(fd) < 4 * mib, "a small object has what it needs"
    for start, stop in ((3, 6), (6, 29), (29, 30)):
        new.write(memoryview(data)[start * mib : stop * mib])
        assert os.fstat(fd).st_size == stop * mib, "after a loss of power it must not look whole"
        assert not judged or (allocated(fd) > (stop + 8) * mib) == native
    assert new.publish()
    stored = tmp_path / "packs/x"
    assert stored.read_bytes() == data
    assert not judged or stored.stat().st_blocks * 512 < 31 * mib


def test_blocks_that_cannot_be_freed_fail_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(StorageError, match="packs/x"):
            backend.put_new("packs/x", bytes(5 << 20))
        assert backend.put_new("packs/y", bytes(3 << 20)), "small ones have none"
    assert files_below(tmp_path) == ["packs/y"]


def test_what_has_no_blocks_is_left_alone() -> None:
    read, write = os.pipe()
    reserve_blocks(write, 1 << 20)
    os.close(read)
    os.close(write)
    reserve_blocks(write, 1 << 20)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_a_full_disk_is_told_apart_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    backend = LocalBackend(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(code))
        with pytest.raises(StorageFullError, match="packs/x"):
            backend.put_new("packs/x", b"data")
    assert files_below(tmp_path) == []
    assert backend.put_new("packs/x", b"data")


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EACCES])
def test_other_failures_name_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    backend = LocalBackend(tmp_path)
    monkeypatch.setattr(os, "writev", failing(code))
    with pytest.raises(StorageError, match=f"write {tmp_path}/packs/x: {os.strerror(code)}") as caught:
        backend.put_new("packs/x", b"data")
    assert not isinstance(caught.value, StorageFullError)


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_after_a_failed_sync_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    backend = LocalBackend(tmp_path)
    backend.put_new("packs/first", b"")  # so that the failing sync is that of the new name, not of a directory's
    new = backend.create("packs/x")
    new.write(b"data")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(errno.EIO))
        with pytest.raises(StorageError, match="packs/x"):
            new.publish()
    new.abandon()
    assert files_below(tmp_path) == ["packs/first"]


@pytest.mark.parametrize("call", ["writev", "fdatasync", "replace"])
def test_a_failed_swap_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    backend = LocalBackend(tmp_path)
    etag = backend.swap("refs/r.json", None, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(errno.ENOSPC))
        with pytest.raises(StorageFullError, match=r"refs/r\.json"):
            backend.swap("refs/r.json", etag, b"new, and longer")
    assert backend.read("refs/r.json") == (b"old", etag)
    backend.swap("refs/r.json", etag, b"new")
    assert backend.get("refs/r.json") == b"new"


def test_a_swap_that_could_not_be_synced_is_made_durable_before_it_is_told(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    etag = backend.swap("refs/r.json", None, b"old")
    with Syscalls(tmp_path, fail_at=4) as calls, pytest.raises(StorageError):
        backend.swap("refs/r.json", etag, b"new")
    assert calls.calls == ["writev", "fdatasync", "replace", "fsync"]
    with Syscalls(tmp_path, fail_at=1, stays=True), pytest.raises(StorageError):
        backend.read("refs/r.json")
    with Syscalls(tmp_path) as calls:
        assert backend.read("refs/r.json") == (b"new", Etag(blake3(b"new").hexdigest()))
        calls.cut()
        assert calls.calls == ["writev", "fdatasync", "replace", "fsync"]
    with Syscalls(tmp_path) as calls:
        assert backend.read("refs/r.json") is not None
        assert calls.calls == []
    assert LocalBackend(tmp_path).get("refs/r.json") == b"new"


def test_a_real_limit_on_file_size_is_a_full_disk(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from pfs.backends.local import LocalBackend
from pfs.errors import StorageFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    LocalBackend(Path(sys.argv[1])).put_new("big", bytes(2 << 20))
except StorageFullError as error:
    print(error.kind)
"""
    process = run_python(code, str(tmp_path))
    assert process.communicate()[0] == b"storage-full\n"
    assert files_below(tmp_path) == []


_WRITER = """
import os, sys
from pathlib import Path
from pfs.backends.local import LocalBackend
if sys.argv[2] == "stand-in":
    del os.O_TMPFILE
new = LocalBackend(Path(sys.argv[1])).create("packs/d/aa/x.pack")
new.write(bytes(1 << 20))
print("written", flush=True)
sys.stdin.read()
"""


def kill_writer(directory: Path, mode: str) -> None:
    writer = run_python(_WRITER, str(directory), mode)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"written\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    kill_writer(tmp_path, "unnamed")
    assert files_below(tmp_path) == []


def test_a_killed_writers_stand_in_is_swept_and_a_live_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.O_TMPFILE", raising=False)
    backend = LocalBackend(tmp_path)
    live = backend.create("live")
    live.write(b"alive")
    kill_writer(tmp_path, "stand-in")
    assert len(list((tmp_path / TMP).iterdir())) == 2
    backend.put_new("next", b"")
    assert len(list((tmp_path / TMP).iterdir())) == 1
    assert live.publish()
    assert files_below(tmp_path) == ["live", "next"]


def test_swaps_of_several_processes_lose_nothing(tmp_path: Path) -> None:
    LocalBackend(tmp_path).swap("refs/n.json", None, b"0")
    code = """
import sys
from pathlib import Path
from pfs.backends.local import LocalBackend
from pfs.errors import BranchMovedError
backend = LocalBackend(Path(sys.argv[1]))
done = 0
while done < 20:
    body, etag = backend.read("refs/n.json")
    try:
        backend.swap("refs/n.json", etag, b"%d" % (int(body) + 1))
        done += 1
    except BranchMovedError:
        pass
"""
    processes = [run_python(code, str(tmp_path)) for _ in range(3)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert LocalBackend(tmp_path).get("refs/n.json") == b"60"


def test_what_a_killed_swap_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / TMP).mkdir()
    (tmp_path / TMP / "swap").write_bytes(b"a longer body than the new one")
    backend = LocalBackend(tmp_path)
    backend.swap("refs/r.json", None, b"new")
    assert backend.get("refs/r.json") == b"new"
    assert files_below(tmp_path) == ["lock", "refs/r.json"]


def recorded(patch: pytest.MonkeyPatch, calls: list[str]) -> None:
    """Append the name of each call that makes something durable or visible, with the path it is about."""

    def record(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            about = args[0] if name != "link" else args[1]
            path = os.readlink(f"/proc/self/fd/{about}") if isinstance(about, int) else str(about)
            calls.append(f"{name} {Path(path).name.split(' ')[0]}")
            return real(*args, **kwargs)

        patch.setattr(os, name, call)

    for name in ("fdatasync", "fsync", "link", "replace"):
        record(name)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="paths of descriptors are read from /proc")
def test_bytes_are_durable_before_their_name_and_the_name_before_the_return(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        recorded(patch, calls)
        backend.put_new("packs/d/x.pack", b"1")
        backend.put_new("packs/d/y.pack", b"2")
    top = tmp_path.name
    assert [call.partition(" ")[0] if "fdatasync" in call else call for call in calls] == [
        *("fdatasync", f"fsync {top}", "fsync packs", "link x.pack", "fsync d"),
        *("fdatasync", "link y.pack", "fsync d"),
    ]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="paths of descriptors are read from /proc")
def test_a_swap_is_durable_before_it_returns(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    etag = backend.swap("refs/r.json", None, b"1")
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        recorded(patch, calls)
        backend.swap("refs/r.json", etag, b"2")
    assert calls == ["fdatasync swap", "replace swap", "fsync refs"]
