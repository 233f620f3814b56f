"""Commits between stores: what is missing is sent once, branches go forwards, whatever fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

import pfs
from pfs.attach import Settings, connect
from pfs.backends.base import Backend
from pfs.backends.local import LocalBackend
from pfs.backends.s3_place import S3Options
from pfs.config import FOLDER
from pfs.errors import (
    AlreadyExistsError,
    BranchNotFoundError,
    CollectedError,
    ConflictError,
    InvalidInputError,
    PfsError,
    RepoNotFoundError,
)
from pfs.ids import CommitId, chunk_id
from pfs.lifecycle.purge import purge
from pfs.model import Provenance
from pfs.moving.plan import Wish
from pfs.moving.push import send
from pfs.store import Store
from pfs.testing.faults import READS, WRITES, FaultyBackend, How
from pfs.upkeep.check import fsck
from tests.pfs.bucket_world import BUCKET, World
from tests.pfs.gc_world import Clock, contents, put, visible


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return pfs.init(tmp_path / "other")


@pytest.fixture
def full(store: Store) -> Store:
    """Two repos with some history, one made from the other."""
    rng = random.Random(1)
    data, made = store.create_repo("data", description="a"), store.create_repo("made")
    for number in range(4):
        put(data, "side" if number == 1 else "master", rng)
    data.create_tag("v1", "master~1")
    put(made, "master", rng)
    source = Provenance("data", "master", CommitId(str(data.branch("master").head)))
    opened = made.start_commit("master", provenance=[source])
    with made.commit("master") as commit:
        commit.put_file("/x", b"x" * 100_000)
    made.finish_commit(opened.id)
    return store


def check(source: Store, target: Store) -> None:
    assert visible(source) == visible(target)
    assert list(fsck(target, deep=True)) == []


def test_a_push_sends_what_is_missing_and_the_next_one_nothing(full: Store, other: Store) -> None:
    sent = send(full, other)
    assert [(one.repo, one.branches, one.tags, one.commits) for one in sent] == [
        ("data", ("master", "side"), ("v1",), 4),
        ("made", ("master",), (), 2),
    ]
    check(full, other)
    faulty = FaultyBackend(other.backend)
    assert send(full, Store(other.path, backend=faulty)) == []
    assert faulty.calls == 0
    put(full.repo("data"), "master", random.Random(2), files=1)
    put(full.repo("data"), "other", random.Random(3), files=1)
    (one,) = send(full, other)
    assert (one.repo, one.branches, one.commits) == ("data", ("master", "other"), 2)
    check(full, other)
    assert other.repo("data").info().description == "a"
    put(other.repo("data"), "master", random.Random(4))
    assert send(full, other) == []
    (one,) = send(other, full)
    assert one.branches == ("master",)
    check(other, full)
    other.collect()
    check(full, other)


def test_one_branch_brings_what_it_was_made_from(full: Store, other: Store) -> None:
    sent = send(full, other, [Wish("made", "master")])
    assert [(one.repo, one.branches, one.tags) for one in sent] == [
        ("data", ("master",), ("v1",)),
        ("made", ("master",), ()),
    ]
    assert contents(other.repo("made"), "master") == contents(full.repo("made"), "master")
    assert other.repo("made").inspect("master") == full.repo("made").inspect("master")
    assert [branch.name for branch in other.repo("data").branches()] == ["master"]
    assert list(fsck(other, deep=True)) == []


def test_what_commits_were_made_from_and_is_there_stays_as_it_is(full: Store, other: Store) -> None:
    send(full, other, [Wish("made", "master")])
    source = Provenance("data", "master", CommitId(str(full.repo("data").branch("master").head)))
    for store, seed in ((full, 1), (other, 2)):
        put(store.repo("data"), "master", random.Random(seed))
    opened = full.repo("made").start_commit("master", provenance=[source])
    full.repo("made").finish_commit(opened.id)
    (one,) = send(full, other, [Wish("made", "master")])
    assert (one.repo, one.commits) == ("made", 1)
    with pytest.raises(ConflictError, match="data@master went another way"):
        send(full, other)


def test_chunks_that_are_there_are_not_sent(full: Store, other: Store) -> None:
    with other.create_repo("mine").commit("master") as commit:
        for path, data in contents(full.repo("data"), "master").items():
            commit.put_file(path, data)
    sent = send(full, other, [Wish("data", "master")])
    fresh = send(full, pfs.init(other.path.parent.parent / "third"), [Wish("data", "master")])
    assert sent[0].bytes < fresh[0].bytes
    assert list(fsck(other, deep=True)) == []


def test_what_went_another_way_is_refused_before_anything_is_sent(full: Store, other: Store) -> None:
    send(full, other, [Wish("made", None)])
    put(other.repo("made"), "master", random.Random(5))
    theirs = other.repo("made").branch("master").head
    put(full.repo("made"), "master", random.Random(6))
    put(full.repo("data"), "master", random.Random(7))
    before = visible(other)
    with pytest.raises(ConflictError, match="made@master went another way"):
        send(full, other)
    assert visible(other) == before
    send(full, other, force=True)
    assert other.repo("made").branch("master").head == full.repo("made").branch("master").head
    assert other.repo("made").undelete("master") == theirs
    assert list(fsck(other, deep=True)) == []


def test_what_cannot_be_sent(full: Store, other: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="one store"):
        send(full, full)
    with pytest.raises(RepoNotFoundError):
        send(full, other, [Wish("none", None)])
    with pytest.raises(BranchNotFoundError):
        send(full, other, [Wish("data", "none")])
    with pytest.raises(InvalidInputError, match="bytes on average"):
        send(full, pfs.init(tmp_path / "coarse", chunk_avg=1 << 20))
    put(other.create_repo("data"), "x", random.Random(1))
    other.repo("data").create_tag("v1", "x")
    with pytest.raises(AlreadyExistsError, match="v1"):
        send(full, other)
    other.repo("data").delete_tag("v1")
    other.repo("data").start_commit("master")
    with pytest.raises(ConflictError, match="open commit"):
        send(full, other)


def test_squashed_and_purged_history(full: Store, other: Store) -> None:
    data = full.repo("data")
    data.delete_tag("v1")
    send(full, other, [Wish("data", "side")])
    data.squash_commit("master~1")
    purge(full, "data", "/text", recursive=True)
    send(full, other)
    assert contents(other.repo("data"), "master") == contents(data, "master")
    assert [c.id for c in other.repo("data").commits("master")] == [c.id for c in data.commits("master")]
    assert list(fsck(other, deep=True)) == []


def test_through_a_bucket(full: Store, other: Store, bucket: World, tmp_path: Path) -> None:
    url, settings = f"s3://{BUCKET}/{uuid4().hex}", Settings(S3Options(endpoint=bucket.url))
    with connect(tmp_path / "near", url, settings=settings).store as near:
        send(full, near)
        bucket.counted()
        assert send(full, near) == []
        assert bucket.counted()[0] == 0
        check(full, near)
        send(near, other)
    check(full, other)
    with connect(tmp_path / "far", url, settings=settings).store as far:
        check(full, far)


@pytest.mark.parametrize(("how", "dead"), [(How.FULL, False), (How.AFTER, True)])
def test_whatever_fails_each_repo_has_all_or_nothing(full: Store, tmp_path: Path, how: How, dead: bool) -> None:
    at, fired = int(dead) - 1, True
    whole = visible(full)
    while fired:
        at += 2
        pfs.init(tmp_path / f"{at}").close()
        path = tmp_path / f"{at}" / FOLDER
        faulty = FaultyBackend(LocalBackend(path / "objects"), fail_at=at, how=how, dead_after=dead)
        with Store(path, backend=faulty) as made, suppress(PfsError):
            send(full, made)
        fired = faulty.fired
        with pfs.open(path) as made:
            found = visible(made)
            for repo in ("data", "made"):
                ours = {name: value for name, value in found.items() if name.startswith(repo)}
                theirs = {name: value for name, value in whole.items() if name.startswith(repo)}
                assert ours in ({}, {f"{repo} tags": []}, theirs)
            send(full, made)
            assert visible(made) == whole
            assert list(fsck(made)) == []
    assert at > 8


class Between:
    """A backend at whose ``at``-th write something else happens in the store."""

    def __init__(self, backend: Backend, at: int, deed: Callable[[], object]) -> None:
        self._backend, self._at, self._deed = backend, at, deed
        self.writes = 0

    def __getattr__(self, name: str) -> object:
        if name in WRITES:
            self.writes += 1
            if self.writes == self._at:
                self._deed()
        return getattr(self._backend, name)


def test_beside_collections_of_the_target(full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found there without a name, and counted on, is deleted before the swap: it is stored again."""
    monkeypatch.setattr("pfs.refs.turn.PATIENCE_S", 0.0)  # what comes between may come in a turn
    at, went_on = 0, True
    while went_on:
        at += 1
        with pfs.init(tmp_path / f"{at}") as beside:
            session, known = beside.session(), contents(full.repo("data"), "master").values()
            session.put_chunks([(chunk_id(data), data) for data in known if len(data) < 60_000])
            session.seal()
            session.release()
            between = Between(LocalBackend(beside.path / "objects"), at, beside.collect)
            with Store(beside.path, backend=between) as made:  # type: ignore[arg-type]
                try:
                    send(full, made)
                except CollectedError:
                    send(full, made)
                went_on = between.writes >= at
                assert visible(made) == visible(full)
                assert list(fsck(made, deep=False)) == []
    assert at > 5


@pytest.mark.parametrize("at", [5, 7, 9, 11])
def test_beside_collections_of_the_source(full: Store, other: Store, at: int) -> None:
    """A branch is sent, and goes away with all that it led to at each read: it is there whole, or refused."""

    class Reads(Between):
        def __getattr__(self, name: str) -> object:
            if name in READS:
                self.writes += 1
                if self.writes == self._at:
                    self._deed()
            return getattr(self._backend, name)

    clock = Clock(0)
    clock.over(full)

    def lose() -> None:
        full.repo("data").delete_tag("v1")
        full.repo("data").delete_branch("master", force=True)
        clock.days = 40
        full.collect()

    reads = Reads(LocalBackend(full.path / "objects"), at, lose)
    with Store(full.path, backend=reads) as source, suppress(ConflictError):  # type: ignore[arg-type]
        reads.writes = 0
        send(source, other, [Wish("data", "master")])
    assert list(fsck(other, deep=True)) == []
    names = [branch.name for branch in other.repo("data").branches()] if other.list_repos() else []
    assert names in ([], ["master"])
    assert reads.writes > at


def test_what_was_sent_is_not_sent_again(store: Store, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before its end, the next run sends what was in the pack under way, and no more."""
    monkeypatch.setattr("pfs.packs.session_data.PACK_BYTES", 4 << 20)
    with store.create_repo("data").commit("master") as commit:
        for number in range(10):
            commit.put_file(f"/{number}", random.Random(number).randbytes(3 << 20))
    objects = LocalBackend(other.path / "objects")
    faulty = FaultyBackend(objects, dead_after=True, counted=frozenset({"swap"}), fail_at=6)
    with Store(other.path, backend=faulty) as made, pytest.raises(PfsError):
        send(store, made)
    there = sum(entry.size for entry in objects.entries("packs/"))
    assert there > 4 << 20
    (sent,) = send(store, other)
    assert sent.bytes <= (30 << 20) - there + (4 << 20)
    assert visible(store) == visible(other)


@pytest.mark.parametrize("branch", ["mine", "master"])
def test_beside_writers_of_the_target(full: Store, tmp_path: Path, branch: str) -> None:
    """Another branch of the repo moves there at each write: the push goes on. The same one: it is refused."""
    at, went_on, refusals = 0, True, 0
    theirs = full.repo("data").branch("master").head
    while went_on:
        at += 1
        with pfs.init(tmp_path / f"{at}") as beside:
            send(full, beside, [Wish("data", "side")])

            def write(store: Store = beside) -> None:
                store.repo("data").create_branch(branch, head="side")

            between = Between(LocalBackend(beside.path / "objects"), at, write)
            with Store(beside.path, backend=between) as made:  # type: ignore[arg-type]
                try:
                    send(full, made, [Wish("data", "master")])
                    assert theirs in [commit.id for commit in made.repo("data").commits("master")]
                except ConflictError:
                    assert branch == "master"
                    refusals += 1
                went_on = between.writes >= at
                assert list(fsck(made)) == []
    assert bool(refusals) == (branch == "master")
    assert at > 2
