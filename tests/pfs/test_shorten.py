"""What messages quote of what users typed."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pfs.shorten import MOST, quoted, shorten


@given(st.text(max_size=300), st.integers(3, 120))
@example("x" * 80, 80)
@example("x" * 81, 80)
def test_short_texts_stay_and_long_ones_keep_their_ends(text: str, most: int) -> None:
    short = shorten(text, most)
    assert len(short) == min(len(text), most)
    if len(text) <= most:
        assert short == text
    else:
        head, _, tail = short.partition("…") if "…" not in text else ("", "", "")
        assert text.startswith(head)
        assert text.endswith(tail)


@given(st.text(max_size=300))
def test_quoted_text_is_one_short_line(text: str) -> None:
    assert len(quoted(text)) <= MOST
    assert "\n" not in quoted(text)
    if len(repr(text)) <= MOST:
        assert quoted(text) == repr(text)
