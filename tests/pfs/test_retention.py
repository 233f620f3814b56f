"""Retention: which commits rules keep, against a naive model, and what applying them leaves of repos."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import pfs
from pfs.backends.local import LocalBackend
from pfs.changes.replay import merge
from pfs.errors import BranchNotFoundError, CommitNotFoundError, InvalidInputError, PfsError
from pfs.ids import CommitId, new_commit_id
from pfs.lifecycle.keep import Dated, kept
from pfs.lifecycle.retention import RepoEffect, apply_retention, get_retention, set_retention
from pfs.model import BranchRef, NewCommit, Provenance
from pfs.refs.retention import Keep, Retention
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How
from pfs.trees.row import EMPTY_ROOT
from pfs.upkeep.check import fsck

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
START_NS = 1_700_000_000 * 10**9


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        self.now_ns += 1000
        return self.now_ns


# the pure core


def naive(chain: Sequence[Dated], keep: Keep, now_ns: int) -> set[CommitId]:
    stay = {commit.id for place, commit in enumerate(chain) if place == 0 or place < keep.last}
    stay |= {commit.id for commit in chain if keep.seconds and now_ns - commit.finished_ns <= keep.seconds * 10**9}
    for count, form in ((keep.daily, "%Y %j"), (keep.weekly, "%G %V"), (keep.monthly, "%Y %m")):
        names = [datetime.fromtimestamp(one.finished_ns // 10**9, tz=UTC).strftime(form) for one in chain]
        firsts = [place for place, name in enumerate(names) if name not in names[:place]]
        stay |= {chain[place].id for place in firsts[:count]}
    return stay


KEEPS = st.builds(
    Keep,
    last=st.integers(0, 5),
    seconds=st.sampled_from([0, 3600, 86_400, 10 * 86_400]),
    daily=st.integers(0, 4),
    weekly=st.integers(0, 3),
    monthly=st.integers(0, 3),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 24 * 200), max_size=30), KEEPS, st.integers(0, 1000))
def test_rules_keep_what_a_naive_reading_keeps(hours: list[int], keep: Keep, later: int) -> None:
    times = [START_NS + hour * HOUR_NS for hour in sorted(hours, reverse=True)]
    chain = [Dated(CommitId(f"{place:032x}"), at) for place, at in enumerate(times)]
    now_ns = max(times, default=START_NS) + later * HOUR_NS
    assert kept(chain, keep, now_ns=now_ns) == naive(chain, keep, now_ns)


def test_the_newest_commit_of_each_day_and_month_stays() -> None:
    first = datetime(2024, 1, 30, 12, tzinfo=UTC)
    moments = [first + timedelta(hours=12 * number) for number in range(6)][::-1]
    chain = [Dated(CommitId(f"{n:032x}"), int(at.timestamp()) * 10**9) for n, at in enumerate(moments)]
    stay = kept(chain, Keep(daily=2, monthly=2), now_ns=chain[0].finished_ns)
    assert [moments[int(id, 16)].strftime("%d %H") for id in sorted(stay)] == ["02 00", "01 12", "31 12"]


# applying


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: Clock) -> Store:
    pfs.init(tmp_path / "timed").close()
    return Store(tmp_path / "timed" / ".pfs", clock_ns=clock)


def put(repo: Repo, name: str, branch: str = "master", **options: object) -> CommitId:
    with repo.commit(branch, **options) as commit:  # type: ignore[arg-type]  # the test's own options
        commit.put_file(f"/{name}", name.encode())
    return commit.id


def daily(repo: Repo, clock: Clock, count: int, branch: str = "master") -> list[CommitId]:
    made = []
    for number in range(count):
        made.append(put(repo, f"{branch}{number}", branch))
        clock.now_ns += DAY_NS
    return made


def ids(repo: Repo, ref: str = "master") -> list[CommitId]:
    return [info.id for info in repo.commits(ref)][::-1]


def keep(store: Store, repo: str = "data", **rules: int) -> None:
    set_retention(store, repo, Retention(keep=Keep(**rules)))


def test_the_last_commits_stay_and_the_others_are_gone(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 10)
    keep(timed, last=3)
    (effect,) = apply_retention(timed)
    assert (effect.repo, effect.kept, set(effect.removed)) == ("data", 3, set(made[:7]))
    assert ids(repo) == made[7:]
    assert {info.id for info in repo.commits()} == set(made[7:])
    assert sorted(info.path for info in repo["master.1"].list()) == [f"/master{number}" for number in range(8)]
    with pytest.raises(CommitNotFoundError):
        repo.inspect(made[2])
    assert apply_retention(timed) == [RepoEffect("data", 3, (), (), ())]
    put(repo, "more")
    assert [len(effect.removed) for effect in apply_retention(timed)] == [1]
    assert list(timed.refs.read("data").body.edges.values()) == [None]
    assert list(fsck(timed, deep=True)) == []


def test_gaps_are_passed_over(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 40)
    keep(timed, last=2, weekly=3)
    apply_retention(timed)
    left = ids(repo)
    assert left == [commit for commit in made if commit in left]
    assert 3 <= len(left) <= 5
    assert repo.inspect(made[-1]).parents == (made[-2],)
    timed.index.forget_repo("data")
    assert ids(repo) == left
    assert list(fsck(timed)) == []


def test_a_dry_run_says_the_same_and_changes_nothing(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    daily(repo, clock, 5)
    keep(timed, last=1)
    before = timed.refs.read("data")
    said = apply_retention(timed, dry_run=True)
    assert timed.refs.read("data") == before
    assert len(ids(repo)) == 5
    assert apply_retention(timed) == said


def test_tags_open_commits_and_trash_stay(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 8)
    repo.create_tag("v1", made[1])
    repo.start_commit("side", parent=made[3])
    repo.create_branch("gone", head=made[5])
    repo.delete_branch("gone")
    keep(timed, last=1)
    apply_retention(timed)
    assert ids(repo) == [made[1], made[3], made[5], made[7]]
    repo.undelete("gone")
    assert repo["gone"].read("/master5") == b"master5"
    assert repo["v1"].read("/master1") == b"master1"
    repo.finish_commit("side")
    assert list(fsck(timed)) == []


def test_tags_go_to_the_trash_where_rules_say_so(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 4)
    repo.create_tag("old", made[0])
    repo.create_tag("new", made[3])
    set_retention(timed, "data", Retention(keep=Keep(last=1), tags=False))
    (effect,) = apply_retention(timed)
    assert effect.tags == ("old",)
    assert [tag.name for tag in repo.tags()] == ["new"]
    assert repo.inspect(made[0]).id == made[0]  # the trash has it
    repo.undelete("old")
    assert repo["old"].read("/master0") == b"master0"


def test_a_branch_has_its_own_rules(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    first = daily(repo, clock, 3)
    repo.create_branch("dev", head="master")
    dev = daily(repo, clock, 3, "dev")
    set_retention(timed, "data", Retention(branches={"dev": Keep(last=1)}))
    apply_retention(timed)
    assert ids(repo) == first
    assert ids(repo, "dev") == [*first, dev[2]]
    set_retention(timed, "data", Retention(keep=Keep(last=1), branches={"dev": Keep(last=9)}))
    apply_retention(timed)
    assert ids(repo, "dev") == [*first, dev[2]]
    assert ids(repo) == first  # dev's rules keep them
    with pytest.raises(BranchNotFoundError):
        set_retention(timed, "data", Retention(branches={"none": Keep(last=1)}))


def made_from(store: Store, repo: Repo, source: CommitId, *, error: str | None = None) -> CommitId:
    head = repo.branch("master").head if any(b.name == "master" for b in repo.branches()) else None
    session = store.session()
    base = repo.inspect("master").root if head else EMPTY_ROOT
    new = NewCommit(
        branch="master", root=base, id=new_commit_id(), started_ns=store.clock_ns(), error=error,
        parents=() if head is None else (head,), provenance=(Provenance("data", "master", source),),
    )  # fmt: skip
    return repo.publish([new], session)[0].id


def test_what_live_commits_of_other_repos_were_made_from_stays(timed: Store, clock: Clock) -> None:
    repo, other = timed.create_repo("data"), timed.create_repo("other")
    made = daily(repo, clock, 6)
    outputs = [made_from(timed, other, made[number]) for number in (1, 3)]
    keep(timed, last=1)
    apply_retention(timed)
    assert ids(repo) == [made[1], made[3], made[5]]
    keep(timed, "other", last=1)
    effects = apply_retention(timed)
    assert [effect.repo for effect in effects] == ["other", "data"]  # downstream first
    assert ids(other) == outputs[1:]
    assert ids(repo) == [made[3], made[5]]


def test_what_was_merged_stays_with_the_merge(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    base = daily(repo, clock, 2)
    repo.create_branch("side", head="master")
    side = daily(repo, clock, 2, "side")
    put(repo, "between")
    merged = merge(repo.store, "data", "side", "master").id
    repo.delete_branch("side")
    repo.undelete("side")
    last = daily(repo, clock, 2)
    set_retention(timed, "data", Retention(keep=Keep(last=3), branches={"side": Keep(last=9)}))
    apply_retention(timed)
    assert repo.inspect(merged).parents[1] == side[1]
    assert ids(repo) == [*base, merged, *last]
    set_retention(timed, "data", Retention(keep=Keep(last=1)))
    apply_retention(timed)
    assert ids(repo) == last[1:]
    assert ids(repo, "side") == side[1:]
    assert list(fsck(timed)) == []


def test_provenance_below_a_merge_keeps_the_merge(timed: Store, clock: Clock) -> None:
    repo, other = timed.create_repo("data"), timed.create_repo("other")
    put(repo, "a")
    repo.create_branch("side", head="master")
    inner, outer = put(repo, "b", "side"), put(repo, "c", "side")
    put(repo, "d")
    merged = merge(repo.store, "data", "side", "master").id
    state = timed.refs.read("data")
    branches = {name: entry for name, entry in state.body.branches.items() if name != "side"}
    timed.refs.update("data", lambda body: replace(body, branches=branches))
    last = [put(repo, f"e{number}") for number in range(3)]
    made_from(timed, other, inner)
    keep(timed, last=1)
    apply_retention(timed)
    assert {info.id for info in repo.commits()} == {inner, outer, merged, last[2]}
    assert list(fsck(timed)) == []
    apply_retention(timed)  # what was merged has become the history, so that the rules apply to it
    assert ids(repo) == [inner, last[2]]
    assert apply_retention(timed)[0].removed == ()
    assert list(fsck(timed)) == []


def test_stale_branches_go_to_the_trash(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    put(repo, "a")
    for name in ("old", "opened", "used", "fresh"):
        repo.create_branch(name, head="master")
    repo.start_commit("opened")
    other = timed.create_repo("other")
    other.create_branch("out", provenance=[BranchRef("data", "used")])
    clock.now_ns += 10 * DAY_NS
    put(repo, "b", "fresh")
    set_retention(timed, "data", Retention(stale_seconds=5 * 86_400))
    (effect,) = apply_retention(timed)
    assert effect.branches == ("old",)
    assert [branch.name for branch in repo.branches()] == ["fresh", "master", "opened", "used"]
    repo.undelete("old")
    assert repo["old"].read("/a") == b"a"


def test_failed_commits_go_with_what_is_older(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    daily(repo, clock, 2)
    repo.start_commit("master")
    failed = repo.finish_commit("master", error="no").id
    clock.now_ns += DAY_NS
    made = daily(repo, clock, 3)
    keep(timed, last=4)
    apply_retention(timed)
    assert repo.inspect(failed).error == "no"
    keep(timed, last=3)
    apply_retention(timed)
    with pytest.raises(CommitNotFoundError):
        repo.inspect(failed)
    assert ids(repo) == made
    assert list(fsck(timed)) == []


def test_rules_are_kept_checked_and_taken_away(store: Store, repo: Repo) -> None:
    assert get_retention(store, "data") is None
    rules = Retention(keep=Keep(last=3, seconds=60), stale_seconds=5)
    put(repo, "a")
    set_retention(store, "data", rules)
    with Store(store.path) as again:
        assert get_retention(again, "data") == rules
    set_retention(store, "data", None)
    assert get_retention(store, "data") is None
    assert apply_retention(store) == []
    for bad in (Retention(keep=Keep()), Retention(keep=Keep(last=-1, daily=3)), Retention(stale_seconds=-1)):
        with pytest.raises(InvalidInputError):
            set_retention(store, "data", bad)


@pytest.mark.parametrize("how", [How.BEFORE, How.AFTER])
@pytest.mark.parametrize("dead", [False, True])
def test_a_fault_leaves_the_old_history_or_the_new_one(tmp_path: Path, how: How, *, dead: bool) -> None:
    clock = Clock()
    for number in range(1, 4):
        place = tmp_path / str(number)
        pfs.init(place).close()
        with Store(place / ".pfs", clock_ns=clock) as store:
            made = {name: daily(store.create_repo(name), clock, 4) for name in ("data", "other")}
            keep(store, "data", last=2)
            keep(store, "other", last=2)
        backend = FaultyBackend(LocalBackend(place / ".pfs/objects"), fail_at=number, how=how, dead_after=dead)
        faulty = Store(place / ".pfs", backend=backend, clock_ns=clock)
        try:
            apply_retention(faulty)
        except PfsError:
            pass
        finally:
            faulty.close()
        with Store(place / ".pfs", clock_ns=clock) as store:
            for name, commits in made.items():
                assert ids(store.repo(name)) in (commits, commits[2:])
            assert list(fsck(store, deep=True)) == []
            apply_retention(store)
            assert {name: ids(store.repo(name)) for name in made} == {n: c[2:] for n, c in made.items()}


def test_random_histories_stay_whole(tmp_path: Path) -> None:
    rng, clock = random.Random(7), Clock()
    pfs.init(tmp_path).close()
    with Store(tmp_path / ".pfs", clock_ns=clock) as store:
        repos = [store.create_repo(name) for name in ("data", "other")]
        contents: dict[CommitId, set[str]] = {}
        made: list[tuple[str, CommitId]] = []
        for number in range(60):
            repo = rng.choice(repos)
            branch = rng.choice(["master", "dev"])
            sources = [one for one in made if one[0] == "data"]
            source = [Provenance("data", "master", rng.choice(sources)[1])] if repo.name == "other" and sources else []
            commit = put(repo, f"{number}", branch, provenance=source)
            made.append((repo.name, commit))
            contents[commit] = {info.path for info in repo[commit].list()}
            clock.now_ns += rng.choice([HOUR_NS, DAY_NS])
            if number % 10 == 9:
                for one in repos:
                    keep(store, one.name, last=rng.randrange(1, 4), daily=rng.randrange(3))
                apply_retention(store)
                left = {info.id: info for one in repos for info in one.commits()}
                for info in left.values():
                    assert {file.path for file in store.repo(info.repo)[info.id].list()} == contents[info.id]
                    assert all(source.commit in left for source in info.provenance)
                made = [one for one in made if one[1] in left]
        assert list(fsck(store)) == []


@pytest.mark.parametrize("squash_first", [True, False])
def test_a_squashed_commit_that_the_trash_holds_can_be_had_back(tmp_path: Path, squash_first: bool) -> None:
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("data")
        made = []
        for number in range(6):
            with repo.commit("master") as commit:
                commit.put_file("/file", b"%d" % number)
            made.append(commit.id)
        repo.create_branch("dev", head=made[3])
        repo.delete_branch("dev")
        if squash_first:
            repo.squash_commit(made[3])
        set_retention(store, "data", Retention(keep=Keep(last=2)))
        apply_retention(store)
        if not squash_first:
            repo.squash_commit(made[3])
        apply_retention(store)
        store.collect()
        assert list(fsck(store, deep=True)) == []
        repo.undelete("dev")
        texts = [repo[info.id].read("/file") for info in repo.commits("dev")]
        assert texts[0] == b"3"
        assert list(fsck(store, deep=True)) == []
