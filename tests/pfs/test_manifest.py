from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.errors import CorruptionError
from pfs.ids import ChunkId, ManifestId, chunk_id, manifest_id
from pfs.packs.manifest import FAN, ChunkRef, Manifest, ManifestBuilder, encode


def listed(sizes: list[int]) -> list[tuple[int, ChunkId]]:
    return [(size, chunk_id(b"%d" % number)) for number, size in enumerate(sizes)]


def built(sizes: list[int], fan: int = FAN) -> tuple[Manifest, dict[ManifestId, bytes]]:
    blobs: dict[ManifestId, bytes] = {}
    builder = ManifestBuilder(blobs.__setitem__, fan=fan)
    for size, id in listed(sizes):
        builder.add(size, id)
    top = builder.finish()
    return Manifest(blobs[top], load=blobs.__getitem__, where="test"), blobs


def test_the_bytes_of_one_level_are_those_of_the_format() -> None:
    [(mid, blob)] = encode([(3, ChunkId(b"\x11" * 32)), (258, ChunkId(b"\x22" * 32))])
    header = "4d4630310000000002000000000000000501000000000000"
    assert blob.hex() == header + "0300000002010000" + "11" * 32 + "22" * 32
    assert mid == manifest_id(blob)


def test_the_bytes_of_two_levels_are_those_of_the_format() -> None:
    blobs = encode(listed([100 + number % 7 for number in range(FAN + 1)]))
    assert [len(blob) for _, blob in blobs] == [24 + 36 * FAN, 24 + 36, 24 + 2 * 40]
    top = blobs[-1][1]
    assert top[4] == 1
    assert top[-64:] == blobs[0][0] + blobs[1][0]
    # Frozen: stored files have these ids.
    digest = hashlib.sha256(b"".join(blob for _, blob in blobs)).hexdigest()
    assert digest == "e2f743c89cfd6bf51dbf866419ea9e835a4d2b0ccc5ee0089eeb90a133a6e078"


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    fan=st.integers(1, 7),
    start=st.integers(0, 900),
    length=st.integers(0, 900),
)
def test_a_range_gives_exactly_the_chunks_that_overlap_it(sizes: list[int], fan: int, start: int, length: int) -> None:
    manifest, _ = built(sizes, fan)
    offset, everything = 0, []
    for size, id in listed(sizes):
        everything.append(ChunkRef(offset, size, id))
        offset += size
    stop = start + length
    wanted = [ref for ref in everything if ref.offset < stop and ref.offset + ref.size > start and start < stop]
    assert list(manifest.chunks(start, stop)) == wanted
    assert list(manifest.chunks()) == everything
    assert manifest.size == sum(sizes)


def test_a_range_loads_only_the_parts_it_needs() -> None:
    _, blobs = built([10] * 100, fan=10)
    loaded: list[ManifestId] = []

    def load(mid: ManifestId) -> bytes:
        loaded.append(mid)
        return blobs[mid]

    top = next(blob for blob in blobs.values() if blob[4] == 1)
    manifest = Manifest(top, load=load, where="test")
    assert [ref.offset for ref in manifest.chunks(195, 215)] == [190, 200, 210]
    assert len(loaded) == 2


@given(st.integers(0, 24 + 36 * 3 - 1), st.integers(0, 7))
def test_a_flipped_bit_outside_of_the_ids_is_found_or_changes_the_id(at: int, bit: int) -> None:
    _, blobs = built([7, 8, 9])
    [(mid, blob)] = blobs.items()
    damaged = bytearray(blob)
    damaged[at] ^= 1 << bit
    assert manifest_id(bytes(damaged)) != mid
    if at < 24:
        with pytest.raises(CorruptionError):
            Manifest(bytes(damaged), load=blobs.__getitem__, where="test")


@pytest.mark.parametrize("cut", [0, 10, 24, 30, 131])
def test_a_short_blob_is_damage(cut: int) -> None:
    _, blobs = built([7, 8, 9])
    with pytest.raises(CorruptionError):
        Manifest(next(iter(blobs.values()))[:cut], load=blobs.__getitem__, where="test")


def test_a_part_of_another_size_is_damage() -> None:
    _, blobs = built([10] * 4, fan=2)
    [(_, other)] = encode(listed([1]))
    top = next(blob for blob in blobs.values() if blob[4] == 1)
    manifest = Manifest(top, load=lambda _: other, where="test")
    with pytest.raises(CorruptionError, match="another size or level"):
        list(manifest.chunks())
