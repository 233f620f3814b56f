"""The gate: of many chunks at once it says what it says of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.packs import compress
from pfs.packs.compress import SMALL_CHUNK, are_compressible, is_compressible

CHUNKS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 127, 128, 2047, 2048, 2049, 9000, SMALL_CHUNK - 1, SMALL_CHUNK, 100_000]),
        st.sampled_from([1, 16, 200, 256]),
        st.integers(0, 99),
    ),
    max_size=12,
)


@pytest.mark.parametrize("many", [1, 5])
@given(chunks=CHUNKS)
def test_many_at_once_are_told_what_each_is(many: int, chunks: list[tuple[int, int, int]]) -> None:
    data = [
        np.random.default_rng(seed).integers(0, values, size, np.uint8).tobytes() if values < 256 else bytes(size)
        for size, values, seed in chunks
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compress, "_MANY", many)
        assert are_compressible([memoryview(one) for one in data]) == [is_compressible(one) for one in data]


def test_what_is_random_is_left_and_text_is_not() -> None:
    noise, text = np.random.default_rng(1).bytes(9000), b"text and more text\n" * 500
    assert are_compressible([noise, text] * 40) == [False, True] * 40


@given(seed=st.integers(0, 2**32 - 1), values=st.integers(1, 128))
def test_ascii_pays_whatever_it_says(seed: int, values: int) -> None:
    """Nothing is ASCII and worse to compress than random numbers of seven bits; it is not sampled."""
    data = np.random.default_rng(seed).integers(0, values, 16_000, np.uint8).tobytes()
    assert is_compressible(data)
    assert len(compress.compress_block(data)) <= len(data) * 0.9
