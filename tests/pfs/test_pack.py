"""Packs: golden bytes, what a reader accepts, and what it finds in damaged ones."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, NotFoundError, StorageError
from pfs.ids import ChunkId, PackId, chunk_id, manifest_id, new_pack_id, page_id, record_id
from pfs.packs.footer import entries_fit, pack_time_ms
from pfs.packs.pack import (
    ENTRY,
    ENTRY_ROW,
    HEADER_SIZE,
    MAX_PACK,
    Codec,
    PackWriter,
    RecordType,
    SealedPack,
    pack_name,
    parse_pack_name,
    parse_record,
    read_footer,
    scan_records,
)
from pfs.testing.faults import READS, FaultyBackend, How

PACK_ID: Final = PackId(bytes.fromhex("0192f0c1a2b37d4e8f60718293a4b5c6"))
NAME: Final = "packs/d/c6/0192f0c1a2b37d4e8f60718293a4b5c6.pack"
GOLDEN: Final = Path(__file__).parents[1] / "data" / "pack_v1.bin"
FRAME_TEXT: Final = b"a block of two small chunks, " * 4
FRAME: Final = bytes.fromhex(
    "28b52ffd2074250100e86120626c6f636b206f662074776f20736d616c6c206368756e6b732c20010011989413"
)
"""FRAME_TEXT as one zstd frame; kept as bytes, since other releases of zstd may compress otherwise."""


def write_golden(backend: MemoryBackend) -> SealedPack:
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=1_730_000_000_000)
    writer.add(RecordType.CHUNK, chunk_id(b"raw chunk"), b"raw chunk")
    writer.add(RecordType.CHUNK, chunk_id(FRAME_TEXT), FRAME, codec=Codec.ZSTD, ulen=len(FRAME_TEXT))
    parts = [FRAME_TEXT[:50], FRAME_TEXT[50:]]
    writer.add_block([(chunk_id(part), len(part)) for part in parts], FRAME, ulen=len(FRAME_TEXT))
    writer.add(RecordType.PAGE, page_id(b"a page"), b"a page")
    writer.add(RecordType.MANIFEST, manifest_id(b"a manifest"), b"a manifest")
    writer.add(RecordType.COMMIT, record_id(b"a record"), b"a record")
    return writer.seal()


def stored(data: bytes, name: str = NAME) -> MemoryBackend:
    backend = MemoryBackend()
    backend.put_new(name, data)
    return backend


def test_golden_bytes_are_written() -> None:
    backend = MemoryBackend()
    sealed = write_golden(backend)
    assert backend.get(NAME) == GOLDEN.read_bytes()
    assert sealed.size == len(backend.get(NAME))


def test_golden_bytes_are_read() -> None:
    backend = stored(GOLDEN.read_bytes())
    pack = read_footer(backend, NAME)
    assert pack[:4] == (PACK_ID, "d", len(GOLDEN.read_bytes()), 0x0192F0C1A2B3)
    rows = {bytes(row["id"]): row.tolist()[1:] for row in pack.entries}
    assert rows[chunk_id(b"raw chunk")] == (32, 9, 9, 1, 0, 0)
    assert rows[chunk_id(FRAME_TEXT)] == (97, len(FRAME), len(FRAME_TEXT), 1, 1, 0)
    block = 97 + 56 + len(FRAME)
    assert rows[chunk_id(FRAME_TEXT[:50])] == (block, 0, 50, 1, 2, 0)
    assert rows[chunk_id(FRAME_TEXT[50:])] == (block, 50, len(FRAME_TEXT) - 50, 1, 2, 0)
    assert [scanned.record.payload for scanned in scan_records(backend, NAME)] == [
        b"raw chunk",
        FRAME_TEXT,
        FRAME_TEXT,
        b"a page",
        b"a manifest",
        b"a record",
    ]


def test_seal_says_what_the_footer_says() -> None:
    backend = MemoryBackend()
    sealed = write_golden(backend)
    read = read_footer(backend, NAME, size=sealed.size)
    assert read[:4] == sealed[:4]
    assert read.entries.tobytes() == sealed.entries.tobytes()
    ids = [bytes(id) for id in read.entries["id"].tolist()]
    assert ids == sorted(ids)


def test_entry_is_48_bytes() -> None:
    assert np.dtype(ENTRY).itemsize == ENTRY_ROW.size == 48


def test_names() -> None:
    assert pack_name(PACK_ID, "d") == NAME
    assert parse_pack_name(NAME) == (PACK_ID, "d")
    assert parse_pack_name(NAME.replace("/c6/", "/c7/")) is None
    assert parse_pack_name("packs/x/c6/" + PACK_ID.hex() + ".pack") is None
    with pytest.raises(CorruptionError, match="name"):
        read_footer(stored(b"", "packs/d/x"), "packs/d/x")


def test_nothing_is_visible_before_seal_and_nothing_is_left_after_abandon() -> None:
    backend = MemoryBackend()
    writer = PackWriter(backend, "m", pack_id=new_pack_id(), created_ms=0)
    writer.add(RecordType.PAGE, page_id(b"p"), b"p")
    assert list(backend.entries("")) == []
    assert writer.size == 32 + 56 + 1
    writer.abandon()
    assert list(backend.entries("")) == []


def test_an_empty_pack_is_a_pack() -> None:
    backend = MemoryBackend()
    sealed = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0).seal()
    assert read_footer(backend, NAME).size == sealed.size == 96
    assert list(scan_records(backend, NAME)) == []


def test_a_taken_pack_id_is_an_error_and_changes_nothing() -> None:
    backend = stored(b"other")
    with pytest.raises(StorageError, match="exists already"):
        write_golden(backend)
    assert backend.get(NAME) == b"other"


def test_limits_of_a_pack() -> None:
    writer = PackWriter(MemoryBackend(), "d", pack_id=PACK_ID, created_ms=0)
    with mmap.mmap(-1, 1 << 28) as huge, memoryview(huge) as view, pytest.raises(StorageError, match="256 MiB"):
        writer.add(RecordType.CHUNK, bytes(32), view)
    writer.size = MAX_PACK - 64 - 48 - 56 - 2
    writer.add(RecordType.CHUNK, bytes(32), b"12")
    with pytest.raises(StorageError, match="4 GiB"):
        writer.add(RecordType.CHUNK, bytes(32), b"")


@pytest.mark.parametrize(("count", "reads"), [(300, 1), (1364, 2), (1365, 3), (5000, 3)])
def test_a_footer_takes_few_reads_and_the_header_of_a_long_pack_one(count: int, reads: int) -> None:
    backend = FaultyBackend(MemoryBackend(), counted=READS)
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    for number in range(count):
        writer.add(RecordType.CHUNK, chunk_id(b"%d" % number), b"%d" % number)
    sealed = writer.seal()
    assert read_footer(backend, NAME).entries.tobytes() == sealed.entries.tobytes()
    assert backend.calls == reads


def test_no_such_pack() -> None:
    with pytest.raises(NotFoundError):
        read_footer(MemoryBackend(), NAME)
    with pytest.raises(NotFoundError):
        list(scan_records(MemoryBackend(), NAME))


def test_a_size_from_a_listing_is_checked() -> None:
    with pytest.raises(CorruptionError, match="bytes long"):
        read_footer(stored(GOLDEN.read_bytes()), NAME, size=5)


def test_another_version_is_named() -> None:
    data = bytearray(GOLDEN.read_bytes())
    data[-16] = 9
    with pytest.raises(CorruptionError, match="version is 9, this release reads 1"):
        read_footer(stored(bytes(data)), NAME)


def test_a_frame_that_claims_another_size_is_refused_without_allocating() -> None:
    bomb = zstandard.compress(bytes(64 << 20))
    backend = MemoryBackend()
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    writer.add(RecordType.CHUNK, chunk_id(b"x"), bomb, codec=Codec.ZSTD, ulen=10)
    writer.seal()
    with pytest.raises(CorruptionError, match="compressed size"):
        parse_record(backend.get(NAME, offset=32), where="here")


def test_verify_finds_bytes_of_another_id() -> None:
    backend = MemoryBackend()
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    writer.add(RecordType.CHUNK, chunk_id(b"x"), b"y")
    writer.seal()
    data = backend.get(NAME, offset=32)
    assert parse_record(data, where="here").payload == b"y"
    with pytest.raises(CorruptionError, match="not those of chunk"):
        parse_record(data, where="here", verify=True)


def test_ids_are_separated_by_domain() -> None:
    """A page that was uploaded as a file is not that page."""
    backend = MemoryBackend()
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    writer.add(RecordType.PAGE, chunk_id(b"page bytes"), b"page bytes")
    writer.seal()
    assert list(scan_records(backend, NAME)) == []


@st.composite
def packs(draw: st.DrawFn) -> tuple[bytes, dict[int, bytes]]:
    """Bytes of a pack and the plain payloads by offset."""
    backend = MemoryBackend()
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=7)
    payloads: dict[int, bytes] = {}
    for body in draw(st.lists(st.binary(max_size=60), max_size=6)):
        payloads[writer.size] = body
        match draw(st.sampled_from(["raw", "zstd", "block", "page"])):
            case "raw":
                writer.add(RecordType.CHUNK, chunk_id(body), body)
            case "zstd":
                writer.add(RecordType.CHUNK, chunk_id(body), zstandard.compress(body), codec=Codec.ZSTD, ulen=len(body))
            case "page":
                writer.add(RecordType.PAGE, page_id(body), body)
            case _:
                cut = draw(st.integers(0, len(body)))
                chunks: list[tuple[ChunkId, int]] = [(chunk_id(part), len(part)) for part in (body[:cut], body[cut:])]
                writer.add_block(chunks, zstandard.compress(body), ulen=len(body))
    writer.seal()
    return backend.get(NAME), payloads


def scanned(data: bytes) -> dict[int, bytes]:
    return {found.offset: found.record.payload for found in scan_records(stored(data), NAME)}


@given(pack=packs())
def test_a_whole_pack_reads_back(pack: tuple[bytes, dict[int, bytes]]) -> None:
    data, payloads = pack
    assert scanned(data) == payloads
    entries = read_footer(stored(data), NAME, size=len(data)).entries
    for row in entries[entries["codec"] != Codec.IN_BLOCK]:
        offset = int(row["off"])
        record = parse_record(data[offset:], where="here", verify=True)
        assert (record.id, record.payload) == (bytes(row["id"]), payloads[offset])
    for row in entries[entries["codec"] == Codec.IN_BLOCK]:
        start = int(row["clen"])
        assert chunk_id(payloads[int(row["off"])][start : start + int(row["ulen"])]) == bytes(row["id"])


@given(pack=packs(), data=st.data())
def test_a_cut_pack_gives_exactly_its_whole_records(pack: tuple[bytes, dict[int, bytes]], data: st.DataObject) -> None:
    whole, payloads = pack
    cut = data.draw(st.integers(0, len(whole) - 1))
    ends = [*list(payloads)[1:], len(whole) - 64 - 48 * len(read_footer(stored(whole), NAME).entries)]
    expected = {offset: body for (offset, body), end in zip(payloads.items(), ends, strict=False) if end <= cut}
    assert scanned(whole[:cut]) == expected
    with pytest.raises(CorruptionError):
        read_footer(stored(whole[:cut]), NAME)


@given(pack=packs(), data=st.data())
def test_a_flipped_bit_never_gives_a_wrong_record(pack: tuple[bytes, dict[int, bytes]], data: st.DataObject) -> None:
    whole, payloads = pack
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    hit = max((offset for offset in payloads if offset <= bit // 8), default=None)
    entries = read_footer(stored(whole), NAME).entries
    in_records = 32 <= bit // 8 < len(whole) - 64 - 48 * len(entries)
    expected = {offset: body for offset, body in payloads.items() if not in_records or offset != hit}
    assert scanned(bytes(damaged)) == expected
    try:
        found = read_footer(stored(bytes(damaged)), NAME, size=len(damaged))
    except CorruptionError:
        return
    assert found.entries.tobytes() == entries.tobytes()


def test_a_scan_goes_on_behind_damage_across_windows() -> None:
    backend = MemoryBackend()
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    bodies = [bytes([number]) * (3 << 20) for number in range(4)]
    for body in bodies:
        writer.add(RecordType.CHUNK, chunk_id(body), body)
    writer.seal()
    data = bytearray(backend.get(NAME))
    data[32] ^= 1  # the first record's magic
    data[32 + 2 * (HEADER_SIZE + (3 << 20)) + 100] ^= 1  # the third one's payload
    data[-100] ^= 1  # the footer
    assert list(scanned(bytes(data)).values()) == [bodies[1], bodies[3]]


@pytest.mark.parametrize("how", list(How))
def test_a_pack_is_whole_or_not_there_at_every_fault(how: How) -> None:
    calls = FaultyBackend(MemoryBackend())
    write_records(calls)
    for fail_at in range(1, calls.calls + 1):
        memory = MemoryBackend()
        with pytest.raises(StorageError):
            write_records(FaultyBackend(memory, fail_at=fail_at, how=how))
        names = [entry.name for entry in memory.entries("")]
        assert names == ([NAME] if how is How.AFTER and fail_at == calls.calls else [])
        if names:
            assert len(read_footer(memory, NAME).entries) == 5


def write_records(backend: FaultyBackend) -> None:
    writer = PackWriter(backend, "d", pack_id=PACK_ID, created_ms=0)
    try:
        for number in range(5):
            writer.add(RecordType.CHUNK, chunk_id(bytes([number])), bytes([number]))
        writer.seal()
    except StorageError:
        writer.abandon()
        raise


@given(
    rows=st.lists(
        st.tuples(*[st.sampled_from([0, 31, 32, 60, 100, 2**32 - 1])] * 2, st.integers(0, 9), st.integers(0, 5))
    )
)
def test_few_entries_are_checked_as_many_are(rows: list[tuple[int, int, int, int]]) -> None:
    footer = b"".join(ENTRY_ROW.pack(bytes(32), off, clen, 1, type, codec, 0) for off, clen, type, codec in rows)
    pack = SealedPack(PACK_ID, "d", 1000, pack_time_ms(PACK_ID), footer)
    assert entries_fit(pack, 160, few=0) == entries_fit(pack, 160, few=len(rows))
