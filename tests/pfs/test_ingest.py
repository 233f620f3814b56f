"""Streams and files in: the same content whatever the way, nothing twice, bounded, and errors that name the file."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.backends.base import Buffer
from pfs.errors import StorageError
from pfs.files.ingest import EMPTY_FILE, FileRef, StreamIngest, put_files, put_stream
from pfs.ids import ChunkId
from pfs.packs.session import WriteSession
from pfs.testing.faults import FaultyBackend
from pfs.trees.page import Kind
from tests.pfs.bytes_world import SMALL, World, expected_ref, noise, text

SIZES = [0, 1, 32767, 32768, 32769, 100_000, 262_144, 262_145, 3_000_000, 9_000_000]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


class Ragged(io.RawIOBase):
    """A stream that gives its bytes in pieces of odd sizes, as sockets do."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._rest = memoryview(data)
        self._piece = piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # called with memoryviews only
        size = min(self._piece, len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class OnlyRead:
    """A stream without readinto."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


class Counter:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.files = self.size = 0
        self.threads: set[int] = set()

    def total(self, files: int, size: int) -> None:
        raise AssertionError("put does not know the total")

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        self.files += files
        self.size += size
        self.threads.add(threading.get_ident())


@pytest.mark.parametrize("jobs", [1, 2, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_a_stream_becomes_the_chunks_of_its_bytes_and_comes_back(world: World, size: int, jobs: int) -> None:
    data = noise(size)
    session, seen, progress = world.session(), bytearray(), Counter()
    ref = put_stream(session, SMALL, io.BytesIO(data), jobs=jobs, progress=progress, tee=seen.extend)
    assert ref == expected_ref(data)
    assert seen == data, "the tee sees every byte once, in order"
    assert (progress.size, progress.threads <= {threading.get_ident()}) == (size, True)
    world.commit(session)
    assert world.read(ref) == data


def test_the_empty_stream_is_the_empty_file_and_stores_nothing(world: World) -> None:
    session = world.session()
    assert put_stream(session, SMALL, io.BytesIO(b"")) == EMPTY_FILE
    assert session.seal() == []
    assert world.read(EMPTY_FILE) == b""


@pytest.mark.parametrize("piece", [997, 65_536, 1 << 20])
def test_it_does_not_matter_how_a_stream_is_read(world: World, piece: int) -> None:
    data = text(2_000_000)
    wanted = expected_ref(data)
    assert put_stream(world.session(), SMALL, cast("BinaryIO", Ragged(data, piece)), jobs=2) == wanted
    assert put_stream(world.session(), SMALL, cast("BinaryIO", OnlyRead(data)), jobs=2) == wanted


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from(SIZES[:-1]),
    pieces=st.lists(st.integers(0, 2_000_000), max_size=6),
    depth=st.integers(1, 3),
)
def test_pushed_bytes_become_the_same_file_as_pulled_ones(
    world: World, pool: ThreadPoolExecutor, size: int, pieces: list[int], depth: int
) -> None:
    data = noise(size, size)
    ingest = StreamIngest(world.session(), SMALL, pool, depth=depth)
    rest = memoryview(data)
    for piece in pieces:
        reused = bytearray(rest[:piece])
        ingest.write(reused)
        reused[:] = bytes(len(reused))  # write() promises that the buffer is free again
        rest = rest[piece:]
    ingest.write(rest)
    assert ingest.size == size
    assert ingest.finish() == expected_ref(data)


def test_a_second_put_stores_no_chunk(world: World) -> None:
    data = noise(3_000_000) + text(1_000_000)
    first, second = world.session(), world.session()
    ref = put_stream(first, SMALL, io.BytesIO(data))
    world.commit(first)
    assert put_stream(second, SMALL, io.BytesIO(data)) == ref
    assert (second.new_chunks, second.seal()) == (0, [])


def test_an_edit_in_the_middle_stores_only_what_is_near_it(world: World) -> None:
    data = noise(6_000_000)
    first, second = world.session(), world.session()
    put_stream(first, SMALL, io.BytesIO(data))
    world.commit(first)
    ref = put_stream(second, SMALL, io.BytesIO(data[:3_000_000] + b"inserted" + data[3_000_000:]))
    assert second.new_chunks <= 4
    world.commit(second)
    assert world.read(ref)[3_000_000:3_000_008] == b"inserted"


class Broken(Ragged):
    """A stream that fails behind its bytes."""

    name = "broken-source"

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # as above
        size = super().readinto(buffer)
        if size == 0:
            raise OSError(5, "Input/output error")
        return size


@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_a_stream_that_fails_is_named(world: World, size: int) -> None:
    with pytest.raises(StorageError, match="cannot read broken-source: Input/output error"):
        put_stream(world.session(), SMALL, cast("BinaryIO", Broken(noise(size), 50_000)), jobs=2)


class Waiting(Ragged):
    """A stream in non-blocking mode that has nothing yet."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # as above
        return cast("int", None)


def test_a_stream_that_does_not_block_is_refused(world: World) -> None:
    with pytest.raises(StorageError, match="not in blocking mode"):
        put_stream(world.session(), SMALL, cast("BinaryIO", Waiting(b"", 1)))


@pytest.mark.parametrize("jobs", [1, 2, 4, 6])
def test_a_failing_backend_ends_a_put(world: World, jobs: int) -> None:
    session = world.session(FaultyBackend(world.backend, fail_at=1))
    with pytest.raises(StorageError, match="injected"):
        put_stream(session, SMALL, io.BytesIO(noise(20_000_000)), jobs=jobs)
    with pytest.raises(StorageError, match="injected"):
        session.seal()


class Lingering(WriteSession):
    """A session in which the threads of a pool store nothing before the reader has stored something itself."""

    def begin(self) -> None:
        self.reader, self.lent, self.waited = threading.get_ident(), threading.Event(), list[bool]()

    def put_chunks(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> int:
        if threading.get_ident() == self.reader:
            self.lent.set()
        else:
            self.waited.append(self.lent.wait(60))
        return super().put_chunks(batch)


@pytest.mark.parametrize("jobs", [2, 3, 4])
def test_the_reader_lends_a_hand_while_the_others_are_at_work(world: World, jobs: int) -> None:
    data = noise(40_000_000)
    session, progress = Lingering(world.backend, world.index, world.objects), Counter()
    session.begin()
    ref = put_stream(session, SMALL, io.BytesIO(data), jobs=jobs, progress=progress)
    assert session.waited
    assert all(session.waited), "who has handed over enough batches must not wait for them"
    assert (ref, progress.size) == (expected_ref(data), len(data)), "the order is that of the stream"
    world.commit(session)
    assert world.read(ref) == data


def test_an_error_in_the_hand_that_the_reader_lends_ends_the_put(world: World) -> None:
    class Failing(Lingering):
        def put_chunks(self, batch: Sequence[tuple[ChunkId, Buffer]]) -> int:
            size = super().put_chunks(batch)
            if threading.get_ident() == self.reader:
                raise StorageError("store a batch", "injected")
            return size

    session = Failing(world.backend, world.index, world.objects)
    session.begin()
    with pytest.raises(StorageError, match="injected"):
        put_stream(session, SMALL, io.BytesIO(noise(40_000_000)), jobs=2)
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("ingest") for name in names), "nothing is at work any more"
    session.abandon()


def test_a_failing_backend_ends_a_push(world: World, pool: ThreadPoolExecutor) -> None:
    ingest = StreamIngest(world.session(FaultyBackend(world.backend, fail_at=1)), SMALL, pool)
    with pytest.raises(StorageError, match="injected"):
        ingest.write(noise(40_000_000))
    ingest.abandon()
    ingest.abandon()


def make_files(directory: Path) -> list[tuple[bytes, Path]]:
    sizes = [*range(0, 3000, 10), 40_000, 700_000, 1_048_577, 3_000_000, 5, 7]
    files = []
    for number, size in enumerate(sizes):
        file = directory / f"{number:04}"
        file.write_bytes(noise(size, number) if number % 2 else text(size, number))
        file.chmod(0o755 if number % 3 == 0 else 0o644)
        files.append((b"in/%04d" % number, file))
    return files


@pytest.mark.parametrize("jobs", [1, 3])
def test_files_come_in_order_with_their_content_and_bit(world: World, tmp_path: Path, jobs: int) -> None:
    (tmp_path / "files").mkdir()
    files = make_files(tmp_path / "files")
    session, progress = world.session(), Counter()
    stored = list(put_files(session, SMALL, iter(files), jobs=jobs, progress=progress))
    data = [file.read_bytes() for _, file in files]
    wanted = [(key, expected_ref(held), number % 3 == 0) for number, ((key, _), held) in enumerate(zip(files, data))]  # noqa: B905
    assert stored == wanted
    assert (progress.files, progress.size) == (len(files), sum(map(len, data)))
    world.commit(session)
    assert [world.read(ref) for _, ref, _ in stored] == data
    again = world.session()
    assert list(put_files(again, SMALL, files, jobs=jobs)) == stored
    assert (again.new_chunks, again.seal()) == (0, [])


def test_files_are_asked_for_as_results_are_taken(world: World, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    asked = 0

    def endless() -> Iterator[tuple[bytes, Path]]:
        nonlocal asked
        while True:
            asked += 1
            yield b"%d" % asked, file

    results = put_files(world.session(), SMALL, endless(), jobs=2)
    assert next(results)[0] == b"1"
    assert asked < 2000
    cast("Iterator[FileRef]", results).close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("make", ["nothing", "directory", "dangling link"])
def test_a_file_that_cannot_be_read_is_named(world: World, tmp_path: Path, make: str) -> None:
    file = tmp_path / "the-file"
    if make == "directory":
        file.mkdir()
    elif make == "dangling link":
        file.symlink_to("nowhere")
    (tmp_path / "good").write_bytes(b"x")
    with pytest.raises(StorageError, match=r"cannot read .*the-file"):
        list(put_files(world.session(), SMALL, [(b"a", tmp_path / "good"), (b"b", file)]))


def test_a_file_whose_size_is_not_what_it_says_is_read_to_its_end(world: World) -> None:
    # Files in /proc say they have no bytes, as a file does that grows between stat and read.
    place = Path("/proc/self/limits")
    if not place.exists():
        pytest.skip("no /proc here")
    session = world.session()
    [(_, ref, _)] = put_files(session, SMALL, [(b"limits", place)])
    assert ref.size > 100
    world.commit(session)
    assert world.read(ref).startswith(b"Limit")


_BIG = """
import resource, sys, numpy as np
from pathlib import Path
from pfs.backends.local import LocalBackend
from pfs.chunker import ChunkerParams
from pfs.packs.index import Index
from pfs.files.ingest import put_stream
from pfs.packs.objects import Objects
from pfs.files.reader import iter_range
from pfs.packs.session import WriteSession

class Source:
    def __init__(self, size):
        self.left, self.rng = size, np.random.default_rng(1)
    def readinto(self, buffer):
        size = min(len(buffer), self.left)
        self.left -= size
        buffer[:size] = self.rng.bytes(size)
        return size

place = Path(sys.argv[1])
backend = LocalBackend(place)
index = Index.open(place / "index.lmdb", store_uuid="x")
objects = Objects(backend, index, on_missing=lambda: False)
session = WriteSession(backend, index, objects)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ref = put_stream(session, ChunkerParams(), Source(400 << 20), jobs=4)
index.add(session.seal())
assert sum(len(piece) for piece in iter_range(objects, ref, jobs=4)) == 400 << 20
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _BIG, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 128, "MiB more than before, for 400 MiB in and out"


def test_kinds(world: World) -> None:
    assert put_stream(world.session(), SMALL, io.BytesIO(noise(1000))).kind is Kind.FILE
    assert put_stream(world.session(), SMALL, io.BytesIO(noise(1_000_000))).kind is Kind.CHUNKED
