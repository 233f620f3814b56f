"""The store that most scenarios happen in: two repos with branches that part, a tag, an open commit, and trash."""

from __future__ import annotations

import random
from pathlib import Path

from pfs.model import BranchRef
from pfs.repo import Repo
from pfs.store import Store

BIG = random.Random(5).randbytes(4_600_000)
"""More than a meta pack takes, so it gets a data pack; of some ten chunks."""


def put(repo: Repo, branch: str, files: dict[str, bytes | None], message: str = "") -> None:
    """Commit files; None deletes one."""
    with repo.commit(branch, message=message) as commit:
        for path, data in files.items():
            if data is None:
                commit.delete_file(path)
            else:
                commit.put_file(path, data)


def text(name: str, size: int = 3000) -> bytes:
    return (name.encode() + b" ") * (size // (len(name) + 1))


def prepare(store: Store, _: Path) -> None:
    """Make it."""
    repo, other = store.create_repo("data", description="of all kinds"), store.create_repo("other")
    put(repo, "master", {"/a": text("a"), "/b": text("b"), "/d/x": random.Random(1).randbytes(9000)}, "one")
    put(repo, "master", {"/b": text("b again"), "/d/y": text("y")}, "two")
    repo.create_branch("dev", head="master")
    put(repo, "dev", {"/d/z": text("z"), "/a": None}, "on dev")
    put(repo, "dev", {"/new": text("new")}, "more on dev")
    put(repo, "master", {"/c": text("c")}, "three")
    repo.create_tag("v1", "master")
    repo.create_branch("gone", head="dev")
    put(repo, "gone", {"/lost": text("lost")}, "to be deleted")
    repo.delete_branch("gone")
    repo.start_commit("open")
    put(repo, "open", {"/draft": text("draft")})
    put(other, "master", {"/o": text("o"), "/p/q": text("q")}, "other")
    other.create_branch("copied", provenance=[BranchRef("data", "dev")])
    buried = store.create_repo("buried")
    put(buried, "master", {"/old": text("old")}, "buried")
    store.delete_repo("buried")
