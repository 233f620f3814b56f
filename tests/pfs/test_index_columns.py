"""Looking ids up as columns gives what looking them up one by one gives, and tells few and many entries the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.ids import PackId
from pfs.packs.chunk_rows import chunk_rows
from pfs.packs.footer import ENTRY, SealedPack, entries_fit
from pfs.packs.index import Index
from pfs.packs.index_columns import NOWHERE
from tests.pfs.bytes_world import World, as_spans, noise
from tests.pfs.frozen_world import freezing  # noqa: F401

HALVES: Final = st.sampled_from([bytes(8), b"\xff" * 8, b"a" + bytes(7), bytes(7) + b"\x80", b"\x7f" * 8])
IDS: Final = st.builds(lambda high, low: high + low + bytes(16), HALVES, HALVES)
CODECS: Final = st.integers(0, 4)
ENTRIES: Final = st.lists(
    st.tuples(
        IDS,
        st.sampled_from([0, 31, 32, 33, 500, 944, 999, 1000, (1 << 32) - 1]),
        st.sampled_from([0, 1, 10, 412, (1 << 28) - 1, (1 << 32) - 1]),
        st.integers(0, 1 << 31),
        st.integers(0, 8),
        CODECS,
        st.just(0),
    ),
    max_size=12,
)


def pack_of(rows: list[tuple[bytes, int, int, int, int, int, int]], number: int) -> SealedPack:
    return SealedPack(PackId(number.to_bytes(16, "big")), "d", 1000, 5, np.array(rows, ENTRY).tobytes())


@given(packs=st.lists(ENTRIES, max_size=4), asked=st.lists(IDS, max_size=40))
def test_columns_find_what_single_ids_find(
    tmp_path_factory: pytest.TempPathFactory,
    packs: list[list[tuple[bytes, int, int, int, int, int, int]]],
    asked: list[bytes],
) -> None:
    index = Index.open(tmp_path_factory.mktemp("index"), store_uuid="u")
    for number, rows in enumerate(packs, 1):
        index.add([pack_of([(*row[:2], row[2] & 0xFFF_FFFF, *row[3:]) for row in rows], number)])
    found = index.find_columns(np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 32))
    singly = index.find(asked, to_keep=True)
    assert found.pack_no.tolist() == [NOWHERE if place is None else place.pack_no for place in singly]
    assert found.type.tolist() == [0 if place is None else place.type for place in singly]
    index.close()


@given(packs=st.lists(ENTRIES, max_size=4))
def test_few_entries_give_the_rows_and_the_verdict_of_many(
    packs: list[list[tuple[bytes, int, int, int, int, int, int]]],
) -> None:
    sealed = [pack_of(rows, number) for number, rows in enumerate(packs)]
    numbers = [7 + number for number in range(len(packs))]
    assert chunk_rows(sealed, few=1 << 30).items(numbers) == chunk_rows(sealed, few=-1).items(numbers)
    for pack in sealed:
        for end in (0, 32, 100, 1000, 1 << 33):
            assert entries_fit(pack, end, few=1 << 30) == entries_fit(pack, end, few=-1)


def test_known_chunks_that_come_twice_beside_new_ones_are_not_stored_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    old, new = [noise(1000, seed) for seed in range(10)], noise(1000, 99)
    session = world.session()
    session.put_spans(as_spans(old))
    world.commit(session)
    session = world.session()
    session.put_spans(as_spans([old[3], old[3], new, old[5], new, old[5], old[3]]))
    assert session.new_chunks == 1
    world.index.close()
