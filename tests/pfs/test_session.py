"""What a session writes, when, and that none of it is lost silently."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pfs.backends.memory import MemoryBackend
from pfs.errors import StorageError, StorageFullError
from pfs.ids import CommitId, chunk_id, record_id
from pfs.packs import session_data, session_meta
from pfs.packs.commit_record import CommitRecord, record_root
from pfs.packs.pack import Codec, RecordType, pack_name, read_footer
from pfs.packs.session import WriteSession
from pfs.parallel import Uploads
from pfs.testing.faults import WRITES, FaultyBackend, How
from pfs.trees.page import Cell, Kind, encode_cells
from pfs.trees.row import EMPTY_ROOT
from tests.pfs.bytes_world import World, as_spans, noise, text, with_ids


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def page(name: bytes) -> bytes:
    return encode_cells(0, [Cell(name, Kind.FILE, 0, 1, chunk_id(name))])


def put(session: WriteSession, *chunks: bytes) -> None:
    session.put_chunks(with_ids(chunks))


def read(world: World, *chunks: bytes) -> bool:
    return world.objects.chunks([(chunk_id(chunk), len(chunk)) for chunk in chunks]) == list(chunks)


def test_a_small_commit_is_one_meta_pack(world: World) -> None:
    session = world.session()
    put(session, noise(100_000), text(3000))
    session.put_page(page(b"a"))
    planned = session.pack_ids
    [pack] = session.seal()
    assert pack.kind == "m"
    assert planned == [pack.pack_id]
    assert session.pack_ids == [pack.pack_id]
    assert sorted(set(pack.entries["type"].tolist())) == [RecordType.CHUNK, RecordType.PAGE]


def test_more_data_goes_to_data_packs_that_are_indexed_as_they_fill(world: World) -> None:
    session = world.session()
    parts = [noise(1 << 20, seed) for seed in range(70)]
    put(session, *parts)
    assert read(world, *parts[:60]), "the first pack is sealed and indexed before the commit is"
    session.put_page(page(b"a"))
    planned = session.pack_ids
    sealed = session.seal()
    assert [pack.kind for pack in sealed] == ["m"]
    assert planned == session.pack_ids
    assert read(world, *parts)
    kinds = [world.index.has_pack(pack) for pack in planned]
    assert kinds == [True] * (len(planned) - 1) + [False], "the meta pack is indexed by who commits"


def test_data_is_durable_before_the_meta_pack(world: World) -> None:
    watched = FaultyBackend(world.backend)
    session = world.session(watched)
    put(session, *(noise(1 << 20, seed) for seed in range(5)))
    session.put_page(page(b"a"))
    session.seal()
    published = [line.split("/")[1] for line in watched.log if line.startswith("publish")]
    assert published == ["d", "m"]


def test_nothing_to_seal_writes_nothing(world: World) -> None:
    assert world.session().seal() == []
    assert list(world.backend.entries("")) == []


def test_what_the_store_has_is_not_written_again(world: World) -> None:
    first, second = world.session(), world.session()
    parts = [noise(200_000), text(200_000), text(5000), b""]
    put(first, *parts)
    first.put_page(page(b"a"))
    world.commit(first)
    assert second.put_chunks(with_ids(parts)) == 0
    second.put_page(page(b"a"))
    assert (second.new_chunks, second.new_bytes, len(second.touched)) == (0, 0, 1)
    assert second.seal() == []


def test_threads_that_put_the_same_chunks_store_each_once(world: World) -> None:
    session = world.session()
    parts = [noise(70_000, seed) for seed in range(30)] + [text(3000, seed) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        stored = sum(pool.map(lambda _: session.put_chunks(with_ids(parts)), range(4)))
    assert stored == session.new_bytes == sum(map(len, parts))
    world.commit(session)
    assert session.new_chunks == world.index.stats().rows == len(parts)
    assert read(world, *parts)


def test_the_sample_decides_how_a_chunk_is_kept(world: World) -> None:
    session = world.session()
    parts = {"raw": noise(100_000), "small raw": noise(5000), "zstd": text(100_000), "block": text(5000)}
    put(session, *parts.values())
    [pack] = session.seal()
    codecs = {bytes(row["id"].tobytes()): Codec(int(row["codec"])) for row in pack.entries}
    found = {name: codecs[chunk_id(data)] for name, data in parts.items()}
    assert found == {"raw": Codec.RAW, "small raw": Codec.RAW, "zstd": Codec.ZSTD, "block": Codec.IN_BLOCK}


def test_no_sample_is_taken_behind_a_chunk_that_was_worth_compressing(world: World) -> None:
    odd = bytearray(text(400_000))
    for start in (0, 196_000, 392_000):
        odd[start : start + 8192] = noise(8192, start)
    parts = [bytes(odd), text(100_000), bytes(odd[:-1]), noise(100_000), bytes(odd[:-2]), text(100_000, 1), noise(5000)]
    session = world.session()
    for part in parts:
        put(session, part)
    [pack] = session.seal()
    codecs = {bytes(row["id"].tobytes()): Codec(int(row["codec"])) for row in pack.entries}
    raw, packed = Codec.RAW, Codec.ZSTD
    assert [codecs[chunk_id(part)] for part in parts] == [raw, packed, packed, raw, raw, packed, raw]
    world.index.add([pack])
    assert read(world, *parts)


def test_small_chunks_share_blocks_in_the_order_they_came(world: World) -> None:
    session = world.session()
    parts = [text(3000 + seed, seed) for seed in range(300)]
    put(session, *parts)
    [pack] = session.seal()
    size = sum(map(len, parts))
    assert len(set(pack.entries["off"].tolist())) == -(-size // (256 << 10)), "as few blocks as can be"
    assert pack.size < size / 2
    world.index.add([pack])
    assert read(world, *parts)


def test_chunks_can_be_read_back_wherever_they_are(world: World) -> None:
    session = world.session()
    staged, blocked = noise(90_000), text(4000)
    put(session, staged, blocked)
    assert session.chunk(chunk_id(blocked), 4000) == blocked, "in the open block"
    session.flush_data()
    assert session.chunk(chunk_id(blocked), 4000) == blocked, "in a staged block"
    assert session.chunk(chunk_id(staged), 90_000) == staged
    large = [noise(1 << 20, seed) for seed in range(6)]
    put(session, *large)
    assert session.chunk(chunk_id(large[5]), 1 << 20) == large[5], "in an open pack"
    put(session, late := noise(50_000, 99))
    session.seal()
    assert session.chunk(chunk_id(late), 50_000) == late, "in a meta pack that no index knows"
    put(session, *(noise(1 << 20, seed) for seed in range(10, 15)))
    assert session.chunk(chunk_id(late), 50_000) == late, "and when memory has let go of it"


def test_pages_and_manifests_can_be_read_back_before_and_after_sealing(world: World) -> None:
    session = world.session()
    pid = session.put_page(page(b"a"))
    tid = session.put_manifest((100, chunk_id(b"%d" % number)) for number in range(5000))
    for _ in range(2):
        assert session.get_page(pid).names == [b"a"]
        assert sum(ref.size for ref in session.manifest(tid).chunks()) == 500_000
        session.seal()
    world.commit(session)
    assert world.objects.get_page(pid).names == [b"a"]
    assert world.objects.manifest(tid).size == 500_000
    again = world.session()
    assert again.put_manifest((100, chunk_id(b"%d" % number)) for number in range(5000)) == tid
    assert again.seal() == []
    assert again.manifest(tid).size == 500_000


def test_a_second_seal_holds_only_what_is_new_but_names_all_that_is_not_indexed(world: World) -> None:
    session = world.session()
    session.put_page(page(b"a"))
    [first] = session.seal()
    session.put_page(page(b"a"))
    session.put_page(page(b"b"))
    again, second = session.seal()
    assert again == first
    assert len(second.entries) == 1
    assert session.pack_ids == [first.pack_id, second.pack_id]


def test_many_pages_do_not_stay_in_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_meta, "META_BYTES", 10_000)
    session = world.session()
    pids = [session.put_page(page(b"%d" % number)) for number in range(300)]
    assert len(session.pack_ids) > 3
    assert [session.get_page(pid).names for pid in pids] == [[b"%d" % number] for number in range(300)]
    world.commit(session)
    assert [world.objects.get_page(pid).names for pid in pids] == [[b"%d" % number] for number in range(300)]


def record() -> CommitRecord:
    return CommitRecord(
        id=CommitId("ab" * 16), repo="r", branch="master", root=record_root(EMPTY_ROOT), started_ns=1, finished_ns=2
    )


def test_a_record_lies_in_the_last_pack(world: World) -> None:
    session = world.session()
    put(session, *(noise(1 << 20, seed) for seed in range(5)))
    session.put_record(record())
    [pack] = session.seal()
    assert world.objects.record(pack.pack_id, "r", record().id) == record()
    assert [row["id"].tobytes() for row in pack.entries] == [record_id_of(record())]


def record_id_of(value: CommitRecord) -> bytes:
    from pfs.packs.commit_record import encode_record

    return record_id(encode_record(value))


@pytest.mark.parametrize("size", [3000, 100_000, 7 << 20])
def test_adopting_moves_everything_and_empties_the_other(world: World, size: int) -> None:
    ours, theirs = world.session(), world.session()
    mine, yours = noise(size, 1), noise(size, 2)
    shared, small = noise(70_000, 3), text(2000, 4)
    put(ours, mine, shared)
    put(theirs, yours, shared, small)
    old = theirs.put_page(page(b"old"))
    theirs.seal()
    pid = theirs.put_page(page(b"new"))
    ours.adopt(theirs)
    assert theirs.pack_ids == []
    assert theirs.seal() == []
    assert ours.chunk(chunk_id(yours), size) == yours
    assert ours.chunk(chunk_id(small), 2000) == small
    assert [ours.get_page(p).names for p in (old, pid)] == [[b"old"], [b"new"]]
    assert ours.put_chunks(with_ids([yours, small])) == 0, "what was adopted is known"
    packs = ours.pack_ids
    world.commit(ours)
    assert ours.pack_ids == packs
    assert all(world.index.has_pack(pack) for pack in packs)
    assert read(world, mine, yours, shared, small)
    put(theirs, noise(100, 9))
    assert len(theirs.seal()) == 1, "the other goes on as a new one"


def test_abandon_leaves_nothing_and_ends_the_session(world: World) -> None:
    session = world.session()
    put(session, *(noise(1 << 20, seed) for seed in range(6)))
    session.put_page(page(b"a"))
    session.abandon()
    session.abandon()
    assert list(world.backend.entries("")) == []
    with pytest.raises(StorageError, match="dropped"):
        session.seal()


def everything(session: WriteSession, world: World) -> list[bytes]:
    parts = [noise(150_000, seed) for seed in range(4)] + [text(4000, seed) for seed in range(120)]
    put(session, *parts)
    columns = [noise(3000, seed) for seed in range(200, 330)] + [text(4000, seed) for seed in range(200, 330)]
    session.put_spans(as_spans(columns))
    session.put_page(page(b"a"))
    session.put_record(record())
    world.commit(session)
    return parts + columns


OF_PACKS = WRITES - {"swap", "delete_many"}
"""The calls that store something; leases are passed over when they fail (test_lease.py)."""


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one small run passes through staging, spilling and several packs."""
    monkeypatch.setattr(session_data, "STAGE_BYTES", 100_000)
    monkeypatch.setattr(session_data, "PACK_BYTES", 250_000)


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("how", How)
def test_a_fault_at_any_write_ends_the_session_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How, in_background: bool
) -> None:
    shrink(monkeypatch)
    uploads = Uploads(2)
    counted = FaultyBackend(MemoryBackend(), counted=OF_PACKS)
    (tmp_path / "count").mkdir()
    world = World(tmp_path / "count", counted)
    everything(world.session(), world)
    assert counted.calls > 12
    for call in range(1, counted.calls + 1):
        inner = MemoryBackend()
        (tmp_path / str(call)).mkdir()
        world = World(tmp_path / str(call), inner)
        faulty = FaultyBackend(inner, fail_at=call, how=how, counted=OF_PACKS)
        session = world.session(faulty, background=uploads if in_background else None)
        with pytest.raises(StorageFullError if how is How.FULL else StorageError):
            everything(session, world)
        with pytest.raises(StorageError):
            session.seal()
        session.abandon()
        parts = everything(world.session(), world)
        assert read(world, *parts)
        for entry in inner.entries("packs/"):
            read_footer(inner, entry.name)
        world.index.close()
    uploads.close()


def test_a_failure_in_one_thread_is_not_hidden_by_another_that_relied_on_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    session = world.session(FaultyBackend(world.backend, fail_at=2))
    batch = with_ids([noise(200_000)])
    with pytest.raises(StorageError):
        session.put_chunks(batch)
    with pytest.raises(StorageError, match="injected"):
        session.put_chunks(batch)
    with pytest.raises(StorageError, match="injected"):
        world.session().adopt(session)


def test_the_first_cause_is_told_by_whatever_is_called_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    session = world.session(FaultyBackend(world.backend, fail_at=2, how=How.FULL, dead_after=True))
    with pytest.raises(StorageFullError) as first:
        put(session, noise(200_000))
    session.abandon()
    later = (
        session.seal, session.flush_data, lambda: put(session, b"x"), lambda: session.put_page(page(b"a")),
        lambda: session.holds([]), lambda: session.put_record(record()), lambda: world.session().adopt(session),
    )  # fmt: skip
    for call in later:
        with pytest.raises(StorageFullError) as again:
            call()
        assert (again.value.args, again.value.__cause__) == (first.value.args, first.value)


def test_what_is_no_error_of_ours_ends_a_session_as_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = world.session()
    with monkeypatch.context() as patch:
        patch.setattr("pfs.packs.chunk_records.are_compressible", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            put(session, b"x")
    with pytest.raises(StorageError, match="dropped"):
        session.seal()


def test_a_full_pack_by_count_of_chunks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    monkeypatch.setattr(session_data, "PACK_ENTRIES", 100)
    session = world.session()
    parts = [noise(1000, seed) for seed in range(450)]
    put(session, *parts)
    world.commit(session)
    kinds = [read_footer(world.backend, pack_name(pack, "d")) for pack in session.pack_ids[:-1]]
    assert max(len(pack.entries) for pack in kinds) <= 200
    assert read(world, *parts)
