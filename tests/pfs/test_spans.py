"""Chunks as columns: the native module and its twin say the same, and they are stored as single ones are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from pfs import spans
from pfs.backends.memory import MemoryBackend
from pfs.errors import StorageError
from pfs.ids import chunk_id, new_pack_id
from pfs.packs import session_data
from pfs.packs.compress import is_compressible, which_compress
from pfs.packs.pack import Codec, PackWriter, RecordType, pack_name, read_footer, scan_records
from pfs.packs.raws import Raws
from pfs.packs.session import WriteSession
from pfs.spans import are_ascii, hash_spans, joined
from pfs.testing.faults import FaultyBackend
from tests.pfs.bytes_world import World, as_spans, noise, text, with_ids

KINDS = ["native", "twin"]
SIZES = st.one_of(
    st.sampled_from([0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 5 * 1024 + 1, 100_000]), st.integers(0, 9000)
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def choose(kind: str, patch: pytest.MonkeyPatch) -> None:
    if kind == "twin":
        patch.setitem(sys.modules, "pfs._batch", None)
        import pfs

        patch.delattr(pfs, "_batch", raising=False)
    else:
        pytest.importorskip("pfs._batch")
    spans._native.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
@given(sizes=st.lists(SIZES, max_size=40), start=st.integers(0, 70), seed=st.integers(0, 2**32 - 1))
def test_spans_have_the_hashes_and_the_bytes_that_they_have_alone(
    kind: str, sizes: list[int], start: int, seed: int
) -> None:
    data = np.random.default_rng(seed).bytes(start + sum(sizes))
    lengths = np.array(sizes, np.int64)
    offsets = start + np.cumsum([0, *sizes], dtype=np.int64)[:-1]
    with pytest.MonkeyPatch.context() as patch:
        choose(kind, patch)
        hashes, bytes_ = hash_spans(memoryview(data), offsets, lengths), joined(memoryview(data), offsets, lengths)
    spans._native.cache_clear()
    ends = list(zip(offsets.tolist(), sizes, strict=True))
    assert hashes == b"".join(blake3(data[at : at + size]).digest() for at, size in ends)
    assert bytes_ == b"".join(data[at : at + size] for at, size in ends)


@pytest.mark.parametrize("kind", KINDS)
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=2), st.integers(128, 255)), max_size=20
    )
)
def test_one_byte_above_127_is_found_wherever_it_is(kind: str, pieces: list[tuple[int, set[int], int]]) -> None:
    chunks = []
    for size, places, byte in pieces:
        chunk = bytearray(b"\x7f" * size)
        for place in places:
            chunk[place : place + 1] = bytes([byte]) if place < size else b""
        chunks.append(bytes(chunk))
    columns = as_spans(chunks)
    with pytest.MonkeyPatch.context() as patch:
        choose(kind, patch)
        found = are_ascii(columns.data, columns.offsets, columns.lengths)
    spans._native.cache_clear()
    assert found.tolist() == [chunk.isascii() for chunk in chunks]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", ["hash", "ascii", "join"])
def test_spans_outside_of_the_data_are_refused(kind: str, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(kind, monkeypatch)
    call: Callable[[bytes, bytes], bytes] = getattr(spans._native(), function)
    for offset, length in [(0, 11), (11, 0), (10, 1), (2**64 - 1, 2), (5, 2**64 - 1)]:
        with pytest.raises(ValueError, match="outside"):
            call(b"0123456789", np.array([offset, length], "<u8").tobytes())
    with pytest.raises(Exception, match=r"outside|multiple"):
        call(b"0123456789", b"123")
    spans._native.cache_clear()


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([1, 127, 128, 2047, 2048, 2049, 9000, 65_535]),
        st.sampled_from([1, 16, 200, 256]),
        st.integers(0, 99),
    ),
    max_size=40,
)


def made(chunks: Sequence[tuple[int, int, int]]) -> list[bytes]:
    return [
        np.random.default_rng(seed).integers(0, values, size, np.uint8).tobytes() if values > 1 else bytes(size)
        for size, values, seed in chunks
    ]


@given(chunks=CHUNKS)
def test_the_gate_says_of_columns_what_it_says_of_each(chunks: list[tuple[int, int, int]]) -> None:
    data = made(chunks)
    assert which_compress(as_spans(data)).tolist() == [is_compressible(one) for one in data]


def test_records_of_columns_are_the_bytes_that_single_ones_are() -> None:
    single, columns = MemoryBackend(), MemoryBackend()
    chunks, id = [noise(1 + 977 * number, number) for number in range(40)], new_pack_id()
    other = PackWriter(single, "d", pack_id=id, created_ms=7)
    for chunk in chunks:
        other.add(RecordType.CHUNK, chunk_id(chunk), chunk)
    sealed = other.seal()
    writer = PackWriter(columns, "d", pack_id=id, created_ms=7)
    raws = Raws.of(as_spans(chunks))
    writer.add_raws(raws.only(slice(0, 13)))
    writer.add_raws(raws.only(slice(13, None)))
    assert len(writer) == 40
    assert writer.seal() == sealed
    assert columns.get(pack_name(id, "d")) == single.get(pack_name(id, "d"))


def test_what_fits_is_told_by_headers_and_bytes() -> None:
    raws = Raws.of(as_spans([bytes(44)] * 5))  # 100 bytes each with the header
    assert [raws.fit(room) for room in (-5, 0, 1, 100, 101, 400, 401, 9999)] == [1, 1, 1, 1, 2, 4, 5, 5]


def put(session: WriteSession, chunks: Sequence[bytes]) -> int:
    return session.put_spans(as_spans(chunks))


@given(calls=st.lists(st.tuples(st.booleans(), CHUNKS), max_size=5), stage=st.sampled_from([1, 20_000, 4 << 20]))
def test_a_session_stores_each_chunk_once_however_it_comes(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[bool, list[tuple[int, int, int]]]], stage: int
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    session, known = world.session(), dict[bytes, bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_data, "STAGE_BYTES", stage)
        patch.setattr(session_data, "PACK_BYTES", 100_000)
        for as_columns, drawn in calls:
            chunks = made(drawn)
            stored = put(session, chunks) if as_columns else session.put_chunks(with_ids(chunks))
            new = {chunk_id(chunk): chunk for chunk in chunks if chunk_id(chunk) not in known}
            assert stored == sum(map(len, new.values()))
            known |= new
        assert (session.new_chunks, session.new_bytes) == (len(known), sum(map(len, known.values())))
        world.commit(session)
    ids = {id: len(chunk) for id, chunk in known.items()}
    assert world.objects.chunks(list(ids.items())) == list(known.values())  # type: ignore[arg-type]  # ids of chunks
    entries = [id for entry in world.backend.entries("packs/") for id in read_footer(world.backend, entry.name).ids()]
    assert sorted(entries) == sorted(known)
    world.index.close()


def test_threads_that_put_the_same_columns_store_each_once(world: World) -> None:
    session = world.session()
    parts = [noise(5000, seed) for seed in range(100)] + [text(3000, seed) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        stored = sum(pool.map(lambda _: put(session, parts), range(4)))
    assert stored == session.new_bytes == sum(map(len, parts))
    world.commit(session)
    assert session.new_chunks == world.index.stats().rows == len(parts)


def test_packs_end_where_they_are_full_in_the_midst_of_columns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 10_000)
    monkeypatch.setattr(session_data, "PACK_BYTES", 100_000)
    session, parts = world.session(), [noise(9000, seed) for seed in range(60)]
    put(session, parts)
    world.commit(session)
    full = list(world.backend.entries("packs/d/"))
    assert len(full) >= 5
    for entry in full:
        rows = read_footer(world.backend, entry.name)
        assert entry.size < 100_000 + 2 * 9100 + 48 * rows.rows
        found = [one.record.id for one in scan_records(world.backend, entry.name)]
        assert sorted(found) == rows.ids()
    monkeypatch.setattr(session_data, "PACK_ENTRIES", 7)
    put(session, [noise(2000, seed) for seed in range(100, 160)])
    world.commit(session)
    packs = [read_footer(world.backend, entry.name) for entry in world.backend.entries("packs/d/")]
    assert max(pack.rows for pack in packs[len(full) :]) <= 12


def test_what_is_random_stays_as_it_is_and_text_shares_blocks(world: World) -> None:
    session = world.session()
    texts, others = [text(3000 + seed, seed) for seed in range(300)], [noise(3000 + seed, seed) for seed in range(300)]
    put(session, [part for pair in zip(texts, others, strict=True) for part in pair])
    [pack] = session.seal()
    codecs = {bytes(row["id"].tobytes()): Codec(int(row["codec"])) for row in pack.entries}
    assert {codecs[chunk_id(part)] for part in texts} == {Codec.IN_BLOCK}
    assert {codecs[chunk_id(part)] for part in others} == {Codec.RAW}
    blocks = {row["off"] for row in pack.entries if row["codec"] == Codec.IN_BLOCK}
    assert len(blocks) == -(-sum(map(len, texts)) // (256 << 10)), "as few as can be"


def test_a_buffer_may_be_used_again_when_its_chunks_are_put(world: World) -> None:
    session, parts = world.session(), [noise(5000, 1), text(5000, 2)]
    columns = as_spans(parts)
    buffer = bytearray(columns.data)
    session.put_spans(spans.Spans(memoryview(buffer), columns.offsets, columns.lengths, columns.ids))
    buffer[:] = bytes(len(buffer))
    world.commit(session)
    assert world.objects.chunks([(chunk_id(part), 5000) for part in parts]) == parts


def test_a_fault_ends_the_session_for_columns_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 10_000)
    monkeypatch.setattr(session_data, "PACK_BYTES", 50_000)
    session = world.session(FaultyBackend(world.backend, fail_at=2))
    parts = [noise(9000, seed) for seed in range(30)]
    with pytest.raises(StorageError):
        put(session, parts)
    with pytest.raises(StorageError, match="injected"):
        put(session, parts)
    with pytest.raises(StorageError, match="injected"):
        session.seal()
