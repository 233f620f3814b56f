"""What a commit relies on is checked before its swap: condemned packs are stored again, what is gone is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import pfs
from pfs.changes.recheck import recheck_content, take_over
from pfs.changes.replay import merge
from pfs.errors import BranchMovedError, CollectedError, CommitNotFoundError
from pfs.files.fileref import FileRef
from pfs.ids import PackId, chunk_id
from pfs.packs import session_data
from pfs.refs.collection import KEPT
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.page import Kind
from pfs.upkeep.check import fsck
from tests.pfs.collect_world import condemn, packs, sweep

BIG = np.random.default_rng(7).bytes(1_200_000)
SMALL = b"a small file"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path) as made:
        made.create_repo("r")
        made.create_repo("other")
        with made.repo("r").commit("master") as commit:
            commit.put_file("/base", b"base")
        yield made


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.repo("r")


def dead(store: Store, repo: str = "r") -> set[PackId]:
    """Store BIG, SMALL and a directory where soon nothing leads to; return the packs that they are in."""
    before = packs(store.backend)
    one = store.repo(repo)
    with one.commit("gone") as commit:
        commit.put_file("/big", BIG)
        commit.put_file("/small", SMALL)
        for number in range(50):
            commit.put_file(f"/dir/{number}", b"%d" % number * 100)
    one.delete_branch("gone")
    store.refs.update(repo, lambda body: replace(body, trash={}))
    return set(packs(store.backend)) - set(before)


def whole(store: Store) -> dict[str, bytes]:
    assert list(fsck(store, deep=True)) == []
    view = store.repo("r")["master"]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


@pytest.mark.parametrize("opened", [False, True])
def test_what_is_condemned_before_the_swap_is_stored_again(store: Store, repo: Repo, *, opened: bool) -> None:
    listed = dead(store)
    if opened:
        repo.start_commit("master")
    with repo.commit("master") as commit:
        commit.put_file("/big", BIG)
        commit.put_file("/small", SMALL)
        assert commit.session.new_bytes == 0
        condemn(store.backend, listed)
    if opened:
        sweep(store.backend, listed)
        repo.finish_commit("master")
    sweep(store.backend, listed)
    assert whole(store) == {"/base": b"base", "/big": BIG, "/small": SMALL}
    assert store.refs.read("r").body.gc_gen == 1
    named = store.history.get("r", repo.branch("master").head or commit.id).pack_ids()
    assert not listed.intersection(named)


def test_content_of_an_index_is_stored_again(store: Store, repo: Repo) -> None:
    """Nothing of it was put: the writer relies on what it looked up, the chunks of a large file among it."""
    import pyarrow as pa

    listed = dead(store)
    with repo.commit("spare") as commit:
        big = commit.put_file("/big", BIG)
    repo.delete_branch("spare")
    rows = pa.table({"path": ["x/big", "x/small"], "size": [big.size, len(SMALL)], "id": [big.tid, chunk_id(SMALL)]})
    with repo.commit("master") as commit:
        commit.put_arrow(rows)
        assert commit.session.new_bytes == 0
        condemn(store.backend, listed)
    sweep(store.backend, listed)
    assert whole(store) == {"/base": b"base", "/x/big": BIG, "/x/small": SMALL}


def test_what_is_deleted_before_the_swap_is_refused_and_works_the_next_time(store: Store, repo: Repo) -> None:
    listed = dead(store)
    commit = repo.commit("master")
    commit.put_file("/small", SMALL)
    condemn(store.backend, listed)
    sweep(store.backend, listed)
    with pytest.raises(CollectedError, match="run it again"):
        commit.finish()
    assert whole(store) == {"/base": b"base"}
    with repo.commit("master") as commit:
        commit.put_file("/small", SMALL)
    assert whole(store)["/small"] == SMALL


def test_a_session_begins_level(store: Store, repo: Repo) -> None:
    listed = dead(store)
    condemn(store.backend, listed)
    with repo.commit("master") as commit:
        commit.put_file("/small", SMALL)
        assert commit.session.new_bytes == len(SMALL)
        sweep(store.backend, listed)
    assert whole(store)["/small"] == SMALL


def test_packs_of_an_attempt_that_lost_its_swap_are_written_again_from_memory(
    store: Store, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = Refs.swap, list[PackId]()

    def losing(self: Refs, state: RefsState, *args: object, **options: object) -> RefsState:
        if not lost:
            lost.extend(set(packs(store.backend)) - known)
            condemn(store.backend, lost)
            sweep(store.backend, lost)
            raise BranchMovedError("refs/r.json")
        return real(self, state, *args, **options)  # type: ignore[arg-type]

    known = set(packs(store.backend))
    monkeypatch.setattr(Refs, "swap", losing)
    with repo.commit("master") as commit:
        commit.put_file("/big", BIG)
        commit.put_file("/small", SMALL)
        commit.put_file("/text", b"what compresses " * 5000)
    assert len(lost) == 1
    assert whole(store) == {"/base": b"base", "/big": BIG, "/small": SMALL, "/text": b"what compresses " * 5000}


def test_own_data_packs_that_are_condemned_are_copied(
    store: Store, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_data, "STAGE_BYTES", 100_000)
    monkeypatch.setattr(session_data, "PACK_BYTES", 1_000_000)
    known = set(packs(store.backend))
    with repo.commit("master") as commit:
        commit.put_file("/big", BIG)
        commit.session.seal_data()
        own = set(packs(store.backend)) - known
        assert own
        condemn(store.backend, own)
    sweep(store.backend, own)
    assert whole(store)["/big"] == BIG


def test_what_is_adopted_brings_its_age_along(store: Store, repo: Repo) -> None:
    listed = dead(store)
    worker = store.session()
    worker.put_chunks([(chunk_id(SMALL), SMALL)])
    condemn(store.backend, listed)
    with repo.commit("master") as commit:
        assert (worker.seen_gen, commit.session.seen_gen) == (0, 1)
        commit.session.adopt(worker)
        assert commit.session.seen_gen == 0
        commit.put_ref(b"small", FileRef(Kind.FILE, len(SMALL), chunk_id(SMALL)))  # type: ignore[arg-type]
    sweep(store.backend, listed)
    assert whole(store)["/small"] == SMALL


@pytest.mark.parametrize("path", ["/small", "/big", "/dir"])
def test_a_copy_of_what_is_dying_is_checked_without_a_new_generation(store: Store, repo: Repo, path: str) -> None:
    """The list came before the session: nothing but a look at what is copied tells that it is on it."""
    before = set(packs(store.backend))
    with store.repo("other").commit("gone") as commit:
        commit.put_file("/big", BIG)
        commit.put_file("/small", SMALL)
        for number in range(50):
            commit.put_file(f"/dir/{number}", b"%d" % number * 100)
    view = store.repo("other").view(commit.id)
    store.repo("other").delete_branch("gone")
    store.refs.update("other", lambda body: replace(body, trash={}))
    listed = set(packs(store.backend)) - before
    condemn(store.backend, listed)
    with repo.commit("master") as writing:
        writing.copy(view, path, f"/copy{path}")
        assert writing.session.seen_gen == 1
    sweep(store.backend, listed)
    files = whole(store)
    assert {"/small": SMALL, "/big": BIG, "/dir": b"0" * 100}[path] in files.values()


def test_a_copy_of_what_is_live_costs_no_walk(store: Store, repo: Repo) -> None:
    with repo.commit("master") as commit:
        for number in range(50):
            commit.put_file(f"/dir/{number}", b"%d" % number * 100)
    with repo.commit("master") as writing:
        writing.copy(repo["master"], "/dir", "/copy")
        home = writing.session
    assert home.borrowed == {("r", commit.id)}, "nothing was looked up, so it was not settled"
    assert whole(store)["/copy/7"] == b"7" * 100


def test_a_merge_is_checked(store: Store, repo: Repo) -> None:
    repo.create_branch("side", head="master")
    with repo.commit("side") as commit:
        commit.put_file("/big", BIG)
    with repo.commit("master") as commit:
        commit.put_file("/small", SMALL)
    listed = packs(store.backend)
    condemn(store.backend, listed)
    merge(store, "r", "side", "master")
    assert whole(store) == {"/base": b"base", "/big": BIG, "/small": SMALL}


def test_far_behind_a_writer_begins_again(store: Store, repo: Repo) -> None:
    late = repo.commit("master")
    late.put_file("/small", SMALL)
    for _ in range(KEPT + 1):
        condemn(store.backend, [])
    with pytest.raises(CollectedError):
        late.finish()
    with repo.commit("master") as commit:
        commit.put_file("/small", SMALL)
    assert whole(store)["/small"] == SMALL


def test_content_that_no_commit_has_yet_is_checked(store: Store) -> None:
    """As parts of uploads."""
    listed = dead(store)
    ref = FileRef(Kind.FILE, len(SMALL), chunk_id(SMALL))  # type: ignore[arg-type]  # a chunk id is a tid
    session = store.session()
    assert not recheck_content(store, session, [ref])
    session.put_chunks([(chunk_id(SMALL), SMALL)])
    condemn(store.backend, listed)
    assert recheck_content(store, session, [ref])
    assert not recheck_content(store, session, [ref])
    store.index.add(session.seal())
    sweep(store.backend, listed)
    assert store.objects.chunk(chunk_id(SMALL), len(SMALL)) == SMALL
    fresh = store.session()
    take_over(store, fresh, [ref])
    assert fresh.pack_ids == []
    assert fresh.touched


def test_heads_tags_and_parents_must_be_live(store: Store, repo: Repo) -> None:
    with repo.commit("gone") as commit:
        commit.put_file("/x", b"x")
    repo.delete_branch("gone")
    repo.create_tag("kept", commit.id)  # the trash makes it live
    repo.delete_tag("kept")
    store.refs.update("r", lambda body: replace(body, trash={}))
    with pytest.raises(CommitNotFoundError):
        repo.create_branch("again", head=commit.id)
    with pytest.raises(CommitNotFoundError):
        repo.create_tag("again", commit.id)
    with pytest.raises(CommitNotFoundError):
        repo.start_commit("again", parent=commit.id)
    with pytest.raises(CommitNotFoundError), repo.commit("again", parent=commit.id) as writing:
        writing.put_file("/y", b"y")
    assert [branch.name for branch in repo.branches()] == ["master"]


def test_an_ancestor_is_live(store: Store, repo: Repo) -> None:
    first = repo.branch("master").head
    for number in range(5):
        with repo.commit("master") as commit:
            commit.put_file("/n", b"%d" % number)
    repo.create_branch("back", head=first)
    with repo.commit("fork", parent=f"{commit.id}~3") as writing:
        writing.put_file("/y", b"y")
    assert repo["fork"].read("/n") == b"1"
