"""Recovering the index from the objects alone."""

import os
import shutil
from pathlib import Path

import pytest

import pfs
from pfs.check import fsck
from pfs.errors import CorruptionError, StoreNotFoundError
from pfs.keys import Keys
from pfs.model import CommitInfo
from pfs.recover import recover
from pfs.store import Store


def make(path: Path) -> None:
    with pfs.init(path) as store:
        for name in ("one", "two"):
            repo = store.create_repo(name)
            for number in range(5):
                with repo.commit("master") as commit:
                    commit.put_file(f"/{number}", os.urandom(1_500_000))
        repo.create_branch("old", head="master^")
        repo.delete_branch("old")
        with repo.commit("side") as commit:
            commit.put_file("/side", b"x")
        repo.delete_branch("side")
        repo.start_commit("dev")
        with repo.commit("dev") as commit:
            commit.put_file("/draft", b"draft")
        repo.finish_commit(repo.start_commit("failing").id, error="boom")
        store.create_repo("gone")
        store.delete_repo("gone")


def everything(store: Store) -> list[tuple[CommitInfo, list[tuple[str, bytes]]]]:
    found = []
    for info in store.list_repos():
        repo = store.repo(info.name)
        for commit in repo.commits():
            view = repo[commit.id]
            found.append((commit, [(file.path, view.read(file.path)) for file in view.list()]))
    return found


@pytest.mark.parametrize("damage", ["removed", "garbage", "kept"])
def test_the_same_commits_and_bytes(tmp_path: Path, damage: str) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        before = everything(store)
    index = tmp_path / ".pfs/index.lmdb"
    if damage == "removed":
        shutil.rmtree(index)
    elif damage == "garbage":
        (index / "data.mdb").write_bytes(b"garbage" * 10_000)
        with pytest.raises(CorruptionError, match="recover"):
            pfs.open(tmp_path)
    report = recover(tmp_path / ".pfs")
    assert (report.repos, report.damaged) == (2, ())
    assert report.commits == len(before) - 1  # one of them is open
    assert report.packs > 5
    with pfs.open(tmp_path) as store:
        assert everything(store) == before
        assert list(fsck(store, deep=True)) == []
        with store.repo("one").commit("master") as commit:
            commit.put_file("/after", b"x")
    assert sorted(os.listdir(tmp_path / ".pfs/tmp")) == []


def test_broken_packs_and_refs_are_left_out_by_name(tmp_path: Path) -> None:
    make(tmp_path)
    objects = tmp_path / ".pfs/objects"
    pack = max(objects.glob("packs/*/*/*.pack"), key=lambda file: file.stat().st_mtime_ns)
    os.truncate(pack, pack.stat().st_size - 10)
    (objects / "refs/one.json").write_text("{")
    report = recover(tmp_path / ".pfs")
    assert set(report.damaged) == {pack.relative_to(objects).as_posix(), "refs/one.json"}
    assert report.repos == 1


def test_a_lost_root_key_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        old, _ = Keys(store).root()
        key, secret = Keys(store).create("k")
        assert Keys(store).find(key.access_key) == (key, secret)
    (tmp_path / ".pfs/root-key").unlink()
    recover(tmp_path / ".pfs")
    with pfs.open(tmp_path) as store:
        assert Keys(store).root()[0].access_key != old.access_key
        with pytest.raises(CorruptionError, match="create it again"):
            Keys(store).find(key.access_key)


def test_no_store_to_recover(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        recover(tmp_path)
