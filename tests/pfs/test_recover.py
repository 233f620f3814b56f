"""Recovering the index from the objects alone."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

import pfs
from pfs.errors import ConflictError, CorruptionError, MissingObjectError, StoreNotFoundError
from pfs.ids import PackId, chunk_id
from pfs.keys import Keys
from pfs.model import CommitInfo
from pfs.packs.pack import PackWriter, RecordType
from pfs.store import Store
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from tests.pfs.frozen_world import freezing_long  # noqa: F401


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
    assert report.damaged == ("refs/one.json",)
    assert report.salvaged == (pack.relative_to(objects).as_posix(),)
    assert report.repos == 1


@pytest.mark.parametrize("old_index", [True, False])
def test_a_pack_without_its_end_is_salvaged(tmp_path: Path, *, old_index: bool) -> None:
    texts = {f"/{number}": b"%d small text " % number * 40 for number in range(50)}  # these go into blocks
    blobs = {f"/blob{number}": os.urandom(100_000) for number in range(5)}
    with pfs.init(tmp_path) as store, store.create_repo("data").commit("master") as commit:
        for path, data in (texts | blobs).items():
            commit.put_file(path, data)
    (pack,) = (tmp_path / ".pfs/objects").glob("packs/m/*/*.pack")
    os.truncate(pack, pack.stat().st_size - 20)
    if not old_index:
        shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    for _ in range(2):
        report = recover(tmp_path / ".pfs")
        assert (len(report.salvaged), report.damaged, report.commits) == (1, (), 1)
        with pfs.open(tmp_path) as store:
            view = store.repo("data")["master"]
            for path, data in (texts | blobs if old_index else blobs).items():
                assert view.read(path) == data
            assert {damage.kind for damage in fsck(store)} == {"pack"}


def test_an_open_without_an_index_salvages_too(tmp_path: Path) -> None:
    make(tmp_path)
    with pfs.open(tmp_path) as store:
        before = everything(store)
    for pack in (tmp_path / ".pfs/objects").glob("packs/*/*/*.pack"):
        os.truncate(pack, pack.stat().st_size - 1)
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        assert everything(store) == before


def lose_head(path: Path) -> str:
    """Remove the pack with the head of one@master, and the index; return the head."""
    with pfs.open(path) as store:
        state = store.refs.read("one")
    branch = state.body.branches["master"]
    (pack,) = (path / ".pfs/objects").glob(f"packs/m/*/{branch.pack}.pack")
    pack.unlink()
    shutil.rmtree(path / ".pfs/index.lmdb")
    return str(branch.head)


def test_a_lost_head_is_damage_and_never_nothing(tmp_path: Path) -> None:
    make(tmp_path)
    head = lose_head(tmp_path)
    report = recover(tmp_path / ".pfs")
    assert any(head[:12] in name for name in report.damaged)
    with pfs.open(tmp_path) as store:
        repo = store.repo("one")
        for look in (
            lambda: repo["master"],
            lambda: repo[head],
            lambda: repo.inspect("master^"),
            lambda: list(repo.commits("master")),
            lambda: list(repo.commits()),
            lambda: repo.info(),
            lambda: repo.commit("master"),
            lambda: repo.create_branch("b", head="master"),
            lambda: repo.start_commit("master"),
        ):
            with pytest.raises(MissingObjectError, match=head[:12]):
                look()
        listed = {info.name: info for info in store.list_repos()}
        assert head[:12] in (listed["one"].error or "")
        assert listed["two"].error is None
        assert store.repo("two").info() == listed["two"]


def test_a_repo_with_damaged_refs_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / ".pfs/objects/refs/one.json").write_text("{")
    with pfs.open(tmp_path) as store:
        one, two = store.list_repos()
        assert (one.name, two.error) == ("one", None)
        assert "checksum" in (one.error or "")


def test_drafts_of_killed_recoveries_are_removed_and_those_of_live_ones_are_not(tmp_path: Path) -> None:
    make(tmp_path)
    draft = tmp_path / ".pfs/tmp/index-abc"
    draft.mkdir(parents=True)
    with (tmp_path / ".pfs/run/recover").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="recover"):
            recover(tmp_path / ".pfs")
        assert draft.exists()
    recover(tmp_path / ".pfs")
    assert not draft.exists()


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
        with pytest.raises(CorruptionError, match="make it again"):
            Keys(store).find(key.access_key)


def test_no_store_to_recover(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        recover(tmp_path)


@pytest.mark.parametrize("how", ["recover", "open"])
def test_what_was_stored_again_is_found_in_the_newer_pack(tmp_path: Path, how: str) -> None:
    data = os.urandom(1000)
    with pfs.init(tmp_path) as store:
        for made_ms, last in ((1, b"\xff"), (2, b"\x00"), (3, b"\x77")):  # a listing has them in another order
            pack_id = PackId(made_ms.to_bytes(6, "big") + bytes(9) + last)
            writer = PackWriter(store.backend, "d", pack_id=pack_id, created_ms=made_ms)
            writer.add(RecordType.CHUNK, chunk_id(data), data)
            writer.seal()
            if made_ms < 3:
                (file,) = (tmp_path / ".pfs/objects").glob(f"packs/d/*/{pack_id.hex()}.pack")
                file.chmod(0o644)
                file.write_bytes(file.read_bytes().replace(data, bytes(1000)))
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    if how == "recover":
        recover(tmp_path / ".pfs")
    with pfs.open(tmp_path) as store:
        assert store.objects.chunk(chunk_id(data), 1000) == data
