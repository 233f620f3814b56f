"""What keeps things alive beside commits: transactions, squashed history's facts, retention, and what refs name."""

import os
import random

import pytest
from msgspec.structs import replace

from pfs.changes.trash import undelete_repo
from pfs.errors import NotFoundError, PfsError
from pfs.gc.collect import collect, foresee, measure
from pfs.gc.fence import moved
from pfs.gc.roots import bodies
from pfs.ids import CommitId, PackId
from pfs.lifecycle.retention import set_retention
from pfs.refs import edges
from pfs.refs.body import BranchEntry, OpenEntry, RefsBody, RootEntry, TrashEntry
from pfs.refs.buried import under
from pfs.refs.retention import Keep, Retention
from pfs.repo import Repo
from pfs.store import Store
from pfs.transactions.transaction import begin, resume
from pfs.upkeep.check import fsck
from tests.pfs.gc_world import Clock, contents, put, stored_bytes, visible


def assert_whole(store: Store) -> None:
    assert not list(fsck(store, deep=True))


def test_a_draft_of_a_transaction_stays(store: Store) -> None:
    rng, data = random.Random(1), os.urandom(2_000_000)
    repo = store.create_repo("a")
    put(repo, "master", rng)
    txn = begin(store)
    with txn.repo("a").commit("master") as commit:
        commit.put_file("/staged", data)
    with txn.repo("a").commit("master") as commit:
        commit.put_file("/more", b"more")
    collect(store)
    assert measure(store).live_bytes > 2_000_000
    for _ in range(8):
        put(repo, "other", rng)
    collect(store)
    resume(store, txn.id).finish()
    files = contents(repo, "master")
    assert (files["/staged"], files["/more"]) == (data, b"more")
    assert_whole(store)


def test_a_draft_that_was_dropped_goes(store: Store) -> None:
    put(store.create_repo("a"), "master", random.Random(1))
    txn = begin(store)
    with txn.repo("a").commit("master") as commit:
        commit.put_file("/staged", os.urandom(2_000_000))
    txn.drop()
    collect(store)
    assert stored_bytes(store) < 1_900_000


def test_objects_with_facts_stay_while_refs_name_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "LIMIT", 3)
    repo, rng = store.create_repo("a"), random.Random(1)
    ids = [put(repo, "master", rng, files=1, size=100) for _ in range(20)]
    for id in ids[1:-1:2]:
        repo.squash_commit(id)
    shelved = list(store.backend.entries("history/"))
    assert len(shelved) > 1
    before = visible(store)
    collect(store)
    named = {older.name for older in store.refs.read("a").body.older}
    assert {entry.name for entry in store.backend.entries("history/")} == named
    assert visible(store) == before
    assert repo.inspect(ids[1]).id == ids[2], "a squashed id means the child"
    assert_whole(store)
    store.delete_repo("a")
    collect(store)
    undelete_repo(store, "a")
    assert visible(store) == before


def test_what_rules_let_go_is_freed(store: Store) -> None:
    repo = store.create_repo("a")
    for _ in range(10):
        with repo.commit("master") as commit:
            commit.put_file("/x", os.urandom(500_000))
    set_retention(store, "a", Retention(keep=Keep(last=2)))
    told = foresee(store)
    assert len(list(repo.commits("master"))) == 10
    report = collect(store)
    assert (
        [len(effect.removed) for effect in told.retention]
        == [len(effect.removed) for effect in report.retention]
        == [8]
    )
    assert told.live_bytes == report.live_bytes < 1_100_000
    assert stored_bytes(store) < 1_300_000
    assert len(list(repo.commits("master"))) == 2
    assert_whole(store)


def test_a_repo_that_was_deleted_twice_keeps_its_last_state(store: Store) -> None:
    clock = Clock()
    clock.over(store)
    for content in (b"first", b"second"):
        with store.create_repo("a").commit("master") as commit:
            commit.put_file("/x", content * 1000)
        store.delete_repo("a")
        clock.days += 20
        collect(store)
    undelete_repo(store, "a")
    assert contents(store.repo("a"), "master") == {"/x": b"second" * 1000}
    assert_whole(store)
    store.delete_repo("a")
    clock.days += 40
    assert collect(store).expired.repos == ("a",)
    with pytest.raises(NotFoundError):
        undelete_repo(store, "a")
    assert not measure(store).live_bytes
    assert not stored_bytes(store)


def test_deleted_states_under_a_new_repo_of_the_name_stay_for_their_time(store: Store) -> None:
    clock, rng = Clock(), random.Random(1)
    clock.over(store)
    for day in (0, 20):
        clock.days = day
        repo = store.create_repo("a")
        for number in range(10):
            put(repo, "master", rng)
            repo.create_tag(f"t{number}", "master")
        repo.start_commit("open", parent="t3")
        store.delete_repo("a")
    new = store.create_repo("a")
    put(new, "master", rng)
    other = store.create_repo("other")
    put(other, "master", rng)
    before, old = visible(store), store.refs.read("a").body.earlier
    deleted = [one.deleted for one in old]
    for _ in range(2):
        store.delete_repo("other")
        store.create_repo("other")
        report = collect(store)
        assert not report.expired.repos
        put(store.repo("other"), "master", rng)
    assert {key: value for key, value in visible(store).items() if not key.startswith("other")} == {
        key: value for key, value in before.items() if not key.startswith("other")
    }
    assert [one.deleted for one in store.refs.read("a").body.earlier] == deleted
    clock.days = 31
    assert collect(store).expired.repos == ("a",)
    assert [one.deleted for one in store.refs.read("a").body.earlier] == deleted[1:]
    store.delete_repo("a")
    with pytest.raises(NotFoundError, match="only 2"):
        undelete_repo(store, "a", before=2)
    undelete_repo(store, "a", before=1)
    assert len(store.repo("a").tags()) == 10
    assert all(contents(store.repo("a"), f"t{number}") for number in range(10))
    assert_whole(store)
    clock.days = 80
    assert collect(store).expired.repos == ("a", "other")
    assert not store.refs.read("a").body.earlier


def test_what_an_old_transaction_brings_back_of_names_that_went_is_passed_over(store: Store) -> None:
    clock = Clock()
    clock.over(store)
    put(store.create_repo("a"), "master", random.Random(1))
    store.delete_repo("a")
    stone = store.refs.load("a")
    assert stone is not None
    clock.days = 31
    collect(store)
    store.create_repo("a")
    store.refs.update("a", lambda body: replace(body, earlier=under(stone.body)))
    assert collect(store).expired.repos == ("a",)
    assert not store.refs.read("a").body.earlier


def test_an_open_commit_of_a_deleted_repo_that_started_far_back_does_not_end_a_collection(store: Store) -> None:
    repo, rng = store.create_repo("a"), random.Random(1)
    made = [put(repo, "master", rng) for _ in range(3)]
    opened = repo.start_commit("open", parent=made[0])
    store.delete_repo("a")
    collect(store)
    undelete_repo(store, "a")
    assert repo.inspect(opened.id).parents == (made[0],)
    assert_whole(store)


def test_commits_that_go_are_not_found(store: Store) -> None:
    clock = Clock()
    clock.over(store)
    repo, rng = store.create_repo("a"), random.Random(1)
    put(repo, "master", rng)
    gone = put(repo, "gone", rng)
    repo.delete_branch("gone")
    clock.days = 31
    collect(store)
    with pytest.raises(PfsError):
        repo.inspect(gone)
    assert gone not in {info.id for info in repo.commits()}


# what the fence does to a body

OLD, NEW, OTHER = (PackId(bytes([number]) * 16) for number in (1, 2, 3))
HEAD, ABOVE = CommitId("a" * 32), CommitId("b" * 32)


def test_places_move_and_hints_go() -> None:
    root = RootEntry("00" * 32, "00" * 32, 0, 0)
    entry, kept = BranchEntry(head=HEAD, pack=OLD.hex()), BranchEntry(head=HEAD, pack=OTHER.hex())
    body = RefsBody(
        seq=3,
        branches={"a": entry, "b": kept, "empty": BranchEntry()},
        tags={"t": entry},
        trash={"x/1": TrashEntry(branch=entry, deleted=1)},
        open={ABOVE: OpenEntry(branch="a", started=1, root=root, packs=(OLD.hex(), OTHER.hex()))},
        edges={HEAD: ABOVE},
        records={ABOVE: OLD.hex()},
    )
    new = moved(body, {OLD: "m"}, lambda commit, pack: NEW)
    assert {name: branch.pack for name, branch in new.branches.items()} == {
        "a": NEW.hex(),
        "b": OTHER.hex(),
        "empty": None,
    }
    assert new.tags["t"].pack == new.trash["x/1"].branch.pack == new.records[ABOVE] == NEW.hex()
    assert new.open[ABOVE].packs == (OTHER.hex(),)
    assert (new.edges, new.seq) == (body.edges, body.seq)
    stays = moved(body, {OLD: "m"}, lambda commit, pack: None)
    assert stays.branches == body.branches
    assert stays.records == body.records


def test_what_a_transaction_prepared_is_live_too(store: Store) -> None:
    from pfs.refs.prepared import difference

    old = RefsBody(branches={"a": BranchEntry(head=HEAD)})
    new = RefsBody(branches={"a": BranchEntry(head=ABOVE)})
    body = RefsBody(branches=old.branches, prepared=(difference(old, new, attempt="1" * 32 + "-1"),))
    assert [one.branches["a"].head for one in bodies(store, body)] == [HEAD, ABOVE]


def test_a_repo_of_many_commits_is_marked_by_what_they_differ_in(repo: Repo) -> None:
    with repo.commit("master") as commit:
        for number in range(3000):
            commit.put_file(f"/{number:05}", b"%d" % number)
    for number in range(30):
        with repo.commit("master") as commit:
            commit.put_file("/00000", b"new %d" % number)
    from pfs.gc.idset import Scratch
    from pfs.gc.mark import Marker
    from pfs.gc.roots import add_roots

    with Scratch(repo.store.path / "tmp") as scratch:
        marker = Marker(repo.store.objects, scratch)
        add_roots(repo.store, marker, [repo.store.refs.read("data")])
        marker.walk()
        once, read = len(marker.live), marker.read_bytes
        add_roots(repo.store, marker, [repo.store.refs.read("data")])
        marker.walk()
        assert (len(marker.live), marker.read_bytes) == (once, read), "what was walked is not walked again"
    tree_bytes = sum(entry.size for entry in repo.store.backend.entries("packs/m/"))
    assert read < tree_bytes
