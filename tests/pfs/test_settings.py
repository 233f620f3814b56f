"""Settings of branches: kept with the branch wherever it goes, changed without a commit, all or nothing."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

import pfs
from pfs.backends.local import LocalBackend
from pfs.changes.settings import MAX_SETTING_BYTES, SettingsEdit, edit_settings, settings_of
from pfs.changes.trash import undelete_repo
from pfs.errors import BranchNotFoundError, ConflictError, InvalidInputError, PfsError, StorageError
from pfs.refs.body import RefsBody
from pfs.repo import Repo
from pfs.store import Store
from pfs.testing.faults import FaultyBackend, How


def settings(store: Store, branch: str = "master", repo: str = "data") -> dict[str, str]:
    return dict(settings_of(store.refs.read(repo).body, branch))


@pytest.fixture
def branch(repo: Repo) -> Repo:
    with repo.commit("master") as commit:
        commit.put_file("/a", b"1")
    return repo


def test_texts_are_set_and_taken_away_by_name(branch: Repo, store: Store) -> None:
    assert edit_settings(store, "data", "master", SettingsEdit({"b": "2", "a": "1"})) == {"a": "1", "b": "2"}
    assert edit_settings(store, "data", "master", SettingsEdit({"a": None, "c": "é", "d": None})) == {
        "b": "2",
        "c": "é",
    }
    assert settings(store) == {"b": "2", "c": "é"}
    head = branch.branch("master").head
    assert head is not None
    assert len(list(branch.commits("master"))) == 1
    assert settings(store, "none") == {}


def test_what_is_so_already_is_not_written(branch: Repo, store: Store) -> None:
    edit_settings(store, "data", "master", SettingsEdit({"a": "1"}))
    seq = store.refs.read("data").body.seq
    edit_settings(store, "data", "master", SettingsEdit({"a": "1", "b": None}))
    assert store.refs.read("data").body.seq == seq


def test_they_outlive_commits_and_moves_and_come_back_from_the_trash(branch: Repo, store: Store) -> None:
    edit_settings(store, "data", "master", SettingsEdit({"a": "1"}))
    with branch.commit("master") as commit:
        commit.put_file("/a", b"2")
    branch.create_branch("master", head="master~1")
    branch.create_branch("other", head="master")
    assert (settings(store), settings(store, "other")) == ({"a": "1"}, {})
    heads = [entry.branch for entry in store.refs.read("data").body.trash.values()]
    assert [entry.settings for entry in heads] == [{}]  # a head that was left keeps no copy
    branch.delete_branch("master")
    assert settings(store) == {}
    branch.undelete("master")
    assert settings(store) == {"a": "1"}
    store.delete_repo("data")
    undelete_repo(store, "data")
    assert settings(store) == {"a": "1"}


def test_a_new_branch_of_the_name_has_none(branch: Repo, store: Store) -> None:
    edit_settings(store, "data", "master", SettingsEdit({"a": "1"}))
    branch.delete_branch("master")
    branch.create_branch("master")
    assert settings(store) == {}


def test_a_branch_is_made_if_that_is_asked_for(repo: Repo, store: Store) -> None:
    with pytest.raises(BranchNotFoundError):
        edit_settings(store, "data", "new", SettingsEdit({"a": "1"}))
    edit_settings(store, "data", "new", SettingsEdit({"a": "1"}, make=True))
    assert settings(store, "new") == {"a": "1"}
    assert repo.branch("new").head is None


def test_what_is_refused_changes_nothing(branch: Repo, store: Store) -> None:
    edit_settings(store, "data", "master", SettingsEdit({"a": "1"}))
    with pytest.raises(InvalidInputError, match="'b'"):
        edit_settings(store, "data", "master", SettingsEdit({"b": "é" * (MAX_SETTING_BYTES // 2 + 1)}))
    edit_settings(store, "data", "master", SettingsEdit({"b": "é" * (MAX_SETTING_BYTES // 2)}))
    edit_settings(store, "data", "master", SettingsEdit({"b": None}))

    def refuse(body: RefsBody) -> None:
        raise ConflictError("not this one")

    with pytest.raises(ConflictError, match="not this one"):
        edit_settings(store, "data", "master", SettingsEdit({"a": "2"}, guard=refuse))
    branch.create_tag("v1", "master")
    with pytest.raises(ConflictError):
        edit_settings(store, "data", "v1", SettingsEdit({"a": "2"}, make=True))
    with pytest.raises(PfsError):
        edit_settings(store, "data", ".hidden", SettingsEdit({"a": "2"}, make=True))
    assert settings(store) == {"a": "1"}


@pytest.mark.parametrize("how", How)
def test_a_fault_leaves_the_old_or_the_new(tmp_path: Path, how: How) -> None:
    with pfs.init(tmp_path / "home") as store:
        edit_settings(store, store.create_repo("data").name, "master", SettingsEdit({"a": "1"}, make=True))
    objects = LocalBackend(tmp_path / "home/.pfs/objects")
    faulty = FaultyBackend(objects, fail_at=1, how=how, dead_after=True)
    done = True
    with closing(Store(tmp_path / "home/.pfs", backend=faulty)) as store:
        try:
            edit_settings(store, "data", "master", SettingsEdit({"a": "2"}))
        except StorageError:
            done = False
    with pfs.open(tmp_path / "home") as store:
        found = settings(store)["a"]
    assert found == "2" if done or how is How.AFTER else found == "1"


def test_they_are_not_in_the_index(branch: Repo, store: Store, tmp_path: Path) -> None:
    edit_settings(store, "data", "master", SettingsEdit({"a": "1"}))
    store.close()
    shutil.rmtree(tmp_path / "home/.pfs/index.lmdb")
    with pfs.open(tmp_path / "home") as opened:
        assert settings(opened) == {"a": "1"}
