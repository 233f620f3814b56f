"""Hiding values in streams: whatever the cuts, what goes out is what would go out at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pps.workers.mask import Mask, StreamMask

_VALUES = st.lists(st.text("ab", min_size=6, max_size=9).map(str.encode), min_size=1, max_size=3)
_PIECES = st.lists(st.text("ab\n", max_size=12).map(str.encode), max_size=8)


def through(mask: Mask, pieces: list[bytes]) -> bytes:
    stream = StreamMask(mask)
    return b"".join([*map(stream.take, pieces), stream.end()])


@given(_VALUES, _PIECES)
def test_cuts_make_no_difference(values: list[bytes], pieces: list[bytes]) -> None:
    mask = Mask(values)
    out = through(mask, pieces)
    assert out == mask.all_of(b"".join(pieces))
    assert not any(value in out for value in values)


@given(_VALUES, _PIECES)
def test_no_more_than_needed_is_held(values: list[bytes], pieces: list[bytes]) -> None:
    stream = StreamMask(Mask(values))
    for piece in pieces:
        stream.take(piece)
        assert len(stream.held) < max(map(len, values))


def test_what_counts_as_a_value() -> None:
    mask = Mask([b"short", b"secret-value\n", b"line one\nx\nline two"])
    assert mask.all_of(b"short secret-value line one x line two") == b"short *** *** x ***"
    assert mask.all_of(b"line one\nx\nline two") == b"***"
    assert mask.text("\udcff secret-value") == "\udcff ***"
    assert Mask([b"abcdef", b"abcdefgh"]).all_of(b"abcdefgh abcdefg") == b"*** ***g"
    assert not Mask([b"short"])
    assert Mask().all_of(b"anything") == b"anything"
    assert "secret-value" not in repr(mask)
