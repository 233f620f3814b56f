"""The store: where it lies, what it is frozen to, its repos."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pfs
from cli.exits import STORAGE, exit_code
from pfs.config import ChunkerConfig, StoreConfig, decode_store_config, encode_store_config
from pfs.errors import (
    AlreadyExistsError,
    ConfigDamagedError,
    ConflictError,
    CorruptionError,
    InvalidInputError,
    InvalidNameError,
    InvalidParamsError,
    RepoNotFoundError,
    StorageError,
    StoreNotFoundError,
)
from pfs.gc.collect import collect
from pfs.ids import CommitId, new_commit_id
from pfs.model import BranchRef, NewCommit, Provenance
from pfs.refs.signed import sign_body
from pfs.repo import Repo
from pfs.store import Store
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover


def test_init_makes_a_folder_with_a_private_key(tmp_path: Path) -> None:
    with pfs.init(tmp_path / "a/b") as store:
        folder = tmp_path / "a/b/.pfs"
        assert store.path == folder
        assert stat.S_IMODE((folder / "root-key").stat().st_mode) == 0o600
        assert json.loads((folder / "objects/config.json").read_bytes())["chunker"]["avg"] == 262144
    assert sorted(os.listdir(folder)) == ["config.json", "index.lmdb", "objects", "root-key", "run"]


def test_init_twice_is_refused(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    for place in (tmp_path, tmp_path / ".pfs"):
        with pytest.raises(AlreadyExistsError, match="already exists"):
            pfs.init(place)


def test_init_refuses_bad_parameters_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidParamsError):
        pfs.init(tmp_path, chunk_avg=1000)
    assert not (tmp_path / ".pfs").exists()


def test_an_interrupted_init_is_completed(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        store.create_repo("r")
        uuid = store.config.store_uuid
    (tmp_path / ".pfs/config.json").unlink()
    with pfs.init(tmp_path) as store:
        assert store.config.store_uuid == uuid
        assert [info.name for info in store.list_repos()] == ["r"]


def test_an_init_that_could_not_make_the_index_is_completed(tmp_path: Path) -> None:
    (tmp_path / ".pfs").mkdir()
    (tmp_path / ".pfs/index.lmdb").write_bytes(b"in the way, as a full disk is")
    with pytest.raises(StorageError, match="make the index"):
        pfs.init(tmp_path)
    config = (tmp_path / ".pfs/objects/config.json").read_bytes()
    (tmp_path / ".pfs/index.lmdb").unlink()
    with pfs.init(tmp_path) as store:
        store.create_repo("r")
    assert (tmp_path / ".pfs/objects/config.json").read_bytes() == config


def test_a_store_that_only_lost_its_index_is_still_there(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        store.create_repo("r")
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pytest.raises(AlreadyExistsError):
        pfs.init(tmp_path)
    with pfs.open(tmp_path) as store:
        assert [info.name for info in store.list_repos()] == ["r"]


def test_locate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pfs.init(tmp_path / "a").close()
    folder = tmp_path / "a/.pfs"
    (tmp_path / "a/deep/er").mkdir(parents=True)
    monkeypatch.delenv("PFS_STORE", raising=False)
    assert pfs.locate(tmp_path / "a") == pfs.locate(folder) == pfs.locate(str(folder)) == folder
    monkeypatch.chdir(tmp_path / "a/deep/er")
    assert pfs.locate() == folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreNotFoundError, match="pfs init"):
        pfs.locate()
    with pytest.raises(StoreNotFoundError):
        pfs.open(tmp_path / "nowhere")
    monkeypatch.setenv("PFS_STORE", str(tmp_path / "a"))
    assert pfs.locate() == folder


@pytest.mark.parametrize("name", ["config.json", "objects/config.json"])
def test_a_newer_store_asks_for_a_newer_pfs(tmp_path: Path, name: str) -> None:
    pfs.init(tmp_path).close()
    file = tmp_path / ".pfs" / name
    config = json.loads(file.read_text()) | {"format": 3}
    signed = config.pop("sum", None) is not None
    plain = json.dumps(config).encode()
    file.write_bytes(sign_body(plain) if signed else plain)
    with pytest.raises(InvalidInputError, match="newer pfs"):
        pfs.open(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    pfs.init(tmp_path).close()
    (tmp_path / ".pfs/objects/config.json").write_text(text)
    with pytest.raises((CorruptionError, InvalidInputError), match=r"config\.json"):
        pfs.open(tmp_path)


def test_the_golden_config() -> None:
    config = StoreConfig(store_uuid="0123456789abcdef0123456789abcdef", chunker=ChunkerConfig(avg=1 << 20))
    stored = (Path(__file__).parents[1] / "data/store_config_v1.json").read_bytes()
    assert encode_store_config(config) == stored
    assert decode_store_config(stored, where="x") == config


def test_every_flipped_bit_of_the_config_is_damage_that_one_line_names(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    data = (tmp_path / ".pfs/objects/config.json").read_bytes()
    for at in range(len(data)):
        for bit in (1, 4, 64):
            with pytest.raises(ConfigDamagedError, match="checksum"):
                decode_store_config(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], where="x")
    (tmp_path / ".pfs/objects/config.json").chmod(0o644)
    (tmp_path / ".pfs/objects/config.json").write_bytes(data.replace(b"262144", b"262145"))
    for use in (lambda: pfs.open(tmp_path), lambda: recover(tmp_path / ".pfs")):
        with pytest.raises(ConfigDamagedError, match=r"objects/config\.json is damaged: its checksum") as met:
            use()
        assert exit_code(met.value) == STORAGE


def test_other_tree_shapes_are_refused(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    file = tmp_path / ".pfs/objects/config.json"
    config = json.loads(file.read_text())
    del config["sum"]
    config["tree"]["leaf"] = 9
    file.write_bytes(sign_body(json.dumps(config).encode()))
    with pytest.raises(InvalidInputError, match="tree shape"):
        pfs.open(tmp_path)


def test_repos(store: Store) -> None:
    store.create_repo("b", description="second")
    store.create_repo("a")
    assert [(info.name, info.description) for info in store.list_repos()] == [("a", ""), ("b", "second")]
    with pytest.raises(AlreadyExistsError):
        store.create_repo("a")
    assert store.create_repo("a", exist_ok=True).name == "a"
    with pytest.raises(InvalidNameError):
        store.create_repo("a.b")
    with pytest.raises(RepoNotFoundError):
        store.repo("c")
    with pytest.raises(InvalidNameError):
        store.repo("../a")


def test_repo_info_is_that_of_master(store: Store, repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/a", b"12345")
    with repo.commit("dev") as commit:
        commit.put_file("/b", b"1234567")
    info = store.list_repos()[0]
    assert (info.size_bytes, info.file_count, info.branches) == (5, 1, ("dev", "master"))


def test_a_deleted_repo_is_gone_and_its_name_free(store: Store, repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/a", b"1")
    store.delete_repo("data")
    assert store.list_repos() == []
    with pytest.raises(RepoNotFoundError):
        repo.inspect("master")
    with pytest.raises(RepoNotFoundError):
        store.delete_repo("data")
    again = store.create_repo("data")
    assert list(again.commits()) == []
    assert any(entry.name.startswith("log/data/") for entry in store.backend.entries("log/"))


def test_a_repo_with_damaged_refs_is_deleted_only_by_force(store: Store, repo: Repo) -> None:
    with repo.commit("master") as commit:
        commit.put_file("/f", os.urandom(100_000))
    store.create_repo("other")
    collect(store)
    path = store.path / "objects" / "refs" / f"{repo.name}.json"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CorruptionError, match=f"refs/{repo.name}") as caught:
        store.delete_repo(repo.name)
    assert "--force" in caught.value.__notes__[0]
    store.delete_repo(repo.name, force=True)
    assert [found.name for found in store.list_repos()] == ["other"]
    assert list(fsck(store)) == []
    assert collect(store).deleted
    again = store.create_repo(repo.name)
    with again.commit("master") as commit:
        commit.put_file("/g", b"new")
    assert again.view("master").read("/g") == b"new"
    collect(store)
    assert list(fsck(store)) == []


def test_an_input_of_another_repo_is_deleted_only_by_force(store: Store, repo: Repo) -> None:
    store.create_repo("out").create_branch("master", provenance=[BranchRef("data", "master")])
    with pytest.raises(ConflictError, match="out@master"):
        store.delete_repo("data")
    with pytest.raises(ConflictError, match="out@master"):
        repo.delete_branch("master")
    store.delete_repo("data", force=True)
    assert [info.name for info in store.list_repos()] == ["out"]


def test_a_removed_index_comes_back_by_itself(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("r")
        for number in range(3):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", str(number).encode())
        before = list(repo.commits())
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        assert list(store.repo("r").commits()) == before
        assert store.repo("r")["master"].read("/2") == b"2"


def test_an_index_that_lags_catches_up(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("r")
        with repo.commit("master") as commit:
            commit.put_file("/0", b"0")
    shutil.copytree(tmp_path / ".pfs/index.lmdb", tmp_path / "old-index")
    with pfs.open(tmp_path) as store:
        repo = store.repo("r")
        for number in range(1, 4):
            with repo.commit("master") as commit:
                commit.put_file(f"/{number}", b"x" * number)
        before = list(repo.commits())
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    (tmp_path / "old-index").rename(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        assert list(store.repo("r").commits("master")) == before
        assert store.repo("r")["master^"].read("/2") == b"xx"


@pytest.mark.parametrize("how", ["commit", "open", "publish"])
def test_a_commit_on_top_of_one_that_the_index_missed(tmp_path: Path, how: str) -> None:
    with pfs.init(tmp_path) as store, store.create_repo("r").commit("master") as commit:
        commit.put_file("/0", b"0")
    shutil.copytree(tmp_path / ".pfs/index.lmdb", tmp_path / "old-index")
    with pfs.open(tmp_path) as store, store.repo("r").commit("master") as missed:
        missed.put_file("/1", b"1")
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    (tmp_path / "old-index").rename(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        repo = store.repo("r")
        if how == "publish":
            root = repo.inspect("master.1").root
            new = NewCommit(branch="master", root=root, id=new_commit_id(), started_ns=1, parents=(missed.id,))
            repo.publish([new], store.session())
        elif how == "open":
            repo.start_commit("master")
            repo.finish_commit("master")
        else:
            with repo.commit("master") as commit:
                commit.put_file("/2", b"2")
        assert repo.inspect("master^").id == missed.id
        assert repo[missed.id].read("/1") == b"1"
        assert len(list(repo.commits())) == 3


def test_one_repo_with_damaged_refs_does_not_hurt_the_others(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        store.create_repo("bad")
        with store.create_repo("good").commit("master") as commit:
            commit.put_file("/a", b"1")
    (tmp_path / ".pfs/objects/refs/bad.json").write_text("{")
    shutil.rmtree(tmp_path / ".pfs/index.lmdb")
    with pfs.open(tmp_path) as store:
        assert store.repo("good")["master"].read("/a") == b"1"
        with pytest.raises(CorruptionError, match="bad"):
            store.repo("bad")


def test_a_commit_set_is_found_in_all_repos(store: Store, repo: Repo) -> None:
    id = new_commit_id()
    other = store.create_repo("other")
    source = Provenance("data", "master", id)
    with repo.commit("master", commit_id=id) as commit:
        commit.put_file("/a", b"1")
    with other.commit("master", commit_id=id, provenance=[source]) as commit:
        commit.put_file("/b", b"2")
    found = store.commits_by_id(id)
    assert [(info.repo, info.id) for info in found] == [("data", id), ("other", id)]
    assert found[1].provenance == (source,)
    assert store.commits_by_id(CommitId("0" * 32)) == []


def test_wait_sees_what_others_do_and_nothing_else(tmp_path: Path, store: Store, repo: Repo) -> None:
    token = store.changes()
    assert not store.wait(token, 0.0)
    assert not store.wait(store.changes(), 0.05)

    def write() -> None:
        with pfs.open(tmp_path / "home") as other, other.repo("data").commit("master") as commit:
            commit.put_file("/a", b"1")

    thread = threading.Thread(target=write)
    thread.start()
    assert store.wait(token, 60)
    thread.join()
    assert store.wait(token, 0.0)
    assert not store.wait(store.changes(), 0.0)


def test_changes_in_one_clock_tick_are_told_apart(store: Store, repo: Repo) -> None:
    tokens = []
    for number in range(20):
        repo.create_branch(f"b{number:02}")
        tokens.append(store.changes())
    assert all(store.wait(token, 0.0) for token in tokens[:-1])


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = pfs.init(tmp_path)
    repo = store.create_repo("data")
    with repo.commit("master") as commit:
        commit.put_file("/a", b"1")
    view, writer = repo["master"], repo.commit("master")
    store.close()
    store.close()
    for use in (
        store.list_repos,
        lambda: store.repo("data"),
        lambda: store.create_repo("more"),
        lambda: repo["master"],
        lambda: view.read("/a"),
        lambda: writer.put_file("/b", b"2"),
        lambda: list(fsck(store)),
    ):
        with pytest.raises(InvalidInputError, match="the store is closed"):
            use()


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"format":"1"}', b'{"format":true}', b'{"format":0}', b"\xff"])
@pytest.mark.parametrize("name", ["config.json", "objects/config.json"])
def test_a_damaged_config_is_named_and_nobody_sent_to_fsck(tmp_path: Path, name: str, data: bytes) -> None:
    pfs.init(tmp_path).close()
    file = tmp_path / ".pfs" / name
    file.chmod(0o644)
    file.write_bytes(data)
    with pytest.raises(CorruptionError, match=re.escape(name)) as caught:
        pfs.open(tmp_path)
    assert "fsck" not in str(caught.value)


def test_a_config_of_a_newer_pfs_is_no_damage(tmp_path: Path) -> None:
    pfs.init(tmp_path).close()
    (tmp_path / ".pfs/config.json").write_bytes(b'{"format":2}')
    with pytest.raises(InvalidInputError, match="newer pfs"):
        pfs.open(tmp_path)


_READ_ONLY = """
import sys
import pfs
from pfs.upkeep.check import fsck
from pfs.upkeep.recover import recover
from pfs.errors import StorageError
with pfs.open(sys.argv[1]) as store:
    assert [info.name for info in store.list_repos()] == ["data"]
    repo = store.repo("data")
    assert repo["master"].read("/a") == b"1"
    assert [info.path for info in repo["master"].list()] == ["/a"]
    assert len(list(repo.commits())) == 1
    assert list(fsck(store, deep=True)) == []
    def set_meta() -> None:
        store.index.set_meta("a", b"")
    for write in (lambda: store.create_repo("x"), lambda: repo.start_commit("dev"), set_meta):
        try:
            write()
        except StorageError as error:
            assert sys.argv[1] in str(error), error
        else:
            raise AssertionError(write)
"""


def can_mount() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace")
def test_a_store_on_a_read_only_disk_is_read(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store, store.create_repo("data").commit("master") as commit:
        commit.put_file("/a", b"1")
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, _READ_ONLY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_may_be_in_a_folder_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    place = tmp_path / "\udcff"
    with pfs.init(place) as store, store.create_repo("r").commit("master") as commit:
        commit.put_file("/a", b"1")
    with pfs.open(place) as store:
        assert store.repo("r")["master"].read("/a") == b"1"
