"""Blocks of packs on the local disk, and reading through them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfs.backends.base import Buffer
from pfs.backends.blocks import _RECOUNT, SHARDS, BlockCache
from pfs.backends.cached import BLOCK, CachedReads
from pfs.backends.memory import MemoryBackend
from pfs.errors import NotFoundError

PACK = f"packs/d/aa/{'0' * 30}aa.pack"
META = f"packs/m/bb/{'0' * 30}bb.pack"
BODY = os.urandom(5 * BLOCK // 2)
LARGE = 1 << 30


class Far(MemoryBackend):
    """A backend whose calls cost something, and are noted."""

    parallel = 4

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[tuple[int, int]]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        self.calls.append((name, [(offset, -1 if length is None else length)]))
        return super().get(name, offset=offset, length=length)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self.calls.append((name, list(ranges)))
        self.gate.wait()
        return super().get_ranges(name, ranges)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def pack(number: int) -> str:
    return f"packs/d/00/{number:030x}00.pack"


def test_a_block_is_there_until_it_is_forgotten(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, limit_bytes=LARGE)
    assert cache.get(PACK, 0) is None
    cache.put(PACK, 0, b"first")
    cache.put(PACK, 12, b"")
    cache.put(META, 0, b"other")
    assert (cache.get(PACK, 0), cache.get(PACK, 12), cache.get(PACK, 1)) == (b"first", b"", None)
    assert cache.forget(PACK)
    assert not cache.forget(PACK)
    assert (cache.get(PACK, 0), cache.get(PACK, 12), cache.get(META, 0)) == (None, None, b"other")


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "longer", "swapped"])
def test_a_damaged_block_is_not_read_and_goes(tmp_path: Path, harm: str) -> None:
    cache = BlockCache(tmp_path, limit_bytes=LARGE)
    cache.put(PACK, 0, b"some bytes")
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[-1] ^= 1
    elif harm == "swapped":
        cache.put(PACK, 1, b"other ones")
        data = bytearray(files(tmp_path)[1].read_bytes())
    changed = {"cut": data[:-3], "empty": data[:0], "longer": data + b"x"}.get(harm, data)
    file.write_bytes(changed)
    assert cache.get(PACK, 0) is None
    assert not file.exists()


def test_the_limit_is_kept_and_what_was_not_used_longest_goes(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, limit_bytes=SHARDS * 100_000)
    for number in range(9):
        cache.put(pack(number), 0, bytes(10_000))
        os.utime(tmp_path / "0" / f"{number:030x}00.0", (number, number))
    cache.put(pack(10), 0, bytes(9_000))
    assert cache.get(pack(0), 0) is not None  # and now it is used
    cache.put(pack(11), 0, bytes(10_000))
    there = [number for number in range(12) if (tmp_path / "0" / f"{number:030x}00.0").exists()]
    assert there == [0, 3, 4, 5, 6, 7, 8, 10, 11]
    assert size(tmp_path) <= 100_000
    cache.put(pack(12), 0, bytes(200_000))
    assert cache.get(pack(12), 0) is None


def test_what_others_added_counts(tmp_path: Path) -> None:
    one, two = (BlockCache(tmp_path, limit_bytes=SHARDS * 50_000) for _ in range(2))
    for number in range(4):
        one.put(pack(number), 0, bytes(9_000))
    for number in range(10, 10 + 2 * _RECOUNT):
        two.put(pack(number), 0, bytes(100))
        one.put(pack(number + 1000), 0, bytes(100))
    assert size(tmp_path) <= 60_000


def work(folder: Path, seed: int) -> None:
    cache = BlockCache(folder, limit_bytes=SHARDS * 100_000)
    for number in range(200):
        name = pack((number * 7 + seed) % 40)
        found = cache.get(name, 0)
        assert found in (None, name.encode() * 100)
        cache.put(name, 0, name.encode() * 100)


def test_several_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(tmp_path, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    assert not [file for file in files(tmp_path) if file.suffix == ".new"]
    assert size(tmp_path) <= 3 * 100_000


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path, limit_bytes=LARGE)
    (tmp_path / "0").mkdir()
    old, young = tmp_path / "0" / "a.new", tmp_path / "0" / "b.new"
    old.write_bytes(b"half")
    os.utime(old, (1, 1))
    young.write_bytes(b"half")
    cache.put(pack(1), 0, b"x")
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = BlockCache(tmp_path / "file", limit_bytes=LARGE)
    cache.put(PACK, 0, b"x")
    assert cache.get(PACK, 0) is None
    assert not cache.forget(PACK)


@pytest.fixture
def far() -> Far:
    made = Far()
    made.put_new(PACK, BODY)
    made.put_new(META, BODY[:1000])
    return made


@pytest.fixture
def reads(far: Far, tmp_path: Path) -> CachedReads:
    return CachedReads(far, BlockCache(tmp_path, limit_bytes=LARGE))


def test_what_is_here_is_not_asked_for_again(far: Far, reads: CachedReads) -> None:
    ranges = [(10, 5), (BLOCK + 1, 10), (BLOCK - 2, 4)]
    wanted = [BODY[start : start + length] for start, length in ranges]
    assert reads.get_ranges(PACK, ranges) == wanted
    assert far.calls == [(PACK, [(0, 2 * BLOCK)])]
    assert reads.get_ranges(PACK, ranges) == wanted
    assert reads.get(PACK, offset=2 * BLOCK - 3, length=BLOCK) == BODY[2 * BLOCK - 3 :]
    assert far.calls[1:] == [(PACK, [(2 * BLOCK, BLOCK)])]


@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(0, 2 * BLOCK)), max_size=5))
def test_any_ranges(tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int]]) -> None:
    far = Far()
    far.put_new(PACK, BODY)
    reads = CachedReads(far, BlockCache(tmp_path_factory.mktemp("cache"), limit_bytes=LARGE))
    for _ in range(2):
        assert reads.get_ranges(PACK, ranges) == [BODY[start : start + length] for start, length in ranges]
    buffer = bytearray(100)
    assert reads.read_into(PACK, len(BODY) - 40, memoryview(buffer)) == 40
    assert buffer[:40] == BODY[-40:]


def test_the_end_of_a_meta_pack_brings_all_of_it(far: Far, reads: CachedReads) -> None:
    assert reads.get(META, offset=-64) == BODY[936:1000]
    assert reads.get(META, offset=100, length=50) == BODY[100:150]
    assert len(far.calls) == 1
    assert reads.get(PACK, offset=-64) == BODY[-64:]


def test_what_is_written_here_is_kept(far: Far, tmp_path: Path) -> None:
    class Telling(Far):
        def published(self, name: str, data: Buffer) -> None: ...

    telling = Telling()
    reads = CachedReads(telling, BlockCache(tmp_path, limit_bytes=LARGE))
    telling.published(META, bytearray(b"mine"))
    telling.published(PACK, b"data packs are not")
    assert reads.get(META, offset=0, length=10) == b"mine"
    with pytest.raises(NotFoundError):
        reads.get(PACK, offset=0, length=10)


def test_other_objects_are_not_kept(far: Far, reads: CachedReads, tmp_path: Path) -> None:
    far.swap("refs/a.json", None, b"1")
    assert reads.get("refs/a.json") == reads.get_ranges("refs/a.json", [(0, 1)])[0] == b"1"
    assert files(tmp_path) == []


def test_a_damaged_block_is_read_again(far: Far, reads: CachedReads, tmp_path: Path) -> None:
    reads.get(PACK, offset=0, length=1)
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert reads.get(PACK, offset=0, length=9) == BODY[:9]
    assert len(far.calls) == 2


def test_threads_that_want_one_block_ask_once(far: Far, reads: CachedReads) -> None:
    far.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(reads.get, PACK, offset=number, length=1) for number in range(4)]
        far.gate.set()
        assert [future.result() for future in found] == [BODY[n : n + 1] for n in range(4)]
    assert len(far.calls) == 1


def test_a_read_that_fails_lets_others_try(far: Far, reads: CachedReads) -> None:
    far.delete_many([PACK])
    with pytest.raises(NotFoundError):
        reads.get(PACK, offset=0, length=1)
    far.put_new(PACK, BODY)
    assert reads.get(PACK, offset=0, length=1) == BODY[:1]


def test_what_lies_behind_the_end_is_not_asked_for_again(tmp_path: Path) -> None:
    far = Far()
    far.put_new(PACK, BODY)
    for calls in (1, 0):
        far.calls.clear()
        reads = CachedReads(far, BlockCache(tmp_path, limit_bytes=LARGE))
        assert reads.get_ranges(PACK, [(2 * BLOCK + 9, 3 * BLOCK)]) == [BODY[2 * BLOCK + 9 :]]
        assert len(far.calls) == calls


def test_only_what_is_named_is_kept(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "cache", limit_bytes=1 << 20)
    cache.keep_only([])  # there is no folder yet
    names = [f"packs/m/aa/{number:032x}.pack" for number in range(40)]
    for name in names:
        cache.put(name, 0, name.encode())
        cache.put(name, 7, b"another block")
    cache.keep_only(names[::2])
    assert [cache.get(name, 0) for name in names[::2]] == [name.encode() for name in names[::2]]
    assert [cache.get(name, 7) for name in names] == [b"another block", None] * 20
