"""Refs: the format, compare-and-swap under contention, lost replies."""

import json
import threading
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from pfs.backends.base import Backend
from pfs.backends.memory import MemoryBackend
from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    CollectionLostError,
    CorruptionError,
    InvalidInputError,
    InvalidNameError,
    RepoNotFoundError,
    StorageError,
)
from pfs.ids import CommitId, PackId
from pfs.refs import collection
from pfs.refs.body import (
    RECENT,
    BranchEntry,
    Buried,
    OpenEntry,
    RefsBody,
    RootEntry,
    TrashEntry,
    TriggerEntry,
    check_branch_name,
    decode_body,
    encode_body,
    move_head,
    without_branch,
)
from pfs.refs.signed import sign_body
from pfs.refs.swap import Refs
from pfs.testing.faults import FaultyBackend, How

GOLDEN = Path(__file__).parents[1] / "data" / "refs_v1.json"
COMMIT = CommitId("0123456789abcdef0123456789abcdef")
PACK = PackId(bytes(range(16)))


FOLLOWER = BranchEntry(
    created=1,
    updated=2,
    trigger=TriggerEntry(branch="dev", all=True, size=1000, commits=3, rate="@daily", cron="0 * * * *"),
    feeds=(("made", "master"),),
    move=CommitId("e" * 32),
    settings={"s3.tags": '{"a":"é"}'},
)
OUTPUT = BranchEntry(
    created=1,
    provenance=(("raw", "master"), ("model", "master")),
    never=(("model", "master"),),
    pipeline=True,
    seen=(("raw", "master", COMMIT),),
)


def golden_body() -> RefsBody:
    head = BranchEntry(head=COMMIT, pack=PACK.hex(), created=1_700_000_000_000_000_000, provenance=(("raw", "master"),))
    root = RootEntry("aa" * 32, "bb" * 32, 12, 3)
    opened = OpenEntry(
        branch="dev", started=5, parent=COMMIT, onto=COMMIT, message="m", root=root, packs=(PACK.hex(),),
        provenance=(("raw", "master", COMMIT),), origin="auto", written=True,
    )  # fmt: skip
    return RefsBody(
        seq=7,
        wid="w7",
        recent=("w5", "w6"),
        description="photos",
        created=1_600_000_000_000_000_000,
        branches={"master": head, "dev": BranchEntry(created=1), "slow": FOLLOWER, "out": OUTPUT},
        tags={"v1": BranchEntry(head=COMMIT, pack=PACK.hex())},
        open={CommitId("f" * 32): opened},
        trash={"old/9": TrashEntry(branch=head, deleted=9)},
        earlier=(Buried("log/r/000000000003-w3", 4),),
    )


def test_body_is_written_as_the_golden_file() -> None:
    assert encode_body(golden_body()) == GOLDEN.read_bytes()
    assert decode_body(GOLDEN.read_bytes(), where="golden") == golden_body()


def test_unknown_fields_survive_a_rewrite() -> None:
    raw = json.loads(encode_body(golden_body())) | {"later": {"a": [1]}}
    del raw["sum"]
    body = decode_body(sign_body(json.dumps(raw).encode()), where="x")
    assert json.loads(encode_body(replace(body, seq=8)))["later"] == {"a": [1]}


_WRONG = [
    b"", b"[]", b"{", b"\xff\xfe", b'{"v":1}', b'{"seq":1,"wid":"w"}', b'{"v":1,"wid":"w"}', b'{"v":1,"seq":1}',
    b'{"v":1,"seq":1,"wid":""}', b'{"v":1,"seq":"x","wid":"w"}', b'{"v":1,"seq":1,"wid":"w","branches":[]}',
]  # fmt: skip


@pytest.mark.parametrize("data", _WRONG)
@pytest.mark.parametrize("sign", [True, False])
def test_a_damaged_body_is_corruption(data: bytes, *, sign: bool) -> None:
    with pytest.raises(CorruptionError):
        decode_body(sign_body(data) if sign else data, where="refs/x.json")


def test_every_flipped_byte_of_a_body_is_corruption() -> None:
    data = encode_body(golden_body())
    for at in range(len(data)):
        for bit in (1, 64):
            with pytest.raises(CorruptionError):
                decode_body(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], where="refs/x.json")


def test_a_body_without_its_checksum_is_corruption() -> None:
    raw = json.loads(encode_body(golden_body()))
    del raw["sum"]
    with pytest.raises(CorruptionError, match="checksum"):
        decode_body(json.dumps(raw).encode(), where="refs/x.json")


def test_a_newer_body_asks_for_a_newer_pfs() -> None:
    with pytest.raises(InvalidInputError, match="newer pfs"):
        decode_body(sign_body(b'{"v":2,"seq":1,"wid":"w"}'), where="refs/x.json")


@pytest.mark.parametrize("name", ["", ".", "a.b", "a/b", "..x", "a^", "ä", "x" * 256])
def test_branch_names(name: str) -> None:
    with pytest.raises(InvalidNameError):
        check_branch_name(name)
    assert check_branch_name(".meta") == ".meta"


def test_heads_are_branches_tags_and_trash() -> None:
    body = move_head(RefsBody(), "b", head=COMMIT, pack=PACK, now_ns=1)
    assert body.heads() == {COMMIT: PACK}
    gone = without_branch(body, "b", now_ns=2)
    assert gone.branches == {}
    assert gone.heads() == {COMMIT: PACK}


def test_create_read_bury_and_create_again() -> None:
    backend = MemoryBackend()
    refs = Refs(backend)
    with pytest.raises(RepoNotFoundError):
        refs.read("r")
    refs.create("r", description="d", now_ns=1)
    with pytest.raises(AlreadyExistsError):
        refs.create("r", description="", now_ns=1)
    kept = refs.update("r", lambda body: move_head(body, "b", head=COMMIT, pack=PACK, now_ns=1))
    buried = refs.bury(refs.read("r"))
    assert refs.find("r") is None
    assert list(refs.repos()) == []
    assert buried.body.last is not None
    assert decode_body(backend.get(buried.body.last), where="log").branches == kept.branches
    again = refs.create("r", description="", now_ns=3)
    assert again.body.branches == {}
    assert again.body.seq > kept.seq


def describe(body: RefsBody, *, text: str) -> RefsBody:
    return replace(body, description=text)


def tag(body: RefsBody, *, name: str) -> RefsBody:
    return replace(body, tags={**body.tags, name: BranchEntry()})


def test_a_stale_swap_changes_nothing() -> None:
    refs = Refs(MemoryBackend())
    old = refs.create("r", description="", now_ns=1)
    new = refs.swap(old, replace(old.body, description="new"))
    with pytest.raises(BranchMovedError):
        refs.swap(old, replace(old.body, description="stale"))
    assert refs.read("r") == new


def test_write_ids_are_remembered_in_bounds() -> None:
    refs = Refs(MemoryBackend())
    first = refs.create("r", description="", now_ns=1).body.wid
    for number in range(RECENT + 5):
        body = refs.update("r", partial(describe, text=str(number)))
    assert len(body.recent) == RECENT
    assert first not in body.recent
    assert body.wid not in body.recent
    assert body.seq == RECENT + 6


def lose_reply(backend: Backend, *, how: How) -> Refs:
    return Refs(FaultyBackend(backend, counted=frozenset({"swap"}), fail_at=1, how=how))


@pytest.mark.parametrize("how", [How.BEFORE, How.AFTER])
def test_a_swap_whose_reply_is_lost_lands_once(how: How) -> None:
    backend = MemoryBackend()
    Refs(backend).create("r", description="", now_ns=1)
    refs, landed = lose_reply(backend, how=how), list[None]()
    refs.on_landed = lambda: landed.append(None)
    body = refs.update("r", lambda body: replace(body, description=body.description + "x"))
    assert (body.description, len(landed)) == ("x", 1)
    assert Refs(backend).read("r").body == body
    assert body.seq == 2


def test_a_full_disk_is_not_tried_again() -> None:
    backend = MemoryBackend()
    Refs(backend).create("r", description="", now_ns=1)
    with pytest.raises(StorageError, match="no space left"):
        lose_reply(backend, how=How.FULL).update("r", lambda body: replace(body, description="x"))
    assert Refs(backend).read("r").body.seq == 1


def test_an_edit_that_changes_nothing_writes_nothing() -> None:
    refs = Refs(MemoryBackend())
    refs.create("r", description="", now_ns=1)
    assert refs.update("r", lambda body: body).seq == 1


def test_threads_lose_no_update() -> None:
    refs = Refs(MemoryBackend())
    refs.create("r", description="", now_ns=1)

    def add(thread: int) -> None:
        for number in range(10):
            refs.update("r", partial(tag, name=f"{thread}-{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refs.read("r").body.tags) == 40


def test_a_swap_needs_packs_checked_against_the_collection_of_the_body() -> None:
    backend = MemoryBackend()
    refs = Refs(backend)
    state = refs.create("r", description="", now_ns=1)
    state = refs.swap(state, state.body, seen_gen=3)
    assert state.body.gc_gen == 3
    with pytest.raises(CollectionLostError):
        refs.swap(state, state.body, seen_gen=2)
    collection.swap(backend, None, collection.Collection(gen=5, base=5))
    with pytest.raises(BranchMovedError):
        refs.swap(state, state.body, seen_gen=2)
    assert refs.swap(state, state.body, seen_gen=5).body.gc_gen == 5
    assert refs.update("r", partial(tag, name="t")).gc_gen == 5, "an edit that brings nothing carries it over"
