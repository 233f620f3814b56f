"""Commits of several repos with one id, whose records collection puts into one pack; what an index made anew knows."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

import pfs
from pfs.errors import PfsError
from pfs.gc.collect import collect
from pfs.ids import CommitId
from pfs.lifecycle.purge import purge
from pfs.lifecycle.retention import set_retention
from pfs.model import Provenance
from pfs.refs.retention import Keep, Retention
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


Step = tuple[str, int, int]
STEPS = st.tuples(
    st.sampled_from(["set", "set", "squash", "drop", "tag", "retention", "purge", "collect", "rebuild"]),
    st.integers(0, len(REPOS) - 1),
    st.integers(0, 9),
)


def take(store: Store, step: Step) -> None:
    """Do one step; what is refused does nothing."""
    what, repo, number = REPOS[step[1]], store.repo(REPOS[step[1]]), step[2]
    ids = [info.id for info in repo.commits("master")]
    if not ids and step[0] in ("squash", "drop", "tag"):
        return
    match step[0]:
        case "set":
            commit_set(store, number)
        case "squash":
            repo.squash_commit(ids[number % len(ids)])
        case "drop":
            repo.drop_commit(ids[0])
        case "tag":
            repo.create_tag(f"t{number}", ids[number % len(ids)])
        case "retention":
            set_retention(store, what, Retention(keep=Keep(last=number)) if number else None)
        case "purge":
            purge(store, what, "/of")
        case "collect":
            collect(store)


def known(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Return every commit that history leads to, and what is read of it."""
    found = {}
    for name in REPOS:
        repo = store.repo(name)
        infos = [repo.inspect(tag.commit) for tag in repo.tags()] + list(repo.commits("master"))
        files = [list(repo[info.id].list()) for info in infos]
        records = [store.history.find(name, info.id) for info in infos]
        found[name] = list(zip(infos, records, files, strict=True))
    return found


@given(st.lists(STEPS, min_size=8, max_size=16))
@settings(max_examples=10, deadline=None)
def test_an_index_made_anew_knows_what_the_old_one_did(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        store = pfs.init(Path(folder))
        for name in REPOS:
            store.create_repo(name)
        commit_set(store, 0)
        for step in [*steps, ("collect", 0, 0), ("rebuild", 0, 0)]:
            if step[0] != "rebuild":
                with suppress(PfsError, ZeroDivisionError):
                    take(store, step)
                continue
            before = known(store)
            assert list(fsck(store)) == []
            store = rebuilt(store)
            assert list(fsck(store, deep=True)) == []
            assert known(store) == before
        store.close()
