"""Triggers (docs/compatibility.md, 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs as library
from pfs.changes.ticks import tick
from pfs.errors import ConflictError, InvalidInputError
from pfs.ids import CommitId
from pfs.model import BranchRef, Trigger
from pfs.provenance.trigger import parse_size
from pfs.repo import Repo
from pfs.store import Store

HOUR = 3_600 * 10**9


class Clock:
    """A clock that is set by hand; it goes on by a little each time it is asked."""

    def __init__(self) -> None:
        self.now_ns = 500_000 * HOUR

    def __call__(self) -> int:
        self.now_ns += 1_000
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repo(tmp_path: Path, clock: Clock) -> Iterator[Repo]:
    library.init(tmp_path).close()
    with Store(tmp_path / ".pfs", clock_ns=clock) as store:
        yield store.create_repo("a")


def write(repo: Repo, size: int = 1, *, branch: str = "dev") -> CommitId:
    """Commit a file of its own."""
    with repo.commit(branch) as commit:
        commit.put_file(f"/{commit.id}", b"x" * size)
    return commit.id


def head(repo: Repo, branch: str = "master") -> CommitId | None:
    return repo.branch(branch).head


@pytest.mark.row("1.4 trigger evaluation")
def test_the_head_becomes_the_finished_commit_unless_that_failed(repo: Repo) -> None:
    repo.create_branch("master", trigger=Trigger(branch="dev", commits=1))
    repo.start_commit("dev")
    repo.finish_commit("dev", error="no")
    assert head(repo) is None
    commit = write(repo)
    assert head(repo) == commit
    assert len(list(repo.commits("master"))) == 1


@pytest.mark.row("1.4 trigger size")
def test_size_is_the_net_difference_in_decimal_units(repo: Repo) -> None:
    assert [parse_size(text) for text in ("1K", "100MB", "7")] == [1_000, 100_000_000, 7]
    repo.create_branch("master", trigger=Trigger(branch="dev", size_bytes=parse_size("1K")))
    write(repo, 999)
    assert head(repo) is None
    first = write(repo, 1)
    assert head(repo) == first
    with repo.commit("dev") as commit:
        commit.delete_file("/", recursive=True)
        commit.put_file("/x", b"x" * 1_999)
    assert head(repo) == first


@pytest.mark.row("1.4 trigger commits")
def test_commits_are_counted_back_to_the_head(repo: Repo) -> None:
    repo.create_branch("master", trigger=Trigger(branch="dev", commits=3))
    ids = [write(repo) for _ in range(8)]
    assert head(repo) == ids[5]


@pytest.mark.row("1.4 trigger rate")
def test_a_rate_fires_when_a_tick_lies_between_both_commits(repo: Repo, clock: Clock) -> None:
    repo.create_branch("master", trigger=Trigger(branch="dev", rate="@hourly"))
    clock.now_ns += HOUR
    first = write(repo)
    assert head(repo) == first
    write(repo)
    assert head(repo) == first
    clock.now_ns += HOUR
    last = write(repo)
    assert head(repo) == last


@pytest.mark.row("1.4 trigger all")
def test_conditions_are_or_and_with_all_and(repo: Repo) -> None:
    repo.create_branch("any", trigger=Trigger(branch="dev", size_bytes=100, commits=2))
    repo.create_branch("all", trigger=Trigger(branch="dev", size_bytes=100, commits=2, all=True))
    repo.create_branch("never", trigger=Trigger(branch="dev"))
    repo.create_branch("always", trigger=Trigger(branch="dev", all=True))
    first = write(repo, 100)
    assert [head(repo, name) for name in ("any", "all", "never", "always")] == [first, None, None, first]
    second = write(repo)
    assert [head(repo, name) for name in ("any", "all", "never", "always")] == [first, second, None, second]


@pytest.mark.row("1.4 trigger cron")
def test_cron_moves_at_each_tick(repo: Repo, clock: Clock) -> None:
    repo.create_branch("master", trigger=Trigger(branch="dev", cron="@hourly"))
    first = write(repo)
    assert tick(repo.store) == []
    clock.now_ns += HOUR
    assert tick(repo.store) == [BranchRef("a", "master")]
    assert head(repo) == first
    write(repo)
    assert head(repo) == first


@pytest.mark.row("1.4 trigger chains")
def test_triggers_follow_each_other(repo: Repo) -> None:
    repo.create_branch("stage", trigger=Trigger(branch="dev", commits=2))
    repo.create_branch("master", trigger=Trigger(branch="stage", commits=2))
    ids = [write(repo) for _ in range(4)]
    assert (head(repo, "stage"), head(repo)) == (ids[3], ids[3])


@pytest.mark.row("1.4 trigger loops")
def test_loops_are_refused(repo: Repo) -> None:
    repo.create_branch("stage", trigger=Trigger(branch="dev", commits=1))
    repo.create_branch("master", trigger=Trigger(branch="stage", commits=1))
    with pytest.raises(ConflictError):
        repo.create_branch("dev", trigger=Trigger(branch="master", commits=1))
    with pytest.raises((ConflictError, InvalidInputError)):
        repo.create_branch("self", trigger=Trigger(branch="self", commits=1))


@pytest.mark.row("1.4 trigger validation")
@pytest.mark.parametrize(
    "trigger",
    [
        Trigger(branch="no.name"),
        Trigger(branch=""),
        Trigger(branch="dev", cron="61 * * * *"),
        Trigger(branch="dev", rate="soon"),
        Trigger(branch="dev", commits=-1),
    ],
)
def test_what_makes_no_sense_is_refused(repo: Repo, trigger: Trigger) -> None:
    with pytest.raises(InvalidInputError):
        repo.create_branch("master", trigger=trigger)
    with pytest.raises(InvalidInputError):
        parse_size("much")
