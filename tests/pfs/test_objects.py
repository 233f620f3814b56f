"""Reading by id: right bytes or an error that names the object, whatever the index and the disk say."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.backends.base import Backend
from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, MissingObjectError, StorageError
from pfs.ids import EMPTY_CHUNK, NO_PAGE, ChunkId, CommitId, PageId, TreeId, chunk_id, new_pack_id, page_id, record_id
from pfs.lru import Lru
from pfs.packs.commit_record import CommitRecord, RecordRoot, encode_record
from pfs.packs.index import Index
from pfs.packs.manifest import encode as encode_manifest
from pfs.packs.objects import Objects
from pfs.packs.pack import Codec, PackWriter, RecordType, SealedPack, pack_name
from pfs.testing.faults import READS, FaultyBackend
from pfs.trees.page import Cell, Kind, encode_cells
from tests.pfs.frozen_world import freezing  # noqa: F401

Chunks = list[tuple[ChunkId, int]]


class Place:
    """A backend, an index and the objects read through them."""

    def __init__(self, directory: Path) -> None:
        self.memory = MemoryBackend()
        self.backend = FaultyBackend(self.memory, counted=READS)
        self.index = Index.open(directory, store_uuid="u")
        self.late: list[SealedPack] = []
        self.caught_up = 0
        self.objects = Objects(self.backend, self.index, on_missing=self.catch_up)

    def catch_up(self) -> bool:
        self.caught_up += 1
        learned = bool(self.late)
        self.index.add(self.late)
        self.late = []
        return learned

    def pack(self, fill: Callable[[PackWriter], None], *, meta: bool = False) -> SealedPack:
        writer = PackWriter(self.memory, "m" if meta else "d", pack_id=new_pack_id(), created_ms=0)
        fill(writer)
        return writer.seal()

    def damage(self, pack: SealedPack, offset: int, byte: bytes) -> None:
        name = pack_name(pack.pack_id, pack.kind)
        data = bytearray(self.memory.get(name))
        data[offset : offset + 1] = byte
        self.memory.delete_many([name])
        self.memory.put_new(name, data)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.index.close()


def add_raw(writer: PackWriter, *bodies: bytes) -> None:
    for body in bodies:
        writer.add(RecordType.CHUNK, chunk_id(body), body)


def adding(bodies: list[bytes]) -> Callable[[PackWriter], None]:
    return lambda writer: add_raw(writer, *bodies)


def add_zstd(writer: PackWriter, body: bytes) -> None:
    writer.add(RecordType.CHUNK, chunk_id(body), zstandard.compress(body), codec=Codec.ZSTD, ulen=len(body))


def add_block(writer: PackWriter, *bodies: bytes) -> None:
    joined = b"".join(bodies)
    writer.add_block([(chunk_id(body), len(body)) for body in bodies], zstandard.compress(joined), ulen=len(joined))


def named(*bodies: bytes) -> Chunks:
    return [(chunk_id(body), len(body)) for body in bodies]


def test_chunks_of_every_kind_in_the_order_asked(place: Place) -> None:
    small = [b"block %d " % number * 9 for number in range(40)]
    raw, text = os.urandom(3000), b"text " * 5000

    def fill(writer: PackWriter) -> None:
        add_block(writer, *small[:20])
        add_raw(writer, raw)
        add_zstd(writer, text)
        add_block(writer, *small[20:])

    place.index.add([place.pack(fill)])
    bodies = [small[30], raw, small[3], text, b"", small[31], raw, small[0]]
    assert place.objects.chunks(named(*bodies)) == bodies
    assert [place.objects.chunk(id, size, verify=True) for id, size in named(*bodies)] == bodies
    assert place.objects.chunks([]) == []


def test_chunks_of_several_packs(place: Place) -> None:
    bodies = [os.urandom(100) for _ in range(30)]
    for some in (bodies[:10], bodies[10:20], bodies[20:]):
        place.index.add([place.pack(adding(some))])
    random.Random(1).shuffle(bodies)
    assert place.objects.chunks(named(*bodies)) == bodies


def test_a_block_is_read_once_and_kept(place: Place) -> None:
    small = [b"block %d " % number for number in range(20)]
    place.index.add([place.pack(lambda writer: add_block(writer, *small))])
    assert place.objects.chunks(named(*small)) == small
    assert place.backend.calls == 1
    assert place.objects.chunk(*named(small[5])[0]) == small[5]
    assert place.backend.calls == 1


def test_a_block_larger_than_the_first_read(place: Place) -> None:
    """Incompressible, so that the record exceeds 64 KiB; others lie before and behind it."""
    large = [os.urandom(60_000) for _ in range(4)]

    def fill(writer: PackWriter) -> None:
        add_block(writer, b"small one", b"small two")
        add_block(writer, *large)
        add_raw(writer, b"behind")

    place.index.add([place.pack(fill)])
    bodies = [*large, b"small two", b"behind"]
    assert place.objects.chunks(named(*bodies)) == bodies
    assert place.backend.calls == 2


def test_many_blocks_come_in_batches(place: Place) -> None:
    """At most 8 MiB are asked for at once, at 64 KiB a block that is not known yet."""
    bodies = [b"body %d " % number * 20 for number in range(300)]

    def fill(writer: PackWriter) -> None:
        for body in bodies:
            add_block(writer, body)

    place.index.add([place.pack(fill)])
    assert place.objects.chunks(named(*bodies)) == bodies
    assert place.backend.calls == 3


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_mix_reads_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = Place(tmp_path_factory.mktemp("mix"))
    bodies = data.draw(st.lists(st.binary(min_size=1, max_size=200), max_size=12, unique=True))

    def fill(writer: PackWriter) -> None:
        rest = list(bodies)
        while rest:
            count = data.draw(st.integers(1, len(rest)))
            kind = data.draw(st.sampled_from([add_block, add_raw]))
            kind(writer, *rest[:count])
            del rest[:count]

    place.index.add([place.pack(fill)])
    wanted = data.draw(st.lists(st.sampled_from(bodies), max_size=20)) if bodies else []
    assert place.objects.chunks(named(*wanted)) == wanted
    place.index.close()


def test_the_empty_chunk_is_stored_nowhere(place: Place) -> None:
    assert place.objects.chunk(EMPTY_CHUNK, 0) == b""
    with pytest.raises(CorruptionError, match="0 bytes, not 5"):
        place.objects.chunk(EMPTY_CHUNK, 5)
    assert place.backend.calls == 0


@pytest.mark.parametrize("add", [add_raw, add_block, add_zstd])
def test_another_size_than_expected_is_an_error(place: Place, add: Callable[..., None]) -> None:
    place.index.add([place.pack(lambda writer: add(writer, b"twelve bytes"))])
    with pytest.raises(CorruptionError, match=chunk_id(b"twelve bytes").hex()[:12]):
        place.objects.chunk(chunk_id(b"twelve bytes"), 11)


def test_the_index_catches_up_once(place: Place) -> None:
    place.late = [place.pack(lambda writer: add_raw(writer, b"late"))]
    assert place.objects.chunks(named(b"late", b"")) == [b"late", b""]
    assert place.caught_up == 1


def test_what_is_nowhere_is_named(place: Place) -> None:
    place.late = [place.pack(lambda writer: add_raw(writer, b"other"))]
    id = chunk_id(b"lost")
    with pytest.raises(MissingObjectError, match=f"chunk {id.hex()[:12]}: no pack"):
        place.objects.chunk(id, 4)
    with pytest.raises(MissingObjectError, match="page " + "ab" * 6):
        place.objects.get_page(PageId(b"\xab" * 32))
    with pytest.raises(MissingObjectError, match="manifest " + "ab" * 6):
        place.objects.manifest(TreeId(b"\xab" * 32))
    assert place.caught_up == 4, "it learned something the first time, so it looked again"


def test_a_pack_that_moved_is_found_at_its_new_place(place: Place) -> None:
    """As when a collection put the live records of a pack into another one."""
    old = place.pack(lambda writer: add_raw(writer, b"body"))
    place.index.add([old])
    place.memory.delete_many([pack_name(old.pack_id, "d")])
    place.late = [place.pack(lambda writer: add_raw(writer, b"body"))]
    assert place.objects.chunk(chunk_id(b"body"), 4) == b"body"


def test_a_pack_that_is_gone_is_named(place: Place) -> None:
    old = place.pack(lambda writer: add_raw(writer, b"body"))
    place.index.add([old])
    place.memory.delete_many([pack_name(old.pack_id, "d")])
    with pytest.raises(MissingObjectError, match=f"its pack packs/d/.*{old.pack_id.hex()}"):
        place.objects.chunk(chunk_id(b"body"), 4)


def test_a_failing_disk_is_not_a_missing_object(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.index.add([place.pack(lambda writer: add_raw(writer, b"body"))])
    broken = FaultyBackend(place.memory, fail_at=1, counted=READS)
    with pytest.raises(StorageError, match="injected"):
        Objects(broken, place.index, on_missing=place.catch_up).chunk(chunk_id(b"body"), 4)
    assert place.caught_up == 0
    place.index.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_never_gives_wrong_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = Place(tmp_path_factory.mktemp("flip"))
    bodies = [b"raw chunk", b"zstd " * 30, b"block one", b"block two"]

    def fill(writer: PackWriter) -> None:
        add_raw(writer, bodies[0])
        add_zstd(writer, bodies[1])
        add_block(writer, *bodies[2:])

    pack = place.pack(fill)
    place.index.add([pack])
    bit = data.draw(st.integers(0, (pack.size - 64 - 4 * 48) * 8 - 1))
    byte = place.memory.get(pack_name(pack.pack_id, "d"))[bit // 8]
    place.damage(pack, bit // 8, bytes([byte ^ (1 << bit % 8)]))
    for body in bodies:
        assert read_or_damage(place, body) in {body, f"damaged data in {pack_name(pack.pack_id, 'd')}"}
    place.index.close()


def read_or_damage(place: Place, body: bytes) -> bytes | str:
    try:
        return place.objects.chunk(*named(body)[0])
    except CorruptionError as error:
        return str(error).partition(" at ")[0]


@pytest.mark.parametrize("add", [add_raw, add_block, add_zstd])
def test_a_damaged_payload_is_an_error_that_names_the_place(place: Place, add: Callable[..., None]) -> None:
    pack = place.pack(lambda writer: add(writer, b"payload"))
    place.index.add([pack])
    last = pack.size - 64 - 48 - 1
    byte = place.memory.get(pack_name(pack.pack_id, "d"), offset=last, length=1)
    place.damage(pack, last, bytes([byte[0] ^ 1]))
    with pytest.raises(CorruptionError, match=rf"{pack.pack_id.hex()}\.pack at 32: the checksum"):
        place.objects.chunk(chunk_id(b"payload"), 7)


@pytest.mark.parametrize(("add", "add_other"), [(add_raw, add_raw), (add_block, add_block), (add_block, add_raw)])
def test_an_index_that_is_wrong_is_noticed(
    place: Place, add: Callable[..., None], add_other: Callable[..., None]
) -> None:
    """It says that b"wanted" lies where b"others" of the same length does."""
    real = place.pack(lambda writer: add_other(writer, b"others"))
    lying = place.pack(lambda writer: add(writer, b"wanted"))
    place.index.add([SealedPack(real.pack_id, real.kind, real.size, real.created_ms, lying.footer)])
    with pytest.raises(CorruptionError, match=real.pack_id.hex()):
        place.objects.chunk(chunk_id(b"wanted"), 6)


def test_a_record_of_another_kind_is_refused(place: Place) -> None:
    body = b"uploaded bytes that look like a page"
    pack = place.pack(lambda writer: writer.add(RecordType.CHUNK, page_id(body), body))
    place.index.add([pack])
    with pytest.raises(CorruptionError):
        place.objects.get_page(page_id(body))


def page_bytes(name: bytes) -> bytes:
    tid = TreeId(chunk_id(name))
    return encode_cells(0, [Cell(name=name, kind=Kind.FILE, depth=0, size=1, tid=tid)])


def test_pages_are_verified_decoded_and_kept(place: Place) -> None:
    data = page_bytes(b"a.txt")
    pack = place.pack(lambda writer: writer.add(RecordType.PAGE, page_id(data), data), meta=True)
    place.index.add([pack])
    page = place.objects.get_page(page_id(data))
    assert page.names == [b"a.txt"]
    assert place.objects.get_page(page_id(data)) is page
    assert place.backend.calls == 1


def test_a_page_with_a_right_checksum_and_wrong_bytes_is_refused(place: Place) -> None:
    good, evil = page_bytes(b"good"), page_bytes(b"evil")
    place.index.add([place.pack(lambda writer: writer.add(RecordType.PAGE, page_id(good), evil), meta=True)])
    with pytest.raises(CorruptionError, match="not those of page"):
        place.objects.get_page(page_id(good))


def test_the_page_cache_is_bounded(place: Place) -> None:
    pages = [page_bytes(b"%03d" % number) for number in range(50)]

    def fill(writer: PackWriter) -> None:
        for data in pages:
            writer.add(RecordType.PAGE, page_id(data), data)

    place.index.add([place.pack(fill, meta=True)])
    small = Objects(place.backend, place.index, on_missing=place.catch_up, page_bytes=10_000)
    for data in pages:
        small.get_page(page_id(data))
    small.get_page(page_id(pages[-1]))
    assert place.backend.calls == 50
    small.get_page(page_id(pages[0]))
    assert place.backend.calls == 51


def test_manifests(place: Place) -> None:
    refs = [(number + 1, ChunkId(chunk_id(b"%d" % number))) for number in range(5000)]
    blobs = encode_manifest(refs)
    assert len(blobs) == 3

    def fill(writer: PackWriter) -> None:
        for id, blob in blobs:
            writer.add(RecordType.MANIFEST, id, blob)

    place.index.add([place.pack(fill, meta=True)])
    manifest = place.objects.manifest(TreeId(blobs[-1][0]))
    assert manifest.size == sum(size for size, _ in refs)
    assert [(ref.size, ref.id) for ref in manifest.chunks()] == refs
    assert place.backend.calls == 3


def record_of(commit: str) -> CommitRecord:
    root = RecordRoot(NO_PAGE, bytes(32), 0, 0)
    return CommitRecord(id=CommitId(commit), repo="r", branch="b", root=root, started_ns=1, finished_ns=2)


def test_a_record_is_found_in_its_pack_without_the_index(place: Place) -> None:
    records = [record_of("ab" * 16), record_of("cd" * 16)]

    def fill(writer: PackWriter) -> None:
        for record in records:
            data = encode_record(record)
            writer.add(RecordType.COMMIT, record_id(data), data)

    pack = place.pack(fill, meta=True)
    assert [place.objects.record(pack.pack_id, "r", record.id) for record in records] == records
    with pytest.raises(MissingObjectError, match="commit " + "ef" * 6):
        place.objects.record(pack.pack_id, "r", CommitId("ef" * 16))
    with pytest.raises(MissingObjectError, match="is gone"):
        place.objects.record(new_pack_id(), "r", records[0].id)


def test_a_record_longer_than_the_first_read(place: Place) -> None:
    record = record_of("ab" * 16)
    data = encode_record(record)
    padded = CommitRecord(
        id=record.id, repo="r", branch="b", root=record.root, started_ns=1, finished_ns=2, message="m" * 200_000
    )
    data = encode_record(padded)
    pack = place.pack(lambda writer: writer.add(RecordType.COMMIT, record_id(data), data), meta=True)
    assert place.objects.record(pack.pack_id, "r", record.id) == padded


def test_lru_keeps_what_was_used_last() -> None:
    cache: Lru[str, int] = Lru(10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=4)
    assert cache.get("a") == 1
    cache.put("c", 3, weight=4)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.put("a", 5, weight=9)
    assert [cache.get(key) for key in "ac"] == [5, None]
    cache.put("huge", 6, weight=11)
    assert cache.get("huge") is None
    assert (cache.get("a"), cache.weight) == (5, 9)
    cache.discard("a")
    assert (cache.get("a"), cache.weight) == (None, 0)


def test_backend_type_is_structural(place: Place) -> None:
    backend: Backend = place.backend
    assert backend.location == "memory:"
