"""Chunks read into a buffer that is used again: the same bytes and errors as the ordinary way of reading."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs
from pfs.errors import CorruptionError, MissingObjectError
from pfs.files.reader import chunk_refs
from pfs.ids import ChunkId
from pfs.packs.compress import SMALL_CHUNK
from pfs.packs.read_into import Room
from pfs.store import Store

MIB = 1 << 20
RANDOM = os.urandom(3 * MIB)
TEXT = b"".join(b"%d,%d,some text\n" % (line, line * line) for line in range(120_000))
Wanted = list[tuple[ChunkId, int]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path) as one:
        one.create_repo("r")
        yield one


def stored(store: Store, data: bytes) -> Wanted:
    with store.repo("r").commit("master") as commit:
        commit.put_file("/f", data)
    row = store.repo("r")["master"].tree.stat(b"f", want="file")
    assert row is not None
    return [(ref.id, ref.size) for ref in chunk_refs(store.objects, row)]


def read(store: Store, wanted: Wanted, size: int = 8 * MIB, packed: int = 0) -> tuple[bytes, int]:
    """Return the bytes, and how many views are of the buffer."""
    room = Room(memoryview(bytearray(size)), memoryview(bytearray(packed)))
    found = store.objects.chunks_into(wanted, room)
    return b"".join(found), sum(view.obj is room.plain.obj for view in found)


def test_raw_chunks_are_read_into_the_buffer(store: Store) -> None:
    wanted = stored(store, RANDOM)
    assert store.objects.are_raw(wanted)
    assert read(store, wanted) == (RANDOM, len(wanted))


def test_any_order_and_several_packs(store: Store) -> None:
    other = os.urandom(MIB)
    mixed = stored(store, other) + stored(store, RANDOM)[::-1]
    assert read(store, mixed) == (b"".join(store.objects.chunks(mixed)), len(mixed))


def test_compressed_chunks_come_the_other_way_where_there_is_no_room_for_them(store: Store) -> None:
    wanted = stored(store, bytes(2 * MIB) + RANDOM)
    assert not store.objects.are_raw(wanted)
    assert read(store, wanted) == (bytes(2 * MIB) + RANDOM, 0)


def test_compressed_chunks_are_unpacked_into_the_buffer(store: Store) -> None:
    wanted = [one for one in stored(store, TEXT + RANDOM + TEXT[::-1]) if one[1] >= SMALL_CHUNK]
    assert not store.objects.are_raw(wanted)
    for order in (wanted, wanted[::-1]):
        data = b"".join(store.objects.chunks(order))
        assert read(store, order, size=16 * MIB, packed=8 * MIB) == (data, len(order))
        assert read(store, order, size=16 * MIB, packed=1000) == (data, 0), "too little room for what is packed"
        assert read(store, order, size=len(data) - 1, packed=8 * MIB) == (data, 0)


def test_chunks_of_a_block_come_the_other_way(store: Store) -> None:
    small = stored(store, b"some text " * 1000)
    assert read(store, small + stored(store, TEXT), packed=8 * MIB) == (b"some text " * 1000 + TEXT, 0)


def test_what_does_not_fit_comes_the_other_way(store: Store) -> None:
    assert read(store, stored(store, RANDOM), size=MIB) == (RANDOM, 0)


def test_nothing(store: Store) -> None:
    assert read(store, []) == (b"", 0)


def test_what_is_nowhere_is_missing(store: Store) -> None:
    with pytest.raises(MissingObjectError):
        read(store, [(ChunkId(bytes(32)), 10)])


@pytest.mark.parametrize("data", [RANDOM, TEXT], ids=["raw", "compressed"])
@pytest.mark.parametrize("cut", [False, True])
def test_damage_is_told(store: Store, cut: bool, data: bytes) -> None:
    wanted = stored(store, data)
    names = [entry.name for entry in store.backend.entries("packs/")]
    pack = max((store.path / "objects" / name for name in names), key=lambda file: file.stat().st_size)
    if cut:
        os.truncate(pack, pack.stat().st_size // 3)
    else:
        with pack.open("r+b") as file:
            file.seek(pack.stat().st_size // 2)
            file.write(b"damaged")
    with pytest.raises(CorruptionError):
        read(store, wanted, packed=8 * MIB)
