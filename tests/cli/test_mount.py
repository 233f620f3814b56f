"""`pfs mount` on a real mount point, where FUSE works; and what it says where it does not."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pfs.store import init as init_store
from pfs.store import open as open_store
from tests.cli.processes import environment, run, start
from tests.pfs.bytes_world import noise

BIG = noise(9_000_000)


def why_not() -> str | None:
    """Return why nothing can be mounted on this machine."""
    try:
        import mfusepy
    except (ImportError, OSError) as error:
        return f"FUSE is not installed: {error}"
    assert mfusepy.fuse_version_major
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be used: {error.strerror}"
    return None


needs_fuse = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with init_store(tmp_path) as made, made.create_repo("data").commit("master") as writer:
        writer.put_file("/a.txt", b"first")
        writer.put_file("/d/e/кот.txt", b"deep")
        writer.put_file("/d/big", BIG)
    (tmp_path / "mnt").mkdir()
    return tmp_path


@contextmanager
def mounted(place: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Mount at ``mnt``; it is unmounted at the end."""
    process = start(place, "pfs", "mount", "mnt", *words)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            error = process.communicate()[1].decode()
            if "ermitted" in error or "ermission" in error:
                pytest.skip(f"this user may not mount: {error.strip()}")
            raise AssertionError(error)
        assert line == b"mounted at mnt ; Ctrl-C or `pfs umount mnt` ends it\n"
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def until(true: Callable[[], bool]) -> None:
    """Look again until it is so: branches are looked up once a second."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end


@needs_fuse
@pytest.mark.row("1.9 mount")
def test_a_mounted_store(place: Path) -> None:
    mnt = place / "mnt"
    with mounted(place):
        master = mnt / "data/master"
        assert os.listdir(mnt) == ["data"]
        assert sorted(os.listdir(master)) == ["a.txt", "d"]
        assert (master / "a.txt").read_bytes() == b"first"
        assert (master / "d/e/кот.txt").read_bytes() == b"deep"
        assert (master / "d/big").read_bytes() == BIG
        with (master / "d/big").open("rb") as stream:
            stream.seek(5_000_000)
            assert stream.read(100) == BIG[5_000_000:5_000_100]
        assert (master / "a.txt").stat().st_size == 5
        with open_store(place) as store:
            view = store.repo("data")["master"]
            assert (master / "a.txt").stat().st_mtime_ns == view.stat("/a.txt").changed_ns
            assert os.getxattr(master / "a.txt", "user.pfs.hash").decode() == view.stat("/a.txt").hash
            assert os.getxattr(master, "user.pfs.commit").decode() == view.info.id
        with pytest.raises(OSError, match="No data"):
            os.getxattr(master / "a.txt", "user.other")
        assert {"user.pfs.commit", "user.pfs.hash"} <= set(os.listxattr(master / "d"))
        assert os.statvfs(mnt).f_namemax == 255
        for write in (lambda: (master / "x").write_bytes(b""), lambda: (master / "a.txt").unlink(), (mnt / "r").mkdir):
            with pytest.raises(OSError, match="Read-only"):
                write()
        with pytest.raises(FileNotFoundError):
            (mnt / "data/none").stat()
    assert os.listdir(mnt) == []


@needs_fuse
def test_tools_of_the_machine_see_the_same_files(place: Path) -> None:
    run(place, "pfs", "get-file", "data@master:/", "-r", "-o", "out")
    with mounted(place):
        subprocess.run(["diff", "-r", "mnt/data/master", "out"], cwd=place, check=True, capture_output=True)
        subprocess.run(["cp", "-r", "mnt/data/master", "copy"], cwd=place, check=True, capture_output=True)
    subprocess.run(["diff", "-r", "copy", "out"], cwd=place, check=True, capture_output=True)


@needs_fuse
def test_branches_move_and_open_files_stay(place: Path) -> None:
    with open_store(place) as store, mounted(place):
        repo, file = store.repo("data"), place / "mnt/data/master/a.txt"
        first = repo.inspect("master").id
        with file.open("rb", buffering=0) as stream:
            assert stream.read(2) == b"fi"
            with repo.commit("master") as writer:
                writer.put_file("/a.txt", b"the second one, which is longer")
            until(lambda: file.read_bytes() == b"the second one, which is longer")
            until(lambda: file.stat().st_size == 31)
            assert stream.read() == b"rst"
            stream.seek(0)
            assert stream.read() == b"first"
        fixed = place / f"mnt/data/{first}/a.txt"
        with fixed.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mapped[:] == b"first"


@needs_fuse
def test_only_what_was_asked_for(place: Path) -> None:
    with open_store(place) as store:
        store.create_repo("other")
        store.repo("data").create_branch("dev", head="master")
    with mounted(place, "data@dev"):
        assert os.listdir(place / "mnt") == ["data"]
        assert os.listdir(place / "mnt/data") == ["dev"]
        assert not (place / "mnt/data/master").exists()


@needs_fuse
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(place: Path, number: int) -> None:
    with mounted(place) as process:
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.communicate()[1] == b""
        assert not os.path.ismount(place / "mnt")


@needs_fuse
def test_umount_ends_the_process_also_behind_the_terminal(place: Path) -> None:
    with mounted(place) as process:
        assert "already" in refused(place, 4, "pfs", "mount", "mnt")
        run(place, "pfs", "umount", "mnt")
        assert process.wait(60) == 0
    assert run(place, "pfs", "mount", "mnt", "--daemon") == "mounted at mnt ; `pfs umount mnt` ends it\n"
    try:
        assert (place / "mnt/data/master/a.txt").read_bytes() == b"first"
    finally:
        run(place, "pfs", "umount", "mnt")
    assert os.listdir(place / "mnt") == []
    assert "nothing is mounted" in refused(place, 3, "pfs", "umount", "mnt")


@needs_fuse
def test_what_a_killed_mount_leaves_is_cleared(place: Path) -> None:
    with mounted(place) as process:
        process.kill()
        process.wait()
        assert "`pfs umount`" in refused(place, 4, "pfs", "mount", "mnt")
        run(place, "pfs", "umount", "mnt")
    assert os.listdir(place / "mnt") == []


@needs_fuse
def test_what_was_just_killed_is_unmounted_while_the_kernel_still_knows_its_attributes(place: Path) -> None:
    with mounted(place) as process:
        (place / "mnt").stat()
        process.kill()
        process.wait()
        run(place, "pfs", "umount", "mnt")
    assert os.listdir(place / "mnt") == []


@needs_fuse
def test_damage_is_an_input_output_error_with_a_line_that_says_why(place: Path) -> None:
    with mounted(place) as process:
        for pack in place.rglob("*.pack"):
            body = bytearray(pack.read_bytes())
            body[len(body) // 3] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(body)
        with pytest.raises(OSError, match="Input/output"):
            (place / "mnt/data/master/d/big").read_bytes()
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1].decode()
    assert "cannot read /data/master/d/big: damaged data" in error


def refused(place: Path, code: int, *words: str) -> str:
    """Run a program that fails with one line."""
    process = start(place, *words)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count(b"\n")) == (code, b"", 1), (process.returncode, out, err)
    return err.decode()


@needs_fuse
def test_refusals(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full/x").touch()
    (place / "file").touch()
    assert "not empty" in refused(place, 4, "pfs", "mount", "full")
    assert "make it first" in refused(place, 3, "pfs", "mount", "none")
    assert "no folder" in refused(place, 2, "pfs", "mount", "file")
    assert "a path is not wanted" in refused(place, 2, "pfs", "mount", "mnt", "data@master:/x")
    for words in ([], ["--daemon"]):
        assert "'nowhere'" in refused(place, 3, "pfs", "mount", "mnt", "nowhere", *words)
        assert "'none'" in refused(place, 3, "pfs", "mount", "mnt", "data@none", *words)


def test_without_fuse_it_says_what_to_install(place: Path) -> None:
    missing = {**environment(place), "FUSE_LIBRARY_PATH": str(place / "no-such-library")}
    done = subprocess.run(
        [Path(sys.executable).parent / "pfs", "mount", "mnt"], cwd=place, env=missing, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "apt install fuse3" in done.stderr or "pip install" in done.stderr


@needs_fuse
def test_a_reader_of_stdout_that_is_gone_ends_no_mount(place: Path) -> None:
    with mounted(place):
        pass  # skips where this user may not mount
    reading, writing = os.pipe()
    os.close(reading)
    process = start(place, "pfs", "mount", "mnt", stdout=writing)
    os.close(writing)
    until(lambda: os.path.ismount(place / "mnt"))
    assert (place / "mnt/data/master/a.txt").read_bytes() == b"first"
    run(place, "pfs", "umount", "mnt")
    assert (process.wait(60), process.communicate()[1]) == (0, b"")
