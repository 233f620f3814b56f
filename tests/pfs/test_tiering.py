"""Storage classes of a bucket: what goes where, what collection leaves there, and having archived data back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.classes import code_of
from pfs.backends.s3_place import S3Options
from pfs.encryption.secret import KeyFile
from pfs.errors import InvalidInputError, PfsError, StorageError, StorageFullError, ThawingError
from pfs.gc.collect import collect
from pfs.gc.options import Options
from pfs.packs.footer import SHELF
from pfs.packs.pack import parse_pack_name
from pfs.refs.tiering import Rule, read_rule, write_rule
from pfs.store import Store
from pfs.testing.faults import WRITES, FaultyBackend, How
from pfs.tiers.thaw import archived_packs, thaw
from pfs.tiers.tier import Tiered, tier
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.bucket_world import BUCKET, Answer, Asked, World
from tests.pfs.gc_world import visible
from tests.pfs.machines import Machine, machines

DAY_S = 86_400.0
COLD, DEEP = Rule(), Rule(storage_class="DEEP_ARCHIVE")
NOW = Options()
SECRET = KeyFile(b"a key file of 32 bytes or more: 1")


@pytest.fixture
def machine(bucket: World, tmp_path: Path) -> Iterator[Machine]:
    with machines(bucket, tmp_path, cache_bytes=0) as made:
        yield made


def body(seed: int, *, size: int = 4_400_000) -> bytes:
    return random.Random(seed).randbytes(size)


def put(store: Store, files: dict[str, bytes], *, repo: str = "data") -> str:
    with store.repo(repo).commit("master") as commit:
        for path, data in files.items():
            commit.put_file(path, data)
    return commit.id


def classes(store: Store) -> dict[str, str]:
    """Return the class of each data pack, by name."""
    return {entry.name: entry.storage_class for entry in store.backend.entries("packs/d/")}


def pass_days(bucket: World, store: Store, days: float) -> None:
    """Let the bucket's clock go on, and the store hear of it."""
    bucket.later_s += days * DAY_S
    list(store.backend.entries("config.json"))


def aged(bucket: World, machine: Machine) -> Store:
    """Make a store with three data packs: of a file that was replaced, of one that stays, and of a new one.

    All commits but the last are a hundred days old.
    """
    store = machine("one")
    store.create_repo("data")
    put(store, {"/replaced": body(1)})
    put(store, {"/kept": body(2)})
    put(store, {"/replaced": b"small"})
    pass_days(bucket, store, 100)
    put(store, {"/new": body(3)})
    return store


def counts(done: Tiered) -> tuple[int, int, int, int]:
    return done.packs, done.needed, done.there, done.left


def test_only_what_old_commits_alone_have_goes(bucket: World, machine: Machine) -> None:
    """A young commit is a snapshot of all its files: what it has stays, however old. Meta packs and all else stay."""
    store, other = aged(bucket, machine), machine("two")
    before = visible(store)
    told = tier(store, COLD, dry_run=True)
    assert counts(told) == (1, 2, 0, 0)
    assert set(classes(store).values()) == {""}
    done = tier(store, COLD)
    assert counts(done) == (1, 2, 0, 0)
    assert done.bytes == told.bytes > 4_400_000
    moved = [name for name, held in classes(store).items() if held]
    assert [classes(store)[name] for name in moved] == ["STANDARD_IA"]
    assert all(not e.storage_class for e in store.backend.entries("") if not e.name.startswith("packs/d/"))
    parsed = parse_pack_name(moved[0])
    assert parsed is not None
    assert store.index.tiers() == {parsed[0]: code_of("STANDARD_IA")}
    assert counts(tier(other, COLD)) == (0, 2, 1, 0)
    assert other.index.tiers() == store.index.tiers(), "a machine learns it from the listing"
    assert visible(store) == visible(other) == before
    assert list(fsck(store, deep=True)) == []
    pass_days(bucket, store, 31)
    assert counts(tier(store, Rule(storage_class="STANDARD"))) == (1, 0, 2, 0)
    assert set(classes(store).values()) == {""}
    assert store.index.tiers() == {}


def test_age_and_heads(bucket: World, machine: Machine) -> None:
    """A head that is old counts as old, but keeps out of archives unless that is wanted."""
    store = aged(bucket, machine)
    assert tier(store, Rule(older_ns=200 * 86_400 * 10**9), dry_run=True).packs == 0
    pass_days(bucket, store, 100)
    assert tier(store, COLD, dry_run=True).packs == 3
    assert tier(store, DEEP, dry_run=True).packs == 1
    assert tier(store, Rule(storage_class="DEEP_ARCHIVE", heads=True), dry_run=True).packs == 3


def test_what_collection_would_take_is_left_to_it(bucket: World, machine: Machine) -> None:
    """Dead packs, partly dead ones, condemned ones, and what an open commit or an upload may need."""
    store = aged(bucket, machine)
    put(store, {"/half": body(4), "/other": body(5)})
    dropped = put(store, {"/half": b"", "/other": b""})
    assert dropped
    for info in list(store.repo("data").commits("master"))[-2:]:  # which have what was replaced
        store.repo("data").squash_commit(info.id)
    pass_days(bucket, store, 200)
    put(store, {"/last": b"x"})
    opened = store.repo("data").start_commit("side")
    with store.repo("data").commit("side") as commit:
        commit.put_file("/staged", body(6))
    pass_days(bucket, store, 200)
    put(store, {"/last": b"y"})
    before = classes(store)
    done = tier(store, COLD)
    assert done.left == 1, "the pack of what was squashed"
    assert done.needed >= 1
    store.repo("data").drop_open(opened.id)
    report = collect(store, Options(grace_ns=86_400 * 10**9))
    assert report.waiting
    again = tier(store, Rule(storage_class="GLACIER_IR"))
    condemned = sum(store.index.is_condemned(pack[0]) for pack in map(parse_pack_name, before) if pack is not None)
    assert condemned == 2
    assert again.left >= condemned, "condemned packs are not worth a copy"
    assert collect(store, NOW).ended
    assert list(fsck(store, deep=True)) == []


def halved(bucket: World, machine: Machine) -> Store:
    """Make a store with a pack in the cold, of which half is dead."""
    store = machine("one")
    store.create_repo("data")
    put(store, {"/a": body(1)})
    first = put(store, {"/b": body(2), "/c": body(3)})
    put(store, {"/b": b""})
    pass_days(bucket, store, 100)
    put(store, {"/a": b"", "/c": b""})
    second = put(store, {"/x": b"new"})
    assert tier(store, COLD).packs == 2
    with store.repo("data").commit("keep") as commit:
        commit.copy(store.repo("data")[first], "/c", "/c")
    assert second
    for info in list(store.repo("data").commits("master"))[1:]:
        store.repo("data").squash_commit(info.id)
    return store


def test_collection_leaves_cold_packs_for_their_time(bucket: World, machine: Machine) -> None:
    """What is wholly dead goes at once; half a pack is billed as a whole for 30 days, so it is not written again."""
    store = halved(bucket, machine)
    cold = [name for name, held in classes(store).items() if held]
    assert len(cold) == 2
    report = collect(store, NOW)
    assert (report.deleted >= 1, report.cold) == (True, 1)
    left = [name for name, held in classes(store).items() if held]
    assert len(left) == 1
    assert collect(store, NOW).cold == 1
    pass_days(bucket, store, 31)
    report = collect(store, NOW)
    assert (report.cold, report.repacked) == (0, 1)
    assert set(classes(store).values()) == {""}
    assert store.repo("data")["keep"].read("/c") == body(3)
    assert list(fsck(store, deep=True)) == []


HOWS = list(How)


@pytest.mark.parametrize("held", ["STANDARD_IA", "DEEP_ARCHIVE"])
def test_every_write_fails(bucket: World, machine: Machine, tmp_path: Path, held: str) -> None:
    """Before, after, in the middle, and dead from there: all is as it was to see, and the next one ends it."""
    aged(bucket, machine).close()
    folder, rule = tmp_path / "one" / ".pfs", Rule(storage_class=held)
    with pfs.open(folder) as store:
        put(store, {"/more": body(7)})
        put(store, {"/more": b""})
        pass_days(bucket, store, 100)
        put(store, {"/last": b""})
        before = visible(store)
        open_backend = store.backend
        counting = FaultyBackend(open_backend)
        with_faults(folder, counting, rule, dry_run=True)
        assert counting.calls == 0, "looking writes nothing"
        fail_at, fired = 0, True
        while fired:
            fail_at += 1
            how = HOWS[fail_at % len(HOWS)]
            faulty = FaultyBackend(open_backend, fail_at=fail_at, how=how, dead_after=fail_at % 2 == 0, counted=WRITES)
            with_faults(folder, faulty, rule)
            fired = faulty.fired
            if held == "STANDARD_IA":
                assert visible(store) == before
        assert fail_at >= (2 if held == "STANDARD_IA" else 3)
        assert sorted(classes(store).values()) == ["", "", held, held]
        assert len(list(open_backend.entries(SHELF))) == (2 if held == "DEEP_ARCHIVE" else 0)
        assert list(fsck(store)) == []


def with_faults(folder: Path, backend: FaultyBackend, rule: Rule, *, dry_run: bool = False) -> None:
    with Store(folder, backend=backend) as store, suppress_injected():
        tier(store, rule, dry_run=dry_run)


@contextmanager
def suppress_injected() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if "injected" not in error.reason and not isinstance(error, StorageFullError):
            raise


def test_archived_data_is_asked_for_when_it_is_read(bucket: World, machine: Machine) -> None:
    """One line says that it is on the way; all else goes on: commits, listings, checks, collection, recovery."""
    store = aged(bucket, machine)
    first = [info.id for info in store.repo("data").commits("master")][-1]
    assert tier(store, DEEP).packs == 1
    assert store.index.tiers()
    view = store.repo("data")[first]
    with bucket.slow_restore():
        for _ in range(2):
            with pytest.raises(ThawingError, match="being restored from an archive"):
                view.read("/replaced")
        assert [one.query for one in bucket.asked if "restore" in one.query] == ["restore"], "asked for once"
        assert store.repo("data")["master"].read("/kept") == body(2)
        assert [info.path for info in view.list("/")] == ["/replaced"]
        assert collect(store, NOW).did_nothing
        assert list(fsck(store)) == []
        recover(store.path)
        again = machine("one")
        assert again.index.tiers() == store.index.tiers()
        assert again.repo("data")["master"].read("/new") == body(3)
        packs = archived_packs(again, again.repo("data")[first], "/replaced")
        assert not thaw(again, packs, DEEP).done
    assert thaw(store, packs, DEEP).done
    assert view.read("/replaced") == body(1)
    assert archived_packs(store, store.repo("data")["master"], "/") == []


def test_what_is_archived_is_stored_again_when_it_comes_again(bucket: World, machine: Machine) -> None:
    """A new commit can be read at once; the archived copy is dead when nothing else needs it."""
    store = aged(bucket, machine)
    tier(store, DEEP)
    with bucket.slow_restore():
        put(store, {"/again": body(1)})
        assert store.repo("data")["master"].read("/again") == body(1)
        first = [info.id for info in store.repo("data").commits("master")][-1]
        assert store.repo("data")[first].read("/replaced") == body(1)
        report = collect(store, NOW)
        assert report.deleted >= 1
        assert "DEEP_ARCHIVE" not in classes(store).values()
        assert list(store.backend.entries(SHELF)) == [], "the copy of a footer goes with its pack"
        assert list(fsck(store, deep=True)) == []


def test_what_is_purged_goes_out_of_archives_too(bucket: World, machine: Machine) -> None:
    """The rest of the pack is copied, so it is restored first; the collection after that does it."""
    store = machine("one")
    store.create_repo("data")
    put(store, {"/secret": body(1), "/rest": body(2)})
    put(store, {"/secret": b"", "/rest": b""})
    pass_days(bucket, store, 100)
    put(store, {"/x": b""})
    assert tier(store, DEEP).packs == 1
    from pfs.lifecycle.purge import purge

    purge(store, "data", "/secret")
    with bucket.slow_restore():
        report = collect(store, NOW)
        assert report.thawing == 1
        assert "DEEP_ARCHIVE" in classes(store).values()
    collect(store, NOW)
    assert "DEEP_ARCHIVE" not in classes(store).values()
    first = [info.id for info in store.repo("data").commits("master")][-1]
    assert store.repo("data")[first].read("/rest") == body(2)
    assert list(fsck(store, deep=True)) == []


def test_archives_that_others_made(bucket: World, machine: Machine) -> None:
    """A life-cycle rule of the bucket keeps no footer: the pack is left alone, and told as what it is."""
    store = aged(bucket, machine)
    victim = next(name for name in classes(store))
    store.backend.set_tier([victim], "GLACIER")
    with bucket.slow_restore():
        collect(store, NOW)
        assert victim in classes(store)
        with pytest.raises(PfsError, match=r"restored|archive"):
            [
                store.repo("data")[info.id].read(path)
                for info in store.repo("data").commits("master")
                for path in ("/replaced", "/kept", "/new")
                if store.repo("data")[info.id].find(path)
            ]
    assert store.repo("data")["master"].read("/new") == body(3)


def test_a_pack_that_is_collected_under_the_move(bucket: World, machine: Machine) -> None:
    """It is left out, and not made again."""
    store, other = aged(bucket, machine), machine("two")
    assert tier(store, COLD, dry_run=True).packs == 1
    done = list[str]()

    def collect_meanwhile(asked: Asked) -> Answer | None:
        if asked.method == "HEAD" and not done and "packs/d/" in asked.key:
            done.append(asked.key)
            for info in list(other.repo("data").commits("master"))[-2:]:
                other.repo("data").squash_commit(info.id)
            assert collect(other, NOW).deleted
        return None

    bucket.refuse = collect_meanwhile
    assert tier(store, COLD).packs == 0
    assert done
    assert set(classes(store).values()) == {""}
    assert len(classes(store)) == 2
    assert list(fsck(store, deep=True)) == []


def test_an_encrypted_store(bucket: World, tmp_path: Path) -> None:
    """Names and bytes are others in the bucket; what goes, and how it comes back, is the same."""
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url), cache_bytes=0)
    with connect(tmp_path / "one", url, settings=settings, encrypt=SECRET).store as store:
        store.create_repo("data")
        first = put(store, {"/a": body(1)})
        put(store, {"/a": b""})
        pass_days(bucket, store, 100)
        put(store, {"/b": b""})
        assert tier(store, DEEP).packs == 1
        with bucket.slow_restore():
            with pytest.raises(ThawingError):
                store.repo("data")[first].read("/a")
            assert collect(store, NOW).did_nothing
            recover_index = connect(tmp_path / "two", url, settings=settings, unlock=SECRET).store
        with recover_index as other:
            assert other.index.tiers() == store.index.tiers() != {}
            assert thaw(other, archived_packs(other, other.repo("data")[first], "/a"), DEEP).done
            assert other.repo("data")[first].read("/a") == body(1)


def test_two_machines_move_at_once(bucket: World, machine: Machine) -> None:
    """Both end well, and readers beside them see no difference."""
    stores = [aged(bucket, machine), machine("two")]
    pass_days(bucket, stores[0], 100)
    view = machine("three").repo("data")["master"]
    with ThreadPoolExecutor(3) as pool:
        moved = [pool.submit(tier, store, COLD) for store in stores]
        while not all(one.done() for one in moved):
            assert view.read("/kept") == body(2)
    assert sum(one.result().packs for one in moved) >= 3
    assert set(classes(stores[0]).values()) == {"STANDARD_IA"}
    assert list(fsck(stores[1], deep=True)) == []


def test_a_rule_is_kept_in_the_bucket(bucket: World, machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    assert not read_rule(one.backend).on
    rule = Rule(on=True, older_ns=1, storage_class="GLACIER_IR")
    bucket.lose = lambda asked: asked.is_write
    write_rule(one.backend, rule)
    bucket.lose = lambda _: False
    assert read_rule(two.backend) == rule


def test_a_disk_has_one_class(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store, pytest.raises(InvalidInputError, match="only buckets"):
        tier(store, COLD)
