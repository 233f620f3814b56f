"""The state of collection and the lists of condemned packs: formats, damage, lost replies."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.backends.memory import MemoryBackend
from pfs.errors import BranchMovedError, CorruptionError, InvalidInputError, MissingObjectError, StorageError
from pfs.ids import PackId
from pfs.packs.condemned import decode_list, encode_list, list_gen, list_name, load, load_list
from pfs.packs.pack import PackKind
from pfs.refs import collection
from pfs.refs.collection import GC_STATE, KEPT, Collection, published
from pfs.refs.signed import sign_body
from pfs.testing.faults import FaultyBackend, How

DATA = Path(__file__).parents[1] / "data"
PACKS: list[tuple[PackId, PackKind]] = [(PackId(bytes([number] * 16)), "dm"[number % 2]) for number in range(3)]  # type: ignore[misc]


def golden_state() -> Collection:
    state = published(published(Collection(owner="collector", expires_ns=1_700_000_000_000_000_000), "a"), "b")
    return replace(state, wid="w2")


def test_goldens() -> None:
    assert collection.encode(golden_state()) == (DATA / "collection_v1.json").read_bytes()
    assert collection.decode((DATA / "collection_v1.json").read_bytes()) == golden_state()
    assert encode_list(PACKS) == (DATA / "condemned_v1.bin").read_bytes()
    assert decode_list((DATA / "condemned_v1.bin").read_bytes(), where="x") == dict(PACKS)


def test_the_last_64_lists_are_kept() -> None:
    state = Collection(wid="w")
    for number in range(1, 3 * KEPT):
        state = published(state, f"list {number}")
        assert (state.gen, state.phase) == (number, "published")
        assert list(state.lists) == list(range(max(1, number - KEPT + 1), number + 1))
        assert collection.decode(collection.encode(state)) == state
    assert state.reaches(state.gen)
    assert state.reaches(state.gen - KEPT)
    assert not state.reaches(state.gen - KEPT - 1)
    assert state.since(state.gen - 1) == {state.gen: f"list {state.gen}"}


def test_a_gap_in_the_lists_is_damage() -> None:
    state = replace(golden_state(), lists={2: "b"})
    with pytest.raises(CorruptionError, match="lists"):
        collection.decode(collection.encode(state))


def test_unknown_fields_survive_and_newer_ones_are_refused() -> None:
    raw = json.loads(collection.encode(golden_state()))
    del raw["sum"]
    state = collection.decode(sign_body(json.dumps(raw | {"later": [1]}).encode()))
    assert json.loads(collection.encode(replace(state, gen=2)))["later"] == [1]
    with pytest.raises(InvalidInputError, match="newer pfs"):
        collection.decode(sign_body(json.dumps(raw | {"v": 2}).encode()))


@pytest.mark.parametrize("data", [b"{}", b"[]", b"x", b'{"v":1,"wid":"w","gen":"x"}', b'{"v":1,"wid":"w","phase":"x"}'])
def test_a_damaged_state_is_corruption(data: bytes) -> None:
    for stored in (data, sign_body(data)):
        with pytest.raises(CorruptionError):
            collection.decode(stored)


def test_every_flipped_bit_is_corruption() -> None:
    data = encode_list(PACKS)
    for at in range(len(data)):
        for bit in (1, 64):
            with pytest.raises(CorruptionError):
                decode_list(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], where="x")
    for length in range(len(data)):
        with pytest.raises(CorruptionError):
            decode_list(data[:length], where="x")


@given(st.dictionaries(st.binary(min_size=16, max_size=16), st.sampled_from("dm"), max_size=40))
def test_lists_round_trip(packs: dict[PackId, PackKind]) -> None:
    assert decode_list(encode_list(packs.items()), where="x") == packs


def test_names_of_lists() -> None:
    assert list_name(7, "ab12") == "gc/condemned/000000000007-ab12.idx"
    assert list_gen(list_name(7, "ab12")) == 7
    assert list_gen("gc/condemned/7-ab12.idx") is None
    backend = MemoryBackend()
    backend.put_new(list_name(7, "ab12"), encode_list(PACKS))
    assert load(backend, list_name(7, "ab12")) == frozenset(id for id, _ in PACKS)
    assert load_list(backend, list_name(7, "ab12")) == dict(PACKS)
    with pytest.raises(MissingObjectError):
        load(backend, list_name(8, "ab12"))


def test_swap_and_read() -> None:
    backend = MemoryBackend()
    assert collection.read(backend) == (Collection(), None)
    etag = collection.swap(backend, None, golden_state())
    found, now = collection.read(backend)
    assert now == etag
    assert found.wid != "w2"
    assert replace(found, wid="w2") == golden_state()
    with pytest.raises(BranchMovedError):
        collection.swap(backend, None, golden_state())


class Overtaken(FaultyBackend):
    """Another collector swaps right after our swap, whose reply is lost."""

    def swap(self, name: str, old: object, new: bytes) -> object:  # type: ignore[override]
        try:
            return super().swap(name, old, new)  # type: ignore[arg-type]
        except StorageError:
            _, etag = collection.read(self._backend)
            collection.swap(self._backend, etag, Collection(owner="other"))
            raise


def test_a_lost_reply_is_a_success_unless_another_took_over() -> None:
    store = MemoryBackend()
    lost: Backend = FaultyBackend(store, fail_at=1, how=How.AFTER, counted=frozenset({"swap"}))
    etag = collection.swap(lost, None, golden_state())
    assert collection.read(store)[1] == etag
    overtaken: Backend = Overtaken(store, fail_at=1, how=How.AFTER, counted=frozenset({"swap"}))
    with pytest.raises(BranchMovedError):
        collection.swap(overtaken, etag, golden_state())
    assert collection.read(store)[0].owner == "other"


def test_a_swap_that_fails_changes_nothing() -> None:
    store = MemoryBackend()
    dead = FaultyBackend(store, fail_at=1, counted=frozenset({"swap"}), dead_after=True)
    with pytest.raises(StorageError):
        collection.swap(dead, None, golden_state())
    assert store.read(GC_STATE) is None
    once = FaultyBackend(store, fail_at=1, counted=frozenset({"swap"}))
    collection.swap(once, None, golden_state())
    assert collection.read(store)[0].owner == "collector"
