"""What the faults of pfs.testing do, and what stores make of them: calls that wait, stale lists, damage, clocks."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.memory import MemoryBackend
from pfs.changes.replay import merge
from pfs.errors import CorruptionError, MissingObjectError, PfsError, StorageError
from pfs.gc.collect import collect
from pfs.gc.collector import Options
from pfs.store import Store
from pfs.testing.bucket import BucketBackend
from pfs.testing.contract import BackendContract, Raw
from pfs.testing.damage import DamagedBackend
from pfs.testing.faults import FaultyBackend, How
from pfs.testing.held import HeldBackend
from pfs.testing.passing import REQUESTS
from pfs.testing.skew import SkewedBackend
from pfs.testing.stale import StaleBackend
from pfs.testing.syscalls import Syscalls
from pfs.upkeep.check import fsck
from tests.matrix.place import Place, Prepared, Ticks
from tests.matrix.state import known_ids, visible
from tests.matrix.upkeep import garbage
from tests.matrix.world import prepare, put, text

DAY_NS = 24 * 3_600_000_000_000
WRAPPERS: list[Callable[[Backend], Backend]] = [
    HeldBackend,
    StaleBackend,
    DamagedBackend,
    lambda backend: SkewedBackend(backend, lambda _: DAY_NS),
]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=["held", "stale", "damage", "skew"])
class TestWithoutFault(BackendContract):
    @pytest.fixture
    def memory(self) -> MemoryBackend:
        return MemoryBackend()

    @pytest.fixture
    def backend(self, memory: MemoryBackend, wrap: Callable[[Backend], Backend]) -> Backend:
        made = wrap(memory)
        if isinstance(made, HeldBackend):
            made.release()
        return made

    @pytest.fixture
    def raw(self, memory: MemoryBackend) -> Raw:
        return lambda name: memory._objects[name][0] if name in memory._objects else None


class TestBucketInMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return BucketBackend()

    @pytest.fixture
    def raw(self, backend: BucketBackend) -> Raw:
        return lambda name: backend._objects[name][0] if name in backend._objects else None


def test_a_copied_bucket_has_the_same_etags_and_goes_its_own_way() -> None:
    one = BucketBackend()
    etag = one.swap("a", None, b"1")
    two = one.copy()
    assert [entry.etag for entry in two.entries("")] == [etag]
    assert etag not in (two.swap("a", etag, b"2"), one.swap("a", etag, b"3"))
    assert (one.get("a"), two.get("a")) == (b"3", b"2")


@pytest.fixture(scope="module")
def in_bucket(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared("bucket", tmp_path_factory.mktemp("bucket") / "top", prepare)


@pytest.fixture
def place(in_bucket: Prepared, tmp_path: Path) -> Place:
    return in_bucket.fresh(tmp_path / "one")


def second(place: Place) -> Place:
    """Another machine over the same bucket."""
    return place.machine("two")


# calls that wait


class Held:
    """Work over a backend of which one call waits."""

    def __init__(self, place: Place, at: int, *, after: bool) -> None:
        self.backend = HeldBackend(place.objects, at, counted=REQUESTS, after=after)
        self.error: BaseException | None = None
        self._place = place

    def start(self, work: Callable[[Store], object]) -> threading.Thread:
        def run() -> None:
            try:
                with self._place.open(self.backend) as store:
                    work(store)
            except BaseException as error:
                self.error = error
            finally:
                self.backend._reached.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_other_writers_and_a_collection_act_while_a_write_waits(
    in_bucket: Prepared, tmp_path: Path, *, after: bool
) -> None:
    at = 0
    while True:
        at += 1
        place = in_bucket.fresh(tmp_path / f"{at}")
        other = second(place)
        held = Held(place, at, after=after)
        thread = held.start(lambda store: merge(store, "data", "dev", "master"))
        held.backend.wait()
        with other.open() as store:
            put(store.repo("data"), "master", {"/meanwhile": text("meanwhile")})
            collect(store)
            put(store.repo("data"), "dev", {"/later": b"later"})
        held.backend.release()
        thread.join()
        assert held.error is None
        with other.open() as store:
            view = store.repo("data")["master"]
            assert view.read("/meanwhile") == text("meanwhile")
            assert view.read("/d/z") == text("z")
            assert len([one for one in store.repo("data").commits() if len(one.parents) == 2]) == 1
            assert list(fsck(store, deep=True)) == []
        if held.backend.calls < at:
            assert at > 2
            return


# listings of an earlier moment


@pytest.fixture
def stale(place: Place) -> tuple[StaleBackend, Place]:
    """A machine that lists what there was before another machine did a lot."""
    backend = StaleBackend(place.objects)
    backend.freeze()
    with second(place).open() as store:
        for number in range(12):  # more than is caught up with one by one
            put(store.repo("data"), "master", {f"/n{number}": text(f"{number}")})
        put(store.create_repo("made"), "master", {"/m": text("m")})
    return backend, place


def test_what_is_named_is_found_whatever_listings_say(stale: tuple[StaleBackend, Place]) -> None:
    backend, place = stale
    with place.open(backend) as store:
        assert store.repo("data")["master"].read("/n11") == text("11")
        assert store.repo("made")["master"].read("/m") == text("m")
        put(store.repo("data"), "master", {"/n11": b"again"})
        merge(store, "data", "dev", "master")
        store.repo("made").create_branch("b", head="master")
        with store.transaction() as transaction:
            for name in ("data", "made"):
                with transaction.repo(name).commit("master") as commit:
                    commit.put_file("/both", b"both")
    with second(place).open() as store:
        assert store.repo("data")["master"].read("/n11") == b"again"
        assert store.repo("made")["master"].read("/both") == b"both"
        assert list(fsck(store, deep=True)) == []


def test_what_is_listed_is_that_of_an_earlier_moment_and_no_error(stale: tuple[StaleBackend, Place]) -> None:
    backend, place = stale
    with place.open(backend) as store:
        assert "made" not in [info.name for info in store.list_repos()]
        backend.catch_up()
        assert "made" in [info.name for info in store.list_repos()]


def test_an_index_that_is_made_from_a_stale_list_catches_up(stale: tuple[StaleBackend, Place]) -> None:
    backend, place = stale
    place.forget_index()
    with place.open(backend) as store:
        assert store.repo("data")["master"].read("/n11") == text("11")
        assert list(store.repo("made").commits())


def test_bodies_of_an_earlier_moment_stop_a_writer_and_lose_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    backend = StaleBackend(place.objects, reads=True)
    backend.freeze()
    with second(place).open() as store:
        put(store.repo("data"), "master", {"/x": b"x"})
    with place.open(backend) as store, pytest.raises(PfsError):
        put(store.repo("data"), "master", {"/y": b"y"})
    with second(place).open() as store:
        assert store.repo("data")["master"].read("/x") == b"x"
        assert "/y" not in [info.path for info in store.repo("data")["master"].list("/")]


def test_collection_needs_listings_that_are_current(place: Place) -> None:
    """Why they are required of a server: what a repo stands on that is not listed looks dead."""
    dead = random.Random(9).randbytes(5_000_000)
    with place.open() as store:
        put(store.repo("data"), "alone", {"/dead": dead})
        store.repo("data").drop_commit("alone")
        store.repo("data").delete_branch("alone")
    place.clock.now_ns += 31 * DAY_NS
    backend = StaleBackend(place.objects)
    backend.freeze()
    with place.open() as store:
        put(store.create_repo("made"), "master", {"/found-stored": dead})
    with place.open(backend) as store:
        collect(store, pause=lambda _: None)
    with second(place).open() as store:
        assert list(fsck(store, deep=True)) != []


# damage


def objects_of(backend: Backend) -> list[str]:
    return [entry.name for entry in backend.entries("") if entry.name.startswith(("packs/", "refs/"))]


@pytest.mark.parametrize("seed", range(2))
def test_no_damaged_object_gives_other_bytes_and_fsck_finds_it(place: Place, seed: int) -> None:
    rng = random.Random(seed)
    with place.open() as store:
        known = known_ids(store)
        whole = visible(store, known)
    for number, name in enumerate(objects_of(place.objects)):
        backend = DamagedBackend(place.objects)
        size = len(place.objects.get(name))
        if rng.random() < 0.5:
            backend.cut(name, rng.randrange(size))
        else:
            backend.flip(name, rng.randrange(8 * size))
        machine = Place("bucket", place.top.with_name(f"m{seed}-{number}"), backend, place.clock)
        connect(place, machine)
        assert found_by_fsck(machine), name
        with suppress(CorruptionError, MissingObjectError), machine.open() as store:
            assert visible(store, known) == whole, name


def found_by_fsck(machine: Place) -> bool:
    """Say whether a machine that knows nothing yet finds damage."""
    try:
        with machine.open() as store:
            return list(fsck(store, deep=True)) != []
    except (CorruptionError, MissingObjectError):
        return True


def connect(place: Place, machine: Place) -> None:
    machine.folder.mkdir(parents=True)
    (machine.folder / "config.json").write_bytes((place.folder / "config.json").read_bytes())


# clocks


@pytest.mark.parametrize(("machine_days", "store_days"), [(-400, 0), (20, -400), (0, -400), (0, 400), (-400, 400)])
def test_clocks_that_are_off_by_days_lose_nothing(tmp_path: Path, machine_days: int, store_days: int) -> None:
    place = Prepared("bucket", tmp_path / "prepared", garbage).fresh(tmp_path / "one")
    rng = random.Random(store_days)
    skewed = SkewedBackend(place.objects, lambda _: store_days * DAY_NS + rng.randrange(-DAY_NS, DAY_NS))
    with second(place).open() as store:
        store.repo("data").set_retention(None)
        store.repo("other").set_retention(None)
        known = known_ids(store)
        before = visible(store, known)
    place.clock = Ticks(place.clock.now_ns + machine_days * DAY_NS)
    for min_age_days in (0, 1):
        with place.open(skewed) as store:
            collect(store, Options(min_age_ns=min_age_days * DAY_NS), pause=lambda _: None)
            assert visible(store, known) == before
    with place.open(skewed) as store:
        put(store.repo("data"), "master", {"/clock": text("clock")})
        merge(store, "data", "dev", "master")
        collect(store, pause=lambda _: None)
    with second(place).open() as store:
        view = store.repo("data")["master"]
        assert view.read("/clock") == text("clock")
        assert view.read("/d/z") == text("z")
        assert list(fsck(store, deep=True)) == []


# stores that cannot be written


@pytest.mark.parametrize("how", [How.READ_ONLY, How.FULL])
def test_what_cannot_be_written_can_be_read_and_says_why_in_one_line(place: Place, how: How) -> None:
    backend = FaultyBackend(place.objects, fail_at=1, how=how, stays=True)
    with place.open(backend) as store:
        for _ in range(2):
            with pytest.raises(StorageError, match=r"read-only file system|no space left") as caught:
                put(store.repo("data"), "master", {"/x": b"x"})
            assert "\n" not in str(caught.value)
        assert store.repo("data")["master"].read("/c") == text("c")
        assert list(fsck(store, deep=True)) == []


# system calls, and the power


def test_a_cut_leaves_what_was_synced_and_nothing_else(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path)
    backend.put_new("a/synced", b"1")
    etag = backend.swap("refs/r.json", None, b"old")
    with Syscalls(tmp_path) as calls:
        backend.put_new("a/also", b"2")
    calls.cut()
    assert [entry.name for entry in backend.entries("")] == ["a/also", "a/synced", "refs/r.json"]
    for at, (work, kept) in enumerate(
        [
            (lambda: backend.put_new("a/lost", b"3"), {"a/also", "a/synced", "refs/r.json"}),
            (lambda: backend.swap("refs/r.json", etag, b"new"), {"a/also", "a/synced", "refs/r.json"}),
            (lambda: backend.delete_many(["a/also"]), {"a/also", "a/synced", "refs/r.json"}),
        ]
    ):
        last = 4 - 2 * (at == 2)
        with Syscalls(tmp_path, fail_at=last, stays=True) as calls, pytest.raises(StorageError):
            work()
        calls.cut()
        assert {entry.name for entry in backend.entries("")} == kept
        assert LocalBackend(tmp_path).get("refs/r.json") == b"old"
        assert LocalBackend(tmp_path).get("a/also") == b"2"


def test_bytes_that_were_not_synced_are_gone_with_the_power(tmp_path: Path) -> None:
    with Syscalls(tmp_path) as calls:
        LocalBackend(tmp_path).put_new("whole", b"whole")
        (tmp_path / "torn").touch()
        fd = os.open(tmp_path / "torn", os.O_WRONLY)
        os.writev(fd, [b"torn"])
        os.close(fd)
    calls.cut()
    assert (tmp_path / "torn").read_bytes() == b""
    assert (tmp_path / "whole").read_bytes() == b"whole"


def test_system_calls_elsewhere_are_let_alone(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with Syscalls(tmp_path / "here", fail_at=1, code=errno.ENOSPC, stays=True) as calls:
        LocalBackend(tmp_path / "there").put_new("x", b"x")
        assert not calls.fired
        with pytest.raises(StorageError):
            LocalBackend(tmp_path / "here").put_new("x", b"x")
    LocalBackend(tmp_path / "here").put_new("x", b"x")
