"""Rules for paths: files lose their bytes in commits that are old enough, in each once, and nowhere else."""

from pathlib import Path

import pytest

import pfs
from pfs.errors import InvalidInputError
from pfs.ids import CommitId
from pfs.lifecycle import rewriting
from pfs.lifecycle.retention import apply_retention, get_retention, set_retention
from pfs.refs.retention import Keep, PathRule, Retention
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import fsck
from tests.pfs.test_purge import contents
from tests.pfs.test_retention import DAY_NS, Clock

DAYS_2 = 2 * 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: Clock) -> Store:
    pfs.init(tmp_path / "timed").close()
    return Store(tmp_path / "timed" / ".pfs", clock_ns=clock)


def daily(repo: Repo, clock: Clock, count: int) -> list[CommitId]:
    made = []
    for number in range(count):
        with repo.commit("master") as commit:
            commit.put_file("/raw/a.csv", b"raw %d" % number)
            commit.put_file(f"/raw/{number}.csv", b"raw of %d" % number)
            commit.put_file("/kept", b"kept %d" % number)
        made.append(commit.id)
        clock.now_ns += DAY_NS
    return made


def purged(repo: Repo, commit: str) -> set[str]:
    return {path for path, data in contents(repo, commit).items() if data is None}


def rule(glob: str = "/raw/*.csv", seconds: int = DAYS_2) -> Retention:
    return Retention(paths=(PathRule(glob=glob, seconds=seconds),))


def test_old_commits_lose_what_matches_and_others_nothing(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 6)
    repo.create_tag("v1", made[1])
    before = {commit: contents(repo, commit) for commit in made}
    set_retention(timed, "data", rule())
    (said,) = apply_retention(timed, dry_run=True)
    assert {commit: contents(repo, commit) for commit in made} == before
    (effect,) = apply_retention(timed)
    assert said == effect
    assert (effect.aged, effect.removed) == (4, ())
    for number, commit in enumerate(made):
        wanted = {path for path in before[commit] if path.startswith("/raw/")} if number in (0, 2, 3, 4) else set()
        assert purged(repo, commit) == wanted
        assert contents(repo, commit) == before[commit] | dict.fromkeys(wanted)
    assert list(fsck(timed, deep=True)) == []


def test_each_commit_is_looked_at_once_and_heads_when_they_are_none_any_more(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 4)
    set_retention(timed, "data", rule())
    clock.now_ns += 10 * DAY_NS
    assert apply_retention(timed)[0].aged == 3
    rules = get_retention(timed, "data")
    assert rules is not None
    assert rules.paths[0].left == (made[3],)
    state = timed.refs.read("data")
    assert apply_retention(timed)[0].aged == 0
    assert timed.refs.read("data") == state
    assert purged(repo, made[3]) == set()
    made += daily(repo, clock, 1)
    assert apply_retention(timed)[0].aged == 1
    assert purged(repo, made[3]) >= {"/raw/a.csv", "/raw/3.csv"}
    clock.now_ns += 10 * DAY_NS
    apply_retention(timed)
    assert purged(repo, made[4]) == set()
    repo.create_branch("master", head=made[0])
    assert apply_retention(timed)[0].aged == 1  # the old head lies in the trash
    assert purged(repo, made[4]) >= {"/raw/a.csv", "/raw/3.csv"}
    assert list(fsck(timed)) == []


def test_directories_and_everything(timed: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "MEMORY_BYTES", 1000)
    repo = timed.create_repo("data")
    made = daily(repo, clock, 5)
    set_retention(timed, "data", rule("/raw"))
    assert apply_retention(timed, dry_run=True) == apply_retention(timed)
    assert purged(repo, made[0]) == {"/raw/a.csv", "/raw/0.csv"}
    set_retention(timed, "data", rule("**"))
    assert apply_retention(timed, dry_run=True) == apply_retention(timed)
    assert purged(repo, made[0]) == {"/raw/a.csv", "/raw/0.csv", "/kept"}
    assert purged(repo, made[4]) == set()


def test_with_rules_for_commits(timed: Store, clock: Clock) -> None:
    repo = timed.create_repo("data")
    made = daily(repo, clock, 8)
    set_retention(timed, "data", Retention(keep=Keep(last=6), paths=rule().paths))
    (effect,) = apply_retention(timed)
    assert (len(effect.removed), effect.aged) == (2, 5)
    assert [info.id for info in repo.commits("master")] == made[:1:-1]
    assert [bool(purged(repo, commit)) for commit in made[2:]] == [True] * 5 + [False]
    timed.index.forget_repo("data")
    assert [info.id for info in repo.commits("master")] == made[:1:-1]
    assert list(fsck(timed, deep=True)) == []


def test_rules_are_checked(store: Store, repo: Repo) -> None:
    for bad in (rule("/a[", 5), rule("/a", -1)):
        with pytest.raises(InvalidInputError):
            set_retention(store, "data", bad)
