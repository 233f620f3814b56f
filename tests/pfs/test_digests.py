"""Digests of many short texts: by lanes, by the twin, and by the blake3 package one by one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from pfs import digests
from pfs.digests import digests_in

LENGTHS = st.sampled_from([0, 1, 31, 63, 64, 65, 150, 1023, 1024, 1025, 2048, 2049, 5000])


@pytest.fixture(params=["native", "twin"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "twin":
        monkeypatch.setitem(sys.modules, "pfs._batch", None)
    else:
        pytest.importorskip("pfs._batch")
    digests._hash.cache_clear()
    yield
    digests._hash.cache_clear()


@given(st.lists(LENGTHS, max_size=40), st.sampled_from(["pfs tid v1", "x" * 1500, "ä"]))
@example([], "pfs tid v1")
def test_each_piece_has_its_digest(lengths: list[int], context: str) -> None:
    data = np.random.default_rng(len(lengths)).bytes(sum(lengths))
    ends = np.cumsum(lengths, dtype=np.int64)
    found = digests_in(context, data, ends)
    pieces = [data[end - length : end] for end, length in zip(ends.tolist(), lengths, strict=True)]
    assert found == b"".join(blake3(piece, derive_key_context=context).digest() for piece in pieces)
