"""Condemned packs in the index and for readers: never relied on by writers, read as long as they are there."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import pfs
from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError, IndexDamagedError, MissingObjectError
from pfs.ids import ChunkId, PackId, chunk_id, new_pack_id
from pfs.packs.index import Index
from pfs.packs.pack import PackWriter, RecordType, SealedPack, pack_name
from pfs.refs import collection
from pfs.refs.collection import KEPT, Collection
from pfs.refs.level import level
from pfs.store import Store
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.collect_world import condemn, packs, repack, sweep
from tests.pfs.frozen_world import freezing  # noqa: F401

A, B = b"chunk a", b"chunk b"


class Place:
    def __init__(self, directory: Path) -> None:
        self.backend = MemoryBackend()
        self.directory, self.numbers = directory, count()
        self.index = self.open()

    def open(self) -> Index:
        return Index.open(self.directory / str(next(self.numbers)), store_uuid="u")

    def pack(self, *bodies: bytes, index: bool = True) -> PackId:
        return self.sealed(*bodies, index=index).pack_id

    def sealed(self, *bodies: bytes, index: bool = True) -> SealedPack:
        writer = PackWriter(self.backend, "d", pack_id=new_pack_id(), created_ms=0)
        for body in bodies:
            writer.add(RecordType.CHUNK, chunk_id(body), body)
        pack = writer.seal()
        if index:
            self.index.add([pack])
        return pack

    def home(self, body: bytes, *, to_keep: bool = False) -> PackId | None:
        place = self.index.find([chunk_id(body)], to_keep=to_keep)[0]
        return None if place is None else self.index.pack(place.pack_no)[0]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.index.close()


def test_writers_do_not_see_what_is_condemned_whenever_it_came(place: Place) -> None:
    before, late = place.pack(A), place.sealed(B, index=False)
    condemn(place.backend, [before, late.pack_id])
    assert place.home(A, to_keep=True) == before
    assert level(place.backend, place.index).gen == place.index.generation() == 1
    place.index.add([late])
    for body, pack in ((A, before), (B, late.pack_id)):
        assert place.home(body) == pack
        assert place.home(body, to_keep=True) is None
    assert place.index.condemned_since(0) == {before, late.pack_id}
    assert place.index.condemned_since(1) == set()


def test_a_condemned_pack_never_takes_the_place_of_another(place: Place) -> None:
    old = place.sealed(A, B, index=False)
    healthy = place.pack(A)
    condemn(place.backend, [old.pack_id])
    level(place.backend, place.index)
    place.index.add([old])
    assert place.home(A, to_keep=True) == healthy
    assert place.home(B) == old.pack_id
    newer = place.pack(B)
    assert place.home(B, to_keep=True) == newer


def test_what_is_gone_is_missing_and_found_again_by_refill(place: Place) -> None:
    first, second = place.sealed(A, index=False), place.sealed(A, B)
    place.index.add([first])  # both have A, the row is the first's
    assert not place.index.mark_gone(first.pack_id), "it is on no list"
    condemn(place.backend, [first.pack_id])
    level(place.backend, place.index)
    assert place.index.mark_gone(first.pack_id)
    assert place.index.mark_gone(first.pack_id), "and again: another reader may have noted it"
    assert place.home(A) is None
    assert place.index.take_stale()
    assert not place.index.take_stale()
    place.index.refill([first, second])
    assert place.home(A, to_keep=True) == second.pack_id


def test_lists_are_applied_once_and_forgotten_after_64_generations(place: Place) -> None:
    made = []
    for number in range(KEPT + 3):
        made.append(place.pack(b"%d" % number))
        condemn(place.backend, made[-1:])
        if number % 5 == 0:
            level(place.backend, place.index)
    level(place.backend, place.index)
    assert place.index.generation() == KEPT + 3
    assert place.index.condemned_since(0) == set(made[-KEPT:])
    assert all(place.home(b"%d" % number, to_keep=True) is None for number in range(KEPT + 3))


def test_far_behind_what_is_not_listed_is_gone(place: Place) -> None:
    swept, kept, healthy = place.pack(A), place.pack(B), place.pack(b"c")
    condemn(place.backend, [swept])
    sweep(place.backend, [swept])
    for _ in range(KEPT):
        condemn(place.backend, [kept])
    level(place.backend, place.index)
    assert place.home(A) is None
    assert (place.home(B), place.home(B, to_keep=True)) == (kept, None)
    assert place.home(b"c", to_keep=True) == healthy


def test_an_index_that_is_ahead_of_the_store_is_refused(place: Place) -> None:
    condemn(place.backend, [])
    level(place.backend, place.index)
    _, etag = collection.read(place.backend)
    collection.swap(place.backend, etag, Collection())
    with pytest.raises(IndexDamagedError, match="recover"):
        level(place.backend, place.index)


def test_a_list_that_is_missing_is_named(place: Place) -> None:
    condemn(place.backend, [])
    name = next(iter(collection.read(place.backend)[0].lists.values()))
    place.backend.delete_many([name])
    with pytest.raises(MissingObjectError, match="condemned"):
        level(place.backend, place.index)
    assert place.index.generation() == 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path) as made:
        repo = made.create_repo("r")
        for number in range(3):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", b"%d" % number * 10)
        yield made


def read_all(store: Store) -> dict[str, bytes]:
    view = store.repo("r")["master"]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


WHOLE = {f"/{number}": b"%d" % number * 10 for number in range(3)}


def test_readers_find_what_was_repacked_under_them(tmp_path: Path, store: Store) -> None:
    """Rows of a pack that is gone lead to the new one, again and again."""
    for _ in range(3):
        old = packs(store.backend)
        for pack in old:
            repack(store.backend, pack)
        condemn(store.backend, old)
        sweep(store.backend, old)
        assert read_all(store) == WHOLE


def test_an_open_file_and_view_survive_a_repacking(store: Store) -> None:
    view = store.repo("r")["master"]
    with view.open("/1") as file:
        assert file.read(3) == b"111"
        old = packs(store.backend)
        for pack in old:
            repack(store.backend, pack)
        condemn(store.backend, old)
        sweep(store.backend, old)
        assert file.read() == b"1" * 7
    assert sorted(info.path for info in view.list()) == sorted(WHOLE)


def test_a_restore_survives_a_repacking(tmp_path: Path, store: Store) -> None:
    view = store.repo("r")["master"]
    old = packs(store.backend)
    for pack in old:
        repack(store.backend, pack)
    condemn(store.backend, old)
    sweep(store.backend, old)
    view.restore("/", tmp_path / "out")
    assert {f"/{file.name}": file.read_bytes() for file in (tmp_path / "out").iterdir()} == WHOLE


def test_a_copy_in_a_known_pack_is_found(store: Store) -> None:
    """Two known packs have the chunk, and the one that the row names goes: no new pack tells of the other."""
    id = ChunkId(chunk_id(b"0" * 10))
    home = store.index.pack(store.index.find([id])[0].pack_no)[0]  # type: ignore[union-attr]
    copy = repack(store.backend, home, ids=[id])
    store.history.learn_packs(store.backend.entries(pack_name(copy, packs(store.backend)[copy])))
    condemn(store.backend, [copy])
    sweep(store.backend, [copy])
    assert store.repo("r")["master"].read("/0") == b"0" * 10


def test_a_pack_that_was_lost_is_still_reported(store: Store) -> None:
    sweep(store.backend, packs(store.backend))
    with pytest.raises(MissingObjectError, match="is gone"):
        read_all(store)


def test_a_damaged_state_of_collection_stops_writers_only(tmp_path: Path, store: Store) -> None:
    condemn(store.backend, [])
    _, etag = collection.read(store.backend)
    store.backend.swap(collection.GC_STATE, etag, b"{}")
    assert [(one.kind, one.object) for one in fsck(store)] == [("collection", collection.GC_STATE)]
    assert read_all(store) == WHOLE
    with pytest.raises(CorruptionError, match="gc/state"):
        store.repo("r").commit("master")
    store.close()
    assert recover(tmp_path / ".pfs").renewed == (collection.GC_STATE,)
    with pfs.open(tmp_path) as again:
        assert read_all(again) == WHOLE
        with again.repo("r").commit("master") as commit:
            commit.put_file("/again", b"x")


def test_a_check_with_an_old_index_misses_nothing(store: Store) -> None:
    """The row of a chunk leads to a pack that another machine collected, and a known pack has it too."""
    id = ChunkId(chunk_id(b"0" * 10))
    home = store.index.pack(store.index.find([id])[0].pack_no)[0]  # type: ignore[union-attr]
    copy = repack(store.backend, home, ids=[id])
    store.history.learn_packs(store.backend.entries(pack_name(copy, packs(store.backend)[copy])))
    condemn(store.backend, [copy])
    sweep(store.backend, [copy])
    assert list(fsck(store, deep=True)) == []


def test_a_new_index_knows_the_lists(tmp_path: Path, store: Store) -> None:
    old = packs(store.backend)
    condemn(store.backend, old)
    store.close()
    recover(tmp_path / ".pfs")
    with pfs.open(tmp_path) as again:
        assert again.index.generation() == 1
        assert again.index.find([chunk_id(b"0" * 10)], to_keep=True) == [None]
        assert read_all(again) == WHOLE
