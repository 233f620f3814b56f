"""What tests of collection share: a store with a history of every kind, and what a user can see of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pfs.errors import NotFoundError
from pfs.repo import Repo
from pfs.store import Store

DAY_NS = 24 * 3600 * 1_000_000_000


@dataclass
class Clock:
    """The store's clock, some days ahead."""

    days: float = 0

    def over(self, store: Store) -> None:
        """Take the place of a store's clock."""
        now = store.clock_ns

        def clock_ns() -> int:
            return now() + int(self.days * DAY_NS)

        store.clock_ns = clock_ns
        store.refs.transactions.clock_ns = clock_ns


def contents(repo: Repo, ref: str) -> dict[str, bytes]:
    view = repo.view(ref)
    return {info.path: view.read(info.path) for info in view.list(recursive=True) if info.type == "file"}


def visible(store: Store) -> dict[str, object]:
    """Return every commit of every repo that is found by name or by history, with its files."""
    found: dict[str, object] = {}
    for info in store.list_repos():
        repo = store.repo(info.name)
        for commit in repo.commits():
            try:
                found[f"{info.name}@{commit.id}"] = (commit.parents, contents(repo, commit.id))
            except NotFoundError:
                continue
        for branch in repo.branches():
            found[f"{info.name}@{branch.name}"] = branch.head
        found[f"{info.name} tags"] = sorted((tag.name, tag.commit) for tag in repo.tags())
    return found


def stored_bytes(store: Store) -> int:
    return sum(entry.size for entry in store.backend.entries("packs/"))


def put(repo: Repo, branch: str, rng: random.Random, *, files: int = 3, size: int = 50_000) -> str:
    """Make a commit with some random files, some of text, and one of many chunks now and then."""
    with repo.commit(branch) as commit:
        for _ in range(files):
            commit.put_file(f"/{rng.randrange(10)}/{rng.randrange(10)}", rng.randbytes(rng.randrange(1, size)))
        commit.put_file(f"/text/{rng.randrange(20)}", b"%d " % rng.randrange(1000) * 500)
        if rng.random() < 0.2:
            commit.put_file("/big", rng.randbytes(1_500_000))
    return commit.id
