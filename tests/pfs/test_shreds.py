"""Marks of what was purged: their objects, and what a body names of them."""

from pathlib import Path

import numpy as np
import pytest

from pfs.backends.memory import MemoryBackend
from pfs.errors import CorruptionError
from pfs.refs.body import RefsBody, decode_body, encode_body
from pfs.refs.shreds import LIMIT, decode, encode, read_words, with_words, without

GOLDEN = Path(__file__).parents[1] / "data" / "refs_shred_v1.bin"


def test_the_golden_file() -> None:
    words = np.array([3, 1, 2**64 - 1, 3], np.uint64)
    assert encode(words) == GOLDEN.read_bytes()
    assert decode(GOLDEN.read_bytes(), where="golden").tolist() == [1, 3, 2**64 - 1]


@pytest.mark.parametrize("damage", [lambda data: data[:20], lambda data: data[:-1], lambda data: b"X" + data[1:]])
def test_damage_is_told_of(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CorruptionError, match="here"):
        decode(damage(GOLDEN.read_bytes()), where="here")


def test_a_body_names_few_objects_that_have_all_words() -> None:
    backend, body = MemoryBackend(), RefsBody(seq=1, wid="0" * 32)
    for number in range(3 * LIMIT):
        body = with_words(backend, "data", body, np.array([number], np.uint64))
        assert len(body.shreds) <= LIMIT
    assert read_words(backend, body.shreds).tolist() == list(range(3 * LIMIT))
    assert decode_body(encode_body(body), where="here") == body
    assert without(body, body.shreds[:1]).shreds == body.shreds[1:]
    assert without(body, ["other"]) is body


def test_an_object_that_is_gone_was_seen_to() -> None:
    assert not len(read_words(MemoryBackend(), ["shred/data/gone"]))
