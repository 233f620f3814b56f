"""The index: what it finds, shares and survives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import IndexDamagedError, StorageError
from pfs.ids import CommitId, PackId
from pfs.packs.chunk_rows import chunk_rows
from pfs.packs.index import IN_BLOCK, Index, Location
from pfs.packs.index_env import SharedEnv
from pfs.packs.pack import ENTRY, Codec, SealedPack
from tests.pfs.frozen_world import freezing  # noqa: F401

UUID: Final = "store-1"
Row = tuple[bytes, int, int, int, int]
"""id, offset, clen, type, codec."""


def pack_of(rows: list[Row], *, number: int = 1) -> SealedPack:
    entries = np.array([(id, off, clen, clen, type, codec, 0) for id, off, clen, type, codec in rows], dtype=ENTRY)
    return SealedPack(PackId(number.to_bytes(16, "big")), "d", 1000, 5, entries.tobytes())


def chunks(*ids: bytes, number: int = 1) -> SealedPack:
    return pack_of([(id, 32 + at, 10, 1, 0) for at, id in enumerate(ids)], number=number)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big") + bytes(16)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index.open(tmp_path / "index.lmdb", store_uuid=UUID)
    yield opened
    opened.close()


def test_finds_what_was_added_in_the_order_asked(index: Index) -> None:
    index.add([pack_of([(id_of(3), 32, 7, 1, 0), (id_of(1), 99, 8, 2, 1), (id_of(2), 200, 9, 1, Codec.IN_BLOCK)])])
    assert index.find([id_of(2), id_of(9), id_of(1), id_of(2)]) == [
        Location(1, 200, 9, IN_BLOCK),
        None,
        Location(1, 99, 8, 2),
        Location(1, 200, 9, IN_BLOCK),
    ]
    assert index.find([]) == []


def test_large_values_survive(index: Index) -> None:
    index.add([pack_of([(b"\xff" * 32, (1 << 32) - 1, (1 << 28) - 1, 4, 0)])])
    assert index.find([b"\xff" * 32]) == [Location(1, (1 << 32) - 1, (1 << 28) - 1, 4)]


def test_ids_may_end_in_zero_bytes(index: Index) -> None:
    index.add([chunks(bytes(32), b"a" + bytes(31))])
    assert index.find([bytes(32), b"a" + bytes(31), b"a" * 32]) == [
        Location(1, 32, 10, 1),
        Location(1, 33, 10, 1),
        None,
    ]


def test_packs_are_numbered_and_known(index: Index) -> None:
    one, two = chunks(id_of(1), number=7), chunks(id_of(2), number=8)
    index.add([one])
    index.add([one, two])
    assert [index.pack(1), index.pack(2)] == [(one.pack_id, "d"), (two.pack_id, "d")]
    assert index.has_pack(two.pack_id)
    assert not index.has_pack(PackId(bytes(16)))
    assert index.stats()[:2] == (2, 2)
    with pytest.raises(IndexDamagedError, match="pack 3"):
        index.pack(3)


def test_the_pack_added_last_wins(index: Index) -> None:
    index.add([chunks(id_of(1), number=1), chunks(id_of(1), number=2)])
    assert index.find([id_of(1)]) == [Location(2, 32, 10, 1)]
    index.add([chunks(id_of(1), number=3)])
    assert index.find([id_of(1)]) == [Location(3, 32, 10, 1)]


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=3), max_size=4))
def test_index_is_a_dict(tmp_path_factory: pytest.TempPathFactory, batches: list[list[list[int]]]) -> None:
    index = Index.open(tmp_path_factory.mktemp("model"), store_uuid=UUID)
    model: dict[bytes, Location] = {}
    number = 0
    for batch in batches:
        packs = []
        for ids in batch:
            number += 1
            unique = list(dict.fromkeys(ids))
            packs.append(chunks(*(id_of(id) for id in unique), number=number))
            model.update({id_of(id): Location(number, 32 + at, 10, 1) for at, id in enumerate(unique)})
        index.add(packs)
    wanted = [id_of(id) for id in range(61)]
    assert index.find(wanted) == [model.get(id) for id in wanted]
    assert index.find(wanted[:3]) == [model.get(id) for id in wanted[:3]]
    index.close()


def test_commits_of_a_repo(index: Index) -> None:
    ids = [CommitId(f"{number:032x}") for number in [*range(600), (1 << 128) - 1]]
    index.add([], [("a", id, id.encode()) for id in reversed(ids)])
    index.add([], [("b", ids[0], b"other")])
    assert list(index.commits("a")) == [(id, id.encode()) for id in ids]
    assert index.commit("a", ids[1]) == ids[1].encode()
    assert index.commit("b", ids[0]) == b"other"
    assert index.commit("b", ids[1]) is None
    assert index.commit("none", ids[1]) is None
    assert list(index.commits("none")) == []


def test_a_forgotten_repo_is_gone_and_its_name_starts_anew(index: Index) -> None:
    id = CommitId("ab" * 16)
    index.add([], [("a", id, b"1"), ("b", id, b"2")])
    index.forget_repo("a")
    index.forget_repo("never-there")
    assert index.commit("a", id) is None
    assert list(index.commits("b")) == [(id, b"2")]
    index.add([], [("a", CommitId("cd" * 16), b"3")])
    assert list(index.commits("a")) == [("cd" * 16, b"3")]
    assert list(index.commits("b")) == [(id, b"2")]


def test_meta(index: Index) -> None:
    assert index.get_meta("clean") is None
    index.set_meta("clean", b"\x00yes")
    assert index.get_meta("clean") == b"\x00yes"


def test_handles_of_one_process_share_a_file_and_the_last_closes_it(tmp_path: Path) -> None:
    one = Index.open(tmp_path / "i", store_uuid=UUID)
    two = Index.open(tmp_path / ".." / tmp_path.name / "i", store_uuid=UUID)
    one.add([chunks(id_of(1))])
    one.close()
    one.close()
    assert two.find([id_of(1)]) == [Location(1, 32, 10, 1)]
    two.close()
    again = Index.open(tmp_path / "i", store_uuid=UUID)
    assert again.find([id_of(1)]) == [Location(1, 32, 10, 1)]
    again.close()


def test_an_index_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    old = Index.open(tmp_path / "i", store_uuid=UUID)
    old.add([chunks(id_of(1))])
    old.close()
    for name in ("data.mdb", "lock.mdb"):
        (tmp_path / "i" / name).unlink()
    new = Index.open(tmp_path / "i", store_uuid=UUID)
    assert new.find([id_of(1)]) == [None]
    new.close()


def test_another_stores_index_is_refused(tmp_path: Path) -> None:
    Index.open(tmp_path, store_uuid=UUID).close()
    with pytest.raises(IndexDamagedError, match=r"another store; `pfs recover`"):
        Index.open(tmp_path, store_uuid="store-2")
    Index.open(tmp_path, store_uuid=UUID).close()


def test_another_releases_index_is_refused(tmp_path: Path) -> None:
    index = Index.open(tmp_path, store_uuid=UUID)
    index.set_meta("schema", b"99")
    index.close()
    with pytest.raises(IndexDamagedError, match="another release"):
        Index.open(tmp_path, store_uuid=UUID)


@pytest.mark.parametrize("size", [1, 4096, 8192, 20000])
def test_garbage_is_no_index(tmp_path: Path, size: int) -> None:
    (tmp_path / "data.mdb").write_bytes(b"\x5a" * size)
    with pytest.raises(IndexDamagedError, match="pfs recover"):
        Index.open(tmp_path, store_uuid=UUID)


def test_a_file_that_lost_its_end_gives_an_error_not_a_crash(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from pfs.errors import IndexDamagedError
from pfs.packs.index import Index
try:
    index = Index.open(Path(sys.argv[1]), store_uuid="store-1")
    index.find([bytes([n]) * 32 for n in range(256)])
except IndexDamagedError as error:
    print(error.kind)
"""
    index = Index.open(tmp_path, store_uuid=UUID)
    index.add([chunks(*(bytes([n, m]) * 16 for n in range(256) for m in range(256)))])
    index.close()
    os.truncate(tmp_path / "data.mdb", 3 * 4096)
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, b"index-damaged\n")


def run_python(code: str, *args: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, check=False)


def test_a_place_that_cannot_hold_an_index(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=f"index in {tmp_path}/file"):
        Index.open(tmp_path / "file", store_uuid=UUID)


def test_a_full_map_grows(tmp_path: Path) -> None:
    shared = SharedEnv(tmp_path, map_sizes=(128 << 10,))
    index = Index(shared)
    ids = [id_of(number * 7919) for number in range(20_000)]
    index.add([chunks(*ids)])
    assert index.find(ids)[-1] == Location(1, 32 + 19_999, 10, 1)
    assert index.stats().size_bytes > 128 << 10
    shared.close()


_ADD_MANY = """
import sys
from pathlib import Path
import numpy as np
from pfs.packs.index import Index
from pfs.packs.pack import ENTRY, SealedPack
entries = np.zeros(50_000, ENTRY)
entries["id"] = np.frombuffer(np.random.default_rng(1).bytes(32 * 50_000), "V32")
index = Index.open(Path(sys.argv[1]), store_uuid="store-1")
index.add([SealedPack(bytes(15) + b"z", "d", 1, 1, entries.tobytes())])
index.close()
"""


def test_a_file_that_another_process_grew_is_mapped_anew(tmp_path: Path) -> None:
    Index.open(tmp_path, store_uuid=UUID).close()
    shared = SharedEnv(tmp_path, map_sizes=(128 << 10,))
    index = Index(shared)
    index.add([chunks(id_of(1))])
    assert run_python(_ADD_MANY, tmp_path).returncode == 0
    assert index.find([id_of(1)]) == [Location(1, 32, 10, 1)]
    assert index.stats().rows == 50_001
    index.add([chunks(id_of(2), number=2)])
    assert index.find([id_of(2)]) == [Location(3, 32, 10, 1)]
    shared.close()


_FILL = """
import os, sys
from pathlib import Path
import numpy as np
from pfs.errors import StorageFullError
from pfs.packs.index import Index
from pfs.packs.pack import ENTRY, SealedPack
entries = np.zeros(20_000, ENTRY)
entries["id"] = np.frombuffer(np.random.default_rng(1).bytes(32 * 20_000), "V32")
index = Index.open(Path(sys.argv[1]) / "index", store_uuid="store-1")
filler = Path(sys.argv[1], "filler")
filler.write_bytes(bytes(3_600_000))
try:
    index.add([SealedPack(bytes(16), "d", 1, 1, entries.tobytes())])
except StorageFullError as error:
    print(error.kind)
print(index.stats()[:2])
filler.unlink()
index.add([SealedPack(bytes(16), "d", 1, 1, entries.tobytes())])
print(index.stats()[:2])
"""


def can_mount() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


_OPEN_ON_A_FULL_DISK = """
import os, shutil, sys
from pathlib import Path
from pfs.errors import StorageFullError
from pfs.packs.index import Index
top, outcomes = Path(sys.argv[1]), []
for sparse in (False, True):
    for free in range(0, 110, 3):
        place, filler = top / "index", top / "filler"
        if sparse:  # as LMDB itself makes the file
            place.mkdir()
            with (place / "lock.mdb").open("wb") as lock:
                lock.truncate(65664)
        with filler.open("wb") as file:
            try:
                while True:
                    os.write(file.fileno(), bytes(4096))
            except OSError:
                os.truncate(file.fileno(), max(file.tell() - free * 4096, 0))
        try:
            Index.open(place, store_uuid="u").close()
            outcomes.append("made")
        except StorageFullError:
            outcomes.append("full")
        filler.unlink()
        Index.open(place, store_uuid="u").close()
        shutil.rmtree(place)
print(*sorted(set(outcomes)))
"""


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace for a small file system")
def test_opening_on_a_full_disk_is_an_error_and_no_crash(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _OPEN_ON_A_FULL_DISK]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"full made\n")


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace for a small file system")
def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _FILL]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert done.stdout.splitlines() == [b"storage-full", b"(0, 0)", b"(20000, 1)"]


def test_a_killed_writer_leaves_the_old_state(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from pfs.packs.index_env import acquire
def work(txn):
    for number in range(5000):
        txn.put("chunk", number.to_bytes(16, "big"), bytes(12))
    os.kill(os.getpid(), signal.SIGKILL)
acquire(Path(sys.argv[1])).write(work)
"""
    index = Index.open(tmp_path, store_uuid=UUID)
    assert run_python(code, tmp_path).returncode == -9
    assert index.stats().rows == 0
    index.add([chunks(id_of(1))])
    assert index.stats().rows == 1
    index.close()


def test_threads_read_while_others_write_and_the_map_grows(tmp_path: Path) -> None:
    shared = SharedEnv(tmp_path, map_sizes=(128 << 10,))
    index = Index(shared)
    stop = threading.Event()

    def read() -> int:
        seen = 0
        while not stop.is_set():
            found = index.find([id_of(number) for number in range(0, 20_000, 400)])
            count = sum(place is not None for place in found)
            assert count >= seen, "what was there stays there"
            seen = count
        return seen

    def write(number: int) -> None:
        index.add([chunks(*(id_of(number * 1000 + n) for n in range(1000)), number=number + 1)])

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        list(pool.map(write, range(20)))
        stop.set()
        assert all(reader.result() <= 50 for reader in readers)
    assert index.stats()[:2] == (20_000, 20)
    shared.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_uses_the_index_and_the_parent_goes_on(index: Index) -> None:
    index.add([chunks(id_of(1))])
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            assert index.find([id_of(1)]) != [None]

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        exits = [fork_and_write(index, number) for number in range(2, 5)]
        stop.set()
        reading.result()
    assert exits == [0, 0, 0]
    assert None not in index.find([id_of(number) for number in range(1, 5)])
    index.add([chunks(id_of(9), number=9)])


def fork_and_write(index: Index, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            index.add([chunks(id_of(number), number=number)])
            status = 0 if None not in index.find([id_of(1), id_of(number)]) else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


IDS = st.binary(min_size=2, max_size=2).map(lambda start: start.ljust(32, b"."))
NUMBERS = st.integers(0, 2**32 - 1)
ROWS = st.lists(st.tuples(IDS, NUMBERS, NUMBERS, st.integers(1, 6), st.integers(0, 2)), max_size=9)


@given(st.lists(ROWS, max_size=4))
def test_few_chunk_rows_are_made_as_many_are(drawn: list[list[Row]]) -> None:
    packs = [pack_of(rows, number=number) for number, rows in enumerate(drawn, 1)]
    numbers = list(range(7, 7 + len(packs)))
    assert chunk_rows(packs, few=10**6).items(numbers) == chunk_rows(packs, few=-1).items(numbers)
