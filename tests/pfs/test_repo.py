"""Repos: refs expressions, branches, open commits, publishing."""

import pytest

from pfs.errors import (
    AlreadyExistsError,
    BranchMovedError,
    BranchNotFoundError,
    CommitClosedError,
    CommitNotFoundError,
    ConflictError,
    InvalidInputError,
    InvalidNameError,
    PathConflictError,
)
from pfs.ids import CommitId, TreeId, chunk_id, new_commit_id
from pfs.model import BranchRef, CommitInfo, NewCommit, Provenance
from pfs.packs.session import WriteSession
from pfs.provenance.bind import Binding, bind
from pfs.repo import Repo
from pfs.store import Store
from pfs.trees.edit import Put, edit
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT, Root


def put(repo: Repo, path: str, data: bytes, branch: str = "master", **options: object) -> CommitInfo:
    with repo.commit(branch, **options) as commit:  # type: ignore[arg-type]  # the test's own options
        commit.put_file(path, data)
    return repo.inspect(commit.id)


def put_hidden(repo: Repo, branch: str, **files: bytes) -> CommitInfo:
    """Commit to a branch of the system's own."""
    session = repo.store.session()
    new = NewCommit(branch=branch, root=tree(session, EMPTY_ROOT, **files), id=new_commit_id(), started_ns=1)
    return repo.publish([new], session)[0]


def names(repo: Repo, ref: str) -> list[str]:
    return [info.path for info in repo[ref].list()]


def test_ancestry(repo: Repo) -> None:
    ids = [put(repo, f"/{number}", b"x").id for number in range(5)]
    expected = {
        "master": 4, "master^": 3, "master^^": 2, "master^3": 1, "master~2": 2, "master~~": 2, "master^0": 4,
        "master.1": 0, "master.5": 4, ids[2]: 2, ids[2][:8]: 2, f"{ids[2]}^2": 0, f"{ids[3][:6]}~": 2,
    }  # fmt: skip
    assert {ref: repo.inspect(ref).id for ref in expected} == {ref: ids[at] for ref, at in expected.items()}


@pytest.mark.parametrize(
    "ref",
    [
        "master^5",
        "master~9",
        "master.0",
        "master.6",
        "nothing",
        "nothing^",
        "0" * 32,
        "master^" + "9" * 20,
        "master~" + "9" * 5000,
        "master." + "9" * 5000,
        "master" + "^9" * 2000,
    ],
)
def test_what_is_not_there(repo: Repo, ref: str) -> None:
    for number in range(5):
        put(repo, f"/{number}", b"x")
    with pytest.raises(CommitNotFoundError):
        repo.inspect(ref)


@pytest.mark.parametrize("ref", ["", "^", "master^~", "master^1.2", "a b", "master..1", "master/x", "x.1", "master^-1"])
def test_malformed_refs(repo: Repo, ref: str) -> None:
    put(repo, "/a", b"x")
    with pytest.raises(InvalidInputError):
        repo.inspect(ref)


def test_short_and_ambiguous_prefixes(repo: Repo) -> None:
    put(repo, "/a", b"1", commit_id=CommitId("abcdef00" + "0" * 24))
    put(repo, "/b", b"2", commit_id=CommitId("abcdef11" + "0" * 24))
    assert repo.inspect("abcdef0").file_count == 1
    with pytest.raises(InvalidInputError, match="ambiguous"):
        repo.inspect("abcdef")
    with pytest.raises(CommitNotFoundError):
        repo.inspect("abcde")


def test_a_branch_goes_before_a_commit_of_that_prefix(repo: Repo) -> None:
    put(repo, "/a", b"1", commit_id=CommitId("abcdef00" + "0" * 24))
    last = put(repo, "/b", b"2")
    repo.create_branch("abcdef", head="master")
    assert repo.inspect("abcdef").id == last.id


def test_a_commit_set_resolves_through_provenance(store: Store, repo: Repo) -> None:
    first = put(repo, "/a", b"1")
    job = new_commit_id()
    middle, out = store.create_repo("middle"), store.create_repo("out")
    put(middle, "/m", b"1", provenance=[Provenance("data", "master", first.id)])
    put(repo, "/a", b"2")
    source = Provenance("middle", "master", middle.inspect("master").id)
    put(out, "/o", b"1", commit_id=job, provenance=[source])
    assert middle.inspect(job).id == source.commit
    assert repo.inspect(job).id == first.id
    assert repo[f"{job}"].read("/a") == b"1"


def test_commits_lists_newest_first_with_open_and_failed_ones(repo: Repo) -> None:
    first = put(repo, "/a", b"1")
    other = put(repo, "/b", b"2", branch="dev")
    failed = repo.finish_commit(repo.start_commit("dev").id, error="boom")
    opened = repo.start_commit("master")
    put_hidden(repo, ".spec", hidden=b"3")
    assert [info.id for info in repo.commits()] == [opened.id, failed.id, other.id, first.id]
    assert [info.id for info in repo.commits("master")] == [opened.id, first.id]
    assert [info.id for info in repo.commits("dev")] == [other.id]
    assert [info.id for info in repo.commits(limit=2)] == [opened.id, failed.id]
    assert [info.id for info in repo.commits(failed.id)] == [failed.id, other.id]
    assert repo.inspect(failed.id).error == "boom"
    with pytest.raises(CommitNotFoundError):
        repo.commits("nothing")


def test_branches(repo: Repo) -> None:
    first = put(repo, "/a", b"1")
    last = put(repo, "/a", b"2")
    made = repo.create_branch("old", head="master^")
    assert made.head == first.id
    assert names(repo, "old") == ["/a"]
    assert repo.create_branch("old", head=last.id).head == last.id
    assert repo.create_branch("empty").head is None
    assert [branch.name for branch in repo.branches()] == ["empty", "master", "old"]
    repo.delete_branch("old")
    with pytest.raises(BranchNotFoundError):
        repo.branch("old")
    with pytest.raises(BranchNotFoundError):
        repo.delete_branch("old")
    with pytest.raises(CommitNotFoundError):
        repo.inspect("empty")
    for name in ("a.b", "0" * 32):
        with pytest.raises(InvalidNameError):
            repo.create_branch(name)


def test_hidden_branches_are_shown_on_demand(repo: Repo) -> None:
    put_hidden(repo, ".meta", a=b"1")
    assert repo.branches() == []
    assert [branch.name for branch in repo.branches(hidden=True)] == [".meta"]
    assert repo.info().branches == ()


def test_a_branch_cannot_move_to_failed_or_open_commits(repo: Repo) -> None:
    opened = repo.start_commit("dev")
    with pytest.raises(ConflictError, match="open"):
        repo.create_branch("x", head=opened.id)
    failed = repo.finish_commit("dev", error="boom")
    with pytest.raises(ConflictError, match="boom"):
        repo.create_branch("x", head=failed.id)


def test_an_output_branch_is_written_by_its_pipeline_only(repo: Repo) -> None:
    repo.store.create_repo("raw")
    bind(repo.store, "data", {"master": Binding((BranchRef("raw", "master"),), pipeline=True)})
    assert repo.branch("master").provenance == (BranchRef("raw", "master"),)
    with pytest.raises(ConflictError, match="output of a pipeline"):
        put(repo, "/a", b"1")
    with pytest.raises(ConflictError, match="output of a pipeline"):
        repo.start_commit("master")
    put(repo, "/a", b"1", provenance=[Provenance("raw", "master", new_commit_id())])
    with pytest.raises(InvalidInputError):
        repo.create_branch("b", provenance=[BranchRef("data", "master")])


def test_an_open_commit_from_start_to_finish(repo: Repo) -> None:
    put(repo, "/a", b"1")
    opened = repo.start_commit("master", message="draft")
    assert (opened.open, opened.finished_ns, opened.file_count) == (True, None, 1)
    assert repo.branch("master").open_commit == opened.id
    with pytest.raises(ConflictError, match=opened.id):
        repo.start_commit("master")
    assert put(repo, "/b", b"2").id == opened.id
    assert put(repo, "/c", b"3", branch=opened.id[:10]).id == opened.id
    assert names(repo, "master") == ["/a"]
    assert names(repo, opened.id) == ["/a", "/b", "/c"]
    assert [info.path for info in repo.view("master", follow_open=True).list()] == ["/a", "/b", "/c"]
    done = repo.finish_commit("master", message="done")
    assert (done.id, done.open, done.message) == (opened.id, False, "done")
    assert names(repo, "master") == ["/a", "/b", "/c"]
    assert repo.inspect("master^").file_count == 1
    for ref in ("master", opened.id):
        with pytest.raises(CommitClosedError):
            repo.finish_commit(ref)
    with pytest.raises(CommitClosedError):
        put(repo, "/d", b"4", branch=opened.id)
    with pytest.raises(CommitNotFoundError):
        repo.finish_commit("nothing")


def test_a_dropped_open_commit_is_forgotten(repo: Repo) -> None:
    opened = repo.start_commit("master")
    put(repo, "/a", b"1")
    repo.drop_open("master")
    with pytest.raises(CommitNotFoundError):
        repo.inspect(opened.id)
    assert put(repo, "/b", b"2").parents == ()


def test_an_open_commit_with_a_named_parent_forks(repo: Repo) -> None:
    first = put(repo, "/a", b"1")
    put(repo, "/b", b"2")
    repo.start_commit("master", parent=first.id)
    done = repo.finish_commit("master")
    assert done.parents == (first.id,)
    assert names(repo, "master") == ["/a"]


def test_a_head_that_moved_under_an_open_commit_is_merged(repo: Repo) -> None:
    put(repo, "/a", b"1")
    opened = repo.start_commit("master")
    put(repo, "/mine", b"2", branch=opened.id)
    side = put(repo, "/side", b"3", branch="side")
    repo.create_branch("master", head=side.id)
    assert names(repo, repo.finish_commit(opened.id).id) == ["/mine", "/side"]


def test_two_writers_of_one_open_commit(repo: Repo) -> None:
    repo.start_commit("master")
    one, two, three = (repo.commit("master") for _ in range(3))
    one.put_file("/1", b"1")
    two.put_file("/2", b"2")
    three.put_file("/1", b"other")
    one.finish()
    two.finish()
    with pytest.raises(PathConflictError):
        three.finish()
    late = repo.commit("master")
    late.put_file("/late", b"x")
    assert names(repo, repo.finish_commit("master").id) == ["/1", "/2"]
    with pytest.raises(CommitClosedError):
        late.finish()


def tree(session: WriteSession, base: Root, **files: bytes) -> Root:
    session.put_chunks([(chunk_id(data), data) for data in files.values()])
    puts = [Put(name.encode(), Kind.FILE, len(data), TreeId(chunk_id(data))) for name, data in files.items()]
    return edit(session, base, puts, changed=None)


def test_a_branch_without_commits_says_so(repo: Repo) -> None:
    repo.create_branch("empty")
    with pytest.raises(CommitNotFoundError, match="branch 'empty' of repo 'data' has no finished commit yet"):
        repo.inspect("empty")


def test_writing_to_the_beginning_of_an_id_means_that_commit(repo: Repo) -> None:
    head, opened = put(repo, "/a", b"1"), repo.start_commit("dev")
    with repo.commit(opened.id[:8]) as commit:
        commit.put_file("/b", b"2")
    assert repo.view("dev", follow_open=True).read("/b") == b"2"
    for ref in (head.id, head.id[:6], head.id[:31]):
        for write in (repo.commit, repo.start_commit):
            with pytest.raises(CommitClosedError):
                write(ref)
    with pytest.raises(ConflictError, match="open commit"):
        repo.start_commit(opened.id[:8])
    for write in (repo.commit, repo.start_commit):
        with pytest.raises(CommitNotFoundError):
            write("0" * 32)
    repo.create_branch(head.id[:7], head="master")  # once there is such a branch, it is meant
    put(repo, "/c", b"3", branch=head.id[:7])
    assert [branch.name for branch in repo.branches()] == sorted(["dev", "master", head.id[:7]])


def test_a_long_name_is_told_so(repo: Repo) -> None:
    with pytest.raises(InvalidNameError, match="it has 300 characters, 255 are the most"):
        repo.create_branch("x" * 300)


def test_users_do_not_write_to_hidden_branches(repo: Repo) -> None:
    put(repo, "/a", b"1")
    head = put_hidden(repo, ".spec", spec=b"1")
    for name in (".spec", ".new"):
        for write in (repo.commit, repo.start_commit, repo.create_branch, repo.delete_branch):
            with pytest.raises(InvalidNameError):
                write(name)
    with pytest.raises(InvalidNameError):
        repo.create_branch(".spec", head="master")
    assert repo[".spec"].read("/spec") == b"1"
    assert repo.create_branch("shown", head=".spec").head == head.id
    assert [branch.name for branch in repo.branches(hidden=True)] == [".spec", "master", "shown"]


def test_publish_moves_several_branches_at_once(store: Store, repo: Repo) -> None:
    session, job, meta = store.session(), new_commit_id(), new_commit_id()
    out = NewCommit(
        branch="master", root=tree(session, EMPTY_ROOT, a=b"1"), id=job, started_ns=1,
    )  # fmt: skip
    log = NewCommit(branch=".meta", root=tree(session, EMPTY_ROOT, log=b"2"), id=meta, started_ns=1, parents=(job,))
    with pytest.raises(BranchMovedError):
        repo.publish([out, log], session)
    assert repo.branches(hidden=True) == []
    head = put_hidden(repo, ".meta", log=b"0").id
    log = NewCommit(
        branch=".meta", root=tree(session, EMPTY_ROOT, log=b"2"), id=meta, started_ns=1, parents=(head, job)
    )
    infos = repo.publish([out, log], session)
    assert [info.id for info in infos] == [job, meta]
    assert repo["master"].read("/a") == b"1"
    assert repo[".meta"].read("/log") == b"2"
    with pytest.raises(AlreadyExistsError):
        repo.publish([out], store.session())


def test_a_failed_commit_is_recorded_beside_the_head(store: Store, repo: Repo) -> None:
    good = put(repo, "/a", b"1")
    session, job, meta = store.session(), new_commit_id(), new_commit_id()
    out = NewCommit(
        branch="master", root=tree(session, good.root, b=b"2"), id=job, started_ns=1, parents=(good.id,), error="boom"
    )
    repo.publish([out], session)
    assert repo.inspect("master").id == good.id
    assert repo[job].read("/b") == b"2"
    log = NewCommit(branch=".log", root=EMPTY_ROOT, id=meta, started_ns=1)
    repo.publish([log], session)
    assert repo.inspect(".log").id == meta


def test_publishing_beside_other_writers_of_the_repo(store: Store, repo: Repo) -> None:
    session = store.session()
    new = NewCommit(branch="out", root=tree(session, EMPTY_ROOT, a=b"1"), id=new_commit_id(), started_ns=1)
    put(repo, "/x", b"x")
    repo.publish([new], session)
    assert names(repo, "out") == ["/a"]
    stale = NewCommit(branch="master", root=EMPTY_ROOT, id=new_commit_id(), started_ns=1)
    with pytest.raises(BranchMovedError, match="data@master"):
        repo.publish([stale], store.session())


def test_commit_ids_are_unique_in_a_repo(repo: Repo) -> None:
    first = put(repo, "/a", b"1")
    with pytest.raises(AlreadyExistsError):
        put(repo, "/b", b"2", commit_id=first.id)
    with pytest.raises(AlreadyExistsError):
        repo.start_commit("x", commit_id=first.id)
    assert repo.start_commit("x", commit_id=CommitId("a" * 32)).id == "a" * 32
