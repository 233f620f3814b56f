"""Full packs of a session go to a bucket several at once, in bounded number; refs move when all are there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.base import Buffer
from pfs.backends.memory import MemoryBackend, MemoryObject
from pfs.backends.s3_place import S3Options
from pfs.errors import AccessRefusedError
from pfs.ids import chunk_id
from pfs.packs import session_data
from pfs.packs.pack import Codec, SealedPack
from pfs.packs.session_data import DataPacks, StagedRecord
from pfs.parallel import UPLOADS, Uploads
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World

REFUSED: Answer = "403 Forbidden", {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"
SIZES = {"STAGE_BYTES": 64 << 10, "PACK_BYTES": 256 << 10}
DATA = random.Random(5).randbytes(4 << 20)
WAIT_S = 120
"""Until a test that hangs is given up."""


@pytest.fixture
def folder(bucket: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SIZES.items():
        monkeypatch.setattr(session_data, name, value)
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "one", url, settings=settings, chunk_avg=65536).store as store:
        store.create_repo("data")
    return tmp_path / "one"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with pfs.open(folder) as opened:
        yield opened


def put(store: Store, path: str = "/a", data: bytes = DATA) -> None:
    with store.repo("data").commit("master") as commit:
        commit.put_file(path, data)


def is_data(asked: Asked) -> bool:
    return asked.method == "PUT" and "/packs/d/" in asked.key


class Gate:
    """Holds data packs back until there are `UPLOADS` of them; notes how many were there, and that refs came later."""

    def __init__(self, world: World) -> None:
        self._lock = threading.Condition()
        self.under_way = self.most = self.packs = 0
        self.refs_beside = 0
        self._world = world
        world.refuse, world.lose = self.come, self.go

    def come(self, asked: Asked) -> Answer | None:
        with self._lock:
            if is_data(asked):
                self.packs += 1
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                self._lock.notify_all()
                if self.packs <= UPLOADS:
                    assert self._lock.wait_for(lambda: self.most >= UPLOADS, WAIT_S)
            elif asked.is_write and "/refs/" in asked.key:
                self.refs_beside = max(self.refs_beside, self.under_way)
        return None

    def go(self, asked: Asked) -> bool:
        if is_data(asked):
            with self._lock:
                self.under_way -= 1
        return False


def test_packs_are_put_several_at_once_and_before_refs(store: Store, bucket: World) -> None:
    gate = Gate(bucket)
    put(store)
    assert gate.most == UPLOADS
    assert gate.packs > 2 * UPLOADS
    assert gate.refs_beside == 0
    assert store.repo("data")["master"].read("/a") == DATA
    assert list(fsck(store, deep=True)) == []


def test_a_pack_that_is_refused_ends_the_put(store: Store, bucket: World) -> None:
    put(store, "/0", b"0")
    for refused in (1, 3, 9):
        numbers = count(1)
        bucket.refuse = lambda asked, n=refused, numbers=numbers: (  # type: ignore[misc]
            REFUSED if is_data(asked) and next(numbers) >= n else None
        )
        with pytest.raises(AccessRefusedError):
            put(store)
        bucket.refuse = lambda _: None
        assert [info.path for info in store.repo("data")["master"].list("/")] == ["/0"]
    put(store)
    assert store.repo("data")["master"].read("/a") == DATA
    assert list(fsck(store, deep=True)) == []


def test_a_pack_that_is_refused_is_told_by_the_next_call(store: Store, bucket: World) -> None:
    bucket.refuse = lambda asked: REFUSED if is_data(asked) else None

    def put_many() -> None:
        with store.repo("data").commit("master") as commit:
            for number in range(200):  # some 40 packs, of which no more than the places are ever waited for
                commit.put_file(f"/{number % 7}", random.Random(number).randbytes(50_000))
            raise AssertionError("nothing was told")

    with pytest.raises(AccessRefusedError):
        put_many()
    bucket.refuse = lambda _: None


def test_lost_replies_cost_nothing_but_requests(store: Store, bucket: World) -> None:
    lost: set[str] = set()
    lock = threading.Lock()

    def lose(asked: Asked) -> bool:
        with lock:
            first = is_data(asked) and asked.key not in lost
            lost.add(asked.key)
            return first

    bucket.lose = lose
    put(store)
    bucket.lose = lambda _: False
    assert len([key for key in lost if "/packs/d/" in key]) > 2 * UPLOADS
    assert store.repo("data")["master"].read("/a") == DATA
    assert list(fsck(store, deep=True)) == []


def test_sessions_share_the_places(store: Store, bucket: World) -> None:
    gate = Gate(bucket)
    data = [random.Random(number).randbytes(1 << 20) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: put(store, f"/{number}", data[number]), range(4)))
    # What a commit has beyond full packs is sealed by its own thread.
    assert UPLOADS <= gate.most <= UPLOADS + 4
    for number in range(4):
        assert store.repo("data")["master"].read(f"/{number}") == data[number]


PUTTER = """
import random, sys, pfs
from pfs.ids import chunk_id
from pfs.packs import session_data
from pfs.packs.pack import Codec, SealedPack
from pfs.packs.session_data import DataPacks, StagedRecord
session_data.STAGE_BYTES, session_data.PACK_BYTES = 64 << 10, 256 << 10
with pfs.open(sys.argv[1]) as store, store.repo("data").commit("master") as commit:
    commit.put_file("/a", random.Random(5).randbytes(4 << 20))
"""


def test_a_put_that_is_killed_while_packs_are_under_way(folder: Path, bucket: World) -> None:
    reached, go_on = threading.Event(), threading.Event()
    numbers = count(1)

    def hold(asked: Asked) -> Answer | None:
        if is_data(asked) and next(numbers) >= 6:
            reached.set()
            go_on.wait(WAIT_S)
        return None

    bucket.refuse = hold
    child = subprocess.Popen([sys.executable, "-c", PUTTER, str(folder)], env=dict(os.environ))
    try:
        assert reached.wait(WAIT_S)
    finally:
        child.kill()
        child.wait()
        go_on.set()
    bucket.refuse = lambda _: None
    with pfs.open(folder) as store:
        assert store.repo("data").branches() == []
        bucket.counted()
        put(store)
        assert store.repo("data")["master"].read("/a") == DATA
        assert list(fsck(store, deep=True)) == []


def test_a_large_file_is_read_several_ranges_at_once(store: Store, bucket: World, tmp_path: Path) -> None:
    """On a machine that has nothing of it in its cache."""
    data = random.Random(6).randbytes(48 << 20)
    put(store, "/large", data)
    connect(tmp_path / "two", store.backend.location, settings=Settings(S3Options(endpoint=bucket.url))).store.close()
    lock, at_once, threads = threading.Condition(), [0, 0], store.objects.threads
    assert threads >= 8

    def come(asked: Asked) -> Answer | None:
        if asked.method == "GET" and "/packs/d/" in asked.key:
            with lock:
                at_once[0] += 1
                at_once[1] = max(at_once)
                lock.notify_all()
                assert lock.wait_for(lambda: at_once[1] >= threads, WAIT_S)
        return None

    def go(asked: Asked) -> bool:
        if asked.method == "GET" and "/packs/d/" in asked.key:
            with lock:
                at_once[0] -= 1
        return False

    with pfs.open(tmp_path / "two") as other:
        other.repo("data")["master"].stat("/large")
        bucket.refuse, bucket.lose = come, go
        other.repo("data")["master"].restore("/large", tmp_path / "large")
    bucket.refuse, bucket.lose = lambda _: None, lambda _: False
    assert (tmp_path / "large").read_bytes() == data


class Holding(MemoryBackend):
    """Holds packs that are published until another one has to wait, or is begun all the same; notes what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.held: dict[str, int] = {}
        self.most = self.most_bytes = 0
        self.publishing = 0
        self.is_waiting = False

    def create(self, name: str) -> HeldObject:
        return HeldObject(self, name)

    def note(self, name: str, size: int) -> None:
        with self.changed:
            self.held[name] = self.held.get(name, 0) + size
            self.most = max(self.most, len(self.held))
            self.most_bytes = max(self.most_bytes, sum(self.held.values()))
            self.changed.notify_all()

    def hold(self) -> None:
        with self.changed:
            self.publishing += 1
            assert self.changed.wait_for(lambda: self.is_waiting or self.most > UPLOADS, WAIT_S)


class HeldObject(MemoryObject):
    def __init__(self, backend: Holding, name: str) -> None:
        super().__init__(backend, name)
        self._holding, self._held_name = backend, name
        backend.note(name, 0)

    def write(self, *buffers: Buffer) -> None:
        super().write(*buffers)
        self._holding.note(self._held_name, sum(map(len, buffers)))

    def publish(self) -> bool:
        self._holding.hold()
        try:
            return super().publish()
        finally:
            with self._holding.changed:
                self._holding.held.pop(self._held_name)


class Watched(Uploads):
    """Tells when a pack that is to be begun waits although all places are taken."""

    def __init__(self, backend: Holding) -> None:
        super().__init__()
        self._backend = backend

    def wait_to_begin(self) -> None:
        with self._backend.changed:
            self._backend.is_waiting |= self._backend.publishing == UPLOADS
            self._backend.changed.notify_all()
        super().wait_to_begin()


def test_no_pack_is_begun_while_as_many_as_places_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SIZES.items():
        monkeypatch.setattr(session_data, name, value)
    backend = Holding()
    uploads = Watched(backend)
    sealed: list[SealedPack] = []
    packs = DataPacks(
        backend,
        begun=lambda _: None,
        seal=lambda writer: writer.seal(),
        sealed=sealed.append,
        clock_ns=lambda: 0,
        background=uploads,
    )

    def add(number: int) -> None:
        source = random.Random(number)
        for _ in range(50):
            data = source.randbytes(16 << 10)
            packs.add(StagedRecord([(chunk_id(data), len(data))], data, Codec.RAW))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    packs.seal_open()
    uploads.close()
    assert backend.is_waiting
    assert backend.most == UPLOADS
    assert backend.most_bytes <= UPLOADS * (SIZES["PACK_BYTES"] + SIZES["STAGE_BYTES"])
    assert len(sealed) > 4 * UPLOADS


def test_threads_end_and_begin_again() -> None:
    uploads = Uploads()
    assert uploads.submit(sum, [1, 2]).result() == 3
    uploads.close()
    uploads.close()
    assert uploads.submit(sum, [1, 2]).result() == 3
    with pytest.raises(ZeroDivisionError):
        uploads.submit(lambda: 1 // 0).result()
    assert [uploads.submit(int, number).result() for number in range(3 * UPLOADS)] == list(range(3 * UPLOADS))
    uploads.close()
