"""Branches computed from others: what their moves open, with which id, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

import pfs
from pfs.backends.local import LocalBackend
from pfs.changes.trash import undelete_repo
from pfs.errors import (
    BranchNotFoundError,
    CommitNotFoundError,
    ConflictError,
    InvalidInputError,
    InvalidNameError,
    PfsError,
    RepoNotFoundError,
)
from pfs.history.commit_set import commit_set
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchRef, CommitInfo, Provenance, Trigger
from pfs.provenance.bind import Binding, bind
from pfs.provenance.cause import spare_id
from pfs.provenance.dag import Dag
from pfs.provenance.pull import settle_all
from pfs.refs.body import RefsBody, TriggerEntry, with_branch
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.upkeep.check import fsck


def ref(text: str) -> BranchRef:
    repo, _, branch = text.partition("@")
    return BranchRef(repo, branch or "master")


def make(store: Store, target: str, *sources: str, never: tuple[str, ...] = ()) -> None:
    """Create a branch, and its repo if need be, from others."""
    at = ref(target)
    store.create_repo(at.repo, exist_ok=True).create_branch(
        at.branch, provenance=[ref(source) for source in sources], never=[ref(source) for source in never]
    )


def put(store: Store, target: str, path: str = "/a", data: bytes | None = None) -> CommitId:
    at = ref(target)
    with store.create_repo(at.repo, exist_ok=True).commit(at.branch) as commit:
        commit.put_file(path, new_commit_id().encode() if data is None else data)
    return commit.id


def opened(store: Store, target: str) -> list[CommitInfo]:
    """Return the open commits of a branch, in line."""
    at = ref(target)
    return [info for info in store.repo(at.repo).commits(at.branch) if info.open][::-1]


def only(store: Store, target: str) -> CommitInfo:
    (info,) = opened(store, target)
    return info


def finish(store: Store, target: str) -> CommitInfo:
    at = ref(target)
    return store.repo(at.repo).finish_commit(at.branch)


def sources(info: CommitInfo) -> dict[str, str]:
    return {f"{source.repo}@{source.branch}": source.commit for source in info.provenance}


@pytest.fixture
def chain(store: Store) -> Store:
    """raw -> edges -> montage, and raw -> montage: a diamond in its smallest form."""
    store.create_repo("raw")
    make(store, "edges", "raw")
    make(store, "montage", "edges", "raw")
    return store


@pytest.mark.row("1.4 missing provenance branches")
def test_missing_branches_are_made_and_missing_repos_refused(store: Store) -> None:
    store.create_repo("raw")
    make(store, "out", "raw@dev")
    assert store.repo("raw").branch("dev").head is None
    assert store.repo("out").branch("master").provenance == (ref("raw@dev"),)
    with pytest.raises(RepoNotFoundError):
        make(store, "out", "nothing")
    assert store.repo("out").branch("master").provenance == (ref("raw@dev"),)


@pytest.mark.row("1.4 propagation")
def test_one_commit_for_a_diamond_with_the_id_of_its_cause(chain: Store) -> None:
    cause = put(chain, "raw")
    assert [only(chain, name).id for name in ("edges", "montage")] == [cause, cause]
    assert sources(only(chain, "edges")) == {"raw@master": cause}
    assert sources(only(chain, "montage")) == {"edges@master": cause, "raw@master": cause}
    assert [info.origin for info in commit_set(chain, cause).commits] == ["auto", "auto", "user"]
    with pytest.raises(ConflictError, match="edges@master"):
        finish(chain, "montage")
    put(chain, "edges", "/e", b"edges")
    assert finish(chain, "edges").id == cause
    assert finish(chain, "montage").id == cause
    assert opened(chain, "edges") == opened(chain, "montage") == []
    assert chain.repo("edges").inspect("master").origin == "auto"
    assert chain.repo("raw").inspect(cause).id == cause
    assert list(fsck(chain)) == []


def test_files_go_into_the_commit_that_was_opened(chain: Store) -> None:
    edges = chain.repo("edges")
    with pytest.raises(ConflictError, match="computed from raw@master"):
        put(chain, "edges")
    with pytest.raises(ConflictError, match="computed from raw@master"):
        edges.start_commit("master")
    cause = put(chain, "raw")
    assert put(chain, "edges", "/e", b"1") == cause
    assert edges.branch("master").head is None
    finish(chain, "edges")
    assert edges["master"].read("/e") == b"1"
    with pytest.raises(ConflictError):
        put(chain, "edges")


def test_one_that_nobody_wrote_to_makes_room(chain: Store) -> None:
    first, second = put(chain, "raw"), put(chain, "raw")
    assert [only(chain, name).id for name in ("edges", "montage")] == [second, second]
    with pytest.raises(CommitNotFoundError):
        chain.repo("edges").inspect(first)
    assert chain.repo("raw").inspect(first).id == first


def test_one_that_was_written_to_stays_and_the_newer_waits_in_line(chain: Store) -> None:
    first = put(chain, "raw")
    put(chain, "edges", "/e", b"1")
    second, third = put(chain, "raw"), put(chain, "raw")
    assert [info.id for info in opened(chain, "edges")] == [first, third]
    assert only(chain, "montage").id == third
    assert put(chain, "edges", "/f", b"2") == first
    assert finish(chain, "edges").id == first
    assert put(chain, "edges", "/g", b"3") == third
    assert finish(chain, "edges").id == third
    edges = chain.repo("edges")
    assert edges.inspect("master").parents == (first,)
    assert [edges["master"].read(path) for path in ("/e", "/f", "/g")] == [b"1", b"2", b"3"]
    assert second not in {info.id for info in edges.commits()}


def test_one_that_a_written_one_is_made_from_stays_too(chain: Store) -> None:
    first = put(chain, "raw")
    put(chain, "montage", "/m", b"1")
    second = put(chain, "raw")
    assert [info.id for info in opened(chain, "edges")] == [first, second]
    assert [info.id for info in opened(chain, "montage")] == [first, second]
    assert sources(opened(chain, "montage")[0]) == {"edges@master": first, "raw@master": first}
    with pytest.raises(ConflictError, match="montage"):
        chain.repo("edges").drop_open(first)
    for name in ("edges", "montage", "edges", "montage"):
        finish(chain, name)
    assert chain.repo("montage").branch("master").head == second


@pytest.mark.row("1.4 setting head")
def test_a_move_backwards_gets_one_fresh_id_for_all(chain: Store) -> None:
    first, second = put(chain, "raw"), ""
    for name in ("edges", "montage"):
        finish(chain, name)
    second = put(chain, "raw")
    for name in ("edges", "montage"):
        finish(chain, name)
    chain.repo("raw").create_branch("master", head=first)
    made = only(chain, "edges")
    assert made.id not in (first, second)
    assert made.id == only(chain, "montage").id
    assert sources(made) == {"raw@master": first}
    assert sources(only(chain, "montage")) == {"edges@master": made.id, "raw@master": first}
    chain.repo("raw").create_branch("master", head=second)
    assert opened(chain, "edges") == opened(chain, "montage") == [], "they are where they were"


def test_a_move_forwards_has_the_id_of_the_commit(chain: Store) -> None:
    ahead = put(chain, "raw@dev")
    assert opened(chain, "edges") == []
    chain.repo("raw").create_branch("master", head="dev")
    assert [only(chain, name).id for name in ("edges", "montage")] == [ahead, ahead]


def test_an_id_that_one_repo_has_is_spared_for_all(chain: Store) -> None:
    """The same commit reaches two branches of one repo, in two parts of the graph."""
    make(chain, "edges@of-dev", "raw@dev")
    ahead = put(chain, "raw@dev")
    put(chain, "edges@of-dev")
    chain.repo("raw").create_branch("master", head="dev")
    made = only(chain, "edges")
    entry = chain.refs.read("raw").body.branches["master"]
    assert made.id == spare_id("raw", "master", ahead, at_ns=entry.updated)
    assert only(chain, "montage").id == made.id
    assert only(chain, "edges@of-dev").id == ahead


def test_drop_and_undelete_move_what_is_downstream(chain: Store) -> None:
    first = put(chain, "raw")
    for name in ("edges", "montage"):
        finish(chain, name)
    second = put(chain, "raw")
    raw = chain.repo("raw")
    raw.drop_commit(second)
    assert opened(chain, "edges") == opened(chain, "montage") == []
    raw.undelete("master")
    assert sources(only(chain, "edges")) == {"raw@master": second}
    assert only(chain, "edges").id == only(chain, "montage").id
    assert raw.branch("master").head == second
    put(chain, "edges")
    with pytest.raises(ConflictError, match="was made from"):
        raw.drop_commit(second)
    assert first in {info.id for info in raw.commits()}


def test_what_is_given_up_is_not_opened_again(chain: Store) -> None:
    put(chain, "raw")
    chain.repo("montage").drop_open("master")
    assert opened(chain, "montage") == []
    settle_all(chain)
    assert opened(chain, "montage") == []
    third = put(chain, "raw")
    assert only(chain, "montage").id == third


def test_a_failed_commit_takes_what_waited_for_it_along(chain: Store) -> None:
    first = put(chain, "raw")
    for name in ("edges", "montage"):
        finish(chain, name)
    second = put(chain, "raw")
    chain.repo("edges").finish_commit("master", error="boom")
    assert chain.repo("edges").branch("master").head == first
    assert sources(only(chain, "montage")) == {"edges@master": first, "raw@master": second}


def test_a_set_is_dropped_whole(chain: Store) -> None:
    from pfs.changes.squash import drop_set

    put(chain, "raw")
    for name in ("edges", "montage"):
        finish(chain, name)
    second = put(chain, "raw")
    drop_set(chain, second)
    assert [opened(chain, name) for name in ("edges", "montage")] == [[], []]
    assert chain.repo("raw").inspect("master").id != second


@pytest.mark.row("1.4 provenance change")
def test_binding_opens_at_once_and_unbinding_opens_nothing(store: Store) -> None:
    cause = put(store, "raw")
    make(store, "out", "raw")
    assert only(store, "out").id == cause
    finish(store, "out")
    out = store.repo("out")
    out.create_branch("master", provenance=[])
    assert out.branch("master").provenance == ()
    put(store, "raw")
    assert opened(store, "out") == []
    assert store.refs.read("raw").body.branches["master"].feeds == ()
    mine = put(store, "out")
    out.create_branch("master", provenance=[ref("raw")])
    assert only(store, "out").parents == (mine,)
    out.create_branch("master")
    assert out.branch("master").provenance == (ref("raw"),), "what is not said stays"


@pytest.mark.row("1.4 never propagation")
def test_an_edge_that_never_opens(store: Store) -> None:
    put(store, "model")
    make(store, "out", "raw", "model", never=("model",)) if store.create_repo("raw") else None
    assert opened(store, "out") == []
    newer = put(store, "model")
    assert opened(store, "out") == []
    cause = put(store, "raw")
    assert only(store, "out").id == cause
    assert sources(only(store, "out")) == {"raw@master": cause, "model@master": newer}
    assert store.repo("out").branch("master").never == (ref("model"),)
    with pytest.raises(InvalidInputError, match="other@master"):
        make(store, "out", "raw", never=("other",))


def test_outputs_of_pipelines_are_left_to_their_jobs(store: Store) -> None:
    put(store, "raw")
    store.create_repo("made")
    bind(store, "made", {"master": Binding((ref("raw"),), pipeline=True)})
    make(store, "below", "made")
    put(store, "raw")
    assert opened(store, "made") == opened(store, "below") == []
    with pytest.raises(ConflictError, match="output of a pipeline"):
        put(store, "made")
    with pytest.raises(ConflictError, match="output of a pipeline"):
        store.repo("made").create_branch("master", provenance=[])
    with store.repo("made").commit("master", provenance=[Provenance("raw", "master", new_commit_id())]) as job:
        job.put_file("/x", b"x")
    assert only(store, "below").id == job.id


@pytest.mark.row("1.4 DAG rule")
def test_own_repo_circles_and_second_branches_are_refused(chain: Store) -> None:
    with pytest.raises(InvalidInputError, match="own repo"):
        make(chain, "edges@dev", "edges")
    with pytest.raises(ConflictError, match="raw@master would be computed from itself"):
        chain.repo("raw").create_branch("master", provenance=[ref("montage")])
    with pytest.raises(ConflictError, match="raw@dev and raw@master would be connected"):
        make(chain, "other", "montage", "raw@dev")
    with pytest.raises(ConflictError, match="edges@dev and edges@master"):
        make(chain, "edges@dev", "raw")
    make(chain, "edges@dev", "raw@dev")
    with pytest.raises(InvalidNameError):
        make(chain, "other", "edges@.spec")
    chain.repo("raw").create_tag("v1", put(chain, "raw"))
    with pytest.raises(ConflictError, match="tag"):
        make(chain, "other", "raw@v1")
    assert "other" in [info.name for info in chain.list_repos()]
    assert chain.repo("other").branches() == []
    assert list(fsck(chain)) == []


def test_deletion_needs_force_and_leaves_the_rest_working(chain: Store) -> None:
    put(chain, "raw")
    for name in ("edges", "montage"):
        finish(chain, name)
    with pytest.raises(ConflictError, match="montage@master"):
        chain.repo("edges").delete_branch("master")
    with pytest.raises(ConflictError, match=r"(edges|montage)@master"):
        chain.delete_repo("raw")
    with pytest.raises(BranchNotFoundError):
        chain.repo("edges").delete_branch("nothing")
    chain.repo("edges").delete_branch("master", force=True)
    assert chain.repo("montage").branch("master").provenance == (ref("raw"),)
    assert opened(chain, "montage") == []
    cause = put(chain, "raw")
    assert sources(only(chain, "montage")) == {"raw@master": cause}
    assert list(fsck(chain)) == []
    chain.delete_repo("raw", force=True)
    assert chain.repo("montage").branch("master").provenance == ()
    put(chain, "montage", "/last", b"1")
    finish(chain, "montage")
    put(chain, "montage", "/free", b"1")
    assert list(fsck(chain)) == []


def test_a_branch_nobody_wrote_to_goes_with_its_open_commit(chain: Store) -> None:
    put(chain, "raw")
    chain.repo("montage").delete_branch("master")
    assert list(chain.repo("montage").commits()) == []
    chain.repo("montage").undelete("master")
    assert chain.repo("montage").branch("master").provenance == (ref("edges"), ref("raw"))
    put(chain, "montage")
    with pytest.raises(ConflictError, match="open commit"):
        chain.repo("montage").delete_branch("master")


def test_what_comes_back_is_bound_as_far_as_that_goes(chain: Store) -> None:
    montage = chain.repo("montage")
    montage.delete_branch("master")
    assert chain.refs.read("edges").body.branches["master"].feeds == ()
    montage.undelete("master")
    cause = put(chain, "raw")
    assert only(chain, "montage").id == cause
    montage.delete_branch("master")
    make(chain, "montage@dev", "edges")
    montage.undelete("master")
    assert montage.branch("master").provenance == (), "montage@dev took its place"
    chain.delete_repo("montage")
    chain.delete_repo("edges", force=True)
    undelete_repo(chain, "montage")
    assert chain.repo("montage").branch("dev").provenance == ()
    assert list(fsck(chain)) == []


def test_a_repo_that_feeds_none_pays_nothing(store: Store) -> None:
    backend = FaultyBackend(store.backend)
    for name in ("a", "b", "c"):
        put(store, name)
    with Store(store.path, backend=backend) as counted:
        put(counted, "a")
        swaps = [call for call in backend.log if call.startswith("swap")]
        others = [call for call in backend.log if "refs/b" in call or "refs/c" in call]
    assert (len(swaps), others) == (1, [])


@pytest.mark.parametrize("how", [How.BEFORE, How.AFTER])
def test_a_crash_between_the_commit_and_its_propagation_is_healed_by_the_next_look(tmp_path: Path, how: How) -> None:
    with pfs.init(tmp_path / "home") as store:
        store.create_repo("raw")
        make(store, "edges", "raw")
        make(store, "montage", "edges", "raw")
    number, done = 0, False
    while not done:
        number += 1
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "home", place)
        landed = _put_and_die(place, number, how)
        done = landed is None
        with pfs.open(place) as store:
            heads = [info.id for info in store.repo("raw").commits()]
            for name in ("montage", "edges"):
                assert [info.id for info in opened(store, name)] == heads, f"swap {number}"
            if heads:
                assert sources(only(store, "montage")) == {"edges@master": heads[0], "raw@master": heads[0]}
            assert list(fsck(store)) == []
    assert number == 4, "one swap for the commit, one for each branch below, and one run that met no fault"


def _put_and_die(place: Path, number: int, how: How) -> CommitId | None:
    """Put a file, dying at the n-th swap; None: there were not so many."""
    backend = FaultyBackend(
        LocalBackend(place / ".pfs/objects"), counted=frozenset({"swap"}), fail_at=number, how=how, dead_after=True
    )
    store = Store(place / ".pfs", backend=backend)
    try:
        commit = put(store, "raw")
    except PfsError:
        commit = CommitId("")
    finally:
        store.close()
    return commit if backend.fired else None


def test_a_failure_of_propagation_fails_no_commit(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        store.create_repo("raw")
        make(store, "out", "raw")
    backend = FaultyBackend(
        LocalBackend(tmp_path / ".pfs/objects"), counted=frozenset({"swap"}), fail_at=2, dead_after=True
    )
    with Store(tmp_path / ".pfs", backend=backend) as store:
        commit = put(store, "raw")
    assert backend.fired
    with pfs.open(tmp_path) as store:
        assert store.refs.read("out").body.open == {}
        assert store.repo("out").branch("master").open_commit == commit


@pytest.mark.row("1.4 walk provenance")
def test_the_graph_is_said_upwards_and_downwards(chain: Store) -> None:
    dag = Dag.of((state.repo, state.body) for state in chain.refs.repos())
    assert dag.provenance(ref("montage")) == [ref("edges"), ref("raw")]
    assert dag.subvenance(ref("raw")) == [ref("edges"), ref("montage")]
    assert dag.ordered([ref("montage"), ref("raw"), ref("edges")]) == [ref("raw"), ref("edges"), ref("montage")]


def test_a_transaction_opens_one_commit_below_all_of_its_repos(store: Store) -> None:
    for name in ("raw", "model", "out"):
        store.create_repo(name)
    with store.transaction() as transaction:
        transaction.repo("out").create_branch("master", provenance=[ref("raw"), ref("model")], never=[])
        transaction.repo("raw").create_branch("stable", trigger=Trigger(branch="master", commits=1))
    with store.transaction() as transaction:
        for name in ("raw", "model"):
            with transaction.repo(name).commit("master") as commit:
                commit.put_file("/x", name.encode())
    made = only(store, "out")
    assert made.id == store.repo("raw").branch("master").head == store.repo("model").branch("master").head
    assert sources(made) == {"raw@master": made.id, "model@master": made.id}
    assert store.repo("raw").branch("stable").head == made.id
    assert list(fsck(store)) == []


def spoil(store: Store, target: str, **fields: object) -> None:
    """Write refs as no command of ours would."""
    at = ref(target)

    def edit(body: RefsBody) -> RefsBody:
        return with_branch(body, at.branch, replace(body.branches[at.branch], **fields))

    store.refs.update(at.repo, edit, announce=False)


def faults(store: Store) -> dict[str, str]:
    return {damage.object: damage.detail for damage in fsck(store) if damage.kind == "provenance"}


def test_fsck_names_branches_that_do_not_fit(chain: Store) -> None:
    put(chain, "raw@dev")
    spoil(chain, "edges", provenance=(("raw", "master"), ("raw", "gone")))
    assert "raw@gone, which is not there" in faults(chain)["edges@master"]
    spoil(chain, "edges", provenance=(("raw", "master"),))
    assert faults(chain) == {}
    spoil(chain, "raw", feeds=())
    assert set(faults(chain)) == {"edges@master", "montage@master"}
    for name, above in (("edges", ["raw"]), ("montage", ["edges", "raw"])):
        make(chain, name, *above)
    assert faults(chain) == {}, "saying it again mends it"
    spoil(chain, "raw@dev", feeds=(("edges", "master"),))
    spoil(chain, "edges", provenance=(("raw", "master"), ("raw", "dev")))
    assert "raw@dev and raw@master would be connected" in faults(chain)["montage@master"]
    spoil(chain, "edges", provenance=(("raw", "master"),))
    spoil(chain, "raw@dev", trigger=TriggerEntry(branch="nothing"))
    assert "raw@nothing" in faults(chain)["raw@dev"]
    spoil(chain, "raw@dev", trigger=TriggerEntry(branch="dev"))
    assert "circle" in faults(chain)["raw@dev"]


def test_two_that_bind_at_once_what_does_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second binds between the first's check and its swap: one of them at least must see it."""
    from pfs.provenance import bind as module

    with pfs.init(tmp_path) as store, pfs.open(tmp_path) as other:
        for name in ("a", "b"):
            store.create_repo(name)
        plain = module.prepare

        def prepare(*given: object) -> None:
            plain(*given)  # type: ignore[arg-type]
            monkeypatch.setattr(module, "prepare", plain)
            bind(other, "b", {"master": Binding((ref("a"),))})

        monkeypatch.setattr(module, "prepare", prepare)
        with pytest.raises(ConflictError):
            bind(store, "a", {"master": Binding((ref("b"),))})
        assert store.repo("a").branch("master").provenance == ()
        assert store.repo("b").branch("master").provenance == (ref("a"),)
        bind(store, "a", {"other": Binding()})
        assert list(fsck(store)) == []
