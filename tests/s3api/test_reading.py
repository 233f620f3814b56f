"""Reading ahead: what many GETs hold together is bounded, and each of them gets its bytes."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing

import pytest

from pfs.store import Store
from pfs.trees.tree import Row
from s3api.objects import reading
from s3api.objects.reading import LEAST_BYTES, MOST_BYTES, THREADS, Budget, Extent, Reading, patience

MIB = 1 << 20
SIZE = 24 * MIB
STALLED = 60
DATA = os.urandom(SIZE)


@pytest.fixture
def row(home: Store) -> Row:
    repo = home.create_repo("r")
    with repo.commit("master") as commit:
        commit.put_file("/big", DATA)
    found = repo["master"].tree.stat(b"big", want="file")
    assert found is not None
    return found


@pytest.fixture
def shared() -> Iterator[Reading]:
    with closing(Reading(Budget(8 * MIB))) as one:
        yield one


def opened(
    home: Store, row: Row, shared: Reading, start: int = 0, stop: int = SIZE
) -> AsyncGenerator[memoryview, None]:
    extent = Extent(home.objects, row, start=start, stop=stop)
    return shared.pieces(extent, extent.read(shared.first_size()))


def test_ranges_come_whole_and_in_small_pieces(home: Store, row: Row, shared: Reading) -> None:
    async def read(start: int, stop: int) -> bytes:
        pieces = [bytes(piece) async for piece in opened(home, row, shared, start, stop)]
        assert all(0 < len(piece) <= LEAST_BYTES for piece in pieces)
        return b"".join(pieces)

    for start, stop in [(0, SIZE), (5, SIZE - 5), (3 * MIB + 1, 3 * MIB + 2), (MIB, 9 * MIB + 7), (7, 7)]:
        assert asyncio.run(read(start, stop)) == DATA[start:stop]
    assert shared.budget.used == 0


def test_many_that_stall_share_one_budget(home: Store, row: Row, shared: Reading) -> None:
    async def stall() -> int:
        many = [opened(home, row, shared) for _ in range(STALLED)]
        before = threading.active_count()
        for one in many:
            assert DATA.startswith(await anext(one))
        held = shared.budget.used
        assert threading.active_count() <= before + THREADS
        assert b"".join([bytes(piece) async for piece in opened(home, row, shared)]) == DATA
        for one in many:
            await one.aclose()
        return held

    least = home.params.max_bytes + LEAST_BYTES
    assert asyncio.run(stall()) <= shared.budget.total + MOST_BYTES + STALLED * least
    assert shared.budget.used == 0


def test_damage_ends_the_reading_and_gives_everything_back(home: Store, row: Row, shared: Reading) -> None:
    class Damaged(Extent):
        def fetch(self, refs: object) -> list[memoryview]:
            raise OSError("damaged")

    async def read() -> None:
        async for _ in shared.pieces(Damaged(home.objects, row, start=0, stop=SIZE), [memoryview(b"first")]):
            pass

    with pytest.raises(OSError, match="damaged"):
        asyncio.run(read())
    assert shared.budget.used == 0


@pytest.mark.parametrize("used", [0, 11])
def test_a_slow_client_is_dropped_sooner_when_memory_is_short(used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HURRY_S", 0)

    async def send() -> None:
        taken = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, taken.set)
        async with patience(Budget(10, used)):
            await taken.wait()

    if used:
        with pytest.raises(TimeoutError):
            asyncio.run(send())
    else:
        asyncio.run(send())
