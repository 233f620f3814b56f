"""Tags, squash, drop, undelete, commit sets: what they change, what they refuse, and what survives a lost index."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.changes.squash import drop_set, squash_set
from pfs.changes.trash import undelete_repo
from pfs.errors import (
    AlreadyExistsError,
    CommitNotFoundError,
    ConflictError,
    InvalidInputError,
    InvalidNameError,
    NotFoundError,
    PfsError,
    RepoNotFoundError,
    TagNotFoundError,
)
from pfs.history.commit_set import commit_set, commit_sets
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchRef, NewCommit, Provenance
from pfs.refs import buried
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep.check import fsck


def put(repo: Repo, number: int, branch: str = "master", **options: object) -> CommitId:
    with repo.commit(branch, **options) as commit:  # type: ignore[arg-type]  # the test's own options
        commit.put_file(f"/{number}", b"%d" % number)
    return commit.id


def ids(repo: Repo, ref: str = "master") -> list[CommitId]:
    return [info.id for info in repo.commits(ref)]


def names(repo: Repo, ref: str = "master") -> list[str]:
    return [info.path for info in repo[ref].list()]


def merge_commit(repo: Repo, branch: str, source: CommitId) -> CommitId:
    """Publish a commit with the head of ``branch`` and ``source`` as parents."""
    head, session = repo.inspect(branch), repo.store.session()
    new = NewCommit(branch=branch, root=head.root, id=new_commit_id(), started_ns=1, parents=(head.id, source))
    return repo.publish([new], session)[0].id


# Tags


def test_a_tag_names_a_commit_for_good(repo: Repo) -> None:
    first = put(repo, 1)
    made = repo.create_tag("v1", "master")
    put(repo, 2)
    assert (made.name, made.commit) == ("v1", first)
    assert repo.inspect("v1").id == first
    assert repo["v1"].read("/1") == b"1"
    assert repo.inspect("v1^0").id == first
    assert repo.create_tag("v1", first) == made
    with pytest.raises(AlreadyExistsError, match="tag"):
        repo.create_tag("v1", "master")
    assert repo.tags() == [made]


def test_a_name_is_a_tag_or_a_branch(repo: Repo) -> None:
    put(repo, 1)
    repo.create_tag("v1", "master")
    with pytest.raises(AlreadyExistsError, match="branch"):
        repo.create_tag("master", "master")
    for write in (
        lambda: repo.commit("v1"),
        lambda: repo.start_commit("v1"),
        lambda: repo.create_branch("v1", head="master"),
    ):
        with pytest.raises(ConflictError, match="is a tag"):
            write()
    for bad in ("a" * 32, ".spec", "a b", ""):
        with pytest.raises(InvalidNameError):
            repo.create_tag(bad, "master")


def test_only_good_finished_commits_can_be_tagged(repo: Repo) -> None:
    put(repo, 1)
    failed = repo.finish_commit(repo.start_commit("master").id, error="boom").id
    opened = repo.start_commit("master").id
    for ref in (failed, opened):
        with pytest.raises(ConflictError):
            repo.create_tag("v1", ref)
    with pytest.raises(CommitNotFoundError):
        repo.create_tag("v1", "nothing")


def test_a_deleted_tag_comes_back(repo: Repo) -> None:
    first = put(repo, 1)
    made = repo.create_tag("v1", "master")
    put(repo, 2)
    repo.delete_tag("v1")
    assert repo.tags() == []
    with pytest.raises(TagNotFoundError):
        repo.delete_tag("v1")
    assert repo.undelete("v1") == first
    assert repo.tags() == [made]


# Squash


def test_squash_takes_a_commit_out_and_keeps_all_files(repo: Repo) -> None:
    made = [put(repo, number) for number in range(4)]
    before = {ref: names(repo, ref) for ref in (made[0], made[2], made[3])}
    repo.squash_commit(made[1])
    assert ids(repo) == [made[3], made[2], made[0]]
    assert repo.inspect(made[2]).parents == (made[0],)
    assert {ref: names(repo, ref) for ref in before} == before
    assert [change.path for change in repo[made[2]].diff()] == ["/1", "/2"]
    assert repo.inspect("master~2").id == made[0]
    assert repo.inspect("master.2").id == made[2]
    assert made[1] not in {info.id for info in repo.commits()}
    assert repo.inspect(made[1]).id == made[2], "its id means the child that took it over"
    assert repo.inspect("master").id == made[3]


def test_squash_in_a_row_and_of_the_first(repo: Repo) -> None:
    made = [put(repo, number) for number in range(5)]
    for number in (2, 1, 3, 0):
        repo.squash_commit(made[number])
    assert ids(repo) == [made[4]]
    assert repo.inspect("master").parents == ()
    assert names(repo) == ["/0", "/1", "/2", "/3", "/4"]
    assert {repo.inspect(one).id for one in made} == {made[4]}
    assert [change.path for change in repo["master"].diff()] == ["/0", "/1", "/2", "/3", "/4"]


def test_squash_below_a_fork_gives_all_children_the_parent(repo: Repo) -> None:
    made = [put(repo, number) for number in range(2)]
    repo.create_branch("dev", head="master")
    left, right = put(repo, 2), put(repo, 3, "dev")
    repo.squash_commit(made[1])
    assert ids(repo) == [left, made[0]]
    assert ids(repo, "dev") == [right, made[0]]
    assert repo.inspect(made[1]).id == left, "the child of its own branch took it over"


def test_what_squash_refuses(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(5)]
    repo.create_branch("dev", head=made[0])
    repo.create_tag("v1", made[1])
    failed = repo.finish_commit(repo.start_commit("master").id, error="boom").id
    side = put(repo, 9, "side")
    put(repo, 10, "side")
    merge_commit(repo, "master", side)
    with store.create_repo("out").commit("master", provenance=[Provenance("data", "master", made[2])]) as out:
        out.put_file("/x", b"x")
    before = ids(repo)
    for ref, reason in {
        "master": "is the head of data@master",
        made[0]: "is the head of data@dev",
        made[1]: "has the tag v1",
        made[2]: f"out@{out.id} was made from",
        failed: "ended with an error",
        side: "was merged into",
    }.items():
        with pytest.raises(ConflictError, match=reason):
            repo.squash_commit(ref)
    opened = repo.start_commit("new", parent=made[3]).id
    for ref, reason in {opened: "is open", made[3]: "is based on"}.items():
        with pytest.raises(ConflictError, match=reason):
            repo.squash_commit(ref)
    with pytest.raises(CommitNotFoundError):
        repo.squash_commit("nothing")
    assert ids(repo) == before


def test_squash_survives_a_lost_index(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("data")
        made = [put(repo, number) for number in range(6)]
        for number in (1, 2, 4):
            repo.squash_commit(made[number])
        kept = ids(repo)
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        repo = store.repo("data")
        assert ids(repo) == kept == [made[5], made[3], made[0]]
        assert {info.id for info in repo.commits()} == set(kept)
        assert list(fsck(store, deep=True)) == []


def test_squash_and_drop_write_no_packs(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    packs = {entry.name for entry in store.backend.entries("packs/")}
    repo.squash_commit(made[1])
    repo.drop_commit("master")
    assert {entry.name for entry in store.backend.entries("packs/")} == packs


# Drop


def test_drop_moves_every_branch_on_it_back(repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    repo.create_branch("dev", head="master")
    repo.drop_commit("master")
    assert ids(repo) == ids(repo, "dev") == [made[1], made[0]]
    for ref in (made[2], made[2][:8]):
        with pytest.raises(CommitNotFoundError):
            repo.inspect(ref)
    assert {info.id for info in repo.commits()} == {made[0], made[1]}
    assert names(repo) == ["/0", "/1"]


def test_drop_of_the_only_commit_leaves_an_empty_branch(repo: Repo) -> None:
    first = put(repo, 1)
    repo.drop_commit(first)
    assert repo.branch("master").head is None
    assert list(repo.commits()) == []
    second = put(repo, 2)
    assert repo.inspect("master").parents == ()
    assert ids(repo) == [second]


def test_drop_passes_over_what_was_squashed(repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    repo.squash_commit(made[1])
    repo.drop_commit("master")
    assert repo.branch("master").head == made[0]
    assert repo.undelete("master") == made[2]
    assert ids(repo) == [made[2], made[0]]


def test_what_drop_refuses(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(2)]
    repo.create_tag("v1", "master")
    with pytest.raises(ConflictError, match="has the tag"):
        repo.drop_commit("master")
    repo.delete_tag("v1")
    with pytest.raises(ConflictError, match=f"has the child {made[1]}"):
        repo.drop_commit(made[0])
    opened = repo.start_commit("master").id
    with pytest.raises(ConflictError, match=f"has the child {opened}"):
        repo.drop_commit(made[1])
    repo.drop_commit(opened)
    assert repo.branch("master").open_commit is None
    with store.create_repo("out").commit("master", provenance=[Provenance("data", "master", made[1])]) as out:
        out.put_file("/x", b"x")
    with pytest.raises(ConflictError, match="was made from"):
        repo.drop_commit("master")
    store.repo("out").drop_commit("master")
    repo.drop_commit("master")
    hidden = NewCommit(branch=".spec", root=repo.inspect("master").root, id=new_commit_id(), started_ns=1)
    repo.publish([hidden], store.session())
    with pytest.raises(ConflictError, match="belongs to a pipeline"):
        repo.drop_commit(hidden.id)


def test_drop_of_a_failed_commit_and_back(repo: Repo) -> None:
    put(repo, 1)
    failed = repo.finish_commit(repo.start_commit("master").id, error="boom").id
    repo.drop_commit(failed)
    with pytest.raises(CommitNotFoundError):
        repo.inspect(failed)
    repo.undelete(failed)
    assert repo.inspect(failed).error == "boom"


# Undelete


def test_undelete_is_a_stack(repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    repo.drop_commit("master")
    repo.drop_commit("master")
    repo.delete_branch("master")
    assert repo.undelete("master") == made[0]
    assert repo.undelete("master") == made[1]
    assert repo.undelete("master") == made[2]
    assert ids(repo) == made[::-1]
    with pytest.raises(NotFoundError, match="nothing was deleted"):
        repo.undelete("master")


def test_undelete_by_id_where_the_branch_moved_on(repo: Repo) -> None:
    first, second = put(repo, 1), put(repo, 2)
    repo.drop_commit("master")
    third = put(repo, 3)
    with pytest.raises(ConflictError, match="has moved on"):
        repo.undelete("master")
    repo.undelete(second[:10])
    assert repo.branch("master").head == third
    assert repo.inspect(second).parents == (first,)
    repo.create_branch("kept", head=second)
    assert names(repo, "kept") == ["/1", "/2"]


def test_undelete_of_one_branch_brings_the_commit_back_for_all(repo: Repo) -> None:
    first, second = put(repo, 1), put(repo, 2)
    repo.create_branch("dev", head="master")
    repo.drop_commit(second)
    assert repo.undelete("dev") == second
    assert repo.branch("master").head == first
    third = put(repo, 3, "dev")
    assert ids(repo, "dev") == [third, second, first]
    assert repo.undelete("master") == second


def test_a_dropped_commit_that_was_no_head_comes_back_by_id(repo: Repo) -> None:
    first, second = put(repo, 1), put(repo, 2)
    repo.create_branch("master", head=first)
    repo.drop_commit(second)
    with pytest.raises(CommitNotFoundError):
        repo.inspect(second)
    repo.undelete(second)
    assert repo.inspect(second).id == second
    assert repo.branch("master").head == first


def test_a_deleted_branch_comes_back_unless_its_name_is_taken(repo: Repo) -> None:
    put(repo, 1)
    repo.store.create_repo("raw")
    repo.create_branch("dev", head="master", provenance=[BranchRef("raw", "master")])
    before = repo.branch("dev")
    repo.delete_branch("dev")
    repo.create_branch("dev")
    with pytest.raises(AlreadyExistsError):
        repo.undelete("dev")
    repo.delete_branch("dev")
    repo.undelete("dev")
    assert repo.branch("dev").head is None, "the newest comes first"
    repo.delete_branch("dev")
    repo.undelete("dev")
    repo.delete_branch("dev")
    assert before.head is not None


def test_a_deleted_repo_comes_back_whole(store: Store, repo: Repo) -> None:
    made = [put(repo, number) for number in range(3)]
    repo.create_tag("v1", made[1])
    opened = repo.start_commit("dev", parent="master").id
    store.delete_repo("data")
    with pytest.raises(RepoNotFoundError):
        repo.info()
    undelete_repo(store, "data")
    assert ids(repo) == made[::-1]
    assert repo.inspect("v1").id == made[1]
    assert repo.inspect(opened).open
    assert list(fsck(store, deep=True)) == []
    with pytest.raises(AlreadyExistsError):
        undelete_repo(store, "data")
    with pytest.raises(RepoNotFoundError):
        undelete_repo(store, "never")


def test_repos_deleted_under_one_name_are_a_stack(store: Store, repo: Repo) -> None:
    made = [put(repo, 0)]
    for number in (1, 2):
        store.delete_repo("data")
        made.append(put(store.create_repo("data"), number))
    for before in (0, 1):
        with pytest.raises(ConflictError, match=f"`pfs undelete data --before {before + 1}` gets back"):
            undelete_repo(store, "data", before=before)
    store.delete_repo("data")
    with pytest.raises(NotFoundError, match="only 3 deleted states are kept"):
        undelete_repo(store, "data", before=3)
    for before, commit in ((2, made[0]), (1, made[2]), (2, made[1]), (0, made[1]), (1, made[2])):
        undelete_repo(store, "data", before=before)
        assert ids(repo) == [commit]
        assert [info.id for info in repo.commits()] == [commit], "nothing of the others is found"
        store.delete_repo("data")
    assert list(fsck(store, deep=True)) == []


def test_a_name_that_is_used_all_the_time_keeps_the_last_deleted_states(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buried, "LIMIT", 3)
    made = []
    for number in range(6):
        made.append(put(store.create_repo("again"), number))
        store.delete_repo("again")
    repo = store.create_repo("again")
    assert len(store.refs.read("again").body.earlier) == 3
    store.delete_repo("again")
    undelete_repo(store, "again", before=3)
    assert ids(repo) == [made[3]]


# Commit sets


def chain(store: Store) -> tuple[CommitId, list[Repo]]:
    """Make a -> b -> c, twice, each time under one id; return the first id."""
    repos = [store.create_repo(name) for name in "abc"]
    set_ids = [new_commit_id(), new_commit_id()]
    for number, id in enumerate(set_ids):
        for place, repo in enumerate(repos):
            sources = [Provenance(repos[place - 1].name, "master", id)] if place else []
            put(repo, number, commit_id=id, provenance=sources)
    return set_ids[0], repos


def test_a_set_is_squashed_or_dropped_as_a_whole(store: Store) -> None:
    first, repos = chain(store)
    second = repos[0].inspect("master").id
    assert [info.repo for info in commit_set(store, first[:12]).commits] == ["a", "b", "c"]
    assert [one.id for one in commit_sets(store)] == [second, first]
    with pytest.raises(ConflictError, match=f"by its id, {first}"):
        repos[0].squash_commit(first)
    with pytest.raises(ConflictError, match="is the head of"):
        squash_set(store, second)
    assert [info.repo for info in squash_set(store, first)] == ["c", "b", "a"]
    assert [ids(repo) for repo in repos] == [[second]] * 3
    assert [info.repo for info in drop_set(store, second)] == ["c", "b", "a"]
    assert [repo.branch("master").head for repo in repos] == [None] * 3
    for act in (squash_set, drop_set):
        with pytest.raises(NotFoundError):
            act(store, second)
    assert commit_sets(store) == []


def test_a_set_is_refused_as_a_whole(store: Store) -> None:
    first, repos = chain(store)
    repos[1].create_tag("keep", first)
    for act in (squash_set, drop_set):
        with pytest.raises(ConflictError):
            act(store, first)
    assert [len(ids(repo)) for repo in repos] == [2, 2, 2]


def test_what_names_no_set(store: Store, repo: Repo) -> None:
    put(repo, 1, commit_id=CommitId("abcdef00" + "0" * 24))
    put(repo, 2, commit_id=CommitId("abcdef11" + "0" * 24))
    with pytest.raises(InvalidInputError, match="ambiguous"):
        commit_set(store, "abcdef")
    for text in ("0" * 32, "012345"):
        with pytest.raises(NotFoundError):
            commit_set(store, text)
    with pytest.raises(InvalidInputError):
        commit_set(store, "data")


# Whatever fails


WORKS: dict[str, Callable[[Repo], object]] = {
    "tag": lambda repo: repo.create_tag("v2", "master^"),
    "delete-tag": lambda repo: repo.delete_tag("v1"),
    "squash": lambda repo: repo.squash_commit("master^"),
    "drop": lambda repo: repo.drop_commit("master"),
    "undelete": lambda repo: repo.undelete("gone"),
    "undelete-repo": lambda repo: undelete_repo(repo.store, "old"),
}


def seen(store: Store) -> object:
    repo = store.repo("data")
    shown = [(branch.name, branch.head) for branch in repo.branches()], [tag.name for tag in repo.tags()]
    return shown, ids(repo), [info.name for info in store.list_repos()]


def attempt(path: Path, work: Callable[[Repo], object], **faults: object) -> tuple[FaultyBackend, bool]:
    backend = FaultyBackend(LocalBackend(path / ".pfs/objects"), **faults)  # type: ignore[arg-type]  # the test's own
    with Store(path / ".pfs", backend=backend) as store:
        try:
            work(Repo(store, "data"))
        except PfsError:
            return backend, False
    return backend, True


@pytest.mark.parametrize("how", [How.BEFORE, How.AFTER, How.FULL])
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_old_or_new_state_whatever_call_fails(tmp_path: Path, work: Callable[[Repo], object], how: How) -> None:
    with pfs.init(tmp_path / "whole") as store:
        put(store.create_repo("old"), 1)
        store.delete_repo("old")
        repo = store.create_repo("data")
        first = put(repo, 1)
        put(repo, 2)
        put(repo, 3)
        repo.create_tag("v1", first)
        repo.create_branch("gone", head="master")
        repo.delete_branch("gone")
        old = seen(store)
    shutil.copytree(tmp_path / "whole", tmp_path / "done")
    calls = attempt(tmp_path / "done", work)[0].calls
    with pfs.open(tmp_path / "done") as store:
        new = seen(store)
    assert old != new
    for number in range(1, calls + 1):
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", place)
        _, acknowledged = attempt(place, work, fail_at=number, how=how)
        with pfs.open(place) as store:
            assert seen(store) == new if acknowledged else seen(store) in (old, new)
            assert list(fsck(store)) == []


# Heads that others take the place of


def test_a_head_that_was_forked_off_or_moved_away_comes_back(repo: Repo) -> None:
    first, second = put(repo, 1), put(repo, 2)
    third = put(repo, 3, parent=first)
    assert ids(repo) == [third, first]
    assert repo.undelete("master") == second
    repo.create_branch("master", head=first)
    assert repo.undelete("master") == second
    repo.create_branch("dev", head=first)
    repo.create_branch("dev", head=second)
    with pytest.raises(NotFoundError):
        repo.undelete("dev")
