"""Reading ahead: what many GETs hold together is bounded, and each of them gets its bytes."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

import pfs
from pfs.packs.manifest import ChunkRef
from pfs.store import Store
from pfs.trees.tree import Row
from s3api.objects import reading
from s3api.objects.reading import LEAST_BYTES, MOST_BYTES, THREADS, Budget, Extent, Patience, Reading

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
        for one in many:
            assert DATA.startswith(await anext(one))
        held = shared.budget.used
        assert sum(thread.name.startswith("s3-read") for thread in threading.enumerate()) <= THREADS
        assert b"".join([bytes(piece) async for piece in opened(home, row, shared)]) == DATA
        for one in many:
            await one.aclose()
        return held

    least = home.params.max_bytes + LEAST_BYTES
    assert asyncio.run(stall()) <= shared.budget.total + MOST_BYTES + STALLED * least
    assert shared.budget.used == 0


def test_damage_ends_the_reading_and_gives_everything_back(home: Store, row: Row, shared: Reading) -> None:
    class Damaged(Extent):
        fetched = 0

        def fetch(self, refs: Sequence[ChunkRef], *, passing: bool = True) -> list[memoryview]:
            self.fetched += 1
            if self.fetched > 1:
                raise OSError("damaged")
            return super().fetch(refs, passing=passing)

    async def read() -> None:
        extent = Damaged(home.objects, row, start=0, stop=SIZE)
        async for _ in shared.pieces(extent, extent.read(MIB)):
            pass

    with pytest.raises(OSError, match="damaged"):
        asyncio.run(read())
    assert shared.budget.used == 0


@pytest.mark.parametrize(("used", "limit"), [(0, "PATIENCE_S"), (11, "HURRY_S")])
def test_a_client_that_takes_nothing_is_dropped_sooner_when_memory_is_short(
    used: int, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TICK_S", 0.01)
    monkeypatch.setattr(reading, limit, 0)

    async def send() -> None:
        async with Patience(Budget(10, used)) as patience:
            patience.waiting()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(send())


def test_only_waiting_for_the_client_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TICK_S", 0.001)
    monkeypatch.setattr(reading, "PATIENCE_S", 0)

    async def send() -> None:
        looked = asyncio.Event()
        async with Patience(Budget(10)) as patience:
            patience.waiting()
            patience.done()
            asyncio.get_running_loop().call_later(0.02, looked.set)
            await looked.wait()

    asyncio.run(send())


def test_chunks_larger_than_what_is_looked_up_ahead_come_whole(tmp_path: Path) -> None:
    with pfs.init(tmp_path, chunk_avg=8 << 20) as store:
        repo = store.create_repo("r")
        with repo.commit("master") as commit:
            commit.put_file("/big", bytes(40 * MIB))
        row = repo["master"].tree.stat(b"big", want="file")
        assert row is not None

        async def read() -> int:
            with closing(Reading(Budget(8 * MIB))) as shared:
                extent = Extent(store.objects, row, start=3, stop=40 * MIB)
                return sum([len(piece) async for piece in shared.pieces(extent, extent.read(1))])

        assert asyncio.run(read()) == 40 * MIB - 3
