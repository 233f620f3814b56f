"""Leases: written before the first sealed pack of a writer, and by one that takes long; gone when it ends."""

import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import pytest

import pfs
from pfs.backends.base import Backend
from pfs.backends.memory import MemoryBackend
from pfs.errors import StorageError
from pfs.ids import PackId, chunk_id
from pfs.machine import host_of, this_machine
from pfs.packs import session_data
from pfs.packs.index import Index
from pfs.packs.lease import PATIENCE_NS, PREFIX, RENEW_NS, TTL_NS, Lease, leased_packs
from pfs.packs.objects import Objects
from pfs.packs.session import WriteSession
from pfs.parallel import Uploads
from pfs.store import Store
from pfs.testing.faults import FaultyBackend

ONE, TWO = PackId(b"1" * 16), PackId(b"2" * 16)


class Clock:
    now_ns = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def test_a_lease_counts_until_it_runs_out_or_ends() -> None:
    backend, clock = MemoryBackend(), Clock()
    lease = Lease(backend, clock_ns=clock)
    assert not lease.is_due
    clock.now_ns += PATIENCE_NS
    assert lease.is_due
    lease.write([ONE], seen_gen=3)
    assert not lease.is_due
    assert leased_packs(backend, now_ns=clock.now_ns) == {ONE}
    clock.now_ns += RENEW_NS
    assert lease.is_due
    lease.write([ONE, TWO], seen_gen=3)
    assert leased_packs(backend, now_ns=clock.now_ns + TTL_NS - 1) == {ONE, TWO}
    lease.end()
    lease.end()
    assert list(backend.entries(PREFIX)) == []
    lease.write([TWO], seen_gen=3)
    assert leased_packs(backend, now_ns=clock.now_ns) == {TWO}
    assert leased_packs(backend, now_ns=clock.now_ns + TTL_NS) == set()
    assert list(backend.entries(PREFIX)) == [], "what ran out is removed"


def test_what_cannot_be_written_or_read_is_passed_over() -> None:
    backend, clock = MemoryBackend(), Clock()
    Lease(FaultyBackend(backend, fail_at=1, dead_after=True), clock_ns=clock).write([ONE], seen_gen=0)
    backend.swap(f"{PREFIX}broken.json", None, b"{")
    Lease(backend, clock_ns=clock).write([TWO], seen_gen=0)
    assert leased_packs(backend, now_ns=clock.now_ns) == {TWO}


def test_a_lease_of_a_process_that_is_dead_does_not_count() -> None:
    backend, clock = MemoryBackend(), Clock()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    body = {"host": this_machine(), "pid": child.pid, "started": 1, "expires": clock.now_ns + TTL_NS}
    for number, other in enumerate([{}, {"host": host_of(this_machine())}]):
        lease = msgspec.json.encode({**body, **other, "packs": [bytes([number] * 16).hex()]})
        backend.swap(f"{PREFIX}{number}.json", None, lease)
    assert leased_packs(backend, now_ns=clock.now_ns, tidy=False) == {PackId(bytes([1] * 16))}
    assert len(list(backend.entries(PREFIX))) == 2
    leased_packs(backend, now_ns=clock.now_ns)
    assert [entry.name for entry in backend.entries(PREFIX)] == [f"{PREFIX}1.json"]


class Session:
    def __init__(self, directory: Path) -> None:
        self.backend, self.clock = MemoryBackend(), Clock()
        self.index = Index.open(directory, store_uuid="u")
        self.objects = Objects(self.backend, self.index, on_missing=lambda: False)

    def begin(self, backend: Backend | None = None, *, background: Uploads | None = None) -> WriteSession:
        chosen = backend or self.backend
        return WriteSession(chosen, self.index, self.objects, clock=self.clock, background=background)

    def leased(self) -> frozenset[PackId]:
        return leased_packs(self.backend, now_ns=self.clock.now_ns)


def put(session: WriteSession, seed: int, *, size: int = 1 << 20) -> None:
    data = np.random.default_rng(seed).bytes(size)
    session.put_chunks([(chunk_id(data), data)])


def test_a_data_pack_is_leased_before_it_is_there(tmp_path: Path) -> None:
    place = Session(tmp_path)
    session = place.begin()
    for seed in range(1, 8):
        put(session, seed)
    assert not list(place.backend.entries("packs/"))
    assert place.leased() == set(), "no part of it is where a collection could take it"
    session.seal_data()
    assert list(place.backend.entries("packs/"))
    assert set(session.pack_ids) <= place.leased()
    other = place.begin()
    other.adopt(session)
    assert len(list(place.backend.entries(PREFIX))) == 1
    assert {pack for pack in other.pack_ids if place.index.has_pack(pack)} <= place.leased()
    other.abandon()
    assert place.leased() == set()
    place.index.close()


@pytest.mark.parametrize("in_background", [False, True])
def test_who_dies_at_any_moment_leaves_no_data_pack_without_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_background: bool
) -> None:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 100_000)
    monkeypatch.setattr(session_data, "PACK_BYTES", 150_000)
    packs_left = set[int]()
    for fail_at in count(1):
        folder = tmp_path / str(fail_at)
        folder.mkdir()
        place, uploads = Session(folder), Uploads(2)
        dying = FaultyBackend(place.backend, fail_at=fail_at, dead_after=True)
        session = place.begin(dying, background=uploads if in_background else None)
        with suppress(StorageError):
            for seed in range(12):
                put(session, seed, size=50_000)
            session.seal_data()
        session.abandon()
        uploads.close()
        packs = {PackId(bytes.fromhex(entry.name[-37:-5])) for entry in place.backend.entries("packs/")}
        packs_left.add(len(packs))
        if not dying.fired:
            break
        assert packs <= place.leased()
        place.index.close()
    assert packs_left >= {0, 1, 2, 3}


def test_who_takes_long_leases_what_it_relies_on(tmp_path: Path) -> None:
    place = Session(tmp_path)
    first = place.begin()
    put(first, 1)
    place.index.add(first.seal())
    session = place.begin()
    put(session, 1)
    assert place.leased() == set()
    place.clock.now_ns += PATIENCE_NS
    put(session, 2)
    assert set(first.pack_ids) <= place.leased()
    session.release()
    assert place.leased() == set()
    place.index.close()


def test_a_writer_that_writes_nothing_for_long_keeps_its_lease(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    clock = Clock()
    with Store(tmp_path / ".pfs", clock_ns=clock) as store:
        session = store.session()
        session.put_chunks([(chunk_id(b"x"), b"x")])
        clock.now_ns += RENEW_NS
        store.keep_leases()
        assert list(store.backend.entries(PREFIX)) == [], "nothing is begun that a collection could take"
        session.seal()
        session.keep_lease()
        clock.now_ns += PATIENCE_NS
        session.put_chunks([(chunk_id(b"y"), b"y")])
        for _ in range(3):
            clock.now_ns += RENEW_NS
            store.keep_leases()
        assert set(session.pack_ids) <= leased_packs(store.backend, now_ns=clock.now_ns + TTL_NS - RENEW_NS)
        session.release()
        clock.now_ns += RENEW_NS
        store.keep_leases()
        assert leased_packs(store.backend, now_ns=clock.now_ns) == set()
