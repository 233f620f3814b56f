"""Joined parts have the content id of the joined bytes, and only seams are read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.chunker import cut_points
from pfs.errors import InvalidInputError, MissingObjectError
from pfs.files.concat import concat
from pfs.files.fileref import EMPTY_FILE, FileRef
from pfs.files.ingest import put_stream
from pfs.ids import ChunkId, TreeId
from pfs.packs.session import WriteSession
from pfs.trees.page import Kind
from tests.pfs.bytes_world import SMALL, World, expected_ref, noise, text

DATA = {"noise": noise(1_500_000), "text": text(1_200_000), "zeros": bytes(1_100_000)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def parts_of(session: WriteSession, data: bytes, cuts: list[int]) -> list[FileRef]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]  # noqa: RUF007 - repeats matter
    return [put_stream(session, SMALL, io.BytesIO(piece), jobs=1) for piece in pieces]


near_a_cut = st.sampled_from(cut_points(DATA["noise"], SMALL)).flatmap(
    lambda cut: st.integers(max(cut - 2, 0), cut + 2)
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(DATA)),
    cuts=st.lists(st.integers(0, 1_500_000) | near_a_cut | st.integers(0, 40), max_size=8),
    sealed=st.booleans(),
)
def test_any_parts_of_the_same_bytes_are_the_same_file(world: World, name: str, cuts: list[int], sealed: bool) -> None:
    session = world.session()
    parts = parts_of(session, DATA[name], cuts)
    if sealed:
        world.commit(session)
        session = world.session()
    joined = concat(session, SMALL, parts)
    assert joined == expected_ref(DATA[name])
    world.commit(session)
    assert world.read(joined) == DATA[name]


def test_the_joined_file_is_whole_in_the_store_and_stores_little(world: World) -> None:
    first, second = world.session(), world.session()
    data = noise(9_000_000)
    parts = parts_of(first, data, [3_000_000, 6_000_000])
    world.commit(first)
    joined = concat(second, SMALL, parts)
    assert second.new_chunks <= 2 * 6
    world.commit(second)
    assert world.read(joined) == data


class Watched(WriteSession):
    """Adds up the bytes of chunks that are read back."""

    read_bytes = 0

    def chunk(self, id: ChunkId, size: int) -> bytes:
        self.read_bytes += size
        return super().chunk(id, size)


def test_appending_reads_only_the_end(world: World) -> None:
    session = world.session()
    old = put_stream(session, SMALL, io.BytesIO(noise(20_000_000)))
    line = put_stream(session, SMALL, io.BytesIO(b"one more line\n"))
    world.commit(session)
    watched = Watched(world.backend, world.index, world.objects)
    joined = concat(watched, SMALL, [old, line])
    assert watched.read_bytes <= SMALL.max_bytes + 14
    assert joined == expected_ref(noise(20_000_000) + b"one more line\n")


def test_a_seam_reads_no_more_than_a_few_chunks(world: World) -> None:
    session = world.session()
    parts = [put_stream(session, SMALL, io.BytesIO(noise(5_000_000, seed))) for seed in range(4)]
    world.commit(session)
    watched = Watched(world.backend, world.index, world.objects)
    concat(watched, SMALL, parts)
    assert watched.read_bytes <= 3 * 10 * SMALL.max_bytes


def test_parts_that_wait_in_an_open_pack_are_found(world: World) -> None:
    session = world.session()
    data = noise(12_000_000)
    assert concat(session, SMALL, parts_of(session, data, [5_000_001, 10_000_000])) == expected_ref(data)


def test_many_tiny_parts(world: World) -> None:
    session = world.session()
    data = text(2000)
    assert concat(session, SMALL, parts_of(session, data, list(range(0, 2000, 3)))) == expected_ref(data)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nothing_joined_is_the_empty_file(world: World, count: int) -> None:
    assert concat(world.session(), SMALL, [EMPTY_FILE] * count) == EMPTY_FILE


def test_one_filled_part_is_itself(world: World) -> None:
    ref = put_stream(world.session(), SMALL, io.BytesIO(noise(1000)))
    assert concat(world.session(), SMALL, [EMPTY_FILE, ref, EMPTY_FILE]) == ref


def test_purged_and_foreign_parts_are_refused(world: World) -> None:
    ref = put_stream(world.session(), SMALL, io.BytesIO(b"x"))
    with pytest.raises(MissingObjectError, match="purged"):
        concat(world.session(), SMALL, [ref, FileRef(Kind.REMOVED, 5, TreeId(bytes(32)))])
    with pytest.raises(InvalidInputError, match="only files"):
        concat(world.session(), SMALL, [ref, FileRef(Kind.DIR, 5, TreeId(bytes(32)))])
