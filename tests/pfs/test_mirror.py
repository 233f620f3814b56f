"""The mirror of refs: always what a whole read would give, at the cost of what moved."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs
from pfs.errors import PfsError
from pfs.refs.mirror import Mirror
from pfs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        yield made


def put(store: Store, repo: str, text: bytes) -> None:
    with store.repo(repo).commit("master") as commit:
        commit.put_file("/a", text)


def assert_same(store: Store, mirror: Mirror) -> None:
    whole = {state.repo: (state.body.branches, state.body.open, state.etag) for state in store.refs.repos()}
    assert {name: (one.body.branches, one.body.open, one.etag) for name, one in mirror.states.items()} == whole


def test_it_is_what_a_whole_read_gives(tmp_path: Path, store: Store) -> None:
    rng, mirror = random.Random(7), Mirror(store)
    with pfs.open(tmp_path / "home") as other:

        def transaction() -> None:
            with other.transaction() as both:
                for name in ("r0", "r1"):
                    with both.repo(name).commit("master") as commit:
                        commit.put_file("/t", b"%d" % rng.randrange(1000))

        acts: list[Callable[[], object]] = [
            lambda: put(store, f"r{rng.randrange(4)}", b"%d" % rng.randrange(1000)),
            lambda: other.create_repo(f"r{rng.randrange(4)}", exist_ok=True),
            lambda: other.delete_repo(f"r{rng.randrange(4)}", force=True),
            lambda: store.repo(f"r{rng.randrange(4)}").start_commit("draft"),
            lambda: store.repo(f"r{rng.randrange(4)}").create_branch(f"b{rng.randrange(3)}"),
            transaction,
        ]
        for _ in range(60):
            try:
                rng.choice(acts)()
            except PfsError:
                continue
            mirror.refresh()
            assert_same(store, mirror)


def test_what_has_not_moved_is_the_same_object_and_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        store.create_repo(f"r{number:02}")
    mirror = Mirror(store)
    assert mirror.refresh()
    assert not mirror.refresh()
    before = dict(mirror.states)
    read: list[str] = []
    plain = store.refs.raw
    monkeypatch.setattr(store.refs, "raw", lambda repo, **more: read.append(repo) or plain(repo, **more))  # type: ignore[func-returns-value]
    put(store, "r07", b"x")
    read.clear()
    assert mirror.refresh()
    assert set(read) == {"r07"}
    assert [name for name, state in mirror.states.items() if state is not before[name]] == ["r07"]


def test_a_damaged_repo_is_told_and_comes_back(store: Store) -> None:
    for name in ("good", "bad"):
        store.create_repo(name)
    found = store.backend.read("refs/bad.json")
    assert found is not None
    etag = store.backend.swap("refs/bad.json", found[1], b"{")
    mirror = Mirror(store)
    mirror.refresh()
    assert (set(mirror.states), set(mirror.damaged)) == ({"good"}, {"bad"})
    store.backend.swap("refs/bad.json", etag, found[0])
    mirror.refresh()
    assert (set(mirror.states), set(mirror.damaged)) == ({"good", "bad"}, set())
