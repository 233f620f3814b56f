"""Walks over commits, commits that touched a path, and waiting."""

import queue
import random
import threading
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.changes.waiting import subscribe, wait_commit, wait_set
from pfs.errors import BranchNotFoundError, CommitNotFoundError, NotFoundError
from pfs.history.graph import Graph
from pfs.history.touched import touching
from pfs.ids import CommitId, new_commit_id
from pfs.model import NewCommit
from pfs.repo import Repo
from pfs.trees.row import EMPTY_ROOT

HANG_S = 60.0
"""Only a test that failed waits as long."""


def put(repo: Repo, files: dict[str, bytes | None], branch: str = "master") -> CommitId:
    with repo.commit(branch) as commit:
        for path, data in files.items():
            if data is None:
                commit.delete_file(path, recursive=True)
            else:
                commit.put_file(path, data)
    return commit.id


def merged(repo: Repo, source: str, *, tree: str) -> CommitId:
    """Publish a commit on master with the heads of master and ``source`` as parents, and the files of ``tree``."""
    parents = (repo.inspect("master").id, repo.inspect(source).id)
    new = NewCommit(branch="master", root=repo.inspect(tree).root, id=new_commit_id(), started_ns=1, parents=parents)
    return repo.publish([new], repo.store.session())[0].id


def graph(repo: Repo) -> Graph:
    return Graph(repo.store, repo.store.refs.read(repo.name))


def touched(repo: Repo, path: str, ref: str = "master") -> list[tuple[CommitId, str]]:
    state = repo.store.refs.read(repo.name)
    found = touching(repo.store, state, repo.inspect(ref).id, path.strip("/").encode())
    return [(info.id, change) for info, change in found]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_walk_finds_all_ancestors_children_first(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(seed)
    clock = iter(rng.sample(range(10, 10_000), 200))
    with pfs.init(tmp_path_factory.mktemp("graph")) as store:
        repo = store.create_repo("data")
        parents: dict[CommitId, tuple[CommitId, ...]] = {}
        for number in range(12):
            above = tuple(rng.sample(list(parents), k=min(len(parents), rng.randrange(3))))
            new = NewCommit(
                branch=f"b{number}", root=EMPTY_ROOT, id=new_commit_id(), started_ns=0, parents=above, forked=True
            )
            store.clock_ns = lambda: next(clock)  # clocks of several machines: in no order
            parents[repo.publish([new], store.session())[0].id] = above
        start = rng.choice(list(parents))
        want, todo = set[CommitId](), [start]
        while todo:
            one = todo.pop()
            want.add(one)
            todo += parents[one]
        order = [info.id for info in graph(repo).sorted([start])]
        assert set(order) == want
        assert len(order) == len(want) == len(list(graph(repo).walk([start])))
        place = {one: at for at, one in enumerate(order)}
        assert all(place[one] < place[above] for one in order for above in parents[one])


def test_a_log_of_a_repo_begins_at_all_branches_tags_and_open_commits(repo: Repo) -> None:
    first = put(repo, {"/a": b"1"})
    hidden = NewCommit(branch=".hidden", root=EMPTY_ROOT, id=new_commit_id(), started_ns=1)
    repo.publish([hidden], repo.store.session())
    repo.create_branch("dev", head=first)
    second, third = put(repo, {"/b": b"2"}), put(repo, {"/c": b"3"}, "dev")
    repo.create_tag("v1", third)
    repo.delete_branch("dev")
    opened = repo.start_commit("new").id
    assert [info.id for info in graph(repo).walk(graph(repo).starts(None))] == [opened, third, second, first]
    assert [info.id for info in graph(repo).walk(graph(repo).starts("new"))] == [opened]
    assert [info.id for info in graph(repo).walk(graph(repo).starts("v1"))] == [third, first]
    with pytest.raises(CommitNotFoundError):
        graph(repo).starts("nothing")


def test_which_commits_touched_a_path(repo: Repo) -> None:
    first = put(repo, {"/d/a": b"1", "/d-a": b"1"})
    second = put(repo, {"/d/b": b"1"})
    third = put(repo, {"/d/a": b"2", "/e": b"x"})
    fourth = put(repo, {"/d": None})
    put(repo, {"/d-a": b"2"})
    assert touched(repo, "/d/a") == [(fourth, "deleted"), (third, "modified"), (first, "added")]
    assert touched(repo, "/d/b") == [(fourth, "deleted"), (second, "added")]
    want = [(fourth, "deleted"), (third, "modified"), (second, "modified"), (first, "added")]
    assert touched(repo, "/d") == want
    assert touched(repo, "/d", "master~2") == want[1:]
    assert len(touched(repo, "/")) == 5
    assert touched(repo, "/nothing") == []


def test_metadata_alone_is_a_change(repo: Repo) -> None:
    first = put(repo, {"/a": b"1"})
    with repo.commit("master") as second:
        second.put_file("/a", b"1", mime="text/plain")
    assert touched(repo, "/a") == [(second.id, "modified"), (first, "added")]
    assert touched(repo, "/") == [(second.id, "modified"), (first, "added")]


def test_a_merge_shows_where_a_path_came_from(repo: Repo) -> None:
    first = put(repo, {"/a": b"1"})
    repo.create_branch("dev", head="master")
    side, main = put(repo, {"/a": b"2"}, "dev"), put(repo, {"/b": b"1"})
    merged(repo, "dev", tree="dev")
    assert touched(repo, "/a") == [(side, "modified"), (first, "added")]
    assert touched(repo, "/b") == [], "the merge took the side without it"
    put(repo, {"/a": b"3"}, "other")
    neither = merged(repo, "other", tree="other")
    assert touched(repo, "/a")[0][0] != neither, "taken from one side as it was"
    put(repo, {"/a": b"4"}, "third")
    put(repo, {"/a": b"5"}, "fourth")
    mixed = merged(repo, "third", tree="fourth")
    assert touched(repo, "/a")[0] == (mixed, "modified")
    assert main in {info.id for info in graph(repo).walk([mixed])}


def test_squashed_commits_are_passed_over(repo: Repo) -> None:
    first = put(repo, {"/a": b"1"})
    middle = put(repo, {"/a": b"2"})
    last = put(repo, {"/b": b"1"})
    repo.squash_commit(middle)
    assert touched(repo, "/a") == [(last, "modified"), (first, "added")]


# Waiting


def in_thread(call: Callable[[], object]) -> queue.Queue[object]:
    """Run ``call`` in a thread; what it returns or raises comes through the queue."""
    results: queue.Queue[object] = queue.Queue()

    def run() -> None:
        try:
            results.put(call())
        except Exception as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    return results


def test_wait_ends_when_the_commit_is_finished(repo: Repo) -> None:
    opened = repo.start_commit("master").id
    by_id, by_branch, by_set = (
        in_thread(lambda: wait_commit(repo.store, "data", opened)),
        in_thread(lambda: wait_commit(repo.store, "data", "master")),
        in_thread(lambda: wait_set(repo.store, opened)),
    )
    done = repo.finish_commit(opened)
    assert by_id.get(timeout=HANG_S) == done
    assert by_branch.get(timeout=HANG_S) == done
    found = by_set.get(timeout=HANG_S)
    assert getattr(found, "commits", None) == (done,)
    assert wait_commit(repo.store, "data", "master") == done


def test_wait_ends_when_the_commit_is_given_up(repo: Repo) -> None:
    opened = repo.start_commit("master").id
    waits = [
        in_thread(lambda: wait_commit(repo.store, "data", opened)),
        in_thread(lambda: wait_set(repo.store, opened)),
    ]
    repo.drop_commit(opened)
    for one in waits:
        assert isinstance(one.get(timeout=HANG_S), NotFoundError)


def test_subscribe_gives_each_commit_once(repo: Repo) -> None:
    made = [put(repo, {"/a": b"%d" % number}) for number in range(3)]
    stream = subscribe(repo.store, "data", "master")
    assert [info.id for info in islice(stream, 3)] == made
    later = in_thread(lambda: [info.id for info in islice(stream, 2)])
    repo.create_branch("master", head=made[0])
    more = [put(repo, {"/b": b"%d" % number}) for number in range(2)]
    assert later.get(timeout=HANG_S) == more
    fresh = subscribe(repo.store, "data", "master", new=True)
    after = in_thread(lambda: next(fresh).id)
    last = put(repo, {"/c": b"1"})
    assert after.get(timeout=HANG_S) == last
    with pytest.raises(BranchNotFoundError):
        subscribe(repo.store, "data", "nothing")
