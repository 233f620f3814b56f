"""Work on several repos at once: all of it shows or nothing, and it is done again when others were first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import pfs
from pfs.errors import ConflictError, FailedError
from pfs.ids import new_commit_id
from pfs.store import Store
from pfs.transactions import together
from pfs.transactions.staged import StagedStore
from pfs.transactions.together import publish_together


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        made.create_repo("a")
        yield made


def put(store: Store, repo: str, path: str) -> None:
    with store.create_repo(repo, exist_ok=True).commit("master") as commit:
        commit.put_file(path, path.encode())


def names(store: Store, repo: str) -> list[str]:
    return [info.path for info in store.repo(repo)["master"].list()]


def test_all_shows_at_once(store: Store) -> None:
    def work(staged: StagedStore) -> str:
        put(staged, "a", "/x")
        put(staged, "b", "/y")
        assert [info.name for info in store.list_repos()] == ["a"]
        return "done"

    assert publish_together(store, work, repos=["a", "b"], id=new_commit_id()) == "done"
    assert (names(store, "a"), names(store, "b")) == (["/x"], ["/y"])


def test_what_raises_leaves_nothing(store: Store) -> None:
    def work(staged: StagedStore) -> None:
        put(staged, "b", "/y")
        raise FailedError("no")

    with pytest.raises(FailedError, match="no"):
        publish_together(store, work, repos=["a", "b"], id=new_commit_id())
    assert [info.name for info in store.list_repos()] == ["a"]
    assert list(store.refs.transactions.all()) == []


@pytest.mark.parametrize("lost", [1, 3, together.ROUNDS])
def test_it_is_done_again_when_others_are_first(store: Store, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    monkeypatch.setattr(together, "turns", lambda store, repos: ExitStack())  # they would wait for this thread
    monkeypatch.setattr(together, "back_off", lambda round_no: None)
    rounds = []

    def work(staged: StagedStore) -> None:
        put(staged, "a", "/ours")
        put(staged, "b", "/ours")
        rounds.append(len(rounds))
        if len(rounds) <= lost:
            put(store, "a", f"/theirs{len(rounds)}")

    if lost == together.ROUNDS:
        with pytest.raises(ConflictError, match="the repos a, b are being changed too often"):
            publish_together(store, work, repos=["b", "a"], id=new_commit_id())
        assert [info.name for info in store.list_repos()] == ["a"]
    else:
        publish_together(store, work, repos=["b", "a"], id=new_commit_id())
        assert names(store, "a") == ["/ours", *(f"/theirs{number}" for number in range(1, lost + 1))]
        assert names(store, "b") == ["/ours"]
        assert len(list(store.repo("a").commits("master"))) == lost + 1
    assert len(rounds) == min(lost + 1, together.ROUNDS)
