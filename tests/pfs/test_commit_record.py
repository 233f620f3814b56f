"""Commit records: golden bytes, round trip, refusal of nonsense."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.errors import CorruptionError
from pfs.ids import CommitId, PackId
from pfs.packs.commit_record import NO_RECORD, SAME_PACK, CommitRecord, RecordRoot, decode_record, encode_record

DATA = Path(__file__).parents[1] / "data"
FULL = CommitRecord(
    id=CommitId("0123456789abcdef0123456789abcdef"),
    repo="photos",
    branch="master",
    parents=(CommitId("a" * 32), CommitId("b" * 32)),
    root=RecordRoot(bytes(range(32)), bytes(range(32, 64)), 2**40, 12),
    started_ns=1_700_000_000_000_000_000,
    finished_ns=1_700_000_000_123_456_789,
    message="first ✓",
    provenance=(("raw", "master", "c" * 32),),
    error="it failed",
    packs=(bytes(range(16)),),
    parent_packs=(bytes(range(16, 32)), SAME_PACK),
    parent_records=(bytes(range(64, 96)), NO_RECORD),
)
PLAIN = CommitRecord(
    id=CommitId("f" * 32),
    repo="r",
    branch="b",
    root=RecordRoot(bytes(32), bytes(32), 0, 0),
    started_ns=1,
    finished_ns=2,
)


@pytest.mark.parametrize(("record", "name"), [(FULL, "commit_full.bin"), (PLAIN, "commit_plain.bin")])
def test_golden_bytes(record: CommitRecord, name: str) -> None:
    assert encode_record(record) == (DATA / name).read_bytes()
    assert decode_record((DATA / name).read_bytes(), where="golden") == record


def test_unknown_fields_are_skipped() -> None:
    raw = msgspec.msgpack.decode(encode_record(FULL)) | {"later": [1, 2]}
    assert decode_record(msgspec.msgpack.encode(raw), where="x") == FULL


def test_parents_know_their_packs() -> None:
    pack = PackId(b"p" * 16)
    known = ("a" * 32, bytes(range(16, 32)), bytes(range(64, 96)))
    assert FULL.parents_in(pack) == [known, ("b" * 32, pack, NO_RECORD)]
    bare = replace(FULL, parent_records=())
    assert bare.parents_in(pack) == [(*known[:2], NO_RECORD), ("b" * 32, pack, NO_RECORD)]


@given(st.binary(max_size=80))
def test_garbage_is_corruption(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_record(data, where="x")


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_never_raises_anything_else(at: int, flip: int) -> None:
    data = bytearray(encode_record(FULL))
    data[at % len(data)] ^= flip
    try:
        decode_record(bytes(data), where="x")
    except CorruptionError as error:
        assert "x" in str(error)  # noqa: PT017  # either outcome is right; records are protected by their pack's checksum


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"id": "short"},
        {"parents": ["a" * 32]},
        {"root": [b"", bytes(32), 0, 0]},
        {"packs": [b"x"]},
        {"parent_records": [bytes(32)]},
        {"parent_records": [b"x", b"y"]},
    ],
)
def test_impossible_values_are_corruption(change: dict[str, object]) -> None:
    raw = msgspec.msgpack.decode(encode_record(FULL)) | change
    with pytest.raises(CorruptionError):
        decode_record(msgspec.msgpack.encode(raw), where="x")
