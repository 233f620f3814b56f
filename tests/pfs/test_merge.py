"""Three-way merges against dictionaries, merge bases against sets, and merge, revert, cherry-pick, rebase of a repo."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.backends.local import LocalBackend
from pfs.changes.landing import How
from pfs.changes.merge import Merge, Resolution, Side, Trees, parse_resolutions
from pfs.changes.replay import cherry_pick, merge, rebase, revert
from pfs.errors import BranchNotFoundError, ConflictError, InvalidInputError, MergeConflictError, PfsError
from pfs.history.ancestors import is_ancestor, merge_base
from pfs.history.graph import Graph
from pfs.ids import CommitId, PageId, new_commit_id
from pfs.model import BranchRef, NewCommit
from pfs.refs.body import RefsBody
from pfs.refs.read import RefsState
from pfs.refs.swap import Refs
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend
from pfs.testing.faults import How as Fault
from pfs.trees.bulk import build
from pfs.trees.edit import edit
from pfs.trees.page import Changed, Page
from pfs.trees.row import EMPTY_ROOT, MemoryPages, Root
from pfs.upkeep.check import fsck
from tests.pfs.tree_model import TINY, put

CHANGED = Changed(b"1" * 16, 1_000)
KEYS = st.sampled_from([b"a", b"b", b"a-b", b"d/a", b"d/b", b"d/e/f", b"d/e/g", b"g/h"])
FILES = st.dictionaries(KEYS, st.sampled_from([b"1", b"2", b"3"]), max_size=8)
Files = dict[str, bytes]


# Trees


def tree(pages: MemoryPages, files: dict[bytes, bytes]) -> Root:
    return edit(pages, EMPTY_ROOT, [put(key, text) for key, text in files.items()], changed=CHANGED, params=TINY)


def merged_dicts(
    base: dict[bytes, bytes], ours: dict[bytes, bytes], theirs: dict[bytes, bytes], side: Side | None
) -> tuple[dict[bytes, bytes], set[bytes]]:
    """Return the merged files and the conflicts, a path at a time."""
    result, conflicts = dict(ours), set()
    for key in base.keys() | theirs.keys():
        old, mine, other = base.get(key), ours.get(key), theirs.get(key)
        if other in (old, mine):
            continue
        if mine != old and side is None:
            conflicts.add(key)
        elif mine == old or side == "theirs":
            if other is None:
                result.pop(key, None)
            else:
                result[key] = other
    return result, conflicts


@settings(max_examples=200, deadline=None)
@given(FILES, FILES, FILES, st.sampled_from([None, "ours", "theirs"]))
def test_a_merge_is_that_of_the_dictionaries(
    base: dict[bytes, bytes], ours: dict[bytes, bytes], theirs: dict[bytes, bytes], side: Side | None
) -> None:
    pages = MemoryPages()
    roots = Trees(tree(pages, base), tree(pages, ours), tree(pages, theirs))
    one = Merge(pages, roots, Resolution(side))
    found = one.run(changed=CHANGED)
    want, conflicts = merged_dicts(base, ours, theirs, side)
    assert {conflict.path for conflict in one.conflicts} == {"/" + key.decode() for key in conflicts}
    assert one.conflict_count == len(conflicts)
    if not conflicts:
        assert found.tid == tree(pages, want).tid


def run(
    base: dict[bytes, bytes], ours: dict[bytes, bytes], theirs: dict[bytes, bytes], **resolution: object
) -> tuple[Merge, Root, MemoryPages]:
    pages = MemoryPages()
    roots = Trees(tree(pages, base), tree(pages, ours), tree(pages, theirs))
    one = Merge(pages, roots, Resolution(**resolution))  # type: ignore[arg-type]  # the test's own
    return one, one.run(changed=CHANGED), pages


def test_each_reason_is_named() -> None:
    base = {b"m": b"0", b"u": b"0", b"t": b"0"}
    ours = {b"m": b"1", b"t": b"1", b"n": b"1"}
    theirs = {b"m": b"2", b"u": b"2", b"n": b"2"}
    assert [tuple(conflict) for conflict in run(base, ours, theirs)[0].conflicts] == [
        ("/m", "both modified"),
        ("/n", "both added"),
        ("/t", "deleted by them"),
        ("/u", "deleted by us"),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [({b"d": b"1"}, {b"d/x": b"2", b"d/y/z": b"2"}), ({b"d/x": b"1", b"d/y/z": b"1"}, {b"d": b"2"})],
)
def test_a_file_beside_a_directory_is_a_conflict_of_its_own(
    ours: dict[bytes, bytes], theirs: dict[bytes, bytes]
) -> None:
    one, _, _ = run({}, ours, theirs)
    assert [tuple(conflict) for conflict in one.conflicts] == [("/d", "file and directory")]
    for side, want in (("ours", ours), ("theirs", theirs)):
        for resolution in ({"default": side}, {"paths": {b"d": side}}, {"paths": {b"": side}}):
            one, root, pages = run({}, ours, theirs, **resolution)
            assert not one.conflicts
            assert root.tid == tree(pages, want).tid


def test_a_file_that_became_a_directory_on_one_side_merges() -> None:
    for before, after in (({b"d": b"1"}, {b"d/x": b"2"}), ({b"d/x": b"2"}, {b"d": b"1"})):
        one, root, pages = run(before, before, after)
        assert not one.conflicts
        assert root.tid == tree(pages, after).tid


def test_what_is_both_file_and_directory_already_stays_so() -> None:
    pages = MemoryPages()
    both = edit(
        pages, EMPTY_ROOT, [put(b"d", b"1"), put(b"d/x", b"1")], changed=CHANGED, collisions="allow", params=TINY
    )
    theirs = edit(pages, both, [put(b"d", b"2"), put(b"d/y", b"2")], changed=CHANGED, collisions="allow", params=TINY)
    one = Merge(pages, Trees(EMPTY_ROOT, both, theirs), Resolution("theirs"))
    assert one.run(changed=CHANGED).tid == theirs.tid
    assert not one.conflicts


def test_the_longest_resolution_counts() -> None:
    base = {b"d/a": b"0", b"d/e/f": b"0", b"x": b"0", b"y": b"0"}
    ours, theirs = dict.fromkeys(base, b"1"), dict.fromkeys(base, b"2")
    resolution = parse_resolutions(["/d=ours", "d/e/f=theirs", "/x=theirs"], default=None)
    one, _, _ = run(base, ours, theirs, default=None, paths=resolution.paths)
    assert [conflict.path for conflict in one.conflicts] == ["/y"]
    one, root, pages = run(base, ours, theirs, default="ours", paths=resolution.paths)
    assert root.tid == tree(pages, ours | {b"d/e/f": b"2", b"x": b"2"}).tid
    assert one.used == {b"d", b"d/e/f", b"x"}


@pytest.mark.parametrize("texts", [["/a"], ["/a=mine"], ["/a="], ["/a=ours", "a=theirs"], ["/../a=ours"]])
def test_malformed_resolutions(texts: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        parse_resolutions(texts, default=None)


# Ancestors


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_merge_bases_are_those_of_the_sets(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = random.Random(seed)
    clock = iter(rng.sample(range(10, 10_000), 100))
    with pfs.init(tmp_path_factory.mktemp("graph")) as store:
        repo = store.create_repo("data")
        store.clock_ns = lambda: next(clock)  # clocks of several machines: in no order
        above: dict[CommitId, set[CommitId]] = {}
        for number in range(14):
            parents = tuple(rng.sample(list(above), k=min(len(above), rng.choice([0, 1, 1, 2, 2]))))
            new = NewCommit(
                branch=f"b{number}", root=EMPTY_ROOT, id=new_commit_id(), started_ns=0, parents=parents, forked=True
            )
            made = repo.publish([new], store.session())[0].id
            above[made] = {made}.union(*(above[parent] for parent in parents))
        graph = Graph(store, store.refs.read("data"))
        for _ in range(20):
            one, two = rng.choice(list(above)), rng.choice(list(above))
            common = above[one] & above[two]
            best = {info for info in common if not any(info in above[other] - {other} for other in common)}
            found = merge_base(graph, one, two)
            assert (found is None) == (not best)
            assert found is None or found.id in best
            assert is_ancestor(graph, one, two) == (one in above[two])


# Repos


def put_files(repo: Repo, branch: str, files: dict[str, bytes | None], message: str = "") -> CommitId:
    with repo.commit(branch, message=message) as commit:
        for path, data in files.items():
            if data is None:
                commit.delete_file(path)
            else:
                commit.put_file(path, data)
    return commit.id


def contents(repo: Repo, ref: str) -> Files:
    view = repo[ref]
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


def ids(repo: Repo, ref: str = "master") -> list[CommitId]:
    return [info.id for info in repo.commits(ref)]


@pytest.fixture
def forked(repo: Repo) -> Repo:
    """master and dev, each with a commit of its own on a common one."""
    put_files(repo, "master", {"/a": b"0", "/b": b"0"})
    repo.create_branch("dev", head="master")
    put_files(repo, "master", {"/a": b"1", "/m": b"1"})
    put_files(repo, "dev", {"/b": b"2", "/d/x": b"2"}, "on dev")
    return repo


def test_merge_makes_a_commit_of_both(forked: Repo) -> None:
    heads = forked.inspect("master").id, forked.inspect("dev").id
    made = merge(forked.store, "data", "dev", "master")
    assert (made.parents, made.branch, made.message) == (heads, "master", "merge dev into master")
    assert contents(forked, "master") == {"/a": b"1", "/b": b"2", "/m": b"1", "/d/x": b"2"}
    assert forked["master"].stat("/b").commit == made.id
    assert merge(forked.store, "data", "dev", "master") == made, "it has all of it"
    put_files(forked, "dev", {"/b": b"3"})
    put_files(forked, "master", {"/a": b"4"})
    merge(forked.store, "data", "dev", "master")
    assert contents(forked, "master") == {"/a": b"4", "/b": b"3", "/m": b"1", "/d/x": b"2"}


def test_a_merge_without_new_commits_of_ours_is_a_commit_too(repo: Repo) -> None:
    first = put_files(repo, "master", {"/a": b"1"})
    repo.create_branch("dev", head="master")
    second = put_files(repo, "dev", {"/a": b"2"})
    made = merge(repo.store, "data", "dev", "master", how=How(message="said"))
    assert (made.parents, made.message) == ((first, second), "said")
    assert made.root.tid == repo.inspect("dev").root.tid
    repo.create_branch("empty")
    assert merge(repo.store, "data", "dev", "empty").parents == (second,)


def test_conflicts_change_nothing_and_are_named(forked: Repo) -> None:
    put_files(forked, "dev", {"/a": b"9", "/m": b"9"})
    before, packs = ids(forked), {entry.name for entry in forked.store.backend.entries("packs/")}
    with pytest.raises(MergeConflictError) as caught:
        merge(forked.store, "data", "dev", "master")
    assert caught.value.conflicts == (("/a", "both modified"), ("/m", "both added"))
    assert "merge data@dev into data@master" in str(caught.value)
    assert ids(forked) == before
    assert {entry.name for entry in forked.store.backend.entries("packs/")} == packs
    with pytest.raises(InvalidInputError, match="no conflict at /b"):
        merge(forked.store, "data", "dev", "master", how=How(Resolution("ours", {b"b": "ours"})))
    merge(forked.store, "data", "dev", "master", how=How(Resolution("ours", {b"m": "theirs"})))
    assert contents(forked, "master") == {"/a": b"1", "/b": b"2", "/m": b"9", "/d/x": b"2"}


def test_what_merge_refuses(forked: Repo) -> None:
    store = forked.store
    failed = forked.finish_commit(forked.start_commit("dev").id, error="boom").id
    forked.create_tag("v1", "master")
    store.create_repo("raw")
    forked.create_branch("out", head="master", provenance=[BranchRef("raw", "master")])
    forked.create_branch("busy", head="master")
    opened = forked.start_commit("busy").id
    for source, target in ((failed, "master"), (opened, "master"), ("dev", "v1"), ("dev", "out"), ("dev", "busy")):
        with pytest.raises(ConflictError):
            merge(store, "data", source, target)
    with pytest.raises(BranchNotFoundError):
        merge(store, "data", "dev", "nothing")


def test_another_writer_between_is_merged_too(forked: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    forked.create_branch("ahead", head="master")
    ahead, raced = put_files(forked, "ahead", {"/race": b"r"}), list[CommitId]()
    real = type(forked.store.refs).swap

    def racing(
        self: Refs, state: RefsState, body: RefsBody, *, seen_gen: int | None = None, announce: bool = True
    ) -> RefsState:
        if not raced:
            raced.append(ahead)
            with pfs.open(forked.store.path) as other:
                other.repo("data").create_branch("master", head=ahead)
        return real(self, state, body, seen_gen=seen_gen, announce=announce)

    monkeypatch.setattr(type(forked.store.refs), "swap", racing)
    made = merge(forked.store, "data", "dev", "master")
    assert contents(forked, "master")["/race"] == b"r"
    assert contents(forked, "master")["/b"] == b"2"
    assert made.parents == (ahead, forked.branch("dev").head)


def test_revert_undoes_one_commit(repo: Repo) -> None:
    put_files(repo, "master", {"/a": b"0"})
    bad = put_files(repo, "master", {"/a": b"1", "/new": b"1"}, "bad")
    put_files(repo, "master", {"/b": b"2"})
    made = revert(repo.store, "data", "master~1")
    assert contents(repo, "master") == {"/a": b"0", "/b": b"2"}
    assert made.message == f"revert {bad[:12]}: bad"
    assert revert(repo.store, "data", bad) == made, "nothing is left to undo"
    revert(repo.store, "data", made.id)
    assert contents(repo, "master") == {"/a": b"1", "/new": b"1", "/b": b"2"}
    put_files(repo, "master", {"/a": b"3"})
    with pytest.raises(MergeConflictError):
        revert(repo.store, "data", bad)
    revert(repo.store, "data", bad, how=How(Resolution("theirs")))
    assert contents(repo, "master") == {"/a": b"0", "/b": b"2"}
    revert(repo.store, "data", "master.1", how=How(Resolution("theirs")))
    assert contents(repo, "master") == {"/b": b"2"}
    repo.create_branch("dev")
    put_files(repo, "dev", {"/x": b"1"})
    with pytest.raises(InvalidInputError, match="not in the history"):
        revert(repo.store, "data", bad, branch="dev")


def test_cherry_pick_takes_one_commit_over(forked: Repo) -> None:
    put_files(forked, "dev", {"/late": b"2"})
    made = cherry_pick(forked.store, "data", "dev^", "master")
    assert (made.message, len(made.parents)) == ("on dev", 1)
    assert contents(forked, "master") == {"/a": b"1", "/m": b"1", "/b": b"2", "/d/x": b"2"}
    assert cherry_pick(forked.store, "data", "dev^", "master") == made
    put_files(forked, "dev", {"/a": b"9"})
    with pytest.raises(MergeConflictError, match="cherry-pick"):
        cherry_pick(forked.store, "data", "dev", "master")
    forked.create_branch("empty")
    cherry_pick(forked.store, "data", "dev^", "empty")
    assert contents(forked, "empty") == {"/late": b"2"}


def test_rebase_puts_each_commit_on_top(forked: Repo) -> None:
    put_files(forked, "dev", {"/late": b"3"}, "late")
    put_files(forked, "dev", {"/m": b"1"}, "there already")
    old, onto = ids(forked, "dev"), forked.inspect("master").id
    made = rebase(forked.store, "data", "dev", "master")
    chain = list(forked.commits("dev"))
    assert chain[0] == made
    assert [info.message for info in chain] == ["late", "on dev", "", ""]
    assert chain[2].id == onto
    assert [change.path for change in forked[made.id].diff()] == ["/late"]
    assert contents(forked, "dev") == {"/a": b"1", "/m": b"1", "/b": b"2", "/d/x": b"2", "/late": b"3"}
    assert rebase(forked.store, "data", "dev", "master") == made
    assert forked.undelete("dev") == old[0]
    assert ids(forked, "dev") == old


def test_rebase_without_commits_of_its_own_moves_the_branch(forked: Repo) -> None:
    forked.create_branch("old", head="master^")
    assert rebase(forked.store, "data", "old", "master").id == forked.branch("master").head
    forked.create_branch("empty")
    assert rebase(forked.store, "data", "empty", "master").id == forked.branch("empty").head


def test_a_rebase_that_conflicts_changes_nothing(forked: Repo) -> None:
    put_files(forked, "dev", {"/m": b"9"})
    before = ids(forked, "dev")
    with pytest.raises(MergeConflictError, match=f"put data@{before[0][:12]}"):
        rebase(forked.store, "data", "dev", "master")
    assert ids(forked, "dev") == before
    rebase(forked.store, "data", "dev", "master", how=How(Resolution("theirs")))
    assert contents(forked, "dev")["/m"] == b"9"


def test_a_rebase_flattens_merges(forked: Repo) -> None:
    merge(forked.store, "data", "master", "dev")
    put_files(forked, "dev", {"/late": b"3"})
    put_files(forked, "master", {"/after": b"4"})
    want = contents(forked, "dev") | {"/after": b"4"}
    rebase(forked.store, "data", "dev", "master")
    assert contents(forked, "dev") == want
    assert all(len(info.parents) < 2 for info in forked.commits("dev"))


class CountingPages(MemoryPages):
    """Pages that remember which of them were read."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[bytes] = set()

    def get_page(self, pid: PageId) -> Page:
        self.touched.add(pid)
        return super().get_page(pid)


def test_a_merge_reads_and_writes_the_pages_of_the_changes_alone() -> None:
    pages, size = CountingPages(), 20_000
    rows = [put(b"d%02d/f%06d" % (number // 1_000, number), b"0") for number in range(size)]
    base = build(pages, rows, changed=CHANGED)
    ours = edit(pages, base, [put(b"d00/f%06d" % number, b"1") for number in range(20)], changed=CHANGED)
    theirs = edit(pages, base, [put(b"d19/f%06d" % (size - 1 - number), b"2") for number in range(20)], changed=CHANGED)
    total, before = len(pages.pages), pages.new_bytes
    pages.touched.clear()
    Merge(pages, Trees(base, ours, theirs), Resolution()).run(changed=CHANGED)
    assert len(pages.touched) < total / 4
    assert pages.new_bytes - before < 200_000


WORKS: dict[str, Callable[[Store], object]] = {
    "merge": lambda store: merge(store, "data", "dev", "master"),
    "revert": lambda store: revert(store, "data", "dev"),
    "rebase": lambda store: rebase(store, "data", "dev", "master"),
    "move": lambda store: rebase(store, "data", "old", "master"),
}


def seen(store: Store) -> object:
    repo = store.repo("data")
    return [(b.name, contents(repo, b.name), len(ids(repo, b.name))) for b in repo.branches()], len(
        list(repo.commits())
    )


@pytest.mark.parametrize("how", [Fault.BEFORE, Fault.AFTER, Fault.FULL])
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_old_or_new_state_whatever_call_fails(
    tmp_path: Path, forked: Repo, work: Callable[[Store], object], how: Fault
) -> None:
    forked.create_branch("old", head="master^")
    put_files(forked, "dev", {"/late": b"3"})
    old, home = seen(forked.store), forked.store.path.parent
    shutil.copytree(home, tmp_path / "done")
    with pfs.open(tmp_path / "done") as store:
        work(store)
        new = seen(store)
    assert new != old
    number, fired = 0, True
    while fired:
        number += 1
        place = tmp_path / str(number)
        shutil.copytree(home, place)
        backend = FaultyBackend(LocalBackend(place / ".pfs/objects"), fail_at=number, how=how)
        with Store(place / ".pfs", backend=backend) as store:
            try:
                work(store)
                acknowledged = True
            except PfsError:
                acknowledged = False
        fired = backend.fired
        with pfs.open(place) as store:
            assert seen(store) == new if acknowledged else seen(store) in (old, new)
            assert list(fsck(store)) == []
    assert number > 1
