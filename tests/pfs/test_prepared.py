"""Entries of transactions in refs, and how those who meet them behave: readers, writers, readers of several repos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pfs.backends.memory import MemoryBackend
from pfs.errors import AlreadyExistsError, BranchMovedError, CorruptionError, InvalidInputError
from pfs.ids import CommitId, PackId
from pfs.refs.body import (
    BranchEntry,
    OpenEntry,
    Prepared,
    RefsBody,
    RootEntry,
    TrashEntry,
    decode_body,
    encode_body,
    move_head,
    tombstone,
    with_branch,
    without_branch,
)
from pfs.refs.prepared import ALL, applied, clash, difference, folded, is_empty, named, possible, touched
from pfs.refs.signed import sign_body
from pfs.refs.swap import Refs
from pfs.refs.transactions import LEASE_NS, TransactionBody, TransactionState, decode, encode, object_name
from pfs.testing.faults import FaultyBackend, How

GOLDEN = Path(__file__).parents[1] / "data" / "transaction_v1.json"
ID = CommitId("0123456789abcdef0123456789abcdef")
OTHER = CommitId("f" * 32)
PACK = PackId(bytes(range(16)))

_names = st.sampled_from(["a", "b", "c", ".meta"])
_branches = st.builds(BranchEntry, head=st.sampled_from([None, ID, OTHER]), pack=st.sampled_from([None, PACK.hex()]))
_opens = st.builds(OpenEntry, branch=_names, started=st.integers(0, 3), root=st.just(RootEntry("aa", "bb", 1, 1)))
_trash = st.builds(TrashEntry, branch=_branches, deleted=st.integers(0, 3), kind=st.sampled_from(["head", "dropped"]))
_bodies = st.builds(
    RefsBody,
    branches=st.dictionaries(_names, _branches),
    tags=st.dictionaries(_names, _branches),
    open=st.dictionaries(st.sampled_from([ID, OTHER]), _opens),
    edges=st.dictionaries(st.sampled_from([ID, OTHER]), st.sampled_from([None, ID])),
    trash=st.dictionaries(_names, _trash),
    description=st.sampled_from(["", "x"]),
    gone=st.booleans(),
    extra=st.dictionaries(st.just("later"), st.sampled_from([1, {"deep": [1]}])),
)


@given(_bodies, _bodies)
def test_what_was_compared_is_made_again(old: RefsBody, new: RefsBody) -> None:
    old = replace(old, seq=7, wid="w", recent=("v",), gc_gen=3)
    entry = difference(old, new, attempt=f"{ID}-1")
    own = {"seq": 7, "wid": "w", "recent": ("v",), "gc_gen": 3}
    assert applied(old, entry) == replace(new, **own)
    assert is_empty(entry) == (replace(new, **own) == old)
    stored = decode_body(encode_body(replace(old, prepared=(entry,))), where="x")
    assert stored.prepared == (entry,)
    after = folded(stored, stored.prepared[0])
    assert after == replace(new, **own | {"recent": ("v", f"{ID}-1")})
    assert list(possible(stored)) == [stored, replace(new, prepared=stored.prepared, **own)]


@given(_bodies, _bodies)
def test_changes_beside_each_other_do_not_disturb(one: RefsBody, other: RefsBody) -> None:
    base = RefsBody(branches={"a": BranchEntry(created=1)}, tags={"b": BranchEntry(created=2)})
    mine, yours = difference(base, one, attempt="m-1"), difference(base, other, attempt="y-1")
    if not clash(named(base, mine), named(base, yours)):
        both = applied(applied(base, mine), yours)
        assert {**both.branches} == {**applied(applied(base, yours), mine).branches}
        assert touched(base, both) == touched(base, one) | touched(base, other)


def test_names_that_a_change_touches() -> None:
    base = RefsBody(branches={"a": BranchEntry(), "b": BranchEntry()})
    assert touched(base, move_head(base, "a", head=ID, pack=PACK, now_ns=1)) == {"a"}
    assert touched(base, without_branch(base, "b", now_ns=1)) == {"b"}
    assert touched(base, replace(base, tags={"t": BranchEntry()})) == {"t"}
    opened = OpenEntry(branch="b", started=1, root=RootEntry("", "", 0, 0))
    assert touched(base, replace(base, open={ID: opened})) == {"b"}
    assert touched(base, replace(base, edges={ID: None})) == {ALL}
    assert touched(base, tombstone(base, last="x", now_ns=1)) == {ALL}
    assert not clash(frozenset({"a"}), frozenset({"b"}))
    assert clash(frozenset({"a"}), frozenset({ALL}))
    assert not clash(frozenset(), frozenset({ALL}))


def golden_body() -> TransactionBody:
    return TransactionBody(
        id=ID,
        wid="w3",
        recent=("w1", "w2"),
        state="pending",
        attempt=2,
        repos=("a", "b"),
        owner="host:12",
        expires=1_700_000_030_000_000_000,
        message="both",
        created=1_700_000_000_000_000_000,
        ops=({"op": "create-repo", "repo": "b", "description": ""},),
    )


def test_the_object_is_written_as_the_golden_file() -> None:
    assert encode(golden_body()) == GOLDEN.read_bytes()
    assert decode(GOLDEN.read_bytes(), where="golden") == golden_body()


def test_a_damaged_object_is_corruption() -> None:
    data = encode(golden_body())
    for at in range(len(data)):
        with pytest.raises(CorruptionError):
            decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], where="x")
    with pytest.raises(CorruptionError):
        decode(sign_body(b'{"v":1}'), where="x")
    with pytest.raises(InvalidInputError, match="newer pfs"):
        decode(sign_body(b'{"v":2}'), where="x")


class Two:
    """Two repos, one transaction that moves master of both, a clock, and what is done while someone waits."""

    def __init__(self) -> None:
        self.now_ns = 1_000
        self.backend = MemoryBackend()
        self.meanwhile: Callable[[], object] = lambda: pytest.fail("nobody should wait")
        self.refs = Refs(self.backend, clock_ns=lambda: self.now_ns, pause=lambda _: self.meanwhile())
        for repo in ("a", "b"):
            self.refs.create(repo, description="", now_ns=1)
            self.refs.update(repo, lambda body: with_branch(body, "other", BranchEntry(created=1)))
        self.state = self.refs.transactions.create(TransactionBody(id=ID))

    def prepare(self) -> None:
        txns = self.refs.transactions
        pending = replace(self.state.body, state="pending", attempt=1, repos=("a", "b"), expires=self.now_ns + LEASE_NS)
        self.state = txns.swap(self.state, pending)
        for repo in ("a", "b"):
            state = self.refs.read(repo)
            entry = difference(state.body, self.moved(state.body), attempt=self.state.body.attempt_id)
            self.refs.prepare(repo, state, entry, gc_gen=0)

    def moved(self, body: RefsBody) -> RefsBody:
        return move_head(body, "master", head=ID, pack=PACK, now_ns=1)

    def decide(self, state: str) -> TransactionState:
        self.state = self.refs.transactions.swap(self.state, replace(self.state.body, state=state))
        return self.state

    def stored(self, repo: str) -> RefsBody:
        state = self.refs.raw(repo)
        assert state is not None
        return state.body

    def seen(self) -> list[bool]:
        """Say of each repo, read alone, and of both, read together, whether the transaction shows."""
        alone = ["master" in self.refs.read(repo).body.branches for repo in ("a", "b")]
        assert alone == ["master" in state.body.branches for state in self.refs.snapshot()]
        assert alone == ["master" in state.body.branches for state in self.refs.snapshot(("a", "b"))]
        return alone


def test_nothing_shows_before_the_commit_point_and_all_after() -> None:
    two = Two()
    two.prepare()
    assert two.seen() == [False, False]
    two.decide("committed")
    assert two.seen() == [True, True]
    assert "master" not in two.stored("a").branches
    two.refs.update("a", lambda body: with_branch(body, "more", BranchEntry()))
    assert two.seen() == [True, True]
    stored = two.stored("a")
    assert set(stored.branches) == {"master", "other", "more"}
    assert stored.prepared == ()
    assert f"{ID}-1" in stored.recent
    two.refs.settle("b")
    two.refs.transactions.remove(ID)
    assert two.seen() == [True, True]


@pytest.mark.parametrize("state", ["open", "dropped"])
def test_an_aborted_attempt_never_shows(state: str) -> None:
    two = Two()
    two.prepare()
    two.decide(state)
    assert two.seen() == [False, False]
    two.state = two.refs.transactions.swap(two.state, replace(two.state.body, state="pending", attempt=2))
    assert two.seen() == [False, False]
    two.decide("committed")  # of attempt 2: what attempt 1 prepared does not count
    assert two.seen() == [False, False]
    two.refs.transactions.remove(ID)
    assert two.seen() == [False, False]
    two.refs.settle("a")
    assert two.stored("a").prepared == ()


def test_writers_of_other_branches_go_on_and_carry_the_entry() -> None:
    two = Two()
    two.prepare()
    two.refs.update("a", lambda body: with_branch(body, "other", BranchEntry(created=2)))
    assert two.seen() == [False, False]
    two.decide("committed")
    assert two.seen() == [True, True]
    assert two.refs.read("a").body.branches["other"].created == 2


@pytest.mark.parametrize("state", ["open", "committed"])
def test_a_writer_of_the_same_branch_waits_until_it_is_decided(state: str) -> None:
    two, waited = Two(), list[int]()
    two.prepare()

    def decide() -> None:
        waited.append(1)
        two.decide(state)

    two.meanwhile = decide
    before = list[bool]()

    def edit(body: RefsBody) -> RefsBody:
        before.append("master" in body.branches)
        return with_branch(body, "master", replace(body.branches.get("master", BranchEntry()), created=9))

    after = two.refs.update("a", edit)
    assert waited == [1]
    assert before == [False, state == "committed"]
    assert (after.branches["master"].head == ID) == (state == "committed")


def test_who_waits_too_long_aborts_and_the_owner_learns_it_at_the_commit_point() -> None:
    two = Two()
    two.prepare()
    two.now_ns += LEASE_NS + 1
    two.refs.update("b", lambda body: with_branch(body, "master", BranchEntry(created=9)))
    with pytest.raises(BranchMovedError):
        two.decide("committed")
    assert [body.branches.get("master") for body in (two.refs.read(repo).body for repo in ("a", "b"))] == [
        None,
        BranchEntry(created=9),
    ]


def test_an_owner_whose_clock_is_ahead_makes_nobody_wait_longer() -> None:
    two = Two()
    two.now_ns += 100 * LEASE_NS
    two.prepare()
    two.now_ns -= 100 * LEASE_NS

    def a_second() -> None:
        two.now_ns += 1_000_000_000

    two.meanwhile = a_second
    began_ns = two.now_ns
    two.refs.update("b", lambda body: with_branch(body, "master", BranchEntry(created=9)))
    assert two.now_ns - began_ns < 2 * LEASE_NS


def test_a_repo_that_is_deleted_or_made_waits_too() -> None:
    two = Two()
    two.prepare()
    state = two.refs.read("a")
    two.meanwhile = lambda: two.decide("committed")
    with pytest.raises(BranchMovedError):
        two.refs.bury(state)
    two.refs.bury(two.refs.read("a"))
    assert two.refs.find("a") is None
    third = two.refs.transactions.create(TransactionBody(id=OTHER, state="pending", attempt=1, expires=two.now_ns))
    born = difference(RefsBody(gone=True), RefsBody(description="new", created=5), attempt=f"{OTHER}-1")
    two.refs.prepare("c", None, born, gc_gen=0)
    assert two.refs.find("c") is None
    two.meanwhile = lambda: two.refs.transactions.swap(third, replace(third.body, state="committed"))
    with pytest.raises(AlreadyExistsError):
        two.refs.create("c", description="mine", now_ns=6)
    assert two.refs.read("c").body.description == "new"


def test_two_transactions_on_one_branch_take_turns() -> None:
    two = Two()
    two.prepare()
    state = two.refs.read("a")
    other = Prepared(txn=f"{OTHER}-1", set={"branches": {"master": {"created": 3}}})
    beside = Prepared(txn=f"{OTHER}-1", set={"branches": {"beside": {"created": 3}}})
    two.meanwhile = lambda: two.decide("committed")
    with pytest.raises(BranchMovedError):
        two.refs.prepare("a", state, other, gc_gen=0)
    two = Two()
    two.prepare()
    two.refs.prepare("a", two.refs.read("a"), beside, gc_gen=4)
    assert two.stored("a").gc_gen == 4


class Meddler(MemoryBackend):
    """Does something before the n-th read of a refs object."""

    reads = 0
    at = 0

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act

    def read(self, name: str) -> object:  # type: ignore[override]  # as the base
        if name.startswith("refs/") and self.at:
            self.reads += 1
            if self.reads == self.at:
                self.act()
        return super().read(name)


@pytest.mark.parametrize("how_far", range(6))
@pytest.mark.parametrize("at", range(1, 5))
def test_who_reads_several_repos_sees_all_or_nothing_whatever_happens_between_the_reads(at: int, how_far: int) -> None:
    two = Two()
    steps = [two.prepare, lambda: two.decide("committed"), lambda: two.refs.settle("b"), lambda: two.refs.settle("a"),
             lambda: two.refs.transactions.remove(ID)]  # fmt: skip
    steps = steps[:how_far]
    done = steps[: max(0, how_far - at)]
    for step in done:
        step()
    meddler = Meddler(lambda: [step() for step in steps[len(done) :]])
    meddler._objects = two.backend._objects
    meddler.at = at
    two.refs._backend = two.backend
    shown = ["master" in state.body.branches for state in Refs(meddler).snapshot()]
    assert shown in ([False, False], [True, True])
    two.seen()


def test_ordinary_writers_do_not_make_a_reader_begin_again() -> None:
    two = Two()
    meddler = Meddler(lambda: two.refs.update("b", lambda body: replace(body, description=body.description + "x")))
    meddler._objects = two.backend._objects
    meddler.at = 3
    assert [state.repo for state in Refs(meddler).snapshot()] == ["a", "b"]
    assert meddler.reads == 4


def test_a_swap_of_the_object_whose_reply_is_lost_lands_once() -> None:
    backend = MemoryBackend()
    refs = Refs(FaultyBackend(backend, counted=frozenset({"swap"}), fail_at=2, how=How.AFTER), pause=lambda _: None)
    state = refs.transactions.create(TransactionBody(id=ID))
    after = refs.transactions.swap(state, replace(state.body, message="x"))
    assert after.body.message == "x"
    assert refs.transactions.find(ID) == after
    assert [state.body.id for state in refs.transactions.all()] == [ID]
    assert refs.transactions.find("../config") is None
    with pytest.raises(AlreadyExistsError):
        refs.transactions.create(TransactionBody(id=ID))
    assert backend.read(object_name(ID)) is not None
