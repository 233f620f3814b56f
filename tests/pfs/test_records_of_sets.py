"""Commits of several repos with one id, whose records collection puts into one pack."""

from __future__ import annotations

import shutil

import pfs
from pfs.gc.collect import collect
from pfs.ids import CommitId
from pfs.model import Provenance
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import fsck

REPOS = ("a", "b", "c")


def commit_set(store: Store, number: int) -> CommitId:
    """Make commits of one id in all repos, each made from the one before."""
    made: list[CommitId] = []
    for before, name in zip((None, *REPOS), REPOS, strict=False):
        source = () if before is None else (Provenance(before, "master", made[0]),)
        with Repo(store, name).commit("master", commit_id=(made or [None])[0], provenance=source) as commit:
            commit.put_file("/of", f"{name} {number}".encode())
        made.append(commit.id)
    return made[0]


def rebuilt(store: Store) -> Store:
    """Return the store with its index built from the objects."""
    store.close()
    shutil.rmtree(store.path / "index.lmdb")
    return pfs.open(store.path)


def test_each_repo_has_its_own_records_after_collection_and_without_the_index(store: Store) -> None:
    for name in REPOS:
        store.create_repo(name)
    ids = [commit_set(store, number) for number in range(6)]
    for _ in range(2):
        assert collect(store).repacked
        store = rebuilt(store)
        for name in REPOS:
            repo = store.repo(name)
            assert [info.id for info in repo.commits("master")] == ids[::-1]
            assert [repo[id].read("/of") for id in ids] == [f"{name} {number}".encode() for number in range(len(ids))]
        assert list(fsck(store, deep=True)) == []
        for _ in range(10):
            ids.append(commit_set(store, len(ids)))
    store.close()


def test_what_an_open_commit_stands_on_is_found_without_the_index(store: Store) -> None:
    repo = store.create_repo("a")
    for number in range(10):
        with repo.commit("master") as commit:
            commit.put_file("/x", b"x" * number)
    repo.start_commit("master")
    collect(store)
    store = rebuilt(store)
    collect(store)
    assert store.repo("a")["master"].read("/x") == b"x" * 9
    store.close()
