"""Reading stored files as streams and ranges."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.errors import CorruptionError, InvalidInputError, MissingObjectError
from pfs.files.fileref import EMPTY_FILE, FileRef
from pfs.files.ingest import put_stream
from pfs.files.reader import FileReader, batches, chunk_refs, iter_range
from pfs.ids import TreeId, chunk_id
from pfs.testing.faults import READS, FaultyBackend
from pfs.trees.page import Kind
from tests.pfs.bytes_world import SMALL, World, noise

DATA = noise(1_300_000) + bytes(400_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def ref(world: World) -> FileRef:
    return stored(world, DATA)


def stored(world: World, data: bytes) -> FileRef:
    session = world.session()
    ref = put_stream(session, SMALL, io.BytesIO(data), jobs=1)
    world.commit(session)
    return ref


positions = st.integers(0, len(DATA) + 10)
step = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 500_000)),
    st.tuples(st.just("seek"), positions),
    st.tuples(st.just("end"), st.integers(-len(DATA), 10)),
    st.tuples(st.just("readall"), st.just(0)),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=12), buffered=st.booleans())
def test_a_reader_behaves_as_a_file_with_the_same_bytes(
    world: World, ref: FileRef, steps: list[tuple[str, int]], buffered: bool
) -> None:
    raw = FileReader(world.objects, ref)
    ours = io.BufferedReader(raw) if buffered else raw
    theirs = io.BytesIO(DATA)
    for what, value in steps:
        if what == "read":
            got = ours.read(value) or b""
            assert got == theirs.read(len(got))
            assert got or value == 0 or theirs.tell() >= len(DATA)
        elif what == "readall":
            assert ours.read() == theirs.read()
        else:
            whence = io.SEEK_END if what == "end" else io.SEEK_SET
            assert ours.seek(value, whence) == theirs.seek(value, whence)
        assert ours.tell() == theirs.tell()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=positions, length=st.integers(0, len(DATA)), jobs=st.integers(1, 4))
def test_a_range_is_those_bytes(world: World, ref: FileRef, start: int, length: int, jobs: int) -> None:
    pieces = list(iter_range(world.objects, ref, start=start, stop=start + length, jobs=jobs))
    assert b"".join(pieces) == DATA[start : start + length]
    assert all(pieces), "no piece is empty"
    assert FileReader(world.objects, ref).read_range(start, start + length) == DATA[start : start + length]


def test_a_large_range_is_fetched_ahead_and_may_be_left_early(world: World) -> None:
    data = noise(30_000_000, 5)
    ref = stored(world, data)
    pieces = iter_range(world.objects, ref, jobs=3)
    assert next(pieces) == data[: next(chunk_refs(world.objects, ref)).size]
    pieces.close()  # type: ignore[attr-defined]  # it is a generator
    assert b"".join(iter_range(world.objects, ref, jobs=3)) == data


def test_the_empty_file(world: World) -> None:
    assert list(iter_range(world.objects, EMPTY_FILE)) == []
    assert FileReader(world.objects, EMPTY_FILE).read(10) == b""


def test_a_seek_before_the_start_is_refused(world: World, ref: FileRef) -> None:
    reader = FileReader(world.objects, ref)
    with pytest.raises(InvalidInputError, match="cannot seek to -1"):
        reader.seek(-1)
    assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)


def test_small_reads_in_a_row_fetch_a_chunk_once(tmp_path: Path) -> None:
    watched = FaultyBackend(World(tmp_path / "a").backend, counted=READS)
    world = World(tmp_path / "b", watched)
    reader = FileReader(world.objects, stored(world, noise(100_000, 8)))
    before = watched.calls
    assert b"".join(iter(lambda: reader.read(1000), b"")) == noise(100_000, 8)
    assert watched.calls - before <= 6


@pytest.mark.parametrize(
    ("kind", "error"),
    [(Kind.REMOVED, MissingObjectError), (Kind.EXTERNAL, InvalidInputError), (Kind.DIR, InvalidInputError)],
)
def test_what_has_no_bytes_is_refused(world: World, kind: Kind, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(iter_range(world.objects, FileRef(kind, 10, TreeId(bytes(32)))))


def test_a_size_that_is_not_the_chunks_is_damage(world: World) -> None:
    stored(world, b"12345")
    with pytest.raises(CorruptionError):
        list(iter_range(world.objects, FileRef(Kind.FILE, 6, TreeId(chunk_id(b"12345")))))


def test_batches_have_at_least_the_bytes_asked_for(world: World, ref: FileRef) -> None:
    refs = list(chunk_refs(world.objects, ref))
    grouped = list(batches(refs, 300_000))
    assert [one for group in grouped for one in group] == refs
    assert all(sum(one.size for one in group) >= 300_000 for group in grouped[:-1])
    assert all(sum(one.size for one in group[:-1]) < 300_000 for group in grouped)
