"""Triggers and schedules: conditions as pure functions, and branches that follow others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
from pfs.changes.replay import merge
from pfs.changes.ticks import Ticker, tick
from pfs.errors import ConflictError, InvalidInputError, InvalidNameError
from pfs.ids import CommitId
from pfs.model import BranchRef, Trigger
from pfs.provenance.cron import SECOND_NS, parse_schedule
from pfs.provenance.trigger import Step, fires, parse_size, refuse_loop
from pfs.refs.body import BranchEntry, TriggerEntry
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import fsck

HOUR_NS = 3600 * SECOND_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


class Clock:
    def __init__(self) -> None:
        self.now_ns = at("2026-03-01 10:30:00")

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns


def put(repo: Repo, branch: str = "dev", size: int = 1, path: str = "") -> CommitId:
    with repo.commit(branch) as commit:
        commit.put_file(path or f"/{commit.id}", bytes(size))
    return commit.id


def follow(repo: Repo, name: str = "master", watched: str = "dev", **conditions: object) -> None:
    repo.create_branch(name, trigger=Trigger(branch=watched, **conditions))  # type: ignore[arg-type]  # the tests' own


def head(repo: Repo, branch: str = "master") -> CommitId | None:
    return repo.branch(branch).head


def step(size: int = 0, commits: int = 0, old_ns: int = 0, new_ns: int = 0) -> Step:
    return Step(1000, 1000 + size, old_ns, new_ns, lambda count: commits >= count)


@pytest.mark.parametrize(
    ("trigger", "when", "fired"),
    [
        (TriggerEntry(branch="b"), step(10**9, 99), False),
        (TriggerEntry(branch="b", all=True), step(), True),
        (TriggerEntry(branch="b", size=100), step(99), False),
        (TriggerEntry(branch="b", size=100), step(100), True),
        (TriggerEntry(branch="b", size=100), step(-500), False),
        (TriggerEntry(branch="b", size=0), step(0), True),
        (TriggerEntry(branch="b", commits=3), step(commits=2), False),
        (TriggerEntry(branch="b", commits=3), step(commits=3), True),
        (TriggerEntry(branch="b", rate="@every 1h"), step(new_ns=HOUR_NS), False),
        (TriggerEntry(branch="b", rate="@every 1h"), step(new_ns=HOUR_NS + 1), True),
        (TriggerEntry(branch="b", size=100, commits=3), step(100, 0), True),
        (TriggerEntry(branch="b", size=100, commits=3, all=True), step(100, 2), False),
        (TriggerEntry(branch="b", size=100, commits=3, all=True), step(100, 3), True),
        (TriggerEntry(branch="b", cron="* * * * *"), step(10**9, 99, new_ns=10 * HOUR_NS), False),
    ],
)
def test_conditions(trigger: TriggerEntry, when: Step, fired: bool) -> None:
    assert fires(trigger, when) is fired


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1K", 1000), ("100MB", 10**8), ("1.5 GB", 1_500_000_000), ("1KiB", 1024), ("2mib", 2 << 20), ("0", 0)],
)
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 XB", "1iB", "1e3", "many"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "after", "tick"),
    [
        ("0 * * * *", "2026-03-01 10:30:00", "2026-03-01 11:00:00"),
        ("0 * * * *", "2026-03-01 11:00:00", "2026-03-01 12:00:00"),
        ("*/15 9-17 * * 1-5", "2026-03-01 10:30:00", "2026-03-02 09:00:00"),
        ("@hourly", "2026-03-01 10:30:00", "2026-03-01 11:00:00"),
        ("@daily", "2026-03-01 10:30:00", "2026-03-02 00:00:00"),
        ("@weekly", "2026-03-02 10:30:00", "2026-03-08 00:00:00"),
        ("@monthly", "2026-03-01 10:30:00", "2026-04-01 00:00:00"),
        ("@yearly", "2026-03-01 10:30:00", "2027-01-01 00:00:00"),
        ("@every 1h30m", "2026-03-01 10:30:00", "2026-03-01 12:00:00"),
        ("5 10 * * ?", "2026-03-01 10:30:00", "2026-03-02 10:05:00"),
        ("@every 1.5h", "2026-03-01 10:30:00", "2026-03-01 12:00:00"),
        ("@every 1h.5m2500ms", "2026-03-01 10:30:00", "2026-03-01 11:30:32"),
        ("@every 10us", "2026-03-01 10:30:00", "2026-03-01 10:30:01"),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", "2026-03-01 10:30:00", "2026-03-01 21:00:00"),
        ("TZ=UTC 0 6 * * *", "2026-03-01 10:30:00", "2026-03-02 06:00:00"),
        ("TZ=Europe/Berlin @daily", "2026-07-01 10:30:00", "2026-07-01 22:00:00"),
        ("TZ=Asia/Tokyo @every 1h", "2026-03-01 10:30:00", "2026-03-01 11:30:00"),
        ("0 0 29 2 *", "2026-03-01 10:30:00", "2028-02-29 00:00:00"),
    ],
)
def test_next_ticks(text: str, after: str, tick: str) -> None:
    assert parse_schedule(text).next_tick(at(after)) == at(tick)


@pytest.mark.parametrize(
    "text",
    [
        *("", "often", "* * * *", "60 * * * *", "@every", "@every 0s", "@every 5", "@fortnightly"),
        *("0 5 10 * * *", "TZ=UTC", "TZ=Mars/Base 0 6 * * *", "TZ=../x 0 6 * * *", "TZ=Europe @daily", "0 0 32 2 *"),
        *("0 0 30 13 *", "@every 1.2.3s", "@every .s", "@every -1h", "@every 99999999999999999999d"),
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no schedule"):
        parse_schedule(text)


@pytest.mark.parametrize("text", ["@never", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "TZ=Asia/Tokyo 0 0 31 2 *"])
def test_a_schedule_that_never_ticks(text: str) -> None:
    schedule = parse_schedule(text)
    assert schedule.never
    assert schedule.next_tick(at("2026-03-01 10:30:00")) is None
    assert schedule.last_tick(0, at("2026-03-01 10:30:00")) is None


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 */5 * * *", "@daily", "15 3 1 * *", "@every 90s", "@every 5h"])
    | st.sampled_from(["TZ=Europe/Berlin 0 */5 * * *", "CRON_TZ=America/New_York 15 3 * * *"]),
    st.integers(0, 90 * 24 * 3600),
    st.integers(0, 40 * 24 * 3600),
)
def test_the_last_tick_is_the_last_of_the_next_ones(text: str, start_s: int, span_s: int) -> None:
    schedule, since = parse_schedule(text), at("2026-01-15 00:00:00") + start_s * SECOND_NS
    now = since + min(span_s, 3 * 3600 if text.startswith("*") else span_s) * SECOND_NS
    expected, ahead = None, schedule.next_tick(since)
    while ahead is not None and ahead <= now:
        expected, ahead = ahead, schedule.next_tick(ahead)
    assert schedule.last_tick(since, now) == expected


@pytest.mark.row("1.4 trigger commits")
def test_a_branch_follows_after_so_many_commits(repo: Repo) -> None:
    follow(repo, commits=2)
    assert repo.branch("dev").head is None, "what it follows was made"
    first = put(repo)
    assert head(repo) is None
    second = put(repo)
    assert head(repo) == second
    put(repo)
    fourth = put(repo)
    assert head(repo) == fourth
    assert [info.id for info in repo.commits("master")][2:] == [second, first]
    assert repo.branch("master").updated_ns > repo.branch("master").created_ns


@pytest.mark.row("1.4 trigger size")
def test_size_is_net(repo: Repo) -> None:
    follow(repo, size_bytes=100)
    put(repo, size=60, path="/a")
    put(repo, size=60, path="/a")
    assert head(repo) is None, "the same path again adds nothing"
    fired = put(repo, size=40, path="/b")
    assert head(repo) == fired


@pytest.mark.row("1.4 trigger all")
def test_without_conditions(repo: Repo) -> None:
    follow(repo, "never")
    follow(repo, "always", all=True)
    first = put(repo)
    assert (head(repo, "never"), head(repo, "always")) == (None, first)


@pytest.mark.row("1.4 trigger rate")
def test_rate_counts_from_the_end_of_the_old_head(tmp_path: Path) -> None:
    clock = Clock()
    with pfs.init(tmp_path) as made, Store(made.path, clock_ns=clock) as store:
        repo = store.create_repo("data")
        follow(repo, rate="0 * * * *")
        put(repo)
        assert head(repo) is None
        clock.now_ns = at("2026-03-01 11:00:05")
        first = put(repo)
        assert head(repo) == first
        put(repo)
        assert head(repo) == first
        clock.now_ns = at("2026-03-01 12:00:05")
        assert put(repo) == head(repo)


@pytest.mark.row("1.4 trigger evaluation")
def test_failed_commits_and_moves_fire_nothing(repo: Repo) -> None:
    follow(repo, commits=1)
    repo.start_commit("dev")
    repo.finish_commit("dev", error="boom")
    assert head(repo) is None
    put(repo, "other")
    repo.create_branch("dev", head="other")
    assert head(repo) is None
    fired = put(repo)
    assert head(repo) == fired


def test_merges_fire_too_and_history_that_is_left_behind_is_kept(repo: Repo) -> None:
    base = put(repo)
    follow(repo, commits=1)
    first = put(repo)
    repo.create_branch("dev", head=base)
    repo.create_branch("side", head=base)
    put(repo, "side")
    assert put(repo, path="/x") == head(repo)
    assert repo.undelete("master") == first
    merged = merge(repo.store, "data", "side", "dev")
    assert head(repo) == merged.id
    assert first not in {info.id for info in repo.commits("master")}
    assert repo.undelete("master") == first


@pytest.mark.row("1.4 trigger chains")
def test_chains_go_on_in_one_swap(repo: Repo) -> None:
    follow(repo, "staging", commits=1)
    follow(repo, "prod", "staging", size_bytes=10)
    put(repo, size=5)
    assert (head(repo, "staging") is not None, head(repo, "prod")) == (True, None)
    before = repo.store.refs.read("data").body.seq
    second = put(repo, size=5)
    assert head(repo, "staging") == head(repo, "prod") == second
    assert repo.store.refs.read("data").body.seq == before + 1


def test_several_commits_of_one_swap_are_counted(repo: Repo) -> None:
    from pfs.changes.replay import rebase

    base = put(repo, path="/base")
    repo.create_branch("onto", head=base)
    for number in range(3):
        put(repo, path=f"/{number}")
    put(repo, "onto", path="/onto")
    follow(repo, "seen", "dev", commits=1)
    follow(repo, "third", "dev", commits=3)
    moved = rebase(repo.store, "data", "dev", "onto")
    assert head(repo, "seen") == moved.id
    assert head(repo, "third") == repo.inspect("dev~2").id, "base, onto, the first of three; then two more came"


def test_what_a_trigger_moves_goes_on_downstream(store: Store, repo: Repo) -> None:
    follow(repo, commits=2)
    store.create_repo("out").create_branch("master", provenance=[BranchRef("data", "master")])
    put(repo)
    assert store.repo("out").branch("master").open_commit is None
    fired = put(repo)
    assert store.repo("out").branch("master").open_commit == fired


@pytest.mark.row("1.4 trigger or provenance")
@pytest.mark.row("1.4 trigger loops")
@pytest.mark.row("1.4 trigger validation")
def test_what_is_refused(store: Store, repo: Repo) -> None:
    follow(repo, "b", "a", commits=1)
    with pytest.raises(ConflictError, match="a follows b follows a"):
        follow(repo, "a", "b", commits=1)
    with pytest.raises(ConflictError, match="circle"):
        follow(repo, "c", "c", commits=1)
    with pytest.raises(InvalidNameError):
        follow(repo, "c", ".spec")
    for wrong in (
        {"commits": -1},
        {"size_bytes": -1},
        {"rate": "soon"},
        {"cron": "soon"},
        {"cron": "@daily", "all": True},
    ):
        with pytest.raises(InvalidInputError):
            follow(repo, "c", **wrong)
    store.create_repo("up")
    with pytest.raises(InvalidInputError, match="not both"):
        repo.create_branch("b", provenance=[BranchRef("up", "master")])
    repo.create_branch("out", provenance=[BranchRef("up", "master")])
    with pytest.raises(InvalidInputError, match="not both"):
        follow(repo, "out", "a")
    assert "c" not in {branch.name for branch in repo.branches()}
    refuse_loop({"x": BranchEntry(trigger=TriggerEntry(branch="y"))}, "data", "x")


def test_deleting_what_is_followed_needs_force(repo: Repo) -> None:
    follow(repo, commits=1)
    put(repo)
    with pytest.raises(ConflictError, match="data@master follows data@dev"):
        repo.delete_branch("dev")
    repo.delete_branch("dev", force=True)
    assert repo.branch("master").trigger is None
    put(repo)
    repo.create_branch("master", trigger=Trigger(branch="dev", commits=1))
    repo.create_branch("master")
    assert repo.branch("master").trigger == Trigger(branch="dev", commits=1), "what is not said stays"
    repo.create_branch("master", trigger="none")
    assert repo.branch("master").trigger is None


@pytest.mark.row("1.4 trigger cron")
def test_cron_moves_at_its_ticks_alone_and_makes_up_for_missed_ones(tmp_path: Path) -> None:
    clock = Clock()
    with pfs.init(tmp_path) as made, Store(made.path, clock_ns=clock) as store:
        repo, ticker = store.create_repo("data"), Ticker(store)
        follow(repo, cron="0 * * * *")
        follow(repo, "after", "master", commits=1)
        assert ticker.run() == []
        first = put(repo)
        assert (ticker.run(), head(repo)) == ([], None)
        clock.now_ns = at("2026-03-01 11:00:00")
        assert ticker.run() == [BranchRef("data", "master")]
        assert (head(repo), head(repo, "after")) == (first, first)
        second = put(repo)
        assert (ticker.run(), head(repo)) == ([], first)
        clock.now_ns = at("2026-03-01 11:59:59")
        assert ticker.run() == []
        clock.now_ns = at("2026-03-01 12:30:00")
        put(repo)
        assert tick(store) == [BranchRef("data", "master")]
        assert head(repo) == second, "what was there at twelve, though nobody looked then"
        assert tick(store) == []
        clock.now_ns = at("2026-03-01 13:00:00")
        assert len(ticker.run()) == 1
        clock.now_ns = at("2026-03-01 20:00:00")
        assert (ticker.run(), tick(store)) == ([], []), "there is nothing new"


def test_a_ticker_that_is_told_what_moves_lists_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with pfs.init(tmp_path) as made, Store(made.path, clock_ns=clock) as store, store.watch() as watch:
        repo, ticker = store.create_repo("data"), Ticker(store, watch)
        assert ticker.run() == []
        follow(repo, cron="0 * * * *")
        put(repo)
        assert ticker.run() == [], "it learns of the trigger"
        monkeypatch.setattr(store, "changes", lambda last: pytest.fail("nothing has moved"))
        monkeypatch.setattr("pfs.changes.ticks.CHECK_S", 1e9)
        clock.now_ns = at("2026-03-01 11:00:00")
        assert ticker.run() == [BranchRef("data", "master")]


def test_a_branch_that_comes_back_follows_what_is_there(repo: Repo) -> None:
    follow(repo, commits=1)
    repo.delete_branch("master")
    repo.undelete("master")
    assert repo.branch("master").trigger == Trigger(branch="dev", commits=1)
    repo.delete_branch("master")
    repo.delete_branch("dev")
    repo.undelete("master")
    assert repo.branch("master").trigger is None
    assert list(fsck(repo.store)) == []
