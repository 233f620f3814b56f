"""Archives: what tar and zip of the standard library and of the machine read back, whatever the tree holds."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.archives.archive import FORMATS, ArchiveFormat, archive
from pfs.archives.entry import Entry
from pfs.archives.tar import tar, tar_header
from pfs.archives.zip import zipped
from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, FileCollisionError, InvalidInputError, InvalidPathError, StorageError
from pfs.files.concat import concat
from pfs.files.ingest import put_stream
from pfs.files.selection import below, matching
from pfs.glob import Glob
from pfs.packs.objects import Objects
from pfs.repo import Repo
from pfs.testing.faults import READS, FaultyBackend
from pfs.trees.page import Kind
from tests.pfs.bytes_world import World, noise, text
from tests.pfs.test_restore import Link, damage, tree_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

STAMP_S = 1_700_000_001
Read = dict[str, tuple[int, bytes]]
"""Name -> type and permissions, and content or link target."""


def joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    return b"".join(pieces)


def read_tar(data: bytes) -> Read:
    found: Read = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        for info in opened:
            kind = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK}.get(info.type, stat.S_IFREG)
            stream = opened.extractfile(info) if info.isfile() else None
            content = info.linkname.encode(errors="surrogateescape") if stream is None else stream.read()
            found[info.name] = (kind | info.mode, content)
    return found


def read_zip(data: bytes) -> Read:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        return {info.filename.rstrip("/"): (info.external_attr >> 16, opened.read(info)) for info in opened.infolist()}


def read(data: bytes, format: ArchiveFormat) -> Read:
    match format:
        case "tar":
            return read_tar(data)
        case "tar.gz":
            return read_tar(gzip.decompress(data))
        case "tar.zst":
            return read_tar(zstandard.ZstdDecompressor().decompressobj().decompress(data))
        case "zip":
            return read_zip(data)


FILES: dict[str, bytes | Link] = {
    "a.txt": b"hello",
    "d/empty": b"",
    "d/run.sh": b"#!/bin/sh\n",
    "d/sub/link": Link("../run.sh"),
    "d/sub/" + "long" * 40 + "/" + "name" * 40: text(3000),
    "d/üñî/три 三.bin": noise(700_000),
    "d/sub.x": b"between",
    "big": noise(9_000_000),
    "marker/": b"",
}
WANTED: Read = {
    "a.txt": (0o100644, b"hello"),
    "d": (0o040755, b""),
    "d/empty": (0o100644, b""),
    "d/run.sh": (0o100755, b"#!/bin/sh\n"),
    "d/sub": (0o040755, b""),
    "d/sub/link": (0o120777, b"../run.sh"),
    "d/sub/" + "long" * 40: (0o040755, b""),
    "d/sub/" + "long" * 40 + "/" + "name" * 40: (0o100644, text(3000)),
    "d/üñî": (0o040755, b""),
    "d/üñî/три 三.bin": (0o100644, noise(700_000)),
    "d/sub.x": (0o100644, b"between"),
    "big": (0o100644, noise(9_000_000)),
    "marker": (0o040755, b""),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("format", FORMATS)
def test_everything_comes_back_in_path_order(world: World, format: ArchiveFormat, jobs: int) -> None:
    tree = tree_of(world, FILES, executable=frozenset({"d/run.sh"}))
    found = read(joined(archive(world.objects, below(tree, b""), format, jobs=jobs)), format)
    assert found == WANTED
    order = [name + "/" if mode & 0o170000 == stat.S_IFDIR else name for name, (mode, _) in found.items()]
    assert order == sorted(order, key=str.encode)


@pytest.mark.parametrize("format", FORMATS)
def test_the_number_of_threads_does_not_change_a_byte(world: World, format: ArchiveFormat) -> None:
    tree = tree_of(world, FILES | {"more": noise(9_000_000, 1)})
    made = {joined(archive(world.objects, below(tree, b""), format, jobs=jobs)) for jobs in (1, 2, 7)}
    assert len(made) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_names_are_those_below_the_directory_or_whole_paths(world: World, format: ArchiveFormat) -> None:
    tree = tree_of(world, {"a/b/1": b"1", "a/b/c/2": b"2", "a/3": b"3", "x": b"x"})
    assert set(read(joined(archive(world.objects, below(tree, b"a/b"), format)), format)) == {"1", "c", "c/2"}
    found = read(joined(archive(world.objects, matching(tree, Glob("/a/**")), format)), format)
    assert list(found) == ["a/3", "a/b", "a/b/1", "a/b/c", "a/b/c/2"]
    assert list(read(joined(archive(world.objects, matching(tree, Glob("/*/3")), format)), format)) == ["a/3"]


def test_programs_of_the_machine_unpack_them(world: World, tmp_path: Path) -> None:
    tree = tree_of(world, FILES, executable=frozenset({"d/run.sh"}))
    for format, program in (("tar", "tar"), ("tar.gz", "tar"), ("tar.zst", "tar"), ("zip", "unzip")):
        if shutil.which(program) is None or (format == "tar.zst" and shutil.which("zstd") is None):
            continue
        out = tmp_path / format
        out.mkdir()
        file = out.with_suffix(".packed")
        file.write_bytes(joined(archive(world.objects, below(tree, b""), format)))  # type: ignore[arg-type]
        words = ["unzip", "-q", file] if program == "unzip" else ["tar", "-xf", file]
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(words, cwd=out, capture_output=True, text=True, check=False, env=environment)
        assert (done.returncode, done.stderr) == (0, ""), format
        unpacked = {str(p.relative_to(out)): p for p in out.rglob("*")}
        assert set(unpacked) == set(WANTED)
        for name, (mode, content) in WANTED.items():
            if stat.S_ISREG(mode):
                assert unpacked[name].read_bytes() == content
                assert unpacked[name].stat().st_mode & 0o100 == mode & 0o100
        assert (out / "d/sub/link").readlink() == Path("../run.sh")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=30).filter(
    lambda name: name not in {".", ".."}
)
CONTENTS = st.one_of(st.binary(max_size=60), st.integers(1, 2000).map(lambda size: b"ab" * size))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes]:
    """Files whose paths do not collide."""
    files: dict[str, bytes] = {}
    for path, content in draw(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), CONTENTS)).items():
        above = {path[:at] for at, char in enumerate(path) if char == "/"}
        if above & files.keys() or any(other.startswith(path + "/") for other in files):
            continue
        files[path] = content
    return files


@settings(max_examples=25, deadline=None)
@given(trees(), st.sampled_from(FORMATS))
def test_any_tree_round_trips(files: dict[str, bytes], format: ArchiveFormat) -> None:
    with tempfile.TemporaryDirectory() as place:
        world = World(Path(place))
        data = joined(archive(world.objects, below(tree_of(world, files), b""), format, jobs=2))
        found = {name: content for name, (mode, content) in read(data, format).items() if stat.S_ISREG(mode)}
        assert found == files
        world.index.close()


def entry(name: bytes, data: bytes, *, streamed: bool, mode: int = 0o100644) -> Entry:
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    return Entry(name, mode, len(data), STAMP_S, None if streamed else data, pieces)


@pytest.mark.parametrize("streamed", [False, True])
def test_times_are_those_of_the_commits(streamed: bool) -> None:
    one = entry(b"f", b"x" * 5000, streamed=streamed)
    with tarfile.open(fileobj=io.BytesIO(joined(tar([one])))) as opened:
        (info,) = opened.getmembers()
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (STAMP_S, 0, 0, "", "")
    with zipfile.ZipFile(io.BytesIO(joined(zipped([one])))) as packed:
        (member,) = packed.infolist()
        assert member.date_time == (2023, 11, 14, 22, 13, 20)
        assert STAMP_S.to_bytes(4, "little") in member.extra
        assert packed.read(member) == b"x" * 5000


@pytest.mark.parametrize("mtime_s", [0, -(10**9), 2**31, 2**33])
def test_zip_holds_times_outside_of_what_it_can_say(mtime_s: int) -> None:
    one = Entry(b"f", 0o100644, 1, mtime_s, b"x")
    with zipfile.ZipFile(io.BytesIO(joined(zipped([one])))) as packed:
        assert packed.infolist()[0].date_time[0] in {1980, 2038, 2107}


@pytest.mark.parametrize("limit", [1, 500, 3000])
def test_zip64(limit: int, tmp_path: Path) -> None:
    """With a lower limit all that 4 GiB would bring about is seen with little data."""
    data = {b"a": noise(2000), b"b": b"small", b"c": text(4000), b"d": b""}
    members = [entry(name, content, streamed=name in b"ac") for name, content in data.items()]
    made = joined(zipped(members, limit=limit))
    with zipfile.ZipFile(io.BytesIO(made)) as packed:
        assert packed.testzip() is None
        assert {name.encode(): packed.read(name) for name in packed.namelist()} == data
    if shutil.which("unzip"):
        (tmp_path / "x.zip").write_bytes(made)
        subprocess.run(["unzip", "-tq", tmp_path / "x.zip"], check=True, capture_output=True)


def test_zip_with_more_files_than_its_old_count_can_say() -> None:
    members = [Entry(b"%05d" % number, 0o100644, 0, 0, b"") for number in range(65_536)]
    with zipfile.ZipFile(io.BytesIO(joined(zipped(members)))) as packed:
        assert len(packed.infolist()) == 65_536


def test_tar_header_of_what_has_over_8_gib() -> None:
    size = 9 << 30
    blocks = tar_header(Entry("größer".encode(), 0o100644, size, STAMP_S, None))
    with tarfile.open(fileobj=io.BytesIO(blocks), mode="r|") as opened:
        info = opened.next()
        assert info is not None
        assert (info.name, info.size) == ("größer", size)


@pytest.mark.parametrize("format", ["tar", "zip"])
@pytest.mark.parametrize(
    ("files", "error", "named"),
    [
        ({"d/../x": b"1"}, InvalidPathError, "/d/.."),
        ({"d//x": b"1"}, InvalidPathError, "/d/"),
        ({"d/new\nline": b"1"}, InvalidPathError, "line"),
        ({"a": b"1", "a-b": b"2", "a/c": b"3"}, FileCollisionError, "/a"),
        ({"d/l": Link("../../etc")}, InvalidPathError, "/d/l"),
        ({"d/l": Link("/etc/passwd")}, InvalidPathError, "/d/l"),
    ],
)
def test_what_no_disk_takes_is_refused_by_name(
    world: World, format: ArchiveFormat, files: Mapping[str, bytes | Link | Kind], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=re.escape(named)):
        archive(world.objects, below(tree_of(world, files), b""), format)


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_purged_is_left_out(world: World, format: ArchiveFormat) -> None:
    tree = tree_of(world, {"gone": Kind.REMOVED, "here": b"1"})
    assert set(read(joined(archive(world.objects, below(tree, b""), format)), format)) == {"here"}


def test_names_that_are_no_utf8(world: World) -> None:
    tree = tree_of(world, {"b\udcff": b"1"})
    assert list(read_tar(joined(archive(world.objects, below(tree, b""), "tar")))) == ["b\udcff"]
    with pytest.raises(InvalidPathError, match="use tar"):
        archive(world.objects, below(tree, b""), "zip")


def test_a_pattern_collides_only_by_what_it_matches(world: World) -> None:
    tree = tree_of(world, {"a": b"1", "a/b.txt": b"2", "c.txt": b"3", "c.txt/d.txt": b"4"})
    assert set(read_tar(joined(archive(world.objects, matching(tree, Glob("/a/*.txt")), "tar")))) == {"a/b.txt"}
    with pytest.raises(FileCollisionError, match=r"c\.txt"):
        archive(world.objects, matching(tree, Glob("/**.txt")), "tar")


def test_unknown_format(world: World) -> None:
    with pytest.raises(InvalidInputError, match="rar"):
        archive(world.objects, below(tree_of(world, {}), b""), "rar")  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_directory_is_an_archive_without_members(world: World, format: ArchiveFormat) -> None:
    assert read(joined(archive(world.objects, below(tree_of(world, {}), b""), format)), format) == {}


@pytest.mark.parametrize("format", FORMATS)
def test_damage_is_an_error_and_not_a_short_archive(tmp_path: Path, format: ArchiveFormat) -> None:
    world = World(tmp_path, LocalBackend(tmp_path))
    tree = tree_of(world, {f"f{number}": noise(3_000_000, number) for number in range(9)})
    damage(world)
    pieces = archive(world.objects, below(tree, b""), format)
    with pytest.raises(CorruptionError):
        joined(pieces)


@pytest.mark.parametrize("format", ["tar", "zip"])
def test_each_read_that_fails_is_an_error(tmp_path: Path, format: ArchiveFormat) -> None:
    files = {f"d/{number}": text(4000, number) for number in range(60)} | {"big": noise(6_000_000)}
    backend = MemoryBackend()
    tree = tree_of(World(tmp_path, backend), files)
    whole = FaultyBackend(backend, counted=READS)
    wanted = joined(archive(on(tmp_path, whole), below(tree, b""), format, jobs=2))
    assert whole.calls > 2
    for fail_at in range(1, whole.calls + 1):
        faulty = on(tmp_path, FaultyBackend(backend, fail_at=fail_at, counted=READS))
        with pytest.raises(StorageError, match="injected"):
            joined(archive(faulty, below(tree, b""), format, jobs=2))
    assert joined(archive(on(tmp_path, backend), below(tree, b""), format, jobs=2)) == wanted


def on(place: Path, backend: Backend) -> Objects:
    """Return what is stored, read through ``backend`` with nothing in memory."""
    return World(place, backend).objects


@pytest.mark.parametrize("format", FORMATS)
def test_pieces_are_small_however_large_the_archive(world: World, format: ArchiveFormat) -> None:
    tree = tree_of(world, {"big": noise(30_000_000), **{f"s{number}": b"x" * 100 for number in range(3000)}})
    sizes = [len(piece) for piece in archive(world.objects, below(tree, b""), format)]
    assert max(sizes) < 9 << 20, "a batch of zstd's, or what a small file has"
    assert len(sizes) < 400


def test_stopping_early_ends_the_threads(world: World) -> None:
    tree = tree_of(world, {f"f{number}": noise(5_000_000, number) for number in range(6)})
    pieces = archive(world.objects, below(tree, b""), "tar")
    next(pieces)
    del pieces
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


class Stream(io.RawIOBase):
    """Pieces as a file that can only be read front to back."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._left: bytes | memoryview = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        target = memoryview(buffer)
        count = min(len(target), len(self._left))
        target[:count], self._left = self._left[:count], memoryview(self._left)[count:]
        return count


@pytest.mark.long
def test_files_larger_than_the_old_formats_hold(repo: Repo, tmp_path: Path) -> None:
    """Files of zeros: large outside, small in the store."""
    with repo.commit("master") as writer:
        ref = put_stream(writer.session, repo.store.params, io.BytesIO(bytes(72 << 20)), jobs=2)
        for _ in range(7):
            ref = concat(writer.session, repo.store.params, [ref, ref])
        writer.put_ref(b"zeros", ref)
        writer.put_file("/zeros.end", b"last")
    assert ref.size == 9 << 30
    view = repo["master"]
    with tarfile.open(fileobj=io.BufferedReader(Stream(view.archive("/", "tar"))), mode="r|") as opened:
        assert [(info.name, info.size) for info in opened] == [("zeros", ref.size), ("zeros.end", 4)]
    target = tmp_path / "zip"
    with target.open("wb") as stream:
        stream.writelines(view.archive("/", "zip"))
    with zipfile.ZipFile(target) as packed:
        assert packed.testzip() is None
        assert [info.file_size for info in packed.infolist()] == [ref.size, 4]
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-tq", target], check=True, capture_output=True)
