"""A store whose state of collection is lost, damaged or an old copy: who says so, and what begins it anew."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import pfs
from cli.exits import STORAGE, exit_code
from pfs.backends.memory import MemoryBackend
from pfs.errors import CollectedError, CollectionLostError, ConflictError, PfsError
from pfs.gc.collect import collect
from pfs.refs import collection
from pfs.refs.collection import GC_STATE, KEPT, Collection, published
from pfs.refs.collector_lock import alone
from pfs.refs.renew import lost_detail, renew
from pfs.refs.swap import Refs
from pfs.store import Store
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.gc_world import visible

STATE = f".pfs/objects/{GC_STATE}"


def put(store: Store, path: str) -> None:
    with store.repo("data").commit("master") as commit:
        commit.put_file(path, os.urandom(50_000))


def make(path: Path) -> dict[str, object]:
    """Make a store that was collected three times, and return what is seen of it."""
    with pfs.init(path) as store:
        store.create_repo("data")
        for round_no in range(3):
            for number in range(10):
                put(store, f"/{number % 3}")
            store.repo("data").create_branch(f"b{round_no}", head="master^")
            assert collect(store).generation == round_no + 1
        return visible(store)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    os.truncate(file, 30)


def old(file: Path) -> None:
    file.write_bytes(collection.encode(Collection(wid="w")))


HARMS = [Path.unlink, flip, cut, old]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("index", ["kept", "removed"])
def test_recover_begins_it_anew(tmp_path: Path, harm: Callable[[Path], None], index: str) -> None:
    before = make(tmp_path)
    if index == "removed":
        shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    harm(tmp_path / STATE)
    report = recover(tmp_path / ".pfs")
    assert (report.renewed, report.damaged) == ((GC_STATE,), ())
    with pfs.open(tmp_path) as store:
        state, _ = collection.read(store.backend)
        assert (state.gen, state.base, state.phase) == (5, 5, "idle")
        assert visible(store) == before
        assert list(fsck(store, deep=True)) == []
        for number in range(10):
            put(store, f"/after{number}")
        assert [collect(store).generation for _ in range(2)] == [6, None]
        assert collection.read(store.backend)[0].lists.keys() == {6}
        assert list(fsck(store, deep=True)) == []
    assert recover(tmp_path / ".pfs").renewed == ()


@pytest.mark.parametrize("harm", HARMS)
def test_collection_begins_it_anew_beside_an_index_that_is_kept(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    before = make(tmp_path)
    with pfs.open(tmp_path) as store:
        harm(tmp_path / STATE)
        collect(store)
        assert collection.read(store.backend)[0].base == 5
        assert visible(store) == before
        put(store, "/after")
        collect(store)
        assert list(fsck(store, deep=True)) == []


@pytest.mark.parametrize("harm", HARMS)
def test_writers_and_fsck_say_what_to_do(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        harm(tmp_path / STATE)
        (damage,) = fsck(store)
        assert (damage.kind, damage.object) == ("collection", GC_STATE)
        assert "pfs recover" in damage.detail
        assert GC_STATE not in damage.detail
        with pytest.raises(PfsError, match="pfs recover") as met:
            put(store, "/x")
        assert exit_code(met.value) == STORAGE


@pytest.mark.parametrize("harm", [Path.unlink, old])
def test_an_index_made_anew_does_not_hide_it(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    make(tmp_path)
    harm(tmp_path / STATE)
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        with pytest.raises(CollectionLostError, match=r"collection 3.*pfs recover"):
            put(store, "/x")
        (damage,) = fsck(store)
        assert damage.kind == "collection"


@pytest.mark.parametrize("harm", [Path.unlink, flip])
@pytest.mark.parametrize("published_still", [False, True])
def test_a_lost_list_is_a_lost_state(tmp_path: Path, harm: Callable[[Path], None], published_still: bool) -> None:
    before = make(tmp_path)
    with pfs.open(tmp_path) as store:
        state, etag = collection.read(store.backend)
        if published_still:
            collection.swap(store.backend, etag, replace(state, phase="published"))
        harm(tmp_path / ".pfs/objects" / state.lists[3])
        (damage,) = fsck(store)
        assert (damage.kind, damage.object) == ("collection", GC_STATE)
        assert state.lists[3] in damage.detail
    assert recover(tmp_path / ".pfs").renewed == (GC_STATE,)
    with pfs.open(tmp_path) as store:
        assert visible(store) == before
        put(store, "/after")
        collect(store)
        assert list(fsck(store, deep=True)) == []


def test_a_generation_that_was_published_is_not_taken_for_another(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        state, etag = collection.read(store.backend)
        collection.swap(store.backend, etag, published(state, state.lists[3]))  # no refs have seen it
        session = store.session()
        assert session.seen_gen == 4
        session.abandon()
    (tmp_path / STATE).unlink()
    recover(tmp_path / ".pfs")
    with pfs.open(tmp_path) as store:
        assert collection.read(store.backend)[0].gen > 4


def test_a_writer_that_began_before_must_begin_again(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        writing = store.repo("data").commit("master")
        writing.put_file("/x", os.urandom(50_000))
        (tmp_path / STATE).unlink()
        collect(store)
        with pytest.raises(CollectedError):
            writing.finish()
        put(store, "/x")
        assert list(fsck(store, deep=True)) == []


def test_not_beside_a_collector(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / STATE).unlink()
    with alone(tmp_path / ".pfs"), pytest.raises(ConflictError, match="at work"):
        recover(tmp_path / ".pfs")
    assert not (tmp_path / STATE).exists()


def test_nothing_is_written_where_nothing_is_lost() -> None:
    backend = MemoryBackend()
    refs = Refs(backend)
    assert lost_detail(backend, refs) is None
    assert not renew(backend, refs, index_gen=3)
    assert backend.read(GC_STATE) is None


def test_lists_are_kept_from_the_base_on() -> None:
    state = Collection(gen=7, base=7, wid="w")
    for gen in range(8, 8 + 2 * KEPT):
        assert collection.decode(collection.encode(state)) == state
        assert not state.reaches(6)
        state = published(state, f"list {gen}")
        assert list(state.lists) == list(range(max(8, gen - KEPT + 1), gen + 1))
    with pytest.raises(CollectionLostError, match="lists"):
        collection.decode(collection.encode(replace(state, base=0, gen=10, lists={10: "a"})))
