"""Whole stores copied: between folders and buckets, beside writers and collections, cut off anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.local import LocalBackend
from pfs.backends.s3_place import S3Options
from pfs.changes.trash import undelete_repo
from pfs.config import FOLDER
from pfs.errors import AlreadyExistsError, ConflictError, CorruptionError, StorageError, StoreNotFoundError
from pfs.lifecycle.purge import purge
from pfs.model import BranchRef
from pfs.moving.clone import clone, copy_store
from pfs.refs.body import RefsBody
from pfs.refs.retention import Keep, Retention
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import BUCKET, World
from tests.pfs.gc_world import contents, put, visible


@pytest.fixture
def full(store: Store) -> Store:
    """A store with something of everything."""
    rng = random.Random(1)
    repo, other = store.create_repo("data", description="a"), store.create_repo("other")
    for number in range(5):
        put(repo, "master" if number % 2 else "side", rng)
    repo.create_tag("v1", "side")
    repo.squash_commit("master~1")
    repo.create_branch("gone", head="master")
    repo.delete_branch("gone")
    other.create_branch("computed", provenance=[BranchRef("data", "master")])
    put(repo, "master", rng)
    with repo.commit("master") as commit:
        commit.put_file("/secret", b"s" * 100_000)
        commit.put_file("/link", b"text")
    purge(store, "data", "/secret")
    store.repo("data").set_retention(Retention(keep=Keep(last=100)))
    other.start_commit("open")
    with other.commit("open") as draft:
        draft.put_file("/half", b"h" * 70_000)
    put(store.create_repo("dropped"), "master", rng)
    store.delete_repo("dropped")
    return store


def refs_of(store: Store) -> dict[str, RefsBody]:
    found = {}
    for name in store.refs.names():
        state = store.refs.raw(name)
        assert state is not None
        found[name] = msgspec.structs.replace(state.body, gc_gen=0, shelf=None)
    return found


def check_same(one: Store, two: Store) -> None:
    assert refs_of(one) == refs_of(two)
    assert visible(one) == visible(two)
    assert list(fsck(two, deep=True)) == []
    assert one.config.store_uuid != two.config.store_uuid
    assert one.params == two.params


def objects(path: Path) -> LocalBackend:
    return LocalBackend(path / FOLDER / "objects")


def test_a_clone_has_all(full: Store, tmp_path: Path) -> None:
    full.collect()
    report = clone(full.path, tmp_path / "two")
    assert (report.repos, report.damaged, report.location) == (2, (), str(tmp_path / "two" / FOLDER))
    assert report.sent_packs == report.packs == sum(1 for _ in full.backend.entries("packs/"))
    with pfs.open(tmp_path / "two") as two:
        check_same(full, two)
        opened = two.repo("other").branch("open").open_commit
        assert opened is not None
        assert two.repo("other").view(opened).read("/half") == b"h" * 70_000
        undelete_repo(two, "dropped")
        assert contents(two.repo("dropped"), "master")
        put(two.repo("data"), "master", random.Random(2))
        two.collect()
        assert list(fsck(two, deep=True)) == []
        with pytest.raises(AlreadyExistsError):
            clone(full.path, tmp_path / "two")


def test_through_a_bucket_and_back(full: Store, bucket: World, tmp_path: Path) -> None:
    url, options = f"s3://{BUCKET}/{uuid4().hex}", S3Options(endpoint=bucket.url)
    report = clone(full.path, url, options=options)
    assert report.location == url
    with connect(tmp_path / "near", url, settings=Settings(options)).store as near:
        check_same(full, near)
    with pytest.raises(AlreadyExistsError):
        clone(full.path, url, options=options)
    clone(tmp_path / "near", tmp_path / "back")
    with pfs.open(tmp_path / "back") as back:
        check_same(full, back)
        put(back.repo("data"), "master", random.Random(2))
    other = f"s3://{BUCKET}/{uuid4().hex}"
    bucket.counted()
    assert clone(tmp_path / "near", other, options=options).sent_packs == report.packs
    with connect(tmp_path / "third", other, settings=Settings(options)).store as third:
        check_same(full, third)


@pytest.mark.parametrize(("how", "dead"), [(How.FULL, False), (How.AFTER, True)])
def test_whatever_fails_the_next_run_goes_on(full: Store, tmp_path: Path, how: How, dead: bool) -> None:
    """Every second write of a copy fails once, the others the other way: no store then, and nothing is sent twice."""
    for at in range(1 + dead, _calls(full, tmp_path) + 1, 2):
        home = tmp_path / f"{at}"
        (home / FOLDER / "objects").mkdir(parents=True)
        faulty = FaultyBackend(objects(home), fail_at=at, how=how, dead_after=dead)
        try:
            copy_store(full.backend, faulty, location="")
        except StorageError:
            lost_reply = how is How.AFTER and faulty.log[-1] == "put_new config.json"
            assert (objects(home).read("config.json") is not None) == lost_reply
        there = sum(1 for _ in objects(home).entries("packs/"))
        report = clone(full.path, home)
        assert report.sent_packs == report.packs - there
        with pfs.open(home) as made:
            assert refs_of(full) == refs_of(made)
            assert list(fsck(made)) == []


def _calls(full: Store, tmp_path: Path) -> int:
    place = tmp_path / uuid4().hex
    place.mkdir()
    faulty = FaultyBackend(LocalBackend(place))
    copy_store(full.backend, faulty, location="")
    return faulty.calls


class Meddling:
    """The source's backend, at whose reads of packs something else happens in the store, once each."""

    def __init__(self, store: Store, deeds: list[Callable[[], object]]) -> None:
        self._backend, self._deeds = store.backend, deeds

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if name.startswith("packs/") and self._deeds:
            self._deeds.pop(0)()
        return self._backend.get(name, offset=offset, length=length)


def test_beside_writers_and_collections(full: Store, tmp_path: Path) -> None:
    """A branch loses what is being copied, and collections take it away: the copy is of one moment."""
    repo, rng, deleted = full.repo("data"), random.Random(3), list[int]()

    def lose() -> None:
        put(repo, "master", rng)
        purge(full, "data", "/text", recursive=True)
        report = full.collect()
        deleted.append(report.deleted + report.repacked)

    place = tmp_path / "objects"
    place.mkdir()
    with closing(LocalBackend(place)) as target:
        copy_store(Meddling(full, [lose, lose, lose]), target, location="")  # type: ignore[arg-type]
    assert all(deleted)
    home = tmp_path / "home2" / FOLDER
    home.mkdir(parents=True)
    place.rename(home / "objects")
    (home / "config.json").write_bytes((full.path / "config.json").read_bytes())
    with pfs.open(home) as two:
        check_same(full, two)


def test_endless_collections_end_it(full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfs.moving.still.ROUNDS", 3)
    rng = random.Random(4)

    class Restless(Meddling):
        def read(self, name: str) -> object:
            if name.startswith("refs/data"):
                put(full.repo("data"), "master", rng)
                purge(full, "data", "/text", recursive=True)
                full.collect()
            return self._backend.read(name)

    with pytest.raises(ConflictError, match="gc"):
        copy_store(Restless(full, []), LocalBackend(tmp_path), location="")  # type: ignore[arg-type]
    assert LocalBackend(tmp_path).read("config.json") is None


def test_a_damaged_pack_is_copied_and_named(full: Store, tmp_path: Path) -> None:
    name = next(entry.name for entry in full.backend.entries("packs/") if entry.size > 100_000)
    place = full.path / "objects" / name
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.chmod(0o644)
    place.write_bytes(data)
    report = clone(full.path, tmp_path / "two")
    assert report.damaged == (name,)
    assert (tmp_path / "two" / FOLDER / "objects" / name).read_bytes() == data
    with pfs.open(tmp_path / "two") as two:
        assert list(fsck(two, deep=True))


def test_what_was_torn_at_the_target_is_named(full: Store, tmp_path: Path) -> None:
    entry = next(full.backend.entries("packs/"))
    place = tmp_path / "two" / FOLDER / "objects" / entry.name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"torn")
    with pytest.raises(CorruptionError, match="delete it"):
        clone(full.path, tmp_path / "two")


def test_of_another_store_nothing_stays_visible(full: Store, tmp_path: Path) -> None:
    """A copy that was cut off before its end, then one of another store to the same place."""
    with pfs.init(tmp_path / "else") as other:
        put(other.create_repo("only"), "master", random.Random(1))
    two = tmp_path / "two"
    (two / FOLDER / "objects").mkdir(parents=True)
    faulty = FaultyBackend(objects(two), fail_at=_calls(full, tmp_path))
    with pytest.raises(StorageError):
        copy_store(full.backend, faulty, location="")
    clone(tmp_path / "else", two)
    with pfs.open(two) as made:
        assert [info.name for info in made.list_repos()] == ["only"]
        made.collect()
        assert list(fsck(made, deep=True)) == []


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        clone(tmp_path, tmp_path / "two")
    assert not (tmp_path / "two").exists()
