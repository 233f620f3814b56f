"""Many files a call: the native module and its twin say the same, and whatever is unusual is left to the caller."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import StorageError, StorageFullError
from pfs.files import create
from pfs.files.create import create_files
from pfs.sources import batch
from pfs.sources.batch import CHANGED, ODD, WHOLE, digest_files, read_files, read_files_in, scan

KINDS = ["native", "twin"]


def choose(kind: str, patch: pytest.MonkeyPatch) -> None:
    if kind == "twin":
        patch.setitem(sys.modules, "pfs._batch", None)
        import pfs

        patch.delattr(pfs, "_batch", raising=False)
    else:
        patch.delitem(sys.modules, "pfs._batch", raising=False)
        pytest.importorskip("pfs._batch")
    batch._batch.cache_clear()


@pytest.fixture(params=KINDS, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    choose(request.param, monkeypatch)
    yield request.param
    batch._batch.cache_clear()


def buffer(size: int = 4096) -> memoryview:
    return memoryview(bytearray(size))


def test_files_lie_one_behind_the_other_with_their_status(tmp_path: Path) -> None:
    data = [b"", b"one", b"x" * 1000]
    paths = [tmp_path / str(number) for number in range(3)]
    for path, held in zip(paths, data, strict=True):
        path.write_bytes(held)
    paths[1].chmod(0o755)
    room = buffer()
    rows = read_files([os.fsencode(path) for path in paths], room, limit=2000)
    assert rows["state"].tolist() == [WHOLE] * 3
    spans = zip(rows["offset"].tolist(), rows["length"].tolist(), strict=True)
    assert [bytes(room[start : start + size]) for start, size in spans] == data
    for row, status in zip(rows, map(os.stat, paths), strict=True):
        stamp = row["stamp"]
        assert (stamp["size"], stamp["mtime"], stamp["ctime"], stamp["inode"]) == (
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )
        assert (row["mode"], row["device"]) == (status.st_mode, status.st_dev)


def test_what_does_not_fit_is_left_for_the_next_call(tmp_path: Path) -> None:
    paths = []
    for number in range(4):
        paths.append(os.fsencode(tmp_path / str(number)))
        (tmp_path / str(number)).write_bytes(b"x" * 1500)
    # One byte behind a file must be free, for telling that it ends.
    assert [len(read_files(paths, buffer(size), limit=1500)) for size in (1501, 3000, 3001, 4501)] == [1, 1, 2, 3]


def test_the_unusual_is_marked_and_its_neighbours_are_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "large").write_bytes(b"x" * 101)
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to("good")
    names = ["good", "large", "directory", "dangling", "absent", "link", "good"]
    rows = read_files([os.fsencode(tmp_path / name) for name in names], buffer(), limit=100)
    assert rows["state"].tolist() == [WHOLE, ODD, ODD, ODD, ODD, WHOLE, WHOLE]
    assert rows["length"].tolist() == [4, 0, 0, 0, 0, 4, 4]


def test_files_of_a_directory_are_read_as_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")
    (tmp_path / "large").write_bytes(b"x" * 101)
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "run").write_bytes(b"run")
    (tmp_path / "run").chmod(0o755)
    names = [b"absent", b"directory", b"good", b"large", b"link", b"run", b"odd\nname\xff"]
    (tmp_path / os.fsdecode(names[-1])).write_bytes(b"")
    one, other = buffer(), buffer()
    expected = read_files([os.path.join(os.fsencode(tmp_path), name) for name in names], one, limit=100)
    found = read_files_in(os.fsencode(tmp_path), b"\0".join((*names, b"")), other, limit=100)
    assert found.tobytes() == expected.tobytes()
    assert found["state"].tolist() == [ODD, ODD, WHOLE, ODD, WHOLE, WHOLE, WHOLE]
    assert bytes(one) == bytes(other)


def test_as_many_files_of_a_directory_are_read_as_fit(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"x" * 1500)
    place = os.fsencode(tmp_path)
    assert [len(read_files_in(place, b"a\0b\0c\0", buffer(size), limit=1500)) for size in (1501, 3001, 4501)] == [
        1,
        2,
        3,
    ]
    assert len(read_files_in(place, b"", buffer(), limit=10)) == 0


@pytest.mark.parametrize("name", ["absent", "file"])
def test_without_the_directory_each_file_is_odd(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    rows = read_files_in(os.fsencode(tmp_path / name), b"a\0b\0", buffer(), limit=10)
    assert rows["state"].tolist() == [ODD, ODD]
    assert not rows["length"].any()


def test_names_without_an_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no end"):
        read_files_in(os.fsencode(tmp_path), b"a\0b", buffer(), limit=10)


def test_a_file_that_says_another_size_than_it_has_is_odd() -> None:
    if not Path("/proc/self/limits").exists():
        pytest.skip("no /proc here")
    [row] = read_files([b"/proc/self/limits"], buffer(), limit=100)
    assert row["state"] == ODD


def test_a_read_that_sets_no_time_leaves_a_file_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    [row] = read_files([os.fsencode(tmp_path / "a")], buffer(), limit=10)
    assert row["state"] not in {CHANGED, ODD}


@pytest.fixture
def written(kind: str) -> Iterator[None]:
    create._native.cache_clear()
    yield
    create._native.cache_clear()


@pytest.mark.usefixtures("written")
def test_files_are_written_in_place_of_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"what was there before")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to("other")
    files = [
        (b"empty", b"", False),
        (b"old", b"new", True),
        (b"link", b"1", False),
        (b"large", b"x" * 3_000_000, False),
    ]
    create_files(tmp_path, files)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        **{name.decode(): data for name, data, _ in files},
        "other": b"other",
    }
    assert not (tmp_path / "link").is_symlink()
    mode = 0o777 & ~_umask()
    assert (tmp_path / "old").stat().st_mode & 0o777 == mode
    assert (tmp_path / "empty").stat().st_mode & 0o777 == mode & 0o666


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_file_that_cannot_be_written_is_named_and_those_before_it_are_there(tmp_path: Path, at: int) -> None:
    names = ["a", "b", "c"]
    (tmp_path / names[at] / "full").mkdir(parents=True)
    with pytest.raises(StorageError, match=f"cannot write .*/{names[at]}: "):
        create_files(tmp_path, [(name.encode(), b"1", False) for name in names])
    assert sorted(path.name for path in tmp_path.iterdir()) == names[: at + 1]


@pytest.mark.usefixtures("written")
def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(StorageFullError, match=r"cannot write .*/a: "):
            create_files(tmp_path, [(b"small", b"1", False), (b"a", b"x" * 2000, False)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "small": b"1"}


@pytest.mark.parametrize("files", [((b"a\0b", b"", False),), ((b"a", b""),), ((b"a", "text", False),), (1,)])
def test_what_is_no_file_is_not_written(tmp_path: Path, files: tuple[tuple[bytes, bytes, bool], ...]) -> None:
    native = pytest.importorskip("pfs._batch")
    with pytest.raises((TypeError, ValueError)):
        native.create(os.fsencode(tmp_path), files, b"01234567")
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_no_files_give_no_rows_and_a_buffer_that_is_too_small_is_refused(tmp_path: Path, kind: str) -> None:
    assert len(read_files([], buffer(), limit=10)) == 0
    if kind == "native":
        with pytest.raises(ValueError, match="holds no file"):
            read_files([b"x"], buffer(10), limit=10)


def test_files_are_listed_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    names = ["z", "é", "eight678", "eight6789", "eight678a", "eight6", "eight678é", "\x01", "eight67"]
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    assert scan(os.fsencode(tmp_path)).names.split(b"\0")[:-1] == sorted(map(os.fsencode, names))


def test_a_directory_lists_its_files_by_name_and_the_rest_apart(tmp_path: Path) -> None:
    for name in ("b", "a", "a.b", "B"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    found = scan(os.fsencode(tmp_path))
    assert found.names == b"B\0a\0a.b\0b\0"
    assert sorted(found.others.split(b"\0")) == [b"", b"folder", b"link", b"pipe"]
    assert (found.plain, found.device) == (True, tmp_path.stat().st_dev)
    stamps = np.frombuffer(found.stamps, batch.STAMP)
    status = [(tmp_path / name).stat() for name in ("B", "a", "a.b", "b")]
    assert stamps.tolist() == [(one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for one in status]
    assert np.frombuffer(found.modes, "<u4").tolist() == [one.st_mode for one in status]


def test_runs_end_where_names_say_and_stay_where_files_come_elsewhere(tmp_path: Path) -> None:
    names = [f"{number:05}" for number in range(1, 3001)]
    for name in names:
        (tmp_path / name).touch()
    before = np.frombuffer(scan(os.fsencode(tmp_path)).runs, batch.RUN)
    assert before["files"].tolist() == RUNS
    assert before["names"].tolist() == [6 * end for end in RUNS]
    (tmp_path / "00000").touch()
    assert scan(os.fsencode(tmp_path)).runs == b"".join(
        np.array([end + 1, 6 * end + 6], "<u8").tobytes() for end in RUNS
    )


@pytest.mark.parametrize("name", ["ä", "a\nb", "\x7f"])
def test_names_that_are_not_plain_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").touch()
    assert scan(os.fsencode(tmp_path)).plain
    (tmp_path / name).touch()
    assert not scan(os.fsencode(tmp_path)).plain


def test_an_empty_directory_and_one_that_is_not_there(tmp_path: Path) -> None:
    assert scan(os.fsencode(tmp_path))[:6] == (b"", b"", b"", b"", b"", True)
    with pytest.raises(FileNotFoundError):
        scan(os.fsencode(tmp_path / "absent"))


RUNS = [807, 1550, 2029, 2573, 2623, 2970, 3000]
"""Where the runs of files 00001 to 03000 end."""


NAMES = st.binary(min_size=1, max_size=255).map(lambda name: name.replace(b"\0", b"."))


@given(files=st.lists(st.tuples(NAMES, st.binary(min_size=32, max_size=32)), max_size=40))
@pytest.mark.parametrize("one", KINDS)
def test_files_of_a_listing_are_told_apart_by_name_and_stamp(one: str, files: list[tuple[bytes, bytes]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        choose(one, patch)
        found = digest_files(b"".join(name + b"\0" for name, _ in files), b"".join(stamp for _, stamp in files))
    batch._batch.cache_clear()
    assert found == b"".join(blake3(name + b"\0" + stamp).digest(8) for name, stamp in files)


@pytest.mark.parametrize("names", [b"", b"a", b"a\0", b"a\0b", b"a\0b\0c\0"])
def test_names_that_are_not_as_many_as_stamps_are_refused(names: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        digest_files(names, bytes(64))
